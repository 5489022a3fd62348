// SPDX-License-Identifier: MIT
/*
 * A thousand signals a second into four threads that allocate.  The handler
 * does not allocate; what the signals interrupt (system calls of the allocator
 * included) must carry on.  The signal is the watchdog's too: it counts ticks.
 */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>

#define SECONDS 3
#define TICKS_MAX (60 * 1000)

static atomic_ulong ticks;
static atomic_bool stop;
static atomic_ulong broken, rounds, refused, bad_errno;
static pthread_t crew[4];

static void tick(int sig)
{
	unsigned long now = atomic_fetch_add(&ticks, 1);
	int saved = errno;

	/* Signals land anywhere; spread them over the threads. */
	if (sig == SIGALRM && !atomic_load(&stop))
		pthread_kill(crew[now / 2 % 4], SIGUSR1);
	if (now > TICKS_MAX)
		tap_timeout(sig);
	errno = saved;
}

static void *worker(void *arg)
{
	uint64_t state = tap_mix(tap_seed + (uintptr_t)arg);
	unsigned char *p[200] = { NULL };
	size_t size[200] = { 0 }, k, i;

	while (!atomic_load(&stop)) {
		k = tap_random(&state) % 200;
		for (i = 0; i < size[k]; i += 64)
			broken += p[k][i] != (unsigned char)k;
		errno = 4711;
		free(p[k]);
		bad_errno += errno != 4711;
		/* Large ones now and then, so that system calls are made. */
		size[k] = tap_random_size(&state, rounds % 64 ? 4096 : 4 << 20);
		p[k] = malloc(size[k]);
		if (!p[k]) {
			refused++;
			size[k] = 0;
			continue;
		}
		memset(p[k], k, size[k]);
		rounds++;
	}
	for (k = 0; k < 200; k++)
		free(p[k]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = tick };
	int i;

	tap_start(argc, argv, 60);
	alarm(0);
	for (i = 0; i < 4; i++)
		pthread_create(&crew[i], NULL, worker,
			       (void *)(uintptr_t)(i + 1));
	/* Without SA_RESTART: system calls come back with EINTR. */
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	process_sleep(SECONDS);
	atomic_store(&stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(crew[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);

	tap_ok(ticks > SECONDS * 300, "%lu signals in %d s", ticks, SECONDS);
	tap_ok(rounds > 1000, "%lu allocations", rounds);
	tap_ok(!broken, "%lu bytes broken", broken);
	tap_ok(!refused, "%lu allocations refused", refused);
	tap_ok(!bad_errno, "free changed errno %lu times", bad_errno);
	return tap_done();
}
