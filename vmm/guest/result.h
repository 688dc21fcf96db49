/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_GUEST_RESULT_H
#define MAYFLY_VMM_GUEST_RESULT_H
/*
 * What vmm/guest/init.c, in the guest, and the monitor have agreed upon.
 *
 * The command's end: the guest writes RESULT_MARK | status to the debug-exit port.
 *
 * The command's input, if it is no terminal, comes over the serial port once the guest has sent a break:
 * INPUT_MARK twice is that byte, INPUT_MARK and INPUT_END are the end, all others are themselves.
 */
enum {
	RESULT_MARK = 0x4d796600, /* nobody else writes this to the debug-exit port */
	RESULT_NO_COMMAND = 127,  /* as shells have it */
	INPUT_MARK = 0x10,
	INPUT_END = 0x04,
};

#endif
