/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_LIVE_H
#define MAYFLY_VMM_LIVE_H
/*
 * What can be changed of a machine's devices while it runs, and asked of them.
 *
 * Threads: the loop thread. Each takes the device's lock. What the machine does not have is -ENODEV
 * with a message; other errors are those of the device's function.
 */
#include "devices/virtio/balloon.h"
#include "devices/virtio/console.h"
#include "devices/virtio/mem.h"
#include "devices/virtio/pmem.h"
#include "devices/virtio/rng.h"

struct machine;

struct machine_disk;
struct machine_net;
struct machine_pmem;

/* --- devices that come and go, on PCI; numbered as in the configuration ------------------------- */

/* It gets the number after the last. Its strings may go afterwards. */
int machine_plug_disk(struct machine *m, const struct machine_disk *disk, struct err *e);
int machine_plug_net(struct machine *m, const struct machine_net *net, struct err *e);
int machine_plug_pmem(struct machine *m, const struct machine_pmem *pmem, struct err *e);
/* Those after it are numbered one less from then on. */
int machine_unplug_disk(struct machine *m, unsigned i, struct err *e);
int machine_unplug_net(struct machine *m, unsigned i, struct err *e);
int machine_unplug_pmem(struct machine *m, unsigned i, struct err *e);

/* --- balloon ------------------------------------------------------------------------------------ */

int machine_balloon_set(struct machine *m, uint32_t target_mib, struct err *e);
int machine_balloon_stats(struct machine *m, struct virtio_balloon_stats *out, struct err *e);
int machine_balloon_set_interval(struct machine *m, uint16_t seconds, struct err *e);
int machine_balloon_hint_start(struct machine *m, bool acknowledge, struct err *e);
int machine_balloon_hint_stop(struct machine *m, struct err *e);
int machine_balloon_hint_status(struct machine *m, struct virtio_balloon_hinting *out,
				struct err *e);
int machine_balloon_counters(struct machine *m, struct virtio_balloon_counters *out,
			     struct err *e);

/* --- hot-plugged memory ------------------------------------------------------------------------- */

/* How much the guest is to have; a multiple of the block, at most the total. */
int machine_hotplug_set(struct machine *m, uint64_t requested_bytes, struct err *e);
int machine_hotplug_state(struct machine *m, struct virtio_mem_state *out, struct err *e);
int machine_hotplug_counters(struct machine *m, struct virtio_mem_counters *out, struct err *e);

/* --- entropy ------------------------------------------------------------------------------------ */

/* A bucket that is NULL stays as it is. */
int machine_rng_limit(struct machine *m, const struct limiter_bucket_config *bandwidth,
		      const struct limiter_bucket_config *ops, struct err *e);
int machine_rng_counters(struct machine *m, struct virtio_rng_counters *out, struct err *e);

/* --- persistent memory, by its index in the configuration --------------------------------------- */

/* A bucket that is NULL stays as it is. */
int machine_pmem_limit(struct machine *m, unsigned index,
		       const struct limiter_bucket_config *bandwidth,
		       const struct limiter_bucket_config *ops, struct err *e);
int machine_pmem_counters(struct machine *m, unsigned index, struct virtio_pmem_counters *out,
			  struct err *e);

/* --- serial port -------------------------------------------------------------------------------- */

void machine_serial_limit(struct machine *m, const struct limiter_bucket_config *bytes);

/* --- consoles, by their index in the configuration ---------------------------------------------- */

/* Bytes for the guest; returns how many it took. The console's rx_ready tells when to go on. */
size_t machine_console_rx(struct machine *m, unsigned index, const uint8_t *p, size_t n);
void machine_console_room(struct machine *m, unsigned index); /* its write() would take more */
void machine_console_set_open(struct machine *m, unsigned index, bool open);
void machine_console_resize(struct machine *m, unsigned index, uint16_t cols, uint16_t rows);
/* Of all consoles together. */
void machine_console_counters(struct machine *m, struct virtio_console_counters *out);

#endif
