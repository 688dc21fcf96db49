/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_GUEST_COMMAND_H
#define MAYFLY_VMM_GUEST_COMMAND_H
/*
 * A command for the guest: makes an initramfs that runs it (vmm/guest/init.c) and says its exit status
 * at the debug-exit port. See command.c.
 */
#include <stdbool.h>

struct err;

struct guest_command {
	char *const *words; /* ends with NULL */
	const char *initrd_path; /* what the guest has otherwise; or NULL */
	bool interactive; /* it talks to a terminal */
	bool input; /* its input comes over the serial port, framed as result.h has it */
};

/* What the kernel's command line needs for it. */
#define GUEST_COMMAND_CMDLINE "rdinit=/mayfly/init quiet loglevel=0"

/* Returns a file descriptor of an initramfs without a name, or -errno. */
int guest_command_initrd(const struct guest_command *c, struct err *e);
/* The exit status in a value of the debug-exit port's event; -1: the value is none of ours. */
int guest_command_status(unsigned code);

#endif
