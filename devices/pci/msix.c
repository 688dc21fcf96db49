/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X. A message is sent unless its vector or the function is masked, or the function may not
 * master the bus; then its pending bit is set and the message goes out when that ends.
 *
 * Table and pending bits take aligned accesses of 4 and 8 bytes, as the specification demands of
 * software; others read as zero and are not written. Address and data are the guest's and passed on
 * as they are: an address that is no local APIC's reaches nothing, RAM included.
 *
 * Refs: PCI Local Bus 3.0 §6.8.2 (structures), §6.8.3 (operation).
 */
#include "devices/pci/msix.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
	CAP_BYTES = 12,
	CONTROL_OFF = 2, /* in the capability */
	CONTROL_ENABLE = 1 << 15,
	CONTROL_MASK_ALL = 1 << 14,
	WORD_CONTROL = 3, /* in an entry */
	VECTOR_MASKED = 1,
};

int msix_init(struct msix *m, struct pci_function *fn, unsigned n_vectors, unsigned bar,
	      uint32_t table_off, uint32_t pba_off, const struct msi_port *port, struct err *e)
{
	assert(n_vectors && n_vectors <= MSIX_MAX_VECTORS);
	*m = (struct msix){.fn = fn, .port = *port, .n = n_vectors};
	m->entries = calloc(n_vectors, sizeof(*m->entries));
	if (!m->entries)
		return err_set(e, ENOMEM, "msi-x: out of host memory");
	m->cap = pci_function_add_cap(fn, PCI_CAP_MSIX, CAP_BYTES);
	store_le16(fn->config + m->cap + CONTROL_OFF, (uint16_t)(n_vectors - 1));
	store_le32(fn->config + m->cap + 4, table_off | 2 * bar);
	store_le32(fn->config + m->cap + 8, pba_off | 2 * bar);
	pci_function_allow(fn, m->cap, (uint32_t)(CONTROL_ENABLE | CONTROL_MASK_ALL) << 16);
	msix_reset(m);
	return 0;
}

void msix_fini(struct msix *m)
{
	free(m->entries);
	m->entries = NULL;
}

void msix_reset(struct msix *m)
{
	for (unsigned i = 0; i < m->n; i++)
		m->entries[i] = (struct msix_entry){{0, 0, 0, VECTOR_MASKED}};
	memset(m->pending, 0, sizeof(m->pending));
}

static uint16_t control(const struct msix *m)
{
	return load_le16(m->fn->config + m->cap + CONTROL_OFF);
}

bool msix_enabled(const struct msix *m)
{
	return control(m) & CONTROL_ENABLE;
}

static bool may_send(const struct msix *m)
{
	return (control(m) & (CONTROL_ENABLE | CONTROL_MASK_ALL)) == CONTROL_ENABLE &&
	       (pci_function_command(m->fn) & PCI_COMMAND_MASTER);
}

static void send(const struct msix *m, unsigned vector)
{
	const uint32_t *w = m->entries[vector].word;

	m->port.send(m->port.ctl, w[0] | (uint64_t)w[1] << 32, w[2]);
}

void msix_raise(struct msix *m, unsigned vector)
{
	if (vector >= m->n)
		return;
	if (may_send(m) && !(m->entries[vector].word[WORD_CONTROL] & VECTOR_MASKED))
		send(m, vector);
	else
		m->pending[vector / 64] |= 1ull << vector % 64;
}

static void send_pending(struct msix *m, unsigned vector)
{
	uint64_t bit = 1ull << vector % 64;

	if (!(m->pending[vector / 64] & bit) ||
	    (m->entries[vector].word[WORD_CONTROL] & VECTOR_MASKED))
		return;
	m->pending[vector / 64] &= ~bit;
	send(m, vector);
}

void msix_update(struct msix *m)
{
	for (unsigned i = 0; may_send(m) && i < m->n; i++)
		send_pending(m, i);
}

static bool is_good(uint64_t off, unsigned size, uint64_t len)
{
	return (size == 4 || size == 8) && off % size == 0 && off + size <= len;
}

uint64_t msix_table_read(const struct msix *m, uint64_t off, unsigned size)
{
	const uint32_t *w;

	if (!is_good(off, size, m->n * (uint64_t)MSIX_ENTRY_BYTES))
		return 0;
	w = &m->entries[off / MSIX_ENTRY_BYTES].word[off / 4 % 4];
	return size == 8 ? w[0] | (uint64_t)w[1] << 32 : w[0];
}

static void write_word(struct msix *m, unsigned vector, unsigned word, uint32_t val)
{
	static const uint32_t masks[] = {~3u, UINT32_MAX, UINT32_MAX, VECTOR_MASKED};

	m->entries[vector].word[word] = val & masks[word];
}

void msix_table_write(struct msix *m, uint64_t off, unsigned size, uint64_t val)
{
	unsigned vector = (unsigned)(off / MSIX_ENTRY_BYTES), word = off / 4 % 4;

	if (!is_good(off, size, m->n * (uint64_t)MSIX_ENTRY_BYTES))
		return;
	write_word(m, vector, word, (uint32_t)val);
	if (size == 8)
		write_word(m, vector, word + 1, (uint32_t)(val >> 32));
	if (may_send(m))
		send_pending(m, vector);
}

uint64_t msix_pba_read(const struct msix *m, uint64_t off, unsigned size)
{
	if (!is_good(off, size, sizeof(m->pending)))
		return 0;
	return size == 8 ? m->pending[off / 8] : (uint32_t)(m->pending[off / 8] >> 8 * (off % 8));
}
