/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `mayfly run`, and what is assumed where nothing is said.
 *
 * The default command line is "console=ttyS0 reboot=k panic=-1": the first UART (or hvc0, if there is
 * a console and the serial port is off), resets through
 * the keyboard controller if ACPI has no better way (so that a triple fault is always a crash),
 * and a reboot at once after a panic.
 */
#include "vmm/cli/run_config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/vm.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/guest/command.h"

#define DEFAULT_WORDS   "reboot=k panic=-1"
#define DEFAULT_CMDLINE "console=ttyS0 " DEFAULT_WORDS
#define BOOT_DIR        "/boot"

enum run_option {
	RUN_ACCEL,
	RUN_CPUS,
	RUN_CPU,
	RUN_MEM,
	RUN_KERNEL,
	RUN_UNPACK,
	RUN_FDT,
	RUN_INITRD,
	RUN_CMDLINE,
	RUN_CMDLINE_ADD,
	RUN_DISK,
	RUN_PMEM,
	RUN_BUS,
	RUN_NET,
	RUN_MMDS,
	RUN_RNG,
	RUN_FS,
	RUN_VSOCK,
	RUN_BALLOON,
	RUN_HOTPLUG,
	RUN_SERIAL,
	RUN_CONSOLE,
	RUN_ESCAPE,
	RUN_TIMEOUT,
	RUN_NO_REBOOT,
	RUN_PIDFILE,
	RUN_METRICS,
	RUN_LOG,
	RUN_CODE_CACHE,
	RUN_DEBUG,
	RUN_DRY_RUN,
	RUN_CONFIG,
	RUN_HELP,
};

/* The words of choices, in the order of their enums. */
static const char *const accel_names[] = { "auto", "kvm", "tcg" };

static const char *const bus_names[] = { "mmio", "pci" };
static const char *const pages_names[] = { "None", "Transparent", "2M" }; /* as the API calls them */
static const char *const unpack_names[] = { "auto", "host", "guest" };

static const char *const cpu_names[] = { "host", "v2", "v3" };

static const struct opt_key accel_keys[] = { { "type", OPT_CHOICE, "auto|kvm|tcg" }, { 0 } };
static const struct opt_key bus_keys[] = { { "type", OPT_CHOICE, "mmio|pci" }, { 0 } };
static const struct opt_key unpack_keys[] = { { "where", OPT_CHOICE, "auto|host|guest" }, { 0 } };
static const struct opt_key cpu_keys[] = { { "model", OPT_CHOICE, "host|v2|v3" }, { 0 } };
static const struct opt_key cpus_keys[] = { { "count", OPT_UINT, "N" }, { 0 } };
static const struct opt_key size_keys[] = { { "size", OPT_SIZE, "SIZE" }, { 0 } };
enum { MEM_SIZE, MEM_HUGEPAGES };
static const struct opt_key mem_keys[] = {
	[MEM_SIZE] = { "size", OPT_SIZE, "SIZE" },
	[MEM_HUGEPAGES] = { "hugepages", OPT_CHOICE, "any|transparent|2M" },
	{ 0 },
};
static const struct opt_key file_keys[] = { { "file", OPT_REST, "FILE" }, { 0 } };
static const struct opt_key text_keys[] = { { "text", OPT_REST, "TEXT" }, { 0 } };
static const struct opt_key escape_keys[] = { { "key", OPT_REST, "KEY" }, { 0 } };
static const struct opt_key timeout_keys[] = { { "time", OPT_DURATION, "TIME" }, { 0 } };
enum { LOG_LEVEL, LOG_FILE };
static const struct opt_key log_keys[] = {
	[LOG_LEVEL] = { "level", OPT_CHOICE, "error|warn|info|debug" },
	[LOG_FILE] = { "file", OPT_STR, "PATH" },
	{ 0 },
};

