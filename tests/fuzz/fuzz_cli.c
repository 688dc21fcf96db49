/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `mayfly run` from arbitrary words, NUL between them: whatever they are, they are
 * taken or refused with a message, and what is taken stays inside its bounds.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/run_config.h"
#include "vmm/core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run_config *c = calloc(1, sizeof(*c));
	char *text = malloc(size + 1), *argv[64];
	struct err e = { 0 };
	int argc = 0, r;
	size_t at;

	if (!c || !text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (at = 0; at < size && argc < 63; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	argv[argc] = NULL;
	r = run_config_parse(c, argc, argv, &e);
	assert(r == 0 || (r < 0 && e.code == -r && e.msg[0]));
	if (r == 0) {
		assert(c->machine.n_disks <= MACHINE_MAX_DISKS);
		c->machine.kernel_path = "vmlinuz";
		r = run_config_resolve(c, &e);
		assert(r == 0 || e.msg[0]);
		assert(r < 0 || (c->machine.n_vcpus >= 1 && c->machine.n_vcpus <= MACHINE_MAX_VCPUS));
	}
	run_config_free(c);
	free(text);
	free(c);
	return 0;
}
