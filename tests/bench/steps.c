// SPDX-License-Identifier: MIT
/*
 * Counts the instructions of a call by executing them one at a time: a child
 * calls the function, the parent single-steps it from the function's first
 * instruction until it has returned.  Not an estimate from a listing: the path
 * that was taken, whatever the allocator, without its symbols.
 *
 *   steps FUNCTION [CALLS]
 *
 *   FUNCTION  malloc, free, calloc, realloc (of the same size), aligned_alloc,
 *             remote_free (by a thread that did not allocate)
 *   CALLS     how many are counted (default 2000)
 *
 * The blocks are of 64 bytes, in batches of 16, after a warm-up.  After each batch
 * some run at full speed: an allocator that looks at the clock every so many ms would
 * else find that it is time at each call.  Prints the number of instructions that most
 * calls took, the return included, how many of the calls did, the least and the most;
 * then the path itself, one "OBJECT OFFSET" an instruction.  A repeated string
 * instruction counts once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 16
#define SIZE 64
#define WARM_UP 20000
#define AT_SPEED 2000
#define PATH_MAX_STEPS 65536

static void *block[BATCH];
static unsigned long calls = 2000;
static volatile int warm;

static void die(const char *why)
{
	fprintf(stderr, "steps: %s\n", why);
	exit(1);
}

/*
 * The child stops before and after each call that is counted; what is called
 * between goes through a pointer, so that there is no PLT in the way.
 */
static inline void stop(void)
{
	if (warm)
		raise(SIGTRAP);
}

static void *(*do_malloc)(size_t);
static void (*do_free)(void *);
static void *(*do_calloc)(size_t, size_t);
static void *(*do_realloc)(void *, size_t);
static void *(*do_aligned)(size_t, size_t);

static void count_malloc(void)
{
	for (int i = 0; i < BATCH; i++) {
		stop();
		block[i] = do_malloc(SIZE);
		stop();
	}
	for (int i = 0; i < BATCH; i++)
		do_free(block[i]);
}

static void count_free(void)
{
	for (int i = 0; i < BATCH; i++)
		block[i] = do_malloc(SIZE);
	for (int i = 0; i < BATCH; i++) {
		stop();
		do_free(block[i]);
		stop();
	}
}

static void count_calloc(void)
{
	for (int i = 0; i < BATCH; i++) {
		stop();
		block[i] = do_calloc(1, SIZE);
		stop();
	}
	for (int i = 0; i < BATCH; i++)
		do_free(block[i]);
}

static void count_realloc(void)
{
	for (int i = 0; i < BATCH; i++)
		block[i] = do_malloc(SIZE);
	for (int i = 0; i < BATCH; i++) {
		stop();
		block[i] = do_realloc(block[i], SIZE);
		stop();
	}
	for (int i = 0; i < BATCH; i++)
		do_free(block[i]);
}

static void count_aligned(void)
{
	for (int i = 0; i < BATCH; i++) {
		stop();
		block[i] = do_aligned(SIZE, SIZE);
		stop();
	}
	for (int i = 0; i < BATCH; i++)
		do_free(block[i]);
}

/* The main thread allocates; this one, which is the one traced, frees. */
static pthread_barrier_t barrier;

static void *allocate(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&barrier);
		for (int i = 0; i < BATCH; i++)
			block[i] = do_malloc(SIZE);
		pthread_barrier_wait(&barrier);
	}
	return arg;
}

static void count_remote_free(void)
{
	static bool started;
	pthread_t thread;

	if (!started) {
		pthread_barrier_init(&barrier, NULL, 2);
		if (pthread_create(&thread, NULL, allocate, NULL))
			die("cannot start a thread");
		started = true;
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < BATCH; i++) {
		stop();
		do_free(block[i]);
		stop();
	}
}

static const struct function {
	const char *name, *symbol;
	void (*count)(void);
} functions[] = {
	{ "malloc", "malloc", count_malloc },
	{ "free", "free", count_free },
	{ "calloc", "calloc", count_calloc },
	{ "realloc", "realloc", count_realloc },
	{ "aligned_alloc", "aligned_alloc", count_aligned },
	{ "remote_free", "free", count_remote_free },
};

