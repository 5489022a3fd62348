// SPDX-License-Identifier: MIT
/*
 * Two gigabytes of mixed blocks: the number of mappings stays small and grows
 * with the logarithm of the size; all freed, the memory goes back.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>

#define STEPS 8

struct node {
	struct node *next;
	size_t size;
};

static size_t target;
static size_t live;

static size_t available(void)
{
	char text[1024], *line;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	line = strstr(text, "MemAvailable:");
	return line ? strtoull(line + 13, NULL, 10) << 10 : 0;
}

/* By bytes: a third small, a third up to 256 KiB, a third up to 8 MiB. */
static struct node *grow(struct node *list, size_t until, uint64_t *state)
{
	static const size_t largest[] = { 2048, 256 << 10, 8 << 20 };
	size_t kind = 0, share = 0, size, i;

	while (live < until) {
		struct node *node;

		size = sizeof(*node) + tap_random_size(state, largest[kind]);
		node = malloc(size);
		if (!node)
			return list;
		for (i = 0; i < size; i += 4096)
			((char *)node)[i] = 1;
		node->next = list;
		node->size = size;
		list = node;
		live += size;
		share += size;
		if (share > 8 << 20) {
			share = 0;
			kind = (kind + 1) % 3;
		}
	}
	return list;
}

static void *drop(void *arg)
{
	struct node *list = arg, *next;

	for (; list; list = next) {
		next = list->next;
		live -= list->size;
		free(list);
	}
	return NULL;
}

/* Every second block goes, so that holes are left everywhere. */
static void thin(struct node *list)
{
	struct node *gone;

	for (; list && list->next; list = list->next) {
		gone = list->next;
		list->next = gone->next;
		live -= gone->size;
		free(gone);
	}
}

/* In an emulator dropping the pages alone takes longer. */
static void settle(void)
{
	double until = process_now() + 3 * tap_env("TRACT_TEST_SLOWNESS", 1);

	for (; process_now() < until; process_sleep(0.1))
		free(malloc(1000));
}

int main(int argc, char **argv)
{
	long start, vmas, most = 0, before, full, thinned, after;
	struct node *list = NULL;
	bool must = tap_is_tract();
	uint64_t state;
	int i, round;
	pthread_t t;

	tap_start(argc, argv, 170);
	state = tap_seed;
	target = tap_env("TRACT_TEST_MB", 2048) << 20;
	if (target > available() / 2)
		target = available() / 2;
	free(malloc(1000));
	start = process_vmas();
	before = tap_rss();
	for (i = 1; i <= STEPS; i++) {
		list = grow(list, target / STEPS * i, &state);
		vmas = process_vmas();
		most = vmas > most ? vmas : most;
		tap_note("%5zu MB live: %ld mappings, RSS %ld KiB", live >> 20,
			 vmas, tap_rss());
	}
	full = tap_rss();
	tap_ok(live >= target / STEPS * STEPS, "%zu MB were had", live >> 20);
	for (round = 0; round < 3; round++) {
		thin(list);
		thinned = tap_rss();
		vmas = process_vmas();
		most = vmas > most ? vmas : most;
		list = grow(list, target, &state);
		vmas = process_vmas();
		most = vmas > most ? vmas : most;
	}
	tap_note("thinned and filled again 3 times: %ld mappings at most, RSS "
		 "%ld KiB full, %ld last thinned, %ld now",
		 most, full, thinned, tap_rss());
	/* Freed by a thread of its own, which then ends. */
	pthread_create(&t, NULL, drop, list);
	pthread_join(t, NULL);
	settle();
	after = tap_rss();
	vmas = process_vmas();
	most = vmas > most ? vmas : most;
	if (must) {
		tap_ok(most < 60 && most - start <= 24,
		       "%ld mappings at the start, %ld at most: below 60, at "
		       "most 24 more",
		       start, most);
		tap_ok(after - before < 24 << 10,
		       "all freed, a while later: RSS %ld KiB above start",
		       after - before);
	} else {
		tap_skip("%ld mappings at the start, %ld at most", start, most);
		tap_skip("all freed, 3 s later: RSS %ld KiB above start",
			 after - before);
	}
	return tap_done();
}