static const struct opt run_options[] = {
	{ RUN_KERNEL, "kernel", file_keys, "kernel to boot: bzImage, vmlinux (PVH), Multiboot" },
	{ RUN_INITRD, "initrd", file_keys, "initial ramdisk" },
	{ RUN_UNPACK, "unpack", unpack_keys,
	  "who unpacks a bzImage: the guest, the host, or the host under the translator (the default)" },
	{ RUN_FDT, "fdt", NULL,
	  "hand a device tree to a Linux that does not use ACPI (acpi=off) and knows CONFIG_OF" },
	{ RUN_CMDLINE, "cmdline", text_keys,
	  "kernel command line; the default is \"" DEFAULT_CMDLINE "\"" },
	{ RUN_CMDLINE_ADD, "cmdline+", text_keys, "add to the command line; may be repeated" },
	{ RUN_MEM, "mem", mem_keys, "memory, such as 512M or 2G; the default is 512M; in the host's huge pages if it has them, or in those it has set apart (2M)" },
	{ RUN_CPUS, "cpus", cpus_keys, "virtual processors; the default is 1" },
	{ RUN_CPU, "cpu", cpu_keys,
	  "translator: processor model, this host's (the default) or one that is the same on every host" },
	{ RUN_ACCEL, "accel", accel_keys,
	  "what runs the guest: KVM, the translator, or KVM if this host's works (the default)" },
	{ RUN_DISK, "disk", run_disk_keys,
	  "raw disk image or block device; may be repeated; the first is the root disk" },
	{ RUN_PMEM, "pmem", run_pmem_keys,
	  "persistent memory (/dev/pmem0): a file that the guest has as memory; may be repeated" },
	{ RUN_BUS, "bus", bus_keys,
	  "where virtio devices are: registers in memory (the default), or PCI" },
	{ RUN_NET, "net", run_net_keys,
	  "network: user mode without privileges (the default), a tap, passt, a socket, or none; may be repeated" },
	{ RUN_MMDS, "mmds", run_mmds_keys,
	  "metadata service: a JSON file that the guest reads at http://169.254.169.254/" },
	{ RUN_RNG, "rng", run_rng_keys, "give the guest a random number device; how much it may take of it",
	  true },
	{ RUN_FS, "fs", run_fs_keys,
	  "share a directory with the guest: mount -t virtiofs TAG /mnt; may be repeated" },
	{ RUN_VSOCK, "vsock", run_vsock_keys,
	  "connections between programs: the guest's CID, and a Unix socket of the host to reach it by" },
	{ RUN_BALLOON, "balloon", run_balloon_keys,
	  "memory balloon: how much the guest gives back at first, and what else it tells of its memory; see docs/devices.md",
	  true },
	{ RUN_HOTPLUG, "hotplug-mem", run_hotplug_keys,
	  "memory that the guest can get and give back while it runs, at most so much; see docs/devices.md" },
	{ RUN_SERIAL, "serial", run_serial_keys,
	  "the first serial port: standard input and output (the default), nothing, a file, a socket, a pseudo-terminal; bw: what is over it is dropped" },
	{ RUN_CONSOLE, "console", run_console_keys,
	  "a virtio console (hvc0), on standard input and output if nothing is said, or with name= a byte channel /dev/virtio-ports/NAME; may be repeated",
	  true },
	{ RUN_ESCAPE, "escape", escape_keys,
	  "escape key of the console, such as ^] (the default is ^A); see `mayfly help keys`" },
	{ RUN_TIMEOUT, "timeout", timeout_keys, "end after this time, such as 30s, with code 124" },
	{ RUN_NO_REBOOT, "no-reboot", NULL, "end when the guest reboots, with code 32" },
	{ RUN_PIDFILE, "pidfile", file_keys, "write the process id there; removed at the end" },
	{ RUN_METRICS, "metrics", file_keys,
	  "write what was counted there every minute, as JSON lines: a file to append to, or a FIFO" },
	{ RUN_LOG, "log", log_keys, "how much to log, and where; the default is warn" },
	{ RUN_CODE_CACHE, "code-cache", size_keys, "translator: memory for translated code and its index" },
	{ RUN_DEBUG, "debug", text_keys, "translator: comma list such as nojit,nochain" },
	{ RUN_DRY_RUN, "dry-run", NULL, "print the configuration as JSON and end" },
	{ RUN_CONFIG, "config", file_keys,
	  "start from a configuration file of Firecracker's; options after it change what it says" },
	{ RUN_HELP, "help", NULL, "this text" },
	{ 0 },
};

