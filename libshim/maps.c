// SPDX-License-Identifier: MIT
#include "maps.h"

#include <string.h>

#include "sys.h"

#define PAGE ((uintptr_t)4096)
/* vm.mmap_min_addr of every distribution; the end of user addresses. */
#define FIRST ((uintptr_t)65536)
#define LAST (((uintptr_t)1 << 47) - PAGE)
/* Room that the heap of brk() keeps to grow into. */
#define HEAP_ROOM ((uintptr_t)1 << 30)

static uintptr_t distance(uintptr_t a, uintptr_t b)
{
	return a > b ? a - b : b - a;
}

/* The place for @size bytes in [@low, @high) that is nearest. */
static void consider(struct maps_search *s, uintptr_t low, uintptr_t high)
{
	uintptr_t at, far;

	if (high < low || high - low < s->size)
		return;
	at = s->near & -PAGE;
	if (at < low)
		at = low;
	if (at > high - s->size)
		at = high - s->size;
	far = distance(at + s->size - 1, s->near);
	if (far < distance(at, s->near))
		far = distance(at, s->near);
	if (far <= s->reach && (!s->best || far < s->distance)) {
		s->best = at;
		s->distance = far;
	}
}

static const char *parse_hex(const char *text, uintptr_t *number)
{
	*number = 0;
	for (;; text++) {
		unsigned int digit;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned int)(*text - '0');
		else if (*text >= 'a' && *text <= 'f')
			digit = (unsigned int)(*text - 'a') + 10;
		else
			return text;
		*number = *number * 16 + digit;
	}
}

void tract__maps_search_start(struct maps_search *s)
{
	s->gap = FIRST;
	s->best = 0;
	s->distance = 0;
}

void tract__maps_search_line(struct maps_search *s, const char *line)
{
	uintptr_t start, end;

	line = parse_hex(line, &start);
	if (*line != '-')
		return;
	line = parse_hex(line + 1, &end);
	/* The last line may be a page of the kernel's, beyond all that is ours. */
	consider(s, s->gap, start < LAST ? start : LAST);
	s->gap = end;
	if (strstr(line, "[heap]"))
		s->gap += HEAP_ROOM;
	/* The stack grows down, and its guard gap with it: leave it alone. */
}

void tract__maps_search_end(struct maps_search *s)
{
	consider(s, s->gap, LAST);
}

uintptr_t tract__maps_find_near(uintptr_t near, size_t reach, size_t size)
{
	struct maps_search search = { near, reach, size, 0, 0, 0 };
	int fd = tract__sys_open("/proc/self/maps");
	char text[4096];
	size_t have = 0;
	long n;

	if (fd < 0)
		return 0;
	tract__maps_search_start(&search);
	while ((n = tract__sys_read(fd, text + have, sizeof(text) - 1 - have)) >
	       0) {
		char *line = text, *end;

		have += (size_t)n;
		text[have] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			tract__maps_search_line(&search, line);
			line = end + 1;
		}
		have -= (size_t)(line - text);
		/* Of a very long name the start of the line is enough. */
		if (have == sizeof(text) - 1)
			have = 256;
		memmove(text, line, have);
	}
	tract__sys_close(fd);
	if (n < 0)
		return 0;
	tract__maps_search_end(&search);
	return search.best;
}
