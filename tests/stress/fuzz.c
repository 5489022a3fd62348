// SPDX-License-Identifier: MIT
/*
 * Random structures, half sensible, and random pointers, on every number.  The
 * answer is always one that the header lists, and a process that stands by,
 * with a reservation of its own, loses nothing.
 *
 *   fuzz [seconds [seed]]
 */
#include "observe.h"

#define CANARY (2 * MIB)
#define WINDOW (4 * PAGE)
/* Ioctls that there are. */
#define NUMBERS 5

static double seconds = 10;
static uint64_t first_seed;
static struct t_res canary;

struct fuzzer {
	struct t_rand rnd;
	char *window;
	struct t_res res;
	/* TRACT_RESERVE_* of res, and those that there are. */
	uint64_t flags, all_flags;
	unsigned long good;
};

/* Values that are nearly right, or at some edge. */
static uint64_t value(struct fuzzer *f)
{
	const uint64_t known[] = {
		0,
		1,
		2,
		3,
		PAGE,
		PAGE - 1,
		2 * MIB,
		GIB,
		1ULL << 31,
		1ULL << 32,
		1ULL << 63,
		UINT64_MAX,
		-PAGE,
		INT_MAX,
		f->res.id,
		canary.id,
		f->res.id + 1,
		f->res.length,
		f->res.length - PAGE,
		(uintptr_t)f->res.addr,
		(uintptr_t)f->window + 512,
		(uintptr_t)f->window + WINDOW - 64,
		getpid(),
		getppid(),
		TRACT_BATCH_MAX,
	};

	if (!t_below(&f->rnd, 6))
		return t_random(&f->rnd) >> t_below(&f->rnd, 64);
	return known[t_below(&f->rnd, ARRAY_SIZE(known))];
}

/* An operation that is for the reservation's kind. */
static struct tract_op operation(struct fuzzer *f)
{
	static const unsigned int plain[] = { TRACT_OP_DECOMMIT,
					      TRACT_OP_POPULATE,
					      TRACT_OP_DISCARD };
	unsigned int code =
		f->flags & TRACT_RESERVE_TRAP ?
			TRACT_OP_DECOMMIT + t_below(&f->rnd, TRACT_OP_DISCARD) :
			plain[t_below(&f->rnd, ARRAY_SIZE(plain))];
	struct tract_op op = t_make_op(code, f->res.id,
				       t_below(&f->rnd, 512) * PAGE,
				       (1 + t_below(&f->rnd, 4)) * PAGE);

	if (op.offset + op.length > f->res.length)
		op.length = f->res.length - op.offset;
	return op;
}

/* A structure of the number's kind that may well be accepted. */
static void compose(struct fuzzer *f, unsigned int nr, char *at)
{
	struct tract_op *ops = (void *)(f->window + PAGE);

	memset(at, 0, 256);
	if (nr == 1) {
		struct tract_reserve *arg = (void *)at;

		*arg = (struct tract_reserve){
			.size = sizeof(*arg),
			.flags = t_random(&f->rnd) & f->all_flags,
			.length = (1 + t_below(&f->rnd, 1024)) * PAGE,
		};
		if (arg->flags & TRACT_RESERVE_NEAR) {
			arg->near = value(f);
			arg->reach = value(f);
		}
	} else if (nr == 2) {
		struct tract_batch *arg = (void *)at;

		*arg = (struct tract_batch){
			.size = sizeof(*arg),
			.ops = (uintptr_t)ops,
			.count = 1 + t_below(&f->rnd, 64),
		};
		for (unsigned int i = 0; i < arg->count; i++)
			ops[i] = operation(f);
		if (t_below(&f->rnd, 2))
			((__u64 *)ops)[t_below(&f->rnd, 4 * arg->count)] =
				value(f);
	} else if (nr == 4) {
		/* In the window: the map too is written to all the time. */
		*(struct tract_purge_map *)at = (struct tract_purge_map){
			.size = sizeof(struct tract_purge_map),
			.id = f->res.id,
			.address = (uintptr_t)f->window + 2 * PAGE,
			.length = 2 * PAGE,
			.unit_size = 64 * KIB,
			.decay_ms = 10,
		};
	} else {
		*(__u32 *)at = nr ? sizeof(struct tract_stats) :
				    sizeof(struct tract_info);
		((__u32 *)at)[2] = nr ? 1 + t_below(&f->rnd, 3) : 0;
	}
}

/*
 * Not listed: -EINTR of a fatal signal, and what only a security module answers
 * to TRACT_RESERVE_EXEC.
 */
