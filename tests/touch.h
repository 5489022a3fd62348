/* SPDX-License-Identifier: MIT */
/*
 * Touching memory that may answer with a signal.  Each thread has its own place
 * to come back to; t_touch_begin() installs the handler for all.
 */
#ifndef TESTS_TOUCH_H
#define TESTS_TOUCH_H

#include <setjmp.h>
#include <signal.h>

#include "harness.h"

struct t_fault {
	int signal; /* 0: there was none */
	int code;
	void *address;
};

static _Thread_local volatile sig_atomic_t t_touching;
static _Thread_local sigjmp_buf t_touch_env;
static _Thread_local struct t_fault t_touch_fault;

T_FN void t_on_touch(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!t_touching) {
		t_print("Bail out! signal %d at %p\n", sig, info->si_addr);
		_exit(1);
	}
	t_touch_fault = (struct t_fault){ sig, info->si_code, info->si_addr };
	siglongjmp(t_touch_env, 1);
}

T_FN void t_touch_begin(void)
{
	struct sigaction sa = { .sa_flags = SA_SIGINFO };

	sa.sa_sigaction = t_on_touch;
	if (sigaction(SIGSEGV, &sa, NULL) || sigaction(SIGBUS, &sa, NULL))
		t_die("sigaction: %s", strerror(errno));
}

/* Run @access, and what signal that ended with. */
#define T_TOUCH(access)                                                        \
	({                                                                     \
		t_touch_fault = (struct t_fault){ 0 };                         \
		t_touching = 1;                                                \
		if (!sigsetjmp(t_touch_env, 1)) {                              \
			access;                                                \
		}                                                              \
		t_touching = 0;                                                \
		t_touch_fault;                                                 \
	})

T_FN struct t_fault t_touch_read(const volatile char *at)
{
	return T_TOUCH((void)*at);
}

T_FN struct t_fault t_touch_write(volatile char *at, char value)
{
	return T_TOUCH(*at = value);
}

#endif /* TESTS_TOUCH_H */
