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

/* Requests are dropped, or served between two instructions as the run loop does. */
static bool run(struct cpu *c, jmp_buf *jmp, unsigned max, bool polls)
{
	volatile unsigned n = 0;

	c->fault_jmp = jmp;
	if (setjmp(*jmp)) {
		exclusive_abort(c);
		c->inhibit_irq = 0;
		cpu_deliver_raised(c);
	}
	while (!c->halted && !c->shutdown && n++ < max) {
		if (!polls)
			atomic_store(&c->requests, 0);
		else if (atomic_load(&c->requests) && !c->inhibit_irq)
			cpu_poll(c);
		if (c->jit && !(c->mode & (MODE_TF | MODE_DBG)) && !c->inhibit_irq)
			jit_run(c);
		if (!c->halted && !c->shutdown &&
		    (!polls || c->inhibit_irq || !atomic_load(&c->requests)))
			step(c);
	}
	return c->halted || c->shutdown;
}

bool run_cpu(struct cpu *c, jmp_buf *jmp, unsigned max)
{
	return run(c, jmp, max, false);
}

bool run_cpu_polling(struct cpu *c, jmp_buf *jmp, unsigned max)
{
	return run(c, jmp, max, true);
}
