/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly help [TOPIC]`. The options come from the option table, the rest is written here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/live_cmd.h"
#include "vmm/cli/opt.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

static void help_run(void)
{
	printf("mayfly run [OPTIONS] [-- CMD...]    boot one virtual machine in the foreground\n\n");
	run_print_options();
	printf("\nWithout --kernel it boots, in this order: $MAYFLY_KERNEL,\n"
	       "$XDG_CACHE_HOME/mayfly/guest/vmlinuz with the initrd beside it (tools/quickstart puts\n"
	       "them there), the newest /boot/vmlinuz-* it can read with its /boot/initrd.img-*.\n"
	       "With a --console and the serial port off, the kernel's console is hvc0; a --console on\n"
	       "standard input and output switches the serial port off by itself.\n"
	       "With --disk and without --cmdline, root=/dev/vda and rw or ro are added.\n"
	       "A guest's reboot reboots the machine; its poweroff ends mayfly with 0.\n"
	       "--cpu v2 and v3 are x86-64-v2 and -v3 (with AES), the same on every host but for\n"
	       "frequencies; what the host lacks is interpreted. KVM has --cpu host only.\n"
	       "With -- CMD... the guest runs that command in place of its init: its output comes out\n"
	       "here, without the kernel's messages, and mayfly ends with its exit status. The command\n"
	       "is looked for in the initrd, or in what root= names; busybox applets will do. It reads\n"
	       "mayfly's standard input; if that and standard output are a terminal, it has one, too.\n");
}

static void help_api(void)
{
	printf("mayfly api [OPTIONS]    wait for a virtual machine to be described and started by an API\n\n");
	api_print_options();
	printf("\nThe API is that of Firecracker, HTTP over a Unix socket (docs/api.md):\n\n"
	       "  curl --unix-socket S -X PUT http://localhost/boot-source \\\n"
	       "       -d '{\"kernel_image_path\": \"vmlinux\"}'\n"
	       "  curl --unix-socket S -X PUT http://localhost/actions \\\n"
	       "       -d '{\"action_type\": \"InstanceStart\"}'\n\n"
	       "Under the name firecracker, mayfly takes Firecracker's options and has its exit codes.\n");
}

static void help_ctl(void)
{
	printf("mayfly ctl SOCKET VERB    one request to the API that listens on SOCKET\n\n");
	ctl_print_verbs();
}

static void help_keys(void)
{
	printf("When standard input is a terminal it is in raw mode and Ctrl-A is the escape key\n"
	       "(--escape changes it):\n\n"
	       "  Ctrl-A x        quit at once; the exit code is 130\n"
	       "  Ctrl-A p        pause, and resume\n"
	       "  Ctrl-A c        control prompt: info, pause, resume, reset, powerdown, quit, help,\n"
	       "                  and the commands below\n"
	       "  Ctrl-A h        help\n"
	       "  Ctrl-A Ctrl-A   sends Ctrl-A to the guest\n\n"
	       "Commands for devices, also by `mayfly debug tell PID COMMAND`:\n\n%s", live_help);
}

static void help_exit_codes(void)
{
	printf("    0     the guest powered off\n"
	       "    1     runtime error\n"
	       "    2     usage: an unknown option, or a value that cannot be read\n"
	       "    3     the configuration or an image is bad\n"
	       "    4     this host cannot: no accelerator, no permission, not enough memory\n"
	       "   32     the guest reset the machine, with --no-reboot\n"
	       "   33     the guest crashed (triple fault)\n"
	       "  124     --timeout passed\n"
	       "  128+N   killed by signal N\n"
	       "  with -- CMD, CMD's status: 127 if there is no such program, 128+N if signal N ended it\n"
	       "  other   the guest wrote V to the debug-exit port 0xf4: 2 * V + 1\n");
}

static void help_signals(void)
{
	printf("  TERM, INT    press the guest's power button; a second one, or 5 s without effect,\n"
	       "               ends it at once\n"
	       "  HUP          ends it at once\n"
	       "  USR1         prints counters to standard error\n"
	       "  TSTP, CONT   leave and enter raw mode\n");
}

static void help_environment(void)
{
	printf("  MAYFLY_KERNEL, MAYFLY_INITRD   default images\n"
	       "  MAYFLY_ACCEL                   default of --accel\n"
	       "  MAYFLY_LOG                     default of --log\n"
	       "  XDG_CACHE_HOME                 where default images are looked for\n"
	       "  XDG_RUNTIME_DIR                where running machines answer ps and debug\n");
}

static const struct {
	const char *name, *summary;
	void (*print)(void);
} topics[] = {
	{ "run", "the options of `mayfly run`", help_run },
	{ "api", "the options of `mayfly api`", help_api },
	{ "ctl", "the verbs of `mayfly ctl`", help_ctl },
	{ "keys", "the escape key", help_keys },
	{ "exit-codes", "what mayfly's exit status means", help_exit_codes },
	{ "signals", "what signals do", help_signals },
	{ "environment", "the environment variables", help_environment },
};

static void help_overview(void)
{
	size_t i;

	printf("mayfly: a lightweight virtual machine monitor\n\n"
	       "  mayfly run [OPTIONS]      boot one virtual machine in the foreground\n"
	       "  mayfly api --socket PATH  wait for Firecracker's API to describe and start one\n"
	       "  mayfly ctl SOCKET VERB    ask such a process something\n"
	       "  mayfly run [OPTIONS] -- CMD...\n"
	       "                            run a command in one\n"
	       "  mayfly doctor [--json]    check what this host offers, and how to fix what is missing\n"
	       "  mayfly ps [--json]        the running machines of this user\n"
	       "  mayfly debug stats PID [--json]\n"
	       "  mayfly debug metrics PID [--json]\n"
	       "                            what a running machine has counted: the accelerator, the devices\n"
	       "  mayfly jailer --help      put a program into a directory, limits and a user of its own\n"
	       "  mayfly completion bash|zsh|fish\n"
	       "                            what the shell completes: source <(mayfly completion bash)\n"
	       "  mayfly debug tell PID COMMAND\n"
	       "                            change devices of a running machine; `help keys` has the list\n"
	       "  mayfly version            version, accelerators\n"
	       "  mayfly help [TOPIC]       this text, or one of these topics:\n\n");
	for (i = 0; i < ARRAY_LEN(topics); i++)
		printf("      %-14s %s\n", topics[i].name, topics[i].summary);
	printf("\n  mayfly run --kernel vmlinuz --initrd initrd.img --mem 512M --cpus 2\n");
}

int help_main(int argc, char **argv)
{
	const char *names[ARRAY_LEN(topics) + 1] = { NULL };
	const char *near;
	struct err e = { 0 };
	size_t i;

	if (argc == 0) {
		help_overview();
		return 0;
	}
	for (i = 0; i < ARRAY_LEN(topics); i++) {
		names[i] = topics[i].name;
		if (argc == 1 && strcmp(argv[0], topics[i].name) == 0) {
			topics[i].print();
			return 0;
		}
	}
	near = opt_nearest(argv[0], names);
	err_set(&e, EINVAL, "help: no topic '%.60s'", argv[0]);
	if (near)
		err_hint(&e, "did you mean %s? `mayfly help` lists the topics", near);
	else
		err_hint(&e, "`mayfly help` lists the topics");
	return cli_fail(EXIT_USAGE, &e);
}
