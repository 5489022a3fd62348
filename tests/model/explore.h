/* SPDX-License-Identifier: MIT */
/*
 * Runs a few actors in every order in which their accesses to shared memory can
 * follow one another, and asks after each run whether the world is right.
 *
 * An actor is a coroutine that stops before each access.  A run is repeated from
 * the start for each order (the code under test is the real one and cannot be
 * wound back).  What an actor will do depends only on what it has seen so far, so
 * two runs that reach the same memory with the same things seen go on alike, and
 * one of them is enough.
 *
 * The orders are those of sequential consistency; what weaker machines make of
 * the code is for its acquire and release to say.
 */
#ifndef TESTS_MODEL_EXPLORE_H
#define TESTS_MODEL_EXPLORE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define ACTORS_MAX 5
#define STEPS_MAX 400
#define VISITED_MAX (1u << 24)

struct actor {
	ucontext_t start;
	jmp_buf at;
	char stack[16384];
	void (*run)(void);
	const int *waits_for; /* to become 0 */
	uint64_t seen;
	unsigned int turns;
	bool tears; /* others may come into the middle of its exchanges */
	bool done;
};

static struct actor actors[ACTORS_MAX];
static int actor_count;
static struct actor *current;
static ucontext_t scheduler_start;
static jmp_buf scheduler;

/* Why the run is wrong; NULL: it is not. */
static const char *wrong;

static uint64_t *visited;
static unsigned long states, runs;

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

/* Stops here, and goes on when it is this actor's turn. */
static inline void step(void)
{
	if (current && !_setjmp(current->at))
		_longjmp(scheduler, 1);
}

static inline uint64_t observe(uint64_t value)
{
	if (current)
		current->seen = mix(current->seen, value + 1);
	return value;
}

/* To show what becomes of a compare-exchange that is a load and a store. */
static inline void tear(void)
{
	if (current && current->tears) {
		observe(1);
		step();
	}
}

static inline void wrong_if(bool condition, const char *why)
{
	if (condition && !wrong)
		wrong = why;
}

/* A lock, of which the world only knows that it is held. */
static inline void model_lock(int *lock)
{
	current->waits_for = lock;
	step();
	current->waits_for = NULL;
	*lock = 1;
	observe(0);
}

static inline void model_unlock(int *lock)
{
	step();
	*lock = 0;
	observe(0);
}

/*
 * The accesses of the code under test.  Macros of these names take the place of
 * the compiler's functions in all that is included after this file.
 */
#define __atomic_load_n(p, order)                                              \
	({                                                                     \
		step();                                                        \
		__typeof__(*(p)) loaded_ = *(p);                               \
		observe((uintptr_t)loaded_);                                   \
		loaded_;                                                       \
	})
#define __atomic_store_n(p, v, order)                                          \
	({                                                                     \
		__typeof__(*(p)) stored_ = (v);                                \
		step();                                                        \
		*(p) = stored_;                                                \
		observe(0);                                                    \
	})
#define __atomic_compare_exchange_n(p, old, v, weak, order, failure)           \
	({                                                                     \
		step();                                                        \
		bool same_ = *(p) == *(old);                                   \
		if (same_)                                                     \
			tear();                                                \
		if (same_)                                                     \
			*(p) = (v);                                            \
		else                                                           \
			*(old) = *(p);                                         \
		observe(*(old) + 2 * same_);                                   \
		same_;                                                         \
	})

static void actor_main(void)
{
	current->run();
	current->done = true;
	_longjmp(scheduler, 1);
}

/* Contexts make the stacks; to jump between them costs no system call. */
static void turn(struct actor *actor)
{
	current = actor;
	if (!_setjmp(scheduler)) {
		if (actor->turns++)
			_longjmp(actor->at, 1);
		swapcontext(&scheduler_start, &actor->start);
	}
	current = NULL;
}

/* True the first time. */
static bool visit(uint64_t key)
{
	uint64_t i = key % VISITED_MAX;

	key |= !key;
	for (; visited[i]; i = (i + 1) % VISITED_MAX)
		if (visited[i] == key)
			return false;
	visited[i] = key;
	if (++states > VISITED_MAX / 2) {
		fprintf(stderr, "too many states\n");
		exit(1);
	}
	return true;
}

static uint64_t state_key(const void *world, size_t size)
{
	uint64_t key = 1;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word;

		memcpy(&word, (const char *)world + i, 8);
		key = mix(key, word);
	}
	for (int i = 0; i < actor_count; i++)
		key = mix(mix(key, actors[i].seen),
			  actors[i].turns * 2 + actors[i].done);
	return key;
}

static unsigned int runnable(int *list)
{
	unsigned int n = 0;

	for (int i = 0; i < actor_count; i++)
		if (!actors[i].done &&
		    !(actors[i].waits_for && *actors[i].waits_for))
			list[n++] = i;
	return n;
}

static void start_actors(void)
{
	for (int i = 0; i < actor_count; i++) {
		struct actor *actor = &actors[i];

		getcontext(&actor->start);
		actor->start.uc_stack.ss_sp = actor->stack;
		actor->start.uc_stack.ss_size = sizeof(actor->stack);
		makecontext(&actor->start, actor_main, 0);
		actor->waits_for = NULL;
		actor->seen = 0;
		actor->turns = 0;
		actor->tears = false;
		actor->done = false;
	}
}

/*
 * Every order of the actors.  @reset makes the world anew, @check judges it when
 * all have ended (it may set wrong, as the actors may).  The first fault found,
 * or NULL.  @size is a multiple of 8.
 */
static const char *explore(void (*reset)(void), void (*check)(void),
			   const void *world, size_t size)
{
	static unsigned char choice[STEPS_MAX], choices[STEPS_MAX];
	unsigned int length = 0, depth, n;
	int list[ACTORS_MAX];

	states = runs = 0;
	wrong = NULL;
	visited = calloc(VISITED_MAX, sizeof(*visited));
	do {
		reset();
		start_actors();
		runs++;
		for (depth = 0; !wrong && (n = runnable(list)); depth++) {
			if (depth == length) {
				if (!visit(state_key(world, size)))
					break;
				choice[length] = 0;
				choices[length++] = (unsigned char)n;
			}
			wrong_if(length == STEPS_MAX, "no end");
			turn(&actors[list[choice[depth]]]);
		}
		if (!wrong && depth == length && !runnable(list)) {
			for (int i = 0; i < actor_count; i++)
				wrong_if(!actors[i].done, "deadlock");
			check();
		}
		while (length && choice[length - 1] + 1 == choices[length - 1])
			length--;
		if (length)
			choice[length - 1]++;
	} while (length && !wrong);
	free(visited);
	return wrong;
}

#endif
