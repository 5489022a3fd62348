// SPDX-License-Identifier: MIT
/*
 * The shortest life of a reservation, for a kernel on which nothing else is
 * run: is the device there, does memory come, go and read as zero.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/tract.h>

#define LENGTH (64UL << 20)

static void expect(const char *what, unsigned long long wanted,
		   unsigned long long found)
{
	printf("%s: expected %llu, found %llu\n", what, wanted, found);
	if (wanted != found) {
		printf("FAIL\n");
		exit(1);
	}
}

/* 0, or the errno of the call. */
static unsigned int call(int fd, unsigned long number, void *arg)
{
	return ioctl(fd, number, arg) ? errno : 0;
}

/* Bytes of this process that are in memory. */
static unsigned long resident(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%*u %lu", &pages) != 1)
		expect("/proc/self/statm", 1, 0);
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

int main(void)
{
	struct tract_info info = { .size = sizeof(info) };
	struct tract_reserve reserve = { .size = sizeof(reserve),
					 .length = LENGTH };
	struct tract_op op = { .op = TRACT_OP_DECOMMIT, .length = LENGTH };
	struct tract_batch batch = { .size = sizeof(batch),
				     .ops = (unsigned long)&op,
				     .count = 1 };
	unsigned long i, before, touched, after, dirty = 0;
	struct stat node;
	unsigned char *memory;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	expect("stat of /dev/tract", 0, stat("/dev/tract", &node));
	expect("its mode", S_IFCHR | 0666, node.st_mode);
	fd = open("/dev/tract", O_RDWR | O_CLOEXEC);
	expect("open", 1, fd >= 0);

	expect("INFO", 0, call(fd, TRACT_IOC_INFO, &info));
	expect("ABI version", TRACT_ABI_VERSION, info.out_abi_version);
	expect("page size", sysconf(_SC_PAGESIZE), info.out_page_size);
	printf("features %#llx\n", (unsigned long long)info.out_features);

	expect("RESERVE", 0, call(fd, TRACT_IOC_RESERVE, &reserve));
	memory = (unsigned char *)(unsigned long)reserve.out_address;
	expect("address modulo alignment", 0,
	       reserve.out_address % info.out_align_min);

	before = resident();
	memset(memory, 0xa5, LENGTH);
	touched = resident();
	expect("64 MiB became resident", 1, touched - before >= LENGTH);

	op.id = reserve.out_id;
	expect("BATCH", 0, call(fd, TRACT_IOC_BATCH, &batch));
	expect("completed", 1, batch.out_completed);
	expect("failed", 0, batch.out_failed);
	after = resident();
	expect("64 MiB went", 1, touched - after >= LENGTH - (1UL << 20));
	for (i = 0; i < LENGTH; i += info.out_page_size)
		dirty += memory[i] || memory[i + info.out_page_size - 1];
	expect("pages that are not zero", 0, dirty);

	memory[LENGTH - 1] = 1;
	expect("munmap", 0, munmap(memory, LENGTH));
	batch.out_completed = 0;
	expect("BATCH on what is gone", ENOENT,
	       call(fd, TRACT_IOC_BATCH, &batch));
	printf("PASS\n");
	return 0;
}
