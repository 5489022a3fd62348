// SPDX-License-Identifier: MIT
#include "guard.h"

#include <errno.h>

#include "large.h"
#include "region.h"
#include "sys.h"

static uint32_t mapped;

/* The bytes that may be used end with a page: the guard is the next. */
static char *place(const struct span *span)
{
	return span->base + tract__large_usable(span);
}

static const struct reservation *reservation_of(const struct span *span)
{
	return &region_of(span)->reservation;
}

static size_t offset_of(const struct span *span)
{
	return (size_t)(place(span) - reservation_of(span)->base);
}

static void unsplit(void)
{
	__atomic_fetch_sub(&mapped, 1, __ATOMIC_RELAXED);
}

/* One page more that splits the map, until it turns out not to. */
static bool may_split(void)
{
	if (__atomic_add_fetch(&mapped, 1, __ATOMIC_RELAXED) <=
	    GUARDS_MAPPED_MAX)
		return true;
	unsplit();
	return false;
}

static bool split(bool done)
{
	if (!done)
		unsplit();
	return done;
}

static bool set_mapped(char *at)
{
	return may_split() && split(!tract__sys_forbid(at, PAGE));
}

/* A child has no operations on what it inherited. */
static bool replace(char *at)
{
	return may_split() &&
	       split(tract__sys_map_over((uintptr_t)at, PAGE) == (long)at);
}

static enum guard_state set(const struct span *span)
{
	const struct reservation *reservation = reservation_of(span);
	int ret;

	if (reservation->id)
		return tract__backend_trap(reservation, offset_of(span), PAGE) ?
			       GUARD_TRAPPED :
			       GUARD_NONE;
	ret = tract__sys_guard(place(span), PAGE);
	if (ret == -EINVAL && set_mapped(place(span)))
		return GUARD_MAPPED;
	return ret ? GUARD_NONE : GUARD_MARKER;
}

static bool clear(const struct span *span)
{
	const struct reservation *reservation = reservation_of(span);

	switch ((enum guard_state)span->state) {
	case GUARD_NONE:
		return true;
	case GUARD_TRAPPED:
		return tract__backend_untrap(reservation, offset_of(span),
					     PAGE) ||
		       (!tract__backend_is_owned(reservation) &&
			replace(place(span)));
	case GUARD_MARKER:
		return !tract__sys_unguard(place(span), PAGE);
	case GUARD_MAPPED:
		if (tract__sys_allow(place(span), PAGE))
			return false;
		unsplit();
		return true;
	}
	return false;
}

void tract__guard_set(struct span *span)
{
	write_once(&span->state, (uint8_t)set(span));
}

bool tract__guard_clear(struct span *span)
{
	if (!clear(span))
		return false;
	write_once(&span->state, GUARD_NONE);
	return true;
}
