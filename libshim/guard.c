// SPDX-License-Identifier: MIT
#include "guard.h"

#include <errno.h>

#include "arena.h"
#include "large.h"
#include "sys.h"

static uint32_t mapped;

/* The bytes that may be used end with a page: the guard is the next. */
static char *place(const struct span *span)
{
	return span->base + tract__large_usable(span);
}

static bool set_mapped(char *at)
{
	if (__atomic_add_fetch(&mapped, 1, __ATOMIC_RELAXED) <=
		    GUARDS_MAPPED_MAX &&
	    !tract__sys_forbid(at, PAGE))
		return true;
	__atomic_fetch_sub(&mapped, 1, __ATOMIC_RELAXED);
	return false;
}

void tract__guard_set(struct span *span)
{
	int ret = tract__sys_guard(place(span), PAGE);

	if (!ret)
		write_once(&span->state, GUARD_MARKER);
	else if (ret == -EINVAL && tract__arena_may_split(span) &&
		 set_mapped(place(span)))
		write_once(&span->state, GUARD_MAPPED);
}

bool tract__guard_clear(struct span *span)
{
	if (span->state == GUARD_MARKER &&
	    tract__sys_unguard(place(span), PAGE))
		return false;
	if (span->state == GUARD_MAPPED) {
		if (tract__sys_allow(place(span), PAGE))
			return false;
		__atomic_fetch_sub(&mapped, 1, __ATOMIC_RELAXED);
	}
	write_once(&span->state, GUARD_NONE);
	return true;
}
