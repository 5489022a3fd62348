// SPDX-License-Identifier: MIT
/*
 * In a sandbox: the device needs no system call but ioctl() once it is open,
 * and where ioctl() is forbidden the memory goes on as ordinary memory.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "observe.h"

#define LENGTH (2 * MIB)

static void install(struct sock_filter *filter, unsigned short count)
{
	struct sock_fprog prog = { .len = count, .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		t_die("seccomp: %s", strerror(errno));
}

#define LOAD_NR                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ALLOW_NR(nr)                                                           \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),                         \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Anything but ioctl, munmap, write and exit kills. */
static void only_ioctl(void)
{
	struct sock_filter filter[] = {
		LOAD_NR,
		ALLOW_NR(SYS_ioctl),
		ALLOW_NR(SYS_munmap),
		ALLOW_NR(SYS_write),
		ALLOW_NR(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct tract_stats st;
	struct t_res res;

	t_fd();
	install(filter, ARRAY_SIZE(filter));
	res = t_reserve(LENGTH, 0);
	t_fill(res.addr, LENGTH, 1);
	CHECK_ERR(t_decommit(&res, MIB, MIB), 0, "DECOMMIT");
	CHECK_EQ(t_wrong(res.addr, MIB, 1), -1, "lost at");
	CHECK_EQ(t_nonzero(res.addr + MIB, MIB), -1, "not zero at");
	CHECK_ERR(t_populate(&res, 0, LENGTH), 0, "POPULATE");
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, 0, 0, &st), 0, "STATS");
	CHECK_EQ(st.out_reservations, 1, "reservations");
	t_unmap(&res);
	CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "gone");
}

static void no_ioctl(void)
{
	struct sock_filter filter[] = {
		LOAD_NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE), none;

	install(filter, ARRAY_SIZE(filter));
	t_fill(res.addr, LENGTH, 2);
	CHECK_ERR(t_decommit(&res, MIB, MIB), -EPERM, "DECOMMIT");
	CHECK_ERR(t_reserve_raw(LENGTH, 0, 0, &none), -EPERM, "RESERVE");
	CHECK_EQ(t_wrong(res.addr, LENGTH, 2), -1, "lost at");
	/* The way that is left. */
	CHECK(!madvise(res.addr + MIB, MIB, MADV_DONTNEED), "madvise: %s",
	      strerror(errno));
	CHECK_EQ(t_nonzero(res.addr + MIB, MIB), -1, "not zero at");
	CHECK_EQ(t_wrong(res.addr, MIB, 2), -1, "lost at");
	t_unmap(&res);
}

static void only_ioctl_in_child(void)
{
	IN_CHILD(only_ioctl);
}

static void no_ioctl_in_child(void)
{
	IN_CHILD(no_ioctl);
}

int main(void)
{
	t_begin("seccomp", 30);
	t_fd();
	t_run("only_ioctl", only_ioctl_in_child);
	t_run("no_ioctl", no_ioctl_in_child);
	return t_end();
}
