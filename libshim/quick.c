// SPDX-License-Identifier: MIT
#include "quick.h"

static void insert(struct span *run)
{
	tract__region_insert(region_of(run), index_of(run), run->units,
			     SPAN_DIRTY);
}

static struct quick *quick_of(size_t units, enum span_kind kind)
{
	return &tract__arena
			.quick[(kind == SPAN_LARGE) * QUICK_UNITS + units - 1];
}

/* Of one class the last, else the last of all. */
static unsigned int choose(const struct quick *quick, unsigned int class)
{
	for (unsigned int i = quick->count; i-- > 0;)
		if (quick->class[i] == class)
			return i;
	return quick->count - 1;
}

/* @n of them, from @at on, are here no more. */
static void forget(struct quick *quick, unsigned int at, unsigned int n)
{
	quick->count -= n;
	for (unsigned int i = at; i < quick->count; i++) {
		quick->class[i] = quick->class[i + n];
		quick->runs[i] = quick->runs[i + n];
	}
}

struct span *tract__quick_alloc(size_t units, enum span_kind kind,
				unsigned int class)
{
	struct quick *quick = quick_of(units, kind);
	struct taken taken;
	struct span *run;
	unsigned int at;

	if (!quick->count)
		return NULL;
	at = choose(quick, class);
	run = quick->runs[at];
	forget(quick, at, 1);
	if (unlikely(!tract__purge_map_take(&region_of(run)->map, index_of(run),
					    units, &taken))) {
		insert(run);
		return NULL;
	}
	run->dirty_units = (uint32_t)taken.end;
	return run;
}

/* The older ones make room, half of all. */
static cold void make_room(struct quick *quick)
{
	unsigned int gone = QUICK_RUNS / 2;

	for (unsigned int i = 0; i < gone; i++)
		insert(quick->runs[i]);
	forget(quick, 0, gone);
}

void tract__quick_free(struct span *span, enum span_kind kind)
{
	struct quick *quick = quick_of(span->units, kind);

	if (unlikely(quick->count == QUICK_RUNS))
		make_room(quick);
	quick->class[quick->count] = kind == SPAN_SMALL ? span->class : 0;
	quick->runs[quick->count++] = span;
}

bool tract__quick_flush(void)
{
	bool any = false;

	for (size_t i = 0; i < 2 * QUICK_UNITS; i++) {
		struct quick *quick = &tract__arena.quick[i];

		any |= quick->count;
		while (quick->count)
			insert(quick->runs[--quick->count]);
	}
	return any;
}
