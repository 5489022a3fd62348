// SPDX-License-Identifier: MIT
#include "holes.h"

#include "store.h"

struct hole {
	struct hole *left, *right;
	uintptr_t start, end;
	size_t longest; /* of all ranges in this subtree */
	uint32_t priority;
};

static struct hole *root;
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

bool tract__holes_find(uintptr_t addr, uintptr_t *start, uintptr_t *end)
{
	const struct hole *hole = root;

	while (hole && (addr < hole->start || addr >= hole->end))
		hole = addr < hole->start ? hole->left : hole->right;
	if (!hole)
		return false;
	*start = hole->start;
	*end = hole->end;
	return true;
}

static void insert_alone(uintptr_t start, uintptr_t end)
{
	struct hole *low, *high, *hole;

	if (start >= end)
		return;
	hole = hole_alloc(start, end);
	if (!hole)
		return;
	split(root, start, &low, &high);
	root = join(join(low, hole), high);
}

void tract__holes_remove(uintptr_t start, uintptr_t end)
{
	struct hole *low, *middle, *high;
	uintptr_t from, to;

	if (tract__holes_find(start, &from, &to) && from < start) {
		split(root, from, &low, &middle);
		split(middle, from + 1, &middle, &high);
		free_tree(middle);
		root = join(low, high);
		insert_alone(from, start);
		insert_alone(end, to);
	}
	if (tract__holes_find(end - 1, &from, &to) && to > end) {
		split(root, from, &low, &middle);
		split(middle, from + 1, &middle, &high);
		free_tree(middle);
		root = join(low, high);
		insert_alone(end, to);
	}
	split(root, start, &low, &middle);
	split(middle, end, &middle, &high);
	free_tree(middle);
	root = join(low, high);
}

void tract__holes_insert(uintptr_t start, uintptr_t end)
{
	uintptr_t from, to, low = start, high = end;

	if (start >= end)
		return;
	if (tract__holes_find(start - 1, &from, &to))
		low = from;
	if (tract__holes_find(end, &from, &to))
		high = to;
	tract__holes_remove(low, high);
	insert_alone(low, high);
}

uintptr_t tract__holes_take(size_t length)
{
	struct hole *hole = root;
	uintptr_t start;

	if (longest_of(root) < length)
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
	tract__holes_remove(start, start + length);
	return start;
}

void tract__holes_clear(void)
{
	/* The nodes may be in disorder (see vm.c): they are left behind. */
	root = NULL;
	spare = NULL;
}

bool tract__holes_take_first(uintptr_t *start, uintptr_t *end)
{
	const struct hole *hole = root;

	if (!hole)
		return false;
	while (hole->left)
		hole = hole->left;
	*start = hole->start;
	*end = hole->end;
	tract__holes_remove(*start, *end);
	return true;
}
