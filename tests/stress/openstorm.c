// SPDX-License-Identifier: MIT
/*
 * Threads that open, duplicate, use and close descriptors of the device under
 * each other's feet: any call answers rightly or with -EBADF, and a number that
 * now is another file's answers -ENOTTY.
 *
 *   openstorm [seconds [seed]]
 */
#include <pthread.h>

#include "harness.h"

#define THREADS 6
#define SLOTS 8

static int slots[SLOTS];
static volatile bool over;
static unsigned long calls, missed;
static double seconds = 10;
static uint64_t first_seed;

static void use(struct t_rand *rnd, const struct t_res *res)
{
	struct tract_info info = { .size = sizeof(info) };
	struct tract_stats st = { .size = sizeof(st),
				  .scope = TRACT_SCOPE_PROCESS };
	struct tract_op op =
		t_make_op(TRACT_OP_DECOMMIT, res->id, 0, res->length);
	struct tract_batch batch = { .size = sizeof(batch),
				     .ops = (uintptr_t)&op,
				     .count = 1 };
	int fd = __atomic_load_n(&slots[t_below(rnd, SLOTS)], __ATOMIC_RELAXED);
	int err;

	res->addr[PAGE] = 1;
	switch (t_below(rnd, 3)) {
	case 0:
		err = t_ioctl_fd(fd, TRACT_IOC_INFO, &info);
		break;
	case 1:
		err = t_ioctl_fd(fd, TRACT_IOC_STATS, &st);
		if (!err)
			CHECK_EQ(st.out_reservations, THREADS, "reservations");
		break;
	default:
		err = t_ioctl_fd(fd, TRACT_IOC_BATCH, &batch);
		if (!err) {
			CHECK_ERR(op.out_result, 0, "result");
			CHECK_EQ(res->addr[PAGE], 0, "not dropped");
		}
		break;
	}
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (err)
		__atomic_add_fetch(&missed, 1, __ATOMIC_RELAXED);
	CHECK(!err || err == -EBADF || err == -ENOTTY, "a call answers %s",
	      t_errno_name(err));
}

static void *work(void *arg)
{
	struct t_rand rnd = { t_mix(first_seed + (uintptr_t)arg) };
	struct t_res res = *(struct t_res *)arg;

	while (!over) {
		int *slot = &slots[t_below(&rnd, SLOTS)];
		int fd;

		switch (t_below(&rnd, 8)) {
		case 0:
			fd = t_open();
			break;
		case 1:
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
			break;
		case 2:
			fd = fcntl(t_fd(), F_DUPFD_CLOEXEC, 3);
			break;
		default:
			use(&rnd, &res);
			continue;
		}
		if (!CHECK(fd >= 0, "open: %d", fd))
			continue;
		fd = __atomic_exchange_n(slot, fd, __ATOMIC_RELAXED);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void storm(void)
{
	pthread_t threads[THREADS];
	struct t_res res[THREADS];

	for (int i = 0; i < SLOTS; i++)
		slots[i] = t_open();
	for (int i = 0; i < THREADS; i++)
		res[i] = t_reserve(2 * MIB, TRACT_RESERVE_NOHUGE);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, &res[i]))
			t_die("pthread_create");
	t_sleep_us(seconds * 1e6);
	over = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		close(slots[i]);
	for (int i = 0; i < THREADS; i++)
		t_unmap(&res[i]);
	CHECK(calls > 10 * missed / 9, "%lu calls, %lu of them in vain", calls,
	      missed);
	t_note("%lu calls, %lu met a closed or another file", calls, missed);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("openstorm", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	RUN(storm);
	return t_end();
}
