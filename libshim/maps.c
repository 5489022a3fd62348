// SPDX-License-Identifier: MIT
#include "maps.h"

#include <string.h>

#include "sys.h"

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

/* A number, hexadecimal or decimal; what follows it. */
static const char *parse(const char *text, unsigned int base, uint64_t *number)
{
	*number = 0;
	for (;; text++) {
		unsigned int digit;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned int)(*text - '0');
		else if (base == 16 && *text >= 'a' && *text <= 'f')
			digit = (unsigned int)(*text - 'a') + 10;
		else
			return text;
		*number = *number * base + digit;
	}
}

/* START-END PERMISSIONS OFFSET MAJOR:MINOR INODE NAME */
bool tract__maps_parse(const char *text, struct maps_line *line)
{
	text = parse(text, 16, &line->start);
	if (*text != '-')
		return false;
	text = parse(text + 1, 16, &line->end);
	for (int i = 0; i < 4; i++) {
		text = strchr(text, ' ');
		if (!text)
			return false;
		text++;
	}
	parse(text, 10, &line->inode);
	return true;
}

void tract__maps_search_start(struct maps_search *s)
{
	s->gap = FIRST;
	s->best = 0;
	s->distance = 0;
}

void tract__maps_search_line(struct maps_search *s, const char *text)
{
	struct maps_line line;

	if (!tract__maps_parse(text, &line))
		return;
	/* The last line may be a page of the kernel's, beyond all that is ours. */
	consider(s, s->gap, line.start < LAST ? line.start : LAST);
	s->gap = line.end;
	if (strstr(text, "[heap]"))
		s->gap += HEAP_ROOM;
	/* The stack grows down, and its guard gap with it: leave it alone. */
}

void tract__maps_search_end(struct maps_search *s)
{
	consider(s, s->gap, LAST);
}

int tract__maps_each(int fd, bool (*each)(void *arg, const char *text),
		     void *arg)
{
	char text[4096];
	size_t have = 0;
	long n;

	while ((n = tract__sys_read(fd, text + have, sizeof(text) - 1 - have)) >
	       0) {
		char *line = text, *end;

		have += (size_t)n;
		text[have] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			if (!each(arg, line))
				return 0;
			line = end + 1;
		}
		have -= (size_t)(line - text);
		/* Of a very long name the start of the line is enough. */
		if (have == sizeof(text) - 1)
			have = 256;
		memmove(text, line, have);
	}
	return (int)n;
}

static bool search_next(void *arg, const char *text)
{
	tract__maps_search_line(arg, text);
	return true;
}

uintptr_t tract__maps_find_near(uintptr_t near, size_t reach, size_t size)
{
	struct maps_search search = { near, reach, size, 0, 0, 0 };
	int fd = tract__sys_open("/proc/self/maps");
	int ret;

	if (fd < 0)
		return 0;
	tract__maps_search_start(&search);
	ret = tract__maps_each(fd, search_next, &search);
	tract__sys_close(fd);
	if (ret)
		return 0;
	tract__maps_search_end(&search);
	return search.best;
}
