// SPDX-License-Identifier: MIT
/*
 * Programs that misuse free(): small, medium and large blocks, freed by the
 * thread that allocated them or by others, twice or at a wrong place, before and
 * after their memory was reused; and pointers that were never a block's.  Each
 * runs in a child of its own and must die by SIGABRT, with one line on stderr:
 *
 *   tract: double free of 0x...    or    tract: invalid free of 0x...
 *
 * (realloc: "invalid realloc" too.)  Other allocators catch some of these or
 * none: for them the lines are skipped, and say what happened.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void (*volatile do_free)(void *) = free;

static int told = -1;
static char static_data[64];

/* Tells the driver which pointer is about to be misused. */
static void *about(void *p)
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

static void *free_gifts(void *arg)
{
	for (;;) {
		sem_wait(&given);
		do_free(gift);
		sem_post(&taken);
	}
	return arg;
}

static void elsewhere(void *p)
{
	gift = p;
	sem_post(&given);
	sem_wait(&taken);
}

static void start_helper(void)
{
	pthread_t t;

	sem_init(&given, 0, 0);
	sem_init(&taken, 0, 0);
	if (pthread_create(&t, NULL, free_gifts, NULL))
		_exit(9);
	elsewhere(NULL);
}

static void others(size_t size)
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

static void twice(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_free(about(p));
}

/* With a neighbour alive, so that the span stays. */
static void twice_among(size_t size)
{
	void *neighbour = do_malloc(size), *p = do_malloc(size);

	do_malloc(size);
	do_free(p);
	do_free(about(p));
	do_free(neighbour);
}

/* Nothing is allocated between: the block must not have been handed out. */
static void twice_later(size_t size)
{
	void *q[50], *p;
	int i;

	for (i = 0; i < 50; i++)
		q[i] = do_malloc(size);
	p = q[25];
	do_free(p);
	for (i = 0; i < 50; i++)
		if (i != 25)
			do_free(q[i]);
	do_free(about(p));
}

static void twice_other_thread(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	elsewhere(about(p));
}

static void twice_both_others(size_t size)
{
	void *p = do_malloc(size);

	elsewhere(p);
	elsewhere(about(p));
}

static void other_then_own(size_t size)
{
	void *p = do_malloc(size);

	elsewhere(p);
	do_free(about(p));
}

/* Others of the same span are freed between, by the thread that frees twice. */
static void twice_gathered(size_t size)
{
	void *p[40];
	int i;

	for (i = 0; i < 40; i++)
		p[i] = do_malloc(size);
	for (i = 0; i < 40; i += 2)
		elsewhere(p[i]);
	elsewhere(about(p[20]));
}

static void twice_gathered_own(size_t size)
{
	void *p[40];
	int i;

	for (i = 0; i < 40; i++)
		p[i] = do_malloc(size);
	for (i = 0; i < 40; i += 2)
		elsewhere(p[i]);
	do_free(about(p[20]));
}

/* A block of a thread that has ended: everybody's free is remote, or adopted. */
static void *of_the_dead(void *size)
{
	return do_malloc((size_t)size);
}

static void *inherited(size_t size)
{
	pthread_t t;
	void *p;

	if (pthread_create(&t, NULL, of_the_dead, (void *)size) ||
	    pthread_join(t, &p))
		_exit(9);
	return p;
}

static void twice_inherited(size_t size)
{
	void *p = inherited(size);

	do_free(p);
	do_free(about(p));
}

static void twice_inherited_other(size_t size)
{
	void *p = inherited(size);

	do_free(p);
	elsewhere(about(p));
}

static void interior_inherited(size_t size)
{
	char *p = inherited(size);

	do_free(about(p + 16));
}

/* All of the size is freed and another size takes the span's place. */
static void twice_reused(size_t size)
{
	void *keep[2000], *p = do_malloc(size);
	size_t other = size > 64 ? size / 3 : 96;
	int i;

	others(size);
	do_free(p);
	malloc_trim(0);
	for (i = 0; i < 2000; i++) {
		keep[i] = do_malloc(i & 1 ? other + 16 : other);
		/* Handed out again at that very place: another's block then. */
		if (keep[i] == p) {
			do_free(p);
			break;
		}
	}
	do_free(about(p));
}

/* The same, the second time by another thread. */
static void twice_reused_other(size_t size)
{
	void *keep[500], *p = do_malloc(size);
	int i;

	others(size);
	do_free(p);
	malloc_trim(0);
	for (i = 0; i < 500; i++) {
		keep[i] = do_malloc(size + size / 2 + 16);
		if (keep[i] == p) {
			do_free(p);
			break;
		}
	}
	elsewhere(about(p));
}

static void interior(size_t size, size_t by)
{
	char *p = do_malloc(size);

	do_malloc(size);
	do_free(about(p + by));
}

static void realloc_freed(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_realloc(about(p), size * 2 + 100);
}

static void realloc_zero_freed(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_realloc(about(p), 0);
}

static void realloc_interior(size_t size)
{
	char *p = do_malloc(size);

	do_realloc(about(p + 16), size + 1);
}

