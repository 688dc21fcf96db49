/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the item "gcc" compiles: a small calculator language, with a scanner, a parser, an optimiser
 * and an evaluator, and a few numeric loops. It is input; nothing runs it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, NAME, ADD, SUB, MUL, DIV, NEG, CALL, ASSIGN, LIST, END };

struct node {
	enum kind kind;
	double value;
	char name[16];
	struct node *left, *right;
};

struct parser {
	const char *at;
	const char *error;
	struct node *free;
	struct node pool[4096];
	size_t used;
};

struct variable {
	char name[16];
	double value;
	struct variable *next;
};

struct world {
	struct variable *table[64];
	unsigned int depth;
};

static struct node *node_new(struct parser *p, enum kind kind, struct node *left, struct node *right)
{
	struct node *n;

	if (p->free) {
		n = p->free;
		p->free = n->left;
	} else if (p->used < sizeof(p->pool) / sizeof(p->pool[0])) {
		n = &p->pool[p->used++];
	} else {
		p->error = "too long";
		return NULL;
	}
	memset(n, 0, sizeof(*n));
	n->kind = kind;
	n->left = left;
	n->right = right;
	return n;
}

static void skip_space(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
		p->at++;
	if (*p->at == '#')
		while (*p->at && *p->at != '\n')
			p->at++;
}

static int take(struct parser *p, char c)
{
	skip_space(p);
	if (*p->at != c)
		return 0;
	p->at++;
	return 1;
}

static struct node *parse_sum(struct parser *p);

static struct node *parse_atom(struct parser *p)
{
	struct node *n;

	if (take(p, '-'))
		return node_new(p, NEG, parse_atom(p), NULL);
	if (take(p, '(')) {
		n = parse_sum(p);
		if (!take(p, ')'))
			p->error = "missing )";
		return n;
	}
	skip_space(p);
	if ((*p->at >= '0' && *p->at <= '9') || *p->at == '.') {
		char *end;

		n = node_new(p, NUMBER, NULL, NULL);
		if (n)
			n->value = strtod(p->at, &end);
		p->at = n ? end : p->at;
		return n;
	}
	if ((*p->at | 32) >= 'a' && (*p->at | 32) <= 'z') {
		size_t length = 0;

		n = node_new(p, NAME, NULL, NULL);
		while (((*p->at | 32) >= 'a' && (*p->at | 32) <= 'z') || (*p->at >= '0' && *p->at <= '9')) {
			if (n && length < sizeof(n->name) - 1)
				n->name[length++] = *p->at;
			p->at++;
		}
		if (n && take(p, '(')) {
			n->kind = CALL;
			n->left = parse_sum(p);
			if (take(p, ','))
				n->right = parse_sum(p);
			if (!take(p, ')'))
				p->error = "missing ) after arguments";
		} else if (n && take(p, '=')) {
			n->kind = ASSIGN;
			n->left = parse_sum(p);
		}
		return n;
	}
	p->error = "a value is missing";
	return NULL;
}

static struct node *parse_product(struct parser *p)
{
	struct node *n = parse_atom(p);

	for (;;) {
		if (take(p, '*'))
			n = node_new(p, MUL, n, parse_atom(p));
		else if (take(p, '/'))
			n = node_new(p, DIV, n, parse_atom(p));
		else
			return n;
	}
}

static struct node *parse_sum(struct parser *p)
{
	struct node *n = parse_product(p);

	for (;;) {
		if (take(p, '+'))
			n = node_new(p, ADD, n, parse_product(p));
		else if (take(p, '-'))
			n = node_new(p, SUB, n, parse_product(p));
		else
			return n;
	}
}

static struct node *optimise(struct parser *p, struct node *n)
{
	if (!n)
		return NULL;
	n->left = optimise(p, n->left);
	n->right = optimise(p, n->right);
	if (n->kind >= ADD && n->kind <= DIV && n->left && n->right && n->left->kind == NUMBER && n->right->kind == NUMBER) {
		double a = n->left->value, b = n->right->value;

		switch (n->kind) {
		case ADD: n->value = a + b; break;
		case SUB: n->value = a - b; break;
		case MUL: n->value = a * b; break;
		default: n->value = b != 0 ? a / b : 0; break;
		}
		n->left->left = n->right;
		n->right->left = p->free;
		p->free = n->left;
		n->kind = NUMBER;
		n->left = n->right = NULL;
	} else if (n->kind == NEG && n->left && n->left->kind == NEG) {
		return n->left->left;
	}
	return n;
}

