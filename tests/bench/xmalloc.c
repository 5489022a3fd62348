// SPDX-License-Identifier: MIT
/*
 * Producers allocate, consumers free, batches pass between them through a
 * bounded queue: no block is ever freed where it was allocated.  After the
 * description of xmalloc-test by C. Lever and D. Boreham (USENIX 2000).
 *
 *   xmalloc [PAIRS [BATCHES [LARGEST]]]
 */
#include "bench/bench.h"

#include <pthread.h>

#define BATCH 256
#define DEPTH 64

struct batch {
	unsigned char *block[BATCH];
	unsigned int size[BATCH];
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct batch *slot[DEPTH];
	unsigned int count, first;
	uint64_t state, sum;
};

static unsigned long pairs, batches, largest;

static void *producer(void *arg)
{
	struct queue *q = arg;
	struct batch *b;
	/* On its own stack: beside the consumer's sum it would go to and fro. */
	uint64_t state = q->state;
	unsigned long n;
	int i;

	for (n = 0; n < batches; n++) {
		b = bench_need(malloc(sizeof(*b)));
		for (i = 0; i < BATCH; i++) {
			b->size[i] = bench_random(&state) % largest + 1;
			b->block[i] = bench_need(malloc(b->size[i]));
			b->block[i][0] = b->block[i][b->size[i] - 1] = n + i;
		}
		pthread_mutex_lock(&q->lock);
		while (q->count == DEPTH)
			pthread_cond_wait(&q->changed, &q->lock);
		q->slot[(q->first + q->count++) % DEPTH] = b;
		pthread_cond_broadcast(&q->changed);
		pthread_mutex_unlock(&q->lock);
	}
	return NULL;
}

static void *consumer(void *arg)
{
	struct queue *q = arg;
	struct batch *b;
	uint64_t sum = 0;
	unsigned long n;
	int i;

	for (n = 0; n < batches; n++) {
		pthread_mutex_lock(&q->lock);
		while (!q->count)
			pthread_cond_wait(&q->changed, &q->lock);
		b = q->slot[q->first];
		q->first = (q->first + 1) % DEPTH;
		q->count--;
		pthread_cond_broadcast(&q->changed);
		pthread_mutex_unlock(&q->lock);
		for (i = 0; i < BATCH; i++) {
			sum = bench_mix(sum + b->size[i] +
					b->block[i][b->size[i] - 1] * 65537);
			free(b->block[i]);
		}
		free(b);
	}
	q->sum = sum;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[2][64];
	struct queue *q;
	uint64_t sum = 0;
	unsigned long i;

	bench_start("xmalloc", &argc, argv, NULL);
	pairs = bench_arg(argc, argv, 1, 2);
	batches = bench_arg(argc, argv, 2, 20000);
	largest = bench_arg(argc, argv, 3, 512);
	if (!pairs || pairs > 64 || !largest)
		bench_die("arguments out of range");
	q = bench_need(calloc(pairs, sizeof(*q)));
	for (i = 0; i < pairs; i++) {
		pthread_mutex_init(&q[i].lock, NULL);
		pthread_cond_init(&q[i].changed, NULL);
		q[i].state = bench_stream(i);
		if (pthread_create(&t[0][i], NULL, producer, &q[i]) ||
		    pthread_create(&t[1][i], NULL, consumer, &q[i]))
			bench_die("cannot start a thread");
	}
	for (i = 0; i < pairs; i++) {
		pthread_join(t[0][i], NULL);
		pthread_join(t[1][i], NULL);
		sum += q[i].sum;
	}
	free(q);
	return bench_end(pairs * batches * BATCH, sum);
}
