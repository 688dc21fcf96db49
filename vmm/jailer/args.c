/* SPDX-License-Identifier: Apache-2.0 */
/* The jailer's options: those of Firecracker's, with its messages. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

enum option { ID, EXEC_FILE, UID, GID, BASE, NETNS, DAEMONIZE, NEW_PID_NS, CGROUP, CGROUP_VERSION,
	      PARENT_CGROUP, RESOURCE_LIMIT, NODE, VERSION, HELP };

static const struct {
	const char *name, *value; /* NULL: none */
	const char *help;         /* NULL: not listed */
	bool required, many;
} options[] = {
	[ID] = { "id", "ID", "names the jail; 1 to 64 letters, digits, -", true },
	[EXEC_FILE] = { "exec-file", "FILE", "the program, which is copied", true },
	[UID] = { "uid", "N", "the user that it becomes", true },
	[GID] = { "gid", "N", "and the group", true },
	[BASE] = { "chroot-base-dir", "DIR", "where jails are: DIR/FILE's name/ID/root; /srv/jailer" },
	[NETNS] = { "netns", "PATH", "network namespace to join" },
	[DAEMONIZE] = { "daemonize", NULL, "a session of its own, standard files on /dev/null" },
	[NEW_PID_NS] = { "new-pid-ns", NULL, "a process namespace of its own" },
	[CGROUP] = { "cgroup", "FILE=VALUE", "may be repeated: cpu.shares=10", false, true },
	[CGROUP_VERSION] = { "cgroup-version", "1|2", "1" },
	[PARENT_CGROUP] = { "parent-cgroup", "PATH", "FILE's name" },
	[RESOURCE_LIMIT] = { "resource-limit", "NAME=N", "may be repeated: fsize, no-file (2048)",
			     false, true },
	[NODE] = { "node", "N", "processors and memory of one NUMA node" },
	[VERSION] = { "version", NULL, "" },
	[HELP] = { "help" },
};

void jail_print_options(void)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].value ? " " : "",
			 options[i].value ? options[i].value : "");
		if (options[i].help)
			printf(*options[i].help ? "  %-27s %s\n" : "  %s\n", left, options[i].help);
	}
}

static bool to_number(const char *s, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(s, &end, 10);
	return isdigit((unsigned char)*s) && !*end && !errno && *out <= max;
}

static int check_id(const char *id, struct err *e)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)id[i]) && id[i] != '-')
			return err_set(e, EINVAL, "Invalid instance ID: Invalid char (%c) at position %zu",
				       id[i], i);
	if (len < 1 || len > JAIL_ID_MAX)
		return err_set(e, EINVAL, "Invalid instance ID: Invalid len (%zu);  the length must be "
					  "between 1 and %d", len, JAIL_ID_MAX);
	return 0;
}

