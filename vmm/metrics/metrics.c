/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting and flushing the metrics.
 *
 * Every number here is a total that only grows; what a flush says is the difference to the flush
 * before, and only a document that was taken whole begins a new interval: nothing is lost when a
 * FIFO's reader is behind. A document that went only in part is finished first, so that a reader
 * always sees whole lines.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"
#include "vmm/metrics/metrics_int.h"
#include "vmm/mmds/mmds.h"

#define PERIOD_NS 60000000000ull

static bool add_row(struct metrics_section *s, const struct device *d)
{
	struct metrics_row *rows = realloc(s->rows, (s->n_rows + 1) * sizeof(*rows));
	struct metrics_row *r;

	if (!rows)
		return false;
	s->rows = rows;
	r = &rows[s->n_rows];
	r->device = d;
	r->now = calloc(2 * s->n_keys, sizeof(*r->now));
	if (!r->now)
		return false;
	r->last = r->now + s->n_keys;
	s->n_rows++;
	return true;
}

static void drop_rows(struct metrics_section *s)
{
	while (s->n_rows)
		free(s->rows[--s->n_rows].now);
	free(s->rows);
	s->rows = NULL;
}

int metrics_create(const struct metrics_config *c, struct loop *loop, struct metrics **out,
		   struct err *e)
{
	struct metrics *m = calloc(1, sizeof(*m));
	unsigned n = 0;

	while (metrics_groups[n].name)
		n++;
	if (m)
		m->sections = calloc(n, sizeof(*m->sections));
	if (!m || !m->sections) {
		free(m);
		return err_set(e, ENOMEM, "metrics: out of memory");
	}
	m->config = *c;
	m->loop = loop;
	m->fd = -1;
	m->n_sections = n;
	for (unsigned i = 0; i < n; i++) {
		struct metrics_section *s = &m->sections[i];

		s->group = &metrics_groups[i];
		while (s->group->keys[s->n_keys].name)
			s->n_keys++;
		assert(s->n_keys <= METRICS_MAX_KEYS);
		if (!s->group->device && !add_row(s, NULL)) {
			metrics_destroy(m);
			return err_set(e, ENOMEM, "metrics: out of memory");
		}
	}
	*out = m;
	return 0;
}

void metrics_destroy(struct metrics *m)
{
	if (!m)
		return;
	if (m->fd >= 0) {
		loop_timer_cancel(m->loop, &m->timer);
		close(m->fd);
	}
	for (unsigned i = 0; i < m->n_sections; i++)
		drop_rows(&m->sections[i]);
	free(m->sections);
	free(m->text);
	free(m);
}

/* --- collecting ---------------------------------------------------------------------------------- */

static struct metrics_row *find_row(const struct metrics_section *s, const struct device *d)
{
	for (unsigned i = 0; i < s->n_rows; i++)
		if (s->rows[i].device == d)
			return &s->rows[i];
	return NULL;
}

struct attaching {
	struct metrics *m;
	bool failed;
};

static void attach_device(void *ctx, const struct device *d)
{
	struct attaching *a = ctx;

	for (unsigned i = 0; i < a->m->n_sections; i++) {
		struct metrics_section *s = &a->m->sections[i];

		if (s->group->device && !strcmp(s->group->device, d->ops->type) && !find_row(s, d))
			a->failed |= !add_row(s, d);
	}
}

int metrics_attach(struct metrics *m, const struct machine *machine, const struct mmds *mmds)
{
	struct attaching a = { .m = m };

	m->machine = machine;
	m->mmds = mmds;
	machine_each_device(machine, attach_device, &a);
	if (a.failed)
		metrics_detach(m);
	return a.failed ? -ENOMEM : 0;
}

void metrics_detach(struct metrics *m)
{
	m->machine = NULL;
	m->mmds = NULL;
	for (unsigned i = 0; i < m->n_sections; i++)
		if (m->sections[i].group->device)
			drop_rows(&m->sections[i]);
}

struct seeking {
	const struct device *device;
	bool found;
};

static void seek_device(void *ctx, const struct device *d)
{
	struct seeking *s = ctx;

	s->found |= d == s->device;
}

static void drop_gone(const struct metrics *m, struct metrics_section *s)
{
	for (unsigned i = s->n_rows; s->group->device && i-- > 0;) {
		struct seeking seek = { .device = s->rows[i].device };

		machine_each_device(m->machine, seek_device, &seek);
		if (seek.found)
			continue;
		free(s->rows[i].now);
		s->n_rows--;
		memmove(s->rows + i, s->rows + i + 1, (s->n_rows - i) * sizeof(*s->rows));
	}
}

bool metrics_follow(struct metrics *m)
{
	struct attaching a = { .m = m };

	for (unsigned i = 0; i < m->n_sections; i++)
		drop_gone(m, &m->sections[i]);
	machine_each_device(m->machine, attach_device, &a);
	return !a.failed;
}

int metrics_set(struct metrics *m, const char *group, const char *key, uint64_t total)
{
	for (unsigned i = 0; i < m->n_sections; i++) {
		struct metrics_section *s = &m->sections[i];

		if (s->group->device || strcmp(s->group->name, group))
			continue;
		for (unsigned k = 0; k < s->n_keys; k++)
			if (!strcmp(s->group->keys[k].name, key)) {
				s->rows[0].now[k] = total;
				return 0;
			}
	}
	return -ENOENT;
}

static void collect_device(struct metrics_section *s, struct metrics_row *r)
{
	const struct device_counter *c = r->device->ops->counters;

	for (; c && c->name; c++)
		for (unsigned k = 0; k < s->n_keys; k++)
			if (s->group->keys[k].counter && !strcmp(s->group->keys[k].counter, c->name))
				r->now[k] = device_count(r->device, c);
}

