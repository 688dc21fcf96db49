/* SPDX-License-Identifier: Apache-2.0 */
#include "run_cpu.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/jit/jit.h"

static void step(struct cpu *c)
{
	uint8_t inhibited = c->inhibit_irq;

	interp_step(c);
	if (inhibited)
		c->inhibit_irq = 0;
}

bool run_cpu(struct cpu *c, jmp_buf *jmp, unsigned max)
{
	volatile unsigned n = 0;

	c->fault_jmp = jmp;
	if (setjmp(*jmp)) {
		exclusive_abort(c);
		c->inhibit_irq = 0;
		cpu_deliver_raised(c);
	}
	while (!c->halted && !c->shutdown && n++ < max) {
		atomic_store(&c->requests, 0);
		if (c->jit && !(c->mode & (MODE_TF | MODE_DBG)) && !c->inhibit_irq)
			jit_run(c);
		if (!c->halted && !c->shutdown)
			step(c);
	}
	return c->halted || c->shutdown;
}
