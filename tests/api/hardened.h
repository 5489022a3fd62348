/* SPDX-License-Identifier: MIT */
/* Tests of the hardened mode: the option is set by starting the program anew. */
#ifndef TESTS_API_HARDENED_H
#define TESTS_API_HARDENED_H

#include "../tap.h"

#include "../../include/tract.h"

#define MARK "TRACT_TEST_HARDENED"

static inline void hardened_start(int argc, char **argv, unsigned int seconds)
{
	const char *options = getenv("TRACT_OPTIONS");
	char text[256];

	if (!tap_is_tract())
		tap_skip_all("another allocator");
	if (!getenv(MARK)) {
		snprintf(text, sizeof(text), "%s,hardened=1",
			 options ? options : "");
		setenv("TRACT_OPTIONS", text, 1);
		setenv(MARK, "1", 1);
		execv("/proc/self/exe", argv);
		perror("exec");
		exit(1);
	}
	tap_start(argc, argv, seconds);
}

static inline struct tract_heap_stats hardened_stats(void)
{
	void (*get)(struct tract_heap_stats *, size_t) =
		(void (*)(struct tract_heap_stats *, size_t))dlsym(
			RTLD_DEFAULT, "tract_heap_stats");
	struct tract_heap_stats stats;

	get(&stats, sizeof(stats));
	return stats;
}

#endif
