/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_VM_H
#define MAYFLY_API_VM_H
/*
 * The virtual machine as the API sees it: a configuration that requests put together, and from
 * InstanceStart on a machine. boot.c makes the one of the other.
 *
 * Threads: the loop thread.
 */
#include "api/api.h"
#include "api/objects.h"
#include "vmm/machine.h"

struct cpu_template;
struct loop;
struct metrics;
struct metrics_property;
struct mmds;

enum { VM_MAX_ID = 64, VM_MAX_CMDLINE = 2048 };
#define VM_CMDLINE_TOO_LONG "Inserting string would make command line too long."

struct vm_host { /* what the program around the API does; copied */
	const char *id, *version, *app_name;
	const char *accel; /* for machine_config */
	enum machine_bus bus;
	bool boot_timer;
	uint64_t start_us, start_cpu_us; /* of the process; 0: unknown */
	size_t mmds_limit; /* bytes of the metadata */
	struct machine_events events;
	/* Makes the other end of the serial port: fd is an open file for its output, which it takes,
	 * or -1: standard input and output. */
	int (*open_serial)(void *ctx, int fd, struct err *e);
	/* The machine is there and about to start, or (NULL) has gone again. */
	int (*use_machine)(void *ctx, struct machine *m, struct err *e);
	void (*set_log)(void *ctx, const struct logger_body *c);
	void *ctx;
};

struct vm {
	struct vm_host host;
	struct loop *loop;
	struct config_file config;
	struct cpu_config_body *cpu_config;
	struct cpu_template *cpu_template; /* of the machine; NULL: none, or not started */
	struct serial_body *serial;
	struct mmds *mmds;                           /* NULL: nobody needed it so far */
	struct metrics *metrics;                     /* NULL before /metrics */
	struct metrics_property *metrics_properties; /* in use by metrics */
	struct events *events; /* what happens to the machine, for GET /events */
	struct machine *machine; /* NULL before InstanceStart */
	bool paused;
	bool boot_configured; /* something that excludes loading a snapshot was set */
	int kernel_fd, initrd_fd, serial_fd; /* -1: none */
	int log_fd; /* of /logger, in use to the end of the process; -1: none */
	int tap_fds[MACHINE_MAX_NETS];       /* of config.network_interfaces, in their order */
	char kernel_path[32], initrd_path[32];
	char cmdline[VM_MAX_CMDLINE + 1];
	struct api_counts counts[API_MAX_RESOURCES][HTTP_N_METHODS];
	uint64_t deprecated_calls;
	uint64_t pause_us, resume_us; /* that the last ones took */
	uint64_t startup_us, startup_cpu_us; /* of the process, until this was made */
};

int vm_create(struct loop *l, const struct vm_host *host, struct vm **out, struct err *e);
void vm_destroy(struct vm *vm); /* the machine too; NULL is allowed */

/* InstanceStart. The messages are for "Start microvm error: ...". */
int vm_start(struct vm *vm, struct err *e);
/* As vm_start makes it, for who starts it otherwise; strings belong to vm. */
int vm_machine_config(struct vm *vm, struct machine_config *out, struct err *e);
/* Sets vm->cpu_template. */
int vm_make_cpu_template(struct vm *vm, struct err *e);
const char *vm_state_name(const struct vm *vm); /* "Not started", "Running", "Paused" */

/* One PUT, as if a client had made it; false: it was refused, *error says why. */
bool vm_request(struct vm *vm, const char *path, const char *body, size_t len, struct text *error);
/* The body is in a file. */
bool vm_request_file(struct vm *vm, const char *path, const char *file, struct text *error);
/* Makes the requests that a configuration file stands for. False: *error says what is wrong. */
bool vm_load_config(struct vm *vm, const char *json, size_t len, struct text *error);
bool vm_load_config_file(struct vm *vm, const char *path, struct text *error);

void vm_close_taps(struct vm *vm);

/* Lists of objects whose first member is their id. */
int vm_find(const struct schema_list *l, const char *id); /* its place, or -1 */
bool vm_append(struct schema_list *l, void *item);        /* false: out of memory */
void vm_remove(struct schema_list *l, const struct schema *s, unsigned at); /* frees it */
/* As the machine takes them; strings are borrowed. fd: of the tap, used by a copy. */
void vm_fill_drive(const struct drive_body *d, struct machine_disk *out);
void vm_fill_pmem(const struct pmem_body *p, struct machine_pmem *out);
void vm_fill_net(const struct vm *vm, const struct net_body *n, int fd, struct machine_net *out);

/* NULL: unlimited, or unchanged. A bucket given as zero is unlimited. */
void vm_limits(const struct rate_limiter *r, struct limiter_config *out);
void vm_bucket(const struct token_bucket *b, struct limiter_bucket_config *out);
/* Leaves out of *r what limits nothing, and frees it if nothing is left. */
void vm_tidy_limits(struct rate_limiter **r);
void vm_merge_limits(struct rate_limiter **into, struct rate_limiter **from);

#endif
