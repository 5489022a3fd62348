// SPDX-License-Identifier: MIT
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/tract.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define DEVICE_PATH "/dev/tract"

/*
 * Where the descriptor is put: out of the way of programs that expect low
 * numbers, and not so high that the kernel's table of the process grows beyond
 * the 1,024 entries that are usual.
 */
#define DEVICE_FD_MIN 1000

/* st_rdev of the device, once opened; it tells our descriptor from another. */
static dev_t device_number;

/*
 * syscall() rather than the C library's wrappers: a preload may have replaced
 * mmap() and its like, and would call back into us.
 */
static long call(long number, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long ret = syscall(number, a, b, c, d, e, f);

	if (ret == -1) {
		ret = -errno;
		errno = saved;
	}
	return ret;
}

void tract__sys_sleep_us(long us)
{
	struct timespec ts = { .tv_nsec = us * 1000 };

	call(SYS_nanosleep, (long)&ts, 0, 0, 0, 0, 0);
}

/* EAGAIN is all that waiting can help; an ENOMEM of the map stays one. */
static long call_memory(long number, long a, long b, long c, long d, long e,
			long f)
{
	long ret = call(number, a, b, c, d, e, f);
	long pause_us = 50;

	for (int i = 0; ret == -EAGAIN && i < SYS_RETRIES; i++) {
		tract__sys_sleep_us(pause_us);
		pause_us *= 4;
		ret = call(number, a, b, c, d, e, f);
	}
	return ret;
}

void tract__sys_pause(unsigned int turn)
{
	tract__sys_sleep_us(50l << 2 * (turn < 5 ? turn : 5));
}

/* Kernels before 4.17 do not know the flag and take the address for a hint. */
long tract__sys_map_at(uintptr_t addr, size_t length)
{
	long ret = call(SYS_mmap, (long)addr, (long)length,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				MAP_FIXED_NOREPLACE,
			-1, 0);

	if (ret == (long)addr || (ret < 0 && ret > -4096))
		return ret;
	tract__sys_munmap((void *)ret, length);
	return -EEXIST;
}

