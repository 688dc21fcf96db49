/* SPDX-License-Identifier: Apache-2.0 */
/* The option --mmds: a file that the guest reads at 169.254.169.254. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_config.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/mmds/mmds.h"

enum { MMDS_FILE, MMDS_VERSION, MMDS_ADDR, MMDS_NET, MMDS_LIMIT, MMDS_COMPAT };
const struct opt_key run_mmds_keys[] = {
	[MMDS_FILE] = { "file", OPT_STR, "FILE" },
	[MMDS_VERSION] = { "version", OPT_CHOICE, "V1|V2" },
	[MMDS_ADDR] = { "address", OPT_STR, "169.254.X.Y" },
	[MMDS_NET] = { "net", OPT_LIST, "ID" },
	[MMDS_LIMIT] = { "limit", OPT_SIZE, "SIZE" },
	[MMDS_COMPAT] = { "imds_compat", OPT_BOOL, "on|off" },
	{ 0 },
};

int run_set_mmds(struct run_config *c, const struct opt_value *v, struct err *e)
{
	struct run_mmds *m = &c->mmds;

	if (!v[MMDS_FILE].given) {
		err_set(e, EINVAL, "--mmds: no file is given");
		err_hint(e, "write --mmds FILE with the metadata as JSON");
		return -EINVAL;
	}
	m->path = v[MMDS_FILE].text;
	m->config = (struct mmds_config){ .version = MMDS_V1, .address = MMDS_ADDRESS };
	m->config.version = v[MMDS_VERSION].given && v[MMDS_VERSION].num ? MMDS_V2 : MMDS_V1;
	m->config.imds_compat = v[MMDS_COMPAT].given && v[MMDS_COMPAT].num;
	m->limit_bytes = v[MMDS_LIMIT].given ? v[MMDS_LIMIT].num : MMDS_DEFAULT_LIMIT;
	if (!m->limit_bytes || m->limit_bytes > 64 << 20)
		return err_set(e, EINVAL, "--mmds: limit is not between 1 byte and 64M");
	if (v[MMDS_ADDR].given && !mmds_address_parse(v[MMDS_ADDR].text, m->config.address)) {
		err_set(e, EINVAL, "--mmds: '%.40s' is not a link-local address", v[MMDS_ADDR].text);
		err_hint(e, "169.254.1.0 to 169.254.254.255; the default is 169.254.169.254");
		return -EINVAL;
	}
	memcpy(m->nets, v[MMDS_NET].list, sizeof(m->nets));
	m->n_nets = v[MMDS_NET].n_list;
	return 0;
}

static bool is_named(const struct run_mmds *m, const char *id)
{
	for (unsigned i = 0; i < m->n_nets; i++)
		if (!strcmp(m->nets[i], id))
			return true;
	return false;
}

/* Which networks lead to the service: those that are named, or all. */
int run_resolve_mmds(struct run_config *c, struct err *e)
{
	struct run_mmds *m = &c->mmds;
	unsigned n = 0;
	char id[16];

	if (!m->path)
		return 0;
	for (unsigned i = 0; i < c->machine.n_nets; i++) {
		struct machine_net *net = &c->machine.nets[i];

		snprintf(id, sizeof(id), "net%u", i);
		net->mmds = !m->n_nets || is_named(m, net->id ? net->id : id);
		n += net->mmds;
	}
	if (!n || n < m->n_nets) {
		err_set(e, EINVAL, n || m->n_nets ? "--mmds: there is no such network" :
						    "--mmds: the machine has no network");
		err_hint(e, m->n_nets ? "networks are named by --net ...,id=NAME, else net0, net1, ..." :
					"give one, such as --net user or --net tap=tap0");
		return -EINVAL;
	}
	return 0;
}

int run_open_mmds(const struct run_config *c, struct mmds **out, struct err *e)
{
	json_error_t what;
	json_t *value;
	int r;

	if (!c->mmds.path)
		return 0;
	value = json_load_file(c->mmds.path, JSON_DECODE_ANY, &what);
	if (!value && what.line <= 0)
		return err_set(e, errno ? errno : EINVAL, "--mmds: %s: %s", c->mmds.path, what.text);
	if (!value)
		return err_set(e, EINVAL, "--mmds: %s: line %d column %d: %s", c->mmds.path, what.line,
			       what.column, what.text);
	r = mmds_create(c->mmds.limit_bytes, out, e);
	if (r == 0)
		mmds_configure(*out, &c->mmds.config);
	if (r == 0)
		r = mmds_put(*out, value, e);
	json_decref(value);
	if (r == -E2BIG) {
		err_set(e, EINVAL, "--mmds: %s: more than %llu bytes of JSON", c->mmds.path,
			(unsigned long long)c->mmds.limit_bytes);
		err_hint(e, "shorten it, or give limit=SIZE");
		return -EINVAL;
	}
	return r;
}

void run_print_mmds(const struct run_config *c)
{
	const uint8_t *a = c->mmds.config.address;
	const char *separator = "";
	char id[16];

	if (!c->mmds.path)
		return;
	printf("  \"mmds-config\": { \"network_interfaces\": [");
	for (unsigned i = 0; i < c->machine.n_nets; i++) {
		const struct machine_net *net = &c->machine.nets[i];

		if (!net->mmds)
			continue;
		snprintf(id, sizeof(id), "net%u", i);
		printf("%s", separator);
		cli_print_json_string(net->id ? net->id : id);
		separator = ", ";
	}
	printf("], \"version\": \"%s\", \"ipv4_address\": \"%u.%u.%u.%u\", \"imds_compat\": %s },\n",
	       c->mmds.config.version == MMDS_V2 ? "V2" : "V1", a[0], a[1], a[2], a[3],
	       c->mmds.config.imds_compat ? "true" : "false");
}
