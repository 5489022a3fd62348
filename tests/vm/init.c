// SPDX-License-Identifier: MIT
/*
 * Process 1 of a test VM.  It makes the host's files the root, under an overlay
 * in memory, loads the module, runs one command and reports over virtio ports:
 *
 *   tract.out     what the command writes, byte for byte
 *   tract.status  one fact a line: "ready SECONDS", "exit STATUS",
 *                 "module LINE-OF-/proc/modules", "note TEXT",
 *                 "problem TEXT", and last "done"
 *
 * The initramfs that scripts/vm makes holds, beside this program:
 *
 *   /modules/NN-*.ko  what is needed to see the host, in the order to load
 *   /tract.ko         the module, if it is wanted
 *   /conf/argv, /conf/env, /conf/keep, /conf/params, /conf/modules, /conf/cwd
 *
 * The lists among them are strings that end in a NUL byte each.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIST_MAX 1024

static int status_fd = -1;
static int out_fd = -1;

static void report(const char *format, ...)
{
	char line[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	/* Before the ports exist the console is all there is. */
	if (write(status_fd < 0 ? STDERR_FILENO : status_fd, line, length) < 0)
		perror("tract.status");
}

static void __attribute__((noreturn)) power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void __attribute__((noreturn)) fatal(const char *what)
{
	report("problem %s: %s", what, strerror(errno));
	power_off();
}

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* The whole file and a NUL byte behind it; NULL when there is none. */
static char *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0, room = 4096;
	char *text = malloc(room + 1);
	ssize_t got = -1;

	if (!text)
		fatal("malloc");
	while (fd >= 0 && (got = read(fd, text + used, room - used)) > 0) {
		used += got;
		if (used < room)
			continue;
		room *= 2;
		text = realloc(text, room + 1);
		if (!text)
			fatal("realloc");
	}
	if (fd >= 0)
		close(fd);
	if (got < 0) {
		free(text);
		return NULL;
	}
	text[used] = '\0';
	if (size)
		*size = used;
	return text;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return ret;
}

static char *read_conf(const char *path)
{
	char *text = read_file(path, NULL);

	if (!text)
		fatal(path);
	return text;
}

static char **read_list(const char *path)
{
	static char *none[1];
	char **list = calloc(LIST_MAX + 1, sizeof(*list));
	size_t size, at = 0;
	char *text = read_file(path, &size);
	int count = 0;

	if (!text)
		return none;
	if (!list)
		fatal("calloc");
	for (; at < size; at += strlen(text + at) + 1) {
		if (count == LIST_MAX) {
			errno = E2BIG;
			fatal(path);
		}
		list[count++] = text + at;
	}
	return list;
}

static void make_dirs(const char *path)
{
	char copy[4096];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", path);
	for (slash = strchr(copy + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
	mkdir(copy, 0755);
}

static void mount_on(const char *type, const char *source, const char *target,
		     unsigned long flags, const char *options)
{
	make_dirs(target);
	if (mount(source, target, type, flags, options))
		fatal(target);
}

/* Of these a kernel may lack one; a test that needs it says so itself. */
static void try_mount(const char *type, const char *target)
{
	mkdir(target, 0755);
	if (mount(type, target, type, 0, NULL))
		report("note no %s", type);
}

static void load_module(const char *path, const char *params)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 ||
	    (syscall(SYS_finit_module, fd, params, 0) && errno != EEXIST))
		fatal(path);
	close(fd);
}