/* Relative, without "." and "..". */
static bool is_inner_path(const char *path)
{
	size_t n;

	if (*path == '/' || !*path)
		return false;
	for (; *path; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		if ((n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
	}
	return true;
}

static int add_cgroup(struct jail_config *c, char *s, struct err *e)
{
	char *value = strchr(s, '='), *dot;

	if (!value || !value[1] || strchr(value + 1, '='))
		return err_set(e, EINVAL, "Invalid format for cgroups: %s", s);
	*value++ = '\0';
	dot = strchr(s, '.');
	if (!dot || strchr(s, '/') || dot == s || !dot[1] || strstr(s, ".."))
		return err_set(e, EINVAL, "Cgroup invalid file: %s", s);
	if (c->n_cgroups == JAIL_MAX_CGROUPS)
		return err_set(e, EINVAL, "more than %d --cgroup", JAIL_MAX_CGROUPS);
	c->cgroups[c->n_cgroups].file = s;
	c->cgroups[c->n_cgroups++].value = value;
	return 0;
}

static int add_limit(struct jail_config *c, char *s, struct err *e)
{
	char *value = strchr(s, '=');
	uint64_t n;

	if (!value)
		return err_set(e, EINVAL, "Invalid format for resources limits: %s", s);
	*value++ = '\0';
	if (!to_number(value, UINT64_MAX, &n))
		return err_set(e, EINVAL, "Invalid limit value for resource: %s: invalid digit found in "
					  "string", value);
	if (!strcmp(s, "fsize"))
		c->max_file_bytes = n;
	else if (!strcmp(s, "no-file"))
		c->max_files = n;
	else
		return err_set(e, EINVAL, "Invalid resource argument: %s", s);
	return 0;
}

static int take(struct jail_config *c, enum option o, char *s, struct err *e)
{
	uint64_t n = 0;

	switch (o) {
	case ID:
		c->id = s;
		return check_id(s, e);
	case EXEC_FILE:
		c->exec_file = s;
		return 0;
	case UID:
	case GID:
		if (!to_number(s, UINT32_MAX - 1, &n)) /* the last one means "unchanged" */
			return err_set(e, EINVAL, "Invalid %s: %s", options[o].name, s);
		if (o == UID)
			c->uid = (uid_t)n;
		else
			c->gid = (gid_t)n;
		return 0;
	case BASE:
		c->base = s;
		return 0;
	case NETNS:
		c->netns = s;
		return 0;
	case DAEMONIZE:
		c->daemonize = true;
		return 0;
	case NEW_PID_NS:
		c->new_pid_ns = true;
		return 0;
	case CGROUP:
		return add_cgroup(c, s, e);
	case CGROUP_VERSION:
		if (!to_number(s, 2, &n) || !n)
			return err_set(e, EINVAL, "%s is an invalid cgroup version specifier", s);
		c->cgroup_version = (unsigned)n;
		return 0;
	case PARENT_CGROUP:
		if (!is_inner_path(s))
			return err_set(e, EINVAL, "Parent cgroup path is invalid. Path should not be "
						  "absolute or contain '..' or '.'");
		c->parent_cgroup = s;
		return 0;
	case RESOURCE_LIMIT:
		return add_limit(c, s, e);
	case NODE:
		if (!to_number(s, 1023, &n) || (s[0] == '0' && s[1]))
			return err_set(e, EINVAL, "Invalid numa node: %s", s);
		c->node = s;
		return 0;
	case VERSION:
		c->version = true;
		return 0;
	case HELP:
		c->help = true;
		return 0;
	}
	return 0;
}

/* The program's name: the last part of its path. */
static int name_program(struct jail_config *c, struct err *e)
{
	const char *slash = strrchr(c->exec_file, '/');

	c->exec_name = slash ? slash + 1 : c->exec_file;
	if (!*c->exec_name || !strcmp(c->exec_name, ".") || !strcmp(c->exec_name, "..") ||
	    strlen(c->exec_name) > NAME_MAX - 4)
		return err_set(e, EINVAL, "Failed to extract filename from path %s", c->exec_file);
	if (!c->parent_cgroup)
		c->parent_cgroup = c->exec_name;
	return 0;
}

int jail_parse(struct jail_config *c, int argc, char **argv, struct err *e)
{
	bool seen[ARRAY_LEN(options)] = { false };
	static char *nothing[] = { NULL };
	int r;

	*c = (struct jail_config){
		.base = "/srv/jailer",
		.cgroup_version = 1,
		.max_file_bytes = UINT64_MAX,
		.max_files = 2048,
		.rest = nothing,
	};
	for (int i = 0; i < argc; i++) {
		size_t o = 0;

		if (!strcmp(argv[i], "--")) {
			c->rest = argv + i + 1;
			break;
		}
		while (o < ARRAY_LEN(options) &&
		       (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, options[o].name)))
			o++;
		if (o == ARRAY_LEN(options))
			return err_set(e, EINVAL, "Arguments parsing error: Found argument '%s' which "
						  "wasn't expected, or isn't valid in this context.", argv[i]);
		if (seen[o] && !options[o].many)
			return err_set(e, EINVAL, "Arguments parsing error: The argument '%s' was provided "
						  "more than once.", options[o].name);
		seen[o] = true;
		if (options[o].value && (i + 1 >= argc || !strncmp(argv[i + 1], "--", 2)))
			return err_set(e, EINVAL, "Arguments parsing error: The argument '%s' requires a "
						  "value, but none was supplied.", options[o].name);
		r = take(c, (enum option)o, options[o].value ? argv[++i] : NULL, e);
		if (r < 0)
			return r;
	}
	if (c->version || c->help)
		return 0;
	for (size_t o = 0; o < ARRAY_LEN(options); o++)
		if (options[o].required && !seen[o])
			return err_set(e, EINVAL, "Arguments parsing error: Argument '%s' required, but not "
						  "found.", options[o].name);
	return name_program(c, e);
}
