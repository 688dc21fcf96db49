/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the translator made, for people and for perf: a map of the code cache, and blocks as text,
 * guest and host instructions together. Both are written while blocks are made, so that they
 * survive a crash.
 *
 * The map is perf's (tools/perf/Documentation/jit-interface.txt): a line for each piece of code,
 * named by privilege and address; code of user space, which is shared by all processes, by its
 * guest-physical address. When the cache is emptied it starts anew: what was sampled before has
 * lost its names. Host code is decoded by our own decoder.
 */
#include "accel/tcg/jit/dump.h"

#include "vmm/core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct jit_dump {
	FILE *map, *text; /* NULL: not wanted */
};

/* Never through a link, as the names are known and the directory may be everyone's. */
static FILE *open_new(const char *path, struct err *e)
{
	int fd;
	FILE *f;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (f)
		return f;
	err_set(e, errno, "%.200s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void write_stubs(const struct jit *j, FILE *f)
{
	fprintf(f, "%" PRIxPTR " %x mayfly:stubs\n", (uintptr_t)j->rx, j->hot_start);
	fflush(f);
}

int dump_create(struct jit *j, bool map, bool text, struct err *e)
{
	struct jit_dump *d;
	char path[64];

	if (!map && !text)
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, ENOMEM, "translator: out of memory");
	j->dump = d;
	if (map) {
		snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
		d->map = open_new(path, e);
		if (!d->map)
			return -EIO;
		write_stubs(j, d->map);
	}
	if (text) {
		snprintf(path, sizeof(path), "/tmp/mayfly-%ld.disasm", (long)getpid());
		d->text = open_new(path, e);
		if (!d->text)
			return -EIO;
	}
	return 0;
}

void dump_destroy(struct jit *j)
{
	if (!j->dump)
		return;
	if (j->dump->map)
		fclose(j->dump->map);
	if (j->dump->text)
		fclose(j->dump->text);
	free(j->dump);
	j->dump = NULL;
}

void dump_reset(struct jit *j)
{
	FILE *f = j->dump ? j->dump->map : NULL;

	if (!f)
		return;
	fflush(f);
	rewind(f);
	if (!ftruncate(fileno(f), 0))
		write_stubs(j, f);
}

/* Host code [from, to), a line per instruction; bytes alone for what the decoder does not know. */
static void write_host(const struct jit *j, FILE *f, uint32_t from, uint32_t to)
{
	while (from < to) {
		unsigned n = to - from < X86_MAX_INSN_BYTES ? to - from : X86_MAX_INSN_BYTES;
		struct x86_insn in;
		char text[120] = "?";

		if (x86_decode(j->rw + from, n, X86_MODE64, &in) != X86_DECODE_OK)
			in.len = 1;
		else
			x86_format(&in, from, text, sizeof(text));
		fprintf(f, "    %8x  %-44s ;", from, text);
		for (unsigned i = 0; i < in.len; i++)
			fprintf(f, " %02x", j->rw[from + i]);
		fputc('\n', f);
		from += in.len;
	}
}

static void write_block(const struct jit *j, FILE *f, const struct jit_block *b,
			const struct block_ir *ir, uint32_t cold, uint32_t cold_end)
{
	uint64_t base = (b->user ? b->gpa : b->va) & ~0xfffull;
	uint32_t at = b->entry_ind;

	fprintf(f, "block %s %#" PRIx64 " gpa %#" PRIx64 " mode %#x: %u instructions, %u bytes, host "
		"%u + %u bytes\n", b->user ? "user" : "kernel", b->va, b->gpa, b->mode, b->n_insns,
		b->n_bytes, b->hot_end - b->entry_ind, cold_end - cold);
	for (unsigned i = 0; i < ir->n; i++) {
		const struct ir_insn *it = &ir->insn[i];
		char text[120];

		if (it->host_at > at) {
			write_host(j, f, at, it->host_at);
			at = it->host_at;
		}
		fprintf(f, "  %#" PRIx64 "  %s\n", base + it->off,
			x86_format(&it->in, base + it->off, text, sizeof(text)));
	}
	write_host(j, f, at, b->hot_end);
	if (cold < cold_end)
		fprintf(f, "  out of line:\n");
	write_host(j, f, cold, cold_end);
	fputc('\n', f);
	fflush(f);
}

void dump_block(const struct jit *j, const struct jit_block *b, const struct block_ir *ir,
		uint32_t cold, uint32_t cold_end)
{
	const struct jit_dump *d = j->dump;
	const char *who = b->user ? "user" : "kernel";
	uint64_t addr = b->user ? b->gpa : b->va;

	if (d->map) {
		fprintf(d->map, "%" PRIxPTR " %x guest-%s:%" PRIx64 "\n",
			(uintptr_t)(j->rx + b->entry_ind), b->hot_end - b->entry_ind, who, addr);
		if (cold < cold_end)
			fprintf(d->map, "%" PRIxPTR " %x guest-%s:%" PRIx64 ":cold\n",
				(uintptr_t)(j->rx + cold), cold_end - cold, who, addr);
	}
	if (d->text)
		write_block(j, d->text, b, ir, cold, cold_end);
}