static void twice_moved(size_t size)
{
	void *p = do_malloc(size), *q;

	q = do_realloc(p, size * 40);
	if (q == p)
		q = do_realloc(q, size * 400);
	if (q == p)
		do_free(q);
	do_free(about(p));
}

static void stack(size_t size)
{
	char local[64] __attribute__((aligned(16)));

	memset(local, 1, sizeof(local));
	do_free(about(local + size));
}

static void data(size_t size)
{
	do_free(about(static_data + size));
}

static void code(size_t size)
{
	(void)size;
	do_free(about((void *)(uintptr_t)do_malloc));
}

static void number(size_t value)
{
	do_free(about((void *)value));
}

static void number_realloc(size_t value)
{
	do_realloc(about((void *)value), 100);
}

static void mapped_file(size_t size)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);

	do_free(about(p + size));
}

static void mapped_anonymous(size_t size)
{
	char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 0, 4 << 20);
	do_free(about(p + size));
}

/* Right beyond and right before all that malloc has handed out. */
static void beyond(size_t size)
{
	char *p = do_malloc(size), *q;
	int i;

	for (i = 0; i < 100; i++) {
		q = do_malloc(size);
		p = q > p ? q : p;
	}
	do_free(about(p + 16 * ((malloc_usable_size(p) + 31) / 16) +
		      (size_t)(64 << 20)));
}

/* In a span of this size, a place where a block could be but none is. */
static void never_allocated(size_t size)
{
	char *p = do_malloc(size);
	size_t step = malloc_usable_size(p);
	char *q = do_malloc(size);

	if (q > p)
		step = q - p;
	do_free(about(q + step * 3));
}

static void sized(size_t size)
{
	void (*f)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void *p = do_malloc(size);

	f(p, size);
	f(about(p), size);
}

static void interior_p1(size_t size)
{
	interior(size, 1);
}

static void interior_p8(size_t size)
{
	interior(size, 8);
}

static void interior_p16(size_t size)
{
	interior(size, 16);
}

static void interior_other(size_t size)
{
	char *p = do_malloc(size);

	do_malloc(size);
	elsewhere(about(p + 16));
}

static void interior_reused(size_t size)
{
	char *p;

	others(size * 2);
	malloc_trim(0);
	p = do_malloc(size);
	do_malloc(size);
	do_free(about(p + 32));
}

static void stack_other(size_t size)
{
	char local[64] __attribute__((aligned(16)));

	memset(local, 1, sizeof(local));
	elsewhere(about(local + size));
}

static void data_other(size_t size)
{
	elsewhere(about(static_data + size));
}

static void foreign_other(size_t size)
{
	char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	elsewhere(about(p + size));
}

/* Aligned more than a block needs: what lies before it is another's or nobody's. */
static void before_aligned(size_t size)
{
	char *p = aligned_alloc(4096, size);

	do_free(about(p - 16));
}

static void twice_aligned(size_t size)
{
	void *p = aligned_alloc(4096, size);

	do_free(p);
	do_free(about(p));
}

static void interior_page(size_t size)
{
	interior(size, 4096);
}

static void interior_half(size_t size)
{
	interior(size, size / 2 & ~15ul);
}

