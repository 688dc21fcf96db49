/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_JAILER_JAILER_H
#define MAYFLY_VMM_JAILER_JAILER_H
/*
 * The jailer: puts a program into a directory of its own, with its own mounts, limits and user, and
 * becomes it. See jailer.c for the order of steps, args.c for the options, jail.c for the directory,
 * cgroup.c.
 *
 * Threads: one, of a process that has done nothing else.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { JAIL_MAX_CGROUPS = 32, JAIL_ID_MAX = 64 };

struct jail_config { /* strings are argv's */
	const char *id, *exec_file, *exec_name, *base;
	uid_t uid;
	gid_t gid;
	const char *netns; /* a path, or NULL */
	bool daemonize, new_pid_ns;
	unsigned cgroup_version;
	const char *parent_cgroup; /* below the hierarchy's root */
	struct {
		const char *file, *value; /* "cpu.shares", "10" */
	} cgroups[JAIL_MAX_CGROUPS];
	unsigned n_cgroups;
	const char *node; /* of NUMA, in decimal; or NULL */
	char node_cpus[256];
	uint64_t max_file_bytes; /* UINT64_MAX: no limit */
	uint64_t max_files;
	char **rest; /* what the program is told, ends with NULL */
	bool version, help;
};

/* Checks all that can be seen without looking at the host. -EINVAL with Firecracker's messages; spoils
 * argv. */
int jail_parse(struct jail_config *c, int argc, char **argv, struct err *e);

void jail_print_options(void); /* a line each, for help */

/* Makes BASE/EXEC NAME/ID/root, or takes it over, and copies the program into it. Returns the open
 * directory. */
int jail_open_root(const struct jail_config *c, struct err *e);
/* From here on the directory is all there is. */
int jail_enter(int root, struct err *e);
/* Inside: the directories and devices that a monitor needs, for the user. */
int jail_make_devices(const struct jail_config *c, struct err *e);
/* Inside: EXEC NAME.pid. */
int jail_write_pid(const struct jail_config *c, pid_t pid, struct err *e);

/* Whether the controller's hierarchy is there. */
bool jail_has_cgroup(const struct jail_config *c, const char *controller);
/* Turns the node into values of control groups. -ENODEV: there is no such node. */
int jail_choose_node(struct jail_config *c, struct err *e);
/* Makes the groups, writes their values, and puts this process into them. */
int jail_join_cgroups(const struct jail_config *c, struct err *e);

/* The command. An exit code, if it comes back. */
int jailer_main(int argc, char **argv);

#endif
