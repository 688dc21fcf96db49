/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MACHINE_H
#define MAYFLY_VMM_MACHINE_H
/*
 * The machine: configuration, life cycle, and what ends it.
 *
 *	create -> start -> (pause, resume, reset, power button)* -> ended -> destroy
 *
 * Threads: everything here on the loop thread (or, before loop_run, the thread that will be it),
 * except machine_serial_rx's rx_ready and tx callbacks, see below. Chips and vCPUs that want a
 * reset, a poweroff or an exit only post that; the loop thread acts, so there is one writer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/limiter.h"

struct cpu_template;
struct device;
struct err;
struct events;
struct loop;
struct machine;
struct mmds;

enum { MACHINE_MAX_VCPUS = 64, MACHINE_MAX_DISKS = 12, MACHINE_MAX_FS = 4, MACHINE_MAX_NETS = 4,
       MACHINE_MAX_CONSOLES = 8, MACHINE_MAX_PMEM = 8 };

struct machine_disk {
	const char *path;
	const char *socket; /* in place of path: of a program that serves the disk (vhost-user) */
	const char *id; /* or NULL: "disk0", "disk1", ... */
	const char *serial; /* or NULL: as id */
	bool read_only;
	bool lenient; /* an empty image, or one that ends in a part of a sector, is fine */
	const char *overlay; /* a file that takes the writes; "" for a nameless one; or NULL */
	unsigned cache;      /* enum blk_cache: writeback, none, unsafe */
	unsigned engine;     /* enum blk_engine: auto, io_uring, sync */
	unsigned n_queues;   /* 0: one */
	struct limiter_config limits;
};

struct machine_pmem { /* a file as persistent memory */
	const char *path;
	const char *id; /* or NULL: "pmem0", "pmem1", ... */
	bool read_only;
	bool root; /* for whoever writes the kernel's command line: root=/dev/pmemN */
	struct limiter_config limits;
};

struct machine_hotplug { /* memory that the guest gets and gives back while it runs */
	uint64_t total_bytes; /* at most; a multiple of slot_bytes; 0: there is no such device */
	uint64_t block_bytes; /* a power of two, 2 MiB at least; 0: 2 MiB */
	uint64_t slot_bytes;  /* a multiple of block_bytes, 128 MiB at least; 0: 128 MiB or a block */
	uint64_t requested_bytes; /* at first */
};

enum machine_net_kind { MACHINE_NET_USER, MACHINE_NET_PASST, MACHINE_NET_TAP, MACHINE_NET_FD,
			MACHINE_NET_UNIX };

struct machine_net {
	enum machine_net_kind kind;
	const char *name;      /* of the tap, or the socket's path */
	int fd;                /* of MACHINE_NET_FD, which the machine takes */
	bool keep_fd;          /* but not this one: it uses a copy */
	const char *id;        /* or NULL: "net0", "net1", ... */
	uint8_t mac[6];        /* all zero: one is made up */
	unsigned mtu;          /* 0: the default of the kind */
	unsigned n_queues;     /* pairs, of a tap; 0: one */
	const char *const *forwards; /* of MACHINE_NET_USER, see vmm/net/port.h */
	unsigned n_forwards;
	struct limiter_config rx, tx;
	bool mmds;             /* leads to the metadata service */
};

struct machine_fs { /* a shared directory */
	const char *dir;
	const char *tag; /* or NULL: "fs0", "fs1", ... */
	bool read_only;
	unsigned cache; /* enum fuse_cache: auto, never, always */
};

enum { MACHINE_VSOCK_PATH_MAX = 107 - 11 }; /* a Unix socket's, less _4294967295: any port's fits */

struct machine_vsock { /* connections between programs of the guest and of the host */
	uint32_t guest_cid;
	const char *uds_path; /* NULL: there is no such device */
};

struct machine_balloon {
	bool present;
	uint32_t target_mib;
	bool deflate_on_oom;
	uint16_t stats_interval_s; /* 0: no statistics */
	bool reporting, hinting;
};

