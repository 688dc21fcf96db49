/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_IO_THREAD_H
#define MAYFLY_VMM_IO_THREAD_H
/*
 * An event loop on a thread of its own, for a device whose work blocks in the host's kernel. The
 * device is written as any other; its lock keeps it to one caller at a time.
 *
 * Threads: all from the thread that makes the machine, which is its owner and joins it.
 */
struct err;
struct io_thread;
struct loop;

/* The loop can be wired to devices from now on; it runs from io_thread_start() on. */
int io_thread_create(const char *name, struct io_thread **out, struct err *e);
struct loop *io_thread_loop(const struct io_thread *t);
/* Once; later calls do nothing. */
int io_thread_start(struct io_thread *t, struct err *e);
/* Ends the thread; the loop goes on to exist, so that devices can leave it. Twice is harmless. */
void io_thread_stop(struct io_thread *t);
void io_thread_destroy(struct io_thread *t); /* stopped, and left by its devices */

#endif
