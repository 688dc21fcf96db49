/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_NOTIFY_H
#define MAYFLY_VMM_CLI_NOTIFY_H
/* Tells a service manager, such as systemd, how far we are: "READY=1", "STOPPING=1". Does nothing
 * without $NOTIFY_SOCKET. */
void notify_manager(const char *state);

#endif
