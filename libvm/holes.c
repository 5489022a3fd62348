// SPDX-License-Identifier: MIT
#include "holes.h"

#include "store.h"

struct hole {
	struct hole *left, *right;
	uintptr_t start, end;
	size_t longest; /* of all ranges in this subtree */
	uint32_t priority;
};

static struct hole *roots[HOLES_KINDS];
static struct hole *spare; /* linked by left */
static uint64_t seed;

static size_t longest_of(const struct hole *hole)
{
	return hole ? hole->longest : 0;
}

static struct hole *update(struct hole *hole)
{
	size_t longest = hole->end - hole->start;

	if (longest < longest_of(hole->left))
		longest = longest_of(hole->left);
	if (longest < longest_of(hole->right))
		longest = longest_of(hole->right);
	hole->longest = longest;
	return hole;
}

static struct hole *hole_alloc(uintptr_t start, uintptr_t end)
{
	struct hole *hole = spare;

	if (hole)
		spare = hole->left;
	else
		hole = tract__store_alloc(sizeof(*hole));
	if (!hole)
		return NULL;
	/* Any sequence without a pattern in the addresses will do. */
	seed += 0x9e3779b97f4a7c15;
	*hole = (struct hole){
		.start = start,
		.end = end,
		.longest = end - start,
		.priority =
			(uint32_t)((seed ^ seed >> 31) * 0xbf58476d1ce4e5b9 >>
				   32),
	};
	return hole;
}

static void hole_free(struct hole *hole)
{
	hole->left = spare;
	spare = hole;
}

/* Those that start below @addr go to @low, the others to @high. */
static void split(struct hole *tree, uintptr_t addr, struct hole **low,
		  struct hole **high)
{
	if (!tree) {
		*low = *high = NULL;
	} else if (tree->start < addr) {
		split(tree->right, addr, &tree->right, high);
		*low = update(tree);
	} else {
		split(tree->left, addr, low, &tree->left);
		*high = update(tree);
	}
}

/* All of @low lies below all of @high. */
static struct hole *join(struct hole *low, struct hole *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->priority > high->priority) {
		low->right = join(low->right, high);
		return update(low);
	}
	high->left = join(low, high->left);
	return update(high);
}

static void free_tree(struct hole *tree)
{
	if (!tree)
		return;
	free_tree(tree->left);
	free_tree(tree->right);
	hole_free(tree);
}

bool tract__holes_find(enum holes kind, uintptr_t addr, uintptr_t *start,
		       uintptr_t *end)
{
	const struct hole *hole = roots[kind];

	while (hole && (addr < hole->start || addr >= hole->end))
		hole = addr < hole->start ? hole->left : hole->right;
	if (!hole)
		return false;
	*start = hole->start;
	*end = hole->end;
	return true;
}

static void insert_alone(enum holes kind, uintptr_t start, uintptr_t end)
{
	struct hole *low, *high, *hole;

	if (start >= end)
		return;
	hole = hole_alloc(start, end);
	if (!hole)
		return;
	split(roots[kind], start, &low, &high);
	roots[kind] = join(join(low, hole), high);
}

/* Takes out the one that starts at @start. */
static void remove_one(enum holes kind, uintptr_t start)
{
	struct hole *low, *middle, *high;

	split(roots[kind], start, &low, &middle);
	split(middle, start + 1, &middle, &high);
	free_tree(middle);
	roots[kind] = join(low, high);
}

static void remove_from(enum holes kind, uintptr_t start, uintptr_t end)
{
	struct hole *low, *middle, *high;
	uintptr_t from, to;

	if (tract__holes_find(kind, start, &from, &to) && from < start) {
		remove_one(kind, from);
		insert_alone(kind, from, start);
		insert_alone(kind, end, to);
	}
	if (tract__holes_find(kind, end - 1, &from, &to) && to > end) {
		remove_one(kind, from);
		insert_alone(kind, end, to);
	}
	split(roots[kind], start, &low, &middle);
	split(middle, end, &middle, &high);
	free_tree(middle);
	roots[kind] = join(low, high);
}

void tract__holes_remove(uintptr_t start, uintptr_t end)
{
	for (unsigned int kind = 0; kind < HOLES_KINDS; kind++)
		remove_from((enum holes)kind, start, end);
}

void tract__holes_insert(enum holes kind, uintptr_t start, uintptr_t end)
{
	uintptr_t from, to, low = start, high = end;

	if (start >= end)
		return;
	if (tract__holes_find(kind, start - 1, &from, &to))
		low = from;
	if (tract__holes_find(kind, end, &from, &to))
		high = to;
	remove_from(kind, low, high);
	insert_alone(kind, low, high);
}

uintptr_t tract__holes_take(enum holes kind, size_t length)
{
	struct hole *hole = roots[kind];
	uintptr_t start;

	if (longest_of(hole) < length)
		return 0;
	for (;;) {
		if (longest_of(hole->left) >= length)
			hole = hole->left;
		else if (hole->end - hole->start >= length)
			break;
		else
			hole = hole->right;
	}
	start = hole->start;
	remove_from(kind, start, start + length);
	return start;
}

void tract__holes_clear(void)
{
	/* The nodes may be in disorder (see vm.c): they are left behind. */
	for (unsigned int kind = 0; kind < HOLES_KINDS; kind++)
		roots[kind] = NULL;
	spare = NULL;
}

bool tract__holes_take_first(enum holes kind, uintptr_t *start, uintptr_t *end)
{
	const struct hole *hole = roots[kind];

	if (!hole)
		return false;
	while (hole->left)
		hole = hole->left;
	*start = hole->start;
	*end = hole->end;
	remove_one(kind, *start);
	return true;
}