static void ignore_log(void *ctx, const struct logger_body *b)
{
	(void)ctx;
	(void)b;
}

const struct opt *run_option_table(void)
{
	return run_options;
}

void run_print_options(void)
{
	opt_print_help(run_options);
}

static int parse_escape(struct run_config *c, const char *s, struct err *e)
{
	if (s[0] == '^' && s[1] >= '@' && s[1] <= '_' && !s[2]) {
		c->escape = (uint8_t)(s[1] - '@');
	} else if (s[0] == '^' && s[1] >= 'a' && s[1] <= 'z' && !s[2]) {
		c->escape = (uint8_t)(s[1] - 'a' + 1);
	} else if (s[0] > 0x20 && s[0] < 0x7f && !s[1]) {
		c->escape = (uint8_t)s[0];
	} else {
		err_set(e, EINVAL, "--escape: '%.20s' is not a key", s);
		err_hint(e, "write ^A to ^Z, ^], or one character");
		return -EINVAL;
	}
	return 0;
}

static int add_cmdline(struct run_config *c, const char *s, struct err *e)
{
	size_t used = strlen(c->cmdline_extra);
	int n = snprintf(c->cmdline_extra + used, sizeof(c->cmdline_extra) - used, " %s", s);

	if ((size_t)n >= sizeof(c->cmdline_extra) - used)
		return err_set(e, EINVAL, "--cmdline+: the command line is too long");
	return 0;
}

/* Nothing of a machine is made by it; who answers for one is `mayfly run` itself. */
static int load_config(struct run_config *c, const char *path, struct err *e)
{
	const struct vm_host host = { .id = "run", .accel = c->machine.accel, .set_log = ignore_log };
	struct text error = { 0 };
	int r;

	if (c->n_options > 1) {
		err_set(e, EINVAL, "--config comes first");
		err_hint(e, "options after it change what the file says");
		return -EINVAL;
	}
	r = vm_create(NULL, &host, &c->described, e);
	if (r < 0)
		return r;
	if (!vm_load_config_file(c->described, path, &error)) {
		err_set(e, EINVAL, "--config: %s", text_str(&error));
		text_free(&error);
		return -EINVAL;
	}
	r = vm_machine_config(c->described, &c->machine, e);
	if (r < 0)
		return err_wrap(e, "--config");
	c->machine.no_reboot = false;
	c->machine.vcpu_threads = NULL;
	c->cmdline_given = c->machine.cmdline;
	c->net_none = c->machine.n_nets == 0;
	return 0;
}

