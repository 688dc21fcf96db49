/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs of `mayfly run -- CMD`: the guest's own, if it has one, and behind it an archive with
 * our init, the command's words and environment. Linux unpacks one after the other into the same
 * root. Without an own one a static busybox of this host comes along, if there is one.
 *
 * It is made in memory (memfd) and has no name that anybody could change.
 *
 * Refs: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#include "vmm/guest/command.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_init.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/guest/result.h"

enum { MAX_TEXT = 60 << 10, MAX_WORDS = 500 };

struct archive {
	int fd;
	unsigned n_files;
	int error; /* the first one */
};

static void put(struct archive *a, const void *p, size_t len)
{
	const char *from = p;

	while (len && !a->error) {
		ssize_t n = write(a->fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			a->error = errno;
			return;
		}
		from += n;
		len -= (size_t)n;
	}
}

static void pad(struct archive *a, off_t to)
{
	static const char zeroes[512];
	off_t at = lseek(a->fd, 0, SEEK_CUR);

	put(a, zeroes, (size_t)((to - at % to) % to));
}

static void put_entry(struct archive *a, const char *name, unsigned mode, unsigned rdev_major,
		      unsigned rdev_minor, size_t len)
{
	char head[128];
	int n = snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x",
			 ++a->n_files, mode, 0u, 0u, 1u, 0u, len, 0u, 0u, rdev_major, rdev_minor,
			 strlen(name) + 1, 0u);

	put(a, head, (size_t)n);
	put(a, name, strlen(name) + 1);
	pad(a, 4);
}

static void put_file(struct archive *a, const char *name, unsigned mode, const void *p, size_t len)
{
	put_entry(a, name, S_IFREG | mode, 0, 0, len);
	put(a, p, len);
	pad(a, 4);
}

static void put_dir(struct archive *a, const char *name)
{
	put_entry(a, name, S_IFDIR | 0755, 0, 0, 0);
}

/* Copies all of `from`; how many bytes. */
static uint64_t copy(struct archive *a, int from)
{
	static const size_t size = 1 << 20;
	char *buf = malloc(size);
	uint64_t total = 0;
	ssize_t n = 0;

	if (!buf)
		a->error = ENOMEM;
	while (buf && !a->error && (n = read(from, buf, size)) > 0) {
		put(a, buf, (size_t)n);
		total += (uint64_t)n;
	}
	if (n < 0)
		a->error = errno;
	free(buf);
	return total;
}

/* A program without an interpreter needs no libraries. */
static bool is_static(int fd)
{
	Elf64_Ehdr h;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) || memcmp(h.e_ident, ELFMAG, SELFMAG) ||
	    h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum > 100)
		return false;
	for (unsigned i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr p;

		if (pread(fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p))) != sizeof(p) ||
		    p.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void put_busybox(struct archive *a)
{
	static const char *const paths[] = { "/bin/busybox", "/usr/bin/busybox" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_static(fd)) {
			put_dir(a, "bin");
			put_entry(a, "bin/busybox", S_IFREG | 0755, 0, 0, (size_t)st.st_size);
			copy(a, fd);
			pad(a, 4);
			put_entry(a, "bin/sh", S_IFLNK | 0777, 0, 0, 7);
			put(a, "busybox", 7);
			pad(a, 4);
			close(fd);
			return;
		}
		if (fd >= 0)
			close(fd);
	}
}

static int copy_initrd(struct archive *a, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		err_set(e, fd < 0 ? errno : EINVAL, "initrd: %s: %s", path,
			fd < 0 ? strerror(errno) : "not a regular file");
		if (fd >= 0)
			close(fd);
		return -e->code;
	}
	copy(a, fd);
	pad(a, 512);
	close(fd);
	return 0;
}

/* The words, each with its NUL. */
static int put_words(struct archive *a, char *const *words, struct err *e)
{
	size_t len = 0;
	unsigned n = 0;

	for (; words[n]; n++)
		len += strlen(words[n]) + 1;
	if (len > MAX_TEXT || n > MAX_WORDS) {
		err_set(e, E2BIG, "the command is too long: %u words, %zu bytes", n, len);
		err_hint(e, "at most %d and %d", MAX_WORDS, MAX_TEXT);
		return -E2BIG;
	}
	put_entry(a, "mayfly/args", S_IFREG | 0644, 0, 0, len);
	for (n = 0; words[n]; n++)
		put(a, words[n], strlen(words[n]) + 1);
	pad(a, 4);
	return 0;
}

static void put_env(struct archive *a)
{
	const char *term = getenv("TERM");
	char text[300];
	int n = snprintf(text, sizeof(text),
			 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin%cHOME=/root%c"
			 "TERM=%.60s%c", 0, 0, term ? term : "dumb", 0);

	put_file(a, "mayfly/env", 0644, text, (size_t)n);
}

int guest_command_initrd(const struct guest_command *c, struct err *e)
{
	struct archive a = { .fd = memfd_create("mayfly-initrd", MFD_CLOEXEC) };
	int r = 0;

	if (a.fd < 0)
		return err_set(e, errno, "initrd: %s", strerror(errno));
	if (c->initrd_path)
		r = copy_initrd(&a, c->initrd_path, e);
	put_dir(&a, "mayfly");
	put_dir(&a, "dev");
	put_entry(&a, "dev/console", S_IFCHR | 0600, 5, 1, 0);
	put_file(&a, "mayfly/init", 0755, guest_init, sizeof(guest_init));
	if (r == 0)
		r = put_words(&a, c->words, e);
	put_env(&a);
	if (c->interactive)
		put_file(&a, "mayfly/tty", 0644, "", 0);
	if (c->input)
		put_file(&a, "mayfly/input", 0644, "", 0);
	if (!c->initrd_path)
		put_busybox(&a);
	put_entry(&a, "TRAILER!!!", 0, 0, 0, 0);
	pad(&a, 512);
	if (r == 0 && a.error)
		r = err_set(e, a.error, "initrd: %s", strerror(a.error));
	if (r < 0)
		close(a.fd);
	return r < 0 ? r : a.fd;
}

int guest_command_status(unsigned code)
{
	unsigned value = code >> 1; /* the port's event is twice the value, plus one */

	if ((value & ~0xffu) != (RESULT_MARK & 0x7fffffff))
		return -1;
	return (int)(value & 0xff);
}
