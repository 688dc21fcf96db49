/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalar integer items, first part: sorting, hashing, an interpreter, pointers, trees, branches,
 * calls. Plain C as gcc -O2 compiles it for the x86-64 baseline.
 */
#include "bench.h"

/* sort: quicksort of 32-bit numbers, insertion sort below 16 */

enum { SORT_COUNT = 1200000 };

static void quicksort(uint32_t *a, ptrdiff_t low, ptrdiff_t high)
{
	while (high - low >= 16) {
		uint32_t pivot = a[low + (high - low) / 2];
		ptrdiff_t i = low, j = high;

		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				uint32_t t = a[i];

				a[i++] = a[j];
				a[j--] = t;
			}
		}
		if (j - low < high - i) {
			quicksort(a, low, j);
			low = i;
		} else {
			quicksort(a, i, high);
			high = j;
		}
	}
	for (ptrdiff_t i = low + 1; i <= high; i++) {
		uint32_t v = a[i];
		ptrdiff_t j = i;

		for (; j > low && a[j - 1] > v; j--)
			a[j] = a[j - 1];
		a[j] = v;
	}
}

static void *sort_prepare(void)
{
	uint32_t *a = bench_alloc(SORT_COUNT * sizeof(*a));

	bench_fill(a, SORT_COUNT * sizeof(*a), 1);
	return a;
}

static uint64_t sort_run(void *state)
{
	uint32_t *a = state;

	quicksort(a, 0, SORT_COUNT - 1);
	return bench_hash(a, SORT_COUNT * sizeof(*a), 0);
}

/* hash: open addressing, insertions and look-ups of 64-bit keys */

enum { HASH_SLOTS = 1 << 18, HASH_KEYS = 150000, HASH_ROUNDS = 60 };

struct hash_slot {
	uint64_t key;
	uint64_t value;
};

static struct hash_slot *hash_find(struct hash_slot *slots, uint64_t key)
{
	uint64_t i = (key * 0x9e3779b97f4a7c15) >> 46;

	while (slots[i].key && slots[i].key != key)
		i = (i + 1) % HASH_SLOTS;
	return &slots[i];
}

static void *hash_prepare(void)
{
	return bench_alloc(HASH_SLOTS * sizeof(struct hash_slot));
}

static uint64_t hash_run(void *state)
{
	struct hash_slot *slots = state;
	uint64_t sum = 0;

	for (int round = 0; round < HASH_ROUNDS; round++) {
		uint64_t seed = 2 + round % 2;

		for (int i = 0; i < HASH_KEYS; i++) {
			uint64_t key = bench_random(&seed) | 1;
			struct hash_slot *slot = hash_find(slots, key);

			if (!slot->key && i % 4 == 0 && round < 2)
				slot->key = key;
			slot->value += slot->key ? (uint64_t)i : 0;
			sum = sum * 31 + slot->value;
		}
	}
	return sum;
}

/* interpreter: a register machine that counts Collatz steps and primes */

enum vm_op { VM_SET, VM_ADD, VM_SUB, VM_MUL3P1, VM_HALF, VM_MOD, VM_ODD, VM_JZ, VM_JNZ, VM_JLT, VM_JMP, VM_MOV, VM_END };

struct vm_insn {
	uint8_t op, a, b;
	int32_t imm;
};

static const struct vm_insn vm_program[] = {
	{ VM_SET, 0, 0, 1 }, /* n */
	{ VM_SET, 1, 0, 75000 }, /* limit */
	{ VM_SET, 2, 0, 0 }, /* steps */
	{ VM_SET, 5, 0, 1 },
	/* 4: for each n */
	{ VM_MOV, 3, 0, 0 },
	/* 5: while it is not 1 */
	{ VM_MOV, 4, 3, 0 },
	{ VM_SUB, 4, 5, 0 },
	{ VM_JZ, 4, 0, 15 },
	{ VM_ADD, 2, 5, 0 },
	{ VM_ODD, 4, 3, 0 },
	{ VM_JNZ, 4, 0, 13 },
	{ VM_HALF, 3, 3, 0 },
	{ VM_JMP, 0, 0, 5 },
	{ VM_MUL3P1, 3, 3, 0 },
	{ VM_JMP, 0, 0, 5 },
	{ VM_ADD, 0, 5, 0 },
	{ VM_JLT, 0, 1, 4 },
	{ VM_MOV, 6, 2, 0 },
	{ VM_MOD, 6, 1, 0 },
	{ VM_END, 0, 0, 0 },
};

