/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of units, and every change that the module makes to them: no lock,
 * no memory, no kernel in it, so that the same file is tested in userspace, by
 * KUnit, and used by the module.
 *
 * The bytes are the process's own memory and it may write anything at any time.
 * So each is read once, a unit is only taken by compare-exchange, and what the
 * module does next follows from that one answer, never from a second look.
 */
#ifndef TRACT_UNIT_H
#define TRACT_UNIT_H

#include <linux/tract.h>
#include <linux/types.h>

#ifdef __KERNEL__
#include <linux/atomic.h>
#include <linux/compiler.h>

#define tract_unit_load(unit) READ_ONCE(*(unit))

/* A full barrier when it succeeds. */
static inline bool tract_unit_exchange(__u8 *unit, __u8 from, __u8 to)
{
	return cmpxchg(unit, from, to) == from;
}

static inline void tract_unit_store_release(__u8 *unit, __u8 to)
{
	/* Pairs with the process's acquiring compare-exchange to LIVE. */
	smp_store_release(unit, to);
}
#else
#include <stdbool.h>

#define tract_unit_load(unit) __atomic_load_n(unit, __ATOMIC_RELAXED)

static inline bool tract_unit_exchange(__u8 *unit, __u8 from, __u8 to)
{
	return __atomic_compare_exchange_n(unit, &from, to, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline void tract_unit_store_release(__u8 *unit, __u8 to)
{
	__atomic_store_n(unit, to, __ATOMIC_RELEASE);
}
#endif

/* Sets of states, a bit each. */
#define TRACT_UNIT_BIT(state) (1U << (state))
#define TRACT_UNITS_AGED TRACT_UNIT_BIT(TRACT_UNIT_AGED)
#define TRACT_UNITS_OFFERED                                                    \
	(TRACT_UNIT_BIT(TRACT_UNIT_VOLATILE) | TRACT_UNITS_AGED)

#define TRACT_UNIT_ONES 0x0101010101010101ULL

/* Is @state one of @set?  Any byte that is no state counts as LIVE. */
static inline bool tract_unit_is_in(__u8 state, unsigned int set)
{
	return state <= TRACT_UNIT_PURGED && set & TRACT_UNIT_BIT(state);
}

/* Does @word have a byte that is zero? */
static inline bool tract_unit_has_zero(__u64 word)
{
	return (word - TRACT_UNIT_ONES) & ~word & (TRACT_UNIT_ONES << 7);
}

/* Has one of the eight units in @word been offered? */
static inline bool tract_unit_word_offers(__u64 word)
{
	return tract_unit_has_zero(word ^
				   TRACT_UNIT_ONES * TRACT_UNIT_VOLATILE) ||
	       tract_unit_has_zero(word ^ TRACT_UNIT_ONES * TRACT_UNIT_AGED);
}

/*
 * The first unit from @at on, below @end, whose state is in @set, a part of
 * TRACT_UNITS_OFFERED; or @end.  Eight at a time where there is nothing: @units
 * is aligned to eight bytes.
 */
static inline __u64 tract_unit_find(const __u8 *units, __u64 at, __u64 end,
				    unsigned int set)
{
	while (at < end) {
		const __u64 *word = (const __u64 *)(units + at);

		if (!(at & 7) && end - at >= 8 &&
		    !tract_unit_word_offers(tract_unit_load(word))) {
			at += 8;
			continue;
		}
		if (tract_unit_is_in(tract_unit_load(units + at), set))
			return at;
		at++;
	}
	return end;
}

/*
 * Could all of [@at, @end) be without pages after a purge of @set: is each unit
 * in the set or purged already, and at least one in the set?
 */
static inline bool tract_unit_is_whole(const __u8 *units, __u64 at, __u64 end,
				       unsigned int set)
{
	bool any = false;

	for (; at < end; at++) {
		__u8 state = tract_unit_load(units + at);

		if (tract_unit_is_in(state, set))
			any = true;
		else if (state != TRACT_UNIT_PURGED)
			return false;
	}
	return any;
}

/* VOLATILE to AGED, if it still is VOLATILE. */
static inline bool tract_unit_age(__u8 *unit)
{
	return tract_unit_exchange(unit, TRACT_UNIT_VOLATILE, TRACT_UNIT_AGED);
}

/*
 * To PURGING from a state in @set, if it is in one.  Acquires: what the process
 * did to the unit before it offered it is before the zap.
 */
static inline bool tract_unit_claim(__u8 *unit, unsigned int set)
{
	__u8 state = tract_unit_load(unit);

	if (!tract_unit_is_in(state, set & TRACT_UNITS_OFFERED))
		return false;
	return tract_unit_exchange(unit, state, TRACT_UNIT_PURGING);
}

/*
 * Claim units from @at on until one cannot be, or @end; returns that one.  A
 * unit that is PURGED ends the run as well: it may be in use again at any time.
 */
static inline __u64 tract_unit_claim_run(__u8 *units, __u64 at, __u64 end,
					 unsigned int set)
{
	while (at < end && tract_unit_claim(units + at, set))
		at++;
	return at;
}

/*
 * PURGING to PURGED, after the zap and its TLB flush: who takes the unit back
 * then finds zeros.
 */
static inline void tract_unit_release_run(__u8 *units, __u64 at, __u64 end)
{
	for (; at < end; at++)
		tract_unit_store_release(units + at, TRACT_UNIT_PURGED);
}

#endif /* TRACT_UNIT_H */
