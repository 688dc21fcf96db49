/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/cli/opt.h"
#include "vmm/core/err.h"

enum { ID_MEM, ID_DISK, ID_RNG, ID_CMDLINE, ID_TIMEOUT, ID_SERIAL, ID_CPUS, ID_BALLOON };

static const struct opt_key mem_keys[] = { { "size", OPT_SIZE, "SIZE" },
					   { "shared", OPT_BOOL, NULL },
					   { 0 } };
static const struct opt_key disk_keys[] = {
	{ "path", OPT_STR, "PATH" }, { "ro", OPT_BOOL, NULL }, { "id", OPT_STR, "NAME" }, { 0 },
};
static const struct opt_key text_keys[] = { { "text", OPT_REST, "TEXT" }, { 0 } };
static const struct opt_key time_keys[] = { { "time", OPT_DURATION, "TIME" }, { 0 } };
static const struct opt_key serial_keys[] = { { "type", OPT_CHOICE, "stdio|off" },
					      { "file", OPT_STR, "PATH" },
					      { 0 } };
static const struct opt_key cpus_keys[] = { { "count", OPT_UINT, "N" }, { 0 } };
static const struct opt table[] = {
	{ ID_MEM, "mem", mem_keys, "memory" },
	{ ID_DISK, "disk", disk_keys, "disk" },
	{ ID_RNG, "rng", NULL, "random numbers" },
	{ ID_CMDLINE, "cmdline", text_keys, "command line" },
	{ ID_TIMEOUT, "timeout", time_keys, "time" },
	{ ID_SERIAL, "serial", serial_keys, "serial port" },
	{ ID_CPUS, "cpus", cpus_keys, "processors" },
	{ ID_BALLOON, "balloon", cpus_keys, "balloon", true },
	{ 0 },
};

struct seen {
	int n, id;
	struct opt_value v[OPT_MAX_KEYS];
	const char *word;
};

static int record(void *ctx, const struct opt *o, const struct opt_value *v, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	s->n++;
	s->id = o->id;
	memcpy(s->v, v, sizeof(s->v));
	return 0;
}

static int record_word(void *ctx, const char *word, struct err *e)
{
	struct seen *s = ctx;

	(void)e;
	s->word = word;
	return 0;
}

/* Parses up to three words; they are copied, since the parser splits them in place. */
static int parse(struct seen *s, struct err *e, const char *a, const char *b, const char *c)
{
	static char copies[3][5000];
	const char *words[3] = { a, b, c };
	char *argv[3];
	const struct opt_sink sink = { .option = record, .word = record_word, .ctx = s };
	int argc = 0;

	memset(s, 0, sizeof(*s));
	memset(e, 0, sizeof(*e));
	for (; argc < 3 && words[argc]; argc++) {
		strncpy(copies[argc], words[argc], sizeof(copies[argc]) - 1);
		argv[argc] = copies[argc];
	}
	return opt_parse(table, argc, argv, &sink, e);
}

static void expect_error(const char *a, const char *b, const char *msg, const char *hint)
{
	struct seen s;
	struct err e;

	cr_expect_eq(parse(&s, &e, a, b, NULL), -EINVAL, "%s %s", a, b ? b : "");
	cr_expect_not_null(strstr(e.msg, msg), "'%s' lacks '%s'", e.msg, msg);
	cr_expect_not_null(strstr(e.hint, hint), "hint '%s' lacks '%s'", e.hint, hint);
}

Test(opt, bare_first_word_is_the_first_key)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--mem", "512M", NULL), 0);
	cr_expect_eq(s.id, ID_MEM);
	cr_expect(s.v[0].given);
	cr_expect_eq(s.v[0].num, 512ull << 20);
	cr_expect_not(s.v[1].given);
}

Test(opt, equals_sign_joins_name_and_value)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--mem=1GiB,shared=off", NULL, NULL), 0);
	cr_expect_eq(s.v[0].num, 1ull << 30);
	cr_expect(s.v[1].given);
	cr_expect_eq(s.v[1].num, 0);
}

Test(opt, keys_booleans_and_escaped_commas)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--disk", "/a,,b,ro,id=x,,y", NULL), 0);
	cr_expect_str_eq(s.v[0].text, "/a,b");
	cr_expect_eq(s.v[1].num, 1);
	cr_expect_str_eq(s.v[2].text, "x,y");
}

Test(opt, first_key_may_be_named)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--disk", "ro=yes,path=/p", NULL), 0);
	cr_expect_str_eq(s.v[0].text, "/p");
	cr_expect_eq(s.v[1].num, 1);
	cr_assert_eq(parse(&s, &e, "--serial", "file=/tmp/x", NULL), 0);
	cr_expect_not(s.v[0].given);
	cr_expect_str_eq(s.v[1].text, "/tmp/x");
}

