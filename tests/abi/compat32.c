// SPDX-License-Identifier: MIT
/*
 * The 32-bit entry: the structures are laid out alike on both sides, so the
 * same calls through int 0x80 do the same.  (The memory is a 64-bit process's.)
 */
#include "harness.h"

#ifdef __x86_64__
static int ioctl32(unsigned long nr, void *arg)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(54), "b"(t_fd()), "c"((unsigned int)nr),
			   "d"((unsigned int)(uintptr_t)arg)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

static char *low;

static void same_answers(void)
{
	struct tract_info *info = (void *)low, want = t_info();
	struct tract_stats *st = (void *)(low + 1024);
	struct t_res res = t_reserve(2 * MIB, TRACT_RESERVE_NOHUGE);
	struct tract_batch *batch = (void *)(low + 2048);
	struct tract_op *ops = (void *)(low + 3072);

	*info = (struct tract_info){ .size = sizeof(*info) };
	CHECK_ERR(ioctl32(TRACT_IOC_INFO, info), 0, "INFO");
	CHECK(!memcmp(info, &want, sizeof(want)), "INFO differs");
	info->size = 8;
	CHECK_ERR(ioctl32(TRACT_IOC_INFO, info), -EINVAL, "INFO, short");
	CHECK_ERR(ioctl32(_IO(TRACT_IOC_TYPE, 99), info), -ENOTTY, "unknown");
	*st = (struct tract_stats){ .size = sizeof(*st),
				    .scope = TRACT_SCOPE_RESERVATION,
				    .id = res.id };
	CHECK_ERR(ioctl32(TRACT_IOC_STATS, st), 0, "STATS");
	CHECK_EQ(st->out_address, (uintptr_t)res.addr, "out_address");
	t_fill(res.addr, res.length, 1);
	ops[0] = t_make_op(TRACT_OP_DECOMMIT, res.id, 0, MIB);
	ops[1] = t_make_op(TRACT_OP_POPULATE, res.id, 0, PAGE);
	*batch = (struct tract_batch){ .size = sizeof(*batch),
				       .ops = (uintptr_t)ops,
				       .count = 2 };
	CHECK_ERR(ioctl32(TRACT_IOC_BATCH, batch), 0, "BATCH");
	CHECK_EQ(batch->out_completed, 2, "completed");
	CHECK_EQ(t_nonzero(res.addr, MIB), -1, "not zero at");
	CHECK_EQ(t_wrong(res.addr + MIB, MIB, 1 + MIB / 8), -1, "lost at");
	/* A pointer that no 32-bit process can have. */
	batch->ops = 1ULL << 32 | (uintptr_t)ops;
	CHECK_ERR(ioctl32(TRACT_IOC_BATCH, batch), -EFAULT, "ops above 4 GiB");
	t_unmap(&res);
}

static void reserve(void)
{
	struct tract_reserve *arg = (void *)low;
	int err;

	*arg = (struct tract_reserve){ .size = sizeof(*arg),
				       .length = 2 * MIB };
	err = ioctl32(TRACT_IOC_RESERVE, arg);
	if (!CHECK_ERR(err, 0, "RESERVE"))
		return;
	CHECK(arg->out_address + arg->length <= 1ULL << 32,
	      "a 32-bit caller cannot reach %#llx", arg->out_address);
	CHECK_EQ(arg->out_address % (2 * MIB), 0, "alignment");
	t_fill((void *)(uintptr_t)arg->out_address, 2 * MIB, 1);
	CHECK_ERR(t_op(TRACT_OP_DECOMMIT, arg->out_id, 0, 2 * MIB), 0,
		  "DECOMMIT");
	CHECK_EQ(t_nonzero((void *)(uintptr_t)arg->out_address, 2 * MIB), -1,
		 "not zero at");
	munmap((void *)(uintptr_t)arg->out_address, arg->length);
	/* More than the 32-bit side has room for. */
	arg->length = 8 * GIB;
	CHECK_ERR(ioctl32(TRACT_IOC_RESERVE, arg), -ENOMEM, "8 GiB");
}

static void probe(void)
{
	/* getpid, to see whether the entry exists: without, SIGSEGV. */
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(20)
			 : "memory", "r8", "r9", "r10", "r11");
	_exit(ret == getpid() ? 0 : 1);
}

int main(void)
{
	int pid, status;

	t_begin("compat32", 20);
	t_fd();
	pid = t_fork();
	if (!pid)
		probe();
	waitpid(pid, &status, 0);
	if (status)
		t_skip_all("this kernel has no 32-bit entry");
	low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED)
		t_die("MAP_32BIT: %s", strerror(errno));
	RUN(same_answers);
	RUN(reserve);
	return t_end();
}
#else
int main(void)
{
	t_skip_all("only on x86-64");
}
#endif
