/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_PHYS_H
#define MAYFLY_ACCEL_TCG_CPU_PHYS_H
/* Physical memory of a software VM: what only its maker (vm.c) and the MMU call. */
#include "accel/tcg/cpu/vm.h"

int phys_init(struct tcg_vm *vm, struct err *e);
void phys_fini(struct tcg_vm *vm);
/* A region of memory was added, or is about to be removed. All vCPUs are parked. */
int phys_add_region(struct tcg_vm *vm, unsigned region, struct err *e);
void phys_drop_code(struct tcg_vm *vm, unsigned region); /* what was translated from it */
void phys_drop_region(struct tcg_vm *vm, unsigned region);

/* Pages that some TLB may hold a write entry for. The mark is set before the entry is made and
 * before it is checked that the page has no code: see phys_protect_code(). */
void phys_mark_written(struct tcg_vm *vm, gpaddr gpa);
bool phys_page_written(const struct tcg_vm *vm, gpaddr gpa);
void phys_clear_written(struct tcg_vm *vm, gpaddr gpa); /* no entry is left, nobody can make one */

/* Stores of a processor: before and after the bytes at gpa (RAM at host) change. */
void phys_store_begin(struct cpu *c, gpaddr gpa, uint8_t *host, unsigned len);
void phys_store_end(struct cpu *c, gpaddr gpa, unsigned len);

#endif
