/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of the jail: HIERARCHY/PARENT/ID, version 1 (a hierarchy for each controller) or 2
 * (one for all, its controllers enabled on the way down). A version 1 value that a group cannot be
 * without (cpuset.*) is taken from the group above.
 *
 * Refs: Linux Documentation/admin-guide/cgroup-v1/, cgroup-v2.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

/* Octal escapes of /proc/mounts: space, tab, newline, backslash. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static bool has_option(char *options, const char *name)
{
	for (char *o = strtok(options, ","); o; o = strtok(NULL, ","))
		if (!strcmp(o, name))
			return true;
	return false;
}

/* Where the controller's hierarchy is mounted: to `path`. False if it is not. */
static bool find_hierarchy(const struct jail_config *c, const char *controller, char *path, size_t len)
{
	enum { DEVICE, DIRECTORY, TYPE, OPTIONS, N_FIELDS };
	FILE *f = fopen("/proc/mounts", "re");
	char *line = NULL, *field[N_FIELDS];
	bool found = false;
	size_t room = 0;

	while (f && !found && getline(&line, &room, f) > 0) {
		char *rest = line;
		unsigned n = 0;

		while (n < N_FIELDS && (field[n] = strsep(&rest, " \n")))
			n++;
		found = n == N_FIELDS && (c->cgroup_version == 2 ? !strcmp(field[TYPE], "cgroup2") :
				!strcmp(field[TYPE], "cgroup") && has_option(field[OPTIONS], controller));
		if (found) {
			unescape(field[DIRECTORY]);
			snprintf(path, len, "%s", field[DIRECTORY]);
		}
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* The first line, without its end; empty if there is none. */
static void read_at(int dir, const char *file, char *line, size_t len)
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? 0 : read(fd, line, len - 1);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

bool jail_has_cgroup(const struct jail_config *c, const char *controller)
{
	char path[PATH_MAX], line[256];
	size_t n = strlen(controller);
	int dir;

	if (!find_hierarchy(c, controller, path, sizeof(path)))
		return false;
	if (c->cgroup_version == 1)
		return true;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	read_at(dir, "cgroup.controllers", line, sizeof(line));
	close(dir);
	for (const char *p = line; (p = strstr(p, controller)); p += n)
		if ((p == line || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static int write_at(int dir, const char *file, const char *value, struct err *e)
{
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = strlen(value);

	if (fd >= 0 && write(fd, value, len) == (ssize_t)len) {
		close(fd);
		return 0;
	}
	err_set(e, errno, "Failed to write to %s: %s", file, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -e->code;
}

/* Makes or opens the next group down, ready to have `file` written. */
static int step(const struct jail_config *c, int above, const char *name, const char *file,
		const char *controller, struct err *e)
{
	char value[256], enable[64];
	int fd;

	if (c->cgroup_version == 2) {
		snprintf(enable, sizeof(enable), "+%s", controller);
		if (write_at(above, "cgroup.subtree_control", enable, e) < 0) {
			err_set(e, ENODEV, "Controller %s is unavailable", controller);
			return -ENODEV;
		}
	}
	if (mkdirat(above, name, 0755) < 0 && errno != EEXIST)
		return err_set(e, errno, "Failed to create directory %s: %s", name, strerror(errno));
	fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "Failed to open directory %s: %s", name, strerror(errno));
	if (c->cgroup_version == 1 && !strncmp(file, "cpuset.", 7)) {
		read_at(fd, file, value, sizeof(value));
		if (!*value) {
			read_at(above, file, value, sizeof(value));
			write_at(fd, file, value, NULL); /* what matters is written later, and checked */
		}
	}
	return fd;
}

/* Returns the group's open directory. */
static int open_group(const struct jail_config *c, const char *file, struct err *e)
{
	char path[PATH_MAX], controller[32], *name, *rest;
	int at;

	snprintf(controller, sizeof(controller), "%.*s", (int)strcspn(file, "."), file);
	if (!find_hierarchy(c, controller, path, sizeof(path))) {
		if (c->cgroup_version == 2)
			return err_set(e, ENOENT, "Hierarchy not found: No hierarchy found for this cgroup "
						  "version.");
		return err_set(e, ENOENT, "Controller %s is unavailable", controller);
	}
	at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return err_set(e, errno, "Failed to open file %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/%s", c->parent_cgroup, c->id);
	for (name = strtok_r(path, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		int fd = step(c, at, name, file, controller, e);

		close(at);
		if (fd < 0)
			return fd;
		at = fd;
	}
	return at;
}

int jail_join_cgroups(const struct jail_config *c, struct err *e)
{
	char pid[16];
	int r = 0;

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	/* all values first: joining is what counts against them */
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; r == 0 && i < c->n_cgroups; i++) {
			int group = open_group(c, c->cgroups[i].file, e);

			if (group < 0)
				return group;
			if (pass)
				r = write_at(group, c->cgroup_version == 2 ? "cgroup.procs" : "tasks", pid, e);
			else
				r = write_at(group, c->cgroups[i].file, c->cgroups[i].value, e);
			close(group);
		}
	return r;
}
