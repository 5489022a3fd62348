/* SPDX-License-Identifier: MIT */
/*
 * A futex mutex: 0 free, 1 held, 2 held and somebody waits.
 *
 * Four bytes, no allocation, no dependence on the threads library, and it can
 * be reset in a forked child, where its holder does not exist.
 */
#ifndef TRACT_LOCK_H
#define TRACT_LOCK_H

#include "common.h"
#include "sys.h"

struct lock {
	uint32_t state;
};

/* Spins before sleeping: critical sections here are shorter than a wake-up. */
#define LOCK_SPINS 64

static inline bool lock_try(struct lock *lock)
{
	uint32_t expected = 0;

	return __atomic_compare_exchange_n(&lock->state, &expected, 1, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void lock_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static cold void lock_acquire_slow(struct lock *lock)
{
	for (int i = 0; i < LOCK_SPINS; i++) {
		lock_pause();
		if (!read_once(&lock->state) && lock_try(lock))
			return;
	}
	while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE))
		tract__sys_futex_wait(&lock->state, 2);
}

static inline void lock_acquire(struct lock *lock)
{
	if (unlikely(!lock_try(lock)))
		lock_acquire_slow(lock);
}

static inline void lock_release(struct lock *lock)
{
	if (unlikely(__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) ==
		     2))
		tract__sys_futex_wake(&lock->state);
}

/* In a forked child, before it has a second thread. */
static inline void lock_reset(struct lock *lock)
{
	write_once(&lock->state, 0);
}

#endif
