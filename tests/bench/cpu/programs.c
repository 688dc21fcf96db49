/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items that are programs of the Debian root: what is run, on which input, and how. Commands run in
 * an empty directory with WORK naming the files of tests/bench/cpu/work and BENCH this program;
 * what they print is hashed and must be the same everywhere.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static uint64_t shell(const char *command)
{
	static uint8_t block[65536];
	size_t fill = 0;
	uint64_t hash = 0;
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(ends))
		bench_fail("pipe");
	pid = fork();
	if (!pid) {
		int errors = open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(ends[1], 1);
		dup2(errors, 2);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-ec", command, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	/* whole blocks are hashed, so that the sizes of reads do not matter */
	while ((n = read(ends[0], block + fill, sizeof(block) - fill)) > 0) {
		fill += (size_t)n;
		if (fill == sizeof(block)) {
			hash = bench_hash(block, fill, hash);
			fill = 0;
		}
	}
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bench_fail("fork");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		static char text[200];
		FILE *f = fopen("stderr.txt", "r");
		size_t have = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

		for (size_t i = 0; i < have; i++)
			if (text[i] < ' ')
				text[i] = ' ';
		bench_fail(have ? text : "the program failed");
	}
	return bench_hash(block, fill, hash);
}

uint64_t bench_run_program(const struct bench_item *item)
{
	return shell(item->command);
}

void *bench_prepare_program(const struct bench_item *item)
{
	if (item->setup)
		shell(item->setup);
	return NULL;
}

#define TEXT "$BENCH text 4000000 >data; "

/* Names of the group "zip" start with the tool, so that --only finds them. */
const struct bench_item bench_program_items[] = {
	{ "gzip", "zip", NULL, NULL, TEXT, "gzip -6nc data" },
	{ "gzip-d", "zip", NULL, NULL, TEXT "gzip -1n data; for i in 1 2 3 4 5; do cat data.gz; done >d.gz", "gzip -dc d.gz" },
	{ "xz", "zip", NULL, NULL, "$BENCH text 700000 >data", "xz -T1 -3 -c data" },
	{ "xz-d", "zip", NULL, NULL, TEXT "xz -T1 -1 data; xz -dc data.xz >/dev/null", "xz -T1 -dc data.xz" },
	{ "zstd", "zip", NULL, NULL, TEXT, "zstd --single-thread -q -7 -c data" },
	{ "zstd-d", "zip", NULL, NULL, TEXT "for i in 1 2 3 4 5 6; do zstd --single-thread -q -3 -c data; done >d.zst; zstd -dc d.zst >/dev/null",
	  "zstd --single-thread -dqc d.zst" },
	{ "python", "app", NULL, NULL, "python3 -c 'import json, re, collections, hashlib, heapq'", "python3 $WORK/work.py" },
	{ "python-start", "app", NULL, NULL, "python3 -c 'import json, argparse, subprocess'",
	  "for i in 1 2 3; do python3 -c 'import json, argparse, subprocess; print(len(json.dumps([1] * 99)))'; done" },
	{ "perl", "app", NULL, NULL, TEXT "perl -e 'print 1'", "perl $WORK/work.pl data" },
	{ "sqlite", "app", NULL, NULL, "sqlite3 :memory: 'select 1'", "sqlite3 :memory: <$WORK/work.sql" },
	{ "node", "app", NULL, NULL, "node -e 1", "node $WORK/work.js" },
	{ "gcc", "app", NULL, NULL, "gcc -O2 -c -o warm.o $WORK/warm.c", "gcc -O2 -S -o - $WORK/compile.c | grep -v '^[[:space:]]*[.]'" },
	{ "shell", "app", NULL, NULL, "seq 3 | tr 1 2 | cat; expr 1 + 1; basename a/b", "sh $WORK/work.sh" },
	{ "text-tools", "app", NULL, NULL, "$BENCH text 600000 >data; sort -R /dev/null; awk 1 /dev/null; sed p /dev/null",
	  "tr -cs a-z '\\n' <data | sort | uniq -c | sort -k1,1nr -k2 | head -n 500; "
	  "awk '{ n += NF; for (i = 1; i <= NF; i++) c[$i]++ } END { print n, length(c) }' data; "
	  "sed 's/\\([a-z]*\\) \\([a-z]*\\)/\\2 \\1/g' data | grep -c 'er.*in'" },
	{ 0 },
};
