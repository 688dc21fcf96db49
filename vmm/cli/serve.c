/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine that the API drives, on the main thread's loop. The process ends with its machine, or
 * at TERM, INT or HUP: at once, since who drives it by the API has better ways to ask a guest to
 * shut down.
 *
 * As Firecracker it leaves TERM and INT to the system, and has an exit code for each fatal signal.
 */
#include "vmm/cli/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "api/server.h"
#include "api/vm.h"
#include "config.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/control.h"
#include "vmm/cli/notify.h"
#include "vmm/console.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/terminal.h"

enum { LISTEN_FDS_START = 3 };

struct serve {
	const struct serve_config *config;
	struct loop *loop;
	struct vm *vm;
	struct api_server *server;
	struct machine *machine; /* once it is there; the vm's */
	struct control *control;
	struct console *console;
	int serial_fd;
	bool interactive;
	struct loop_source signals;
	int code;
};

bool serve_id_is_valid(const char *id)
{
	size_t len = strlen(id);

	return len >= 1 && len <= VM_MAX_ID &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

static void finish(struct serve *s, int code)
{
	s->code = code;
	loop_stop(s->loop);
}

/* --- the machine's events --------------------------------------------------------------------- */

static void on_ended(void *ctx, enum machine_end why, unsigned code, const struct err *e)
{
	static const int codes[] = {
		[MACHINE_END_POWEROFF] = EXIT_GUEST_OFF,
		[MACHINE_END_RESET] = EXIT_GUEST_OFF, /* how a microVM is switched off */
		[MACHINE_END_CRASH] = EXIT_GUEST_CRASH,
		[MACHINE_END_FAILED] = EXIT_RUNTIME,
	};
	struct serve *s = ctx;
	int end = why == MACHINE_END_EXIT ? (int)(code & 0xff) : codes[why];

	if (why == MACHINE_END_CRASH)
		log_error(NULL, "machine: the guest crashed (triple fault)");
	if (why == MACHINE_END_FAILED)
		log_error(NULL, "machine: %s", e->msg);
	if (s->config->firecracker)
		end = why == MACHINE_END_FAILED ? FC_EXIT_ERROR : FC_EXIT_OK;
	finish(s, end);
}

static void on_serial_tx(void *ctx, const uint8_t *p, size_t n)
{
	struct serve *s = ctx;

	console_tx(s->console, p, n);
}

static void on_serial_rx_ready(void *ctx)
{
	struct serve *s = ctx;

	console_rx_ready(s->console);
}

static size_t on_console_rx(void *ctx, const uint8_t *p, size_t n)
{
	struct serve *s = ctx;

	return s->machine ? machine_serial_rx(s->machine, p, n) : 0;
}

static void on_quit(void *ctx)
{
	finish(ctx, EXIT_SIGNALLED + SIGINT);
}

static void on_key(void *ctx)
{
	(void)ctx; /* pausing is the API's */
}

static void on_line(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
	fprintf(stderr, "commands are the API's, see `mayfly help ctl`\n");
}

/* --- what the API asks of us ------------------------------------------------------------------ */

static void close_serial(struct serve *s)
{
	console_destroy(s->console);
	s->console = NULL;
	if (s->serial_fd >= 0)
		close(s->serial_fd);
	s->serial_fd = -1;
}

static int open_serial(void *ctx, int fd, struct err *e)
{
	struct serve *s = ctx;
	struct console_config cc = { .in_fd = -1, .out_fd = fd, .escape = 1 };
	const struct console_hooks hooks = {
		.rx = on_console_rx, .ctx = s,
		.quit = on_quit, .pause = on_key, .command = on_line, .key_ctx = s,
	};

	s->serial_fd = fd;
	if (fd < 0) {
		cc.out_fd = STDOUT_FILENO;
		if (!isatty(STDIN_FILENO) || terminal_usable())
			cc.in_fd = STDIN_FILENO;
		cc.keys = s->interactive = cc.in_fd >= 0 && isatty(STDIN_FILENO);
	}
	if (s->interactive)
		terminal_guard_fatal_signals(); /* before the machine, which has handlers of its own */
	return console_create(s->loop, &cc, &hooks, &s->console, e);
}

static int use_machine(void *ctx, struct machine *m, struct err *e)
{
	struct serve *s = ctx;
	struct err ignored;

	s->machine = m;
	if (!m) {
		close_serial(s);
		return 0;
	}
	if (!s->config->firecracker &&
	    control_create(s->loop, m, s->vm->metrics, &s->control, &ignored) < 0)
		log_debug(NULL, "%s", ignored.msg);
	if (s->interactive)
		terminal_enter_raw();
	return console_start(s->console, e);
}

static void set_log(void *ctx, const struct logger_body *b)
{
	struct serve *s = ctx;
	struct log_style style = { 0 };

	if (s->config->firecracker)
		style.instance_id = s->config->id;
	style.show_level = b->show_level.v;
	style.show_origin = b->show_log_origin.v;
	snprintf(style.only, sizeof(style.only), "%s", b->module ? b->module : "");
	log_set_style(&style);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(struct loop_source *src, uint32_t ready)
{
	struct serve *s = container_of(src, struct serve, signals);
	struct signalfd_siginfo si;

	(void)ready;
	while (read(src->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		finish(s, EXIT_SIGNALLED + (int)si.ssi_signo);
}

static int take_signals(struct serve *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	s->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals.fd < 0)
		return err_set(e, errno, "signalfd: %s", strerror(errno));
	s->signals.events = LOOP_IN;
	s->signals.fn = on_signal;
	return loop_add(s->loop, &s->signals, e);
}

static const struct {
	int signal, code;
	const char *line;
} fatal[] = {
	{ SIGSYS, FC_EXIT_SIGSYS, "Shutting down VM after intercepting a bad syscall.\n" },
	{ SIGBUS, FC_EXIT_SIGBUS, "Shutting down VM after intercepting signal 7.\n" },
	{ SIGSEGV, FC_EXIT_SIGSEGV, "Shutting down VM after intercepting signal 11.\n" },
	{ SIGXFSZ, FC_EXIT_SIGXFSZ, "Shutting down VM after intercepting signal 25.\n" },
	{ SIGXCPU, FC_EXIT_SIGXCPU, "Shutting down VM after intercepting signal 24.\n" },
	{ SIGHUP, FC_EXIT_SIGHUP, "Shutting down VM after intercepting signal 1.\n" },
	{ SIGILL, FC_EXIT_SIGILL, "Shutting down VM after intercepting signal 4.\n" },
};

/* Async-signal-safe: one line, and the code that tells which one it was. */
static void on_fatal(int sig)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(fatal); i++) {
		if (fatal[i].signal == sig) {
			terminal_restore();
			if (write(STDERR_FILENO, fatal[i].line, strlen(fatal[i].line)) < 0)
				_exit(fatal[i].code);
			_exit(fatal[i].code);
		}
	}
}

static void take_fatal_signals(void)
{
	struct sigaction sa = { .sa_handler = on_fatal };
	size_t i;

	for (i = 0; i < ARRAY_LEN(fatal); i++)
		sigaction(fatal[i].signal, &sa, NULL);
}

/* --- set up ----------------------------------------------------------------------------------- */

/* A socket that systemd listens on for us, or -1. */
static int inherited_socket(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	if (!pid || !n || atol(pid) != (long)getpid() || atol(n) < 1)
		return -1;
	fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC);
	fcntl(LISTEN_FDS_START, F_SETFL, fcntl(LISTEN_FDS_START, F_GETFL) | O_NONBLOCK);
	return LISTEN_FDS_START;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int create_vm(struct serve *s, struct err *e)
{
	const struct serve_config *c = s->config;
	const struct vm_host host = {
		.id = c->id,
		.version = c->firecracker ? FC_VERSION : MAYFLY_VERSION,
		.app_name = c->firecracker ? "Firecracker" : "mayfly",
		.accel = c->accel,
		.bus = c->bus,
		.boot_timer = c->boot_timer,
		.start_us = c->start_us ? c->start_us : clock_us(CLOCK_MONOTONIC),
		.start_cpu_us = c->start_cpu_us,
		.mmds_limit = c->mmds_limit,
		.events = {
			.ended = on_ended,
			.serial_tx = on_serial_tx,
			.serial_rx_ready = on_serial_rx_ready,
			.ctx = s,
		},
		.open_serial = open_serial,
		.use_machine = use_machine,
		.set_log = set_log,
		.ctx = s,
	};

	return vm_create(s->loop, &host, &s->vm, e);
}

/* Members of a JSON object; a value of NULL is left out. */
static void add_member(struct text *t, const char *name, const char *value)
{
	if (!value)
		return;
	text_add(t, t->len > 1 ? "," : "");
	text_add_json(t, name, strlen(name));
	text_add(t, ":");
	text_add_json(t, value, strlen(value));
}

/* The options that stand for requests. */
static bool apply_options(struct serve *s, struct text *error)
{
	const struct serve_config *c = s->config;
	struct text body = { 0 };
	bool good = true;

	if (c->log_path || c->log_level || c->log_module || c->show_level || c->show_origin) {
		text_add(&body, "{");
		add_member(&body, "log_path", c->log_path);
		add_member(&body, "level", c->log_level);
		add_member(&body, "module", c->log_module);
		text_printf(&body, "%s\"show_level\":%s,\"show_log_origin\":%s}", body.len > 1 ? "," : "",
			    c->show_level ? "true" : "false", c->show_origin ? "true" : "false");
		good = vm_request(s->vm, "/logger", text_str(&body), body.len, error);
	}
	if (good && c->metrics_path) {
		text_clear(&body);
		text_add(&body, "{");
		add_member(&body, "metrics_path", c->metrics_path);
		text_add(&body, "}");
		good = vm_request(s->vm, "/metrics", text_str(&body), body.len, error);
	}
	if (good && c->metadata_file)
		good = vm_request_file(s->vm, "/mmds", c->metadata_file, error);
	text_free(&body);
	return good;
}

static bool boot_from_file(struct serve *s, struct text *error)
{
	struct err e = { 0 };

	if (!s->config->config_file)
		return true;
	if (!vm_load_config_file(s->vm, s->config->config_file, error))
		return false;
	if (vm_start(s->vm, &e) == 0)
		return true;
	text_printf(error, "Start microvm error: %s%s%s%s", e.msg, e.hint[0] ? " (" : "", e.hint,
		    e.hint[0] ? ")" : "");
	return false;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int fail(const struct serve *s, int code, const char *what)
{
	struct err e = { 0 };

	if (!s->config->firecracker) {
		err_set(&e, EINVAL, "%s", what);
		return cli_fail(code, &e);
	}
	log_error(NULL, "%s", what);
	log_error(NULL, "Firecracker exiting with error. exit_code=%d", code);
	fprintf(stderr, "Error: %s\n", what);
	return code;
}

static int fail_err(const struct serve *s, int code, const struct err *e)
{
	char text[sizeof(e->msg) + sizeof(e->hint) + 4];

	snprintf(text, sizeof(text), "%s%s%s%s", e->msg, e->hint[0] ? " (" : "", e->hint,
		 e->hint[0] ? ")" : "");
	return fail(s, code, text);
}

static int listen_for_requests(struct serve *s)
{
	const struct serve_config *c = s->config;
	struct api_server_config sc = { .path = c->socket, .fd = -1, .body_limit = c->body_limit };
	struct err e = { 0 };
	char text[300];

	if (c->no_api)
		return 0;
	if (!c->firecracker)
		sc.fd = inherited_socket();
	if (api_server_create(s->loop, s->vm, &sc, &s->server, &e) == 0) {
		if (!c->firecracker)
			notify_manager("READY=1");
		return 0;
	}
	if (!c->firecracker)
		return fail_err(s, EXIT_CONFIG, &e);
	snprintf(text, sizeof(text), "RunWithApiError error: Failed to open the API socket at: %s. "
		 "Check that it is not already used.", c->socket);
	return fail(s, FC_EXIT_ERROR, text);
}

static int run(struct serve *s)
{
	const struct serve_config *c = s->config;
	struct text error = { 0 };
	struct err e = { 0 };
	int r = loop_create(&s->loop, &e);

	if (r == 0 && !c->firecracker)
		r = take_signals(s, &e);
	if (r == 0)
		r = create_vm(s, &e);
	if (r < 0)
		return fail_err(s, c->firecracker ? FC_EXIT_ERROR : EXIT_HOST, &e);
	if (c->firecracker)
		log_info(NULL, "Running Firecracker v%s", FC_VERSION);
	if (!apply_options(s, &error) || !boot_from_file(s, &error)) {
		r = fail(s, c->firecracker ? FC_EXIT_CONFIG : EXIT_CONFIG, text_str(&error));
		text_free(&error);
		return r;
	}
	r = listen_for_requests(s);
	if (r)
		return r;
	r = loop_run(s->loop);
	if (r < 0) {
		err_set(&e, -r, "event loop: %s", strerror(-r));
		return fail_err(s, EXIT_RUNTIME, &e);
	}
	if (c->firecracker && s->code == 0)
		log_info(NULL, "Firecracker exiting successfully. exit_code=0");
	return s->code;
}

int serve_run(const struct serve_config *c)
{
	struct serve *s = calloc(1, sizeof(*s));
	int code;

	if (!s)
		return EXIT_HOST;
	s->config = c;
	s->signals.fd = s->serial_fd = -1;
	signal(SIGPIPE, SIG_IGN);
	if (c->firecracker)
		take_fatal_signals();
	else
		signal(SIGXFSZ, SIG_IGN);
	code = run(s);
	if (s->vm)
		events_add(s->vm->events, "exit", (struct event_field[]){ { "code", NULL, (uint64_t)code }, { NULL } });
	api_server_destroy(s->server);
	control_destroy(s->control);
	vm_destroy(s->vm);
	close_serial(s);
	terminal_restore();
	if (s->signals.fd >= 0)
		close(s->signals.fd);
	loop_destroy(s->loop);
	free(s);
	return code;
}
