/* SPDX-License-Identifier: Apache-2.0 */
/* See live_cmd.h. */
#include "vmm/cli/live_cmd.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/opt.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/live.h"
#include "vmm/machine.h"

enum { MAX_WORDS = 5, LINE_MAX_BYTES = 160, PAGES_PER_MIB = VIRTIO_BALLOON_PAGES_PER_MIB };

const char live_help[] =
	"  balloon                     target, what the guest gave, its memory statistics\n"
	"  balloon MIB                 change the target\n"
	"  balloon stats SECONDS       change the interval of statistics\n"
	"  balloon hints [start|keep|stop]\n"
	"                              run of free page hints: state, begin, begin and let the\n"
	"                              guest keep its pages until stop, end\n"
	"  hotplug [SIZE]              memory plugged in: how much; change what is wanted\n"
	"  limit serial BYTES [BURST]  serial output in bytes a second; 0: no limit\n"
	"  limit pmemN BYTES [OPS]     flushes of persistent memory in bytes and number a second\n"
	"  limit rng BYTES [OPS]       random numbers in bytes and requests a second; 0: no limit\n"
	"  size COLSxROWS [N]          size of console N (0 is the first)\n"
	"  counters                    of these devices\n";

struct command {
	struct machine *m;
	char line[LINE_MAX_BYTES];
	const char *word[MAX_WORDS + 1];
	unsigned n;
	char *answer;
	size_t len;
	struct err *e;
};

static void __attribute__((format(printf, 2, 3))) say(struct command *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(c->answer + c->len, LIVE_ANSWER_MAX - c->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < LIVE_ANSWER_MAX - c->len)
		c->len += (size_t)n;
}

static int bad_word(struct command *c, unsigned i)
{
	if (i < c->n)
		err_set(c->e, EINVAL, "'%.40s' is not understood", c->word[i]);
	else
		err_set(c->e, EINVAL, "'%.40s' wants more words", c->line);
	err_hint(c->e, "help lists the commands");
	return -EINVAL;
}

/* Word i as a number, or a size such as 64K. */
static bool number(const struct command *c, unsigned i, uint64_t max, uint64_t *out)
{
	return i < c->n && opt_parse_size(c->word[i], out) == 0 && *out <= max;
}

static bool is(const struct command *c, unsigned i, const char *word)
{
	return i < c->n && !strcmp(c->word[i], word);
}

/* --- balloon ------------------------------------------------------------------------------ */

static int show_balloon(struct command *c)
{
	struct virtio_balloon_stats s;
	int r = machine_balloon_stats(c->m, &s, c->e);

	if (r < 0)
		return r;
	say(c, "%-24s %u\n%-24s %u\n%-24s %u\n%-24s %u\n", "target_pages", s.target_pages,
	    "actual_pages", s.actual_pages, "target_mib", s.target_pages / PAGES_PER_MIB,
	    "actual_mib", s.actual_pages / PAGES_PER_MIB);
	for (unsigned i = 0; i < VIRTIO_BALLOON_N_STATS; i++)
		if (s.known >> i & 1)
			say(c, "%-24s %" PRIu64 "\n", virtio_balloon_stat_names[i], s.value[i]);
	if (s.known)
		say(c, "%-24s %" PRIu64 "\n", "stats_age_ms", s.age_ns / 1000000);
	if (s.interval_s)
		say(c, "%-24s %u\n", "stats_interval_s", s.interval_s);
	return 0;
}

static int show_hints(struct command *c)
{
	struct virtio_balloon_hinting h;
	int r = machine_balloon_hint_status(c->m, &h, c->e);

	if (r < 0)
		return r;
	say(c, "%-24s %u\n", "host_cmd", h.host_cmd);
	if (h.guest_said)
		say(c, "%-24s %u\n", "guest_cmd", h.guest_cmd);
	return 0;
}