/* A child of fork() is watched over like its parent. */
static void in_child(size_t size)
{
	void *p = do_malloc(size);
	int status;
	pid_t pid;

	do_free(p);
	about(p);
	pid = fork();
	if (!pid) {
		do_free(p);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		abort();
}

/* Caught also while the C library is half gone, and with stderr buffered. */
static void late(void)
{
	void *p = do_calloc(1, 40);

	do_free(p);
	do_free(about(p));
}

static void at_exit(size_t size)
{
	(void)size;
	atexit(late);
	exit(0);
}

static const struct abuse {
	const char *what;
	void (*run)(size_t);
	size_t size[6];
} abuses[] = {
	{ "double free of", twice, { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free beside a live one of",
	  twice_among,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free after other frees of",
	  twice_later,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, second by another thread, of",
	  twice_other_thread,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, both by others, of",
	  twice_both_others,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, first by another thread, of",
	  other_then_own,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free after the memory was reused of",
	  twice_reused,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free by another after the memory was reused of",
	  twice_reused_other,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free by another thread, others of the span between, of",
	  twice_gathered,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, first by another with more of the span, of",
	  twice_gathered_own,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an ended thread's block of",
	  twice_inherited,
	  { 16, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an ended thread's, second by another, of",
	  twice_inherited_other,
	  { 16, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an aligned block of",
	  twice_aligned,
	  { 100, 4096, 20000, 1 << 20 } },
	{ "free of p + 16 of an ended thread's block of",
	  interior_inherited,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free by another thread of p + 16 in",
	  interior_other,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free after reuse of p + 32 in",
	  interior_reused,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free of p - 16 of an aligned block of",
	  before_aligned,
	  { 100, 4096, 20000, 1 << 20 } },
	{ "free by another thread of a stack address +",
	  stack_other,
	  { 16, 1 } },
	{ "free by another thread of static data +", data_other, { 16, 1, 8 } },
	{ "free by another thread of a mapping +",
	  foreign_other,
	  { 4096, 16, 1 << 20, 65536 } },
	{ "double free with free_sized of", sized, { 16, 20000, 1 << 20 } },
	{ "double free after realloc moved it of",
	  twice_moved,
	  { 16, 1000, 20000 } },
	{ "double free in a forked child of", in_child, { 16, 20000, 1 << 20 } },
	{ "double free in an atexit handler", at_exit, { 40 } },
	{ "free of p + 1 in", interior_p1, { 16, 1000, 20000, 1 << 20 } },
	{ "free of p + 8 in", interior_p8, { 16, 1000, 20000, 1 << 20 } },
	{ "free of p + 16 in", interior_p16, { 100, 1000, 20000, 1 << 20 } },
	{ "free of p + 4096 in", interior_page, { 20000, 200000, 1 << 20 } },
	{ "free of the middle of",
	  interior_half,
	  { 100, 1000, 20000, 200000, 1 << 20, 64 << 20 } },
	{ "realloc of freed", realloc_freed, { 16, 1000, 20000, 1 << 20 } },
	{ "realloc to 0 of freed", realloc_zero_freed, { 16, 20000, 1 << 20 } },
	{ "realloc of p + 16 in", realloc_interior, { 100, 20000, 1 << 20 } },
	{ "free of a stack address +", stack, { 16, 1 } },
	{ "free of static data +", data, { 16, 1, 8 } },
	{ "free of code", code, { 1 } },
	{ "free of a mapped file +", mapped_file, { 4096, 16, 7 } },
	{ "free of a mapping +",
	  mapped_anonymous,
	  { 4096, 16, 1 << 20, 2 << 20, 65536 } },
	{ "free far beyond blocks of", beyond, { 64, 20000 } },
	{ "free of what malloc has not given out, size",
	  never_allocated,
	  { 64, 1000 } },
	{ "free of the number",
	  number,
	  { 0xdeadbeefdeadbeef, 1, 16, 0x800000000000, 0x7ffffffffff0,
	    0xffffffffffffffff } },
	{ "free of the number",
	  number,
	  { 0xfffffffffffffff0, 0xffff800000000000, 4096, 0x123456789ab0,
	    (size_t)1 << 63, 0x555555550000 } },
	{ "realloc of the number",
	  number_realloc,
	  { 0xdeadbeefdeadbeef, 16, 0xfffffffffffffff0 } },
};

/* One line, in the words that are documented, with the pointer. */
static bool is_the_message(const char *text, const void *p)
{
	static const char *const words[] = { "double free", "invalid free",
					     "invalid realloc" };
	char line[128];

	for (unsigned int i = 0; i < sizeof(words) / sizeof(*words); i++) {
		snprintf(line, sizeof(line), "tract: %s of %#lx\n", words[i],
			 (unsigned long)p);
		if (!strcmp(text, line))
			return true;
	}
	return false;
}

/* stderr of the child, and the pointer that it announced. */
static void attempt(const struct abuse *a, size_t size, bool must)
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
		a->run(size);
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
		tap_skip("%s %#zx: %s %d", a->what, size,
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
					       WEXITSTATUS(status));
		return;
	}
	if (!tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
			    is_the_message(text, p),
		    "%s %#zx: SIGABRT, and a line that names it", a->what,
		    size))
		tap_note("found %s %d and on stderr: %s",
			 WIFSIGNALED(status) ? "signal" : "status",
			 WIFSIGNALED(status) ? WTERMSIG(status) :
					       WEXITSTATUS(status),
			 got ? text : "nothing");
}

/* malloc_usable_size of nonsense may say 0 or abort; it must not crash. */
static void usable_size(bool must)
{
	static const size_t numbers[] = { 16, 0xdeadbeefdeadbee0,
					  0xfffffffffffffff0, 0x7ffffffff000,
					  (size_t)static_data };
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		pid = fork();
		if (!pid) {
			size_t (*volatile f)(void *) = malloc_usable_size;
			int null = open("/dev/null", O_WRONLY);

			tap_alarm(20);
			dup2(null, STDERR_FILENO);
			_exit(f((void *)numbers[i]) ? 3 : 0);
		}
		waitpid(pid, &status, 0);
		if (must)
			tap_ok(!status || (WIFSIGNALED(status) &&
					   WTERMSIG(status) == SIGABRT),
			       "malloc_usable_size(%#zx) is 0 or aborts: %#x",
			       numbers[i], status);
		else
			tap_skip("malloc_usable_size(%#zx): %#x", numbers[i],
				 status);
	}
}

int main(int argc, char **argv)
{
	bool must = tap_is_tract();
	unsigned int i, k;

	tap_start(argc, argv, 120);
	for (i = 0; i < 1000; i++)
		do_free(NULL);
	for (i = 0; i < sizeof(abuses) / sizeof(*abuses); i++)
		for (k = 0; k < 6 && abuses[i].size[k]; k++)
			attempt(&abuses[i], abuses[i].size[k], must);
	usable_size(must);
	return tap_done();
}
