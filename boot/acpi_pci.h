/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_ACPI_PCI_H
#define MAYFLY_BOOT_ACPI_PCI_H
/* The PCI host bridge as the DSDT describes it. */
#include "boot/blob.h"

struct boot_pci;

/* Inside the scope _SB. */
void acpi_pci_write(struct blob *b, const struct boot_pci *p);

#endif
