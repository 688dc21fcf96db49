/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_GUEST_RESULT_H
#define MAYFLY_VMM_GUEST_RESULT_H
/* What vmm/guest/init.c, in the guest, tells the monitor at the end: RESULT_MARK | status. */
enum {
	RESULT_MARK = 0x4d796600, /* nobody else writes this to the debug-exit port */
	RESULT_NO_COMMAND = 127,  /* as shells have it */
};

#endif