/* A console, or a byte channel if it has a name, with the host's end of it. The callbacks are made
 * on any thread, with a device's lock held, and must not wait; see devices/virtio/console.h. */
struct machine_console {
	const char *name;
	bool closed; /* nobody is at the host's end yet */
	size_t (*write)(void *ctx, const uint8_t *p, size_t n);
	void (*rx_ready)(void *ctx);
	void *ctx;
};

enum machine_bus { MACHINE_BUS_MMIO, MACHINE_BUS_PCI };

enum machine_pages { /* of the host, that back the guest's memory; enum gmem_pages */
	MACHINE_PAGES_ANY,         /* huge ones where the host has them */
	MACHINE_PAGES_TRANSPARENT, /* the same, from a kernel that knows them */
	MACHINE_PAGES_2M,          /* of 2 MiB, which the host has set apart (hugetlbfs) */
};

/* AUTO: the host where the guest would do it in translated code. */
enum machine_unpack { UNPACK_AUTO, UNPACK_HOST, UNPACK_GUEST };

struct machine_boot_timer { /* logs when the guest says that it has booted */
	bool present;
	uint64_t start_us, start_cpu_us; /* by CLOCK_MONOTONIC and the process's CPU clock */
};

struct machine_config { /* plain data; strings are borrowed for the machine's life */
	unsigned n_vcpus;
	unsigned threads_per_core; /* 1 or 2; 0: 1 */
	uint64_t mem_bytes;
	enum machine_pages pages;
	bool track_dirty; /* log which pages the guest writes: see accel_config */
	const char *accel; /* "kvm", "tcg" or "auto" */
	const char *kernel_path;
	bool fdt;                /* a device tree in place of an MP table */
	enum machine_unpack unpack; /* who unpacks a bzImage; on the host: see boot_config.direct */
	const char *initrd_path; /* or NULL */
	const char *cmdline;
	struct machine_disk disks[MACHINE_MAX_DISKS];
	unsigned n_disks;
	enum machine_bus bus; /* where virtio devices are */
	struct machine_net nets[MACHINE_MAX_NETS];
	unsigned n_nets;
	struct mmds *mmds; /* vmm/mmds/mmds.h; borrowed; NULL: none */
	struct events *watched; /* vmm/core/events.h: told what happens; borrowed; NULL: nobody is */
	bool rng;
	struct limiter_config rng_limits;
	struct limiter_bucket_config serial_limit; /* bytes; what is over it is dropped */
	bool serial_handshake; /* see struct ns16550_config */
	struct machine_balloon balloon;
	struct machine_hotplug hotplug;
	struct machine_console consoles[MACHINE_MAX_CONSOLES]; /* the first without a name is hvc0 */
	unsigned n_consoles;
	struct machine_pmem pmem[MACHINE_MAX_PMEM];
	unsigned n_pmem;
	struct machine_fs fs[MACHINE_MAX_FS];
	unsigned n_fs;
	struct machine_vsock vsock;
	bool no_reboot; /* a guest's reboot ends the machine */
	const char *vcpu_threads; /* their names without the number; NULL: "vcpu" */
	struct machine_boot_timer boot_timer;
	uint64_t code_cache_bytes; /* translator only; 0: default */
	const char *cpu;           /* processor model: "host", or the translator's; NULL: host */
	const struct cpu_template *cpu_template; /* changes to it; NULL: none */
	const char *debug;         /* translator only; or NULL */
};

/* Sizes with their defaults in place of 0. */
struct machine_hotplug machine_hotplug_resolve(const struct machine_hotplug *h);
/* -EINVAL with a message for the operator; -ENOMEM if this host has less memory than asked. */
int machine_config_check(const struct machine_config *c, struct err *e);

enum machine_end {
	MACHINE_END_POWEROFF, /* the guest switched the machine off, or halted it for good */
	MACHINE_END_RESET,    /* the guest reset the machine and no_reboot is set */
	MACHINE_END_CRASH,    /* triple fault */
	MACHINE_END_EXIT,     /* the guest wrote `code` to the debug-exit port */
	MACHINE_END_FAILED,   /* err says what the monitor or the host could not do */
};