Test(opt, rest_takes_commas_and_dashes)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--cmdline", "a=b,,c --x", NULL), 0);
	cr_expect_str_eq(s.v[0].text, "a=b,,c --x");
	cr_assert_eq(parse(&s, &e, "--cmdline=", NULL, NULL), 0);
	cr_expect_str_eq(s.v[0].text, "");
}

Test(opt, flags_and_words)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--rng", "--", "--mem"), 0);
	cr_expect_eq(s.n, 1);
	cr_expect_str_eq(s.word, "--mem");
}

Test(opt, refusals_name_the_option_and_the_fix)
{
	expect_error("--memm", "1", "--memm", "did you mean --mem?");
	expect_error("--time", "1", "--time", "--timeout");
	expect_error("--zzzzzz", "1", "--zzzzzz", "help run");
	expect_error("-m", "1", "-m", "help run");
	expect_error("--mem", NULL, "--mem needs a value", "memory");
	expect_error("--mem", "lots", "'lots' is not valid", "512M");
	expect_error("--mem", "", "size is empty", "512M");
	expect_error("--mem", "99999999999T", "too large", "512M");
	expect_error("--mem", "1G,share", "unknown key 'share'", "did you mean shared?");
	expect_error("--mem", "1G,shared=perhaps", "'perhaps' is not valid", "on or off");
	expect_error("--mem", "1G,size=2G", "size is given twice", "");
	expect_error("--disk", "/p,id", "id needs a value", "id=NAME");
	expect_error("--disk", "", "path is empty", "");
	expect_error("--serial", "tty", "'tty' is not valid", "stdio|off");
	expect_error("--serial", "std", "'std' is not valid", "stdio|off");
	expect_error("--timeout", "5h", "'5h' is not valid", "30s");
	expect_error("--cpus", "-1", "'-1' is not valid", "number");
	expect_error("--cpus", "99999999999999999999", "too large", "");
	expect_error("--rng=on", NULL, "--rng takes no value", "");
}

Test(opt, overlong_value_is_refused)
{
	static char big[OPT_MAX_TEXT + 1];

	memset(big, 'x', sizeof(big) - 1);
	expect_error("--cmdline", big, "4096 bytes", "");
}

Test(opt, sizes)
{
	static const struct {
		const char *s;
		int r;
		uint64_t v;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "1k", 0, 1024 },
		{ "3KiB", 0, 3072 },
		{ "2MB", 0, 2 << 20 },
		{ "16T", 0, 16ull << 40 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "1GiBB", -EINVAL, 0 },
		{ "1Gi", -EINVAL, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t v = 0;

		cr_expect_eq(opt_parse_size(cases[i].s, &v), cases[i].r, "'%s'", cases[i].s);
		cr_expect_eq(v, cases[i].v, "'%s'", cases[i].s);
	}
}

Test(opt, durations)
{
	uint64_t v;

	cr_expect_eq(opt_parse_duration("500ms", &v), 0);
	cr_expect_eq(v, 500000000);
	cr_expect_eq(opt_parse_duration("30", &v), 0);
	cr_expect_eq(v, 30000000000);
	cr_expect_eq(opt_parse_duration("2m", &v), 0);
	cr_expect_eq(v, 120000000000);
	cr_expect_eq(opt_parse_duration("2h", &v), -EINVAL);
	cr_expect_eq(opt_parse_duration("999999999999m", &v), -ERANGE);
}

Test(opt, nearest)
{
	static const char *const words[] = { "kernel", "initrd", "cmdline", NULL };

	cr_expect_str_eq(opt_nearest("kernal", words), "kernel");
	cr_expect_str_eq(opt_nearest("initdr", words), "initrd");
	cr_expect_str_eq(opt_nearest("cmd", words), "cmdline");
	cr_expect_null(opt_nearest("network", words));
	cr_expect_null(opt_nearest("", words));
}

Test(opt, an_option_that_may_stand_alone_does_so_before_another_and_at_the_end)
{
	struct seen s;
	struct err e;

	cr_assert_eq(parse(&s, &e, "--balloon", NULL, NULL), 0);
	cr_expect(s.n == 1 && s.id == ID_BALLOON && !s.v[0].given);
	cr_assert_eq(parse(&s, &e, "--balloon", "--rng", NULL), 0);
	cr_expect(s.n == 2 && s.id == ID_RNG);
	cr_assert_eq(parse(&s, &e, "--balloon", "7", NULL), 0);
	cr_expect(s.n == 1 && s.v[0].given && s.v[0].num == 7);
	cr_assert_eq(parse(&s, &e, "--balloon=8", "word", NULL), 0);
	cr_expect(s.v[0].num == 8 && s.word);
}
