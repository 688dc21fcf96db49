/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a guest that `mayfly run -- CMD` starts: sets the guest up, runs the command,
 * and ends the machine with the command's exit status. Part of mayfly's own program; it gets into
 * the guest as an initramfs behind the one that the guest has (vmm/guest/command.c).
 *
 * It mounts /proc, /sys, /dev, loads the modules that /modules/order lists (tools/mkinitrd makes that),
 * and with root= on the kernel's command line mounts that and changes there. Then it runs the words of
 * /mayfly/args, in the environment of /mayfly/env; a word that is no program is tried as a busybox
 * applet. With a terminal (the third file, /mayfly/tty) it has job control and line editing; without
 * one, its output goes out byte for byte, and its input is a pipe that a process of ours fills with what
 * comes over the serial port (if there is /mayfly/input), or empty.
 *
 * At the end it writes RESULT_MARK + status to port 0xf4 (devices/legacy/debug_exit.c).
 *
 * It stands alone, without a C library, so that it is small and starts at once.
 */
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "vmm/guest/result.h"

enum { MAX_WORDS = 512, BUF = 64 << 10, ROOT_TRIES = 200 };
enum { TIOCSCTTY_ = 0x540e, TCSBRK_ = 0x5409, TCGETS_ = 0x5401, TCSETS_ = 0x5402, TIOCSBRK_ = 0x5427,
       TIOCCBRK_ = 0x5428, RAW_FLAGS = ICANON | ECHO | ISIG | IEXTEN };

typedef unsigned long word;

static char args_text[BUF], env_text[BUF], text[BUF];
static char *args[MAX_WORDS + 2], *env[MAX_WORDS + 1];

static long call(long n, word a, word b, word c, word d, word e)
{
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return r;
}

/* The compiler makes calls of these. */
void *memset(void *p, int c, word n);
void *memcpy(void *to, const void *from, word n);

void *memset(void *p, int c, word n)
{
	for (word i = 0; i < n; i++)
		((volatile char *)p)[i] = (char)c;
	return p;
}

void *memcpy(void *to, const void *from, word n)
{
	for (word i = 0; i < n; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}

static word length(const char *s)
{
	word n = 0;

	while (s[n])
		n++;
	return n;
}

static int starts_with(const char *s, const char *with)
{
	while (*with)
		if (*s++ != *with++)
			return 0;
	return 1;
}

static char *join(char *to, const char *a, const char *b)
{
	memcpy(to, a, length(a));
	memcpy(to + length(a), b, length(b) + 1);
	return to;
}

static void say(const char *s)
{
	call(__NR_write, 2, (word)s, length(s), 0, 0);
}

static void complain(const char *what, const char *about)
{
	say("mayfly: ");
	say(what);
	say(": ");
	say(about);
	say("\n");
}

/* Returns how many bytes; there is a NUL behind them. */
static word read_file(const char *path, char *to, word max)
{
	long fd = call(__NR_open, (word)path, O_RDONLY, 0, 0, 0), n;
	word len = 0;

	to[0] = '\0';
	if (fd < 0)
		return 0;
	while (len < max - 1 && (n = call(__NR_read, (word)fd, (word)to + len, max - 1 - len, 0, 0)) > 0)
		len += (word)n;
	call(__NR_close, (word)fd, 0, 0, 0, 0);
	to[len] = '\0';
	return len;
}

static int exists(const char *path)
{
	return call(__NR_access, (word)path, 0, 0, 0, 0) == 0;
}

/* Words that end with NUL each. */
static unsigned split(char *from, word len, char **to, unsigned max)
{
	unsigned n = 0;

	for (word at = 0; at < len && n < max; at += length(from + at) + 1)
		to[n++] = from + at;
	to[n] = 0;
	return n;
}

static long mount(const char *what, const char *where, const char *type, word flags)
{
	call(__NR_mkdir, (word)where, 0755, 0, 0, 0);
	return call(__NR_mount, (word)what, (word)where, (word)type, flags, 0);
}

/* Ends the machine; if it has no such port, the guest's own way. */
static void __attribute__((noreturn)) finish(unsigned status)
{
	unsigned value = RESULT_MARK | (status & 0xff);

	call(__NR_ioctl, 1, TCSBRK_, 1, 0, 0); /* when all output is gone */
	call(__NR_sync, 0, 0, 0, 0, 0);
	if (call(__NR_iopl, 3, 0, 0, 0, 0) == 0)
		__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(0xf4));
	call(__NR_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0, 0); /* power off */
	for (;;)
		call(__NR_pause, 0, 0, 0, 0, 0);
}