static int set_option(void *ctx, const struct opt *o, const struct opt_value *v, struct err *e)
{
	struct run_config *c = ctx;
	struct machine_config *m = &c->machine;

	c->n_options++;
	switch ((enum run_option)o->id) {
	case RUN_ACCEL:
		m->accel = accel_names[v[0].num];
		return 0;
	case RUN_CPUS:
		m->n_vcpus = v[0].num > UINT32_MAX ? UINT32_MAX : (unsigned)v[0].num;
		return 0;
	case RUN_MEM:
		if (v[MEM_SIZE].given)
			m->mem_bytes = v[MEM_SIZE].num;
		if (v[MEM_HUGEPAGES].given)
			m->pages = (enum machine_pages)v[MEM_HUGEPAGES].num;
		return 0;
	case RUN_CPU:
		m->cpu = cpu_names[v[0].num];
		return 0;
	case RUN_KERNEL:
		m->kernel_path = v[0].text;
		return 0;
	case RUN_UNPACK:
		m->unpack = (enum machine_unpack)v[0].num;
		return 0;
	case RUN_FDT:
		m->fdt = true;
		return 0;
	case RUN_INITRD:
		m->initrd_path = v[0].text;
		return 0;
	case RUN_CMDLINE:
		c->cmdline_given = v[0].text;
		return 0;
	case RUN_CMDLINE_ADD:
		return add_cmdline(c, v[0].text, e);
	case RUN_DISK:
		return run_add_disk(m, v, e);
	case RUN_PMEM:
		return run_add_pmem(m, v, e);
	case RUN_BUS:
		m->bus = v[0].num ? MACHINE_BUS_PCI : MACHINE_BUS_MMIO;
		return 0;
	case RUN_NET:
		return run_add_net(c, v, e);
	case RUN_MMDS:
		return run_set_mmds(c, v, e);
	case RUN_RNG:
		return run_set_rng(m, v, e);
	case RUN_BALLOON:
		return run_set_balloon(m, v, e);
	case RUN_HOTPLUG:
		return run_set_hotplug(m, v, e);
	case RUN_FS:
		return run_add_fs(m, v, e);
	case RUN_VSOCK:
		return run_set_vsock(m, v, e);
	case RUN_SERIAL:
		return run_set_serial(c, v, e);
	case RUN_CONSOLE:
		return run_add_console(c, v, e);
	case RUN_ESCAPE:
		return parse_escape(c, v[0].text, e);
	case RUN_TIMEOUT:
		c->timeout_ns = v[0].num;
		if (v[0].num == 0)
			return err_set(e, EINVAL, "--timeout: 0 is no time at all");
		return 0;
	case RUN_NO_REBOOT:
		m->no_reboot = true;
		return 0;
	case RUN_PIDFILE:
		c->pidfile = v[0].text;
		return 0;
	case RUN_METRICS:
		c->metrics_path = v[0].text;
		return 0;
	case RUN_LOG:
		if (v[LOG_LEVEL].given)
			c->log_level = (enum log_level)v[LOG_LEVEL].num;
		if (v[LOG_FILE].given)
			c->log_path = v[LOG_FILE].text;
		return 0;
	case RUN_CODE_CACHE:
		m->code_cache_bytes = v[0].num;
		return 0;
	case RUN_DEBUG:
		m->debug = v[0].text;
		return 0;
	case RUN_CONFIG:
		return load_config(c, v[0].text, e);
	case RUN_DRY_RUN:
		c->dry_run = true;
		return 0;
	case RUN_HELP:
		c->help = true;
		return 0;
	}
	return 0;
}

static int take_environment(struct run_config *c, struct err *e)
{
	const char *s = getenv("MAYFLY_LOG");

	if (s && *s && !log_level_parse(s, &c->log_level)) {
		err_set(e, EINVAL, "MAYFLY_LOG: '%.40s' is not a level", s);
		err_hint(e, "error, warn, info or debug");
		return -EINVAL;
	}
	s = getenv("MAYFLY_ACCEL");
	if (s && *s)
		c->machine.accel = s;
	return 0;
}

static int set_command(void *ctx, char **words, struct err *e)
{
	struct run_config *c = ctx;

	if (!words[0]) {
		err_set(e, EINVAL, "no command follows --");
		err_hint(e, "write `mayfly run -- uname -a`");
		return -EINVAL;
	}
	c->command = words;
	c->machine.no_reboot = true; /* a guest that starts over would not end */
	return 0;
}

int run_config_parse(struct run_config *c, int argc, char **argv, struct err *e)
{
	const struct opt_sink sink = { .option = set_option, .rest = set_command, .ctx = c };
	int r;

	memset(c, 0, sizeof(*c));
	c->machine.n_vcpus = 1;
	c->machine.mem_bytes = 512ull << 20;
	c->machine.accel = "auto";
	c->escape = 1;
	c->log_level = LOG_LEVEL_WARN;
	r = take_environment(c, e);
	return r < 0 ? r : opt_parse(run_options, argc, argv, &sink, e);
}

