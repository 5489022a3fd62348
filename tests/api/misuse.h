/* SPDX-License-Identifier: MIT */
/*
 * Programs that misuse free(): each runs in a child of its own and must die by
 * SIGABRT, with one line on stderr:
 *
 *   tract: double free of 0x...    or    tract: invalid free of 0x...
 *
 * (realloc: "invalid realloc" too.)  Other allocators catch some of these or
 * none: for them the lines are skipped, and say what happened.
 */
#ifndef TESTS_API_MISUSE_H
#define TESTS_API_MISUSE_H

#include "tap.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void (*volatile do_free)(void *) = free;

static int told = -1;

/* Tells the driver which pointer is about to be misused. */
static inline void *about(void *p)
{
	if (write(told, &p, sizeof(p)) != sizeof(p))
		_exit(9);
	return p;
}

/*
 * A thread that frees what it is given.  It is started before the first
 * allocation of interest: starting a thread allocates, and might be given the
 * very block in question.
 */
static sem_t given, taken;
static void *volatile gift;

static inline void *free_gifts(void *arg)
{
	for (;;) {
		sem_wait(&given);
		do_free(gift);
		sem_post(&taken);
	}
	return arg;
}

static inline void elsewhere(void *p)
{
	gift = p;
	sem_post(&given);
	sem_wait(&taken);
}

static inline void start_helper(void)
{
	pthread_t t;

	sem_init(&given, 0, 0);
	sem_init(&taken, 0, 0);
	if (pthread_create(&t, NULL, free_gifts, NULL))
		_exit(9);
	elsewhere(NULL);
}

static inline void others(size_t size)
{
	void *p[100];
	int i;

	for (i = 0; i < 100; i++)
		p[i] = do_malloc(size);
	for (i = 0; i < 100; i += 2)
		do_free(p[i]);
	for (i = 1; i < 100; i += 2)
		do_free(p[i]);
}

/* A block of a thread that has ended: everybody's free is remote, or adopted. */
static inline void *of_the_dead(void *size)
{
	return do_malloc((size_t)size);
}

static inline void *inherited(size_t size)
{
	pthread_t t;
	void *p;

	if (pthread_create(&t, NULL, of_the_dead, (void *)size) ||
	    pthread_join(t, &p))
		_exit(9);
	return p;
}

/* One way to misuse a pointer, with blocks of each size; 0 ends them. */
struct misuse {
	const char *what;
	void (*run)(size_t);
	size_t size[6];
};

/* One line, in the words that are documented, with the pointer. */
static inline bool is_the_message(const char *text, const void *p)
{
	static const char *const words[] = { "double free", "invalid free",
					     "invalid realloc" };
	char line[128];

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(line, sizeof(line), "tract: %s of %#lx\n", words[i],
			 (unsigned long)p);
		if (!strcmp(text, line))
			return true;
	}
	return false;
}

/* stderr of the child, and the pointer that it announced. */
static inline void attempt(const struct misuse *misuse, size_t size, bool must)
{
	int err[2], ptr[2], status = 0;
	char text[2048];
	void *p = NULL;
	ssize_t n, got = 0;
	pid_t pid;

	if (pipe(err) || pipe(ptr))
		exit(1);
	pid = fork();
	if (!pid) {
		tap_alarm(20);
		dup2(err[1], STDERR_FILENO);
		told = ptr[1];
		start_helper();
		misuse->run(size);
		_exit(0);
	}
	close(err[1]);
	close(ptr[1]);
	while ((n = read(err[0], text + got, sizeof(text) - 1 - got)) > 0)
		got += n;
	text[got] = 0;
	if (read(ptr[0], &p, sizeof(p)) != sizeof(p))
		tap_note("the child did not get to its point");
	close(err[0]);
	close(ptr[0]);
	waitpid(pid, &status, 0);
	if (!must) {
		tap_skip("%s %#zx: %s %d", misuse->what, size,
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
					       WEXITSTATUS(status));
		return;
	}
	if (!tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
			    is_the_message(text, p),
		    "%s %#zx: SIGABRT, and a line that names it", misuse->what,
		    size))
		tap_note("found %s %d and on stderr: %s",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
					       WEXITSTATUS(status),
			 got ? text : "nothing");
}

static inline void attempt_all(const struct misuse *all, size_t count)
{
	bool must = tap_is_tract();

	for (size_t i = 0; i < count; i++)
		for (int k = 0; k < 6 && all[i].size[k]; k++)
			attempt(&all[i], all[i].size[k], must);
}

#endif
