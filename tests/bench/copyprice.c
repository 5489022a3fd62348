// SPDX-License-Identifier: MIT
/*
 * What it costs in time to copy a page over one that has just been cleared, where
 * the virtual time of a VM counts each byte: for a trapped page that is written
 * alone the kernel does both (docs/bench/trapped.md).
 *
 *   copyprice [ROUNDS]
 *
 * Nanoseconds a page of anonymous memory, written to for the first time; the same
 * with a page of zeroes copied over it then, by the instruction that the kernel
 * uses; medians, by turns.  For the bare machine; needs no module.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul
#define PAGES 1024ul

static char zeroes[PAGE] __attribute__((aligned(PAGE)));

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void copy_page(char *to)
{
#if defined(__x86_64__)
	const char *from = zeroes;
	unsigned long left = PAGE;

	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(left)
			 :
			 : "memory");
#else
	__builtin_memcpy(to, zeroes, PAGE);
#endif
}

static double touch(volatile char *at, int copy)
{
	double start = now_ns(), ns;

	for (unsigned long i = 0; i < PAGES; i++) {
		at[i * PAGE] = 1;
		if (copy)
			copy_page((char *)at + i * PAGE);
	}
	ns = (now_ns() - start) / PAGES;
	if (madvise((void *)at, PAGES * PAGE, MADV_DONTNEED)) {
		perror("copyprice: MADV_DONTNEED");
		exit(1);
	}
	return ns;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *ns, int count)
{
	qsort(ns, (size_t)count, sizeof(*ns), compare);
	return ns[count / 2];
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 400;
	double *ns[2], write, copied;
	char *at;

	if (rounds < 1) {
		fprintf(stderr, "usage: copyprice [ROUNDS]\n");
		return 2;
	}
	at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ns[0] = malloc((size_t)rounds * sizeof(double));
	ns[1] = malloc((size_t)rounds * sizeof(double));
	if (at == MAP_FAILED || !ns[0] || !ns[1]) {
		perror("copyprice");
		return 1;
	}
	madvise(at, PAGES * PAGE, MADV_NOHUGEPAGE);
	touch(at, 1);
	for (int i = 0; i < rounds; i++)
		for (int copy = 0; copy < 2; copy++)
			ns[copy][i] = touch(at, copy);
	write = median(ns[0], rounds);
	copied = median(ns[1], rounds);
	printf("written %.0f ns, and copied over %.0f ns, %.2f times\n", write,
	       copied, copied / write);
	return 0;
}