long tract__sys_map_over(uintptr_t addr, size_t length)
{
	return call_memory(
		SYS_mmap, (long)addr, (long)length, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static long map_anywhere(size_t length)
{
	return call_memory(SYS_mmap, 0, (long)length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * Near a limit the answer depends on what other threads have mapped for a moment:
 * one more try, for what a region needs takes several calls that must all succeed.
 */
void *tract__sys_map(size_t length)
{
	long ret = map_anywhere(length);

	if (unlikely(ret == -ENOMEM))
		ret = map_anywhere(length);
	return ret < 0 && ret > -4096 ? NULL : (void *)ret;
}

void *tract__sys_map_aligned(size_t length, size_t align)
{
	char *start, *aligned;

	if (length + align < length)
		return NULL;
	/* Since Linux 6.7 what could have huge pages is aligned for them. */
	start = tract__sys_map(length);
	if (!start || !((uintptr_t)start & (align - 1)))
		return start;
	tract__sys_unmap(start, length);
	start = tract__sys_map(length + align);
	if (!start)
		return NULL;
	aligned = (char *)align_up((uintptr_t)start, align);
	if (aligned > start)
		tract__sys_unmap(start, (size_t)(aligned - start));
	tract__sys_unmap(aligned + length, (size_t)(start + align - aligned));
	return aligned;
}

int tract__sys_unmap(void *addr, size_t length)
{
	if (!length)
		return 0;
	return (int)call_memory(SYS_munmap, (long)addr, (long)length, 0, 0, 0,
				0);
}

int tract__sys_discard(void *addr, size_t length)
{
	return (int)call_memory(SYS_madvise, (long)addr, (long)length,
				MADV_DONTNEED, 0, 0, 0);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void tract__sys_populate(void *addr, size_t length)
{
	static bool unknown; /* to the kernel: before 5.14 */

	if (!read_once(&unknown) &&
	    call(SYS_madvise, (long)addr, (long)length, MADV_POPULATE_WRITE, 0,
		 0, 0) == -EINVAL)
		write_once(&unknown, true);
}

int tract__sys_forbid_huge(void *addr, size_t length)
{
	return (int)call_memory(SYS_madvise, (long)addr, (long)length,
				MADV_NOHUGEPAGE, 0, 0, 0);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

int tract__sys_guard(void *addr, size_t length)
{
	return (int)call_memory(SYS_madvise, (long)addr, (long)length,
				MADV_GUARD_INSTALL, 0, 0, 0);
}

int tract__sys_forbid(void *addr, size_t length)
{
	return (int)call_memory(SYS_mprotect, (long)addr, (long)length,
				PROT_NONE, 0, 0, 0);
}

#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

int tract__sys_unguard(void *addr, size_t length)
{
	return (int)call_memory(SYS_madvise, (long)addr, (long)length,
				MADV_GUARD_REMOVE, 0, 0, 0);
}

int tract__sys_allow(void *addr, size_t length)
{
	return (int)call_memory(SYS_mprotect, (long)addr, (long)length,
				PROT_READ | PROT_WRITE, 0, 0, 0);
}

uint32_t *tract__sys_fork_canary(void)
{
	uint32_t *canary = tract__sys_map(PAGE);

	if (!canary)
		return NULL;
	if (call_memory(SYS_madvise, (long)canary, PAGE, MADV_WIPEONFORK, 0, 0,
			0)) {
		tract__sys_unmap(canary, PAGE);
		return NULL;
	}
	*canary = 1;
	return canary;
}

static int device_call(int fd, unsigned long number, void *arg)
{
	return (int)call_memory(SYS_ioctl, fd, (long)number, (long)arg, 0, 0,
				0);
}

static bool speaks_abi(int fd)
{
	struct tract_info info = { .size = sizeof(info) };

	return !device_call(fd, TRACT_IOC_INFO, &info) &&
	       info.out_abi_version == TRACT_ABI_VERSION;
}

int tract__sys_open_device(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };
	long floor = DEVICE_FD_MIN;
	struct stat st;
	long low, fd;

	low = call(SYS_openat, AT_FDCWD, (long)DEVICE_PATH, O_RDWR | O_CLOEXEC,
		   0, 0, 0);
	if (low < 0)
		return (int)low;
	if (call(SYS_fstat, low, (long)&st, 0, 0, 0, 0) ||
	    !S_ISCHR(st.st_mode) || !speaks_abi((int)low)) {
		call(SYS_close, low, 0, 0, 0, 0, 0);
		return -ENODEV;
	}
	device_number = st.st_rdev;
	call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
	if (limit.rlim_cur < DEVICE_FD_MIN + 16)
		floor = limit.rlim_cur > 32 ? (long)limit.rlim_cur - 16 : 3;
	fd = call(SYS_fcntl, low, F_DUPFD_CLOEXEC, floor, 0, 0, 0);
	if (fd < 0)
		return (int)low;
	call(SYS_close, low, 0, 0, 0, 0, 0);
	return (int)fd;
}

bool tract__sys_is_device(int fd)
{
	struct stat st;

	return fd >= 0 && !call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) &&
	       S_ISCHR(st.st_mode) && st.st_rdev == device_number;
}

int tract__sys_device_reserve(int fd, struct tract_reserve *reserve)
{
	return device_call(fd, TRACT_IOC_RESERVE, reserve);
}

int tract__sys_device_batch(int fd, struct tract_batch *batch)
{
	return device_call(fd, TRACT_IOC_BATCH, batch);
}

long tract__sys_mmap(void *addr, size_t length, int prot, int flags, int fd,
		     off_t offset)
{
	return call(SYS_mmap, (long)addr, (long)length, prot, flags, fd,
		    offset);
}

int tract__sys_munmap(void *addr, size_t length)
{
	return (int)call(SYS_munmap, (long)addr, (long)length, 0, 0, 0, 0);
}

long tract__sys_mremap(void *addr, size_t old_length, size_t length, int flags,
		       void *target)
{
	return call(SYS_mremap, (long)addr, (long)old_length, (long)length,
		    flags, (long)target, 0);
}

int tract__sys_mprotect(void *addr, size_t length, int prot)
{
	return (int)call(SYS_mprotect, (long)addr, (long)length, prot, 0, 0, 0);
}

int tract__sys_pkey_mprotect(void *addr, size_t length, int prot, int key)
{
	return (int)call(SYS_pkey_mprotect, (long)addr, (long)length, prot, key,
			 0, 0);
}

int tract__sys_madvise(void *addr, size_t length, int advice)
{
	return (int)call_memory(SYS_madvise, (long)addr, (long)length, advice,
				0, 0, 0);
}

int tract__sys_mincore(void *addr, size_t length, unsigned char *pages)
{
	return (int)call(SYS_mincore, (long)addr, (long)length, (long)pages, 0,
			 0, 0);
}

int tract__sys_msync(void *addr, size_t length)
{
	return (int)call(SYS_msync, (long)addr, (long)length, MS_ASYNC, 0, 0,
			 0);
}

int tract__sys_open(const char *path)
{
	return (int)call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC,
			 0, 0, 0);
}

long tract__sys_read(int fd, void *buffer, size_t size)
{
	return call(SYS_read, fd, (long)buffer, (long)size, 0, 0, 0);
}

long tract__sys_pread(int fd, void *buffer, size_t size, off_t offset)
{
	return call(SYS_pread64, fd, (long)buffer, (long)size, offset, 0, 0);
}

int tract__sys_ioctl(int fd, unsigned long number, void *arg)
{
	return (int)call(SYS_ioctl, fd, (long)number, (long)arg, 0, 0, 0);
}

void tract__sys_close(int fd)
{
	call(SYS_close, fd, 0, 0, 0, 0, 0);
}

uint64_t tract__sys_block_signals(void)
{
	uint64_t all = ~(uint64_t)0, before = 0;

	call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&before,
	     sizeof(all), 0, 0);
	return before;
}

void tract__sys_restore_signals(uint64_t before)
{
	call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof(before),
	     0, 0);
}

int tract__sys_device_purge_map(int fd, struct tract_purge_map *map)
{
	return device_call(fd, TRACT_IOC_PURGE_MAP, map);
}

void tract__sys_futex_wait(uint32_t *word, uint32_t expected)
{
	call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, expected, 0, 0, 0);
}

