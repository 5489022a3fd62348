// SPDX-License-Identifier: MIT
/*
 * PURGE_MAP itself: every kind of wrong value has its errno and changes nothing;
 * what is offered goes, in time and with its neighbours intact; counts are right.
 */
#include "observe.h"
#include "offer.h"
#include "touch.h"

#define LENGTH (8 * MIB)
#define UNIT (64 * KIB)

static struct t_res canary;
static char *memory;
static size_t memory_length;

static void setup(void)
{
	canary = t_reserve(LENGTH, 0);
	t_fill(canary.addr, LENGTH, 31);
	memory_length = t_map_length(&canary, UNIT);
	/* A page behind it that is not there. */
	memory = t_anonymous(memory_length + PAGE);
	munmap(memory + memory_length, PAGE);
	memset(memory, 0, memory_length);
}

static void check_nothing_happened(const struct t_snap *before,
				   const char *what)
{
	CHECK_UNCHANGED(before, "%s", what);
	CHECK_ERR(t_unbind(&canary), -ENOENT, "%s: bound", what);
	CHECK_EQ(t_nonzero(memory, memory_length), -1, "%s: map written", what);
}

static void refuse(int want, const struct tract_purge_map *arg,
		   const char *what)
{
	struct t_snap before = t_snapshot();
	struct tract_purge_map copy = *arg;

	CHECK_ERR(t_ioctl(TRACT_IOC_PURGE_MAP, &copy), want, "%s", what);
	CHECK(!memcmp(&copy, arg, sizeof(copy)), "%s: argument written", what);
	check_nothing_happened(&before, what);
}

static struct tract_purge_map good(void)
{
	return (struct tract_purge_map){
		.size = sizeof(struct tract_purge_map),
		.id = canary.id,
		.address = (uintptr_t)memory,
		.length = memory_length,
		.unit_size = UNIT,
		.decay_ms = 1000,
	};
}

