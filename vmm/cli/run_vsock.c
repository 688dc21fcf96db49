/* SPDX-License-Identifier: Apache-2.0 */
/* The option --vsock. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { VSOCK_CID, VSOCK_UDS };
const struct opt_key run_vsock_keys[] = {
	[VSOCK_CID] = { "cid", OPT_UINT, "CID" },
	[VSOCK_UDS] = { "uds", OPT_STR, "PATH" },
	{ 0 },
};

int run_set_vsock(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	if (m->vsock.uds_path)
		return err_set(e, EINVAL, "--vsock: a machine has one");
	if (!v[VSOCK_CID].given || !v[VSOCK_UDS].given || !*v[VSOCK_UDS].text) {
		err_set(e, EINVAL, "--vsock: no %s is given", v[VSOCK_CID].given ? "path" : "CID");
		err_hint(e, "write --vsock 3,uds=PATH");
		return -EINVAL;
	}
	m->vsock.guest_cid = v[VSOCK_CID].num > UINT32_MAX ? UINT32_MAX : (uint32_t)v[VSOCK_CID].num;
	m->vsock.uds_path = v[VSOCK_UDS].text;
	return 0;
}

void run_print_vsock(const struct machine_config *m)
{
	if (!m->vsock.uds_path)
		return;
	printf("  \"vsock\": { \"guest_cid\": %u, ", m->vsock.guest_cid);
	cli_print_json_member("uds_path", m->vsock.uds_path);
	printf(" },\n");
}
