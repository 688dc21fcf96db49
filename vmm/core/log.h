/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_LOG_H
#define MAYFLY_VMM_CORE_LOG_H
/*
 * The log: one line per event, `id: what`, to standard error or a file. Any thread.
 *
 * The level, the file and the style are the process's only mutable globals, set by whoever reads
 * the configuration. A line that a guest can cause goes through log_guest(), which drops it after
 * LOG_GUEST_BURST lines per LOG_GUEST_WINDOW_S seconds and call site, and counts what it dropped.
 */
#include <stdbool.h>
#include <stdint.h>

struct device;

enum log_level { LOG_LEVEL_OFF = -1, LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum { LOG_GUEST_BURST = 10, LOG_GUEST_WINDOW_S = 5 };

struct log_site { /* one per log_guest() call site, zeroed at start */
	uint64_t window_start_s;
	uint32_t n_lines, n_dropped;
};

void log_set_level(enum log_level level);
/* Takes fd: lines go there from now on (2 at start). */
void log_set_fd(int fd);
bool log_enabled(enum log_level level);
/* Parses "error", "warn", "info", "debug"; false for anything else. */
bool log_level_parse(const char *s, enum log_level *out);

/* How lines look. Zeroed: "mayfly: warn: disk0: text". */
struct log_style {
	/* Not NULL: lines as Firecracker has them, "2026-08-21T12:00:00.123456789 [ID:THREAD] text",
	 * with the level and the place in the source where they come from if asked. */
	const char *instance_id;
	bool show_level, show_origin;
	char only[64]; /* lines from files whose path begins so; empty: all */
};
void log_set_style(const struct log_style *s); /* instance_id is borrowed for good */
/* What this thread is called in lines from now on; NULL: its own name. */
void log_set_thread(const char *name);

void log_emit(enum log_level level, const struct device *dev, const char *file, int line,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
bool log_site_allows(struct log_site *site);
#define log_line(level, dev, ...) log_emit(level, dev, __FILE__, __LINE__, __VA_ARGS__)

#define log_error(dev, ...) log_line(LOG_LEVEL_ERROR, dev, __VA_ARGS__)
#define log_warn(dev, ...)  log_line(LOG_LEVEL_WARN, dev, __VA_ARGS__)
#define log_info(dev, ...)  log_line(LOG_LEVEL_INFO, dev, __VA_ARGS__)
#define log_debug(dev, ...)                                                                        \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_line(LOG_LEVEL_DEBUG, dev, __VA_ARGS__);                               \
	} while (0)
/* A line at debug level that the guest can cause. */
#define log_guest(dev, ...)                                                                        \
	do {                                                                                       \
		static struct log_site log_site_here;                                              \
		if (log_enabled(LOG_LEVEL_DEBUG) && log_site_allows(&log_site_here))               \
			log_line(LOG_LEVEL_DEBUG, dev, __VA_ARGS__);                               \
	} while (0)

#endif
