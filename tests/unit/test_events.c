/* SPDX-License-Identifier: Apache-2.0 */
/* What events look like as lines, and what readers get who come late or are slow. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "vmm/core/err.h"
#include "vmm/core/events.h"

static struct events *make(void)
{
	struct events *ev;
	struct err e;

	cr_assert(events_create(&ev, &e) == 0);
	return ev;
}

/* The next line as an object, which has to be one; NULL: there is none. */
static json_t *next(struct events *ev, uint64_t *seq)
{
	char line[EVENTS_LINE_MAX];
	size_t n = events_read(ev, seq, line);
	json_t *o;

	if (!n)
		return NULL;
	cr_assert(n == strlen(line) && line[n - 1] == '\n' && !memchr(line, '\n', n - 1));
	o = json_loads(line, 0, NULL);
	cr_assert(json_is_object(o), "%s", line);
	return o;
}

static const char *text(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static json_int_t number(const json_t *o, const char *name)
{
	cr_assert(json_is_integer(json_object_get(o, name)), "%s", name);
	return json_integer_value(json_object_get(o, name));
}

Test(events, nothing_is_read_before_something_is_added)
{
	struct events *ev = make();
	uint64_t seq = 1;

	cr_assert(!next(ev, &seq) && seq == 1);
	events_destroy(ev);
}

Test(events, fields_are_members_in_their_order)
{
	struct events *ev = make();
	char line[EVENTS_LINE_MAX];
	uint64_t seq = 1;

	events_add(ev, "ended",
		   (struct event_field[]){ { "why", "exit" }, { "code", NULL, UINT64_MAX }, { NULL } });
	events_read(ev, &seq, line);
	cr_assert(!strncmp(line, "{\"seq\":1,\"time\":\"20", 19), "%s", line);
	cr_assert(strstr(line, "Z\",\"event\":\"ended\",\"why\":\"exit\",\"code\":18446744073709551615}\n"),
		  "%s", line);
	cr_assert(seq == 2);
	events_destroy(ev);
}

Test(events, any_bytes_make_json_and_long_texts_are_cut)
{
	struct events *ev = make();
	char all[256], longer[1000];
	uint64_t seq = 1;
	json_t *o;

	for (unsigned i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	events_add(ev, "x", (struct event_field[]){ { "a", all }, { NULL } });
	memset(longer, '"', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (unsigned cut = 0; cut < 8; cut++) /* wherever the end of the room is */
		events_add(ev, "x", (struct event_field[]){ { "pad", all + 255 - cut }, { "a", longer },
							    { "b", longer }, { "c", NULL, 1 }, { NULL } });
	for (unsigned i = 0; i < 9; i++) {
		o = next(ev, &seq);
		cr_assert(text(o, "a")[0] == (i ? '"' : 1));
		json_decref(o);
	}
	events_destroy(ev);
}

Test(events, a_late_reader_is_told_what_it_missed_and_gets_the_rest)
{
	enum { N = EVENTS_KEPT + 100 };
	struct events *ev = make();
	uint64_t seq = 1;
	json_t *o;

	for (unsigned i = 1; i <= N; i++)
		events_add(ev, "x", (struct event_field[]){ { "i", NULL, i }, { NULL } });
	o = next(ev, &seq);
	cr_assert_str_eq(text(o, "event"), "lost");
	cr_assert(number(o, "count") == 100 && number(o, "seq") == 100);
	json_decref(o);
	for (unsigned i = 101; i <= N; i++) {
		o = next(ev, &seq);
		cr_assert(number(o, "i") == i && number(o, "seq") == i);
		json_decref(o);
	}
	cr_assert(!next(ev, &seq));
	events_destroy(ev);
}

static void *add_many(void *ctx)
{
	for (unsigned i = 0; i < 20000; i++)
		events_add(ctx, "x", NULL);
	return NULL;
}

Test(events, threads_may_add_while_one_reads)
{
	struct events *ev = make();
	uint64_t seq = 1, want = 1;
	pthread_t t[3];

	for (unsigned i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, add_many, ev);
	while (seq <= 60000) {
		json_t *o = next(ev, &seq);

		if (!o)
			continue;
		want += !strcmp(text(o, "event"), "lost") ? (uint64_t)number(o, "count") : 1;
		cr_assert(want == seq && (uint64_t)number(o, "seq") == seq - 1);
		json_decref(o);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	events_destroy(ev);
}

static void count(void *ctx)
{
	(*(unsigned *)ctx)++;
}

Test(events, each_event_wakes_and_none_needs_anybody)
{
	struct events *ev = make();
	unsigned n = 0;

	events_add(ev, "x", NULL);
	events_set_wake(ev, count, &n);
	events_add(ev, "x", NULL);
	events_add(ev, "x", NULL);
	events_set_wake(ev, NULL, NULL);
	events_add(ev, "x", NULL);
	cr_assert(n == 2);
	events_add(NULL, "x", NULL);
	events_destroy(ev);
	events_destroy(NULL);
}
