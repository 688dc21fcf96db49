/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics as text: JSON as the document's table says, or Prometheus' format with every counter of
 * every device by its own name. Refs: prometheus.io/docs/instrumenting/exposition_formats. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/core/device.h"
#include "vmm/machine.h"
#include "vmm/metrics/metrics_int.h"

struct out {
	char *buf;
	size_t size, len; /* len: of all, also what had no room */
};

static void __attribute__((format(printf, 2, 3))) say(struct out *o, const char *fmt, ...)
{
	size_t room = o->len < o->size ? o->size - o->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room ? o->buf + o->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		o->len += (size_t)n;
}

static void say_string(struct out *o, const char *s)
{
	say(o, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			say(o, "\\%c", c);
		else if (c < 0x20)
			say(o, "\\u%04x", c);
		else
			say(o, "%c", c);
	}
	say(o, "\"");
}

/* --- JSON ---------------------------------------------------------------------------------------- */

/* Members with a dot are members of an object within; all of one object stand together. */
static void say_members(struct out *o, const struct metrics_section *s, const uint64_t *values)
{
	const char *within = NULL;
	size_t within_len = 0;

	for (unsigned k = 0; k < s->n_keys; k++) {
		const char *name = s->group->keys[k].name, *dot = strchr(name, '.');
		size_t len = dot ? (size_t)(dot - name) : 0;
		bool same = dot && within && len == within_len && !strncmp(name, within, len);

		if (within && !same)
			say(o, "}");
		if (k)
			say(o, ",");
		if (dot && !same)
			say(o, "\"%.*s\":{", (int)len, name);
		within = dot ? name : NULL;
		within_len = len;
		say(o, "\"%s\":%" PRIu64, dot ? dot + 1 : name, values[k]);
	}
	if (within)
		say(o, "}");
}

static void take_values(const struct metrics_section *s, const struct metrics_row *r,
			enum metrics_form form, uint64_t *values)
{
	for (unsigned k = 0; k < s->n_keys; k++) {
		bool delta = form == METRICS_DELTA && s->group->keys[k].kind == METRICS_COUNTER;

		values[k] = delta ? r->now[k] - r->last[k] : r->now[k];
	}
}

static uint64_t combined(enum metrics_kind kind, uint64_t all, uint64_t one)
{
	if (kind == METRICS_MIN)
		return all && (!one || all < one) ? all : one;
	if (kind == METRICS_MAX)
		return all > one ? all : one;
	return all + one;
}

static void say_section(struct out *o, const struct metrics_section *s, enum metrics_form form)
{
	uint64_t all[METRICS_MAX_KEYS] = { 0 }, values[METRICS_MAX_KEYS];

	for (unsigned i = 0; i < s->n_rows; i++) {
		take_values(s, &s->rows[i], form, values);
		for (unsigned k = 0; k < s->n_keys; k++)
			all[k] = combined(s->group->keys[k].kind, all[k], values[k]);
		if (s->group->shape == METRICS_SUM)
			continue;
		say(o, ",\"%s_%s\":{", s->group->name, s->rows[i].device->id);
		say_members(o, s, values);
		say(o, "}");
	}
	if (s->group->shape == METRICS_EACH)
		return;
	say(o, ",\"%s\":{", s->group->name);
	say_members(o, s, all);
	say(o, "}");
}

