// SPDX-License-Identifier: MIT
/*
 * Core dumps: a reservation is in it, unless it was made with NODUMP; what was
 * dropped is not, by itself.  Sets core_pattern, so for a virtual machine.
 */
#include "observe.h"

#define PATTERN "/proc/sys/kernel/core_pattern"
#define CORE "/tmp/tract-core"
#define LENGTH (4 * MIB)
#define WORDS 64

/* The marker exists nowhere but where it was written: it is made, not kept. */
static uint64_t marker(unsigned int which, unsigned int word)
{
	return t_mix(0xc0de0000 + which * 1000 + word);
}

static void write_marker(char *at, unsigned int which)
{
	for (unsigned int i = 0; i < WORDS; i++)
		((uint64_t *)at)[i] = marker(which, i);
}

static void dumps(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	struct t_res with = t_reserve(LENGTH, 0);
	struct t_res without = t_reserve(LENGTH, TRACT_RESERVE_NODUMP);
	struct t_res small = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);

	setrlimit(RLIMIT_CORE, &limit);
	prctl(PR_SET_DUMPABLE, 1);
	write_marker(with.addr + MIB, 0);
	write_marker(with.addr + 3 * MIB, 1);
	write_marker(without.addr + MIB, 2);
	write_marker(small.addr + MIB, 3);
	write_marker(small.addr + 3 * MIB, 4);
	if (t_decommit(&with, 3 * MIB, PAGE) ||
	    t_decommit(&small, 3 * MIB, PAGE))
		t_die("DECOMMIT");
	if (chdir("/tmp"))
		t_die("chdir: %s", strerror(errno));
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* Is the marker in the core file?  It starts on a page. */
static bool in_core(const char *core, size_t size, unsigned int which)
{
	for (size_t at = 0; at + WORDS * 8 <= size; at += 8) {
		const uint64_t *word = (const void *)(core + at);
		unsigned int i = 0;

		while (i < WORDS && word[i] == marker(which, i))
			i++;
		if (i == WORDS)
			return true;
	}
	return false;
}

static void contents(void)
{
	char was[128] = "core";
	struct stat sb;
	char *core;
	int pid, status, fd;

	t_read_file(PATTERN, was, sizeof(was));
	unlink(CORE);
	if (t_write_file(PATTERN, CORE))
		t_die("cannot write " PATTERN);
	pid = t_fork();
	if (!pid)
		dumps();
	waitpid(pid, &status, 0);
	t_write_file(PATTERN, was);
	CHECK(WIFSIGNALED(status) && WCOREDUMP(status), "status %#x", status);
	fd = open(CORE, O_RDONLY | O_CLOEXEC);
	if (!CHECK(fd >= 0, "no core file: %s", strerror(errno)))
		return;
	fstat(fd, &sb);
	t_note("core of %lld KiB", (long long)sb.st_size / 1024);
	core = mmap(NULL, sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (core == MAP_FAILED)
		t_die("core: %s", strerror(errno));
	CHECK(in_core(core, sb.st_size, 0), "plain: written, not in the core");
	CHECK(!in_core(core, sb.st_size, 1), "plain: dropped, in the core");
	CHECK(!in_core(core, sb.st_size, 2), "NODUMP: in the core");
	CHECK(in_core(core, sb.st_size, 3), "NOHUGE: written, not in the core");
	CHECK(!in_core(core, sb.st_size, 4), "NOHUGE: dropped, in the core");
	munmap(core, sb.st_size);
	close(fd);
	unlink(CORE);
}

int main(void)
{
	t_begin("coredump", 60);
	t_fd();
	if (geteuid() || access(PATTERN, W_OK))
		t_skip_all("cannot write " PATTERN);
	RUN(contents);
	return t_end();
}
