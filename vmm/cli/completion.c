/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly completion bash|zsh|fish`: what a shell completes, from the option table. And
 * `mayfly completion scdoc` and `scdoc-api`: the options as the man pages have them (docs/man/).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

static const struct {
	const char *name, *words, *summary; /* words: what may follow */
} commands[] = {
	{ "run", NULL, "boot one virtual machine in the foreground" },
	{ "api", "--socket --config-file --id --accel --bus --metadata --log --body-limit --help",
	  "wait for the API to describe and start one" },
	{ "ctl", "", "ask a process with an API something" }, /* first a socket, so files */
	{ "ps", "--json", "list the running machines" },
	{ "debug", "stats metrics tell", "ask a running machine what it has counted, or change it" },
	{ "doctor", "--json", "check what this host offers" },
	{ "jailer", "--id --exec-file --uid --gid --chroot-base-dir --netns --daemonize --new-pid-ns --cgroup "
		    "--cgroup-version --parent-cgroup --resource-limit --node", "jail a program" },
	{ "completion", "bash zsh fish", "print completions for a shell" },
	{ "version", "", "print the version" },
	{ "help", "run api ctl keys exit-codes signals environment", "print help" },
};

enum takes { TAKES_NOTHING, TAKES_WORDS, TAKES_FILE, TAKES_OTHER };

static enum takes what(const struct opt *o)
{
	const char *arg = o->keys ? o->keys[0].arg : NULL;

	if (!o->keys)
		return TAKES_NOTHING;
	if (o->keys[0].type == OPT_CHOICE)
		return TAKES_WORDS;
	if (arg && (!strcmp(arg, "FILE") || !strcmp(arg, "PATH") || !strcmp(arg, "DIR")))
		return TAKES_FILE;
	return TAKES_OTHER;
}

/* "kvm|tcg|auto" with spaces, and the keys after the first as words of their own. */
static void print_choices(const struct opt *o)
{
	for (const char *p = o->keys[0].arg; *p; p++)
		putchar(*p == '|' ? ' ' : *p);
	for (const struct opt_key *k = o->keys + 1; k->name; k++)
		printf(" %s%s", k->name, k->type == OPT_BOOL ? "" : "=");
}

static void print_names(const struct opt *table)
{
	for (const struct opt *o = table; o->name; o++)
		printf("%s--%s", o == table ? "" : " ", o->name);
}

/* --- shells --------------------------------------------------------------------------------------- */

static void print_bash(const struct opt *table)
{
	printf("# bash completion of mayfly: source <(mayfly completion bash)\n"
	       "_mayfly() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\tCOMPREPLY=()\n"
	       "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("%s%s", i ? " " : "", commands[i].name);
	printf("\" -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].words && *commands[i].words)
			printf("\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")) ;;\n", commands[i].name,
			       commands[i].words);
	printf("\trun)\n\t\tcase $prev in\n");
	for (const struct opt *o = table; o->name; o++) {
		if (what(o) == TAKES_WORDS) {
			printf("\t\t--%s) COMPREPLY=($(compgen -W \"", o->name);
			print_choices(o);
			printf("\" -- \"$cur\")) ;;\n");
		} else if (what(o) == TAKES_FILE) {
			printf("\t\t--%s) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", o->name);
		} else if (what(o) == TAKES_OTHER) {
			printf("\t\t--%s) ;;\n", o->name);
		}
	}
	printf("\t\t*) COMPREPLY=($(compgen -W \"");
	print_names(table);
	printf("\" -- \"$cur\")) ;;\n\t\tesac ;;\n\tesac\n}\ncomplete -o filenames -F _mayfly mayfly\n");
}

/* A text within single quotes; zsh's argument specifications have colons and brackets of their own. */
static void print_quoted(const char *s, bool zsh)
{
	for (; *s; s++) {
		if (*s == '\'')
			printf("'\\''");
		else if (zsh && (*s == '[' || *s == ']' || *s == ':'))
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

static void print_zsh(const struct opt *table)
{
	printf("#compdef mayfly\n# zsh completion of mayfly: mayfly completion zsh >DIR/_mayfly, DIR being in $fpath\n"
	       "_mayfly() {\n\tlocal -a commands=(\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("\t\t'%s:%s'\n", commands[i].name, commands[i].summary);
	printf("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
	       "\tcase $words[2] in\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].words && *commands[i].words)
			printf("\t%s) compadd -- %s ;;\n", commands[i].name, commands[i].words);
	printf("\trun)\n\t\tshift words\n\t\t(( CURRENT-- ))\n\t\t_arguments \\\n");
	for (const struct opt *o = table; o->name; o++) {
		printf("\t\t\t'*--%s[", o->name);
		print_quoted(o->help, true);
		printf("]");
		if (what(o) == TAKES_WORDS) {
			printf(":%s:(", o->keys[0].name);
			print_choices(o);
			printf(")");
		} else if (what(o) == TAKES_FILE) {
			printf(":%s:_files", o->keys[0].name);
		} else if (what(o) == TAKES_OTHER) {
			printf(":%s: ", o->keys[0].name);
		}
		printf("' \\\n");
	}
	printf("\t\t\t'*::command:_normal' ;;\n\tesac\n}\n_mayfly \"$@\"\n");
}

static void print_fish(const struct opt *table)
{
	printf("# fish completion of mayfly: mayfly completion fish | source\n"
	       "complete -c mayfly -f\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		printf("complete -c mayfly -n __fish_use_subcommand -a %s -d '%s'\n", commands[i].name,
		       commands[i].summary);
		if (commands[i].words && *commands[i].words)
			printf("complete -c mayfly -n '__fish_seen_subcommand_from %s' -a '%s'\n",
			       commands[i].name, commands[i].words);
	}
	for (const struct opt *o = table; o->name; o++) {
		printf("complete -c mayfly -n '__fish_seen_subcommand_from run' -l %s", o->name);
		if (what(o) == TAKES_WORDS) {
			printf(" -x -a '");
			print_choices(o);
			printf("'");
		} else if (what(o) == TAKES_FILE) {
			printf(" -r -F");
		} else if (what(o) == TAKES_OTHER) {
			printf(" -x");
		}
		printf(" -d '");
		print_quoted(o->help, false);
		printf("'\n");
	}
}

/* --- man page ------------------------------------------------------------------------------------- */

/* scdoc takes underscores and asterisks for markup. */
static void print_scdoc_text(const char *s)
{
	for (; *s; s++) {
		if (!strncmp(s, "[,", 2)) /* a place for a line's end */
			putchar(' ');
		if (strchr("_*\\[]<>#", *s))
			putchar('\\');
		putchar(*s);
	}
}

static void print_scdoc(const struct opt *table)
{
	char synopsis[OPT_MAX_SYNOPSIS];

	for (const struct opt *o = table; o->name; o++) {
		opt_synopsis(o, synopsis, sizeof(synopsis));
		printf("*");
		print_scdoc_text(synopsis);
		printf("*\n\t");
		print_scdoc_text(o->help);
		printf(".\n\n");
	}
}

static const struct {
	const char *name;
	void (*print)(const struct opt *table);
	const struct opt *(*table)(void);
} forms[] = {
	{ "bash", print_bash, run_option_table },
	{ "zsh", print_zsh, run_option_table },
	{ "fish", print_fish, run_option_table },
	{ "scdoc", print_scdoc, run_option_table },
	{ "scdoc-api", print_scdoc, api_option_table },
};

int completion_main(int argc, char **argv)
{
	struct err e = { 0 };

	for (size_t i = 0; argc == 1 && i < ARRAY_LEN(forms); i++)
		if (!strcmp(argv[0], forms[i].name)) {
			forms[i].print(forms[i].table());
			return 0;
		}
	err_set(&e, EINVAL, argc ? "completion: '%.40s' is no shell" : "completion: no shell is named",
		argc ? argv[0] : "");
	err_hint(&e, "write `mayfly completion bash`, zsh or fish");
	return cli_fail(EXIT_USAGE, &e);
}
