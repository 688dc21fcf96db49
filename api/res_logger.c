/* SPDX-License-Identifier: Apache-2.0 */
/* /logger. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{ "off", LOG_LEVEL_OFF },    { "trace", LOG_LEVEL_DEBUG },  { "debug", LOG_LEVEL_DEBUG },
	{ "info", LOG_LEVEL_INFO },  { "warn", LOG_LEVEL_WARN },    { "warning", LOG_LEVEL_WARN },
	{ "error", LOG_LEVEL_ERROR },
};

static bool parse_level(const char *s, enum log_level *out)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(levels); i++) {
		if (!strcasecmp(s, levels[i].name)) {
			*out = levels[i].level;
			return true;
		}
	}
	return false;
}

/* The descriptor of the log stays the same, since another thread may be writing. */
static void use(struct vm *vm, int fd)
{
	if (vm->log_fd < 0) {
		vm->log_fd = fd;
		log_set_fd(fd);
		return;
	}
	dup3(fd, vm->log_fd, O_CLOEXEC);
	close(fd);
}

void api_put_logger(struct api_call *c)
{
	struct logger_body *b = c->object;
	enum log_level level = LOG_LEVEL_INFO;
	char buf[API_OS_ERROR];
	int fd = -1;

	if (b->level && !parse_level(b->level, &level)) {
		api_fault(c, "Logger error: Failed to parse string to level filter: %s", b->level);
		return;
	}
	if (b->log_path) { /* both ways, so that a FIFO without a reader opens too */
		fd = open(b->log_path,
			  O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
		if (fd < 0) {
			api_fault(c, "Logger error: Failed to open target file: %s",
				  api_os_error(errno, buf));
			return;
		}
		use(c->vm, fd);
	}
	log_set_level(level);
	c->vm->host.set_log(c->vm->host.ctx, b);
}
