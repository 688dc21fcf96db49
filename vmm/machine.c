/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life: memory, accelerator, board, vCPU threads, guest image; start, pause,
 * resume, reset, end. What is soldered where is board.c's matter.
 *
 * The guest ends or resets the machine by a chip (ACPI, keyboard controller, reset port, debug
 * exit) or by a vCPU that stops (triple fault). Each of them only records the first such event
 * and posts `work`; handle_event() on the loop thread pauses every vCPU and acts. Later events
 * before that are dropped: a guest that has asked for a reset goes on for some instructions and
 * tries other means, up to a triple fault, and only the first one is what it meant.
 */
#include "vmm/machine_int.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel.h"
#include "accel/x86_state.h"
#include "boot/boot.h"
#include "vmm/accel_pick.h"
#include "vmm/board.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/core/gmem.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/pc.h"
#include "vmm/vcpu_thread.h"

enum machine_state { MACHINE_CREATED, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_ENDED };

enum guest_event {
	EVENT_NONE,
	EVENT_RESET,
	EVENT_POWEROFF,
	EVENT_CRASH,
	EVENT_EXIT,
	EVENT_FAILED,
};

struct machine {
	struct machine_config config;
	struct machine_events events;
	struct loop *loop;
	const struct accel_ops *accel;
	struct accel_vm *vm;
	struct gmem *mem;
	struct board *board;
	struct vcpu *vcpus[MACHINE_MAX_VCPUS];
	struct vcpu_thread *threads[MACHINE_MAX_VCPUS];
	const char *boot_protocol;
	enum machine_state state;
	bool board_started;
	bool off_at_reset; /* a reset is the guest's answer to our wish that it shut down */
	unsigned n_resets;
	uint64_t started_ns;

	struct loop_work work;
	pthread_mutex_t event_lock; /* a leaf; guards the next four */
	enum guest_event event;
	const char *event_by; /* what brought it about */
	unsigned exit_code;
	struct err event_err;
};

/* Any thread. */
static void post_event(struct machine *m, enum guest_event ev, const char *by, unsigned code,
		       const struct err *e)
{
	bool first;

	pthread_mutex_lock(&m->event_lock);
	first = m->event == EVENT_NONE;
	if (first) {
		m->event = ev;
		m->event_by = by;
		m->exit_code = code;
		if (e)
			m->event_err = *e;
	}
	pthread_mutex_unlock(&m->event_lock);
	if (first)
		loop_post(m->loop, &m->work);
}

static void on_reset(void *ctx, const char *by)
{
	post_event(ctx, EVENT_RESET, by, 0, NULL);
}

static void on_poweroff(void *ctx)
{
	post_event(ctx, EVENT_POWEROFF, "acpi", 0, NULL);
}

static void on_exit_port(void *ctx, unsigned code)
{
	post_event(ctx, EVENT_EXIT, "debug_exit", code, NULL);
}

static void on_vcpu_stopped(void *ctx, unsigned index, enum vcpu_stop why, const struct err *e)
{
	static const struct {
		enum guest_event event;
		const char *by;
	} events[] = {
		[VCPU_HALTED] = { EVENT_POWEROFF, "all_halted" },
		[VCPU_RESET] = { EVENT_RESET, "vcpu" },
		[VCPU_SHUTDOWN] = { EVENT_CRASH, "triple_fault" },
		[VCPU_FAILED] = { EVENT_FAILED, "vcpu" },
	};
	struct machine *m = ctx;

	if (why == VCPU_HALTED)
		log_info(NULL, "machine: all processors are halted for good");
	if (why == VCPU_SHUTDOWN)
		log_info(NULL, "machine: triple fault on vcpu%u", index);
	post_event(m, events[why].event, events[why].by, 0, e);
}

static void stop_vcpus(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->config.n_vcpus; i++)
		vcpu_thread_ask_pause(m->threads[i]);
	for (i = 0; i < m->config.n_vcpus; i++)
		vcpu_thread_wait_pause(m->threads[i]);
}

static void run_vcpus(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->config.n_vcpus; i++)
		vcpu_thread_resume(m->threads[i]);
}