static void load_modules(void)
{
	word len = read_file("/modules/order", text, BUF);
	char path[256], *name = text;

	for (word i = 0; i < len; i++) {
		long fd;

		if (text[i] != '\n')
			continue;
		text[i] = '\0';
		if (length(name) < 200) {
			fd = call(__NR_open, (word)join(path, "/modules/", name), O_RDONLY, 0, 0, 0);
			if (fd < 0 || call(__NR_finit_module, (word)fd, (word) "", 0, 0, 0) < 0)
				complain("cannot load module", name);
			call(__NR_close, (word)fd, 0, 0, 0, 0);
		}
		name = text + i + 1;
	}
}

/* root=, rootfstype=, ro, rw of the kernel's command line. */
static void change_root(void)
{
	word len = read_file("/proc/cmdline", text, BUF), flags = 0;
	char *root = 0, *type = 0, *s = text;
	struct {
		long s, ns;
	} pause = { 0, 10000000 };
	unsigned tries = 0;

	for (word i = 0; i <= len; i++) {
		if (text[i] != ' ' && text[i] != '\n' && text[i])
			continue;
		text[i] = '\0';
		if (starts_with(s, "root="))
			root = s + 5;
		else if (starts_with(s, "rootfstype="))
			type = s + 11;
		else if (starts_with(s, "ro") && !s[2])
			flags = MS_RDONLY;
		s = text + i + 1;
	}
	if (!root)
		return;
	if (!type)
		type = (char *)"ext4";
	while (mount(root, "/newroot", type, flags) < 0) {
		if (tries++ == ROOT_TRIES) { /* its driver may take a while */
			complain("cannot mount root", root);
			finish(RESULT_NO_COMMAND);
		}
		call(__NR_nanosleep, (word)&pause, 0, 0, 0, 0);
	}
	call(__NR_mount, (word) "/dev", (word) "/newroot/dev", 0, MS_MOVE, 0);
	call(__NR_mount, (word) "/proc", (word) "/newroot/proc", 0, MS_MOVE, 0);
	call(__NR_mount, (word) "/sys", (word) "/newroot/sys", 0, MS_MOVE, 0);
	call(__NR_chdir, (word) "/newroot", 0, 0, 0, 0);
	call(__NR_mount, (word) ".", (word) "/", 0, MS_MOVE, 0);
	call(__NR_chroot, (word) ".", 0, 0, 0, 0);
	call(__NR_chdir, (word) "/", 0, 0, 0, 0);
}

/*
 * Standard files: the serial port; output unchanged unless somebody sits there. Input is raw, too, and
 * RTS goes off while there is no room for it.
 */
static void open_terminal(int interactive)
{
	long fd = call(__NR_open, (word) "/dev/ttyS0", O_RDWR | O_NOCTTY, 0, 0, 0);
	struct termios t;

	if (fd < 0)
		fd = call(__NR_open, (word) "/dev/console", O_RDWR | O_NOCTTY, 0, 0, 0);
	if (fd < 0)
		return;
	if (!interactive && call(__NR_ioctl, (word)fd, TCGETS_, (word)&t, 0, 0) == 0) {
		t.c_iflag = IGNBRK;
		t.c_oflag &= ~(tcflag_t)OPOST;
		t.c_lflag &= ~(tcflag_t)RAW_FLAGS;
		t.c_cflag |= CRTSCTS;
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		call(__NR_ioctl, (word)fd, TCSETS_, (word)&t, 0, 0);
	}
	call(__NR_dup2, (word)fd, 1, 0, 0, 0);
	call(__NR_dup2, (word)fd, 2, 0, 0, 0);
	if (!interactive)
		fd = call(__NR_open, (word) "/dev/null", O_RDONLY, 0, 0, 0);
	call(__NR_dup2, (word)fd, 0, 0, 0, 0);
}

static void write_all(long fd, const char *p, word len)
{
	while (len) {
		long n = call(__NR_write, (word)fd, (word)p, len, 0, 0);

		if (n <= 0)
			call(__NR_exit, 0, 0, 0, 0, 0);
		p += n;
		len -= (word)n;
	}
}

