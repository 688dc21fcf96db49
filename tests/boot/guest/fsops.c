/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random file operations in one directory, the same for the same seed: what they return, what is read,
 * and at the end the whole tree go into one number that two file systems must agree on.
 *
 *	fsops DIR SEED COUNT		prints "fsops SEED: COUNT operations, digest HEX"
 *
 * Several files are open at a time; they are written, extended, cut, punched, mapped, renamed over each
 * other, linked, removed while open. Times, inode numbers and the order of directories are left out.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { N_NAMES = 24, N_FDS = 8, MAX_SIZE = 200000, MAX_DEPTH = 3 };

static uint64_t state, digest = 0xcbf29ce484222325;
static int fds[N_FDS];
static uint8_t buf[65536];
static const char *top;

static uint32_t rnd(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % n;
}

static void mix(uint64_t v)
{
	digest = (digest ^ v) * 0x100000001b3;
}

static void mix_bytes(const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n--)
		mix(*b++);
}

/* A result, and the error if it is one. */
static long note(long r)
{
	mix(r < 0 ? (uint64_t)-errno : (uint64_t)r);
	return r;
}

/* A name up to two directories down. */
static const char *name(void)
{
	static char path[4][64];
	static unsigned turn;
	char *p = path[turn++ % 4];
	unsigned dirs = rnd(MAX_DEPTH);

	*p = 0;
	for (unsigned i = 0; i < dirs; i++)
		sprintf(p + strlen(p), "d%u/", rnd(3));
	sprintf(p + strlen(p), rnd(6) ? "f%u" : "d%u", rnd(rnd(6) ? N_NAMES : 3));
	return p;
}

static void look(const char *path)
{
	struct stat st;

	if (note(lstat(path, &st)) < 0)
		return;
	mix(st.st_mode);
	mix(S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size);
	mix(S_ISDIR(st.st_mode) ? 0 : st.st_nlink);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path, int deep)
{
	char *names[1024], sub[256];
	unsigned n = 0;
	struct dirent *e;
	DIR *d = opendir(path);

	note(d ? 0 : -1);
	while (d && (e = readdir(d)) && n < 1024)
		if (e->d_name[0] != '.')
			names[n++] = strdup(e->d_name);
	if (d)
		closedir(d);
	qsort(names, n, sizeof(names[0]), by_name);
	for (unsigned i = 0; i < n; i++) {
		mix_bytes(names[i], strlen(names[i]));
		snprintf(sub, sizeof(sub), "%s/%s", path, names[i]);
		if (deep) {
			struct stat st;
			int fd;

			look(sub);
			if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
				list(sub, 1);
			fd = lstat(sub, &st) == 0 && S_ISREG(st.st_mode) ? open(sub, O_RDONLY) : -1;
			for (ssize_t k; fd >= 0 && (k = read(fd, buf, sizeof(buf))) > 0;)
				mix_bytes(buf, (size_t)k);
			if (fd >= 0)
				close(fd);
		}
		free(names[i]);
	}
}

static void fill(size_t n)
{
	uint32_t v = rnd(UINT32_MAX);

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(v + i * 7 + i / 251);
}

static void map_file(int fd)
{
	struct stat st;
	uint8_t *p;

	if (fstat(fd, &st) < 0 || st.st_size < 4096)
		return;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return; /* opened for reading or writing alone */
	for (unsigned i = 0; i < 16; i++)
		p[rnd((uint32_t)st.st_size)] ^= 0x5a;
	mix_bytes(p, 4096);
	msync(p, (size_t)st.st_size, MS_SYNC);
	munmap(p, (size_t)st.st_size);
}

static void on_file(void)
{
	int *fd = &fds[rnd(N_FDS)];
	uint32_t at = rnd(MAX_SIZE), n = rnd(rnd(4) ? 5000 : 60000);
	ssize_t got;

	if (*fd < 0) {
		static const int flags[] = {O_RDWR | O_CREAT, O_RDWR, O_RDONLY, O_RDWR | O_CREAT | O_TRUNC,
					    O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_CREAT | O_APPEND};

		*fd = open(name(), flags[rnd(6)], 0640);
		note(*fd < 0 ? -1 : 0);
		return;
	}
	switch (rnd(12)) {
	case 0 ... 2:
		fill(n);
		note(pwrite(*fd, buf, n, at));
		break;
	case 3 ... 5:
		got = note(pread(*fd, buf, n, at));
		if (got > 0)
			mix_bytes(buf, (size_t)got);
		break;
	case 6:
		note(ftruncate(*fd, at));
		break;
	case 7:
		map_file(*fd);
		break;
	case 8:
		note(rnd(2) ? fsync(*fd) : fdatasync(*fd));
		break;
	case 9:
		note(fallocate(*fd, rnd(2) ? FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE : 0, at, n + 1));
		break;
	case 10:
		note(lseek(*fd, at, SEEK_SET));
		fill(n);
		note(write(*fd, buf, n));
		break;
	case 11:
		note(close(*fd));
		*fd = -1;
		break;
	}
}

static void on_name(void)
{
	char target[64] = {0};
	ssize_t got;

	switch (rnd(13)) {
	case 0:
		note(mkdir(name(), 0750));
		break;
	case 1:
		note(rmdir(name()));
		break;
	case 2:
		note(unlink(name()));
		break;
	case 3:
		note(rename(name(), name()));
		break;
	case 4:
		note(link(name(), name()));
		break;
	case 5:
		note(symlink(name(), name()));
		break;
	case 6:
		got = note(readlink(name(), target, sizeof(target) - 1));
		mix_bytes(target, got > 0 ? (size_t)got : 0);
		break;
	case 7:
		note(truncate(name(), rnd(MAX_SIZE)));
		break;
	case 8:
		note(chmod(name(), 0600 | rnd(0200)));
		break;
	case 9:
		note(renameat2(AT_FDCWD, name(), AT_FDCWD, name(), rnd(2) ? RENAME_EXCHANGE : RENAME_NOREPLACE));
		break;
	case 10:
		list(".", 0);
		break;
	default:
		look(name());
	}
}

int main(int argc, char **argv)
{
	unsigned long count;

	if (argc != 4 || mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0) {
		perror(argc > 1 ? argv[1] : "usage: fsops DIR SEED COUNT");
		return 2;
	}
	top = argv[1];
	umask(022);
	state = strtoul(argv[2], NULL, 0) * 0x9e3779b97f4a7c15 | 1;
	count = strtoul(argv[3], NULL, 0);
	for (unsigned i = 0; i < N_FDS; i++)
		fds[i] = -1;
	for (unsigned long i = 0; i < count; i++) {
		if (rnd(3))
			on_file();
		else
			on_name();
		if (getenv("FSOPS_TRACE"))
			printf("%lu %llx\n", i, (unsigned long long)digest);
	}
	for (unsigned i = 0; i < N_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	list(".", 1);
	printf("fsops %s: %lu operations, digest %016llx\n", argv[2], count, (unsigned long long)digest);
	return 0;
}