static int do_balloon(struct command *c)
{
	uint64_t n;

	if (c->n == 1)
		return show_balloon(c);
	if (c->n == 2 && number(c, 1, UINT32_MAX, &n))
		return machine_balloon_set(c->m, (uint32_t)n, c->e);
	if (is(c, 1, "stats") && c->n <= 3)
		return number(c, 2, UINT16_MAX, &n) ?
			       machine_balloon_set_interval(c->m, (uint16_t)n, c->e) :
			       bad_word(c, 2);
	if (!is(c, 1, "hints") || c->n > 3)
		return bad_word(c, 1);
	if (c->n == 2)
		return show_hints(c);
	if (is(c, 2, "start") || is(c, 2, "keep"))
		return machine_balloon_hint_start(c->m, is(c, 2, "start"), c->e);
	if (is(c, 2, "stop"))
		return machine_balloon_hint_stop(c->m, c->e);
	return bad_word(c, 2);
}

static int do_hotplug(struct command *c)
{
	struct virtio_mem_state s;
	uint64_t n;
	int r;

	if (c->n > 1)
		return c->n == 2 && number(c, 1, UINT64_MAX, &n) ? machine_hotplug_set(c->m, n, c->e) :
								   bad_word(c, 1);
	r = machine_hotplug_state(c->m, &s, c->e);
	if (r < 0)
		return r;
	say(c,
	    "%-24s %" PRIu64 "\n%-24s %" PRIu64 "\n%-24s %" PRIu64 "\n%-24s %" PRIu64 "\n"
	    "%-24s %" PRIu64 "\n", "total_size_mib", s.total_bytes >> 20, "block_size_mib",
	    s.block_bytes >> 20, "slot_size_mib", s.slot_bytes >> 20, "plugged_size_mib",
	    s.plugged_bytes >> 20, "requested_size_mib", s.requested_bytes >> 20);
	return 0;
}

/* --- the others --------------------------------------------------------------------------- */

static struct limiter_bucket_config a_second(uint64_t size, uint64_t burst)
{
	return (struct limiter_bucket_config){ size, burst, size ? 1000 : 0 };
}

static int do_limit(struct command *c)
{
	struct limiter_bucket_config first, second;
	uint64_t a, b = 0;
	unsigned long pmem = 0;
	char *end = NULL;

	if (!number(c, 2, UINT64_MAX, &a))
		return bad_word(c, c->n < 2 ? c->n : 2);
	if (c->n > 4 || (c->n == 4 && !number(c, 3, UINT64_MAX, &b)))
		return bad_word(c, 3);
	if (is(c, 1, "serial")) {
		first = a_second(a, b);
		machine_serial_limit(c->m, &first);
		return 0;
	}
	first = a_second(a, 0);
	second = a_second(b, 0);
	if (!strncmp(c->word[1], "pmem", 4) && isdigit(c->word[1][4]))
		pmem = strtoul(c->word[1] + 4, &end, 10);
	if (end && !*end && pmem < 100)
		return machine_pmem_limit(c->m, (unsigned)pmem, &first, c->n == 4 ? &second : NULL, c->e);
	if (!is(c, 1, "rng"))
		return bad_word(c, 1);
	return machine_rng_limit(c->m, &first, c->n == 4 ? &second : NULL, c->e);
}

static int do_size(struct command *c)
{
	unsigned long cols = 0, rows = 0;
	uint64_t index = 0;
	char *end = NULL;

	if (c->n > 1 && isdigit(*c->word[1]))
		cols = strtoul(c->word[1], &end, 10);
	if (end && end[0] == 'x' && isdigit(end[1]))
		rows = strtoul(end + 1, &end, 10);
	if (!cols || !rows || *end || cols > UINT16_MAX || rows > UINT16_MAX)
		return bad_word(c, 1);
	if (c->n > 3 || (c->n == 3 && !number(c, 2, UINT32_MAX, &index)))
		return bad_word(c, 2);
	machine_console_resize(c->m, (unsigned)index, (uint16_t)cols, (uint16_t)rows);
	return 0;
}