static void load_boot_modules(void)
{
	glob_t found;
	size_t i;

	if (glob("/modules/*.ko", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		load_module(found.gl_pathv[i], "");
	globfree(&found);
}

/* The port's device appears some time after its driver was loaded. */
static int open_port(const char *name)
{
	char path[300], *text;
	glob_t found;
	int attempt, fd = -1;
	size_t i;

	for (attempt = 0; attempt < 1000 && fd < 0; attempt++) {
		if (!glob("/sys/class/virtio-ports/*/name", 0, NULL, &found)) {
			for (i = 0; i < found.gl_pathc && fd < 0; i++) {
				text = read_file(found.gl_pathv[i], NULL);
				if (!text)
					continue;
				text[strcspn(text, "\n")] = '\0';
				if (!strcmp(text, name)) {
					*strrchr(found.gl_pathv[i], '/') = '\0';
					snprintf(path, sizeof(path), "/dev/%s",
						 strrchr(found.gl_pathv[i],
							 '/') +
							 1);
					fd = open(path, O_WRONLY | O_CLOEXEC);
				}
				free(text);
			}
			globfree(&found);
		}
		if (fd < 0)
			sleep_ms(10);
	}
	if (fd < 0)
		fatal(name);
	return fd;
}

/*
 * An empty directory in memory over @dir, in which what we need of the host
 * (the repository may have been cloned there) stays visible.
 */
static void cover(const char *dir, char **keep)
{
	char held[32], path[4096];
	size_t length = strlen(dir);
	int i;

	for (i = 0; keep[i]; i++) {
		if (strncmp(keep[i], dir, length) || keep[i][length] != '/')
			continue;
		snprintf(held, sizeof(held), "/hold/%d", i);
		snprintf(path, sizeof(path), "/root%s", keep[i]);
		mount_on(NULL, path, held, MS_BIND, NULL);
	}
	snprintf(path, sizeof(path), "/root%s", dir);
	mount_on("tmpfs", "tmpfs", path, 0, "mode=1777");
	for (i = 0; keep[i]; i++) {
		if (strncmp(keep[i], dir, length) || keep[i][length] != '/')
			continue;
		snprintf(held, sizeof(held), "/hold/%d", i);
		snprintf(path, sizeof(path), "/root%s", keep[i]);
		mount_on(NULL, held, path, MS_MOVE, NULL);
	}
}

static void enter_host_root(char **keep)
{
	mount_on("9p", "hostroot", "/lower", MS_RDONLY,
		 "trans=virtio,version=9p2000.L,msize=512000,cache=loose");
	mount_on("tmpfs", "tmpfs", "/rw", 0, "mode=755");
	make_dirs("/rw/upper");
	make_dirs("/rw/work");
	mount_on("overlay", "overlay", "/root", 0,
		 "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work");
	cover("/tmp", keep);
	cover("/run", keep);
	mount_on(NULL, "/dev", "/root/dev", MS_MOVE, NULL);
	mount_on(NULL, "/proc", "/root/proc", MS_MOVE, NULL);
	mount_on(NULL, "/sys", "/root/sys", MS_MOVE, NULL);
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		fatal("switch root");
	mount_on("devpts", "devpts", "/dev/pts", 0,
		 "gid=5,mode=620,ptmxmode=666");
	mount_on("tmpfs", "tmpfs", "/dev/shm", 0, "mode=1777");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	try_mount("debugfs", "/sys/kernel/debug");
	try_mount("tracefs", "/sys/kernel/tracing");
	try_mount("cgroup2", "/sys/fs/cgroup");
}

static void bring_loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		fatal("lo");
	close(fd);
}

/* So that modprobe finds the modules of this kernel, not of the host's. */
static void link_modules(const char *dir)
{
	struct utsname name;
	char path[300];

	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s", name.release);
	make_dirs("/lib/modules");
	if (!access(path, F_OK)) {
		if (mount(dir, path, NULL, MS_BIND, NULL))
			fatal(path);
	} else if (symlink(dir, path)) {
		fatal(path);
	}
}

static void copy_output(int fd)
{
	char buffer[65536];
	ssize_t got, put, done;

	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		for (done = 0; done < got; done += put) {
			put = write(out_fd, buffer + done, got - done);
			if (put < 0)
				fatal("tract.out");
		}
}

static void on_child(int signo)
{
	(void)signo;
}

/* Returns its exit status as a shell would put it. */
static int run_command(char **argv, char **env, const char *cwd)
{
	struct sigaction action = { .sa_handler = on_child };
	sigset_t blocked, before;
	int output[2], status, result = -1;
	pid_t child, gone;

	/* Children are only waited for where the signal may end the poll. */
	sigaction(SIGCHLD, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	if (pipe2(output, O_CLOEXEC))
		fatal("pipe");
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	child = fork();
	if (child < 0)
		fatal("fork");
	if (!child) {
		int null = open("/dev/null", O_RDONLY);

		signal(SIGCHLD, SIG_DFL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		setsid();
		dup2(null, STDIN_FILENO);
		if (null > STDERR_FILENO)
			close(null);
		dup2(output[1], STDOUT_FILENO);
		dup2(output[1], STDERR_FILENO);
		if (chdir(cwd)) {
			perror(cwd);
			_exit(127);
		}
		clearenv();
		while (*env)
			putenv(*env++);
		execvp(argv[0], argv);
		status = errno == ENOENT ? 127 : 126;
		perror(argv[0]);
		_exit(status);
	}
	close(output[1]);
	while (result < 0) {
		struct pollfd wait = { output[0], POLLIN, 0 };

		ppoll(&wait, 1, NULL, &before);
		copy_output(output[0]);
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0)
			if (gone == child)
				result = WIFEXITED(status) ?
						 WEXITSTATUS(status) :
						 128 + WTERMSIG(status);
		/* Nobody can write any more: poll() would return for ever. */
		if (wait.revents & POLLHUP && result < 0) {
			while ((gone = wait4(-1, &status, 0, NULL)) != child)
				if (gone < 0)
					fatal("wait");
			result = WIFEXITED(status) ? WEXITSTATUS(status) :
						     128 + WTERMSIG(status);
		}
	}
	/* What it left behind must not hold the module. */
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	copy_output(output[0]);
	close(output[0]);
	return result;
}

/*
 * No process is left, so the module must go.  The last references are dropped
 * by delayed work (fput, RCU), hence the patience.
 */
static void unload_module(void)
{
	char *count;
	int attempt;

	for (attempt = 0; attempt < 500; attempt++) {
		if (!syscall(SYS_delete_module, "tract", O_NONBLOCK) ||
		    errno == ENOENT)
			return;
		sleep_ms(10);
	}
	count = read_file("/sys/module/tract/refcnt", NULL);
	report("problem the module does not unload: %s, %s references",
	       strerror(errno), count ? strtok(count, "\n") : "unknown");
}

/*
 * Twice: an object counts as leaked when two scans agree, and one younger than
 * five seconds is not looked at.
 */
static void scan_for_leaks(void)
{
	static const char file[] = "/sys/kernel/debug/kmemleak";
	char *text, *line;

	if (access(file, W_OK))
		return;
	sleep_ms(6000);
	if (write_file(file, "scan") || write_file(file, "scan")) {
		report("problem kmemleak does not scan");
		return;
	}
	text = read_file(file, NULL);
	for (line = text ? strtok(text, "\n") : NULL; line;
	     line = strtok(NULL, "\n")) {
		char record[600];

		snprintf(record, sizeof(record), "<3>kmemleak: %s\n", line);
		write_file("/dev/kmsg", record);
	}
	free(text);
}

int main(void)
{
	char **argv, **env, **keep;
	char *params, *modules, *cwd, *uptime;
	int wanted;

	umask(022);
	mount_on("proc", "proc", "/proc", 0, NULL);
	mount_on("sysfs", "sysfs", "/sys", 0, NULL);
	/* The kernel may have mounted it already. */
	mkdir("/dev", 0755);
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY)
		fatal("/dev");
	load_boot_modules();
	status_fd = open_port("tract.status");
	out_fd = open_port("tract.out");
	argv = read_list("/conf/argv");
	env = read_list("/conf/env");
	keep = read_list("/conf/keep");
	params = read_conf("/conf/params");
	modules = read_conf("/conf/modules");
	cwd = read_conf("/conf/cwd");
	wanted = open("/tract.ko", O_RDONLY | O_CLOEXEC);

	enter_host_root(keep);
	link_modules(modules);
	bring_loopback_up();
	sethostname("tract-vm", 8);
	if (wanted >= 0 && syscall(SYS_finit_module, wanted, params, 0))
		fatal("tract.ko");
	if (wanted >= 0) {
		char *text = read_file("/proc/modules", NULL);

		/* Leaks are reported when the module's symbols are gone. */
		if (text && !strncmp(text, "tract ", 6))
			report("module %s", strtok(text, "\n"));
		free(text);
		close(wanted);
	}
	uptime = read_file("/proc/uptime", NULL);
	report("ready %s", uptime ? strtok(uptime, " ") : "?");

	report("exit %d", run_command(argv, env, cwd));
	unload_module();
	scan_for_leaks();
	report("done");
	power_off();
}