/* strverscmp() order of vmlinuz-* in /boot: the newest that we may read goes to version. */
static bool newest_boot_kernel(char *version, size_t len, bool *unreadable)
{
	DIR *dir = opendir(BOOT_DIR);
	struct dirent *d;
	bool found = false;

	*unreadable = false;
	if (!dir)
		return false;
	while ((d = readdir(dir)) != NULL) {
		char path[PATH_MAX];

		if (strncmp(d->d_name, "vmlinuz-", 8) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", BOOT_DIR, d->d_name);
		if (access(path, R_OK) < 0) {
			*unreadable = true;
			continue;
		}
		if (found && strverscmp(d->d_name + 8, version) <= 0)
			continue;
		snprintf(version, len, "%s", d->d_name + 8);
		found = true;
	}
	closedir(dir);
	return found;
}

static void use_initrd_if_there(struct run_config *c)
{
	if (!c->machine.initrd_path && access(c->initrd, R_OK) == 0)
		c->machine.initrd_path = c->initrd;
}

static int find_kernel(struct run_config *c, struct err *e)
{
	const char *env = getenv("MAYFLY_KERNEL"), *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char version[NAME_MAX + 1] = "", dir[PATH_MAX - 64];
	bool unreadable;

	if (env && *env) {
		c->machine.kernel_path = env;
		return 0;
	}
	if (cache && *cache)
		snprintf(dir, sizeof(dir), "%s/mayfly/guest", cache);
	else
		snprintf(dir, sizeof(dir), "%s/.cache/mayfly/guest", home ? home : "");
	snprintf(c->kernel, sizeof(c->kernel), "%s/vmlinuz", dir);
	if (access(c->kernel, F_OK) == 0) {
		c->machine.kernel_path = c->kernel;
		snprintf(c->initrd, sizeof(c->initrd), "%s/initrd", dir);
		use_initrd_if_there(c);
		return 0;
	}
	if (newest_boot_kernel(version, sizeof(version), &unreadable)) {
		snprintf(c->kernel, sizeof(c->kernel), "%s/vmlinuz-%s", BOOT_DIR, version);
		snprintf(c->initrd, sizeof(c->initrd), "%s/initrd.img-%s", BOOT_DIR, version);
		c->machine.kernel_path = c->kernel;
		use_initrd_if_there(c);
		return 0;
	}
	err_set(e, ENOENT, "no kernel to boot: none in %.100s%s", dir,
		unreadable ? ", and those in /boot are only readable by root" : " or /boot");
	err_hint(e, "give one with --kernel FILE, or run tools/quickstart, which gets one");
	return -ENOENT;
}

/* True if the words of s contain one that begins with key. */
static bool cmdline_has(const char *s, const char *key)
{
	size_t len = strlen(key);

	for (; s && *s; s += strcspn(s, " ")) {
		s += strspn(s, " ");
		if (strncmp(s, key, len) == 0)
			return true;
	}
	return false;
}

/* A shared directory can be the root of a kernel that has virtio-fs built in. */
static const char *fs_root(struct run_config *c)
{
	const struct machine_fs *fs = &c->machine.fs[0];

	snprintf(c->fs_root, sizeof(c->fs_root), " root=%s rootfstype=virtiofs %s",
		 fs->tag ? fs->tag : "fs0", fs->read_only ? "ro" : "rw");
	return c->fs_root;
}

/* Of persistent memory that says it is the root. */
static const char *pmem_root(const struct machine_config *m, char *out, size_t len)
{
	for (unsigned i = 0; i < m->n_pmem; i++) {
		if (!m->pmem[i].root)
			continue;
		snprintf(out, len, " root=/dev/pmem%u %s", i, m->pmem[i].read_only ? "ro" : "rw");
		return out;
	}
	return NULL;
}

static int make_cmdline(struct run_config *c, struct err *e)
{
	const struct machine_config *m = &c->machine;
	const char *base = c->cmdline_given, *root = "", *extra = c->cmdline_extra;
	char by_default[64], pmem[64];
	int n;

	if (!base) {
		snprintf(by_default, sizeof(by_default), "%s " DEFAULT_WORDS, run_console_word(c));
		base = by_default;
	}
	if (!c->cmdline_given && pmem_root(m, pmem, sizeof(pmem)) && !cmdline_has(extra, "root="))
		root = pmem;
	else if (!c->cmdline_given && m->n_disks && !cmdline_has(extra, "root="))
		root = m->disks[0].read_only ? " root=/dev/vda ro" : " root=/dev/vda rw";
	else if (!c->cmdline_given && m->n_fs && !m->initrd_path && !cmdline_has(extra, "root="))
		root = fs_root(c);
	if (*base == '\0' && *extra)
		extra++;
	n = snprintf(c->cmdline, sizeof(c->cmdline), "%s%s%s%s", base, root,
		     c->command ? " " GUEST_COMMAND_CMDLINE : "", extra);
	if ((size_t)n >= sizeof(c->cmdline))
		return err_set(e, EINVAL, "kernel command line: too long");
	c->machine.cmdline = c->cmdline;
	return 0;
}

/* The command and what runs it come as an initramfs. */
static int make_initrd(struct run_config *c, struct err *e)
{
	bool stdio = c->serial.kind == CONSOLE_STDIO;
	struct guest_command g = {
		.words = c->command,
		.initrd_path = c->machine.initrd_path,
		.interactive = stdio && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.input = stdio && !isatty(STDIN_FILENO),
	};
	int fd;

	if (!c->command || c->dry_run)
		return 0;
	c->serial.framed = c->machine.serial_handshake = g.input;
	fd = guest_command_initrd(&g, e);
	if (fd < 0)
		return fd;
	snprintf(c->command_initrd, sizeof(c->command_initrd), "/proc/self/fd/%d", fd);
	c->machine.initrd_path = c->command_initrd;
	return 0;
}

int run_config_resolve(struct run_config *c, struct err *e)
{
	const char *env = getenv("MAYFLY_INITRD");
	int r;

	if (!c->machine.initrd_path && env && *env)
		c->machine.initrd_path = env;
	if (!c->machine.kernel_path) {
		r = find_kernel(c, e);
		if (r < 0)
			return r;
	}
	run_default_net(c);
	r = run_resolve_mmds(c, e);
	if (r == 0)
		r = run_share_stdio(c, e);
	if (r == 0)
		r = make_cmdline(c, e);
	if (r == 0)
		r = make_initrd(c, e);
	return r < 0 ? r : machine_config_check(&c->machine, e);
}

void run_config_free(struct run_config *c)
{
	vm_destroy(c->described);
	c->described = NULL;
}

void cli_print_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch == '"' || ch == '\\')
			printf("\\%c", ch);
		else if (ch < 0x20 || ch == 0x7f)
			printf("\\u%04x", ch);
		else
			putchar(ch);
	}
	putchar('"');
}

