// SPDX-License-Identifier: MIT
#include "contents.h"

#include <string.h>

#include "pages.h"
#include "sys.h"

#define ENTRIES 64

/*
 * The entries of up to ENTRIES pages from @start on; the number of pages they
 * are for.  Bits 63 and 62: present, swapped.
 */
static size_t read_entries(int fd, uintptr_t start, uintptr_t end,
			   uint64_t *entries)
{
	size_t count = (end - start) / PAGE_SIZE;
	size_t size;

	if (count > ENTRIES)
		count = ENTRIES;
	size = count * sizeof(*entries);
	if (fd < 0 || tract__sys_pread(fd, entries, size,
				       (off_t)(start / PAGE_SIZE *
					       sizeof(*entries))) != (long)size)
		memset(entries, 0xff, size);
	return count;
}

bool tract__contents_none(uintptr_t start, uintptr_t end)
{
	int fd = tract__sys_open("/proc/self/pagemap");
	uint64_t entries[ENTRIES];
	bool none = true;

	while (none && start < end) {
		size_t count = read_entries(fd, start, end, entries);

		for (size_t i = 0; i < count; i++)
			none = none && !(entries[i] >> 62);
		start += count * PAGE_SIZE;
	}
	if (fd >= 0)
		tract__sys_close(fd);
	return none;
}

void tract__contents_copy(uintptr_t target, uintptr_t start, uintptr_t end)
{
	int fd = tract__sys_open("/proc/self/pagemap");
	uint64_t entries[ENTRIES];

	while (start < end) {
		size_t count = read_entries(fd, start, end, entries);

		for (size_t i = 0; i < count; i++)
			if (entries[i] >> 62)
				memcpy((void *)(target + i * PAGE_SIZE),
				       (void *)(start + i * PAGE_SIZE),
				       PAGE_SIZE);
		start += count * PAGE_SIZE;
		target += count * PAGE_SIZE;
	}
	if (fd >= 0)
		tract__sys_close(fd);
}
