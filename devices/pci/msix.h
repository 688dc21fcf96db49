/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_PCI_MSIX_H
#define MAYFLY_DEVICES_PCI_MSIX_H
/*
 * MSI-X of one function: the capability, the table and the pending bits. See msix.c.
 *
 * Threads: with the owner's lock held.
 */
#include "devices/pci/function.h"
#include "vmm/core/irq.h"

enum { MSIX_MAX_VECTORS = 128, MSIX_ENTRY_BYTES = 16 };

struct msix_entry {
	uint32_t word[4]; /* address, its upper half, data, control */
};

struct msix {
	struct pci_function *fn;
	struct msi_port port;
	unsigned cap, n;
	struct msix_entry *entries;
	uint64_t pending[MSIX_MAX_VECTORS / 64];
};

/* Adds the capability: table and pending bits lie in register 2 * bar, at these offsets. */
int msix_init(struct msix *m, struct pci_function *fn, unsigned n_vectors, unsigned bar,
	      uint32_t table_off, uint32_t pba_off, const struct msi_port *port, struct err *e);
void msix_fini(struct msix *m);
void msix_reset(struct msix *m);

bool msix_enabled(const struct msix *m);
/* Sends the vector's message, or remembers it while that is not allowed. */
void msix_raise(struct msix *m, unsigned vector);
/* To be called when command register or capability were written: sends what was held back. */
void msix_update(struct msix *m);

uint64_t msix_table_read(const struct msix *m, uint64_t off, unsigned size);
void msix_table_write(struct msix *m, uint64_t off, unsigned size, uint64_t val);
uint64_t msix_pba_read(const struct msix *m, uint64_t off, unsigned size);

#endif
