/* SPDX-License-Identifier: Apache-2.0 */
/* The option --net. Without one a machine has a user-mode network, if its program is installed. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_config.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_limits.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

enum { NET_TYPE, NET_TAP, NET_FD, NET_UNIX, NET_HOSTFWD, NET_MAC, NET_MTU, NET_QUEUES, NET_ID,
       NET_RX, NET_TX = NET_RX + RUN_LIMITS_KEYS };
enum { TYPE_USER, TYPE_PASST, TYPE_NONE };
const struct opt_key run_net_keys[] = {
	[NET_TYPE] = { "type", OPT_CHOICE, "user|passt|none" },
	[NET_TAP] = { "tap", OPT_STR, "NAME" },
	[NET_FD] = { "fd", OPT_UINT, "N" },
	[NET_UNIX] = { "unix", OPT_STR, "PATH" },
	[NET_HOSTFWD] = { "hostfwd", OPT_LIST, "tcp|udp:[ADDR:]PORT-[ADDR]:PORT" },
	[NET_MAC] = { "mac", OPT_STR, "MAC" },
	[NET_MTU] = { "mtu", OPT_UINT, "BYTES" },
	[NET_QUEUES] = { "queues", OPT_UINT, "N" },
	[NET_ID] = { "id", OPT_STR, "NAME" },
	[NET_RX] = { "rx_bw", OPT_SIZE, "BYTES/S" },
	{ "rx_bw_burst", OPT_SIZE, "BYTES" },
	{ "rx_ops", OPT_UINT, "FRAMES/S" },
	{ "rx_ops_burst", OPT_UINT, "FRAMES" },
	[NET_TX] = { "tx_bw", OPT_SIZE, "BYTES/S" },
	{ "tx_bw_burst", OPT_SIZE, "BYTES" },
	{ "tx_ops", OPT_UINT, "FRAMES/S" },
	{ "tx_ops_burst", OPT_UINT, "FRAMES" },
	{ 0 },
};

static const char *const kind_names[] = {
	[MACHINE_NET_USER] = "user", [MACHINE_NET_PASST] = "passt", [MACHINE_NET_TAP] = "tap",
	[MACHINE_NET_FD] = "fd",     [MACHINE_NET_UNIX] = "unix",
};

static int parse_mac(const char *s, uint8_t *mac, struct err *e)
{
	const char *p = s;

	for (unsigned i = 0; i < 6 && isxdigit(p[0]) && isxdigit(p[1]); i++) {
		mac[i] = (uint8_t)strtoul((char[]){ p[0], p[1], 0 }, NULL, 16);
		p += p[2] == ':' && i < 5 ? 3 : 2;
	}
	if (strlen(s) != 17 || p != s + 17) {
		err_set(e, EINVAL, "--net: mac: '%.40s' is not a MAC address", s);
		err_hint(e, "write six bytes such as 02:00:00:00:00:01");
		return -EINVAL;
	}
	return 0;
}

static int one_kind(const struct opt_value *v, struct err *e)
{
	unsigned n = v[NET_TYPE].given + v[NET_TAP].given + v[NET_FD].given + v[NET_UNIX].given;

	if (n == 1)
		return 0;
	err_set(e, EINVAL, n ? "--net: more than one kind of network is given" :
			       "--net: no kind of network is given");
	err_hint(e, "write one of user, passt, none, tap=NAME, fd=N, unix=PATH");
	return -EINVAL;
}

static int refuse_none(struct run_config *c, const struct opt_value *v, struct err *e)
{
	bool none = v[NET_TYPE].given && v[NET_TYPE].num == TYPE_NONE;

	if (c->net_none || (none && c->machine.n_nets))
		return err_set(e, EINVAL, "--net: none and another network exclude each other");
	c->net_none = none;
	return 0;
}

static void set_kind(struct machine_net *n, const struct opt_value *v)
{
	if (v[NET_TAP].given) {
		n->kind = MACHINE_NET_TAP;
		n->name = v[NET_TAP].text;
	} else if (v[NET_UNIX].given) {
		n->kind = MACHINE_NET_UNIX;
		n->name = v[NET_UNIX].text;
	} else if (v[NET_FD].given) {
		n->kind = MACHINE_NET_FD;
		n->fd = v[NET_FD].num > INT32_MAX ? -1 : (int)v[NET_FD].num;
	} else {
		n->kind = v[NET_TYPE].num == TYPE_PASST ? MACHINE_NET_PASST : MACHINE_NET_USER;
	}
}

static unsigned small(const struct opt_value *v)
{
	return !v->given ? 0 : v->num > UINT32_MAX ? UINT32_MAX : (unsigned)v->num;
}

int run_add_net(struct run_config *c, const struct opt_value *v, struct err *e)
{
	struct machine_config *m = &c->machine;
	struct machine_net *n = &m->nets[m->n_nets];
	int r = one_kind(v, e);

	if (r == 0)
		r = refuse_none(c, v, e);
	if (r < 0 || c->net_none)
		return r;
	if (m->n_nets == MACHINE_MAX_NETS)
		return err_set(e, EINVAL, "--net: at most %d networks", MACHINE_MAX_NETS);
	*n = (struct machine_net){
		.id = v[NET_ID].given ? v[NET_ID].text : NULL,
		.mtu = small(&v[NET_MTU]),
		.n_queues = small(&v[NET_QUEUES]),
		.n_forwards = v[NET_HOSTFWD].n_list,
		.forwards = c->net_forwards[m->n_nets],
	};
	set_kind(n, v);
	if (n->kind == MACHINE_NET_FD && n->fd < 3) {
		err_set(e, EINVAL, "--net: fd=%s is not a file descriptor for a network", v[NET_FD].text);
		err_hint(e, "open it before mayfly starts: mayfly run --net fd=3 3<>FILE");
		return -EINVAL;
	}
	if (n->n_forwards && n->kind != MACHINE_NET_USER) {
		err_set(e, EINVAL, "--net: hostfwd is for user mode");
		err_hint(e, "write --net user,hostfwd=%s", v[NET_HOSTFWD].text);
		return -EINVAL;
	}
	memcpy(c->net_forwards[m->n_nets], v[NET_HOSTFWD].list, sizeof(c->net_forwards[0]));
	if (v[NET_MAC].given)
		r = parse_mac(v[NET_MAC].text, n->mac, e);
	if (r == 0)
		r = run_take_limits("--net", "rx_", &v[NET_RX], &n->rx, e);
	if (r == 0)
		r = run_take_limits("--net", "tx_", &v[NET_TX], &n->tx, e);
	m->n_nets += r == 0;
	return r;
}

void run_default_net(struct run_config *c)
{
	char path[512];

	if (c->machine.n_nets || c->net_none || net_user_find(path, sizeof(path), NULL) < 0)
		return;
	c->machine.nets[c->machine.n_nets++] = (struct machine_net){ .kind = MACHINE_NET_USER };
}

static void print_net(const struct machine_net *n, unsigned i)
{
	static const uint8_t none[6];
	char id[16];

	snprintf(id, sizeof(id), "net%u", i);
	printf("%s\n    { ", i ? "," : "");
	cli_print_json_member("iface_id", n->id ? n->id : id);
	printf(", ");
	cli_print_json_member("kind", kind_names[n->kind]);
	if (n->name) {
		printf(", ");
		cli_print_json_member(n->kind == MACHINE_NET_TAP ? "host_dev_name" : "path", n->name);
	}
	if (n->kind == MACHINE_NET_FD)
		printf(", \"fd\": %d", n->fd);
	if (memcmp(n->mac, none, 6))
		printf(", \"guest_mac\": \"%02x:%02x:%02x:%02x:%02x:%02x\"", n->mac[0], n->mac[1],
		       n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	if (n->mtu)
		printf(", \"mtu\": %u", n->mtu);
	if (n->n_queues)
		printf(", \"queues\": %u", n->n_queues);
	for (unsigned f = 0; f < n->n_forwards; f++) {
		printf(f ? ", " : ", \"hostfwd\": [");
		cli_print_json_string(n->forwards[f]);
	}
	if (n->n_forwards)
		printf("]");
	run_print_limits("rx_rate_limiter", &n->rx);
	run_print_limits("tx_rate_limiter", &n->tx);
	printf(" }");
}

void run_print_nets(const struct machine_config *m)
{
	printf("  \"network-interfaces\": [");
	for (unsigned i = 0; i < m->n_nets; i++)
		print_net(&m->nets[i], i);
	printf("%s],\n", m->n_nets ? "\n  " : "");
}
