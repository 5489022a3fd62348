/* SPDX-License-Identifier: MIT */
/*
 * The two things the library ever says: a line before it aborts on heap
 * corruption, and what it was asked to print.  No allocation, no stdio.
 */
#ifndef TRACT_REPORT_H
#define TRACT_REPORT_H

#include "common.h"

/*
 * Round each condition by which misuse is caught.  Only for measuring what that
 * costs is the library built without (TRACT_UNCHECKED): the condition's effects
 * stay, its answer is dropped.
 */
#ifdef TRACT_UNCHECKED
#define caught(condition) ((void)(condition), false)
#else
#define caught(condition) unlikely(condition)
#endif

/* "tract: WHAT of 0xPOINTER\n" on stderr, then abort(). */
void tract__report_corruption(const char *what, const void *p)
	__attribute__((__noreturn__, __cold__));

/* printf() to a descriptor, at most 4 KiB. */
void tract__report(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
