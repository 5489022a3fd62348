// SPDX-License-Identifier: MIT
/*
 * The module is spoken to through one descriptor, which the program may close,
 * or put a file of its own in the place of: it is checked before each use, and
 * opened again when it is not ours.  A descriptor that is not ours is never
 * closed.
 *
 * A reservation belongs to the process that made it.  After a fork the child
 * has the memory but not the reservation: its generation is another, and it
 * decommits what it inherited by madvise().  A child that was made without our
 * fork handler (a bare clone()) finds that out by the canary page.  All that
 * begins with the first reservation of the module: plain memory is everybody's
 * own.
 */
#include "backend.h"

#include <errno.h>
#include <linux/tract.h>

#include "lock.h"
#include "options.h"
#include "place.h"
#include "sys.h"

#define RESERVATION_ALIGN ((size_t)2 << 20)

/* ms */
#define DEVICE_DECAY_MIN 10

static struct {
	struct lock lock; /* all below, but the canary's word */
	int fd;
	bool no_device; /* auto: it did not answer the first time */
	bool module_used;
	bool plain_used;
	uint32_t generation;
	int canary_pid; /* without a canary page: the last pid seen */
} backend = { .fd = -1 };

/* The page's word is the generation plus one; 0 in a new child. */
uint32_t *tract__backend_canary;

static void check_forked(void)
{
	if (!backend.module_used)
		return;
	if (tract__backend_canary) {
		if (likely(*tract__backend_canary))
			return;
	} else {
		int pid = tract__sys_pid();

		if (pid == backend.canary_pid)
			return;
		backend.canary_pid = pid;
	}
	backend.generation++;
	if (tract__backend_canary)
		*tract__backend_canary = backend.generation + 1;
}

static void use_module(void)
{
	if (backend.module_used)
		return;
	backend.module_used = true;
	backend.canary_pid = tract__sys_pid();
	tract__backend_canary = tract__sys_fork_canary();
}

uint32_t tract__backend_process(void)
{
	uint32_t process;

	lock_acquire(&backend.lock);
	check_forked();
	process = tract__backend_canary ? *tract__backend_canary : 0;
	lock_release(&backend.lock);
	return process;
}

/* A descriptor that is the device, or a negative errno. */
static int device(void)
{
	int fd;

	if (tract__options.backend == BACKEND_PLAIN || backend.no_device)
		return -ENODEV;
	if (tract__sys_is_device(backend.fd))
		return backend.fd;
	fd = tract__sys_open_device();
	backend.fd = fd;
	return fd;
}

static int reserve_module(struct reservation *r, size_t length, uint32_t flags)
{
	struct tract_reserve arg = {
		.size = sizeof(arg),
		.flags = flags,
		.length = length,
		.align = RESERVATION_ALIGN,
	};
	int fd = device();
	int ret;

	if (fd < 0)
		return fd;
	ret = tract__sys_device_reserve(fd, &arg);
	if (ret)
		return ret;
	r->base = (char *)(uintptr_t)arg.out_address;
	r->id = arg.out_id;
	use_module();
	return 0;
}

static int reserve_plain(struct reservation *r, size_t length, bool huge)
{
	r->base = tract__sys_map_aligned(length, RESERVATION_ALIGN);
	if (!r->base)
		return -ENOMEM;
	if (!huge)
		tract__sys_forbid_huge(r->base, length);
	r->id = 0;
	backend.plain_used = true;
	return 0;
}

int tract__backend_reserve(struct reservation *r, size_t length,
			   unsigned int flags)
{
	bool huge = flags & RESERVE_HUGE;
	uint32_t untrapped = huge ? 0 : TRACT_RESERVE_NOHUGE;
	int ret;

	lock_acquire(&backend.lock);
	check_forked();
	ret = reserve_module(r, length,
			     flags & RESERVE_TRAPPED ? TRACT_RESERVE_TRAP :
						       untrapped);
	/* A module that has no trapped reservations still has others. */
	if (ret == -EOPNOTSUPP)
		ret = reserve_module(r, length, untrapped);
	/*
	 * No address space is no address space: plain Linux has no more.  For
	 * anything else there is the other way.
	 */
	if (ret && ret != -ENOMEM) {
		if (!backend.module_used &&
		    tract__options.backend == BACKEND_AUTO)
			backend.no_device = true;
		ret = reserve_plain(r, length, huge);
	}
	r->length = length;
	r->generation = backend.generation;
	lock_release(&backend.lock);
	return ret;
}

long tract__backend_map_near(uintptr_t near, size_t reach, size_t length)
{
	int fd;

	lock_acquire(&backend.lock);
	fd = device();
	lock_release(&backend.lock);
	return tract__place_near(fd, near, reach, length);
}

void tract__backend_release(struct reservation *r)
{
	/* The module's object goes with its last mapping. */
	tract__sys_unmap(r->base, r->length);
	r->base = NULL;
	r->length = 0;
}