struct machine_events {
	/* Loop thread; all vCPUs are parked. Once per machine. */
	void (*ended)(void *ctx, enum machine_end why, unsigned code, const struct err *e);
	/* The UART sent bytes. A vCPU thread, with the UART's lock held: must not wait for the
	 * loop thread. */
	void (*serial_tx)(void *ctx, const uint8_t *p, size_t n);
	/* The UART has room again. Any thread, with the UART's lock held. */
	void (*serial_rx_ready)(void *ctx);
	void *ctx;
};

/* Builds the machine, loads the guest and parks its vCPUs at the entry. -ENODEV, -EACCES if the
 * accelerator cannot be used, -ENOMEM, or the boot loader's and devices' errors. */
int machine_create(const struct machine_config *c, const struct machine_events *ev,
		   struct loop *loop, struct machine **out, struct err *e);
void machine_destroy(struct machine *m); /* stops what runs; NULL is allowed */

int machine_start(struct machine *m, struct err *e);
void machine_pause(struct machine *m);  /* returns when no vCPU runs; twice is harmless */
void machine_resume(struct machine *m); /* twice is harmless; nothing once ended */
void machine_reset(struct machine *m);  /* as the guest's own reset would do */
void machine_power_button(struct machine *m);
void machine_ctrl_alt_del(struct machine *m); /* three keys of the keyboard */

/* Changes of running devices, which are numbered as in the configuration. -ENOENT: no such one. */
/* Another image in place of disk i's, as read-only as that was. Names file and remedy. */
int machine_set_disk(struct machine *m, unsigned i, const char *path, struct err *e);
/* Disk i is served by another program: has the guest look at what that says of it now. */
int machine_update_disk(struct machine *m, unsigned i, struct err *e);
/* A bucket that is NULL stays as it is. */
int machine_limit_disk(struct machine *m, unsigned i, const struct limiter_bucket_config *bandwidth,
		       const struct limiter_bucket_config *ops, struct err *e);
int machine_limit_net(struct machine *m, unsigned i, bool rx,
		      const struct limiter_bucket_config *bandwidth,
		      const struct limiter_bucket_config *ops, struct err *e);
/* Whether `name` can be a network's tap: opens it for MACHINE_NET_FD. Returns the descriptor. */
int machine_open_tap(const char *name, struct err *e);
/* Whether `path` can be a disk's image: opens it and lets go. */
int machine_check_disk(const char *path, bool read_only, struct err *e);
/* Bytes for the UART's receiver; returns how many it took. */
size_t machine_serial_rx(struct machine *m, const uint8_t *p, size_t n);

struct machine_info {
	const char *accel, *boot_protocol, *state; /* "created", "running", "paused", "ended" */
	unsigned n_vcpus, n_resets;
	uint64_t mem_bytes, uptime_ns;
};
void machine_info(const struct machine *m, struct machine_info *out);
/* Calls put() for each thing the accelerator counts, such as "vcpu0.faults". */
void machine_counters(struct machine *m, void (*put)(void *ctx, const char *name, uint64_t value),
		      void *ctx);
uint64_t machine_serial_dropped(const struct machine *m); /* bytes over the serial port's limit */
struct machine_exit_time { /* how many, and how long they took; 0: there was none */
	uint64_t n, min_us, max_us, sum_us;
};
struct machine_exits { /* accesses of the guest to registers, all vCPUs together */
	struct machine_exit_time io_in, io_out, mmio_read, mmio_write;
};
void machine_count_exits(const struct machine *m, struct machine_exits *out);
/* Calls fn for each device, in the order of creation; device_ops.counters says what it counts. */
void machine_each_device(const struct machine *m, void (*fn)(void *ctx, const struct device *d),
			 void *ctx);
/* Where each vCPU is and what the accelerator counted, at level info. */
void machine_log_stats(struct machine *m);

#endif
