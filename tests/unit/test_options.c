// SPDX-License-Identifier: MIT
#include "options.h"

#include <string.h>

#include "suite.h"

static char warning[256];

static struct options parse(const char *text)
{
	struct options o = { .backend = BACKEND_AUTO,
			     .decay_ms = DECAY_DEFAULT };

	tract__options_parse(&o, text, warning, sizeof(warning));
	return o;
}

START_TEST(nothing_leaves_the_defaults)
{
	const char *const texts[] = { NULL, "", ",", ",,," };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct options o = parse(texts[i]);

		ck_assert_int_eq(o.backend, BACKEND_AUTO);
		ck_assert_int_eq(o.decay_ms, DECAY_DEFAULT);
		ck_assert(!o.stats);
		ck_assert(!o.hardened);
		ck_assert_str_eq(warning, "");
	}
}
END_TEST

START_TEST(every_key_is_read)
{
	struct options o = parse("backend=plain,decay_ms=0,stats=1,hardened=1");

	ck_assert_int_eq(o.backend, BACKEND_PLAIN);
	ck_assert_int_eq(o.decay_ms, 0);
	ck_assert(o.stats);
	ck_assert(o.hardened);
	ck_assert(!parse("hardened=0").hardened);
	ck_assert_str_eq(warning, "");
	ck_assert_int_eq(parse("backend=module").backend, BACKEND_MODULE);
	ck_assert_int_eq(parse("decay_ms=-1").decay_ms, DECAY_NEVER);
	ck_assert_int_eq(parse("decay_ms=3600000").decay_ms, DECAY_MAX);
}
END_TEST

START_TEST(mistakes_are_named_once_and_the_rest_holds)
{
	const char *const texts[] = {
		"colour=red",
		"backend",
		"backend=",
		"backend=moduleX",
		"decay_ms=x",
		"decay_ms=-2",
		"decay_ms=3600001",
		"decay_ms=99999999999999999999",
		"stats=2",
		"hardened=2",
		"hardened",
		"stats=",
		"=",
		"=1",
		"decay_ms= 1 ",
		"decay_ms=1x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char text[128];
		struct options o;

		snprintf(text, sizeof(text), "%s,stats=1,nonsense", texts[i]);
		o = parse(text);
		ck_assert_msg(strstr(warning, texts[i]), "%s: %s", texts[i],
			      warning);
		ck_assert_ptr_null(strstr(warning, "nonsense"));
		ck_assert_ptr_eq(strchr(warning, '\n'),
				 warning + strlen(warning) - 1);
		ck_assert(o.stats);
		ck_assert_int_eq(o.backend, BACKEND_AUTO);
		ck_assert_int_eq(o.decay_ms, DECAY_DEFAULT);
	}
}
END_TEST

START_TEST(a_long_mistake_is_cut)
{
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	parse(text);
	ck_assert_uint_lt(strlen(warning), sizeof(warning));
	ck_assert_uint_gt(strlen(warning), 0);
}
END_TEST

SUITE_MAIN("options", nothing_leaves_the_defaults, every_key_is_read,
	   mistakes_are_named_once_and_the_rest_holds, a_long_mistake_is_cut)
