// SPDX-License-Identifier: MIT
/*
 * Who may ask STATS about whom.  A table of callers by a table of targets; the
 * device itself is open to all.
 */
#include <linux/capability.h>
#include <sys/fsuid.h>

#include "observe.h"

#define UID_A 61001
#define UID_B 61002

/* Real, effective, saved user id. */
struct target {
	const char *name;
	uid_t r, e, s;
	pid_t pid;
	__u64 id;
};

static struct target targets[] = {
	{ "a root process", 0, 0, 0, 0, 0 },
	{ "a process of A", UID_A, UID_A, UID_A, 0, 0 },
	{ "a process of B", UID_B, UID_B, UID_B, 0, 0 },
	{ "real B, effective A", UID_B, UID_A, UID_A, 0, 0 },
	{ "effective B, else A", UID_A, UID_B, UID_A, 0, 0 },
	{ "saved B, else A", UID_A, UID_A, UID_B, 0, 0 },
};

#define TARGETS ARRAY_SIZE(targets)

static struct t_gate stop;

static void set_ids(uid_t r, uid_t e, uid_t s)
{
	/* The raw call: this is about one thread, and libc syncs all. */
	if (syscall(SYS_setresgid, e, e, e) || syscall(SYS_setresuid, r, e, s))
		t_die("setresuid: %s", strerror(errno));
}

static void set_caps(__u64 effective)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = {
		{ effective, effective, 0 },
		{ effective >> 32, effective >> 32, 0 },
	};

	if (syscall(SYS_capset, &head, data))
		t_die("capset: %s", strerror(errno));
}

static void start_targets(void)
{
	__u64 *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct t_gate up = t_make_gate();

	stop = t_make_gate();
	for (size_t i = 0; i < TARGETS; i++) {
		targets[i].pid = t_fork();
		if (!targets[i].pid) {
			set_ids(targets[i].r, targets[i].e, targets[i].s);
			/* A change of ids clears it. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			shared[i] = t_reserve(2 * MIB, 0).id;
			t_open_gate(&up);
			t_pass_gate(&stop);
			_exit(0);
		}
	}
	for (size_t i = 0; i < TARGETS; i++)
		t_pass_gate(&up);
	for (size_t i = 0; i < TARGETS; i++)
		targets[i].id = shared[i];
	munmap(shared, PAGE);
}

static void stop_targets(void)
{
	for (size_t i = 0; i < TARGETS; i++)
		t_open_gate(&stop);
	for (size_t i = 0; i < TARGETS; i++)
		WAIT_OK(targets[i].pid);
}

/* allowed: bit i for targets[i].  Each question that can be asked of each. */
static void ask_all(const char *who, unsigned int allowed, bool system)
{
	struct tract_stats st;
	unsigned int listed = 0;
	__u64 id = 0;

	for (size_t i = 0; i < TARGETS; i++) {
		const struct target *t = &targets[i];
		int want = allowed & 1U << i ? 0 : -EPERM;

		CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, t->pid, 0, &st), want,
			  "%s about %s", who, t->name);
		if (!want)
			CHECK_EQ(st.out_reservations, 1, "%s about %s", who,
				 t->name);
		CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, t->pid, t->id, &st),
			  want, "%s about a reservation of %s", who, t->name);
		CHECK_ERR(t_stats_flags(TRACT_STATS_NEXT,
					TRACT_SCOPE_RESERVATION, t->pid, 0,
					&st),
			  want, "%s lists %s", who, t->name);
	}
	while (!t_stats_flags(TRACT_STATS_NEXT, TRACT_SCOPE_RESERVATION, -1, id,
			      &st)) {
		id = st.out_id;
		for (size_t i = 0; i < TARGETS; i++)
			if (targets[i].id == id)
				listed |= 1U << i;
	}
	CHECK_EQ(listed, allowed, "%s lists all: mask of targets", who);
	CHECK_ERR(t_stats(TRACT_SCOPE_SYSTEM, 0, 0, &st), system ? 0 : -EPERM,
		  "%s about the system", who);
	/* Itself, whoever it is; and to use the device needs nothing. */
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, 0, 0, &st), 0, "%s, itself",
		  who);
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, getpid(), 0, &st), 0,
		  "%s, itself by pid", who);
	CHECK_EQ(st.out_pid, getpid(), "%s, own pid", who);
}

static void root(void)
{
	ask_all("root", (1U << TARGETS) - 1, true);
}

static void root_without_caps(void)
{
	set_caps(0);
	ask_all("root without capabilities", 1, false);
}

static void root_with_all_but_ptrace(void)
{
	set_caps(((1ULL << 38) - 1) & ~(1ULL << CAP_SYS_PTRACE));
	ask_all("root with all but CAP_SYS_PTRACE", 1, false);
}

static void user_a(void)
{
	set_ids(UID_A, UID_A, UID_A);
	ask_all("A", 1 << 1, false);
}

static void user_b(void)
{
	set_ids(UID_B, UID_B, UID_B);
	ask_all("B", 1 << 2, false);
}

static void only_effective_a(void)
{
	/* What counts of the caller is its effective id. */
	set_ids(0, UID_A, 0);
	ask_all("effective A, real root", 1 << 1, false);
}

static void only_real_a(void)
{
	set_ids(UID_A, UID_B, UID_A);
	ask_all("effective B, real A", 1 << 2, false);
}

