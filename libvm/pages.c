// SPDX-License-Identifier: MIT
#include "pages.h"

#include <errno.h>
#include <string.h>

#include "store.h"

#define LEAF_SHIFT 21 /* bytes of address space below an entry of a node */
#define NODE_SHIFT 30 /* below an entry of the root */
#define ENTRIES 512

/*
 * An entry is a pointer to the table below, or, with the low bit set, the state
 * of everything below.  0 is foreign too: the root starts that way.
 */
typedef uintptr_t entry_t;

static entry_t root[PAGES_END >> NODE_SHIFT];

static entry_t uniform(uint8_t state)
{
	return (entry_t)state << 1 | 1;
}

static bool is_table(entry_t entry)
{
	return entry && !(entry & 1);
}

static uint8_t state_of(entry_t entry)
{
	return (uint8_t)(entry >> 1);
}

static entry_t load(const entry_t *slot)
{
	/* Pairs with publish(): what is below has been filled in. */
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

static void publish(entry_t *slot, entry_t entry)
{
	__atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

static size_t index_at(uintptr_t addr, unsigned int shift)
{
	return (addr >> shift) % ENTRIES;
}

static entry_t *root_slot(uintptr_t addr)
{
	return &root[addr >> NODE_SHIFT];
}

/* The end of what an entry at @shift stands for, at @addr, at most @end. */
static uintptr_t entry_end(uintptr_t addr, uintptr_t end, unsigned int shift)
{
	uintptr_t limit = ((addr >> shift) + 1) << shift;

	return limit < end ? limit : end;
}

uint8_t tract__pages_get(uintptr_t addr)
{
	entry_t entry;

	if (addr >= PAGES_END)
		return PAGE_FOREIGN;
	entry = load(root_slot(addr));
	if (!is_table(entry))
		return state_of(entry);
	entry = load((entry_t *)entry + index_at(addr, LEAF_SHIFT));
	if (!is_table(entry))
		return state_of(entry);
	return read_once((uint8_t *)entry + index_at(addr, PAGE_SHIFT));
}

/* How far the table entry, or page, at @addr tells its state. */
static uintptr_t step(uintptr_t addr, uintptr_t end, uint8_t *state)
{
	entry_t entry;
	uint8_t *leaf;
	uintptr_t limit;

	*state = PAGE_FOREIGN;
	if (addr >= PAGES_END)
		return end;
	entry = load(root_slot(addr));
	if (!is_table(entry)) {
		*state = state_of(entry);
		return entry_end(addr, end, NODE_SHIFT);
	}
	entry = load((entry_t *)entry + index_at(addr, LEAF_SHIFT));
	limit = entry_end(addr, end, LEAF_SHIFT);
	if (!is_table(entry)) {
		*state = state_of(entry);
		return limit;
	}
	leaf = (uint8_t *)entry;
	*state = read_once(leaf + index_at(addr, PAGE_SHIFT));
	do {
		addr += PAGE_SIZE;
	} while (addr < limit &&
		 read_once(leaf + index_at(addr, PAGE_SHIFT)) == *state);
	return addr < limit ? addr : limit;
}

uintptr_t tract__pages_run(uintptr_t addr, uintptr_t end, uint8_t *state)
{
	uintptr_t at = step(addr, end, state);
	uint8_t next;

	while (at < end) {
		uintptr_t further = step(at, end, &next);

		if (next != *state)
			break;
		at = further;
	}
	return at;
}

bool tract__pages_any(uintptr_t start, uintptr_t end)
{
	uint8_t state;

	if (end > PAGES_END)
		end = PAGES_END;
	return start < end && (tract__pages_run(start, end, &state) < end ||
			       page_kind(state) != PAGE_FOREIGN);
}

/* A table below @slot, which says the same as the entry did. */
static int split(entry_t *slot, bool leaf)
{
	entry_t old = load(slot);
	entry_t *node;

	if (is_table(old))
		return 0;
	node = tract__store_alloc(leaf ? ENTRIES : ENTRIES * sizeof(entry_t));
	if (!node)
		return -ENOMEM;
	if (leaf) {
		memset(node, state_of(old), ENTRIES);
	} else {
		for (size_t i = 0; i < ENTRIES; i++)
			node[i] = old;
	}
	publish(slot, (entry_t)node);
	return 0;
}

/* Tables for a border at @addr. */
static int prepare_border(uintptr_t addr)
{
	entry_t *slot;

	if (addr >= PAGES_END || addr % ((uintptr_t)1 << NODE_SHIFT) == 0)
		return 0;
	slot = root_slot(addr);
	if (split(slot, false))
		return -ENOMEM;
	if (addr % ((uintptr_t)1 << LEAF_SHIFT) == 0)
		return 0;
	slot = (entry_t *)load(slot) + index_at(addr, LEAF_SHIFT);
	return split(slot, true);
}

/*
 * A caller may set parts with borders of their own, but those are borders
 * between runs of different states, or those of the whole: the tables are
 * there.
 */
int tract__pages_prepare(uintptr_t start, uintptr_t end)
{
	if (end > PAGES_END || prepare_border(start))
		return -ENOMEM;
	return prepare_border(end);
}

static void set_leaf(entry_t *slot, uintptr_t start, uintptr_t end,
		     uint8_t state)
{
	entry_t entry = load(slot);
	uint8_t *leaf = (uint8_t *)entry;

	if (!is_table(entry)) {
		publish(slot, uniform(state));
		return;
	}
	for (; start < end; start += PAGE_SIZE)
		write_once(leaf + index_at(start, PAGE_SHIFT), state);
}

static void set_node(entry_t *slot, uintptr_t start, uintptr_t end,
		     uint8_t state)
{
	entry_t entry = load(slot);
	uintptr_t next;

	if (!is_table(entry)) {
		publish(slot, uniform(state));
		return;
	}
	for (; start < end; start = next) {
		next = entry_end(start, end, LEAF_SHIFT);
		set_leaf((entry_t *)entry + index_at(start, LEAF_SHIFT), start,
			 next, state);
	}
}

void tract__pages_set(uintptr_t start, uintptr_t end, uint8_t state)
{
	uintptr_t next;

	for (; start < end; start = next) {
		next = entry_end(start, end, NODE_SHIFT);
		set_node(root_slot(start), start, next, state);
	}
}
