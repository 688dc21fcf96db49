/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/log.h"

#include "config.h"
#include "vmm/core/device.h"
#include "vmm/core/utc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_max_level = LOG_LEVEL_WARN;
static int log_fd = 2;

static struct log_style log_style;
static _Thread_local const char *log_thread;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level lvl)
{
	log_max_level = lvl;
}

void log_set_fd(int fd)
{
	log_fd = fd;
}

bool log_enabled(enum log_level lvl)
{
	return lvl <= log_max_level;
}

bool log_level_parse(const char *s, enum log_level *out)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_set_style(const struct log_style *s)
{
	log_style = *s;
}

void log_set_thread(const char *name)
{
	log_thread = name;
}

/* As Firecracker's lines have it; the static program, which is for jails, knows of no zone but UTC. */
static void local_time(time_t s, struct utc *out)
{
#if !MAYFLY_STATIC
	struct tm tm;

	if (localtime_r(&s, &tm))
		s += tm.tm_gmtoff;
#endif
	utc_from_unix(s, out);
}

/* Everything in front of a line's text. */
static int add_head(char *buf, size_t len, enum log_level lvl, const char *file, int line)
{
	static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG" };
	char thread[16] = "main", when[80], origin[128] = "";
	struct timespec ts;
	struct utc t;

	if (!log_style.instance_id)
		return snprintf(buf, len, "mayfly: %s: ", level_names[lvl]);
	clock_gettime(CLOCK_REALTIME, &ts);
	local_time(ts.tv_sec, &t);
	snprintf(when, sizeof(when), "%04lld-%02u-%02uT%02u:%02u:%02u", (long long)t.year, t.month,
		 t.day, t.hour, t.minute, t.second);
	if (log_thread)
		snprintf(thread, sizeof(thread), "%s", log_thread);
	else if (gettid() != getpid())
		prctl(PR_GET_NAME, thread);
	if (log_style.show_origin)
		snprintf(origin, sizeof(origin), ":%.100s:%d", file, line);
	return snprintf(buf, len, "%s.%09ld [%.64s:%s%s%s%s] ", when, ts.tv_nsec,
			log_style.instance_id, thread, log_style.show_level ? ":" : "",
			log_style.show_level ? names[lvl] : "", origin);
}

static const char *source_path(const char *file)
{
	while (!strncmp(file, "../", 3)) /* from the build directory */
		file += 3;
	return file;
}

void log_emit(enum log_level lvl, const struct device *dev, const char *file, int line,
	       const char *fmt, ...)
{
	char buf[1024];
	va_list ap;
	int n;

	file = source_path(file);
	if (!log_enabled(lvl) ||
	    strncmp(file, log_style.only, strlen(log_style.only)))
		return;
	n = add_head(buf, sizeof(buf) / 2, lvl, file, line);
	if (dev)
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, "%s: ", dev->id);
	va_start(ap, fmt);
	n += vsnprintf(buf + n, sizeof(buf) - (size_t)n, fmt, ap);
	va_end(ap);
	if ((size_t)n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	/* One write per line keeps lines of several threads whole; a full pipe loses the line. */
	if (write(log_fd, buf, (size_t)n) < 0)
		return;
}

bool log_site_allows(struct log_site *site)
{
	struct timespec now;
	uint64_t now_s;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now_s = (uint64_t)now.tv_sec;
	/* Races between threads can only let a few lines more or less through. */
	if (now_s - site->window_start_s >= LOG_GUEST_WINDOW_S) {
		if (site->n_dropped)
			log_line(LOG_LEVEL_DEBUG, NULL, "%u similar lines dropped", site->n_dropped);
		site->window_start_s = now_s;
		site->n_lines = site->n_dropped = 0;
	}
	if (site->n_lines >= LOG_GUEST_BURST) {
		site->n_dropped++;
		return false;
	}
	site->n_lines++;
	return true;
}
