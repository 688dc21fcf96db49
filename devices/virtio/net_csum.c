/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum, for ports whose other end wants finished frames; and gathering of pieces.
 *
 * Sums little-endian words: the checksum of swapped bytes is the swapped checksum (RFC 1071 §2 B),
 * so the result is stored as it is. The bytes may change while they are summed; then the checksum is
 * wrong, which is the guest's loss.
 *
 * Refs: RFC 1071.
 */
#include "devices/virtio/net_int.h"
#include "vmm/core/bytes.h"

uint64_t net_csum_add(uint64_t sum, const void *p, size_t len, bool odd)
{
	const uint8_t *b = p;
	uint64_t s0 = 0, s1 = 0, w0, w1;

	if (odd && len) { /* the high half of the word that was begun */
		sum += (uint64_t)*b++ << 8;
		len--;
	}
	for (; len >= 16; len -= 16, b += 16) {
		memcpy(&w0, b, 8);
		memcpy(&w1, b + 8, 8);
		s0 += (w0 & UINT32_MAX) + (w0 >> 32);
		s1 += (w1 & UINT32_MAX) + (w1 >> 32);
	}
	for (; len >= 2; len -= 2, b += 2)
		s0 += load_le16(b);
	if (len)
		s0 += *b;
	/* each below 2^49 for frames of any size that exists; so is the caller's */
	return sum + (s0 & UINT32_MAX) + (s0 >> 32) + (s1 & UINT32_MAX) + (s1 >> 32);
}

uint16_t net_csum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint32_t net_gather(const struct iovec *iov, unsigned n, uint32_t off, void *dst, uint32_t max)
{
	char *to = dst;
	uint32_t done = 0;

	for (; n && done < max; n--, iov++) {
		size_t len;

		if (off >= iov->iov_len) {
			off -= (uint32_t)iov->iov_len;
			continue;
		}
		len = iov->iov_len - off < max - done ? iov->iov_len - off : max - done;
		memcpy(to + done, (char *)iov->iov_base + off, len);
		done += (uint32_t)len;
		off = 0;
	}
	return done;
}
