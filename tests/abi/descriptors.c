// SPDX-License-Identifier: MIT
/*
 * The descriptor carries no state: any of /dev/tract serves, own, passed or
 * inherited, and none needs to stay open.  What is asked for is decided by the
 * mm that asks.
 */
#include <sys/socket.h>

#include "observe.h"

#define LENGTH (2 * MIB)

static void other_descriptor(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	int second = t_open(), third = dup(t_fd());
	const int fds[] = { second, third };

	for (int i = 0; i < 2; i++) {
		struct tract_op op =
			t_make_op(TRACT_OP_DECOMMIT, res.id, 0, PAGE);
		struct tract_batch arg = { .size = sizeof(arg),
					   .ops = (uintptr_t)&op,
					   .count = 1 };

		t_fill(res.addr, LENGTH, 1);
		CHECK_ERR(t_ioctl_fd(fds[i], TRACT_IOC_BATCH, &arg), 0,
			  "BATCH through descriptor %d", i);
		CHECK_EQ(t_nonzero(res.addr, PAGE), -1, "not zero at");
		close(fds[i]);
	}
	t_unmap(&res);
}

static void none_open(void)
{
	struct t_res res = t_reserve(LENGTH, 0);

	t_fill(res.addr, LENGTH, 2);
	close(t_device);
	t_device = -1;
	CHECK_EQ(t_wrong(res.addr, LENGTH, 2), -1, "lost with no descriptor");
	CHECK_ERR(t_decommit(&res, 0, PAGE), 0, "opened again");
	CHECK_EQ(t_nonzero(res.addr, PAGE), -1, "not zero at");
	CHECK_EQ(t_process_stats().out_reservations, 1, "reservations");
	t_unmap(&res);
}

/* Every number closed, as daemons do, and the lowest taken by others. */
static void all_closed_child(void)
{
	struct t_res res = t_reserve(LENGTH, 0);

	t_fill(res.addr, LENGTH, 3);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	for (int i = 0; i < 8; i++)
		if (open("/dev/null", O_RDWR) < 0)
			t_die("/dev/null: %s", strerror(errno));
	/* Some other file at the device's old number. */
	CHECK_ERR(t_ioctl_fd(3, TRACT_IOC_INFO, &res), -ENOTTY, "/dev/null");
	t_device = -1;
	CHECK_ERR(t_decommit(&res, 0, PAGE), 0, "through a new descriptor");
	CHECK_EQ(t_nonzero(res.addr, PAGE), -1, "not zero at");
}

static void all_closed(void)
{
	IN_CHILD(all_closed_child);
}

static void after_fork(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	int pid = t_fork();

	if (!pid) {
		/* The parent's descriptor, the child's memory. */
		struct t_res own = t_reserve(LENGTH, 0);

		t_fill(own.addr, LENGTH, 4);
		CHECK_ERR(t_decommit(&own, 0, PAGE), 0, "own");
		CHECK_EQ(t_nonzero(own.addr, PAGE), -1, "not zero at");
		CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "the parent's");
		CHECK_EQ(t_process_stats().out_reservations, 1, "own");
		_exit(0);
	}
	WAIT_OK(pid);
	CHECK_EQ(t_process_stats().out_reservations, 1, "reservations");
	t_unmap(&res);
}

/* In a program started by exec: argv[2] is the descriptor, [3] the old id. */
static int after_exec(char **argv)
{
	struct t_res res, old = { .id = strtoull(argv[3], NULL, 0) };
	int err;

	t_begin("after exec", 20);
	t_device = atoi(argv[2]);
	err = t_decommit(&old, 0, PAGE);
	if (!CHECK_ERR(err, -ENOENT, "id from before exec"))
		return 1;
	if (!CHECK_EQ(t_process_stats().out_reservations, 0, "after exec"))
		return 1;
	res = t_reserve(LENGTH, 0);
	t_fill(res.addr, LENGTH, 5);
	if (!CHECK_ERR(t_decommit(&res, 0, PAGE), 0, "own") ||
	    !CHECK_EQ(t_nonzero(res.addr, PAGE), -1, "not zero at") ||
	    !CHECK_EQ(t_wrong(res.addr + PAGE, PAGE, 5 + PAGE / 8), -1, "lost"))
		return 1;
	return 0;
}

static void through_exec(void)
{
	struct tract_stats was = t_system_stats();
	int pid = t_fork();

	if (!pid) {
		struct t_res res = t_reserve(LENGTH, 0);
		int fd = dup(t_fd());
		char num[16], id[32];

		snprintf(num, sizeof(num), "%d", fd);
		snprintf(id, sizeof(id), "%llu", res.id);
		execl("/proc/self/exe", "descriptors", "--after-exec", num, id,
		      NULL);
		_exit(1);
	}
	WAIT_OK(pid);
	CHECK_EQ(t_system_stats().out_reservations, was.out_reservations,
		 "reservations of the system after exec and exit");
}

/* Sent to an unrelated process over a socket. */
static void passed(void)
{
	int pair[2], pid;
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { (char[]){ 0 }, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		t_die("socketpair: %s", strerror(errno));
	pid = t_fork();
	if (!pid) {
		struct t_res res;

		close(t_device);
		if (recvmsg(pair[1], &msg, 0) != 1)
			t_die("recvmsg: %s", strerror(errno));
		memcpy(&t_device, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
		res = t_reserve(LENGTH, 0);
		t_fill(res.addr, LENGTH, 6);
		CHECK_ERR(t_decommit(&res, 0, PAGE), 0, "own");
		CHECK_EQ(t_nonzero(res.addr, PAGE), -1, "not zero at");
		_exit(0);
	}
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), (int[]){ t_fd() }, sizeof(int));
	if (sendmsg(pair[0], &msg, 0) != 1)
		t_die("sendmsg: %s", strerror(errno));
	WAIT_OK(pid);
	CHECK_EQ(t_process_stats().out_reservations, 0, "the sender's");
	close(pair[0]);
	close(pair[1]);
}

static void not_a_file(void)
{
	char byte = 0;
	void *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, t_fd(), 0);

	CHECK(at == MAP_FAILED, "the device itself was mapped");
	at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, t_fd(), 0);
	CHECK(at == MAP_FAILED, "the device itself was mapped");
	CHECK(read(t_fd(), &byte, 1) < 0, "the device was read");
	CHECK(write(t_fd(), &byte, 1) < 0, "the device was written");
}

static void gone_with_exit(void)
{
	struct tract_stats was = t_system_stats(), is;

	for (int how = 0; how < 3; how++) {
		struct t_gate up = t_make_gate();
		int pid = t_fork(), status;

		if (!pid) {
			for (int i = 0; i < 8; i++)
				memset(t_reserve(LENGTH, 0).addr, 1, LENGTH);
			t_open_gate(&up);
			if (how == 0)
				_exit(0);
			if (how == 1)
				__builtin_trap();
			pause();
		}
		t_pass_gate(&up);
		if (how == 2)
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		is = t_system_stats();
		CHECK_EQ(is.out_reservations, was.out_reservations,
			 "reservations after death %d", how);
		CHECK_EQ(is.out_reserved_bytes, was.out_reserved_bytes,
			 "bytes after death %d", how);
		close(up.fd[0]);
		close(up.fd[1]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--after-exec"))
		return after_exec(argv);
	t_begin("descriptors", 60);
	t_fd();
	RUN(other_descriptor);
	RUN(none_open);
	RUN(all_closed);
	RUN(after_fork);
	RUN(through_exec);
	RUN(passed);
	RUN(not_a_file);
	RUN(gone_with_exit);
	return t_end();
}
