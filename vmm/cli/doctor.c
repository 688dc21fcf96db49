/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly doctor [--json]`: what this host offers, line by line, with what to do about what is
 * missing. Ends with 0 if a guest can run, with 4 if not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "accel/accel.h"
#include "config.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/run_config.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#if MAYFLY_KVM
#include "accel/kvm/probe.h"
#endif

enum grade { GRADE_OK, GRADE_WARN, GRADE_FAIL };

struct finding {
	const char *name;
	enum grade grade;
	char text[256];
	char fix[192]; /* may be empty */
};

struct checkup {
	struct finding findings[16];
	unsigned n;
	bool can_run;
};

__attribute__((format(printf, 4, 5))) static struct finding *
report(struct checkup *c, const char *name, enum grade grade, const char *fmt, ...)
{
	struct finding *f = &c->findings[c->n++];
	va_list ap;

	f->name = name;
	f->grade = grade;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

static void set_fix(struct finding *f, const char *fix)
{
	snprintf(f->fix, sizeof(f->fix), "%s", fix);
}

static void check_kvm(struct checkup *c)
{
#if MAYFLY_KVM
	static const char *const fixes[] = {
		[KVM_PROBE_USABLE] = "",
		[KVM_PROBE_MISSING] = "load kvm_intel or kvm_amd, or enable nested virtualization; "
				      "until then the translator runs guests",
		[KVM_PROBE_FORBIDDEN] = "add yourself to the group of /dev/kvm (usually kvm) and log "
					"in again",
		[KVM_PROBE_BROKEN] = "see the kernel log; until then the translator runs guests",
		[KVM_PROBE_SLOW] = "use --accel tcg here",
	};
	struct kvm_probe p;

	kvm_probe_run(&p);
	set_fix(report(c, "kvm", p.verdict == KVM_PROBE_USABLE ? GRADE_OK : GRADE_WARN, "%s",
		       p.reason),
		fixes[p.verdict]);
	if (p.verdict == KVM_PROBE_USABLE)
		c->can_run = true;
#else
	report(c, "kvm", GRADE_WARN, "not built into this mayfly");
#endif
}

static void check_tcg(struct checkup *c)
{
#if MAYFLY_TCG
	struct err e = { 0 };
	uint32_t caps;

	if (accel_tcg.probe(NULL, &caps, &e) < 0) {
		set_fix(report(c, "translator", GRADE_FAIL, "%s", e.msg), e.hint);
		return;
	}
	report(c, "translator", GRADE_OK, "built in, and this host's processor can run it");
	c->can_run = true;
#else
	report(c, "translator", GRADE_WARN, "not built into this mayfly");
#endif
}

static void check_memory(struct checkup *c)
{
	long page = sysconf(_SC_PAGESIZE), total = sysconf(_SC_PHYS_PAGES);
	long avail = sysconf(_SC_AVPHYS_PAGES);
	unsigned long long total_mib = (unsigned long long)total * (unsigned long long)page >> 20;
	unsigned long long avail_mib = (unsigned long long)avail * (unsigned long long)page >> 20;
	struct finding *f;

	f = report(c, "memory", avail_mib >= 512 ? GRADE_OK : GRADE_WARN,
		   "%llu MiB, %llu MiB free", total_mib, avail_mib);
	if (f->grade != GRADE_OK)
		set_fix(f, "a guest has 512M unless --mem says otherwise");
}

static void check_memfd(struct checkup *c)
{
	int fd = memfd_create("mayfly-doctor", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 1 << 20) < 0) {
		set_fix(report(c, "code cache", GRADE_FAIL, "memfd_create: %s", strerror(errno)),
			"allow memfd_create (Linux 3.17) in this sandbox");
		c->can_run = false;
	} else {
		report(c, "code cache", GRADE_OK, "memfd works");
	}
	if (fd >= 0)
		close(fd);
}

static void check_huge_pages(struct checkup *c)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[80] = "";

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
	}
	if (strstr(line, "[always]") || strstr(line, "[madvise]"))
		report(c, "guest memory", GRADE_OK, "in huge pages where the host has them");
	else
		set_fix(report(c, "guest memory", GRADE_WARN, "in small pages: guests start slower"),
			"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static void check_loop(struct checkup *c)
{
	struct err e = { 0 };
	struct loop *l = NULL;

	if (loop_create(&l, &e) < 0) {
		set_fix(report(c, "event loop", GRADE_FAIL, "%s", e.msg), e.hint);
		c->can_run = false;
	} else if (loop_has_uring(l)) {
		report(c, "disk engine", GRADE_OK, "io_uring");
	} else {
		set_fix(report(c, "disk engine", GRADE_WARN,
			       "no io_uring here: disk transfers block the event loop"),
			"allow io_uring (kernel.io_uring_disabled=0, the sandbox's filter)");
	}
	loop_destroy(l);
}

static void check_limits(struct checkup *c)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	if (files.rlim_cur < 256)
		set_fix(report(c, "open files", GRADE_WARN, "limit %llu",
			       (unsigned long long)files.rlim_cur),
			"ulimit -n 1024");
	else
		report(c, "open files", GRADE_OK, "limit %llu", (unsigned long long)files.rlim_cur);
}

static void check_default_kernel(struct checkup *c)
{
	struct run_config *rc = calloc(1, sizeof(*rc));
	char *none[] = { NULL };
	struct err e = { 0 };

	if (!rc)
		return;
	if (run_config_parse(rc, 0, none, &e) < 0 || run_config_resolve(rc, &e) < 0)
		set_fix(report(c, "default kernel", GRADE_WARN, "%s", e.msg), e.hint);
	else
		report(c, "default kernel", GRADE_OK, "%s%s%s", rc->machine.kernel_path,
		       rc->machine.initrd_path ? " with " : ", no initrd",
		       rc->machine.initrd_path ? rc->machine.initrd_path : "");
	free(rc);
}

static void print_text(const struct checkup *c)
{
	static const char *const grades[] = { "ok  ", "warn", "fail" };
	unsigned i;

	for (i = 0; i < c->n; i++) {
		const struct finding *f = &c->findings[i];

		printf("%s  %s: %s\n", grades[f->grade], f->name, f->text);
		if (f->fix[0])
			printf("      fix: %s\n", f->fix);
	}
	printf("%s\n", c->can_run ? "guests can run here" : "guests cannot run here");
}

static void print_json(const struct checkup *c)
{
	static const char *const grades[] = { "ok", "warn", "fail" };
	unsigned i;

	printf("{ \"can_run\": %s, \"checks\": [", c->can_run ? "true" : "false");
	for (i = 0; i < c->n; i++) {
		const struct finding *f = &c->findings[i];

		printf("%s\n  { \"name\": ", i ? "," : "");
		cli_print_json_string(f->name);
		printf(", \"result\": \"%s\", \"text\": ", grades[f->grade]);
		cli_print_json_string(f->text);
		printf(", \"fix\": ");
		cli_print_json_string(f->fix);
		printf(" }");
	}
	printf("\n] }\n");
}

int doctor_main(int argc, char **argv)
{
	struct checkup c = { 0 };
	struct err e = { 0 };
	bool json = false;

	if (argc == 1 && strcmp(argv[0], "--json") == 0) {
		json = true;
	} else if (argc > 0) {
		err_set(&e, EINVAL, "doctor: unexpected argument '%.60s'", argv[0]);
		err_hint(&e, "the only option is --json");
		return cli_fail(EXIT_USAGE, &e);
	}
	check_kvm(&c);
	check_tcg(&c);
	check_memory(&c);
	check_memfd(&c);
	check_huge_pages(&c);
	check_loop(&c);
	check_limits(&c);
	check_default_kernel(&c);
	if (json)
		print_json(&c);
	else
		print_text(&c);
	return c.can_run ? 0 : EXIT_HOST;
}
