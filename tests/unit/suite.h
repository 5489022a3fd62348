/* SPDX-License-Identifier: MIT */
/* What every unit test file has in common: one suite, one runner, a seed. */
#ifndef TRACT_TEST_SUITE_H
#define TRACT_TEST_SUITE_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * For loops of millions: ck_assert() writes to a file each time it holds.
 */
#define must(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			ck_abort_msg("not so: %s", #condition);                \
	} while (0)

static uint64_t random_state = 1;

/* xorshift64*: the same numbers for the same seed everywhere. */
static inline uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

/* 0 to @limit - 1 */
static inline uint64_t random_below(uint64_t limit)
{
	return random_next() % limit;
}

static inline void random_seed(void)
{
	const char *text = getenv("TRACT_TEST_SEED");

	random_state = text ? strtoull(text, NULL, 0) : 1;
	if (!random_state)
		random_state = 1;
	printf("# seed %llu\n", (unsigned long long)random_state);
}

static inline int suite_run(const char *name, const TTest *const *tests,
			    size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failed;

	random_seed();
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	/* A soak beside other work may be given more. */
	if (!getenv("CK_DEFAULT_TIMEOUT"))
		tcase_set_timeout(tcase, 300);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

#define SUITE_MAIN(name, ...)                                                  \
	int main(void)                                                         \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		return suite_run(name, tests,                                  \
				 sizeof(tests) / sizeof(tests[0]));            \
	}

#endif
