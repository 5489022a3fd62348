/* SPDX-License-Identifier: MIT */
/*
 * Vocabulary of the library: compiler hints, relaxed accesses, powers of two.
 *
 * Functions that other files call are named tract__<file>_<verb> and hidden;
 * inside they return 0 or a negative errno, and true means yes.
 */
#ifndef TRACT_COMMON_H
#define TRACT_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define noinline __attribute__((__noinline__))
#define cold __attribute__((__noinline__, __cold__))
#define cacheline_aligned __attribute__((aligned(64)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Large variables that most processes hardly touch: behind all others, which then
 * lie in the page that the end of the initialised ones is in.  Clang would make
 * them part of the file.
 */
#ifdef __clang__
#define far_bss
#else
#define far_bss __attribute__((section(".lbss")))
#endif

/*
 * Memory that one thread writes and others look at: the accesses must not tear
 * and the compiler must not invent any, but no order is asked of them.
 */
#define read_once(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define write_once(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

#define PAGE ((size_t)4096)

/* Grain of spans and of decommit: 64 KiB, the unit of the device. */
#define UNIT_SHIFT 16
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define UNIT_PAGES (UNIT_SIZE / PAGE)

static inline size_t align_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static inline bool is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* Index of the highest bit set; n is not 0. */
static inline unsigned int log2_floor(size_t n)
{
	return 63 - (unsigned int)__builtin_clzl(n);
}

/*
 * Doubly linked list whose head is a node; an unlinked node points to itself.
 * Lists belong to locks; next is written so that a look without the lock, which
 * must be repeated with it, is well-defined.
 */
struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	write_once(&head->next, head);
	head->prev = head;
}

/* Without the lock: worth a look with it, or not. */
static inline bool list_seems_empty(const struct list *head)
{
	return read_once(&head->next) == head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert(struct list *node, struct list *after)
{
	write_once(&node->next, after->next);
	node->prev = after;
	after->next->prev = node;
	write_once(&after->next, node);
}

static inline void list_append(struct list *head, struct list *node)
{
	list_insert(node, head->prev);
}

/* Harmless on a node that is in no list. */
static inline void list_remove(struct list *node)
{
	node->next->prev = node->prev;
	write_once(&node->prev->next, node->next);
	list_init(node);
}

#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

#endif
