/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_CONSOLE_H
#define MAYFLY_DEVICES_VIRTIO_CONSOLE_H
/* The console device: consoles (hvc0) and named byte channels. See console.c. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct virtio;

/* feature bit numbers, virtio 1.3 §5.3.3 */
enum {
	VIRTIO_CONSOLE_F_SIZE = 0,
	VIRTIO_CONSOLE_F_MULTIPORT = 1,
	VIRTIO_CONSOLE_F_EMERG_WRITE = 2,
};

enum { VIRTIO_CONSOLE_MAX_PORTS = 8, VIRTIO_CONSOLE_MAX_NAME = 64 };

/* A port with the host's end of it. The callbacks are made with the device's lock held, on any
 * thread, and must not wait. */
struct virtio_console_port {
	const char *name; /* of a byte channel, /dev/virtio-ports/NAME; NULL: a console */
	bool closed;      /* nobody is at the other end yet */
	/* Takes what there is room for and returns how much that is. If not all, a call of
	 * virtio_console_room() follows when there is. */
	size_t (*write)(void *ctx, const uint8_t *p, size_t n);
	/* virtio_console_rx() took less than it was given before, and would take more now. */
	void (*rx_ready)(void *ctx);
	void *ctx;
};

struct virtio_console_config {
	const char *id;
	const struct virtio_console_port *ports; /* copied; names too */
	unsigned n_ports; /* one console alone: a device without VIRTIO_CONSOLE_F_MULTIPORT */
};

struct virtio_console_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. -EINVAL for ports that are too many or badly named. */
int virtio_console_create(const struct virtio_console_config *cfg,
			  const struct virtio_console_wiring *w, struct virtio **out,
			  struct err *e);

/* --- the host's side; with the device's lock held --------------------------------------------- */

/* Bytes for the guest; returns how many it took. */
size_t virtio_console_rx(struct virtio *v, unsigned port, const uint8_t *p, size_t n);
void virtio_console_room(struct virtio *v, unsigned port);
/* Somebody is at the other end of the port, or not. */
void virtio_console_set_open(struct virtio *v, unsigned port, bool open);
void virtio_console_resize(struct virtio *v, unsigned port, uint16_t cols, uint16_t rows);

struct virtio_console_counters {
	uint64_t tx_bytes, rx_bytes;
	uint64_t tx_dropped; /* output of consoles that nobody took */
	uint64_t ctrl_fails; /* messages that made no sense, buffers too short for one */
};
void virtio_console_counters(struct virtio *v, struct virtio_console_counters *out);

#endif
