/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_RUN_PORTS_H
#define MAYFLY_VMM_CLI_RUN_PORTS_H
/*
 * The host's ends of a machine's serial port and consoles, and the way between: what the machine
 * sends goes to an end, what an end brings goes to the machine.
 *
 * Threads: the loop thread; the two of the serial port as struct machine_events says.
 */
#include "vmm/cli/run_config.h"

struct run_ports {
	struct machine *machine; /* to be set before run_ports_start() */
	const struct run_config *config;
	struct console_host *serial;
	struct run_port {
		struct run_ports *all;
		struct console_host *host;
	} port[MACHINE_MAX_CONSOLES];
	bool interactive; /* one of them is on the operator's terminal */
};

/* Opens all, and fills in the callbacks of c->machine.consoles. keys: what the escape key's
 * commands do. p is zeroed before; run_ports_close() in any case. */
int run_ports_open(struct run_ports *p, struct run_config *c, struct loop *l,
		   const struct console_hooks *keys, struct err *e);
int run_ports_start(struct run_ports *p, struct err *e);
void run_ports_close(struct run_ports *p);

/* The console that is on the operator's terminal becomes as large as that. */
void run_ports_take_window_size(struct run_ports *p);
void run_ports_serial_tx(struct run_ports *p, const uint8_t *bytes, size_t n);
void run_ports_serial_rx_ready(struct run_ports *p);

#endif