void tract__sys_futex_wake(uint32_t *word)
{
	call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

uint32_t tract__sys_now_ms(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)(ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

size_t tract__sys_memory_total(void)
{
	struct sysinfo info;

	if (call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0))
		return SIZE_MAX;
	return (info.totalram + info.totalswap) * info.mem_unit;
}

int tract__sys_pid(void)
{
	return (int)call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/*
 * Early at boot, or behind a filter, the kernel may not answer: then the bytes
 * that it gave the program at its start, and the time.
 */
uint64_t tract__sys_random(void)
{
	const void *start = (const void *)getauxval(AT_RANDOM);
	struct timespec ts = { 0 };
	uint64_t n = 0;

	if (call(SYS_getrandom, (long)&n, sizeof(n), GRND_NONBLOCK, 0, 0, 0) ==
	    sizeof(n))
		return n;
	if (start)
		memcpy(&n, start, sizeof(n));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	n ^= (uint64_t)tract__sys_pid() << 32 ^ (uint64_t)ts.tv_nsec << 8;
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
	n = (n ^ n >> 27) * 0x94d049bb133111eb;
	return n ^ n >> 31;
}

void tract__sys_write(int fd, const char *text, size_t length)
{
	while (length) {
		long n = call(SYS_write, fd, (long)text, (long)length, 0, 0, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		length -= (size_t)n;
	}
}
