/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer: over every file of the corpus directories given, and over
 * mutations of each, the same every time. This is what `meson test` does with every target.
 *
 *	fuzz_x [-mutations=N] DIR...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_BYTES = 1 << 20 };

static unsigned n_runs;

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* The input gets a buffer of its exact size, so that a sanitizer sees a read beyond it. */
static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = calloc(1, size ? size : 1);

	if (!copy)
		exit(1);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	n_runs++;
}

static void run_mutated(uint8_t *data, size_t size, unsigned n, uint32_t *seed)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
	uint8_t *copy = calloc(1, size ? size : 1);

	if (!copy)
		exit(1);
	while (n-- && size) {
		unsigned changes = 1 + next_random(seed) % 6;
		size_t len = next_random(seed) % 8 ? size : next_random(seed) % size;

		memcpy(copy, data, size);
		while (changes--) {
			/* Headers are at the front: half of the changes go there. */
			size_t span = next_random(seed) % 2 && size > 64 ? 64 : size;
			size_t at = next_random(seed) % span;

			copy[at] = next_random(seed) % 2
					   ? (uint8_t)next_random(seed)
					   : edges[next_random(seed) % sizeof(edges)];
		}
		run_one(copy, len);
	}
	free(copy);
}

static int replay_file(const char *path, unsigned n_mutations, uint32_t *seed)
{
	uint8_t *data = malloc(MAX_BYTES);
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!data || !f) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, MAX_BYTES, f);
	fclose(f);
	run_one(data, n);
	run_mutated(data, n, n_mutations, seed);
	free(data);
	return 1;
}

static int by_name(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	unsigned n_mutations = 200, n_files = 0;
	uint32_t seed = 1;

	run_one((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		struct dirent **list;
		int n;

		if (strncmp(argv[i], "-mutations=", 11) == 0) {
			n_mutations = (unsigned)strtoul(argv[i] + 11, NULL, 10);
			continue;
		}
		n = scandir(argv[i], &list, by_name, alphasort);
		if (n < 0) {
			perror(argv[i]);
			return 1;
		}
		for (int k = 0; k < n; k++) {
			char path[1024];

			snprintf(path, sizeof(path), "%s/%s", argv[i], list[k]->d_name);
			n_files += (unsigned)replay_file(path, n_mutations, &seed);
			free(list[k]);
		}
		free(list);
	}
	printf("%u files, %u runs\n", n_files, n_runs);
	return n_files ? 0 : 1;
}
