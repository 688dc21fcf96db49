/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly version`: the first line is "mayfly vX.Y.Z", which programs read. */
#include <stdio.h>

#include "config.h"
#include "vmm/cli/cli.h"
#include "vmm/core/err.h"

int version_main(int argc, char **argv)
{
	struct err e;

	if (argc > 0) {
		err_set(&e, 22, "version: unexpected argument '%.60s'", argv[0]);
		return cli_fail(EXIT_USAGE, &e);
	}
	printf("mayfly v%s\n", MAYFLY_VERSION);
	printf("accelerators:%s%s\n", MAYFLY_KVM ? " kvm" : "", MAYFLY_TCG ? " tcg" : "");
	printf("disk engine: %s\n", MAYFLY_IO_URING ? "io_uring, else pread" : "pread");
	printf("guests: x86-64; compiler: %s\n", __VERSION__);
	return 0;
}
