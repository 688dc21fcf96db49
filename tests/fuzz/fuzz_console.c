/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console behind its registers, while the host's ends type, lose room, come and go, and change
 * size. Input: a byte that chooses one port or four, then operations, see fuzz_mq.c and act().
 */
#include "devices/virtio/console.h"
#include "tests/fuzz/fuzz_mq.h"
#include "vmm/core/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_PORTS = 4 };

static size_t room[N_PORTS];
static uint8_t last_byte;

static size_t on_write(void *ctx, const uint8_t *p, size_t n)
{
	size_t *left = ctx;

	if (n > *left)
		n = *left;
	if (n)
		last_byte = p[n - 1];
	*left -= n;
	return n;
}

static void on_rx_ready(void *ctx)
{
	(void)ctx;
}

static void act(struct fuzz_device *d, struct fuzz_input *in)
{
	static const uint8_t keys[512] = "some keys";
	uint8_t how = fuzz_byte(in);
	unsigned n_ports = d->n_queues > 2 ? N_PORTS : 1, port = (how >> 4) % n_ports;

	switch (how % 5) {
	case 0:
		virtio_console_rx(d->m.d.v, port, keys, fuzz_word(in) % (sizeof(keys) + 1));
		break;
	case 1:
		room[port] = fuzz_word(in);
		virtio_console_room(d->m.d.v, port);
		break;
	case 2:
		virtio_console_set_open(d->m.d.v, port, how >> 3 & 1);
		break;
	case 3:
		virtio_console_resize(d->m.d.v, port, (uint16_t)fuzz_word(in), fuzz_byte(in));
		break;
	case 4: /* a control message */
		{
			uint8_t msg[8] = {fuzz_byte(in), 0, 0, 0, fuzz_byte(in), 0, fuzz_byte(in)};

			mq_put(&d->m, 3 % d->n_queues, fuzz_byte(in) % FUZZ_MQ_SIZE, MQ_BUF, msg, 8);
			mq_kick(&d->m, 3 % d->n_queues);
		}
		break;
	}
}

/* After whatever happened, a driver that resets it has a device that works. */
static void check(struct fuzz_device *d)
{
	struct vdriver_used u;

	for (unsigned i = 0; i < N_PORTS; i++)
		room[i] = SIZE_MAX;
	virtio_console_room(d->m.d.v, 0);
	mq_start(&d->m, 0, 3, FUZZ_MQ_SIZE);
	last_byte = 0;
	mq_put(&d->m, 1, 0, MQ_BUF, "abc", 3);
	mq_kick(&d->m, 1);
	if (!mq_take(&d->m, 1, &u) || last_byte != 'c')
		abort();
	mq_desc(&d->m, 0, 0, MQ_BUF, 16, VD_WRITE, 0);
	mq_offer(&d->m, 0, 0);
	mq_kick(&d->m, 0);
	if (virtio_console_rx(d->m.d.v, 0, (const uint8_t *)"xy", 2) != 2 ||
	    vdriver_byte(&d->m.d, MQ_BUF + 1) != 'y')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_device device[2];
	struct fuzz_input in = {data, size};
	unsigned multi = fuzz_byte(&in) & 1;
	struct fuzz_device *d = &device[multi];
	struct virtio *v;

	if (!d->m.d.v) {
		struct virtio_console_port ports[N_PORTS];

		log_set_level(LOG_LEVEL_ERROR);
		for (unsigned i = 0; i < N_PORTS; i++)
			ports[i] = (struct virtio_console_port){
				.name = i & 1 ? "name" : NULL,
				.closed = i & 1,
				.write = on_write,
				.rx_ready = on_rx_ready,
				.ctx = &room[i],
			};
		*d = (struct fuzz_device){.n_queues = multi ? 2 * N_PORTS + 2 : 2,
					  .written = 0x155, .usual_len = 64, .act = act};
		mq_init(&d->m);
		if (virtio_console_create(&(struct virtio_console_config){"con", ports,
									  multi ? N_PORTS : 1},
					  &(struct virtio_console_wiring){d->m.d.mem, d->m.d.loop},
					  &v, NULL) < 0)
			abort();
		vdriver_attach(&d->m.d, v);
	}
	for (unsigned i = 0; i < N_PORTS; i++)
		room[i] = 100;
	mq_start(&d->m, 3, 0x3ff, FUZZ_MQ_SIZE);
	fuzz_mq_run(d, &in);
	check(d);
	return 0;
}