static int do_counters(struct command *c)
{
	struct virtio_balloon_counters b;
	struct virtio_console_counters con;
	struct virtio_mem_counters h;
	struct virtio_pmem_counters p;
	struct virtio_rng_counters r;
	struct err none;

	if (machine_balloon_counters(c->m, &b, &none) == 0)
		say(c,
		    "balloon.inflates %" PRIu64 "\nballoon.inflated_pages %" PRIu64
		    "\nballoon.deflates %" PRIu64 "\nballoon.stats_updates %" PRIu64
		    "\nballoon.stats_fails %" PRIu64 "\nballoon.reports %" PRIu64
		    "\nballoon.reported_bytes %" PRIu64 "\nballoon.report_fails %" PRIu64
		    "\nballoon.hints %" PRIu64 "\nballoon.hinted_bytes %" PRIu64
		    "\nballoon.hint_fails %" PRIu64 "\nballoon.event_fails %" PRIu64 "\n",
		    b.inflates, b.inflated_pages, b.deflates, b.stats_updates, b.stats_fails,
		    b.reports, b.reported_bytes, b.report_fails, b.hints, b.hinted_bytes,
		    b.hint_fails, b.event_fails);
	if (machine_rng_counters(c->m, &r, &none) == 0)
		say(c,
		    "rng.requests %" PRIu64 "\nrng.bytes %" PRIu64 "\nrng.host_fails %" PRIu64
		    "\nrng.throttled %" PRIu64 "\n", r.requests, r.bytes, r.host_fails, r.throttled);
	if (machine_hotplug_counters(c->m, &h, &none) == 0)
		say(c,
		    "hotplug.plugs %" PRIu64 "\nhotplug.plugged_bytes %" PRIu64
		    "\nhotplug.plug_fails %" PRIu64 "\nhotplug.unplugs %" PRIu64
		    "\nhotplug.unplugged_bytes %" PRIu64 "\nhotplug.unplug_fails %" PRIu64
		    "\nhotplug.unplug_alls %" PRIu64 "\nhotplug.states %" PRIu64
		    "\nhotplug.state_fails %" PRIu64 "\nhotplug.discard_fails %" PRIu64
		    "\nhotplug.event_fails %" PRIu64 "\n",
		    h.plugs, h.plugged_bytes, h.plug_fails, h.unplugs, h.unplugged_bytes,
		    h.unplug_fails, h.unplug_alls, h.states, h.state_fails, h.discard_fails,
		    h.event_fails);
	for (unsigned i = 0; machine_pmem_counters(c->m, i, &p, &none) == 0; i++)
		say(c,
		    "pmem%u.requests %" PRIu64 "\npmem%u.syncs %" PRIu64 "\npmem%u.fails %" PRIu64
		    "\npmem%u.event_fails %" PRIu64 "\npmem%u.throttled %" PRIu64
		    "\npmem%u.lost_pages %" PRIu64 "\n", i, p.requests, i, p.syncs, i, p.fails, i,
		    p.event_fails, i, p.throttled, i, p.lost_pages);
	machine_console_counters(c->m, &con);
	say(c,
	    "console.tx_bytes %" PRIu64 "\nconsole.rx_bytes %" PRIu64 "\nconsole.tx_dropped %" PRIu64
	    "\nconsole.ctrl_fails %" PRIu64 "\n", con.tx_bytes, con.rx_bytes, con.tx_dropped,
	    con.ctrl_fails);
	say(c, "serial.dropped %" PRIu64 "\n", machine_serial_dropped(c->m));
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(struct command *c);
} commands[] = {
	{ "balloon", do_balloon },
	{ "hotplug", do_hotplug },
	{ "limit", do_limit },
	{ "size", do_size },
	{ "counters", do_counters },
};

static void split(struct command *c)
{
	char *save = NULL;

	for (char *w = strtok_r(c->line, " ", &save); w && c->n < MAX_WORDS;
	     w = strtok_r(NULL, " ", &save))
		c->word[c->n++] = w;
}

int live_command(struct machine *m, const char *line, char answer[LIVE_ANSWER_MAX], struct err *e)
{
	struct command c = { .m = m, .answer = answer, .e = e };

	answer[0] = '\0';
	if ((size_t)snprintf(c.line, sizeof(c.line), "%s", line) >= sizeof(c.line))
		return err_set(e, EINVAL, "the command is too long");
	split(&c);
	for (unsigned i = 0; c.n && i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, c.word[0]))
			return commands[i].fn(&c);
	return -ENOENT;
}
