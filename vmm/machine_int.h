/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_MACHINE_INT_H
#define MAYFLY_VMM_MACHINE_INT_H
/* What the machine's own files share: machine.c (life cycle), live.c (changes of devices) and
 * plug_live.c (devices that come and go). */
#include "vmm/machine.h"

struct board;

struct board *machine_board(const struct machine *m);
/* Parks all vCPUs; whether they ran. machine_let_go() has them go on then. */
bool machine_hold(struct machine *m);
void machine_let_go(struct machine *m, bool running);

#endif