/* The command's input from the serial port to a pipe; see result.h. */
static void __attribute__((noreturn)) relay_input(long to)
{
	int marked = 0, ended = 0;
	long n;

	call(__NR_ioctl, 1, TIOCSBRK_, 0, 0, 0);
	call(__NR_ioctl, 1, TIOCCBRK_, 0, 0, 0);
	while (!ended && (n = call(__NR_read, 1, (word)text, BUF, 0, 0)) > 0) {
		word len = 0;

		for (long i = 0; i < n && !ended; i++) {
			if (marked && text[i] == INPUT_END)
				ended = 1;
			else if (marked || text[i] != INPUT_MARK)
				text[len++] = text[i];
			marked = !marked && text[i] == INPUT_MARK;
		}
		write_all(to, text, len);
	}
	call(__NR_exit, 0, 0, 0, 0, 0);
	for (;;)
		;
}

/* Standard input becomes a pipe that a child fills. */
static void start_input(void)
{
	int fd[2];

	if (call(__NR_pipe, (word)fd, 0, 0, 0, 0) < 0)
		return;
	if (call(__NR_fork, 0, 0, 0, 0, 0) == 0) {
		call(__NR_close, (word)fd[0], 0, 0, 0, 0);
		relay_input(fd[1]);
	}
	call(__NR_dup2, (word)fd[0], 0, 0, 0, 0);
	call(__NR_close, (word)fd[0], 0, 0, 0, 0);
	call(__NR_close, (word)fd[1], 0, 0, 0, 0);
}

static const char *find_path(void)
{
	for (unsigned i = 0; env[i]; i++)
		if (starts_with(env[i], "PATH="))
			return env[i] + 5;
	return "/bin";
}

static void __attribute__((noreturn)) run_command(int interactive)
{
	const char *path = find_path();
	char file[4352];

	call(__NR_setsid, 0, 0, 0, 0, 0);
	if (interactive)
		call(__NR_ioctl, 0, TIOCSCTTY_, 0, 0, 0);
	for (const char *c = args[0]; *c; c++)
		if (*c == '/')
			path = 0;
	if (!path)
		call(__NR_execve, (word)args[0], (word)args, (word)env, 0, 0);
	while (path && *path) {
		word n = 0;

		while (path[n] && path[n] != ':')
			n++;
		if (n + length(args[0]) + 2 < sizeof(file)) {
			memcpy(file, path, n);
			file[n] = '/';
			memcpy(file + n + 1, args[0], length(args[0]) + 1);
			call(__NR_execve, (word)file, (word)args, (word)env, 0, 0);
		}
		path += n + (path[n] == ':');
	}
	call(__NR_execve, (word) "/bin/busybox", (word)args, (word)env, 0, 0);
	complain("no such program in the guest", args[0]);
	call(__NR_exit, RESULT_NO_COMMAND, 0, 0, 0, 0);
	for (;;)
		;
}

/* All orphans are ours; the command's status is what counts. */
static unsigned wait_for(long child)
{
	int status = 0;

	for (;;) {
		long pid = call(__NR_wait4, (word)-1, (word)&status, 0, 0, 0);

		if (pid == child)
			return status & 0x7f ? 128u + (status & 0x7f) : (unsigned)status >> 8 & 0xff;
		if (pid < 0 && pid != -4) /* EINTR */
			return RESULT_NO_COMMAND;
	}
}

__attribute__((noreturn, used)) void begin(void)
{
	int interactive, input;
	unsigned n;
	long child;

	mount("devtmpfs", "/dev", "devtmpfs", 0);
	mount("proc", "/proc", "proc", 0);
	mount("sysfs", "/sys", "sysfs", 0);
	mount("devpts", "/dev/pts", "devpts", 0);
	call(__NR_mkdir, (word) "/tmp", 01777, 0, 0, 0);
	call(__NR_mkdir, (word) "/root", 0700, 0, 0, 0);
	interactive = exists("/mayfly/tty");
	input = exists("/mayfly/input");
	n = split(args_text, read_file("/mayfly/args", args_text, BUF), args, MAX_WORDS);
	split(env_text, read_file("/mayfly/env", env_text, BUF), env, MAX_WORDS);
	open_terminal(interactive);
	load_modules();
	change_root();
	if (!n)
		finish(RESULT_NO_COMMAND);
	if (input)
		start_input();
	child = call(__NR_fork, 0, 0, 0, 0, 0);
	if (child == 0)
		run_command(interactive);
	finish(child < 0 ? (unsigned)RESULT_NO_COMMAND : wait_for(child));
}

__asm__(".globl _start\n_start:\n\tand $-16, %rsp\n\tcall begin\n");
