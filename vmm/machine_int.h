/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MACHINE_INT_H
#define MAYFLY_VMM_MACHINE_INT_H
/* What the machine's own files share: machine.c (life cycle) and live.c (changes of devices). */
#include "vmm/machine.h"

struct board;

struct board *machine_board(const struct machine *m);

#endif
