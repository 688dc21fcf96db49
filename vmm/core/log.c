/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/log.h"

#include "vmm/core/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_max_level = LOG_LEVEL_WARN;
static int log_fd = 2;

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

void log_line(enum log_level lvl, const struct device *dev, const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int n;

	if (!log_enabled(lvl))
		return;
	n = snprintf(buf, sizeof(buf), "mayfly: %s: %s%s", level_names[lvl], dev ? dev->id : "",
		     dev ? ": " : "");
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
