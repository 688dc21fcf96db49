/* SPDX-License-Identifier: Apache-2.0 */
/* Socket device: packet headers, and the pieces of memory that packets lie in. */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"

void vsock_pkt_load(struct vsock_pkt *p, const uint8_t *raw)
{
	*p = (struct vsock_pkt){
		.src_cid = load_le64(raw),
		.dst_cid = load_le64(raw + 8),
		.src_port = load_le32(raw + 16),
		.dst_port = load_le32(raw + 20),
		.len = load_le32(raw + 24),
		.type = load_le16(raw + 28),
		.op = load_le16(raw + 30),
		.flags = load_le32(raw + 32),
		.buf_alloc = load_le32(raw + 36),
		.fwd_cnt = load_le32(raw + 40),
	};
}

void vsock_pkt_store(const struct vsock_pkt *p, uint8_t *raw)
{
	store_le64(raw, p->src_cid);
	store_le64(raw + 8, p->dst_cid);
	store_le32(raw + 16, p->src_port);
	store_le32(raw + 20, p->dst_port);
	store_le32(raw + 24, p->len);
	store_le16(raw + 28, p->type);
	store_le16(raw + 30, p->op);
	store_le32(raw + 32, p->flags);
	store_le32(raw + 36, p->buf_alloc);
	store_le32(raw + 40, p->fwd_cnt);
}

uint32_t vsock_gather(const struct iovec *iov, unsigned n, void *dst, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t k = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy((char *)dst + done, iov[i].iov_base, k);
		done += (uint32_t)k;
	}
	return done;
}

void vsock_scatter(const struct iovec *iov, unsigned n, const void *src, uint32_t len)
{
	const char *from = src;

	for (unsigned i = 0; i < n && len; i++) {
		size_t k = iov[i].iov_len < len ? iov[i].iov_len : len;

		memcpy(iov[i].iov_base, from, k);
		from += k;
		len -= (uint32_t)k;
	}
}

unsigned vsock_cut(const struct iovec *iov, unsigned n, uint32_t skip, uint32_t max,
		   struct iovec *out, unsigned max_iov, uint32_t *bytes)
{
	unsigned n_out = 0;

	*bytes = 0;
	for (unsigned i = 0; i < n && n_out < max_iov && *bytes < max; i++) {
		size_t cut = iov[i].iov_len < skip ? iov[i].iov_len : skip, len;

		skip -= (uint32_t)cut;
		len = iov[i].iov_len - cut;
		if (len > max - *bytes)
			len = max - *bytes;
		if (!len)
			continue;
		out[n_out++] = (struct iovec){(char *)iov[i].iov_base + cut, len};
		*bytes += (uint32_t)len;
	}
	return n_out;
}
