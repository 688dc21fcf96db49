/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --node N: processors and memory of one NUMA node, by the cpuset controller. Firecracker's jailer had
 * this option once, and callers still give it, with 0 on whatever host.
 *
 * Refs: Linux Documentation/ABI/stable/sysfs-devices-node; admin-guide/cgroup-v1/cpusets.rst.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

/* The first line of a file, without its end. */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool good = f && fgets(line, (int)size, f) && strchr(line, '\n');

	if (good)
		line[strcspn(line, "\n")] = '\0';
	if (f)
		fclose(f);
	return good && *line;
}

int jail_choose_node(struct jail_config *c, struct err *e)
{
	char path[80], online[64];

	if (!c->node)
		return 0;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%s/cpulist", c->node);
	if (!read_line(path, c->node_cpus, sizeof(c->node_cpus))) {
		err_set(e, ENODEV, "Invalid numa node: %s", c->node);
		err_hint(e, "%s names no processors", path);
		return -ENODEV;
	}
	/* a host of one node leaves no choice, and need not have the controller */
	if (read_line("/sys/devices/system/node/online", online, sizeof(online)) &&
	    !strcmp(online, c->node) && !jail_has_cgroup(c, "cpuset"))
		return 0;
	if (c->n_cgroups + 2 > JAIL_MAX_CGROUPS)
		return err_set(e, EINVAL, "--node and more than %d --cgroup", JAIL_MAX_CGROUPS - 2);
	/* first, so that those given by name count */
	memmove(c->cgroups + 2, c->cgroups, c->n_cgroups * sizeof(*c->cgroups));
	c->n_cgroups += 2;
	c->cgroups[0].file = "cpuset.cpus";
	c->cgroups[0].value = c->node_cpus;
	c->cgroups[1].file = "cpuset.mems";
	c->cgroups[1].value = c->node;
	return 0;
}
