// SPDX-License-Identifier: MIT
#include "mapping.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "maps.h"
#include "sys.h"

/* Where the map must be read as text, so much of it, which takes some 1 ms. */
#define LINES_MAX 3000

/* ioctl(PROCMAP_QUERY) of /proc/PID/maps, as in <linux/fs.h> of Linux 6.11. */
struct map_query {
	uint64_t size, flags, address;
	uint64_t start, end, prot, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

#define MAP_QUERY _IOWR('f', 17, struct map_query)

struct text_query {
	uintptr_t address;
	struct maps_line found;
	unsigned int lines;
};

static bool look_at_line(void *arg, const char *text)
{
	struct text_query *query = arg;

	return tract__maps_parse(text, &query->found) &&
	       query->found.end <= query->address && ++query->lines < LINES_MAX;
}

static int query_text(int fd, struct map_query *query)
{
	struct text_query text = { .address = query->address };
	int ret = tract__maps_each(fd, look_at_line, &text);

	if (ret)
		return ret;
	if (text.lines == LINES_MAX)
		return -E2BIG;
	if (text.address < text.found.start || text.address >= text.found.end)
		return -ENOENT;
	query->inode = text.found.inode;
	query->end = text.found.end;
	return 0;
}

int tract__mapping_at(uintptr_t addr, uint64_t *inode, uintptr_t *end)
{
	struct map_query query = { .size = sizeof(query), .address = addr };
	int fd = tract__sys_open("/proc/self/maps");
	int ret;

	if (fd < 0)
		return fd;
	ret = tract__sys_ioctl(fd, MAP_QUERY, &query);
	if (ret && ret != -ENOENT)
		ret = query_text(fd, &query);
	tract__sys_close(fd);
	*inode = query.inode;
	*end = query.end;
	return ret;
}
