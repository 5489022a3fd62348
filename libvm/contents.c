// SPDX-License-Identifier: MIT
#include "contents.h"

#include <string.h>

#include "pages.h"
#include "sys.h"

#define ENTRIES 64

/* Bits of an entry. */
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define OF_FILE (UINT64_C(1) << 61)
#define EXCLUSIVE (UINT64_C(1) << 56)

struct files {
	int pagemap;
	int mem; /* opened when it is needed; none yet: -1 */
};

static struct files open_files(void)
{
	return (struct files){ tract__sys_open("/proc/self/pagemap"), -1 };
}

static void close_files(const struct files *files)
{
	if (files->pagemap >= 0)
		tract__sys_close(files->pagemap);
	if (files->mem >= 0)
		tract__sys_close(files->mem);
}

static bool reads_as_zero(struct files *files, uintptr_t page)
{
	uint64_t words[PAGE_SIZE / sizeof(uint64_t)];
	uint64_t any = 0;

	if (files->mem < 0)
		files->mem = tract__sys_open("/proc/self/mem");
	if (files->mem < 0 ||
	    tract__sys_pread(files->mem, words, sizeof(words), (off_t)page) !=
		    (long)sizeof(words))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		any |= words[i];
	return !any;
}

/*
 * Memory that was only read maps the page of zeroes, and so does trapped memory
 * beside what was written.  It is like a page shared with a child, so
 * what is like that has to be looked at.
 */
static bool has_contents(struct files *files, uint64_t entry, uintptr_t page)
{
	if (!(entry & (PRESENT | SWAPPED)))
		return false;
	return entry & (SWAPPED | OF_FILE | EXCLUSIVE) ||
	       !reads_as_zero(files, page);
}

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
	struct files files = open_files();
	uint64_t entries[ENTRIES];
	bool none = true;

	while (none && start < end) {
		size_t count = read_entries(files.pagemap, start, end, entries);

		for (size_t i = 0; none && i < count; i++)
			none = !has_contents(&files, entries[i],
					     start + i * PAGE_SIZE);
		start += count * PAGE_SIZE;
	}
	close_files(&files);
	return none;
}

void tract__contents_copy(uintptr_t target, uintptr_t start, uintptr_t end)
{
	struct files files = open_files();
	uint64_t entries[ENTRIES];

	while (start < end) {
		size_t count = read_entries(files.pagemap, start, end, entries);

		for (size_t i = 0; i < count; i++)
			if (has_contents(&files, entries[i],
					 start + i * PAGE_SIZE))
				memcpy((void *)(target + i * PAGE_SIZE),
				       (void *)(start + i * PAGE_SIZE),
				       PAGE_SIZE);
		start += count * PAGE_SIZE;
		target += count * PAGE_SIZE;
	}
	close_files(&files);
}