static uint64_t vm_run(void *state)
{
	uint64_t r[8] = { 0 };
	const struct vm_insn *base = vm_program;

	(void)state;
	__asm__("" : "+r"(base)); /* the program is data, not something to compile away */
	for (const struct vm_insn *i = base;;) {
		const struct vm_insn *insn = i++;

		switch ((enum vm_op)insn->op) {
		case VM_SET: r[insn->a & 7] = (uint64_t)insn->imm; break;
		case VM_ADD: r[insn->a & 7] += r[insn->b & 7]; break;
		case VM_SUB: r[insn->a & 7] -= r[insn->b & 7]; break;
		case VM_MUL3P1: r[insn->a & 7] = r[insn->b & 7] * 3 + 1; break;
		case VM_HALF: r[insn->a & 7] = r[insn->b & 7] >> 1; break;
		case VM_MOD: r[insn->a & 7] %= r[insn->b & 7]; break;
		case VM_ODD: r[insn->a & 7] = r[insn->b & 7] & 1; break;
		case VM_JZ: if (!r[insn->a & 7]) i = base + insn->imm; break;
		case VM_JNZ: if (r[insn->a & 7]) i = base + insn->imm; break;
		case VM_JLT: if (r[insn->a & 7] < r[insn->b & 7]) i = base + insn->imm; break;
		case VM_JMP: i = base + insn->imm; break;
		case VM_MOV: r[insn->a & 7] = r[insn->b & 7]; break;
		case VM_END: return r[2] * 1000003 + r[6];
		}
	}
}

/* chase: a random cycle through 2 MiB, one line after the other */

enum { CHASE_NODES = 1 << 15, CHASE_STEPS = 7000000 };

struct chase_node {
	struct chase_node *next;
	uint64_t value;
	uint8_t rest_of_line[48];
};

static void *chase_prepare(void)
{
	struct chase_node *nodes = bench_alloc(CHASE_NODES * sizeof(*nodes));
	uint32_t *order = bench_alloc(CHASE_NODES * sizeof(*order));
	uint64_t seed = 3;

	for (uint32_t i = 0; i < CHASE_NODES; i++)
		order[i] = i;
	for (uint32_t i = CHASE_NODES - 1; i; i--) {
		uint32_t j = (uint32_t)(bench_random(&seed) % (i + 1)), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (uint32_t i = 0; i < CHASE_NODES; i++) {
		nodes[order[i]].next = &nodes[order[(i + 1) % CHASE_NODES]];
		nodes[order[i]].value = i;
	}
	return nodes;
}

static uint64_t chase_run(void *state)
{
	const struct chase_node *node = state;
	uint64_t sum = 0;

	for (int i = 0; i < CHASE_STEPS; i++) {
		sum += node->value;
		node = node->next;
	}
	return sum;
}

/* tree: a treap, built, searched and torn down by keys */

enum { TREE_KEYS = 60000, TREE_LOOKUPS = 400000 };

struct tree_node {
	struct tree_node *child[2];
	uint32_t key, priority;
};

static struct tree_node *tree_insert(struct tree_node *root, struct tree_node *node)
{
	int side;

	if (!root)
		return node;
	if (root->key == node->key)
		return root;
	side = node->key > root->key;
	root->child[side] = tree_insert(root->child[side], node);
	if (root->child[side]->priority > root->priority) {
		struct tree_node *up = root->child[side];

		root->child[side] = up->child[!side];
		up->child[!side] = root;
		return up;
	}
	return root;
}

static void *tree_prepare(void)
{
	return bench_alloc(TREE_KEYS * sizeof(struct tree_node));
}

static uint64_t tree_run(void *state)
{
	struct tree_node *nodes = state, *root = NULL;
	uint64_t seed = 4, sum = 0;

	for (int i = 0; i < TREE_KEYS; i++) {
		uint64_t r = bench_random(&seed);

		nodes[i].key = (uint32_t)r % 200000;
		nodes[i].priority = (uint32_t)(r >> 32);
		root = tree_insert(root, &nodes[i]);
	}
	for (int i = 0; i < TREE_LOOKUPS; i++) {
		uint32_t key = (uint32_t)bench_random(&seed) % 200000;
		const struct tree_node *n = root;
		int depth = 0;

		while (n && n->key != key) {
			n = n->child[key > n->key];
			depth++;
		}
		sum = sum * 7 + (n ? n->priority : 0) + (uint64_t)depth;
	}
	return sum;
}

/* branchy: a tokeniser over random text, no branch of it predictable for long */

enum { TEXT_SIZE = 1 << 20, TEXT_ROUNDS = 14 };

static void *branchy_prepare(void)
{
	static const char letters[] = "abcXYZ019 \n\t+-*/=<>(){};,\"'_.ee  11";
	char *text = bench_alloc(TEXT_SIZE + 1);
	uint64_t seed = 5;

	for (int i = 0; i < TEXT_SIZE; i++)
		text[i] = letters[bench_random(&seed) % (sizeof(letters) - 1)];
	return text;
}

static uint64_t branchy_run(void *state)
{
	uint64_t counts[8] = { 0 }, sum = 0;

	for (int round = 0; round < TEXT_ROUNDS; round++) {
		const char *p = state;

		while (*p) {
			char c = *p++;

			if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') {
				uint64_t word = (uint64_t)c;

				while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'))
					word = word * 33 + (uint64_t)*p++;
				counts[0]++;
				sum ^= word;
			} else if (c >= '0' && c <= '9') {
				uint64_t number = (uint64_t)(c - '0');

				while (*p >= '0' && *p <= '9')
					number = number * 10 + (uint64_t)(*p++ - '0');
				counts[1]++;
				sum += number;
			} else if (c == ' ' || c == '\t' || c == '\n') {
				counts[2]++;
			} else if (c == '"' || c == '\'') {
				for (int k = 0; k < 8 && *p && *p != c; k++)
					p++;
				counts[3]++;
			} else if (c == '+' || c == '-' || c == '*' || c == '/') {
				counts[*p == '=' ? 4 : 5]++;
			} else if (c == '(' || c == '{') {
				counts[6]++;
			} else {
				counts[7] += (uint64_t)c;
			}
		}
	}
	return bench_hash(counts, sizeof(counts), sum);
}

