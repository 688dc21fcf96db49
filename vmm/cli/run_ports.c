/* SPDX-License-Identifier: Apache-2.0 */
/* See run_ports.h. */
#include "vmm/cli/run_ports.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/live.h"

/* --- the serial port ------------------------------------------------------------------------- */

void run_ports_serial_tx(struct run_ports *p, const uint8_t *bytes, size_t n)
{
	console_tx(console_host_console(p->serial), bytes, n);
}

void run_ports_serial_rx_ready(struct run_ports *p)
{
	console_rx_ready(console_host_console(p->serial));
}

static size_t on_serial_rx(void *ctx, const uint8_t *bytes, size_t n)
{
	struct run_ports *p = ctx;

	return machine_serial_rx(p->machine, bytes, n);
}

/* --- ports of the console device: machine to host -------------------------------------------- */

static size_t on_port_write(void *ctx, const uint8_t *p, size_t n)
{
	struct run_port *port = ctx;

	return console_offer(console_host_console(port->host), p, n);
}

static void on_port_rx_ready(void *ctx)
{
	struct run_port *port = ctx;

	console_rx_ready(console_host_console(port->host));
}

/* --- host to machine ------------------------------------------------------------------------- */

static unsigned index_of(const struct run_port *port)
{
	return (unsigned)(port - port->all->port);
}

static size_t on_port_rx(void *ctx, const uint8_t *p, size_t n)
{
	struct run_port *port = ctx;

	return machine_console_rx(port->all->machine, index_of(port), p, n);
}

static void on_port_room(void *ctx)
{
	struct run_port *port = ctx;

	machine_console_room(port->all->machine, index_of(port));
}

static void on_port_opened(void *ctx, bool open)
{
	struct run_port *port = ctx;

	machine_console_set_open(port->all->machine, index_of(port), open);
}

void run_ports_take_window_size(struct run_ports *p)
{
	struct winsize w;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
		return;
	for (unsigned i = 0; i < p->config->machine.n_consoles; i++)
		if (p->config->consoles[i].kind == CONSOLE_STDIO)
			machine_console_resize(p->machine, i, w.ws_col, w.ws_row);
}

/* --- life ------------------------------------------------------------------------------------ */

static int open_host(struct run_ports *p, struct loop *l, const char *what,
		     const struct run_console *c, const struct console_hooks *hooks,
		     struct console_host **out, struct err *e)
{
	const struct console_host_config hc = {
		.what = what,
		.kind = c->kind,
		.path = c->path,
		.escape = p->config->escape,
		.framed = c->framed,
	};
	int r = console_host_create(l, &hc, hooks, hooks->room ? on_port_opened : NULL, out, e);

	if (r < 0)
		return r;
	p->interactive |= console_host_has_keys(*out);
	if (console_host_pty(*out))
		fprintf(stderr, "mayfly: %s is at %s\n", what, console_host_pty(*out));
	return 0;
}

int run_ports_open(struct run_ports *p, struct run_config *c, struct loop *l,
		   const struct console_hooks *keys, struct err *e)
{
	struct console_hooks hooks = *keys;
	int r;

	p->config = c;
	hooks.rx = on_serial_rx;
	hooks.ctx = p;
	r = open_host(p, l, "serial", &c->serial, &hooks, &p->serial, e);
	hooks.rx = on_port_rx;
	hooks.room = on_port_room;
	for (unsigned i = 0; r == 0 && i < c->machine.n_consoles; i++) {
		struct machine_console *mc = &c->machine.consoles[i];
		struct run_port *port = &p->port[i];

		port->all = p;
		mc->write = on_port_write;
		mc->rx_ready = on_port_rx_ready;
		mc->ctx = hooks.ctx = port;
		r = open_host(p, l, mc->name ? mc->name : "console", &c->consoles[i], &hooks,
			      &port->host, e);
	}
	return r;
}

int run_ports_start(struct run_ports *p, struct err *e)
{
	int r = console_host_start(p->serial, e);

	for (unsigned i = 0; r == 0 && i < p->config->machine.n_consoles; i++)
		r = console_host_start(p->port[i].host, e);
	return r;
}

void run_ports_close(struct run_ports *p)
{
	console_host_destroy(p->serial);
	for (unsigned i = 0; i < MACHINE_MAX_CONSOLES; i++)
		console_host_destroy(p->port[i].host);
}
