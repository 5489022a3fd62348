// SPDX-License-Identifier: MIT
/*
 * System calls that fail.  A filter forbids ioctl from the start; others make
 * madvise, mmap, munmap or mprotect of anonymous memory fail, always or at
 * times.  The program must go on, its data right, and the allocator must not
 * retry for ever: every call is counted, on failure at most a few times what
 * the same program makes when nothing fails.
 *
 * A filter that traps calls the handler below, which counts, and refuses or
 * carries the call out with a mark in its last argument that the filter lets
 * pass.  Each scenario is a process of its own: filters cannot be taken off.
 */
#include "tap.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

/* As an offset of an anonymous mapping it is ignored, but must be aligned. */
#define MARK 0x7ac70000

static atomic_ulong calls, refusals;
static int fail_errno;
static unsigned long fail_every;

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define REG(context, name) ((context)->uc_mcontext.gregs[name])

static void trapped(int sig, siginfo_t *info, void *arg)
{
	ucontext_t *context = arg;
	unsigned long n = atomic_fetch_add(&calls, 1) + 1;
	int saved = errno;
	long ret;

	(void)sig;
	if (fail_every && n % fail_every == 0) {
		refusals++;
		REG(context, REG_RAX) = -fail_errno;
		return;
	}
	ret = syscall(info->si_syscall, REG(context, REG_RDI),
		      REG(context, REG_RSI), REG(context, REG_RDX),
		      REG(context, REG_R10), REG(context, REG_R8), MARK);
	REG(context, REG_RAX) = ret < 0 ? -errno : ret;
	errno = saved;
}

#define LOAD(field)                                                            \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

static bool install(struct sock_filter *code, unsigned short length)
{
	struct sock_fprog program = { length, code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* @nr gives @action unless it carries the mark. */
static bool trap_call(unsigned int nr, unsigned int action)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 6),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4),
		LOAD(args[5]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 2, 0),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(code, sizeof(code) / sizeof(*code));
}
#else
#define ARCH 0
static bool trap_call(unsigned int nr, unsigned int action)
{
	(void)nr;
	(void)action;
	return false;
}
#endif

static unsigned long refused_mallocs, broken;

/* Blocks that no first reservation holds together; hardly any is touched. */
static void reserve_more(void)
{
	unsigned char *p[8];
	int i;

	for (i = 0; i < 8; i++) {
		p[i] = malloc((size_t)700 << 20);
		refused_mallocs += !p[i];
		if (p[i])
			p[i][0] = p[i][((size_t)700 << 20) - 1] = i;
	}
	while (i--) {
		broken += p[i] &&
			  (p[i][0] != i || p[i][((size_t)700 << 20) - 1] != i);
		free(p[i]);
	}
}

/* Much memory in and out, idle times between, all contents checked. */
static void work(size_t megabytes)
{
	enum {
		LIVE = 500
	};
	static unsigned char *p[LIVE];
	static size_t size[LIVE];
	size_t total = 0, k, i;
	uint64_t state = 5;
	int rounds = 0;

	while (total < megabytes << 20) {
		k = tap_random(&state) % LIVE;
		for (i = 0; i < size[k]; i += 512)
			broken += p[k][i] != (unsigned char)(k + i / 512);
		errno = 0;
		free(p[k]);
		broken += errno != 0;
		size[k] =
			tap_random_size(&state, rounds % 20 ? 20000 : 3 << 20);
		p[k] = malloc(size[k]);
		total += size[k];
		if (!p[k]) {
			refused_mallocs++;
			broken += errno != ENOMEM;
			size[k] = 0;
		}
		for (i = 0; i < size[k]; i += 512)
			p[k][i] = k + i / 512;
		/* Time for what the allocator puts off. */
		if (++rounds % 8000 == 0)
			process_sleep(0.1);
	}
	reserve_more();
	for (k = 0; k < LIVE; k++) {
		free(p[k]);
		p[k] = NULL;
		size[k] = 0;
	}
	for (k = 0; k < 2; k++) {
		process_sleep(0.2);
		free(malloc(100000));
	}
}

struct outcome {
	unsigned long calls, refusals, refused_mallocs, broken;
	double cpu;
	int big_null;
};

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* In a process of its own, started anew; the outcome goes to stdout. */
static int scenario(char **argv)
{
	struct sigaction action = { 0 };
	unsigned int nr = strtoul(argv[2], NULL, 0);
	struct outcome out;
	void *p;
	int i;

	tap_alarm(100);
	fail_errno = strtoul(argv[3], NULL, 0);
	fail_every = strtoul(argv[4], NULL, 0);
#ifdef __x86_64__
	action.sa_sigaction = trapped;
#endif
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSYS, &action, NULL);
	free(malloc(100));
	if (!trap_call(nr, SECCOMP_RET_TRAP))
		return 77;
	work(800);
	memset(&out, 0, sizeof(out));
	/* Beyond any reservation: a refusal, not a loop. */
	for (i = 0; i < 20; i++) {
		p = malloc((size_t)1 << 45);
		out.big_null += !p && errno == ENOMEM;
		free(p);
	}
	out.calls = calls;
	out.refusals = refusals;
	out.refused_mallocs = refused_mallocs;
	out.broken = broken;
	out.cpu = cpu_seconds();
	return write(STDOUT_FILENO, &out, sizeof(out)) != sizeof(out);
}