/* fib: nothing but calls and returns */

static __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls", "no-inline"))) uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t fib_run(void *state)
{
	(void)state;
	return fib(36);
}

/* dispatch: calls through a table of functions, as virtual methods are */

enum { DISPATCH_OBJECTS = 4096, DISPATCH_ROUNDS = 2500 };

struct dispatch_object {
	uint64_t (*method)(struct dispatch_object *self, uint64_t arg);
	uint64_t value;
};

static __attribute__((noipa)) uint64_t method_add(struct dispatch_object *self, uint64_t arg)
{
	return self->value += arg;
}

static __attribute__((noipa)) uint64_t method_mix(struct dispatch_object *self, uint64_t arg)
{
	self->value ^= arg << 7 | arg >> 57;
	return self->value;
}

static __attribute__((noipa)) uint64_t method_count(struct dispatch_object *self, uint64_t arg)
{
	if (arg & 1)
		self->value++;
	return arg + self->value;
}

static __attribute__((noipa)) uint64_t method_scale(struct dispatch_object *self, uint64_t arg)
{
	self->value = self->value * 5 + 1;
	return arg ^ self->value;
}

static void *dispatch_prepare(void)
{
	static uint64_t (*const methods[4])(struct dispatch_object *, uint64_t) = {
		method_add, method_mix, method_count, method_scale,
	};
	struct dispatch_object *objects = bench_alloc(DISPATCH_OBJECTS * sizeof(*objects));
	uint64_t seed = 6;

	for (int i = 0; i < DISPATCH_OBJECTS; i++) {
		objects[i].method = methods[bench_random(&seed) % 4];
		objects[i].value = bench_random(&seed);
	}
	return objects;
}

static uint64_t dispatch_run(void *state)
{
	struct dispatch_object *objects = state;
	uint64_t value = 0;

	for (int round = 0; round < DISPATCH_ROUNDS; round++)
		for (int i = 0; i < DISPATCH_OBJECTS; i++)
			value = objects[i].method(&objects[i], value);
	return value;
}

const struct bench_item bench_int_items[] = {
	{ "sort", "int", sort_prepare, sort_run, NULL, NULL },
	{ "hash", "int", hash_prepare, hash_run, NULL, NULL },
	{ "interpreter", "int", NULL, vm_run, NULL, NULL },
	{ "chase", "int", chase_prepare, chase_run, NULL, NULL },
	{ "tree", "int", tree_prepare, tree_run, NULL, NULL },
	{ "branchy", "int", branchy_prepare, branchy_run, NULL, NULL },
	{ "fib", "int", NULL, fib_run, NULL, NULL },
	{ "dispatch", "int", dispatch_prepare, dispatch_run, NULL, NULL },
	{ 0 },
};