static void run(const struct function *f, int n)
{
	for (int i = 0; i < n / BATCH; i++)
		f->count();
}

static void child(const struct function *f)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(3);
	run(f, WARM_UP);
	for (unsigned long n = 0; n < calls; n += BATCH) {
		warm = 1;
		f->count();
		warm = 0;
		run(f, AT_SPEED);
	}
	_exit(0);
}

struct path {
	uint64_t at[PATH_MAX_STEPS];
	unsigned int length;
};

static struct user_regs_struct registers(pid_t pid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		die("cannot read registers");
	return regs;
}

static bool resume(pid_t pid, int how)
{
	int status;

	if (ptrace(how, pid, NULL, NULL))
		die("cannot resume");
	if (waitpid(pid, &status, 0) != pid)
		die("cannot wait");
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return false;
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		die("the child ended");
	return true;
}

/* One call: from the stop before it to its return. */
static void trace(pid_t pid, uint64_t entry, struct path *path)
{
	struct user_regs_struct regs;
	uint64_t stack;

	do {
		resume(pid, PTRACE_SINGLESTEP);
		regs = registers(pid);
	} while (regs.rip != entry);
	stack = regs.rsp;
	path->length = 0;
	do {
		/* One longer than that is counted as that long. */
		if (path->length < PATH_MAX_STEPS &&
		    (!path->length || path->at[path->length - 1] != regs.rip))
			path->at[path->length++] = regs.rip;
		resume(pid, PTRACE_SINGLESTEP);
		regs = registers(pid);
		/* It has returned when its return address is popped. */
	} while (regs.rsp <= stack);
}

static void print_path(const struct path *path)
{
	for (unsigned int i = 0; i < path->length; i++) {
		Dl_info info;

		/* Parent and child have the same map. */
		if (dladdr((void *)path->at[i], &info) && info.dli_fname)
			printf("%s %#lx\n", info.dli_fname,
			       path->at[i] - (uint64_t)info.dli_fbase);
		else
			printf("? %#lx\n", path->at[i]);
	}
}

int main(int argc, char **argv)
{
	static unsigned long seen[PATH_MAX_STEPS + 1];
	static struct path path, common;
	const struct function *f = NULL;
	unsigned int least = PATH_MAX_STEPS, most = 0, mode = 0, i;
	unsigned long counted = 0;
	uint64_t entry;
	int status;
	pid_t pid;

	for (i = 0; argc > 1 && i < sizeof(functions) / sizeof(*functions); i++)
		if (!strcmp(argv[1], functions[i].name))
			f = &functions[i];
	if (!f)
		die("usage: steps FUNCTION [CALLS]");
	if (argc > 2)
		calls = strtoul(argv[2], NULL, 0);
	do_malloc = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	do_free = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
	do_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, "calloc");
	do_realloc = (void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, "realloc");
	do_aligned =
		(void *(*)(size_t, size_t))dlsym(RTLD_DEFAULT, "aligned_alloc");
	entry = (uint64_t)dlsym(RTLD_DEFAULT, f->symbol);
	if (!do_malloc || !do_free || !do_calloc || !do_realloc || !do_aligned)
		die("a function is missing");
	pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (!pid)
		child(f);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("the child does not stop");
	do {
		trace(pid, entry, &path);
		counted++;
		/* The most common length so far, and the path that had it. */
		if (++seen[path.length] > seen[mode]) {
			mode = path.length;
			common = path;
		}
		least = path.length < least ? path.length : least;
		most = path.length > most ? path.length : most;
		resume(pid, PTRACE_CONT);   /* the stop after the call */
	} while (resume(pid, PTRACE_CONT)); /* the stop before the next */
	printf("%s %u instructions in %lu of %lu calls, %u to %u\n", f->name,
	       mode, seen[mode], counted, least, most);
	print_path(&common);
	return 0;
}
