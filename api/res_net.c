/* SPDX-License-Identifier: Apache-2.0 */
/* /network-interfaces/{iface_id}. Taps are opened now, and held until the machine has them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/resources.h"
#include "api/vm.h"
#include "vmm/core/err.h"
#include "vmm/live.h"

enum { MIN_MTU = 68 };

static bool check(struct api_call *c, const struct net_body *b, int at)
{
	const struct schema_list *l = &c->vm->config.network_interfaces;
	size_t i;

	for (i = 0; i < l->n; i++) {
		const struct net_body *n = l->items[i];

		if ((int)i != at && n->guest_mac && b->guest_mac && !strcmp(n->guest_mac, b->guest_mac)) {
			api_fault(c, "Network config error: The MAC address is already in use: %s",
				  b->guest_mac);
			return false;
		}
	}
	if (b->mtu.given && b->mtu.v < MIN_MTU) {
		api_fault(c, "Network config error: The MTU %u is not between %d and 65535",
			  (unsigned)b->mtu.v, MIN_MTU);
		return false;
	}
	if (at < 0 && l->n == MACHINE_MAX_NETS) {
		api_fault(c, "Network config error: more than %d network interfaces",
			  MACHINE_MAX_NETS);
		return false;
	}
	return true;
}

/* The tap, or -1 with a fault. The one that this interface has already is kept. */
static int open_tap(struct api_call *c, const struct net_body *b, int at)
{
	const struct net_body *old = at < 0 ? NULL : c->vm->config.network_interfaces.items[at];
	char buf[API_OS_ERROR];
	struct err e = { 0 };
	int fd;

	if (old && !strcmp(old->host_dev_name, b->host_dev_name)) {
		fd = c->vm->tap_fds[at];
		c->vm->tap_fds[at] = -1;
		return fd;
	}
	fd = machine_open_tap(b->host_dev_name, &e);
	if (fd < 0)
		api_fault(c, "Network config error: Could not create the network device: Open tap "
			     "device failed: Error while creating ifreq structure: %s. Invalid "
			     "TUN/TAP Backend provided by %s. Check our documentation on setting up "
			     "the network devices.", api_os_error(e.code, buf), b->host_dev_name);
	return fd;
}

/* The last one takes the place of the one that goes. */
static void remove_net(struct vm *vm, int at)
{
	struct schema_list *l = &vm->config.network_interfaces;

	schema_free(&schema_net, l->items[at]);
	if (vm->tap_fds[at] >= 0)
		close(vm->tap_fds[at]);
	l->n--;
	l->items[at] = l->items[l->n];
	vm->tap_fds[at] = vm->tap_fds[l->n];
	vm->tap_fds[l->n] = -1;
}

/* Into the running machine. */
static bool plug_net(struct api_call *c, const struct net_body *b, int fd)
{
	struct machine_net net;
	struct err e = { 0 };

	vm_fill_net(c->vm, b, fd, &net);
	if (machine_plug_net(c->vm->machine, &net, &e) == 0)
		return true;
	api_fault_err(c, "PCI manager error", &e);
	return false;
}

void api_put_net(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.network_interfaces;
	struct net_body *b = c->object;
	int at = vm_find(l, b->iface_id), fd;
	void **items;

	if (c->vm->machine && !api_may_plug(c, at))
		return;
	if (!check(c, b, at))
		return;
	items = realloc(l->items, (l->n + 1) * sizeof(*items));
	if (!items) {
		api_fault(c, "Network config error: out of memory");
		return;
	}
	l->items = items;
	fd = open_tap(c, b, at);
	if (fd < 0)
		return;
	if (at >= 0)
		remove_net(c->vm, at);
	vm_tidy_limits(&b->rx_rate_limiter);
	vm_tidy_limits(&b->tx_rate_limiter);
	if (c->vm->machine) {
		bool plugged = plug_net(c, b, fd);

		close(fd);
		fd = -1;
		if (!plugged)
			return;
	}
	c->vm->tap_fds[l->n] = fd;
	l->items[l->n++] = b;
	c->object = NULL;
	if (c->vm->machine)
		api_plugged(c);
}

void api_delete_net(struct api_call *c)
{
	struct schema_list *l = &c->vm->config.network_interfaces;
	int at = vm_find(l, c->id);
	struct err e = { 0 };

	if (!api_may_unplug(c, at, false))
		return;
	if (machine_unplug_net(c->vm->machine, (unsigned)at, &e) < 0) {
		api_fault_err(c, "PCI manager error", &e);
		return;
	}
	vm_remove(l, &schema_net, (unsigned)at);
	api_plugged(c);
}

static bool limit(struct api_call *c, unsigned at, bool rx, struct rate_limiter **now,
		  struct rate_limiter **r)
{
	struct limiter_config limits;
	struct err e = { 0 };

	if (!*r)
		return true;
	vm_limits(*r, &limits);
	if (machine_limit_net(c->vm->machine, at, rx, (*r)->bandwidth ? &limits.bandwidth : NULL,
			      (*r)->ops ? &limits.ops : NULL, &e) < 0) {
		api_fault_err(c, "Network config error: Unable to update the net device", &e);
		return false;
	}
	vm_merge_limits(now, r);
	return true;
}

void api_patch_net(struct api_call *c)
{
	struct net_update *u = c->object;
	struct net_body *b;
	int at = vm_find(&c->vm->config.network_interfaces, u->iface_id);

	if (at < 0) {
		api_fault(c, "Network config error: Unable to update the net device: Device not found");
		return;
	}
	b = c->vm->config.network_interfaces.items[at];
	if (limit(c, (unsigned)at, true, &b->rx_rate_limiter, &u->rx_rate_limiter))
		limit(c, (unsigned)at, false, &b->tx_rate_limiter, &u->tx_rate_limiter);
}
