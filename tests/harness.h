/* SPDX-License-Identifier: MIT */
/*
 * Helpers of the tests that talk to /dev/tract themselves.  Each test is one
 * file and one program; it prints TAP, and ends 0 (passed), 1 (failed) or 77
 * (cannot run here; it says why).
 *
 * Counters live in shared memory, so a check in a forked child counts too, and
 * nothing here calls malloc(): a test of the map must not change it by itself.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/tract.h>

#define T_FN static inline __attribute__((unused))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define GIB (1UL << 30)
#define PAGE 4096UL

#define TRACT_DEVICE "/dev/tract"

struct t_state {
	unsigned int checks;
	unsigned int failed;
	unsigned int points;
	unsigned int points_failed;
};

static struct t_state *t_state;

/* One write() a message: children print to the same pipe. */
__attribute__((format(printf, 1, 2))) T_FN void t_print(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 1)
		n = sizeof(line) - 1;
	if (write(1, line, n) < 0)
		_exit(1);
}

#define t_note(fmt, ...) t_print("# " fmt "\n", ##__VA_ARGS__)

#define t_die(fmt, ...)                                                        \
	do {                                                                   \
		t_print("Bail out! %s:%d: " fmt "\n", __FILE__, __LINE__,      \
			##__VA_ARGS__);                                        \
		_exit(1);                                                      \
	} while (0)

T_FN bool t_fail_once(void)
{
	/* A loop that fails on every turn should not fill the disk. */
	return __atomic_add_fetch(&t_state->failed, 1, __ATOMIC_RELAXED) < 60;
}

/* CHECK(condition, "what was expected", ...): true when it holds. */
#define CHECK(cond, fmt, ...)                                                  \
	({                                                                     \
		bool ok_ = (cond);                                             \
		__atomic_add_fetch(&t_state->checks, 1, __ATOMIC_RELAXED);     \
		if (!ok_ && t_fail_once())                                     \
			t_note("%s:%d: not so: %s: " fmt, __FILE__, __LINE__,  \
			       #cond, ##__VA_ARGS__);                          \
		ok_;                                                           \
	})

/* CHECK_EQ(found, expected, "of what", ...): both as signed 64 bit. */
#define CHECK_EQ(found, expected, fmt, ...)                                    \
	({                                                                     \
		long long f_ = (long long)(found);                             \
		long long e_ = (long long)(expected);                          \
		__atomic_add_fetch(&t_state->checks, 1, __ATOMIC_RELAXED);     \
		if (f_ != e_ && t_fail_once())                                 \
			t_note("%s:%d: " fmt ": expected %lld, found %lld",    \
			       __FILE__, __LINE__, ##__VA_ARGS__, e_, f_);     \
		f_ == e_;                                                      \
	})

/* The same for errnos, by name. */
T_FN const char *t_errno_name(long long err)
{
	return err ? strerrorname_np((int)-err) : "0";
}

#define CHECK_ERR(found, expected, fmt, ...)                                   \
	({                                                                     \
		long long f_ = (long long)(found);                             \
		long long e_ = (long long)(expected);                          \
		__atomic_add_fetch(&t_state->checks, 1, __ATOMIC_RELAXED);     \
		if (f_ != e_ && t_fail_once())                                 \
			t_note("%s:%d: " fmt ": expected %s, found %s (%lld)", \
			       __FILE__, __LINE__, ##__VA_ARGS__,              \
			       t_errno_name(e_), t_errno_name(f_), f_);        \
		f_ == e_;                                                      \
	})

T_FN void t_on_alarm(int sig)
{
	(void)sig;
	t_print("Bail out! timeout\n");
	_exit(1);
}

T_FN void t_begin(const char *name, unsigned int timeout_s)
{
	const char *slow = getenv("TRACT_TEST_SLOWNESS");

	t_state = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t_state == MAP_FAILED)
		_exit(1);
	/* stdio allocates: let the heap be there before VMAs are counted. */
	free(malloc(1));
	/* A kernel with all its checks on, emulated, may need a multiple. */
	if (slow && atoi(slow) > 0)
		timeout_s *= atoi(slow);
	signal(SIGALRM, t_on_alarm);
	alarm(timeout_s);
	t_note("%s, timeout %u s", name, timeout_s);
}

/* One TAP point: a function with as many checks as it likes. */
T_FN void t_run(const char *name, void (*fn)(void))
{
	unsigned int checks = t_state->checks, failed = t_state->failed;

	fn();
	t_state->points++;
	if (t_state->failed != failed)
		t_state->points_failed++;
	/* A point that looked at nothing has not passed. */
	if (t_state->checks == checks)
		t_state->points_failed++;
	t_print("%s %u - %s (%u checks)\n",
		t_state->failed != failed || t_state->checks == checks ?
			"not ok" :
			"ok",
		t_state->points, name, t_state->checks - checks);
}

#define RUN(fn) t_run(#fn, fn)

T_FN void t_skip_point(const char *name, const char *why)
{
	t_state->points++;
	t_print("ok %u - %s # SKIP %s\n", t_state->points, name, why);
}

#define SKIP(fn, why) t_skip_point(#fn, why)

T_FN void t_skip_all(const char *why)
{
	t_print("1..0 # SKIP %s\n", why);
	_exit(77);
}

T_FN int t_end(void)
{
	t_print("1..%u\n", t_state->points);
	if (t_state->failed)
		t_note("%u of %u checks failed", t_state->failed,
		       t_state->checks);
	return t_state->points_failed ? 1 : 0;
}

/* The device.  Wrappers return 0 or -errno. */

T_FN int t_open(void)
{
	int fd = open(TRACT_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int t_device = -1;

T_FN int t_fd(void)
{
	if (t_device < 0)
		t_device = t_open();
	if (t_device == -ENOENT)
		t_skip_all("there is no " TRACT_DEVICE);
	if (t_device < 0)
		t_die("%s: %s", TRACT_DEVICE, strerror(-t_device));
	return t_device;
}

/* Straight into the kernel: no wrapper of libc looks at the pointer. */
T_FN int t_ioctl_fd(int fd, unsigned long nr, const volatile void *arg)
{
	return syscall(SYS_ioctl, fd, nr, arg) < 0 ? -errno : 0;
}

T_FN int t_ioctl(unsigned long nr, const volatile void *arg)
{
	return t_ioctl_fd(t_fd(), nr, arg);
}

T_FN struct tract_info t_info(void)
{
	struct tract_info info = { .size = sizeof(info) };
	int err = t_ioctl(TRACT_IOC_INFO, &info);

	if (err)
		t_die("INFO: %s", strerror(-err));
	return info;
}

T_FN bool t_feature(__u64 bit)
{
	return t_info().out_features & bit;
}

struct t_res {
	char *addr;
	size_t length;
	__u64 id;
};

T_FN int t_reserve_raw(size_t length, __u64 align, unsigned int flags,
		       struct t_res *res)
{
	struct tract_reserve arg = {
		.size = sizeof(arg),
		.flags = flags,
		.length = length,
		.align = align,
	};
	int err = t_ioctl(TRACT_IOC_RESERVE, &arg);

	*res = (struct t_res){ 0 };
	if (!err)
		*res = (struct t_res){
			.addr = (char *)(uintptr_t)arg.out_address,
			.length = length,
			.id = arg.out_id,
		};
	return err;
}

/* For tests whose subject is something else: it has to work. */
T_FN struct t_res t_reserve(size_t length, unsigned int flags)
{
	struct t_res res;
	int err = t_reserve_raw(length, 0, flags, &res);

	if (err)
		t_die("RESERVE of %zu bytes: %s", length, strerror(-err));
	return res;
}

T_FN void t_unmap(const struct t_res *res)
{
	if (munmap(res->addr, res->length))
		t_die("munmap: %s", strerror(errno));
}

T_FN int t_batch(struct tract_op *ops, unsigned int count,
		 struct tract_batch *result)
{
	struct tract_batch arg = {
		.size = sizeof(arg),
		.ops = (uintptr_t)ops,
		.count = count,
	};
	int err = t_ioctl(TRACT_IOC_BATCH, &arg);

	if (result)
		*result = arg;
	return err;
}

#define OP_POISON 0x5a5a5a5a

T_FN struct tract_op t_make_op(unsigned int op, __u64 id, __u64 offset,
			       __u64 length)
{
	return (struct tract_op){
		.op = op,
		.out_result = OP_POISON,
		.id = id,
		.offset = offset,
		.length = length,
	};
}

/* One operation; the call's error, or else the operation's. */
T_FN int t_op(unsigned int code, __u64 id, __u64 offset, __u64 length)
{
	struct tract_op op = t_make_op(code, id, offset, length);
	int err = t_batch(&op, 1, NULL);

	return err ? err : op.out_result;
}

T_FN int t_decommit(const struct t_res *res, __u64 offset, __u64 length)
{
	return t_op(TRACT_OP_DECOMMIT, res->id, offset, length);
}

T_FN int t_populate(const struct t_res *res, __u64 offset, __u64 length)
{
	return t_op(TRACT_OP_POPULATE, res->id, offset, length);
}

/* Contents. */

T_FN uint64_t t_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Every word of the range depends on the seed and its place in the range. */
T_FN void t_fill(void *addr, size_t length, uint64_t seed)
{
	uint64_t *word = addr;

	for (size_t i = 0; i < length / 8; i++)
		word[i] = t_mix(seed + i) | 1;
}

/* Offset of the first byte that is not as t_fill() left it, or -1. */
T_FN long t_wrong(const void *addr, size_t length, uint64_t seed)
{
	const volatile uint64_t *word = addr;

	for (size_t i = 0; i < length / 8; i++)
		if (word[i] != (t_mix(seed + i) | 1))
			return i * 8;
	return -1;
}

/* Offset of the first byte that is not zero, or -1. */
T_FN long t_nonzero(const void *addr, size_t length)
{
	const volatile uint64_t *word = addr;

	for (size_t i = 0; i < length / 8; i++)
		if (word[i])
			return i * 8;
	return -1;
}

/* Processes. */

T_FN int t_fork(void)
{
	int parent = getpid(), pid = fork();

	if (pid < 0)
		t_die("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent && getppid() != 0)
			_exit(1);
	}
	return pid;
}

/* Wait for a child that should end well; its own checks count by themselves. */
#define WAIT_OK(pid)                                                           \
	({                                                                     \
		int status_ = -1, pid_ = (pid);                                \
		while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR)       \
			;                                                      \
		CHECK(status_ == 0, "child %d ended with status %#x", pid_,    \
		      status_);                                                \
	})

/* Run fn in a child of its own, so that its map and limits are too. */
#define IN_CHILD(fn)                                                           \
	({                                                                     \
		int child_ = t_fork();                                         \
		if (!child_) {                                                 \
			fn();                                                  \
			_exit(0);                                              \
		}                                                              \
		WAIT_OK(child_);                                               \
	})

/* A pair of one-byte signals between two processes. */
struct t_gate {
	int fd[2];
};

T_FN struct t_gate t_make_gate(void)
{
	struct t_gate gate;

	if (pipe2(gate.fd, O_CLOEXEC))
		t_die("pipe: %s", strerror(errno));
	return gate;
}

T_FN void t_open_gate(struct t_gate *gate)
{
	if (write(gate->fd[1], "", 1) != 1)
		t_die("gate: %s", strerror(errno));
}

T_FN void t_pass_gate(struct t_gate *gate)
{
	char c;

	while (read(gate->fd[0], &c, 1) != 1)
		if (errno != EINTR)
			t_die("gate: %s", strerror(errno));
}

T_FN double t_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

T_FN void t_sleep_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Random numbers from a seed that is printed and may be given back. */
struct t_rand {
	uint64_t state;
};

T_FN uint64_t t_seed(const char *given)
{
	struct timespec ts;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &ts);
	seed = given ? strtoull(given, NULL, 0) :
		       t_mix(ts.tv_nsec ^ ts.tv_sec ^ (uint64_t)getpid() << 32);
	t_note("seed %#llx", (unsigned long long)seed);
	return seed;
}

T_FN uint64_t t_random(struct t_rand *rnd)
{
	return t_mix(rnd->state++);
}

T_FN uint64_t t_below(struct t_rand *rnd, uint64_t bound)
{
	return t_random(rnd) % bound;
}

#endif /* TESTS_HARNESS_H */
