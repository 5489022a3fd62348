// SPDX-License-Identifier: MIT
/*
 * A cache of decoded images that may fill the machine and gives way when others
 * need memory: it loses entries then, and nothing else.
 *
 *   cache [MIB [LOOKUPS [HOG_MIB]]]
 *
 * The cache grows to MIB.  LOOKUPS images are asked for at random, once it is
 * full; an image that is not there is decoded again.  HOG_MIB is what another
 * process then takes of the machine's memory, and holds while as many lookups
 * are made again.  Every image is compared with what it must be.
 *
 * Ends with 0 if no image was ever wrong.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../include/tract.h"

#define IMAGE_BYTES (4 * TRACT_UNIT_SIZE)
#define IMAGE_WORDS (IMAGE_BYTES / sizeof(uint64_t))

struct image {
	uint64_t word[IMAGE_WORDS];
};

struct slot {
	bool used;
	uint64_t key;
	struct image *image; /* offered, unless it is just being looked at */
};

struct cache {
	struct slot *slots;
	size_t count;
	unsigned long hits, misses, lost, wrong;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* What a decoder would make of the file that @key names. */
static void decode(struct image *image, uint64_t key)
{
	uint64_t x = mix(key + 1) | 1;

	for (size_t i = 0; i < IMAGE_WORDS; i++)
		image->word[i] = x += 0x9e3779b97f4a7c15;
}

static bool is_right(const struct image *image, uint64_t key)
{
	uint64_t x = mix(key + 1) | 1;

	for (size_t i = 0; i < IMAGE_WORDS; i++)
		if (image->word[i] != (x += 0x9e3779b97f4a7c15))
			return false;
	return true;
}

static void *need(void *p)
{
	if (p)
		return p;
	perror("cache");
	exit(2);
}

/*
 * All images are one block, and each of them a part of it: address space is had
 * for nothing, and memory comes with the first touch.
 */
static struct cache cache_make(size_t count)
{
	struct image *images = need(tract_cache_alloc(count * IMAGE_BYTES));
	struct cache cache = {
		.slots = need(calloc(count, sizeof(struct slot))),
		.count = count,
	};

	for (size_t i = 0; i < count; i++)
		cache.slots[i].image = &images[i];
	return cache;
}

/* Is the image still in the slot, and ours to look at? */
static bool take_back(struct cache *cache, struct slot *slot, uint64_t key)
{
	int was = tract_reclaim(slot->image, IMAGE_BYTES);

	if (was < 0) {
		perror("tract_reclaim");
		exit(2);
	}
	if (!slot->used || slot->key != key)
		return false;
	/* A part of an image is as good as none. */
	cache->lost += was != TRACT_INTACT;
	return was == TRACT_INTACT;
}

static void look_up(struct cache *cache, uint64_t key)
{
	struct slot *slot = &cache->slots[key % cache->count];

	if (take_back(cache, slot, key)) {
		cache->hits++;
	} else {
		cache->misses++;
		decode(slot->image, key);
		slot->key = key;
		slot->used = true;
	}
	/* Here the image would be drawn. */
	cache->wrong += !is_right(slot->image, key);
	/* From now on the kernel may have its memory. */
	if (tract_offer(slot->image, IMAGE_BYTES)) {
		perror("tract_offer");
		exit(2);
	}
}

static void report(struct cache *cache, const char *when)
{
	printf("%s: %lu hits, %lu misses, of which %lu for want of memory, "
	       "%lu wrong\n",
	       when, cache->hits, cache->misses, cache->lost, cache->wrong);
	fflush(stdout);
}

static void look_up_many(struct cache *cache, unsigned long lookups,
			 uint64_t *state)
{
	cache->hits = cache->misses = cache->lost = 0;
	for (unsigned long i = 0; i < lookups; i++)
		look_up(cache, mix(++*state) % cache->count);
}

/* The other process: it knows nothing of a cache, and needs memory. */
static int be_hog(size_t size)
{
	char *p = need(malloc(size));

	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	if (write(STDOUT_FILENO, "", 1) != 1)
		return 1;
	pause();
	return 0;
}

/* As another program would be, started by exec(): a child shares our memory. */
static pid_t start_hog(const char *mib, int ready)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(ready, STDOUT_FILENO);
	execl("/proc/self/exe", "cache", "hog", mib, NULL);
	_exit(1);
}

static void look_up_beside_hog(struct cache *cache, unsigned long lookups,
			       uint64_t *state, const char *mib)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	if (pipe(ready))
		exit(2);
	pid = start_hog(mib, ready[1]);
	close(ready[1]);
	if (pid < 0 || read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "cache: the other process got no memory\n");
		exit(1);
	}
	look_up_many(cache, lookups, state);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	report(cache, "beside another");
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 64;
	unsigned long lookups = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
	uint64_t state = 1;
	struct cache cache;

	if (argc == 3 && !strcmp(argv[1], "hog"))
		return be_hog(strtoul(argv[2], NULL, 0) << 20);
	cache = cache_make((mib << 20) / IMAGE_BYTES);
	printf("backend %s\n", tract_backend());
	for (uint64_t key = 0; key < cache.count; key++)
		look_up(&cache, key);
	report(&cache, "filling");
	look_up_many(&cache, lookups, &state);
	report(&cache, "alone");
	if (argc > 3)
		look_up_beside_hog(&cache, lookups, &state, argv[3]);
	free(cache.slots[0].image);
	free(cache.slots);
	return cache.wrong != 0;
}
