/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_BOOT_BARE_MACHINE_H
#define MAYFLY_TESTS_BOOT_BARE_MACHINE_H
/*
 * The machine under a program without an operating system: 32-bit flat mode, no paging, interrupts
 * off, loaded by the Multiboot protocol. See machine.c.
 */
#include <stddef.h>
#include <stdint.h>

enum { RAM_BYTES = 16 << 20 }; /* what the tests give these guests */

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint64_t ticks(void)
{
	uint64_t v;

	__asm__ volatile("rdtsc" : "=A"(v));
	return v;
}

static inline void barrier(void)
{
	__asm__ volatile("lock; addl $0, (%%esp)" : : : "memory");
}

static inline void relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

enum { TICKS_PER_MS = 2000000 }; /* roughly; for waits */

void print(const char *s);
void print_number(uint32_t v);
void fill_bytes(volatile void *p, uint8_t byte, size_t n);
/* Runs fn on a second processor; false if none came up. Once. */
int start_second(void (*fn)(void));
void power_off(void) __attribute__((noreturn));

/* The program: cmdline as the loader has it. */
void bare_main(const char *cmdline);

#endif
