/* SPDX-License-Identifier: Apache-2.0 */
/* The jailer's options: words that NULs separate, behind those that it cannot do without. What it accepts
 * names nothing outside its directories. */
#include <stdlib.h>
#include <string.h>

#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_WORDS = 64, MAX_BYTES = 4096 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Between slashes, none of its names is "..". */
static bool stays_below(const char *path)
{
	char copy[MAX_BYTES + 3];

	strcat(strcat(strcpy(copy, "/"), path), "/");
	return !strstr(copy, "/../");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const first[] = { "--exec-file", "/bin/true", "--uid", "1", "--gid", "1" };
	char text[MAX_BYTES + 1], words[6][16], *argv[MAX_WORDS + 7];
	size_t len = size < MAX_BYTES ? size : MAX_BYTES;
	struct err e = { 0 };
	struct jail_config c;
	int argc;

	for (argc = 0; argc < 6; argc++)
		argv[argc] = strcpy(words[argc], first[argc]);
	memcpy(text, data, len);
	text[len] = '\0';
	for (size_t at = 0; at < len && argc < MAX_WORDS + 6; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	argv[argc] = NULL;
	if (jail_parse(&c, argc, argv, &e) < 0) {
		check(e.code && e.msg[0]);
		return 0;
	}
	if (c.version || c.help)
		return 0;
	check(c.id && strlen(c.id) <= JAIL_ID_MAX && !strpbrk(c.id, "/._"));
	check(!strchr(c.exec_name, '/') && c.parent_cgroup[0] != '/' && stays_below(c.parent_cgroup));
	for (unsigned i = 0; i < c.n_cgroups; i++)
		check(!strchr(c.cgroups[i].file, '/') && strcmp(c.cgroups[i].file, ".."));
	return 0;
}