static void say_json(struct metrics *m, struct out *o, enum metrics_form form)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	say(o, "{\"utc_timestamp_ms\":%" PRIu64,
	    (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
	if (m->config.id) {
		say(o, ",\"id\":");
		say_string(o, m->config.id);
	}
	for (unsigned i = 0; i < m->config.n_properties; i++) {
		say(o, i ? "," : ",\"properties\":{");
		say_string(o, m->config.properties[i].name);
		say(o, ":");
		say_string(o, m->config.properties[i].value);
	}
	if (m->config.n_properties)
		say(o, "}");
	for (unsigned i = 0; i < m->n_sections; i++)
		say_section(o, &m->sections[i], form);
	say(o, "}");
}

/* --- Prometheus ----------------------------------------------------------------------------------- */

static void say_name(struct out *o, const char *group, const char *key)
{
	char name[128];

	snprintf(name, sizeof(name), "mayfly_%s_%s", group, key);
	for (char *p = name; *p; p++)
		if (*p == '-' || *p == '.')
			*p = '_';
	say(o, "%s", name);
}

static void say_host_section(struct out *o, const struct metrics_section *s)
{
	for (unsigned k = 0; k < s->n_keys; k++) {
		const struct metrics_key *key = &s->group->keys[k];
		bool counter = key->kind == METRICS_COUNTER;

		say(o, "# TYPE ");
		say_name(o, s->group->name, key->name);
		say(o, counter ? "_total counter\n" : " gauge\n");
		say_name(o, s->group->name, key->name);
		say(o, "%s %" PRIu64 "\n", counter ? "_total" : "", s->rows[0].now[k]);
	}
}

struct walk {
	struct out *o;
	const struct device_ops *ops; /* of devices to look at */
	const struct device_counter *counter;
	const struct device *first; /* of this type, in the machine */
};

static const char *short_type(const char *type)
{
	return strncmp(type, "virtio-", 7) ? type : type + 7;
}

static void say_sample(void *ctx, const struct device *d)
{
	struct walk *w = ctx;

	if (d->ops != w->ops)
		return;
	say_name(w->o, short_type(d->ops->type), w->counter->name);
	say(w->o, w->counter->gauge ? "{id=" : "_total{id=");
	say_string(w->o, d->id);
	say(w->o, "} %" PRIu64 "\n", device_count(d, w->counter));
}

static void find_first(void *ctx, const struct device *d)
{
	struct walk *w = ctx;

	if (!w->first && d->ops == w->ops)
		w->first = d;
}

struct types {
	struct out *o;
	const struct machine *machine;
};

/* A counter's samples stand together: for each type, for each counter, for each device. */
static void say_type(void *ctx, const struct device *d)
{
	struct types *t = ctx;
	struct walk w = { .o = t->o, .ops = d->ops };

	machine_each_device(t->machine, find_first, &w);
	if (w.first != d)
		return;
	for (w.counter = d->ops->counters; w.counter && w.counter->name; w.counter++) {
		say(t->o, "# TYPE ");
		say_name(t->o, short_type(d->ops->type), w.counter->name);
		say(t->o, w.counter->gauge ? " gauge\n" : "_total counter\n");
		machine_each_device(t->machine, say_sample, &w);
	}
}

static void say_prometheus(struct metrics *m, struct out *o)
{
	struct types t = { .o = o, .machine = m->machine };

	if (m->machine) {
		struct machine_info i;

		machine_info(m->machine, &i);
		say(o, "# TYPE mayfly_info gauge\nmayfly_info{");
		if (m->config.id) {
			say(o, "id=");
			say_string(o, m->config.id);
			say(o, ",");
		}
		say(o, "accel=\"%s\",state=\"%s\"} 1\n", i.accel, i.state);
		say(o, "# TYPE mayfly_uptime_seconds gauge\nmayfly_uptime_seconds %" PRIu64 ".%03" PRIu64 "\n",
		    i.uptime_ns / 1000000000, i.uptime_ns / 1000000 % 1000);
		machine_each_device(m->machine, say_type, &t);
	}
	for (unsigned i = 0; i < m->n_sections; i++)
		if (!m->sections[i].group->device)
			say_host_section(o, &m->sections[i]);
}

size_t metrics_render(struct metrics *m, enum metrics_form form, char *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size };

	metrics_collect(m);
	if (form == METRICS_PROMETHEUS)
		say_prometheus(m, &o);
	else
		say_json(m, &o, form);
	return o.len;
}