/* Loads the guest and points the boot processor at it; all else stays as after reset. */
static int load_guest(struct machine *m, struct err *e)
{
	struct boot_platform platform = { 0 };
	struct boot_entry entry = { 0 };
	struct x86_state s;
	int r;
	struct boot_config c = {
		.kernel_path = m->config.kernel_path,
		.direct = m->config.unpack == UNPACK_HOST ||
			  (m->config.unpack == UNPACK_AUTO && !strcmp(m->accel->name, "tcg")),
		.fdt = m->config.fdt,
		.initrd_path = m->config.initrd_path,
		.cmdline = m->config.cmdline,
		.platform = &platform,
	};

	platform.n_vcpus = m->config.n_vcpus;
	board_describe(m->board, &platform);
	r = boot_load(m->mem, &c, &entry, e);
	if (r < 0)
		return r;
	m->boot_protocol = entry.protocol;
	boot_entry_to_state(&entry, &s);
	return m->accel->set_state(m->vcpus[0], &s, e);
}

static int reset_all(struct machine *m, struct err *e)
{
	unsigned i;
	int r;

	board_stop(m->board);
	board_reset(m->board);
	if (m->accel->vm_reset) {
		r = m->accel->vm_reset(m->vm, e);
		if (r < 0)
			return r;
	}
	for (i = 0; i < m->config.n_vcpus; i++) {
		r = m->accel->vcpu_reset(m->vcpus[i], e);
		if (r < 0)
			return r;
	}
	r = load_guest(m, e);
	return r < 0 ? r : board_start(m->board, e);
}

static void tell_event(struct machine *m, const char *what, const char *name, const char *text)
{
	events_add(m->config.watched, what, (struct event_field[]){ { name, text }, { NULL } });
}

static void tell_end(struct machine *m, enum machine_end why, const char *by, unsigned code,
		     const struct err *e)
{
	static const char *const names[] = {
		[MACHINE_END_POWEROFF] = "poweroff", [MACHINE_END_RESET] = "reset",
		[MACHINE_END_CRASH] = "crash",	     [MACHINE_END_EXIT] = "exit",
		[MACHINE_END_FAILED] = "failed",
	};
	struct event_field f[] = { { "why", names[why] }, { "by", by }, { NULL }, { NULL } };

	if (why == MACHINE_END_EXIT)
		f[2] = (struct event_field){ "code", NULL, code };
	if (e)
		f[2] = (struct event_field){ "message", e->msg };
	events_add(m->config.watched, "ended", f);
}

static void end(struct machine *m, enum machine_end why, const char *by, unsigned code,
		const struct err *e)
{
	stop_vcpus(m);
	board_stop(m->board);
	m->board_started = false;
	m->state = MACHINE_ENDED;
	tell_end(m, why, by, code, e);
	m->events.ended(m->events.ctx, why, code, e);
}

static void clear_event(struct machine *m)
{
	pthread_mutex_lock(&m->event_lock);
	m->event = EVENT_NONE;
	pthread_mutex_unlock(&m->event_lock);
}

static void reset(struct machine *m, const char *by)
{
	struct err e = { 0 };

	if (m->state == MACHINE_ENDED || m->state == MACHINE_CREATED)
		return;
	stop_vcpus(m);
	m->n_resets++;
	log_info(NULL, "machine: reset %u", m->n_resets);
	tell_event(m, "reset", "by", by);
	if (reset_all(m, &e) < 0) {
		err_wrap(&e, "reset");
		end(m, MACHINE_END_FAILED, by, 0, &e);
		return;
	}
	clear_event(m);
	if (m->state == MACHINE_RUNNING)
		run_vcpus(m);
}

void machine_reset(struct machine *m)
{
	reset(m, "operator");
}

static void handle_event(struct loop_work *w)
{
	struct machine *m = container_of(w, struct machine, work);
	enum guest_event ev;
	const char *by;
	struct err e;
	unsigned code;

	if (m->state == MACHINE_ENDED)
		return;
	pthread_mutex_lock(&m->event_lock);
	ev = m->event;
	by = m->event_by;
	code = m->exit_code;
	e = m->event_err;
	pthread_mutex_unlock(&m->event_lock);

	switch (ev) {
	case EVENT_NONE: /* a reset by the operator came first */
		break;
	case EVENT_RESET:
		if (m->off_at_reset)
			end(m, MACHINE_END_POWEROFF, by, 0, NULL);
		else if (m->config.no_reboot)
			end(m, MACHINE_END_RESET, by, 0, NULL);
		else
			reset(m, by);
		break;
	case EVENT_POWEROFF:
		end(m, MACHINE_END_POWEROFF, by, 0, NULL);
		break;
	case EVENT_CRASH:
		end(m, MACHINE_END_CRASH, by, 0, NULL);
		break;
	case EVENT_EXIT:
		end(m, MACHINE_END_EXIT, by, code, NULL);
		break;
	case EVENT_FAILED:
		end(m, MACHINE_END_FAILED, by, 0, &e);
		break;
	}
}

