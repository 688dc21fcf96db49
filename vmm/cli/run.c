/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly run`: one machine in the foreground, on the main thread's loop.
 *
 * Signals come through a signalfd, so they are handled between other events like any input; only
 * the fatal ones have handlers (terminal.c). The first TERM or INT presses the power button;
 * SHUTDOWN_GRACE later, or at the second one, the machine ends at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/control.h"
#include "vmm/cli/live_cmd.h"
#include "vmm/cli/notify.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_ports.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/guest/command.h"
#include "vmm/metrics/metrics.h"
#include "vmm/terminal.h"

#define SHUTDOWN_GRACE_NS 5000000000ull

struct run {
	struct run_config config;
	struct loop *loop;
	struct machine *machine;
	struct mmds *mmds; /* or NULL */
	struct metrics *metrics;
	struct run_ports ports;
	struct control *control; /* or NULL */
	struct loop_source signals;
	struct loop_timer timeout, grace;
	bool pidfile_written;
	int shutdown_signal;
	int code; /* what mayfly ends with */
};

static void finish(struct run *r, int code)
{
	r->code = code;
	loop_stop(r->loop);
}

static void on_ended(void *ctx, enum machine_end why, unsigned code, const struct err *e)
{
	static const int codes[] = {
		[MACHINE_END_POWEROFF] = EXIT_GUEST_OFF,
		[MACHINE_END_RESET] = EXIT_GUEST_RESET,
		[MACHINE_END_CRASH] = EXIT_GUEST_CRASH,
		[MACHINE_END_FAILED] = EXIT_RUNTIME,
	};
	struct run *r = ctx;

	if (why == MACHINE_END_EXIT) {
		int status = r->config.command ? guest_command_status(code) : -1;

		finish(r, status >= 0 ? status : (int)(code & 0xff));
		return;
	}
	if (r->config.command && (why == MACHINE_END_RESET || why == MACHINE_END_POWEROFF)) {
		log_error(NULL, "machine: the guest ended before it said how the command did; "
				"--cmdline+ loglevel=7 may show why");
		finish(r, why == MACHINE_END_RESET ? EXIT_GUEST_RESET : EXIT_RUNTIME);
		return;
	}
	if (why == MACHINE_END_CRASH)
		log_error(NULL, "machine: the guest crashed (triple fault)");
	if (why == MACHINE_END_FAILED) {
		terminal_restore();
		cli_fail(EXIT_RUNTIME, e);
	}
	finish(r, codes[why]);
}

static void on_serial_tx(void *ctx, const uint8_t *p, size_t n)
{
	struct run *r = ctx;

	run_ports_serial_tx(&r->ports, p, n);
}

static void on_serial_rx_ready(void *ctx)
{
	struct run *r = ctx;

	run_ports_serial_rx_ready(&r->ports);
}

static void on_quit(void *ctx)
{
	finish(ctx, EXIT_SIGNALLED + SIGINT);
}

static void print_info(struct run *r)
{
	struct machine_info i;

	machine_info(r->machine, &i);
	fprintf(stderr,
		"%s, %u vCPU, %llu MiB, accelerator %s, booted as %s, up %llu.%03llu s, %u resets, "
		"%llu console bytes lost\n",
		i.state, i.n_vcpus, (unsigned long long)(i.mem_bytes >> 20), i.accel,
		i.boot_protocol, (unsigned long long)(i.uptime_ns / 1000000000),
		(unsigned long long)(i.uptime_ns / 1000000 % 1000), i.n_resets,
		(unsigned long long)console_dropped(console_host_console(r->ports.serial)));
}

static void do_pause(struct run *r)
{
	machine_pause(r->machine);
	fprintf(stderr, "\nmayfly: paused\n");
}

static void do_resume(struct run *r)
{
	machine_resume(r->machine);
	fprintf(stderr, "\nmayfly: running\n");
}

static void on_pause_key(void *ctx)
{
	struct run *r = ctx;
	struct machine_info i;

	machine_info(r->machine, &i);
	if (strcmp(i.state, "paused") == 0)
		do_resume(r);
	else
		do_pause(r);
}

static void do_reset(struct run *r)
{
	machine_reset(r->machine);
}

static void do_powerdown(struct run *r)
{
	machine_power_button(r->machine);
}

static void do_quit(struct run *r)
{
	on_quit(r);
}

static void do_help(struct run *r);

static const struct {
	const char *name, *help;
	void (*fn)(struct run *r);
} commands[] = {
	{ "info", "what the machine is and does", print_info },
	{ "pause", "stop the processors", do_pause },
	{ "resume", "let them go on", do_resume },
	{ "reset", "reset the machine", do_reset },
	{ "powerdown", "press the power button", do_powerdown },
	{ "quit", "end at once", do_quit },
	{ "help", "this list", do_help },
};

static void do_help(struct run *r)
{
	size_t i;

	(void)r;
	for (i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(stderr, "  %-27s %s\n", commands[i].name, commands[i].help);
	fputs(live_help, stderr);
}

static void do_live_command(struct run *r, const char *line)
{
	char answer[LIVE_ANSWER_MAX];
	struct err e = { 0 };
	int ret = live_command(r->machine, line, answer, &e);

	if (ret == -ENOENT)
		fprintf(stderr, "no command '%s'; help lists them\n", line);
	else if (ret < 0)
		fprintf(stderr, "%s%s%s\n", e.msg, e.hint[0] ? "; " : "", e.hint);
	else
		fputs(answer, stderr);
}

static void on_command(void *ctx, const char *line)
{
	size_t len, i;

	line += strspn(line, " ");
	len = strcspn(line, " ");
	for (i = 0; i < ARRAY_LEN(commands); i++) {
		if (strlen(commands[i].name) == len && strncmp(commands[i].name, line, len) == 0) {
			commands[i].fn(ctx);
			return;
		}
	}
	if (len)
		do_live_command(ctx, line);
}

static void on_timeout(struct loop_timer *t)
{
	struct run *r = container_of(t, struct run, timeout);

	fprintf(stderr, "mayfly: the guest is still there after --timeout\n");
	finish(r, EXIT_TIMED_OUT);
}

static void on_grace_over(struct loop_timer *t)
{
	struct run *r = container_of(t, struct run, grace);

	finish(r, EXIT_SIGNALLED + r->shutdown_signal);
}

static void ask_shutdown(struct run *r, int sig)
{
	if (r->shutdown_signal) {
		finish(r, EXIT_SIGNALLED + sig);
		return;
	}
	r->shutdown_signal = sig;
	notify_manager("STOPPING=1\nSTATUS=asked the guest to shut down");
	machine_resume(r->machine); /* a paused guest could not shut down */
	machine_power_button(r->machine);
	r->grace.fn = on_grace_over;
	loop_timer_arm(r->loop, &r->grace, loop_now_ns() + SHUTDOWN_GRACE_NS);
}

/* SIGTSTP is blocked and only read here, so the stop itself is SIGSTOP's. */
static void stop_ourselves(struct run *r)
{
	terminal_restore();
	kill(getpid(), SIGSTOP);
	if (r->ports.interactive)
		terminal_enter_raw();
}

static void on_signal(struct loop_source *s, uint32_t ready)
{
	struct run *r = container_of(s, struct run, signals);
	struct signalfd_siginfo si;

	(void)ready;
	while (read(s->fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			ask_shutdown(r, (int)si.ssi_signo);
			break;
		case SIGHUP:
			finish(r, EXIT_SIGNALLED + SIGHUP);
			break;
		case SIGTSTP:
			stop_ourselves(r);
			break;
		case SIGCONT:
			if (r->ports.interactive) {
				terminal_restore();
				terminal_enter_raw();
				run_ports_take_window_size(&r->ports);
			}
			break;
		case SIGWINCH:
			run_ports_take_window_size(&r->ports);
			break;
		case SIGUSR1:
			print_info(r);
			machine_log_stats(r->machine);
			if (r->metrics)
				metrics_flush(r->metrics);
			break;
		default:
			break;
		}
	}
}

/* Before any thread starts, so that all of them leave these signals to the signalfd. */
static int take_signals(struct run *r, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	r->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signals.fd < 0)
		return err_set(e, errno, "signalfd: %s", strerror(errno));
	r->signals.events = LOOP_IN;
	r->signals.fn = on_signal;
	return loop_add(r->loop, &r->signals, e);
}

static int open_for_output(const char *what, const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);

	if (fd >= 0)
		return fd;
	err_set(e, errno, "%s: %s: %s", what, path, strerror(errno));
	err_hint(e, "give a path that can be written");
	return -e->code;
}

static int write_pidfile(struct run *r, struct err *e)
{
	char text[32];
	int fd, n;

	if (!r->config.pidfile)
		return 0;
	fd = open_for_output("pidfile", r->config.pidfile, e);
	if (fd < 0)
		return fd;
	r->pidfile_written = true;
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (write(fd, text, (size_t)n) != n)
		err_set(e, errno, "pidfile: %s: %s", r->config.pidfile, strerror(errno));
	close(fd);
	return -e->code;
}

static int open_ports(struct run *r, struct err *e)
{
	const struct console_hooks keys = {
		.quit = on_quit,
		.pause = on_pause_key,
		.command = on_command,
		.key_ctx = r,
	};

	return run_ports_open(&r->ports, &r->config, r->loop, &keys, e);
}

static int open_metrics(struct run *r, struct err *e)
{
	const struct metrics_config c = { 0 };
	int ret;

	ret = metrics_create(&c, r->loop, &r->metrics, e);
	if (ret == 0 && r->config.metrics_path)
		ret = metrics_open(r->metrics, r->config.metrics_path, e);
	if (ret == 0 && metrics_attach(r->metrics, r->machine, r->mmds) < 0)
		ret = err_set(e, ENOMEM, "metrics: out of memory");
	return ret;
}

static int set_up(struct run *r, struct err *e)
{
	const struct machine_events events = {
		.ended = on_ended,
		.serial_tx = on_serial_tx,
		.serial_rx_ready = on_serial_rx_ready,
		.ctx = r,
	};
	struct err control_err;
	int fd, ret;

	if (r->config.log_path) {
		fd = open_for_output("log", r->config.log_path, e);
		if (fd < 0)
			return fd;
		log_set_fd(fd);
	}
	ret = loop_create(&r->loop, e);
	if (ret == 0)
		ret = take_signals(r, e);
	if (ret == 0)
		ret = open_ports(r, e);
	if (ret == 0 && r->ports.interactive)
		terminal_guard_fatal_signals(); /* first: memory has a handler of its own for SIGBUS */
	if (ret == 0)
		ret = run_open_mmds(&r->config, &r->mmds, e);
	r->config.machine.mmds = r->mmds;
	if (ret == 0)
		ret = machine_create(&r->config.machine, &events, r->loop, &r->machine, e);
	r->ports.machine = r->machine;
	if (ret == 0)
		ret = open_metrics(r, e);
	if (ret == 0)
		ret = write_pidfile(r, e);
	if (ret == 0 && control_create(r->loop, r->machine, r->metrics, &r->control, &control_err) < 0)
		log_debug(NULL, "%s", control_err.msg); /* nobody may ever ask */
	return ret;
}

static int start(struct run *r, struct err *e)
{
	int ret;

	if (r->ports.interactive) {
		fprintf(stderr, "mayfly: Ctrl-%c x quits, Ctrl-%c h lists the keys\n",
			r->config.escape + '@', r->config.escape + '@');
		terminal_enter_raw();
	}
	run_ports_take_window_size(&r->ports);
	ret = run_ports_start(&r->ports, e);
	if (ret == 0)
		ret = machine_start(r->machine, e);
	if (ret == 0)
		notify_manager("READY=1\nSTATUS=running");
	if (ret == 0 && r->config.timeout_ns) {
		r->timeout.fn = on_timeout;
		loop_timer_arm(r->loop, &r->timeout, loop_now_ns() + r->config.timeout_ns);
	}
	return ret;
}

static void tear_down(struct run *r)
{
	control_destroy(r->control);
	if (r->metrics)
		metrics_flush(r->metrics);
	metrics_destroy(r->metrics);
	machine_destroy(r->machine);
	mmds_destroy(r->mmds);
	run_ports_close(&r->ports);
	terminal_restore();
	if (r->signals.fd >= 0)
		close(r->signals.fd);
	loop_destroy(r->loop);
	if (r->pidfile_written)
		unlink(r->config.pidfile);
}

/* The exit code for an error found before the guest started. */
static int exit_code_of(int code)
{
	switch (-code) {
	case ENODEV:
	case ENOMEM:
	case ENOSYS:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return EXIT_HOST;
	default:
		return EXIT_CONFIG;
	}
}

int run_main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	struct err e = { 0 };
	int ret, code;

	if (!r) {
		err_set(&e, ENOMEM, "out of memory");
		return cli_fail(EXIT_HOST, &e);
	}
	r->signals.fd = -1;
	ret = run_config_parse(&r->config, argc, argv, &e);
	if (ret < 0) {
		run_config_free(&r->config);
		free(r);
		return cli_fail(EXIT_USAGE, &e);
	}
	if (r->config.help) {
		run_config_free(&r->config);
		free(r);
		return help_main(1, (char *[]){ (char[]){ "run" }, NULL });
	}
	log_set_level(r->config.log_level);
	ret = run_config_resolve(&r->config, &e);
	if (ret == 0 && r->config.dry_run) {
		run_config_print_json(&r->config);
		run_config_free(&r->config);
		free(r);
		return 0;
	}
	if (ret == 0)
		ret = set_up(r, &e);
	if (ret == 0)
		ret = start(r, &e);
	if (ret == 0) {
		ret = loop_run(r->loop);
		if (ret < 0) {
			err_set(&e, -ret, "event loop: %s", strerror(-ret));
			r->code = EXIT_RUNTIME;
		}
	} else {
		r->code = exit_code_of(ret);
	}
	if (log_enabled(LOG_LEVEL_DEBUG) && r->machine)
		machine_log_stats(r->machine);
	tear_down(r);
	code = ret < 0 ? cli_fail(r->code, &e) : r->code;
	run_config_free(&r->config);
	free(r);
	return code;
}