/* 0, or 77 without filters, or another status. */
static int start(const char *nr, const char *error, const char *every,
		 struct outcome *out)
{
	int pipes[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return 1;
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		execl("/proc/self/exe", "seccomp", "scenario", nr, error, every,
		      NULL);
		_exit(9);
	}
	close(pipes[1]);
	memset(out, 0, sizeof(*out));
	n = read(pipes[0], out, sizeof(*out));
	close(pipes[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		tap_note("ended by signal %d", WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	return n != sizeof(*out);
}

static void failing(const char *name, unsigned int call, int error, int every,
		    bool mallocs_must_succeed)
{
	char nr[16], text[16], often[16];
	static unsigned int usual_call;
	static struct outcome usual;
	unsigned long bound;
	struct outcome out;
	int ret = 0;

	snprintf(nr, sizeof(nr), "%u", call);
	snprintf(text, sizeof(text), "%d", error);
	snprintf(often, sizeof(often), "%d", every);
	if (usual_call != call)
		ret = start(nr, text, "0", &usual);
	usual_call = call;
	if (ret == 77) {
		tap_skip("%s: no seccomp filters here", name);
		return;
	}
	if (!ret)
		ret = start(nr, text, often, &out);
	if (!tap_ok(!ret, "%s, every %d fails with %s: the program lives: %d",
		    name, every, strerror(error), ret))
		return;
	tap_note("calls %lu -> %lu, %lu refused; malloc refused %lu; CPU %.2f "
		 "-> %.2f s",
		 usual.calls, out.calls, out.refusals, out.refused_mallocs,
		 usual.cpu, out.cpu);
	tap_ok(!out.broken, "its data are right: %lu wrong", out.broken);
	/*
	 * Three retries make four calls of one.  Without memory each refused
	 * malloc may try again; when the clock decides how much is put off,
	 * numbers vary: half as much again and some hundreds.
	 */
	bound = usual.calls * 6 + out.refused_mallocs * 16 + 500;
	tap_ok(out.calls <= bound,
	       "retries are bounded: %lu calls, at most "
	       "%lu",
	       out.calls, bound);
	tap_ok(out.cpu < usual.cpu * 4 + 2,
	       "no spinning: %.2f s of CPU, %.2f "
	       "usual",
	       out.cpu, usual.cpu);
	tap_ok(out.big_null == 20, "32 TiB are refused with ENOMEM: %d of 20",
	       out.big_null);
	if (mallocs_must_succeed)
		tap_ok(!out.refused_mallocs, "no malloc was refused: %lu were",
		       out.refused_mallocs);
}

/* The program starts under a filter that forbids ioctl altogether. */
static void no_ioctl(int error)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (!trap_call(SYS_ioctl, SECCOMP_RET_ERRNO | error))
			_exit(77);
		execl("/proc/self/exe", "seccomp", "plainly", NULL);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		tap_skip("no seccomp filters here");
	else
		tap_ok(!status, "ioctl forbidden from the start (%s): %#x",
		       strerror(error), status);
}

/* Forbidden in the middle of a program's life. */
static void ioctl_taken_away(int error)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	if (!pid) {
		tap_alarm(60);
		work(300);
		if (!trap_call(SYS_ioctl, SECCOMP_RET_ERRNO | error))
			_exit(77);
		work(500);
		_exit(broken || refused_mallocs);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		tap_skip("no seccomp filters here");
	else
		tap_ok(!status, "ioctl forbidden later (%s): %#x",
		       strerror(error), status);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "scenario"))
		return scenario(argv);
	if (argc == 2 && !strcmp(argv[1], "plainly")) {
		tap_alarm(60);
		work(500);
		return broken || refused_mallocs;
	}
	tap_start(argc, argv, 170);
	no_ioctl(EPERM);
	no_ioctl(ENOSYS);
	ioctl_taken_away(EPERM);
	failing("madvise", SYS_madvise, EAGAIN, 1, true);
	failing("madvise", SYS_madvise, ENOMEM, 1, true);
	failing("madvise", SYS_madvise, EAGAIN, 3, true);
	failing("munmap", SYS_munmap, ENOMEM, 1, true);
	failing("mprotect", SYS_mprotect, ENOMEM, 1, true);
	failing("mmap", SYS_mmap, ENOMEM, 2, true);
	failing("mmap", SYS_mmap, EAGAIN, 3, true);
	failing("mmap", SYS_mmap, ENOMEM, 1, false);
	return tap_done();
}