static void fsuid_does_not_count(void)
{
	set_ids(UID_B, UID_B, UID_A);
	setfsuid(UID_A);
	ask_all("B with fsuid A", 1 << 2, false);
}

static void user_with_ptrace(void)
{
	prctl(PR_SET_KEEPCAPS, 1);
	set_ids(UID_A, UID_A, UID_A);
	set_caps(1ULL << CAP_SYS_PTRACE);
	ask_all("A with CAP_SYS_PTRACE", (1U << TARGETS) - 1, true);
}

static void root_of_a_namespace(void)
{
	set_ids(UID_A, UID_A, UID_A);
	if (unshare(CLONE_NEWUSER))
		t_die("unshare: %s", strerror(errno));
	/* All capabilities, but over nobody here; still A by its id. */
	ask_all("A, root of its own namespace", 1 << 1, false);
}

static void map_ids(int pid, const char *file)
{
	char path[64], map[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	snprintf(map, sizeof(map), "0 %d 2", UID_A);
	if (t_write_file(path, map))
		t_die("cannot write %s", path);
}

/* Within a user namespace: 0 there, which is A, about 1 there, which is B. */
static void ask_inside(void)
{
	struct t_gate up = t_make_gate(), down = t_make_gate();
	struct tract_stats st;
	int parent = getpid(), pid;

	set_ids(0, 0, 0);
	pid = t_fork();
	if (!pid) {
		set_ids(1, 1, 1);
		t_reserve(2 * MIB, 0);
		CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, parent, 0, &st), -EPERM,
			  "1 of a namespace about its 0");
		t_open_gate(&up);
		t_pass_gate(&down);
		_exit(0);
	}
	t_pass_gate(&up);
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, pid, 0, &st), 0,
		  "0 of a namespace about its 1");
	CHECK_EQ(st.out_reservations, 1, "its reservations");
	ask_all("0 of a namespace, which is A", 1 << 1, false);
	t_open_gate(&down);
	WAIT_OK(pid);
}

static void inside_a_namespace(void)
{
	struct t_gate up = t_make_gate(), down = t_make_gate();
	int pid = t_fork();

	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			t_die("unshare: %s", strerror(errno));
		t_open_gate(&up);
		t_pass_gate(&down);
		ask_inside();
		_exit(0);
	}
	t_pass_gate(&up);
	map_ids(pid, "uid_map");
	map_ids(pid, "gid_map");
	t_open_gate(&down);
	WAIT_OK(pid);
}

static void device_for_all(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	struct stat sb;

	CHECK(!stat(TRACT_DEVICE, &sb), "stat: %s", strerror(errno));
	CHECK(S_ISCHR(sb.st_mode), "mode %#o", sb.st_mode);
	CHECK_EQ(sb.st_mode & 0777, 0666, "permissions");
	set_ids(UID_A, UID_A, UID_A);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct tract_reserve arg = { .size = sizeof(arg),
					     .length = 2 * MIB };
		struct tract_info info = { .size = sizeof(info) };
		int fd = open(TRACT_DEVICE, modes[i] | O_CLOEXEC);

		if (!CHECK(fd >= 0, "A opens with mode %d: %s", modes[i],
			   strerror(errno)))
			continue;
		CHECK_ERR(t_ioctl_fd(fd, TRACT_IOC_INFO, &info), 0, "INFO");
		CHECK_ERR(t_ioctl_fd(fd, TRACT_IOC_RESERVE, &arg), 0,
			  "RESERVE through mode %d", modes[i]);
		memset((void *)(uintptr_t)arg.out_address, 1, 2 * MIB);
		close(fd);
	}
}

#define POINT(fn)                                                              \
	static void fn##_in_child(void)                                        \
	{                                                                      \
		IN_CHILD(fn);                                                  \
	}

POINT(root)
POINT(root_without_caps)
POINT(root_with_all_but_ptrace)
POINT(user_a)
POINT(user_b)
POINT(only_effective_a)
POINT(only_real_a)
POINT(fsuid_does_not_count)
POINT(user_with_ptrace)
POINT(root_of_a_namespace)
POINT(inside_a_namespace)
POINT(device_for_all)

int main(void)
{
	t_begin("permissions", 60);
	t_fd();
	if (geteuid())
		t_skip_all("needs root, to become others");
	start_targets();
	t_run("root", root_in_child);
	t_run("root_without_caps", root_without_caps_in_child);
	t_run("root_with_all_but_ptrace", root_with_all_but_ptrace_in_child);
	t_run("user_a", user_a_in_child);
	t_run("user_b", user_b_in_child);
	t_run("only_effective_a", only_effective_a_in_child);
	t_run("only_real_a", only_real_a_in_child);
	t_run("fsuid_does_not_count", fsuid_does_not_count_in_child);
	t_run("user_with_ptrace", user_with_ptrace_in_child);
	if (access("/proc/self/ns/user", F_OK)) {
		SKIP(root_of_a_namespace, "no user namespaces in this kernel");
		SKIP(inside_a_namespace, "no user namespaces in this kernel");
	} else {
		t_run("root_of_a_namespace", root_of_a_namespace_in_child);
		t_run("inside_a_namespace", inside_a_namespace_in_child);
	}
	t_run("device_for_all", device_for_all_in_child);
	stop_targets();
	return t_end();
}