static int create_vcpus(struct machine *m, struct err *e)
{
	const struct vcpu_thread_owner owner = {
		.stopped = on_vcpu_stopped,
		.ctx = m,
		.name = m->config.vcpu_threads,
	};
	unsigned i;
	int r;

	for (i = 0; i < m->config.n_vcpus; i++) {
		r = m->accel->vcpu_create(m->vm, i, &m->vcpus[i], e);
		if (r < 0)
			return r;
	}
	for (i = 0; i < m->config.n_vcpus; i++) {
		r = vcpu_thread_create(m->accel, m->vcpus[i], i, &owner, &m->threads[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* KVM gives the host's processor. */
static int check_cpu(const struct machine_config *c, const struct accel_ops *accel, struct err *e)
{
	if (!c->cpu || !strcmp(c->cpu, "host") || strcmp(accel->name, "kvm"))
		return 0;
	err_set(e, EINVAL, "--cpu %s: with KVM the processor is the host's", c->cpu);
	err_hint(e, "use --cpu host, or --accel tcg");
	return -EINVAL;
}

/* With programs that serve disks. */
static bool shares_memory(const struct machine_config *c)
{
	bool any = false;

	for (unsigned i = 0; i < c->n_disks; i++)
		any |= c->disks[i].socket != NULL;
	return any;
}

int machine_create(const struct machine_config *c, const struct machine_events *ev,
		   struct loop *loop, struct machine **out, struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct accel_config accel_config;
	struct board_events board_events;
	uint32_t caps = 0;
	int r;

	if (!m)
		return err_set(e, ENOMEM, "machine: out of memory");
	m->config = *c;
	m->events = *ev;
	m->loop = loop;
	m->work.fn = handle_event;
	pthread_mutex_init(&m->event_lock, NULL);
	accel_config = (struct accel_config){
		.n_vcpus = c->n_vcpus,
		.threads_per_core = c->threads_per_core,
		.cpu_template = c->cpu_template,
		.track_dirty = c->track_dirty,
		.code_cache_bytes = c->code_cache_bytes,
		.cpu = c->cpu,
		.debug = c->debug,
	};
	board_events = (struct board_events){
		.reset = on_reset,
		.poweroff = on_poweroff,
		.exit = on_exit_port,
		.serial_tx = ev->serial_tx,
		.serial_rx_ready = ev->serial_rx_ready,
		.event_ctx = m,
		.serial_ctx = ev->ctx,
	};

	r = accel_pick(c->accel, c->cpu_template, &m->accel, &caps, e);
	if (r == 0)
		r = check_cpu(c, m->accel, e);
	if (r == 0)
		r = gmem_create_pages(c->mem_bytes, PC_RAM_LOW_MAX, (enum gmem_pages)c->pages,
				      shares_memory(c), &m->mem, e);
	if (r == 0)
		r = board_create(m->mem, loop, &board_events, &m->board, e);
	if (r == 0)
		r = board_add_memory(m->board, c, e);
	if (r == 0)
		r = m->accel->vm_create(m->mem, board_io(m->board), &accel_config, &m->vm, e);
	if (r == 0)
		r = board_populate(m->board, c, m->accel, m->vm, caps, e);
	if (r == 0)
		r = create_vcpus(m, e);
	if (r == 0)
		r = load_guest(m, e);
	if (r < 0) {
		machine_destroy(m);
		return r;
	}
	log_info(NULL, "machine: %u vCPU, %" PRIu64 " MiB, accelerator %s, boot protocol %s",
		 c->n_vcpus, c->mem_bytes >> 20, m->accel->name, m->boot_protocol);
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	unsigned i;

	if (!m)
		return;
	for (i = 0; i < m->config.n_vcpus; i++)
		vcpu_thread_destroy(m->threads[i]);
	if (m->board_started)
		board_stop(m->board);
	for (i = 0; i < m->config.n_vcpus; i++) {
		if (m->vcpus[i])
			m->accel->vcpu_destroy(m->vcpus[i]);
	}
	/* Chips drive the accelerator's interrupt lines, so they go first. */
	board_destroy(m->board);
	if (m->vm)
		m->accel->vm_destroy(m->vm);
	gmem_destroy(m->mem);
	pthread_mutex_destroy(&m->event_lock);
	free(m);
}

int machine_start(struct machine *m, struct err *e)
{
	int r;

	if (m->state != MACHINE_CREATED)
		return err_set(e, EBUSY, "machine: already started");
	r = board_start(m->board, e);
	if (r < 0)
		return r;
	m->board_started = true;
	m->started_ns = loop_now_ns();
	m->state = MACHINE_RUNNING;
	events_add(m->config.watched, "running", NULL);
	run_vcpus(m);
	return 0;
}

void machine_pause(struct machine *m)
{
	if (m->state != MACHINE_RUNNING)
		return;
	stop_vcpus(m);
	m->state = MACHINE_PAUSED;
	events_add(m->config.watched, "paused", NULL);
}

void machine_resume(struct machine *m)
{
	if (m->state != MACHINE_PAUSED)
		return;
	m->state = MACHINE_RUNNING;
	events_add(m->config.watched, "resumed", NULL);
	run_vcpus(m);
}

void machine_power_button(struct machine *m)
{
	if (m->state != MACHINE_RUNNING && m->state != MACHINE_PAUSED)
		return;
	tell_event(m, "shutdown_asked", "by", "power_button");
	if (board_power_button(m->board))
		return;
	/* No ACPI driver listens: Ctrl-Alt-Del makes a guest shut down its programs and reset. */
	log_info(NULL, "machine: the guest minds no power button; pressing Ctrl-Alt-Del");
	m->off_at_reset = true;
	board_ctrl_alt_del(m->board);
}

bool machine_hold(struct machine *m)
{
	bool running = m->state == MACHINE_RUNNING;

	if (running)
		stop_vcpus(m);
	return running;
}

void machine_let_go(struct machine *m, bool running)
{
	if (running)
		run_vcpus(m);
}

struct board *machine_board(const struct machine *m)
{
	return m->board;
}

void machine_ctrl_alt_del(struct machine *m)
{
	if (m->state != MACHINE_RUNNING && m->state != MACHINE_PAUSED)
		return;
	tell_event(m, "shutdown_asked", "by", "ctrl_alt_del");
	board_ctrl_alt_del(m->board);
}

size_t machine_serial_rx(struct machine *m, const uint8_t *p, size_t n)
{
	return board_serial_rx(m->board, p, n);
}

void machine_info(const struct machine *m, struct machine_info *out)
{
	static const char *const states[] = {
		[MACHINE_CREATED] = "created",
		[MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",
		[MACHINE_ENDED] = "ended",
	};

	*out = (struct machine_info){
		.accel = m->accel->name,
		.boot_protocol = m->boot_protocol,
		.state = states[m->state],
		.n_vcpus = m->config.n_vcpus,
		.n_resets = m->n_resets,
		.mem_bytes = gmem_size(m->mem),
		.uptime_ns = m->started_ns ? loop_now_ns() - m->started_ns : 0,
	};
}

static void log_vcpu(struct machine *m, unsigned index)
{
	struct x86_state s;
	struct err e = { 0 };

	if (m->accel->get_state(m->vcpus[index], &s, &e) < 0) {
		log_info(NULL, "vcpu%u: %s", index, e.msg);
		return;
	}
	log_info(NULL,
		 "vcpu%u: %s, cs:rip %04x:0x%" PRIx64 " rsp 0x%" PRIx64 " rflags 0x%" PRIx64
		 " cr0 0x%" PRIx64 " cr3 0x%" PRIx64,
		 index, s.halted ? "halted" : "runnable", s.seg[X86_CS].selector, s.rip, s.gpr[4],
		 s.rflags, s.cr0, s.cr3);
}

void machine_counters(struct machine *m, void (*put)(void *ctx, const char *name, uint64_t value),
		      void *ctx)
{
	const struct accel_counter_sink sink = { .put = put, .ctx = ctx };
	bool running;

	if (!m->accel->counters)
		return;
	/* They belong to the vCPU threads. */
	running = machine_hold(m);
	m->accel->counters(m->vm, &sink);
	machine_let_go(m, running);
}

void machine_count_exits(const struct machine *m, struct machine_exits *out)
{
	struct machine_exit_time n[BOARD_N_EXITS];

	board_count_exits(m->board, n);
	*out = (struct machine_exits){ n[BOARD_PIO_READ], n[BOARD_PIO_WRITE], n[BOARD_MMIO_READ],
				       n[BOARD_MMIO_WRITE] };
}

void machine_each_device(const struct machine *m, void (*fn)(void *ctx, const struct device *d),
			 void *ctx)
{
	board_each_device(m->board, fn, ctx);
}

void machine_log_stats(struct machine *m)
{
	/* Registers and counters belong to the vCPU threads. */
	bool running = machine_hold(m);
	unsigned i;

	for (i = 0; i < m->config.n_vcpus; i++)
		log_vcpu(m, i);
	if (m->accel->log_stats)
		m->accel->log_stats(m->vm);
	machine_let_go(m, running);
}