static struct variable *variable_find(struct world *w, const char *name, int make)
{
	struct variable *v;
	uint32_t hash = 2166136261u;

	for (const char *c = name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	for (v = w->table[hash % 64]; v; v = v->next)
		if (!strcmp(v->name, name))
			return v;
	if (!make)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (v) {
		snprintf(v->name, sizeof(v->name), "%s", name);
		v->next = w->table[hash % 64];
		w->table[hash % 64] = v;
	}
	return v;
}

static double evaluate(struct world *w, const struct node *n)
{
	struct variable *v;
	double a;

	if (!n || w->depth > 1000)
		return 0;
	w->depth++;
	switch (n->kind) {
	case NUMBER: a = n->value; break;
	case NAME: v = variable_find(w, n->name, 0); a = v ? v->value : 0; break;
	case ADD: a = evaluate(w, n->left) + evaluate(w, n->right); break;
	case SUB: a = evaluate(w, n->left) - evaluate(w, n->right); break;
	case MUL: a = evaluate(w, n->left) * evaluate(w, n->right); break;
	case DIV: a = evaluate(w, n->right); a = a != 0 ? evaluate(w, n->left) / a : 0; break;
	case NEG: a = -evaluate(w, n->left); break;
	case CALL:
		a = evaluate(w, n->left);
		if (!strcmp(n->name, "abs"))
			a = a < 0 ? -a : a;
		else if (!strcmp(n->name, "max") && n->right) {
			double b = evaluate(w, n->right);

			a = a > b ? a : b;
		} else if (!strcmp(n->name, "root")) {
			double x = a > 1 ? a : 1;

			for (int i = 0; i < 60; i++)
				x = (x + a / x) / 2;
			a = x;
		}
		break;
	case ASSIGN:
		a = evaluate(w, n->left);
		v = variable_find(w, n->name, 1);
		if (v)
			v->value = a;
		break;
	default: a = 0; break;
	}
	w->depth--;
	return a;
}

static int compare(const void *a, const void *b)
{
	const struct variable *const *x = a, *const *y = b;

	return (*x)->value < (*y)->value ? -1 : (*x)->value > (*y)->value ? 1 : strcmp((*x)->name, (*y)->name);
}

static void print_world(const struct world *w)
{
	const struct variable *all[256];
	size_t count = 0;

	for (size_t i = 0; i < 64; i++)
		for (const struct variable *v = w->table[i]; v && count < 256; v = v->next)
			all[count++] = v;
	qsort(all, count, sizeof(all[0]), compare);
	for (size_t i = 0; i < count; i++)
		printf("%-16s %.12g\n", all[i]->name, all[i]->value);
}

static void multiply(int n, double (*restrict c)[64], double (*restrict a)[64], double (*restrict b)[64])
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			double sum = 0;

			for (int k = 0; k < n; k++)
				sum += a[i][k] * b[k][j];
			c[i][j] = sum;
		}
}

static double determinant(int n, double (*m)[64])
{
	double det = 1;

	for (int i = 0; i < n; i++) {
		int best = i;

		for (int k = i + 1; k < n; k++)
			if (m[k][i] * m[k][i] > m[best][i] * m[best][i])
				best = k;
		if (m[best][i] == 0)
			return 0;
		if (best != i) {
			for (int k = 0; k < n; k++) {
				double t = m[i][k];

				m[i][k] = m[best][k];
				m[best][k] = t;
			}
			det = -det;
		}
		det *= m[i][i];
		for (int k = i + 1; k < n; k++) {
			double f = m[k][i] / m[i][i];

			for (int j = i; j < n; j++)
				m[k][j] -= f * m[i][j];
		}
	}
	return det;
}

int main(int argc, char **argv)
{
	static struct parser p;
	static struct world w;
	static double a[64][64], b[64][64], c[64][64];

	for (int i = 1; i < argc; i++) {
		struct node *n;

		p.at = argv[i];
		p.error = NULL;
		p.free = NULL;
		p.used = 0;
		n = optimise(&p, parse_sum(&p));
		if (p.error)
			fprintf(stderr, "%s: %s at \"%s\"\n", argv[i], p.error, p.at);
		else
			printf("%.12g\n", evaluate(&w, n));
	}
	print_world(&w);
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < 64; j++) {
			a[i][j] = (i * 31 + j * 17) % 23 - 11;
			b[i][j] = (i * 13 - j * 7) % 19;
		}
	multiply(64, c, a, b);
	printf("%.12g\n", determinant(64, c));
	return 0;
}