/* Marks what the module has done; leaves the rest to the caller. */
static void operate_module(struct decommit *ranges, unsigned int count,
			   uint32_t op)
{
	struct tract_op ops[DECOMMIT_BATCH];
	unsigned int range_of[DECOMMIT_BATCH];
	struct tract_batch batch = {
		.size = sizeof(batch),
		.ops = (uintptr_t)ops,
	};
	int fd;

	for (unsigned int i = 0; i < count; i++) {
		const struct reservation *r = ranges[i].reservation;

		if (!r->id || r->generation != backend.generation)
			continue;
		ops[batch.count] = (struct tract_op){
			.op = op,
			.id = r->id,
			.offset = ranges[i].offset,
			.length = ranges[i].length,
		};
		range_of[batch.count++] = i;
	}
	if (!batch.count)
		return;
	lock_acquire(&backend.lock);
	fd = device();
	lock_release(&backend.lock);
	if (fd < 0 || tract__sys_device_batch(fd, &batch))
		return;
	for (unsigned int i = 0; i < batch.out_completed; i++)
		ranges[range_of[i]].done = !ops[i].out_result;
}

/* The same; what a child has inherited it knows for its parent's. */
static void operate_owned(struct decommit *ranges, unsigned int count,
			  uint32_t op)
{
	for (unsigned int i = 0; i < count; i++)
		ranges[i].done = false;
	lock_acquire(&backend.lock);
	check_forked();
	lock_release(&backend.lock);
	operate_module(ranges, count, op);
}

void tract__backend_decommit(struct decommit *ranges, unsigned int count)
{
	operate_owned(ranges, count, TRACT_OP_DISCARD);
	for (unsigned int i = 0; i < count; i++) {
		if (ranges[i].done)
			continue;
		if (tract__sys_discard(ranges[i].reservation->base +
					       ranges[i].offset,
				       ranges[i].length))
			break;
		ranges[i].done = true;
	}
}

bool tract__backend_is_owned(const struct reservation *r)
{
	bool owned;

	lock_acquire(&backend.lock);
	check_forked();
	owned = !r->id || r->generation == backend.generation;
	lock_release(&backend.lock);
	return owned;
}

/* Markers cost no mapping; where there are none a guard costs two. */
static int guard_plain(char *addr, size_t length)
{
	int ret = tract__sys_guard(addr, length);

	return ret == -EINVAL ? tract__sys_forbid(addr, length) : ret;
}

int tract__backend_guard(struct decommit *ranges, unsigned int count)
{
	int ret = 0;

	/* All of it is refused when a reservation is not a trapped one. */
	operate_owned(ranges, count, TRACT_OP_GUARD);
	for (unsigned int i = 0; !ret && i < count; i++) {
		if (ranges[i].done)
			continue;
		ret = guard_plain(ranges[i].reservation->base +
					  ranges[i].offset,
				  ranges[i].length);
		ranges[i].done = !ret;
	}
	return ret;
}

static bool operate_one(const struct reservation *r, size_t offset,
			size_t length, uint32_t op)
{
	struct decommit range = {
		.reservation = r,
		.offset = offset,
		.length = length,
	};

	operate_owned(&range, 1, op);
	return range.done;
}

bool tract__backend_trap(const struct reservation *r, size_t offset,
			 size_t length)
{
	return operate_one(r, offset, length, TRACT_OP_GUARD);
}

bool tract__backend_untrap(const struct reservation *r, size_t offset,
			   size_t length)
{
	return operate_one(r, offset, length, TRACT_OP_UNGUARD);
}

static int call_purge_map(struct tract_purge_map *arg)
{
	int fd;

	lock_acquire(&backend.lock);
	fd = device();
	lock_release(&backend.lock);
	return fd < 0 ? fd : tract__sys_device_purge_map(fd, arg);
}

/* The device's shortest delay stands for "at once". */
static uint32_t device_decay(int decay)
{
	if (decay == DECAY_NEVER)
		return TRACT_DECAY_NEVER;
	return decay < DEVICE_DECAY_MIN ? DEVICE_DECAY_MIN : (uint32_t)decay;
}

int tract__backend_bind(const struct reservation *r, void *map, size_t length,
			int decay)
{
	struct tract_purge_map arg = {
		.size = sizeof(arg),
		.id = r->id,
		.address = (uintptr_t)map,
		.length = length,
		.unit_size = UNIT_SIZE,
		.decay_ms = device_decay(decay),
	};

	/* A child that could not know itself as one would trust its copy. */
	if (!r->id || !tract__backend_canary)
		return -ENOTTY;
	return call_purge_map(&arg);
}

int tract__backend_unbind(const struct reservation *r)
{
	struct tract_purge_map arg = {
		.size = sizeof(arg),
		.flags = TRACT_PURGE_MAP_UNBIND,
		.id = r->id,
	};

	return call_purge_map(&arg);
}

const char *tract__backend_name(void)
{
	if (backend.module_used)
		return "module";
	return backend.plain_used ? "plain" : "none";
}

void tract__backend_fork_prepare(void)
{
	lock_acquire(&backend.lock);
}

void tract__backend_fork_parent(void)
{
	lock_release(&backend.lock);
}

void tract__backend_fork_child(void)
{
	check_forked();
	lock_reset(&backend.lock);
}