static void tell_exits(struct metrics *m, const char *key, const struct machine_exit_time *t)
{
	const struct {
		const char *suffix;
		uint64_t value;
	} all[] = {
		{ "", t->n },
		{ "_agg.min_us", t->min_us },
		{ "_agg.max_us", t->max_us },
		{ "_agg.sum_us", t->sum_us },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char name[40];

		snprintf(name, sizeof(name), "%s%s", key, all[i].suffix);
		metrics_set(m, "vcpu", name, all[i].value);
	}
}

static void collect_exits(struct metrics *m)
{
	struct machine_exits n;

	machine_count_exits(m->machine, &n);
	tell_exits(m, "exit_io_in", &n.io_in);
	tell_exits(m, "exit_io_out", &n.io_out);
	tell_exits(m, "exit_mmio_read", &n.mmio_read);
	tell_exits(m, "exit_mmio_write", &n.mmio_write);
}

/* The limit of a serial port is not its own: board.c puts it behind it. */
static void collect_serial(struct metrics *m)
{
	for (unsigned i = 0; i < m->n_sections; i++) {
		struct metrics_section *s = &m->sections[i];

		for (unsigned k = 0; s->n_rows && k < s->n_keys; k++)
			if (!strcmp(s->group->keys[k].name, "rate_limiter_dropped_bytes"))
				s->rows[0].now[k] = machine_serial_dropped(m->machine);
	}
}

/* struct mmds_stats has the group's members in their order. */
static void collect_mmds(struct metrics *m)
{
	for (unsigned i = 0; i < m->n_sections; i++) {
		struct metrics_section *s = &m->sections[i];
		struct mmds_stats stats;

		if (strcmp(s->group->name, "mmds"))
			continue;
		mmds_stats(m->mmds, &stats);
		assert(sizeof(stats) == s->n_keys * sizeof(uint64_t));
		memcpy(s->rows[0].now, &stats, sizeof(stats));
	}
}

void metrics_collect(struct metrics *m)
{
	if (m->config.hook)
		m->config.hook(m->config.ctx, m);
	if (m->machine) {
		collect_exits(m);
		collect_serial(m);
	}
	if (m->mmds)
		collect_mmds(m);
	metrics_set(m, "logger", "missed_metrics_count", m->n_missed);
	metrics_set(m, "logger", "metrics_fails", m->n_failed);
	for (unsigned i = 0; i < m->n_sections; i++)
		for (unsigned k = 0; k < m->sections[i].n_rows; k++)
			if (m->sections[i].rows[k].device)
				collect_device(&m->sections[i], &m->sections[i].rows[k]);
}

/* --- flushing ------------------------------------------------------------------------------------ */

static void on_period(struct loop_timer *t)
{
	struct metrics *m = container_of(t, struct metrics, timer);

	metrics_flush(m);
	loop_timer_arm(m->loop, &m->timer, loop_now_ns() + PERIOD_NS);
}

int metrics_open(struct metrics *m, const char *path, struct err *e)
{
	int fd;

	if (m->fd >= 0)
		return err_set(e, EEXIST, "Reinitialization of metrics not allowed.");
	/* for reading too: a FIFO can be opened before its reader is there, and has no SIGPIPE */
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0) {
		err_set(e, errno, "metrics: %s: %s", path, strerror(errno));
		err_hint(e, "give a file or a FIFO that can be written");
		return -e->code;
	}
	m->fd = fd;
	m->timer.fn = on_period;
	loop_timer_arm(m->loop, &m->timer, loop_now_ns() + PERIOD_NS);
	return 0;
}

/* Writes what is left of the text; 0 when all is gone. */
static int write_left(struct metrics *m)
{
	while (m->left_len) {
		ssize_t n = write(m->fd, m->text + m->left_off, m->left_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		m->left_off += (size_t)n;
		m->left_len -= (size_t)n;
	}
	return 0;
}

static bool make_text(struct metrics *m)
{
	size_t len = metrics_render(m, METRICS_DELTA, m->text, m->text_size);

	while (len + 2 > m->text_size) {
		char *text = realloc(m->text, len + 512);

		if (!text)
			return false;
		m->text = text;
		m->text_size = len + 512;
		len = metrics_render(m, METRICS_DELTA, m->text, m->text_size);
	}
	m->text[len] = '\n';
	m->left_off = 0;
	m->left_len = len + 1;
	return true;
}

static void begin_interval(struct metrics *m)
{
	for (unsigned i = 0; i < m->n_sections; i++) {
		struct metrics_section *s = &m->sections[i];

		for (unsigned k = 0; k < s->n_rows; k++)
			memcpy(s->rows[k].last, s->rows[k].now, s->n_keys * sizeof(uint64_t));
	}
}

int metrics_flush(struct metrics *m)
{
	int r;

	if (m->fd < 0)
		return -EBADF;
	r = write_left(m);
	if (r == 0 && !make_text(m))
		r = -ENOMEM;
	if (r == 0) {
		size_t len = m->left_len;

		r = write_left(m);
		if (r == 0 || m->left_len < len)
			begin_interval(m); /* the rest follows, before anything else */
		if (m->left_len == len)
			m->left_len = 0;
		else
			r = 0;
	}
	if (r == -EAGAIN)
		m->n_missed++;
	else if (r < 0)
		m->n_failed++;
	if (r < 0)
		log_debug(NULL, "metrics: not written: %s", strerror(-r));
	return r;
}
