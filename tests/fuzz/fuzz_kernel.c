/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_kernel.h"

#include "boot/load.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <string.h>

enum { MEM_BYTES = 8 << 20 };

void fuzz_kernel(const uint8_t *data, size_t size)
{
	static const struct boot_platform platform = {
		.n_vcpus = 1, .ioapic_base = 0xfec00000, .lapic_base = 0xfee00000, .sci_gsi = 9,
		.com1_port = 0x3f8, .com1_gsi = 4, .n_virtio = 1, .virtio = {{0xd0000000, 0x1000, 5}},
	};
	static const uint8_t initrd_bytes[5000];
	static struct gmem *m; /* kept from run to run: making RAM is what costs */
	struct boot_config c = {.cmdline = "console=ttyS0", .platform = &platform};
	struct image kernel, initrd;
	struct boot_entry out;
	struct err e = {0};
	int r;

	if (!m) {
		r = gmem_create(MEM_BYTES, MEM_BYTES, &m, &e);
		assert(r == 0);
	}
	image_from_memory(&kernel, "kernel", data, size);
	image_from_memory(&initrd, "initrd", initrd_bytes, sizeof(initrd_bytes));
	c.direct = size % 2; /* a bzImage's payload is unpacked on the host, or not */
	r = boot_load_images(m, &c, &kernel, &initrd, &out, &e);
	if (r < 0) {
		assert(e.msg[0] && e.code == -r);
	} else {
		assert(r == 0 && out.protocol);
		assert(gmem_valid(m, out.rip, 1));
		assert(gmem_valid(m, out.rsp - 8, 8));
	}
}
