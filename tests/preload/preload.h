/* SPDX-License-Identifier: MIT */
/*
 * For the tests of libtract-vm.so, which run without it as well: what they say
 * holds of Linux.  Touches that may fault, and where they need not.
 */
#ifndef TESTS_PRELOAD_H
#define TESTS_PRELOAD_H

#include "refuse.h"
#include "tap.h"

#include <setjmp.h>

#define PAGE ((size_t)4096)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define FAULT (-1)

/* Does a touch of what was unmapped fault?  Not in holes without markers. */
static bool holes_fault = true;
static bool preloaded;
/* On the module, where operations go by offset and not by address. */
static bool trapped;
static bool markers; /* of this kernel */
static int fault_code;
static sigjmp_buf fault_return;
static volatile sig_atomic_t fault_expected;

static inline void fault_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (!fault_expected) {
		/* Of the test's own: the next one is its end. */
		signal(SIGSEGV, SIG_DFL);
		return;
	}
	fault_code = info->si_code;
	siglongjmp(fault_return, 1);
}

/* The byte at @p, or FAULT. */
static inline int peek(const void *p)
{
	volatile int byte = FAULT;

	if (!sigsetjmp(fault_return, 1)) {
		fault_expected = true;
		byte = *(const volatile unsigned char *)p;
	}
	fault_expected = false;
	return byte;
}

/* Could @byte be written to @p? */
static inline bool poke(void *p, int byte)
{
	volatile bool done = false;

	if (!sigsetjmp(fault_return, 1)) {
		fault_expected = true;
		*(volatile unsigned char *)p = byte;
		done = true;
	}
	fault_expected = false;
	return done;
}

static inline void preload_start(void)
{
	struct sigaction action = { .sa_sigaction = fault_handler,
				    .sa_flags = SA_SIGINFO };
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *list = getenv("LD_PRELOAD");

	if (!tap_env("TRACT_TEST_GUARDS", 1) && !refuse_guards())
		tap_skip_all("no seccomp filters");
	sigaction(SIGSEGV, &action, NULL);
	preloaded = list && strstr(list, "libtract-vm.so");
	trapped = preloaded && getenv("TRACT_OPTIONS") &&
		  strstr(getenv("TRACT_OPTIONS"), "backend=module");
	markers = !syscall(SYS_madvise, page, PAGE, MADV_GUARD_INSTALL);
	holes_fault = !preloaded || trapped || markers;
	munmap(page, PAGE);
	tap_note("%s the preload, a touch of a hole %s",
		 preloaded ? "with" : "without",
		 holes_fault ? "faults" : "need not fault");
}

#endif
