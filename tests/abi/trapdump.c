// SPDX-License-Identifier: MIT
/*
 * Core dumps of trapped reservations: what is kept out stays out, its neighbours
 * are in, and nobody but the process that dies loses a byte.  The core is the
 * kernel's, read here and, where there is one, by gdb.  Sets core_pattern, so
 * for a virtual machine.
 */
#include <pthread.h>

#include "observe.h"
#include "touch.h"

#define PATTERN "/proc/sys/kernel/core_pattern"
#define CORE "/tmp/tract-core"
#define LENGTH (4 * MIB)
#define WORDS 64

/* Pages of the reservation, and what becomes of them. */
enum place {
	BEFORE,
	SECRET,
	BEHIND,
	GUARDED,
	UNCOMMITTED,
	LAST,
	PLACES
};

static struct t_res res;

/* The marker exists nowhere but where it was written: it is made, not kept. */
static uint64_t marker(unsigned int which, unsigned int word)
{
	return t_mix(0xdeadc0de00 + which * 1000 + word);
}

static char *at(unsigned int which)
{
	return res.addr + (which == LAST ? LENGTH - PAGE : which * PAGE);
}

static void write_marker(unsigned int which)
{
	for (unsigned int i = 0; i < WORDS; i++)
		((volatile uint64_t *)at(which))[i] = marker(which, i);
}

static bool has_marker(const void *page, unsigned int which)
{
	const uint64_t *word = page;
	unsigned int i = 0;

	while (i < WORDS && word[i] == marker(which, i))
		i++;
	return i == WORDS;
}

static int op(unsigned int code, unsigned int which)
{
	return t_op(code, res.id, at(which) - res.addr, PAGE);
}

static void make(void)
{
	res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	for (unsigned int i = 0; i < PLACES; i++)
		write_marker(i);
	if (op(TRACT_OP_NODUMP, SECRET) || op(TRACT_OP_GUARD, GUARDED) ||
	    op(TRACT_OP_DECOMMIT, UNCOMMITTED))
		t_die("states");
	CHECK(has_marker(at(SECRET), SECRET), "a nodump page is readable");
}

static void die(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &limit);
	prctl(PR_SET_DUMPABLE, 1);
	if (chdir("/tmp"))
		t_die("chdir: %s", strerror(errno));
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void check_died(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WCOREDUMP(status), "status %#x", status);
}

