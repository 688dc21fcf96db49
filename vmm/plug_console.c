/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's consoles. The first one has a device of its own, which every driver knows how to
 * resize; others, and named byte channels, are ports of a second device.
 */
#include "devices/virtio/console.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/machine.h"

static int plug(struct board *b, const char *id, const struct machine_config *mc,
		const unsigned *which, unsigned n, struct err *e)
{
	struct virtio_console_port ports[MACHINE_MAX_CONSOLES];
	const struct virtio_console_config c = { .id = id, .ports = ports, .n_ports = n };
	const struct virtio_console_wiring w = { .mem = b->mem, .loop = b->loop };
	struct virtio *v;
	int r;

	for (unsigned i = 0; i < n; i++) {
		const struct machine_console *mcon = &mc->consoles[which[i]];

		ports[i] = (struct virtio_console_port){
			.name = mcon->name,
			.closed = mcon->closed,
			.write = mcon->write,
			.rx_ready = mcon->rx_ready,
			.ctx = mcon->ctx,
		};
	}
	r = virtio_console_create(&c, &w, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	for (unsigned i = 0; r == 0 && i < n; i++)
		b->consoles[which[i]] = (struct board_console){ v, i };
	return r;
}

int board_plug_consoles(struct board *b, const struct machine_config *mc, struct err *e)
{
	unsigned first[1], rest[MACHINE_MAX_CONSOLES], n_first = 0, n_rest = 0;
	int r = 0;

	for (unsigned i = 0; i < mc->n_consoles; i++) {
		if (!mc->consoles[i].name && !n_first)
			first[n_first++] = i;
		else
			rest[n_rest++] = i;
	}
	if (n_first)
		r = plug(b, "console", mc, first, n_first, e);
	if (r == 0 && n_rest)
		r = plug(b, "ports", mc, rest, n_rest, e);
	b->n_consoles = r == 0 ? mc->n_consoles : 0;
	return r;
}
