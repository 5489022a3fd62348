// SPDX-License-Identifier: MIT
/*
 * A fatal signal in the middle of a batch.  The caller is a second process on
 * the same mm, so this one sees, after the death, what was done and what the
 * structure says was done: operations before out_completed have their effect,
 * those behind it none, the one at it perhaps a part.
 */
#include "observe.h"

#define OPS TRACT_BATCH_MAX
#define PIECE (4 * PAGE)
#define STRIDE (2 * PIECE)
#define LENGTH (OPS * STRIDE)
#define TRIES 60

static struct tract_op ops[OPS];
static struct tract_batch batch;
static struct t_res res;
static volatile int started;

static int run_batch(void *arg)
{
	(void)arg;
	started = 1;
	return t_ioctl(TRACT_IOC_BATCH, &batch) ? 1 : 0;
}

static void prepare(unsigned int code)
{
	for (unsigned int i = 0; i < OPS; i++)
		ops[i] = t_make_op(code, res.id, i * STRIDE, PIECE);
	batch = (struct tract_batch){
		.size = sizeof(batch),
		.ops = (uintptr_t)ops,
		.count = OPS,
		.out_completed = OP_POISON,
		.out_failed = OP_POISON,
	};
	started = 0;
	if (code == TRACT_OP_DECOMMIT) {
		for (unsigned int i = 0; i < OPS; i++)
			for (size_t at = 0; at < STRIDE; at += PAGE)
				res.addr[i * STRIDE + at] = i | 1;
	} else {
		madvise(res.addr, LENGTH, MADV_DONTNEED);
	}
}

/* Pages of the piece that show the operation's effect. */
static long effect(unsigned int code, unsigned int i)
{
	char *at = res.addr + i * STRIDE;
	long there = t_resident(at, PIECE);

	return code == TRACT_OP_POPULATE ? there : (long)(PIECE / PAGE) - there;
}

/* How many operations were completed; one run, killed after some time. */
static unsigned int run(unsigned int code, long delay_us)
{
	static char stack[64 * KIB] __attribute__((aligned(16)));
	struct tract_stats was, is;
	unsigned int done;
	__u64 bytes;
	int pid, status;

	prepare(code);
	was = t_process_stats();
	pid = clone(run_batch, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	if (pid < 0)
		t_die("clone: %s", strerror(errno));
	while (!started)
		sched_yield();
	t_sleep_us(delay_us);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	is = t_process_stats();
	done = batch.out_completed;
	if (done == OP_POISON) {
		/* Killed before the call was made. */
		CHECK_EQ(is.out_operations, was.out_operations,
			 "operations of a batch that was never called");
		done = 0;
	}
	if (WIFEXITED(status))
		CHECK_EQ(done, OPS, "completed, not interrupted");
	for (unsigned int i = 0; i < OPS; i++) {
		long pages = effect(code, i);

		if (i < done)
			CHECK_EQ(pages, PIECE / PAGE, "op %u of %u completed",
				 i, done);
		else if (i > done)
			CHECK_EQ(pages, 0, "op %u behind %u completed", i,
				 done);
		/* Nothing between the pieces was ever touched. */
		CHECK_EQ(t_resident(res.addr + i * STRIDE + PIECE, PIECE),
			 code == TRACT_OP_DECOMMIT ? (long)(PIECE / PAGE) : 0,
			 "between %u and the next", i);
	}
	CHECK_EQ(is.out_operations - was.out_operations, done,
		 "operations counted");
	bytes = code == TRACT_OP_DECOMMIT ?
			is.out_decommitted_bytes - was.out_decommitted_bytes :
			is.out_populated_bytes - was.out_populated_bytes;
	CHECK(bytes >= done * PIECE && bytes <= (done + 1) * PIECE,
	      "%llu bytes counted for %u operations of %lu", bytes, done,
	      PIECE);
	return done;
}

static void interrupt(unsigned int code, const char *name)
{
	double start = t_now();
	long whole_us;
	unsigned int middle = 0, done;

	/* How long an undisturbed one takes. */
	prepare(code);
	start = t_now();
	CHECK_ERR(t_ioctl(TRACT_IOC_BATCH, &batch), 0, "undisturbed");
	whole_us = (t_now() - start) * 1e6;
	CHECK_EQ(batch.out_completed, OPS, "undisturbed");
	for (int i = 0; i < TRIES && middle < 3; i++) {
		done = run(code, whole_us * (i % 10) / 10);
		middle += done > 0 && done < OPS;
	}
	t_note("%s: %ld us undisturbed, stopped in the middle %u times", name,
	       whole_us, middle);
	CHECK(middle > 0, "never stopped in the middle in %d tries", TRIES);
}

static void decommit(void)
{
	interrupt(TRACT_OP_DECOMMIT, "DECOMMIT");
}

static void populate(void)
{
	interrupt(TRACT_OP_POPULATE, "POPULATE");
}

/* One huge operation is stopped as well, not run to its end. */
static void one_operation(void)
{
	static char stack[64 * KIB] __attribute__((aligned(16)));
	double start, whole;
	int pid, status;

	madvise(res.addr, LENGTH, MADV_DONTNEED);
	start = t_now();
	CHECK_ERR(t_populate(&res, 0, LENGTH), 0, "undisturbed");
	whole = t_now() - start;
	for (int i = 0; i < 5; i++) {
		madvise(res.addr, LENGTH, MADV_DONTNEED);
		ops[0] = t_make_op(TRACT_OP_POPULATE, res.id, 0, LENGTH);
		batch = (struct tract_batch){ .size = sizeof(batch),
					      .ops = (uintptr_t)ops,
					      .count = 1 };
		started = 0;
		pid = clone(run_batch, stack + sizeof(stack),
			    CLONE_VM | SIGCHLD, NULL);
		while (!started)
			sched_yield();
		t_sleep_us(whole * 1e6 / 4);
		start = t_now();
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status))
			continue;
		CHECK_EQ(batch.out_completed, 0, "completed of one, stopped");
		CHECK(t_resident(res.addr, LENGTH) < (long)(LENGTH / PAGE),
		      "all was populated after the signal");
		return;
	}
	t_note("was never stopped in the middle");
}

/* Not every signal is fatal: a handler's waits until the batch is done. */
static volatile int handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void other_signals(void)
{
	int parent = getpid(), pid;

	signal(SIGUSR1, on_signal);
	pid = t_fork();
	if (!pid) {
		for (;;) {
			kill(parent, SIGUSR1);
			t_sleep_us(100);
		}
	}
	for (int i = 0; i < 10; i++) {
		prepare(TRACT_OP_POPULATE);
		CHECK_ERR(t_ioctl(TRACT_IOC_BATCH, &batch), 0,
			  "BATCH under SIGUSR1");
		CHECK_EQ(batch.out_completed, OPS, "completed");
		CHECK_EQ(batch.out_failed, 0, "failed");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	signal(SIGUSR1, SIG_IGN);
	CHECK(handled > 0, "no signal came");
}

int main(void)
{
	t_begin("killed", 120);
	t_fd();
	res = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);
	RUN(decommit);
	RUN(populate);
	RUN(one_operation);
	RUN(other_signals);
	return t_end();
}
