/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_BOARD_H
#define MAYFLY_VMM_BOARD_H
/*
 * The board: every chip of the machine, soldered to two buses and an interrupt controller.
 *
 * Threads: create, start, stop, reset and destroy on the loop thread with all vCPUs parked;
 * board_io's callbacks on vCPU threads; board_power_button and board_serial_rx on the loop thread.
 */
#include "accel/accel.h"

struct board;
struct boot_platform;
struct device;
struct loop;
struct limiter_bucket_config;
struct machine_config;
struct machine_exit_time;

enum board_exit { BOARD_PIO_READ, BOARD_PIO_WRITE, BOARD_MMIO_READ, BOARD_MMIO_WRITE, BOARD_N_EXITS };

struct board_events { /* called on vCPU threads with the chip's lock held: only post */
	void (*reset)(void *event_ctx, const char *by);
	void (*poweroff)(void *event_ctx);
	void (*exit)(void *event_ctx, unsigned code);
	void (*serial_tx)(void *serial_ctx, const uint8_t *p, size_t n);
	void (*serial_rx_ready)(void *serial_ctx);
	void *event_ctx, *serial_ctx;
};

/* Makes an empty board, so that board_io can be handed to the accelerator. */
int board_create(struct gmem *mem, struct loop *loop, const struct board_events *ev,
		 struct board **out, struct err *e);
void board_destroy(struct board *b); /* NULL is allowed */
const struct accel_io *board_io(const struct board *b);

/* Ranges above RAM that devices will offer; before the accelerator has the memory. */
int board_add_memory(struct board *b, const struct machine_config *c, struct err *e);
/* Solders the chips. Without ACCEL_CAP_IRQCHIP in caps this includes i8259, IOAPIC and i8254. */
int board_populate(struct board *b, const struct machine_config *c, const struct accel_ops *accel,
		   struct accel_vm *vm, uint32_t caps, struct err *e);
/* What the boot loader's tables say about this board. */
void board_describe(const struct board *b, struct boot_platform *out);

/* Accesses of the guest to registers so far, by enum board_exit. The loop thread. */
void board_count_exits(struct board *b, struct machine_exit_time *out);
/* Calls fn for each device, in the order of creation. */
void board_each_device(const struct board *b, void (*fn)(void *ctx, const struct device *d),
		       void *ctx);

int board_start(struct board *b, struct err *e);
void board_stop(struct board *b); /* twice is harmless */
void board_reset(struct board *b);
/* False if the guest does not listen to its power button. */
bool board_power_button(struct board *b);
void board_ctrl_alt_del(struct board *b);
/* See machine_set_disk() and those after it. */
int board_set_disk(struct board *b, unsigned i, const char *path, struct err *e);
int board_update_disk(struct board *b, unsigned i, struct err *e);
int board_limit_disk(struct board *b, unsigned i, const struct limiter_bucket_config *bandwidth,
		     const struct limiter_bucket_config *ops, struct err *e);
int board_limit_net(struct board *b, unsigned i, bool rx,
		    const struct limiter_bucket_config *bandwidth,
		    const struct limiter_bucket_config *ops, struct err *e);
size_t board_serial_rx(struct board *b, const uint8_t *p, size_t n);

#endif
