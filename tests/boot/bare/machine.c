/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry, console (COM1), the second processor and the way out, for programs without an operating
 * system. Refs: Multiboot 0.6.96; SDM vol. 3 §9.4 (INIT and start-up messages).
 */
#include "machine.h"

static volatile int second_is_up;
void (*second_runs)(void); /* for the assembly below */

static void put(char c)
{
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, (uint8_t)c);
}

void print(const char *s)
{
	while (*s)
		put(*s++);
}

void print_number(uint32_t v)
{
	if (v >= 10)
		print_number(v / 10);
	put((char)('0' + v % 10));
}

void fill_bytes(volatile void *p, uint8_t byte, size_t n)
{
	volatile uint8_t *b = p;

	while (n--)
		*b++ = byte;
}

void *memset(void *p, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void *memset(void *p, int byte, size_t n)
{
	fill_bytes(p, (uint8_t)byte, n);
	return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
	volatile uint8_t *t = to;
	const uint8_t *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

void power_off(void)
{
	outw(0x604, 0x2000 | 5 << 10); /* SLP_EN, S5 */
	for (;;)
		__asm__ volatile("hlt");
}

/* --- the second processor --------------------------------------------------------------------- */

void second_main(void);

void second_main(void)
{
	second_is_up = 1;
	second_runs();
	for (;;)
		__asm__ volatile("cli; hlt");
}

enum { TRAMPOLINE = 0x8000, LAPIC = (int)0xfee00000 };

static void send_ipi(uint32_t what)
{
	volatile uint32_t *high = (volatile uint32_t *)(LAPIC + 0x310);
	volatile uint32_t *low = (volatile uint32_t *)(LAPIC + 0x300);

	*high = 0;
	*low = what;
}

int start_second(void (*fn)(void))
{
	extern const uint8_t second_code[], second_code_end[];
	uint64_t end;

	second_runs = fn;
	memcpy((void *)TRAMPOLINE, second_code, (size_t)(second_code_end - second_code));
	*(volatile uint32_t *)(LAPIC + 0xf0) = 0x1ff; /* on */
	send_ipi(0xc4500); /* INIT to all but self */
	send_ipi(0xc4600 | TRAMPOLINE >> 12);
	for (end = ticks() + 500ull * TICKS_PER_MS; !second_is_up && ticks() < end;)
		relax();
	return second_is_up;
}

__asm__(".section .head, \"ax\"\n"
	".align 4\n"
	".long 0x1badb002, 0, -0x1badb002\n"
	".globl _start\n"
	"_start: cli\n"
	"mov $stack_top, %esp\n"
	"push 16(%ebx)\n" /* the command line */
	"call bare_main\n"
	"call power_off\n"
	".bss\n"
	".align 16\n"
	".skip 16384\n"
	"stack_top:\n"
	".skip 16384\n"
	"second_stack_top:\n"
	".section .rodata\n"
	".globl second_code, second_code_end\n"
	"second_code:\n"
	".code16\n"
	"cli\n"
	"mov %cs, %ax\n"
	"mov %ax, %ds\n"
	"lgdtl second_gdtr - second_code\n"
	"mov %cr0, %eax\n"
	"or $1, %al\n"
	"mov %eax, %cr0\n"
	"ljmpl $8, $second_flat\n"
	".align 8\n"
	"second_gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\n"
	"second_gdtr: .word 23\n"
	".long 0x8000 + second_gdt - second_code\n"
	"second_code_end:\n"
	".text\n"
	".code32\n"
	"second_flat: mov $16, %eax\n"
	"mov %eax, %ds\n"
	"mov %eax, %es\n"
	"mov %eax, %ss\n"
	"mov $second_stack_top, %esp\n"
	"call second_main\n");