static void check_answer(unsigned int nr, int err)
{
	static const int of[NUMBERS][12] = {
		{ 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT, 1 },
		{ 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT, -ENOSPC, -ENOMEM,
		  -EADDRNOTAVAIL, 1 },
		{ 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT, -ENOENT, -ENOMEM,
		  1 },
		{ 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT, -EPERM, -ESRCH,
		  -ENOENT, 1 },
		{ 0, -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT, -ENOSPC, -ENOMEM,
		  -ENOENT, 1 },
	};

	if (nr >= NUMBERS) {
		CHECK_ERR(err, -ENOTTY, "number %u", nr);
		return;
	}
	for (const int *listed = of[nr]; *listed != 1; listed++)
		if (err == *listed)
			return;
	CHECK(false, "number %u answers %s, which is not listed", nr,
	      t_errno_name(err));
}

static void one_call(struct fuzzer *f)
{
	unsigned int nr = t_below(&f->rnd, 20) ? t_below(&f->rnd, NUMBERS) :
						 t_below(&f->rnd, 256);
	char *at = f->window + t_below(&f->rnd, 2) * 256;
	void *arg = at;
	int err;

	compose(f, nr, at);
	/* Then spoil it, in no, one or some places. */
	for (uint64_t n = t_below(&f->rnd, 4); n > 1; n--) {
		unsigned int word = t_below(&f->rnd, 28);

		if (t_below(&f->rnd, 2))
			((__u32 *)at)[word] = value(f);
		else
			((__u64 *)at)[word / 2] = value(f);
	}
	if (!t_below(&f->rnd, 16))
		arg = (void *)(uintptr_t)value(f);
	/* Against the end of what is mapped. */
	if (!t_below(&f->rnd, 8)) {
		arg = f->window + WINDOW - t_below(&f->rnd, 128);
		memcpy(arg, at, f->window + WINDOW - (char *)arg);
	}
	err = t_ioctl(_IO(TRACT_IOC_TYPE, nr), arg);
	check_answer(nr, err);
	if (err == -EADDRNOTAVAIL && arg == at)
		CHECK(((struct tract_reserve *)at)->flags & TRACT_RESERVE_NEAR,
		      "no room near, and nobody asked for near");
	f->good += !err;
	if (!err && nr == 1) {
		struct tract_reserve *made = arg;

		if ((char *)arg == at)
			munmap((void *)(uintptr_t)made->out_address,
			       made->length);
	}
}

static void fuzz(uint64_t seed)
{
	struct fuzzer f = { .rnd = { seed } };

	/* A hole behind the window and no memory to be wild in. */
	f.window = mmap(NULL, WINDOW + PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(f.window + WINDOW, PAGE, PROT_NONE);
	f.all_flags = t_info().out_reserve_flags;
	f.flags = t_random(&f.rnd) & f.all_flags & ~TRACT_RESERVE_NEAR;
	f.res = t_reserve(2 * MIB, f.flags);
	for (int i = 0; i < 3000; i++)
		one_call(&f);
	CHECK(f.good > 100, "only %lu calls in 3000 were good", f.good);
}

static void storm(void)
{
	struct t_rand rnd = { first_seed };
	double end = t_now() + seconds;
	struct tract_stats was, is;
	unsigned long runs = 0;

	canary = t_reserve(CANARY, 0);
	madvise(canary.addr, CANARY, MADV_DONTFORK);
	t_fill(canary.addr, CANARY, 61);
	was = t_process_stats();
	while (t_now() < end && !t_state->failed) {
		uint64_t seed = t_random(&rnd);
		int pid = t_fork();

		if (!pid) {
			/* Half of them as nobody. */
			if (seed & 1 && setuid(65534))
				t_die("setuid: %s", strerror(errno));
			fuzz(seed);
			_exit(0);
		}
		if (!WAIT_OK(pid))
			t_note("that was seed %#llx", (unsigned long long)seed);
		CHECK_EQ(t_wrong(canary.addr, CANARY, 61), -1,
			 "the canary lost a byte at");
		is = t_process_stats();
		CHECK(!memcmp(&was, &is, sizeof(is)),
		      "the canary's counters changed");
		runs++;
	}
	t_note("%lu runs of 3000 calls", runs);
	CHECK_ERR(t_decommit(&canary, 0, CANARY), 0, "the canary's own");
	t_unmap(&canary);
	CHECK_EQ(t_process_stats().out_reservations, 0, "left over");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("fuzz", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	RUN(storm);
	return t_end();
}
