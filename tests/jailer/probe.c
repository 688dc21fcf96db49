/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in place of a monitor in a jail and says what it finds there, as JSON in /run/report. Static, as
 * there are no libraries. With --sleep it stays until killed; --look-for NAME looks for a network
 * interface; --escape PATH tries ways out to PATH.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;

static void list(FILE *f, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	const char *separator = "";

	fprintf(f, "  \"%s\": [", path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			fprintf(f, "%s\"%s\"", separator, e->d_name);
			separator = ", ";
		}
	fprintf(f, "],\n");
	if (d)
		closedir(d);
}

static void device(FILE *f, const char *path)
{
	struct stat st = { 0 };

	stat(path, &st);
	fprintf(f, "  \"%s\": [%d, %u, %u, %u, %u, %u],\n", path, S_ISCHR(st.st_mode), major(st.st_rdev),
		minor(st.st_rdev), st.st_uid, st.st_gid, st.st_mode & 07777);
}

static void limit(FILE *f, const char *name, int what)
{
	struct rlimit l = { 0, 0 };

	getrlimit(what, &l);
	fprintf(f, "  \"%s\": %llu,\n", name, (unsigned long long)l.rlim_cur);
}

static int has_interface(const char *name)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), found;

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	found = ioctl(fd, SIOCGIFINDEX, &r) == 0;
	close(fd);
	return found;
}

/* Every way is counted that worked. */
static unsigned escape(const char *path)
{
	unsigned n = 0;
	int root = open("/", O_RDONLY | O_DIRECTORY);

	n += open(path, O_RDONLY) >= 0;
	n += mkdir("/tmp-root", 0700) == 0 && chroot("/tmp-root") == 0; /* the double chroot */
	n += fchdir(root) == 0 && chdir("../../../../../../..") == 0 && open(path + 1, O_RDONLY) >= 0;
	n += mount("none", "/run", "tmpfs", 0, NULL) == 0;
	n += mknod("/run/mem", S_IFCHR | 0600, makedev(1, 1)) == 0;
	n += setuid(0) == 0;
	n += setgid(0) == 0;
	n += access("/proc/1/root", F_OK) == 0;
	n += open("/dev/mem", O_RDONLY) >= 0;
	n += open("/probe", O_WRONLY) >= 0;
	close(root);
	return n;
}

int main(int argc, char **argv)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct cap[2] = { { 0, 0, 0 } };
	unsigned n_env = 0, n_fds = 0, n_bounding = 0, escapes = 0;
	const char *interface = NULL, *outside = NULL;
	struct stat null = { 0 };
	uid_t r, e, s;
	int sleeps = 0;
	gid_t g;
	FILE *f;

	for (int i = 1; i < argc; i++) {
		sleeps |= !strcmp(argv[i], "--sleep");
		if (i + 1 < argc && !strcmp(argv[i], "--look-for"))
			interface = argv[i + 1];
		if (i + 1 < argc && !strcmp(argv[i], "--escape"))
			outside = argv[i + 1];
	}
	while (environ[n_env])
		n_env++;
	for (int fd = 3; fd < 4096; fd++)
		n_fds += fcntl(fd, F_GETFD) >= 0;
	for (unsigned long c = 0; c < 64; c++)
		n_bounding += prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1;
	syscall(SYS_capget, &h, cap);
	getresuid(&r, &e, &s);
	g = getgid();
	fstat(0, &null);
	if (outside)
		escapes = escape(outside);
	f = fopen("/run/report.new", "w");
	if (!f)
		return 1;
	fprintf(f, "{\n  \"args\": [");
	for (int i = 0; i < argc; i++)
		fprintf(f, "%s\"%s\"", i ? ", " : "", argv[i]);
	fprintf(f, "],\n  \"uid\": [%u, %u, %u], \"gid\": %u, \"groups\": %d,\n", r, e, s, g, getgroups(0, NULL));
	list(f, "/");
	list(f, "/dev");
	list(f, "/dev/net");
	device(f, "/dev/kvm");
	device(f, "/dev/net/tun");
	limit(f, "no-file", RLIMIT_NOFILE);
	limit(f, "fsize", RLIMIT_FSIZE);
	limit(f, "core", RLIMIT_CORE);
	fprintf(f, "  \"env\": %u, \"fds\": %u, \"bounding\": %u, \"effective\": %u, \"permitted\": %u,\n", n_env,
		n_fds, n_bounding, cap[0].effective | cap[1].effective, cap[0].permitted | cap[1].permitted);
	fprintf(f, "  \"no_new_privs\": %d, \"pid\": %d, \"sid\": %d, \"stdin_null\": %d,\n",
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), getpid(), getsid(0),
		S_ISCHR(null.st_mode) && null.st_rdev == makedev(1, 3));
	fprintf(f, "  \"interface\": %d, \"escapes\": %u\n}\n", interface && has_interface(interface), escapes);
	fclose(f);
	rename("/run/report.new", "/run/report");
	while (sleeps)
		pause();
	return 0;
}
