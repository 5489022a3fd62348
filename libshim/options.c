// SPDX-License-Identifier: MIT
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options tract__options = {
	.backend = BACKEND_AUTO,
	.decay_ms = DECAY_DEFAULT,
};

static bool equals(const char *word, size_t length, const char *name)
{
	return strlen(name) == length && !memcmp(word, name, length);
}

static int parse_number(const char *text, size_t length, long min, long max,
			long *out)
{
	char digits[16];
	char *end;

	if (!length || length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, length);
	digits[length] = '\0';
	errno = 0;
	*out = strtol(digits, &end, 10);
	if (*end || errno || *out < min || *out > max)
		return -EINVAL;
	return 0;
}

static int set_backend(struct options *o, const char *value, size_t length)
{
	static const char *const names[] = { "auto", "module", "plain" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (equals(value, length, names[i])) {
			o->backend = (enum backend_choice)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_decay(struct options *o, const char *value, size_t length)
{
	long n;
	int ret = parse_number(value, length, DECAY_NEVER, DECAY_MAX, &n);

	if (!ret)
		o->decay_ms = (int)n;
	return ret;
}

static int set_bool(bool *option, const char *value, size_t length)
{
	long n;
	int ret = parse_number(value, length, 0, 1, &n);

	if (!ret)
		*option = n;
	return ret;
}

static int set_hardened(struct options *o, const char *value, size_t length)
{
	return set_bool(&o->hardened, value, length);
}

static int set_stats(struct options *o, const char *value, size_t length)
{
	return set_bool(&o->stats, value, length);
}

static const struct {
	const char *name;
	int (*set)(struct options *o, const char *value, size_t length);
} keys[] = {
	{ "backend", set_backend },
	{ "decay_ms", set_decay },
	{ "hardened", set_hardened },
	{ "stats", set_stats },
};

static int set_option(struct options *o, const char *item, size_t length)
{
	const char *eq = memchr(item, '=', length);
	size_t name = eq ? (size_t)(eq - item) : length;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (equals(item, name, keys[i].name))
			return eq ? keys[i].set(o, eq + 1, length - name - 1) :
				    -EINVAL;
	}
	return -ENOENT;
}

void tract__options_parse(struct options *options, const char *text,
			  char *warning, size_t size)
{
	warning[0] = '\0';
	while (text && *text) {
		size_t length = strcspn(text, ",");
		int ret = length ? set_option(options, text, length) : 0;

		if (ret && !warning[0])
			snprintf(warning, size,
				 "tract: TRACT_OPTIONS: %s '%.*s' ignored; "
				 "known: backend=auto|module|plain, "
				 "decay_ms=-1..%d, hardened=0|1, stats=0|1\n",
				 ret == -ENOENT ? "unknown option" :
						  "bad value in",
				 (int)(length < 64 ? length : 64), text,
				 DECAY_MAX);
		text += length + (text[length] == ',');
	}
}