static const char *open_core(size_t *size)
{
	int fd = open(CORE, O_RDONLY | O_CLOEXEC);
	struct stat sb;
	char *core;

	*size = 0;
	if (!CHECK(fd >= 0, "no core file: %s", strerror(errno)))
		return NULL;
	fstat(fd, &sb);
	t_note("core of %lld KiB, %lld KiB on disk",
	       (long long)sb.st_size / 1024, (long long)sb.st_blocks / 2);
	core = mmap(NULL, sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (core == MAP_FAILED)
		t_die("core: %s", strerror(errno));
	close(fd);
	*size = sb.st_size;
	return core;
}

static bool in_core(const char *core, size_t size, unsigned int which)
{
	for (size_t i = 0; i + WORDS * 8 <= size; i += PAGE)
		if (has_marker(core + i, which))
			return true;
	return false;
}

/* Of the core: @all of the others are in it, or none of the reservation's. */
static void check_core(bool all)
{
	size_t size;
	const char *core = open_core(&size);

	if (!core)
		return;
	CHECK(!in_core(core, size, SECRET), "the secret is in the core");
	CHECK(!in_core(core, size, GUARDED), "a guard is in the core");
	CHECK(!in_core(core, size, UNCOMMITTED), "uncommitted, in the core");
	CHECK_EQ(in_core(core, size, BEFORE), all, "before the secret");
	CHECK_EQ(in_core(core, size, BEHIND), all, "behind the secret");
	CHECK_EQ(in_core(core, size, LAST), all, "the last page");
	munmap((void *)(uintptr_t)core, size);
	unlink(CORE);
}

static void alone(void)
{
	pid_t pid = t_fork();

	if (!pid) {
		make();
		die();
	}
	check_died(pid);
	check_core(true);
}

static void *idle(void *arg)
{
	for (;;)
		(void)t_touch_read(arg);
	return NULL;
}

/* Threads that run, and fault, up to the last moment. */
static void with_threads(void)
{
	pid_t pid = t_fork();

	if (!pid) {
		pthread_t threads[3];

		make();
		for (int i = 0; i < 3; i++)
			if (pthread_create(&threads[i], NULL, idle,
					   at(GUARDED + i)))
				t_die("pthread_create");
		usleep(20000);
		die();
	}
	check_died(pid);
	check_core(true);
}

/* A child that lives on has lost nothing. */
static void owner_with_child(void)
{
	struct t_gate gate = t_make_gate();
	int pipe_of_pids[2];
	pid_t pid, child;

	if (pipe(pipe_of_pids))
		t_die("pipe: %s", strerror(errno));
	pid = t_fork();
	if (!pid) {
		make();
		child = t_fork();
		if (!child) {
			close(pipe_of_pids[0]);
			t_pass_gate(&gate);
			CHECK(has_marker(at(SECRET), SECRET),
			      "the child's secret");
			CHECK(has_marker(at(LAST), LAST), "the child's page");
			CHECK_EQ(t_touch_read(at(GUARDED)).signal, SIGSEGV,
				 "the child's guard");
			_exit(0);
		}
		die();
	}
	check_died(pid);
	check_core(true);
	t_open_gate(&gate);
	/* The child, no child of ours, is gone when it has closed its end. */
	close(pipe_of_pids[1]);
	CHECK_EQ(read(pipe_of_pids[0], &child, sizeof(child)), 0, "the child");
	close(pipe_of_pids[0]);
}

/* A child dies: states are those of the fork, and its owner loses nothing. */
static void child_of_owner(void)
{
	pid_t pid;

	make();
	pid = t_fork();
	if (!pid)
		die();
	check_died(pid);
	check_core(true);
	CHECK(has_marker(at(SECRET), SECRET), "the owner's secret");
	CHECK(has_marker(at(LAST), LAST), "the owner's page");
	CHECK(!t_touch_write(at(LAST) - PAGE, 1).signal, "a fault");
	CHECK_ERR(op(TRACT_OP_GUARD, BEFORE), 0, "GUARD");
	t_unmap(&res);
}

static int die_here(void *arg)
{
	(void)arg;
	die();
	return 0;
}

/*
 * Another process with the same memory dies: it must not lose a page, nor its
 * faults.  What it wants to be kept out is kept out, the rest with it.
 */
static void shared_mm(void)
{
	static char stack[64 * KIB] __attribute__((aligned(16)));
	pid_t pid;

	make();
	pid = clone(die_here, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (pid < 0)
		t_die("clone: %s", strerror(errno));
	check_died(pid);
	check_core(false);
	CHECK(has_marker(at(SECRET), SECRET), "the secret");
	CHECK(has_marker(at(LAST), LAST), "the last page");
	CHECK(!t_touch_write(at(LAST) - PAGE, 1).signal, "a fault");
	CHECK_EQ(t_touch_read(at(GUARDED)).signal, SIGSEGV, "a guard");
	CHECK_ERR(op(TRACT_OP_UNGUARD, GUARDED), 0, "UNGUARD");
	CHECK(!t_touch_write(at(GUARDED), 1).signal, "no guard");
	t_unmap(&res);
}

/* With DODUMP in time it is no secret. */
static void dodump(void)
{
	pid_t pid = t_fork();
	const char *core;
	size_t size;

	if (!pid) {
		make();
		if (op(TRACT_OP_DODUMP, SECRET))
			t_die("DODUMP");
		die();
	}
	check_died(pid);
	core = open_core(&size);
	CHECK(core && in_core(core, size, SECRET), "not in the core");
	unlink(CORE);
}

/*
 * Zero pages that a write has mapped around it (traparound.c): not in the core,
 * be they nodump pages or not.
 */
static void beside(void)
{
	const size_t step = 8 * PAGE;
	struct stat sb = { 0 };
	pid_t pid = t_fork();

	if (!pid) {
		res = t_reserve(4 * LENGTH, TRACT_RESERVE_TRAP);
		for (size_t i = 0; i < 4 * LENGTH; i += step)
			res.addr[i] = 1;
		CHECK(t_resident(res.addr, 4 * LENGTH) > (long)(LENGTH / PAGE),
		      "%ld pages mapped", t_resident(res.addr, 4 * LENGTH));
		if (t_op(TRACT_OP_NODUMP, res.id, step + PAGE, PAGE))
			t_die("NODUMP");
		die();
	}
	check_died(pid);
	CHECK(!stat(CORE, &sb), "no core");
	t_note("%lld KiB on disk", (long long)sb.st_blocks / 2);
	CHECK(sb.st_size > (off_t)(4 * LENGTH), "core of %lld bytes",
	      (long long)sb.st_size);
	/* One page in eight, and the rest of the process. */
	CHECK(sb.st_blocks * 512 < (off_t)LENGTH, "%lld KiB on disk",
	      (long long)sb.st_blocks / 2);
	unlink(CORE);
}

static void sparse(void)
{
	/* Every page is walked: less of them where that takes minutes. */
	const size_t gibs = getenv("TRACT_TEST_SLOWNESS") ? 12 : 64;
	struct timespec was, is;
	struct stat sb = { 0 };
	pid_t pid = t_fork();
	long ms;

	if (!pid) {
		res = t_reserve(gibs * GIB, TRACT_RESERVE_TRAP);
		for (size_t i = 0; i < gibs; i++)
			res.addr[i * GIB + i * PAGE] = 1;
		if (t_op(TRACT_OP_DECOMMIT, res.id, GIB + MIB, 9 * GIB) ||
		    t_op(TRACT_OP_NODUMP, res.id, 0, GIB))
			t_die("states");
		die();
	}
	clock_gettime(CLOCK_MONOTONIC, &was);
	check_died(pid);
	clock_gettime(CLOCK_MONOTONIC, &is);
	ms = (is.tv_sec - was.tv_sec) * 1000 +
	     (is.tv_nsec - was.tv_nsec) / 1000000;
	CHECK(!stat(CORE, &sb), "no core");
	t_note("%zu GiB, a page touched in each: dumped in %ld ms, %lld KiB on disk",
	       gibs, ms, (long long)sb.st_blocks / 2);
	CHECK(sb.st_size > (off_t)((gibs - 1) * GIB), "core of %lld bytes",
	      (long long)sb.st_size);
	CHECK(sb.st_blocks / 2 < 4096, "%lld KiB on disk",
	      (long long)sb.st_blocks / 2);
	unlink(CORE);
}

/* What a person would do. */
static void gdb_reads_it(void)
{
	pid_t pid = t_fork();
	char line[1024], command[256];
	bool behind = false, secret = false;
	FILE *gdb;

	if (!pid) {
		make();
		die();
	}
	check_died(pid);
	snprintf(
		command, sizeof(command),
		"gdb -batch -nx -ex 'print/x *(unsigned long *)(res.addr+4096)'"
		" -ex 'print/x *(unsigned long *)(res.addr+8192)'"
		" /proc/%d/exe " CORE " 2>&1",
		getpid());
	gdb = popen(command, "r");
	if (!gdb)
		t_die("popen: %s", strerror(errno));
	while (fgets(line, sizeof(line), gdb)) {
		char want[64];

		if (line[0] == '$' || strstr(line, "annot access"))
			t_note("gdb: %.*s", (int)strcspn(line, "\n"), line);
		snprintf(want, sizeof(want), "%#llx",
			 (unsigned long long)marker(BEHIND, 0));
		behind |= strstr(line, want) != NULL;
		snprintf(want, sizeof(want), "%#llx",
			 (unsigned long long)marker(SECRET, 0));
		secret |= strstr(line, want) != NULL;
	}
	pclose(gdb);
	CHECK(behind, "gdb does not see the page behind the secret");
	CHECK(!secret, "gdb sees the secret");
	unlink(CORE);
}

int main(void)
{
	char was[128] = "core";

	t_begin("trapdump", 120);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP))
		t_skip_all("no trapped reservations here");
	if (geteuid() || access(PATTERN, W_OK))
		t_skip_all("cannot write " PATTERN);
	t_touch_begin();
	t_read_file(PATTERN, was, sizeof(was));
	unlink(CORE);
	if (t_write_file(PATTERN, CORE))
		t_die("cannot write " PATTERN);
	RUN(alone);
	RUN(with_threads);
	RUN(owner_with_child);
	RUN(child_of_owner);
	RUN(shared_mm);
	RUN(dodump);
	RUN(beside);
	RUN(sparse);
	if (access("/usr/bin/gdb", X_OK))
		SKIP(gdb_reads_it, "no gdb");
	else
		RUN(gdb_reads_it);
	t_write_file(PATTERN, was);
	return t_end();
}