void cli_print_json_member(const char *name, const char *value)
{
	printf("\"%s\": ", name);
	if (value)
		cli_print_json_string(value);
	else
		printf("null");
}

/* Firecracker's configuration schema where it has a place for the setting, "mayfly" for the rest. */
void run_config_print_json(const struct run_config *c)
{
	const struct machine_config *m = &c->machine;

	printf("{\n  \"boot-source\": { ");
	cli_print_json_member("kernel_image_path", m->kernel_path);
	printf(", ");
	cli_print_json_member("initrd_path", m->initrd_path);
	printf(", ");
	cli_print_json_member("boot_args", m->cmdline);
	printf(" },\n");
	run_print_disks(m);
	run_print_pmem(m);
	run_print_nets(m);
	run_print_mmds(c);
	run_print_fs(m);
	run_print_vsock(m);
	run_print_balloon(m);
	run_print_hotplug(m);
	run_print_consoles(c);
	printf("  \"machine-config\": { \"vcpu_count\": %u, \"mem_size_mib\": %llu, \"smt\": %s, "
	       "\"track_dirty_pages\": %s, \"huge_pages\": \"%s\" },\n",
	       m->n_vcpus, (unsigned long long)(m->mem_bytes >> 20),
	       m->threads_per_core == 2 ? "true" : "false", m->track_dirty ? "true" : "false",
	       pages_names[m->pages]);
	printf("  \"mayfly\": { ");
	cli_print_json_member("accel", m->accel);
	printf(", ");
	cli_print_json_member("cpu", m->cpu ? m->cpu : "host");
	printf(", ");
	cli_print_json_member("bus", bus_names[m->bus]);
	printf(", ");
	cli_print_json_member("unpack", unpack_names[m->unpack]);
	printf(", \"mem_bytes\": %llu, \"rng\": %s, \"fdt\": %s, \"no_reboot\": %s, "
	       "\"timeout_ms\": %llu, ",
	       (unsigned long long)m->mem_bytes, m->rng ? "true" : "false",
	       m->fdt ? "true" : "false",
	       m->no_reboot ? "true" : "false", (unsigned long long)(c->timeout_ns / 1000000));
	printf("\"code_cache_bytes\": %llu, ", (unsigned long long)m->code_cache_bytes);
	cli_print_json_member("debug", m->debug);
	printf(" }\n}\n");
}
