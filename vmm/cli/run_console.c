/* SPDX-License-Identifier: Apache-2.0 */
/* The options --serial and --console. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_config.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_limits.h"
#include "vmm/core/err.h"

enum { TYPE_STDIO, TYPE_PTY, TYPE_OFF };

enum { SERIAL_TYPE, SERIAL_FILE, SERIAL_SOCKET, SERIAL_LIMITS };
const struct opt_key run_serial_keys[] = {
	[SERIAL_TYPE] = { "type", OPT_CHOICE, "stdio|pty|off" },
	[SERIAL_FILE] = { "file", OPT_STR, "PATH" },
	[SERIAL_SOCKET] = { "socket", OPT_STR, "PATH" },
	[SERIAL_LIMITS] = { "bw", OPT_SIZE, "BYTES/S" },
	{ "bw_burst", OPT_SIZE, "BYTES" },
	{ 0 },
};

enum { CONSOLE_TYPE, CONSOLE_FILE_KEY, CONSOLE_SOCKET_KEY, CONSOLE_NAME };
const struct opt_key run_console_keys[] = {
	[CONSOLE_TYPE] = { "type", OPT_CHOICE, "stdio|pty" },
	[CONSOLE_FILE_KEY] = { "file", OPT_STR, "PATH" },
	[CONSOLE_SOCKET_KEY] = { "socket", OPT_STR, "PATH" },
	[CONSOLE_NAME] = { "name", OPT_STR, "NAME" },
	{ 0 },
};

static const char *const kind_names[] = {
	[CONSOLE_STDIO] = "stdio",   [CONSOLE_OFF] = "off", [CONSOLE_FILE] = "file",
	[CONSOLE_SOCKET] = "socket", [CONSOLE_PTY] = "pty",
};

/* type, file, socket are the first three keys of both options. */
static int set_end(const char *option, struct run_console *c, const struct opt_value *v, struct err *e)
{
	static const enum console_kind kinds[] = {
		[TYPE_STDIO] = CONSOLE_STDIO, [TYPE_PTY] = CONSOLE_PTY, [TYPE_OFF] = CONSOLE_OFF,
	};
	unsigned n = v[0].given + v[1].given + v[2].given;

	if (n > 1) {
		err_set(e, EINVAL, "%s: more than one end is given", option);
		err_hint(e, "write one of stdio, pty, file=PATH, socket=PATH");
		return -EINVAL;
	}
	c->kind = v[1].given ? CONSOLE_FILE : v[2].given ? CONSOLE_SOCKET : kinds[v[0].num];
	c->path = v[1].given ? v[1].text : v[2].given ? v[2].text : NULL;
	return 0;
}

int run_set_serial(struct run_config *c, const struct opt_value *v, struct err *e)
{
	struct opt_value limits[RUN_LIMITS_KEYS] = { v[SERIAL_LIMITS], v[SERIAL_LIMITS + 1] };
	struct limiter_config l = { 0 };
	int r = set_end("--serial", &c->serial, v, e);

	c->serial_given = v[SERIAL_TYPE].given || c->serial.path;
	if (r == 0)
		r = run_take_limits("--serial", "", limits, &l, e);
	c->machine.serial_limit = l.bandwidth;
	return r;
}

int run_add_console(struct run_config *c, const struct opt_value *v, struct err *e)
{
	struct machine_config *m = &c->machine;
	struct run_console *con = &c->consoles[m->n_consoles];
	int r;

	if (m->n_consoles == MACHINE_MAX_CONSOLES)
		return err_set(e, EINVAL, "--console: at most %d consoles", MACHINE_MAX_CONSOLES);
	*con = (struct run_console){ 0 };
	r = set_end("--console", con, v, e);
	if (r < 0)
		return r;
	m->consoles[m->n_consoles++] = (struct machine_console){
		.name = v[CONSOLE_NAME].given ? v[CONSOLE_NAME].text : NULL,
		.closed = con->kind == CONSOLE_SOCKET,
	};
	return 0;
}

/* One of all has the standard streams: a console that wants them, and the serial port else. */
int run_share_stdio(struct run_config *c, struct err *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->machine.n_consoles; i++)
		n += c->consoles[i].kind == CONSOLE_STDIO;
	if (n && !c->serial_given)
		c->serial.kind = CONSOLE_OFF;
	if (n + (c->serial.kind == CONSOLE_STDIO) <= 1)
		return 0;
	err_set(e, EINVAL, "standard input and output are given to more than one console");
	err_hint(e, c->serial.kind == CONSOLE_STDIO ?
			    "leave out --serial stdio, or write --console pty" :
			    "one of them may be stdio; others pty, socket=PATH, file=PATH");
	return -EINVAL;
}

static bool has_hvc0(const struct run_config *c)
{
	for (unsigned i = 0; i < c->machine.n_consoles; i++)
		if (!c->machine.consoles[i].name)
			return true;
	return false;
}

const char *run_console_word(const struct run_config *c)
{
	return c->serial.kind == CONSOLE_OFF && has_hvc0(c) ? "console=hvc0" : "console=ttyS0";
}

static void print_end(const struct run_console *c)
{
	cli_print_json_member("kind", kind_names[c->kind]);
	if (c->path) {
		printf(", ");
		cli_print_json_member("path", c->path);
	}
}

void run_print_consoles(const struct run_config *c)
{
	const struct limiter_config l = { .bandwidth = c->machine.serial_limit };

	printf("  \"serial\": { ");
	print_end(&c->serial);
	run_print_limits("rate_limiter", &l);
	printf(" },\n");
	if (!c->machine.n_consoles)
		return;
	printf("  \"consoles\": [");
	for (unsigned i = 0; i < c->machine.n_consoles; i++) {
		printf("%s\n    { ", i ? "," : "");
		print_end(&c->consoles[i]);
		if (c->machine.consoles[i].name) {
			printf(", ");
			cli_print_json_member("name", c->machine.consoles[i].name);
		}
		printf(" }");
	}
	printf("\n  ],\n");
}