/* refuse() with one field changed. */
#define REFUSE(want, field, value)                                             \
	({                                                                     \
		struct tract_purge_map arg_ = good();                          \
		arg_.field = (value);                                          \
		refuse(want, &arg_, #field " = " #value);                      \
	})

static void bad_flags(void)
{
	for (int bit = 1; bit < 32; bit++) {
		struct tract_purge_map arg = good();

		arg.flags = 1U << bit;
		refuse(-EOPNOTSUPP, &arg, "unknown flag");
		arg.flags |= TRACT_PURGE_MAP_UNBIND;
		refuse(-EOPNOTSUPP, &arg, "unknown flag beside UNBIND");
	}
}

static void bad_ids(void)
{
	REFUSE(-ENOENT, id, 0);
	REFUSE(-ENOENT, id, canary.id + 1000000);
	REFUSE(-ENOENT, id, -1ULL);
	REFUSE(-ENOENT, id, 1ULL << 63);
}

static void bad_addresses(void)
{
	REFUSE(-EINVAL, address, (uintptr_t)memory + 1);
	REFUSE(-EINVAL, address, (uintptr_t)memory + 8);
	REFUSE(-EINVAL, address, (uintptr_t)memory + PAGE / 2);
	REFUSE(-EFAULT, address, 0);
	REFUSE(-EFAULT, address, (uintptr_t)memory + PAGE);
	REFUSE(-EFAULT, address, (uintptr_t)memory + memory_length);
	REFUSE(-EFAULT, address, 0x7ffffffff000);
	REFUSE(-EFAULT, address, 0x800000000000);
	REFUSE(-EFAULT, address, 0xffff888000000000);
	REFUSE(-EFAULT, address, 0xffffffff81000000);
	REFUSE(-EFAULT, address, -4096ULL);
}

static void bad_lengths(void)
{
	REFUSE(-EINVAL, length, 0);
	REFUSE(-EINVAL, length, 1);
	REFUSE(-EINVAL, length, PAGE);
	REFUSE(-EINVAL, length, memory_length - 1);
	REFUSE(-EINVAL, length, memory_length + 1);
	REFUSE(-EINVAL, length, memory_length - PAGE);
	REFUSE(-EINVAL, length, memory_length + PAGE);
	REFUSE(-EINVAL, length, -1ULL);
	REFUSE(-EINVAL, length, 1ULL << 63);
}

static void bad_units(void)
{
	struct tract_info info = t_info();

	REFUSE(-EINVAL, unit_size, 1);
	REFUSE(-EINVAL, unit_size, PAGE);
	REFUSE(-EINVAL, unit_size, info.out_purge_unit_min / 2);
	REFUSE(-EINVAL, unit_size, info.out_purge_unit_max * 2);
	REFUSE(-EINVAL, unit_size, UNIT + 1);
	REFUSE(-EINVAL, unit_size, UNIT + PAGE);
	REFUSE(-EINVAL, unit_size, 3 * UNIT);
	REFUSE(-EINVAL, unit_size, 1U << 31);
	REFUSE(-EINVAL, unit_size, -1U);
}

static void bad_decays(void)
{
	REFUSE(-EINVAL, decay_ms, 1);
	REFUSE(-EINVAL, decay_ms, 9);
	REFUSE(-EINVAL, decay_ms, 3600001);
	REFUSE(-EINVAL, decay_ms, 0x80000000);
	REFUSE(-EINVAL, decay_ms, TRACT_DECAY_NEVER - 1);
}

static void bad_unbinds(void)
{
	struct tract_purge_map arg = {
		.size = sizeof(arg),
		.flags = TRACT_PURGE_MAP_UNBIND,
		.id = canary.id,
	};

	refuse(-ENOENT, &arg, "nothing to unbind");
	arg.address = PAGE;
	refuse(-EINVAL, &arg, "UNBIND with an address");
	arg.address = 0;
	arg.length = PAGE;
	refuse(-EINVAL, &arg, "UNBIND with a length");
	arg.length = 0;
	arg.unit_size = UNIT;
	refuse(-EINVAL, &arg, "UNBIND with a unit");
	arg.unit_size = 0;
	arg.decay_ms = 1000;
	refuse(-EINVAL, &arg, "UNBIND with a decay");
	arg.decay_ms = 0;
	arg.id = 0;
	refuse(-ENOENT, &arg, "UNBIND of nothing");
}

/* A reservation smaller than a unit has none. */
static void reservation_too_small(void)
{
	struct t_res res = t_reserve(PAGE, 0);
	struct tract_purge_map arg = good();

	arg.id = res.id;
	arg.length = PAGE;
	refuse(-EINVAL, &arg, "no unit, a page");
	arg.length = 2 * PAGE;
	refuse(-EINVAL, &arg, "no unit, two pages");
	t_unmap(&res);
}

static void refuse_memory(int want, void *at, const char *what)
{
	struct tract_purge_map arg = good();

	if (at == MAP_FAILED)
		t_die("%s: %s", what, strerror(errno));
	arg.address = (uintptr_t)at;
	refuse(want, &arg, what);
}

static void bad_memory(void)
{
	char path[] = "/tmp/tract-purge-map.XXXXXX";
	int fd = mkstemp(path), mem = memfd_create("map", MFD_CLOEXEC);
	void *at;

	if (fd < 0 || mem < 0 || ftruncate(fd, memory_length) ||
	    ftruncate(mem, memory_length))
		t_die("files: %s", strerror(errno));
	unlink(path);

	at = mmap(NULL, memory_length, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	refuse_memory(-EINVAL, at, "shared anonymous memory");
	munmap(at, memory_length);
	at = mmap(NULL, memory_length, PROT_READ | PROT_WRITE, MAP_SHARED, mem,
		  0);
	refuse_memory(-EINVAL, at, "memfd");
	munmap(at, memory_length);
	at = mmap(NULL, memory_length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		  -1, 0);
	refuse_memory(-EFAULT, at, "read-only memory");
	munmap(at, memory_length);
	at = mmap(NULL, memory_length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		  -1, 0);
	refuse_memory(-EFAULT, at, "PROT_NONE");
	munmap(at, memory_length);
	/* The last page of it only. */
	at = t_anonymous(memory_length);
	memset(at, 0, memory_length);
	mprotect((char *)at + memory_length - PAGE, PAGE, PROT_READ);
	refuse_memory(-EFAULT, at, "the last page read-only");
	munmap(at, memory_length);
	at = t_anonymous(memory_length);
	mmap((char *)at + PAGE, PAGE, PROT_READ | PROT_WRITE,
	     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	refuse_memory(-EINVAL, at, "the second page shared");
	munmap(at, memory_length);
	close(fd);
	close(mem);
}

static void foreign_child(void)
{
	struct tract_purge_map arg = good();

	CHECK_ERR(t_ioctl(TRACT_IOC_PURGE_MAP, &arg), -ENOENT,
		  "the parent's reservation");
	CHECK_ERR(t_unbind(&canary), -ENOENT, "the parent's map");
}

static void foreign(void)
{
	CHECK_ERR(t_bind_raw(&canary, memory, memory_length, UNIT, 0), 0,
		  "bind");
	IN_CHILD(foreign_child);
	CHECK_ERR(t_unbind(&canary), 0, "still bound");
}

static void limit(void)
{
	const size_t most = t_info().out_purge_map_bytes_max;
	struct t_res big;
	struct t_map map;
	int err;

	/* Just too much by one page: the header. */
	err = t_reserve_raw(most * UNIT, 0, 0, &big);
	if (!CHECK_ERR(err, 0, "a reservation of %zu GiB", most * UNIT / GIB))
		return;
	map.header = mmap(NULL, most + PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK_ERR(t_bind_raw(&big, map.header, most + PAGE, UNIT, 0), -ENOSPC,
		  "a page more than the limit");
	CHECK_ERR(t_unbind(&big), -ENOENT, "bound");
	munmap(map.header, most + PAGE);
	map = t_bind(&big, 2 * UNIT, 0);
	CHECK_ERR(t_bind_raw(&big, map.header, map.length, 2 * UNIT, 0),
		  -ENOSPC, "twice half of it and more, at a time");
	CHECK_ERR(t_unbind(&big), 0, "unbind");
	CHECK_ERR(t_bind_raw(&big, map.header, map.length, 2 * UNIT, 0), 0,
		  "again after UNBIND");
	t_unmap_map(&map);
	t_unmap(&big);
	CHECK_ERR(t_bind_raw(&canary, memory, memory_length, UNIT, 0), 0,
		  "what was charged was given back");
	CHECK_ERR(t_unbind(&canary), 0, "unbind");
}

static void every_unit_size(void)
{
	for (size_t unit = t_info().out_purge_unit_min;
	     unit <= t_info().out_purge_unit_max; unit *= 2) {
		struct t_res res = t_reserve(LENGTH, 0);
		struct t_map map = t_bind(&res, unit, 20);

		t_fill(res.addr, LENGTH, unit);
		t_offer(&map, 1);
		CHECK(t_wait_state(&map, 1, 1, TRACT_UNIT_PURGED, 5) >= 0,
		      "unit of %zu: not purged", unit);
		CHECK_EQ(t_wrong(t_unit(&map, 0), unit, unit), -1,
			 "unit of %zu: lost before at", unit);
		CHECK_EQ(t_nonzero(t_unit(&map, 1), unit), -1,
			 "unit of %zu: not zero at", unit);
		CHECK_EQ(t_wrong(t_unit(&map, 2), LENGTH - 2 * unit,
				 unit + 2 * unit / 8),
			 -1, "unit of %zu: lost behind at", unit);
		t_unmap(&res);
		t_unmap_map(&map);
	}
}

/* Bytes behind the last whole unit, and map bytes that stand for no unit. */
static void tail_is_no_unit(void)
{
	struct t_res res = t_reserve(3 * UNIT + PAGE, 0);
	struct t_map map = t_bind(&res, UNIT, 20);

	t_fill(res.addr, res.length, 5);
	CHECK_EQ(map.units, 3, "units");
	for (int i = 0; i < (int)PAGE; i++)
		if (i >= 3)
			map.states[i] = TRACT_UNIT_AGED;
	t_offer(&map, 0);
	CHECK(t_wait_state(&map, 0, 1, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	t_offer(&map, 0);
	CHECK(t_wait_state(&map, 0, 1, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	CHECK_EQ(t_wrong(t_unit(&map, 1), 2 * UNIT + PAGE, 5 + UNIT / 8), -1,
		 "lost at");
	CHECK_EQ(t_count(&map, 3, PAGE - 3, TRACT_UNIT_AGED), PAGE - 3,
		 "bytes behind the last unit touched");
	t_unmap(&res);
	t_unmap_map(&map);
}

/* Not before half of the decay time, and soon after it. */
static void decay_time(void)
{
	static const unsigned int decays[] = { 100, 400, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(decays); i++) {
		struct t_res res = t_reserve(LENGTH, 0);
		struct t_map map = t_bind(&res, UNIT, decays[i]);
		const double decay = decays[i] / 1e3;
		const char *slow = getenv("TRACT_TEST_SLOWNESS");
		const double patience =
			decay + 0.5 + 0.5 * (slow ? atoi(slow) : 1);

		for (unsigned int turn = 0; turn < 4; turn++) {
			double first, took;

			t_fill(res.addr, LENGTH, turn);
			first = t_now();
			for (__u64 u = 0; u < map.units; u += 2)
				t_offer(&map, u);
			took = t_now();
			while (t_count(&map, 0, map.units, TRACT_UNIT_PURGED) ==
				       0 &&
			       t_now() - took < 60)
				t_sleep_us(1000);
			/* Offering may have been interrupted in the middle. */
			CHECK(t_now() - first >= decay / 2,
			      "decay %u ms: gone after %f s", decays[i],
			      t_now() - first);
			took = t_now() - took;
			CHECK(took <= patience, "decay %u ms: stayed %f s",
			      decays[i], took);
			t_note("decay %u ms: gone after %.3f s", decays[i],
			       took);
			/* The others do not wait for the next sweep. */
			t_wait_state(&map, 0, 1, TRACT_UNIT_PURGED, 1);
			for (__u64 u = 0; u < map.units; u++)
				if (u & 1)
					CHECK_EQ(t_wrong(t_unit(&map, u), UNIT,
							 turn + u * UNIT / 8),
						 -1, "unit %llu: lost at", u);
				else if (t_take(&map, u) == TRACT_UNIT_PURGED)
					CHECK_EQ(t_nonzero(t_unit(&map, u),
							   UNIT),
						 -1, "unit %llu: not zero at",
						 u);
			t_sleep_us(turn * 130000);
		}
		t_unmap(&res);
		t_unmap_map(&map);
	}
}

/* What never goes by age stays, and what was taken back in time is intact. */
static void never_and_reuse(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);
	struct tract_stats was = t_process_stats(), is;

	t_fill(res.addr, LENGTH, 9);
	for (__u64 u = 0; u < map.units; u++)
		t_offer(&map, u);
	t_sleep_us(300000);
	CHECK_EQ(t_count(&map, 0, map.units, TRACT_UNIT_VOLATILE), map.units,
		 "left alone");
	for (__u64 u = 0; u < map.units; u++)
		CHECK_EQ(t_take(&map, u), TRACT_UNIT_VOLATILE, "unit %llu", u);
	CHECK_EQ(t_wrong(res.addr, LENGTH, 9), -1, "lost at");
	is = t_process_stats();
	CHECK_EQ(is.out_offered_units - was.out_offered_units, map.units,
		 "offered");
	CHECK_EQ(is.out_reused_units - was.out_reused_units, map.units,
		 "reused");
	CHECK_EQ(is.out_sweeps, was.out_sweeps, "sweeps");
	t_unmap(&res);
	t_unmap_map(&map);
}

static void counts(void)
{
	struct t_snap was = t_snapshot(), is;
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 50);
	struct tract_stats st;

	t_fill(res.addr, LENGTH, 2);
	for (__u64 u = 0; u < 10; u++)
		t_offer(&map, u * 3);
	for (__u64 u = 0; u < 10; u++)
		CHECK(t_wait_state(&map, u * 3, 1, TRACT_UNIT_PURGED, 5) >= 0,
		      "unit %llu", u * 3);
	/* The header and the counters follow the states. */
	t_sleep_us(50000);
	CHECK_EQ(map.header->purged, 10, "header's purged");
	CHECK(map.header->sweeps >= 2, "header's sweeps: %llu",
	      map.header->sweeps);
	CHECK_EQ(map.header->flags, 0, "header's flags");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_offered_units, 10, "offered");
	CHECK_EQ(st.out_reused_units, 0, "reused");
	CHECK_EQ(st.out_purged_age_bytes, 10 * UNIT, "purged");
	CHECK_EQ(st.out_purged_pressure_bytes, 0, "purged by pressure");
	CHECK_EQ(st.out_skipped_sweeps, 0, "skipped");
	CHECK_EQ(st.out_sweeps, map.header->sweeps, "sweeps");
	CHECK(st.out_sweep_ns > 0, "no time in sweeps");
	t_offer(&map, 1);
	t_take(&map, 1);
	t_unmap(&res);
	/* Of the map that is gone. */
	is = t_snapshot();
	CHECK_EQ(is.process.out_offered_units - was.process.out_offered_units,
		 11, "offered, process");
	CHECK_EQ(is.process.out_reused_units - was.process.out_reused_units, 1,
		 "reused, process");
	CHECK_EQ(is.process.out_purged_age_bytes -
			 was.process.out_purged_age_bytes,
		 10 * UNIT, "purged, process");
	CHECK_EQ(is.system.out_offered_units - was.system.out_offered_units, 11,
		 "offered, system");
	CHECK_EQ(is.system.out_purged_age_bytes -
			 was.system.out_purged_age_bytes,
		 10 * UNIT, "purged, system");
	t_unmap_map(&map);
}

/* Counts that nobody can have counted are not added up. */
static void counts_of_garbage(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);
	struct tract_stats st;

	map.header->offered = 1ULL << 62;
	map.header->reused = -1ULL;
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_offered_units, 0, "offered");
	CHECK_EQ(st.out_reused_units, 0, "reused");
	map.header->offered += 5;
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_offered_units, 5, "offered");
	t_unmap(&res);
	t_unmap_map(&map);
}

/* A map that nothing is offered in is not looked at again and again. */
static void quiet_map(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 20);
	__u64 sweeps;

	t_sleep_us(1500000);
	sweeps = __atomic_load_n(&map.header->sweeps, __ATOMIC_RELAXED);
	CHECK(sweeps <= 1, "%llu sweeps of an empty map", sweeps);
	t_offer(&map, 3);
	CHECK(t_wait_state(&map, 3, 1, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	t_sleep_us(1500000);
	CHECK(map.header->sweeps <= sweeps + 4, "%llu sweeps, then %llu",
	      sweeps, map.header->sweeps);
	t_unmap(&res);
	t_unmap_map(&map);
}

/* What pages of a trapped reservation are they stay; their contents go. */
static void trapped(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	struct t_map map = t_bind(&res, UNIT, 20);
	char *guard = t_unit(&map, 1), *uncommitted = guard + PAGE;

	t_fill(res.addr, LENGTH, 21);
	CHECK_ERR(t_op(TRACT_OP_GUARD, res.id, UNIT, PAGE), 0, "GUARD");
	CHECK_ERR(t_decommit(&res, UNIT + PAGE, PAGE), 0, "DECOMMIT");
	for (__u64 u = 1; u < 5; u++)
		t_offer(&map, u);
	CHECK(t_wait_state(&map, 1, 4, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	CHECK_EQ(t_resident(guard, 4 * UNIT), 0, "pages left");
	for (__u64 u = 1; u < 5; u++)
		CHECK_EQ(t_take(&map, u), TRACT_UNIT_PURGED, "unit %llu", u);
	CHECK_EQ(t_touch_read(guard).signal, SIGSEGV, "the guard's signal");
	CHECK_EQ(t_touch_write(guard, 1).signal, SIGSEGV, "to write");
	CHECK_EQ(t_touch_read(uncommitted).signal, SIGSEGV,
		 "the uncommitted page's signal");
	CHECK_EQ(t_nonzero(guard + 2 * PAGE, 4 * UNIT - 2 * PAGE), -1,
		 "not zero at");
	CHECK_EQ(t_wrong(res.addr, UNIT, 21), -1, "lost before at");
	CHECK_EQ(t_wrong(t_unit(&map, 5), LENGTH - 5 * UNIT, 21 + 5 * UNIT / 8),
		 -1, "lost behind at");
	CHECK_ERR(t_op(TRACT_OP_UNGUARD, res.id, UNIT, PAGE), 0, "UNGUARD");
	CHECK_ERR(t_op(TRACT_OP_COMMIT, res.id, UNIT + PAGE, PAGE), 0,
		  "COMMIT");
	CHECK_EQ(t_nonzero(guard, 2 * PAGE), -1, "what they hid, not zero at");
	t_unmap(&res);
	t_unmap_map(&map);
}

/* An operation of the process's own on units that are offered. */
static void trapped_while_offered(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	struct t_map map = t_bind(&res, UNIT, 20);

	t_fill(res.addr, LENGTH, 22);
	for (__u64 u = 0; u < map.units; u++)
		t_offer(&map, u);
	for (__u64 u = 0; u < map.units; u++)
		CHECK_ERR(t_op(u & 1 ? TRACT_OP_GUARD : TRACT_OP_NODUMP, res.id,
			       u * UNIT, UNIT),
			  0, "unit %llu", u);
	CHECK(t_wait_state(&map, 0, map.units, TRACT_UNIT_PURGED, 5) >= 0,
	      "purged");
	for (__u64 u = 0; u < map.units; u++) {
		CHECK_EQ(t_take(&map, u), TRACT_UNIT_PURGED, "unit %llu", u);
		CHECK_EQ(t_touch_read(t_unit(&map, u)).signal,
			 u & 1 ? SIGSEGV : 0, "unit %llu: signal", u);
	}
	t_unmap(&res);
	t_unmap_map(&map);
}

static void canary_lives(void)
{
	CHECK_EQ(t_wrong(canary.addr, LENGTH, 31), -1, "canary lost at");
}

int main(void)
{
	t_begin("purge_map", 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_PURGE_MAP))
		t_skip_all("the module has no purge maps");
	t_touch_begin();
	setup();
	RUN(bad_flags);
	RUN(bad_ids);
	RUN(bad_addresses);
	RUN(bad_lengths);
	RUN(bad_units);
	RUN(bad_decays);
	RUN(bad_unbinds);
	RUN(reservation_too_small);
	RUN(bad_memory);
	RUN(foreign);
	RUN(limit);
	RUN(every_unit_size);
	RUN(tail_is_no_unit);
	RUN(decay_time);
	RUN(never_and_reuse);
	RUN(counts);
	RUN(counts_of_garbage);
	RUN(quiet_map);
	if (t_feature(TRACT_FEATURE_TRAP)) {
		RUN(trapped);
		RUN(trapped_while_offered);
	} else {
		SKIP(trapped, "no trapped reservations");
		SKIP(trapped_while_offered, "no trapped reservations");
	}
	RUN(canary_lives);
	return t_end();
}
