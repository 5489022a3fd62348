/* SPDX-License-Identifier: MIT */
/*
 * Address space made scarce.  Everything goes past a preload: the squeeze is not
 * what is tested.
 */
#ifndef TESTS_SQUEEZE_H
#define TESTS_SQUEEZE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SQUEEZE_RANGES 4096

/* The free ranges from @low to @high; their number. */
static inline size_t squeeze_free(uintptr_t low, uintptr_t high, uintptr_t *at,
				  uintptr_t *to)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uintptr_t start, end;
	char line[512];
	size_t n = 0;

	low &= -4096ul;
	high &= -4096ul;
	while (low < high && n < SQUEEZE_RANGES - 1 &&
	       fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (start > low) {
			at[n] = low;
			to[n++] = start < high ? start : high;
		}
		if (end > low)
			low = end;
	}
	fclose(maps);
	if (low < high) {
		at[n] = low;
		to[n++] = high;
	}
	return n;
}

static inline void squeeze_fill(uintptr_t start, uintptr_t end)
{
	if (start < end)
		syscall(SYS_mmap, start, end - start, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
			-1, 0);
}

#endif
