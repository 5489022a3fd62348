// SPDX-License-Identifier: MIT
/*
 * What the preload exports: the C library's calls, its errno.  Nothing is
 * decided here.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "options.h"
#include "report.h"
#include "vm.h"

#define EXPORT __attribute__((visibility("default")))
#define STDERR 2

static long result(long ret)
{
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd,
		  off_t offset)
{
	return (void *)result(tract__vm_mmap(addr, length, prot, flags, fd,
					     offset,
					     __builtin_return_address(0)));
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset) __attribute__((alias("mmap")));

EXPORT int munmap(void *addr, size_t length)
{
	return (int)result(tract__vm_munmap(addr, length));
}

EXPORT void *mremap(void *addr, size_t old_length, size_t length, int flags,
		    ...)
{
	void *target = NULL;
	va_list args;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(args, flags);
		target = va_arg(args, void *);
		va_end(args);
	}
	return (void *)result(
		tract__vm_mremap(addr, old_length, length, flags, target));
}

EXPORT int mprotect(void *addr, size_t length, int prot)
{
	return (int)result(tract__vm_mprotect(addr, length, prot, NO_KEY));
}

EXPORT int pkey_mprotect(void *addr, size_t length, int prot, int key)
{
	return (int)result(tract__vm_mprotect(addr, length, prot, key));
}

EXPORT int madvise(void *addr, size_t length, int advice)
{
	return (int)result(tract__vm_madvise(addr, length, advice));
}

/*
 * As the C library has it: returns the error, and POSIX_MADV_DONTNEED, which
 * must not lose contents, does nothing.
 */
EXPORT int posix_madvise(void *addr, size_t length, int advice)
{
	if (advice == POSIX_MADV_DONTNEED)
		return 0;
	return (int)-tract__vm_madvise(addr, length, advice);
}

static void read_options(void)
{
	char warning[256];

	tract__options_parse(&tract__options, secure_getenv("TRACT_OPTIONS"),
			     warning, sizeof(warning));
}

static __attribute__((constructor(101))) void start(void)
{
	read_options();
}

static __attribute__((destructor(101))) void finish(void)
{
	static const char *const names[COUNTS] = {
		[COUNT_ADOPTED] = "mappings adopted",
		[COUNT_REUSED] = "mappings reused",
		[COUNT_HOLES] = "holes kept",
		[COUNT_GUARDS] = "guards marked",
		[COUNT_DUMP] = "dump advice answered",
		[COUNT_DECOMMIT] = "decommits",
		[COUNT_NEAR] = "mappings near",
		[COUNT_GAVE_UP] = "advice given up",
	};

	if (!tract__options.stats)
		return;
	for (int i = 0; i < COUNTS; i++)
		tract__report(STDERR, "%-22s %lu\n", names[i],
			      tract__vm_counts[i]);
}
