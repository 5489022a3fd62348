/* SPDX-License-Identifier: MIT */
/*
 * System calls that the kernel refuses from now on, in this thread and in those
 * that it makes, for good: a seccomp filter.
 */
#ifndef TESTS_REFUSE_H
#define TESTS_REFUSE_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define REFUSE_MAX 8

/*
 * Call @number fails with @error: always, or if its third argument is one of
 * the first @count of @third.  False: there are no such filters here.
 */
static inline bool refuse(int number, const int *third, unsigned int count,
			  int error)
{
	struct sock_filter code[REFUSE_MAX + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ, (unsigned int)number, count ? 0 : 2,
			 count + 1),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[2])),
	};
	unsigned short n = 3;
	struct sock_fprog program = { .filter = code };

	for (unsigned int i = 0; i < count; i++)
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ,
							 (unsigned int)third[i],
							 count - i, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW);
	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_RET, SECCOMP_RET_ERRNO | (unsigned int)error);
	program.len = n;
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Makes this kernel one without guard markers, as those before 6.13 are. */
static inline bool refuse_guards(void)
{
	static const int advices[] = { MADV_GUARD_INSTALL, MADV_GUARD_REMOVE };

	return refuse(SYS_madvise, advices, 2, EINVAL);
}

#endif
