/* SPDX-License-Identifier: MIT */
/*
 * Every system call of the library is made in sys.c, and none elsewhere.
 *
 * All preserve errno and return a value or a negative errno.  A memory call
 * that answers EAGAIN is tried again at most SYS_RETRIES times, after 50, 200
 * and 800 us; then the error is the caller's to live with.  None loops without
 * bound, none allocates.
 */
#ifndef TRACT_SYS_H
#define TRACT_SYS_H

#include "common.h"

#include <sys/types.h>

struct tract_batch;
struct tract_purge_map;
struct tract_reserve;

#define SYS_RETRIES 3

/* Read-write, private, anonymous, not charged to the commit limit. NULL: none. */
void *tract__sys_map(size_t length);
/* The same, aligned to @align, a power of two from the page size on. */
void *tract__sys_map_aligned(size_t length, size_t align);
/* The same at @addr and nowhere else: the address, -EEXIST, or an errno. */
long tract__sys_map_at(uintptr_t addr, size_t length);
/* The same in place of what is there: the address, or an errno. */
long tract__sys_map_over(uintptr_t addr, size_t length);
/* Sleeps 50 us, 200, 800, ... for @turn 0, 1, 2, ...; at most 51 ms. */
void tract__sys_pause(unsigned int turn);
int tract__sys_unmap(void *addr, size_t length);

/* The range reads as zero afterwards; its pages are gone. */
int tract__sys_discard(void *addr, size_t length);
/* Faults the range in for writing, contents stay; or not: it is a hint. */
void tract__sys_populate(void *addr, size_t length);
/* Keep huge pages off the whole of a mapping. */
int tract__sys_forbid_huge(void *addr, size_t length);
/* Guard markers, which drop the pages; -EINVAL before Linux 6.13. */
int tract__sys_guard(void *addr, size_t length);
/* The same by the map, which splits it; contents stay. */
int tract__sys_forbid(void *addr, size_t length);
/* Takes these back: the one, and the other. */
int tract__sys_unguard(void *addr, size_t length);
int tract__sys_allow(void *addr, size_t length);
/*
 * A page that holds 1 in this process and 0 in any child forked from it,
 * however it was forked.  NULL where the kernel has no such thing.
 */
uint32_t *tract__sys_fork_canary(void);

/*
 * Opens the device, if it is one of our ABI, else -ENODEV; the descriptor is high
 * and close-on-exec.
 */
int tract__sys_open_device(void);
/* Is @fd the device that tract__sys_open_device() opened? */
bool tract__sys_is_device(int fd);
int tract__sys_device_reserve(int fd, struct tract_reserve *reserve);
int tract__sys_device_batch(int fd, struct tract_batch *batch);
int tract__sys_device_purge_map(int fd, struct tract_purge_map *map);

/*
 * The calls themselves, for what speaks of memory that is not the library's.
 * An address, or a negative errno.  Only madvise() is retried: what the others
 * say with EAGAIN no waiting mends.
 */
long tract__sys_mmap(void *addr, size_t length, int prot, int flags, int fd,
		     off_t offset);
int tract__sys_munmap(void *addr, size_t length);
long tract__sys_mremap(void *addr, size_t old_length, size_t length, int flags,
		       void *target);
int tract__sys_mprotect(void *addr, size_t length, int prot);
int tract__sys_pkey_mprotect(void *addr, size_t length, int prot, int key);
int tract__sys_madvise(void *addr, size_t length, int advice);
int tract__sys_mincore(void *addr, size_t length, unsigned char *pages);
/* Does nothing, -ENOMEM where a part of the range is not mapped. */
int tract__sys_msync(void *addr, size_t length);
/* For reading, close-on-exec. */
int tract__sys_open(const char *path);
long tract__sys_read(int fd, void *buffer, size_t size);
long tract__sys_pread(int fd, void *buffer, size_t size, off_t offset);
int tract__sys_ioctl(int fd, unsigned long number, void *arg);
void tract__sys_close(int fd);
/* All signals wait until the mask that was returned is restored. */
uint64_t tract__sys_block_signals(void);
void tract__sys_restore_signals(uint64_t before);

void tract__sys_futex_wait(uint32_t *word, uint32_t expected);
void tract__sys_futex_wake(uint32_t *word);

void tract__sys_sleep_us(long us);
/* Milliseconds of a clock that never goes back; coarse, no system call. */
uint32_t tract__sys_now_ms(void);
/* Bytes of memory and swap the machine has. */
size_t tract__sys_memory_total(void);
int tract__sys_pid(void);
/* Of the kernel's good ones, or what the process can tell from others by. */
uint64_t tract__sys_random(void);
void tract__sys_write(int fd, const char *text, size_t length);

#endif
