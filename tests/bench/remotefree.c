// SPDX-License-Identifier: MIT
/*
 * One thread allocates everything, another that has never allocated frees it
 * and sleeps; the final RSS (--settle) shows whether the memory came back.
 *
 *   remotefree [OBJECTS [ROUNDS]]
 */
#include "bench/bench.h"

#include <pthread.h>
#include <semaphore.h>

static unsigned long objects, rounds;
static unsigned char **object;
static sem_t full, empty;
static uint64_t sum;

static void *freer(void *arg)
{
	unsigned long r, i;

	for (r = 0; r < rounds; r++) {
		sem_wait(&full);
		for (i = 0; i < objects; i++) {
			sum = sum * 31 + object[i][0];
			free(object[i]);
		}
		sem_post(&empty);
	}
	return arg;
}

int main(int argc, char **argv)
{
	unsigned long r, i;
	uint64_t state;
	size_t size;
	pthread_t t;

	bench_start("remotefree", &argc, argv, NULL);
	objects = bench_arg(argc, argv, 1, 400000);
	rounds = bench_arg(argc, argv, 2, 4);
	object = bench_need(calloc(objects, sizeof(*object)));
	state = bench_stream(0);
	sem_init(&full, 0, 0);
	sem_init(&empty, 0, 0);
	if (pthread_create(&t, NULL, freer, NULL))
		bench_die("cannot start a thread");
	for (r = 0; r < rounds; r++) {
		for (i = 0; i < objects; i++) {
			/* 0.4 % are of 20 to 220 KB. */
			size = i % 250 == 7 ?
				       20000 + bench_random(&state) % 200000 :
				       16 + bench_random(&state) % 1009;
			object[i] = bench_need(malloc(size));
			memset(object[i], r + i, size);
		}
		sem_post(&full);
		sem_wait(&empty);
	}
	pthread_join(t, NULL);
	free(object);
	return bench_end(objects * rounds, sum);
}
