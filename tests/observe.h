/* SPDX-License-Identifier: MIT */
/*
 * What can be seen of a process from outside: the counters of the device, files
 * of /proc, entries of the map, resident pages; and all of it at once, for
 * "nothing has changed".  As in harness.h nothing calls malloc(), but for stdio
 * in t_find_vma().
 */
#ifndef TESTS_OBSERVE_H
#define TESTS_OBSERVE_H

#include "harness.h"

T_FN int t_stats_flags(unsigned int flags, unsigned int scope, int pid,
		       __u64 id, struct tract_stats *st)
{
	*st = (struct tract_stats){
		.size = sizeof(*st),
		.flags = flags,
		.scope = scope,
		.pid = pid,
		.id = id,
	};
	return t_ioctl(TRACT_IOC_STATS, st);
}

T_FN int t_stats(unsigned int scope, int pid, __u64 id, struct tract_stats *st)
{
	return t_stats_flags(0, scope, pid, id, st);
}

T_FN struct tract_stats t_process_stats(void)
{
	struct tract_stats st;
	int err = t_stats(TRACT_SCOPE_PROCESS, 0, 0, &st);

	if (err)
		t_die("STATS of the process: %s", strerror(-err));
	return st;
}

T_FN struct tract_stats t_system_stats(void)
{
	struct tract_stats st;
	int err = t_stats(TRACT_SCOPE_SYSTEM, 0, 0, &st);

	if (err)
		t_die("STATS of the system: %s", strerror(-err));
	return st;
}

/* Files of /proc and the like. */

T_FN ssize_t t_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (have < size - 1) {
		n = read(fd, buf + have, size - 1 - have);
		if (n <= 0)
			break;
		have += n;
	}
	close(fd);
	buf[have] = 0;
	return have;
}

T_FN int t_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

T_FN long long t_read_number(const char *path)
{
	char buf[64];

	if (t_read_file(path, buf, sizeof(buf)) < 0)
		return -1;
	return strtoll(buf, NULL, 10);
}

T_FN int t_write_number(const char *path, long long value)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%lld\n", value);
	return t_write_file(path, buf);
}

/* "Name:   123 kB" in a file like /proc/meminfo, in bytes; -1 if not there. */
T_FN long long t_field(const char *path, const char *name)
{
	static char buf[16384];
	char *at = buf;
	size_t len = strlen(name);

	if (t_read_file(path, buf, sizeof(buf)) < 0)
		return -1;
	for (; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, name, len) && at[len] == ':')
			return strtoll(at + len + 1, NULL, 10) * 1024;
	}
	return -1;
}

/*
 * Lines of /proc/PID/maps, which is what mm->map_count counts, but for
 * [vsyscall], which is no VMA.
 */
T_FN long t_map_count(int pid)
{
	static char buf[65536];
	char path[64];
	size_t keep = 0;
	long lines = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid ? pid : getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf + keep, sizeof(buf) - keep)) > 0) {
		char *line = buf, *end = buf + keep + n, *eol;

		while ((eol = memchr(line, '\n', end - line))) {
			*eol = 0;
			lines += !strstr(line, "[vsyscall]");
			line = eol + 1;
		}
		keep = end - line;
		memmove(buf, line, keep);
	}
	close(fd);
	return lines;
}

struct t_vma {
	unsigned long start, end;
	char perms[8];
	char flags[160];
	long rss, huge, locked;
};

/* The entry of /proc/self/smaps that holds an address; false if none does. */
T_FN bool t_find_vma(const void *addr, struct t_vma *vma)
{
	static char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");
	bool found = false;

	if (!f)
		t_die("smaps: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char perms[8];

		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3) {
			if (found)
				break;
			if (start > (uintptr_t)addr || end <= (uintptr_t)addr)
				continue;
			found = true;
			*vma = (struct t_vma){ .start = start, .end = end };
			memcpy(vma->perms, perms, sizeof(perms));
		} else if (found) {
			sscanf(line, "Rss: %ld", &vma->rss);
			sscanf(line, "AnonHugePages: %ld", &vma->huge);
			sscanf(line, "Locked: %ld", &vma->locked);
			if (!strncmp(line, "VmFlags:", 8)) {
				line[strcspn(line, "\n")] = ' ';
				snprintf(vma->flags, sizeof(vma->flags), "%s",
					 line + 8);
			}
		}
	}
	fclose(f);
	vma->rss *= 1024;
	vma->huge *= 1024;
	vma->locked *= 1024;
	return found;
}

/* flag is two letters of VmFlags, such as "dd". */
T_FN bool t_vma_flag(const struct t_vma *vma, const char *flag)
{
	char padded[8];

	snprintf(padded, sizeof(padded), " %s ", flag);
	return strstr(vma->flags, padded);
}

/* Pages that are resident, by mincore(). */
T_FN long t_resident(const void *addr, size_t length)
{
	static unsigned char vec[65536];
	long count = 0;

	for (size_t done = 0; done < length; done += sizeof(vec) * PAGE) {
		size_t n = length - done;

		if (n > sizeof(vec) * PAGE)
			n = sizeof(vec) * PAGE;
		if (mincore((char *)addr + done, n, vec))
			return -errno;
		for (size_t i = 0; i < n / PAGE; i++)
			count += vec[i] & 1;
	}
	return count;
}

/* A process's own view, for "nothing has changed". */
struct t_snap {
	struct tract_stats process, system;
	long maps;
};

T_FN struct t_snap t_snapshot(void)
{
	return (struct t_snap){
		.process = t_process_stats(),
		.system = t_system_stats(),
		.maps = t_map_count(0),
	};
}

#define CHECK_UNCHANGED(before, fmt, ...)                                      \
	({                                                                     \
		struct t_snap after_ = t_snapshot();                           \
		bool same_ = true;                                             \
		same_ &= CHECK_EQ(after_.maps, (before)->maps,                 \
				  fmt ": lines of maps", ##__VA_ARGS__);       \
		same_ &= CHECK(!memcmp(&after_.process, &(before)->process,    \
				       sizeof(after_.process)),                \
			       fmt ": counters of the process changed",        \
			       ##__VA_ARGS__);                                 \
		same_ &= CHECK(!memcmp(&after_.system, &(before)->system,      \
				       sizeof(after_.system)),                 \
			       fmt ": counters of the system changed",         \
			       ##__VA_ARGS__);                                 \
		same_;                                                         \
	})

#endif /* TESTS_OBSERVE_H */
