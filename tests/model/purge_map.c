// SPDX-License-Identifier: MIT
/*
 * The purge map in every interleaving of those who change it: the process, the
 * module's sweep and shrinker, the process's own purger, and fork().  The
 * transitions are the real ones, of libshim/purge_map.c and kmod/unit.h.
 *
 * What must hold: a unit in use keeps its contents, in the process and in a
 * child; what is taken back as zero is zero, what is taken back as intact is
 * intact; and what stays offered is purged in the end.  Each broken variant must
 * be found out, or the check is worth nothing.
 */
#include "explore.h"

#include "../../libshim/purge_map.c"
#include "../../kmod/unit.h"

#define UNITS 2

/* Ways to be wrong. */
enum fault {
	NONE,
	TAKE_BY_STORE,	      /* the process takes without compare-exchange */
	TAKE_TORN,	      /* it compares, and then exchanges */
	TAKE_WHILE_PURGING,   /* it takes PURGING for PURGED */
	OFFER_BEFORE_WRITE,   /* its last write comes after the offer */
	OFFER_BY_STORE,	      /* it offers again what is being purged */
	COUNT_BEFORE_OFFER,   /* the counter tells of what is not there yet */
	CLAIM_BY_STORE,	      /* the module claims without compare-exchange */
	CLAIM_TORN,	      /* it compares, and then exchanges, to claim */
	AGE_TORN,	      /* the same to age */
	PURGER_TORN,	      /* the process's own purger does the same */
	PURGED_BEFORE_ZAP,    /* it says so before it is */
	ZAP_WITHOUT_LOOK,     /* it does not look for children */
	LOOK_BEFORE_THE_LOCK, /* it looks, lets go, and zaps */
	CHILD_TRUSTS_MAP,     /* a child believes its copy */
};

static const char *const fault_names[] = {
	"none",
	"take by store",
	"take by a load and a store",
	"take while purging",
	"offer before the last write",
	"offer by store",
	"count before the offer",
	"claim by store",
	"claim by a load and a store",
	"age by a load and a store",
	"the process's purger claims by a load and a store",
	"purged before the zap",
	"zap without a look for children",
	"look and zap under two locks",
	"child trusts its copy of the map",
};

/* All that actors share.  Contents of a unit: 0, or what was written last. */
static struct world {
	uint8_t state[8]; /* the map reads it by the word */
	struct tract_purge_header header;
	uint8_t data[UNITS];
	uint8_t live[UNITS]; /* the contents that must not change; 0: none */
	uint8_t child_data[UNITS];
	uint8_t child_live[UNITS];
	uint8_t child_state[8];
	uint8_t child_exists;
	uint8_t swept_offered; /* header.offered of the last scan */
	uint8_t swept_left;
	uint8_t pad[4];
	int zap_lock; /* i_mmap_rwsem: held by a zap or by fork's insertion */
	int purge_lock;
} world;
_Static_assert(sizeof(world) % 8 == 0, "the key takes it by the word");

static enum fault fault;
static bool zaps_shared; /* the kernel can spare the child */
static struct purge_map map = { &world.header, world.state };

static void write_unit(int i, uint8_t value)
{
	__atomic_store_n(&world.data[i], value, 0);
}

static uint8_t read_unit(int i)
{
	return __atomic_load_n(&world.data[i], 0);
}

/* The process. */

/* Before the first offer nobody can tell when. */
static void begin(int i)
{
	world.data[i] = world.live[i] = 1;
}

static void use(int i, uint8_t value)
{
	write_unit(i, value);
	world.live[i] = value;
}

static void offer(int first, int count)
{
	memset(world.live + first, 0, count);
	if (fault == OFFER_BY_STORE) {
		for (int i = first; i < first + count; i++)
			unit_store(&world.state[i], TRACT_UNIT_VOLATILE);
		counter_add(&world.header.offered, count);
	} else if (fault == COUNT_BEFORE_OFFER) {
		counter_add(&world.header.offered, count);
		for (int i = first; i < first + count; i++)
			if (unit_load(&world.state[i]) == TRACT_UNIT_LIVE)
				unit_store(&world.state[i],
					   TRACT_UNIT_VOLATILE);
	} else {
		tract__purge_map_offer(&map, first, count);
	}
}

static bool take_wrongly(int first, int count, struct taken *taken)
{
	*taken = (struct taken){ 0 };
	for (int i = first; i < first + count; i++) {
		uint8_t state = unit_load(&world.state[i]);

		if (state == TRACT_UNIT_PURGING && fault == TAKE_BY_STORE)
			return false;
		if (fault == TAKE_WHILE_PURGING)
			state = take_unit(&world.state[i], TRACT_UNIT_LIVE);
		if (is_offered(state)) {
			taken->intact++;
			taken->end = i - first + 1;
		}
		unit_store(&world.state[i], TRACT_UNIT_LIVE);
	}
	return true;
}

/* Takes what held @old, and uses it from then on. */
static bool take(int first, int count, uint8_t old, uint8_t value)
{
	struct taken taken;
	bool good;

	current->tears = fault == TAKE_TORN;
	if (fault == TAKE_BY_STORE || fault == TAKE_WHILE_PURGING)
		good = take_wrongly(first, count, &taken);
	else
		good = tract__purge_map_take(&map, first, count, &taken);
	current->tears = false;
	if (!good)
		return false;
	for (int i = 0; i < count; i++) {
		uint8_t now = read_unit(first + i);

		wrong_if((size_t)i >= taken.end && now,
			 "taken as zero, and is not");
		wrong_if(taken.intact == (size_t)count && now != old,
			 "taken as intact, and is not");
		use(first + i, value);
	}
	return true;
}

static void run_take(void)
{
	begin(0);
	begin(1);
	offer(0, UNITS);
	if (fault == OFFER_BEFORE_WRITE)
		write_unit(0, 1);
	take(0, UNITS, 1, 2);
}

/* One unit, again and again: whoever acts late acts on another offer. */
static void run_again(void)
{
	begin(0);
	for (uint8_t value = 1; value < 3; value++) {
		offer(0, 1);
		if (!take(0, 1, value, value + 1))
			return;
	}
}

/* Offered by the program, and then freed: offered by the allocator. */
static void run_free_offered(void)
{
	begin(0);
	offer(0, 1);
	offer(0, 1);
	take(0, 1, 1, 2);
}

/* One unit stays in use, one is left behind. */
static void run_leave(void)
{
	begin(0);
	begin(1);
	offer(0, 1);
	if (take(0, 1, 1, 2))
		offer(0, 1);
}

/*
 * The child's memory is inserted among the mappings, which no zap is at the time,
 * then copied; and the map is in a mapping of its own, before it or behind.
 */
static void fork_process(bool map_first)
{
	memcpy(world.child_live, world.live, UNITS);
	for (int part = 0; part < 2; part++) {
		if (map_first == !part) {
			step();
			observe(0);
			memcpy(world.child_state, world.state, UNITS);
			continue;
		}
		model_lock(&world.zap_lock);
		world.child_exists = 1;
		model_unlock(&world.zap_lock);
		for (int i = 0; i < UNITS; i++) {
			step();
			observe(0);
			world.child_data[i] = world.data[i];
		}
	}
}

/* The child, which nobody but a stray zap disturbs. */
static void be_child(void)
{
	struct tract_purge_header header = { 0 };
	struct purge_map child = { &header, world.child_state };
	struct actor *actor = current;
	struct taken taken;

	current = NULL; /* no steps: it is alone with its copy */
	if (fault != CHILD_TRUSTS_MAP)
		tract__purge_map_forget(&child, 0, 1, TRACT_UNIT_VOLATILE);
	if (tract__purge_map_take(&child, 0, 1, &taken)) {
		wrong_if(!taken.intact && world.child_data[0],
			 "a child takes as zero what is not");
		world.child_data[0] = world.child_live[0] = 3;
	} else {
		wrong = "a child has a unit that nobody purges";
	}
	current = actor;
}

static void fork_and_go_on(bool map_first)
{
	begin(0);
	begin(1);
	offer(0, 1);
	model_lock(&world.purge_lock);
	fork_process(map_first);
	be_child();
	model_unlock(&world.purge_lock);
	offer(1, 1);
	if (take(0, 1, 1, 2))
		offer(0, 1);
}

static void run_fork_map_first(void)
{
	fork_and_go_on(true);
}

static void run_fork_map_last(void)
{
	fork_and_go_on(false);
}

/* The module. */

static void zap(uint64_t at, uint64_t end)
{
	for (; at < end; at++) {
		write_unit((int)at, 0);
		if (!zaps_shared && world.child_exists)
			world.child_data[at] = 0;
	}
}

static bool zap_is_refused(void)
{
	if (fault == ZAP_WITHOUT_LOOK)
		return false;
	return world.child_exists && !zaps_shared;
}

static uint64_t claim_wrongly(uint64_t at, unsigned int set)
{
	while (at < UNITS &&
	       tract_unit_is_in(tract_unit_load(world.state + at), set))
		tract_unit_store_release(world.state + at++,
					 TRACT_UNIT_PURGING);
	return at;
}

static uint64_t claim_units(uint64_t at, unsigned int set)
{
	uint64_t next;

	if (fault == CLAIM_BY_STORE)
		return claim_wrongly(at, set);
	if (current)
		current->tears = fault == CLAIM_TORN;
	next = tract_unit_claim_run(world.state, at, UNITS, set);
	if (current)
		current->tears = false;
	return next;
}

static bool age(uint64_t at)
{
	bool aged;

	current->tears = fault == AGE_TORN;
	aged = tract_unit_age(world.state + at);
	current->tears = false;
	return aged;
}

static uint64_t purge_run(uint64_t at, unsigned int set)
{
	uint64_t next = claim_units(at, set);

	if (fault == PURGED_BEFORE_ZAP)
		tract_unit_release_run(world.state, at, next);
	zap(at, next);
	if (fault != PURGED_BEFORE_ZAP)
		tract_unit_release_run(world.state, at, next);
	return next > at ? next : at + 1;
}

/* As in kmod/purge.c: look and zap under one hold, claim in between. */
static void scan(unsigned int set, bool ages)
{
	bool refused;

	model_lock(&world.zap_lock);
	refused = zap_is_refused();
	if (fault == LOOK_BEFORE_THE_LOCK) {
		model_unlock(&world.zap_lock);
		model_lock(&world.zap_lock);
	}
	for (uint64_t at = 0; at < UNITS;) {
		if (ages && age(at)) {
			world.swept_left++;
			at++;
			continue;
		}
		if (refused)
			world.swept_left++;
		at = refused ? at + 1 : purge_run(at, set);
	}
	model_unlock(&world.zap_lock);
}

static void sweep(void)
{
	uint8_t offered = __atomic_load_n(&world.header.offered, 0);

	if (offered == world.swept_offered && !world.swept_left)
		return;
	world.swept_offered = offered;
	world.swept_left = 0;
	scan(TRACT_UNITS_AGED, true);
}

static void run_sweep(void)
{
	sweep();
	sweep();
}

static void run_shrinker(void)
{
	scan(TRACT_UNITS_OFFERED, false);
}

/* The process's own purger, as in purge.c: no lock that fork does not take. */
static void run_purger(void)
{
	const struct claim want = { .young = true };
	size_t first, n, at = 0;

	model_lock(&world.purge_lock);
	current->tears = fault == PURGER_TORN;
	while ((n = tract__purge_map_claim(&map, &at, UNITS, UNITS, want,
					   &first))) {
		/* madvise() is for this process alone. */
		for (size_t i = first; i < first + n; i++)
			write_unit((int)i, 0);
		tract__purge_map_finish(&map, first, n);
	}
	current->tears = false;
	model_unlock(&world.purge_lock);
}

static void reset(void)
{
	memset(&world, 0, sizeof(world));
	world.swept_left = 1; /* nothing is known of a map that is new */
}

static void check_contents(void)
{
	for (int i = 0; i < UNITS; i++) {
		wrong_if(world.live[i] && world.data[i] != world.live[i],
			 "a unit in use lost its contents");
		wrong_if(world.child_exists && world.child_live[i] &&
				 world.child_data[i] != world.child_live[i],
			 "a child lost contents");
		wrong_if(world.state[i] == TRACT_UNIT_PURGING,
			 "a unit stays PURGING");
		wrong_if(world.live[i] && world.state[i] != TRACT_UNIT_LIVE,
			 "a unit in use is not LIVE");
	}
}

/* All have ended; the module goes on, and a child would in time be gone. */
static void check(void)
{
	check_contents();
	if (wrong)
		return;
	world.child_exists = 0;
	world.zap_lock = 0;
	for (int i = 0; i < 3; i++) {
		uint8_t offered = (uint8_t)world.header.offered;

		if (offered == world.swept_offered && !world.swept_left)
			break;
		world.swept_offered = offered;
		world.swept_left = 0;
		for (int k = 0; k < UNITS; k++) {
			if (tract_unit_age(world.state + k))
				world.swept_left++;
			else
				purge_run(k, TRACT_UNITS_AGED);
		}
	}
	for (int i = 0; i < UNITS; i++)
		wrong_if(world.state[i] == TRACT_UNIT_VOLATILE ||
				 world.state[i] == TRACT_UNIT_AGED,
			 "an offer is never looked at");
	check_contents();
}

struct scenario {
	const char *name;
	void (*run[ACTORS_MAX])(void);
	bool zaps_shared;
};

static const struct scenario scenarios[] = {
	{ "two units, a sweep and the shrinker",
	  { run_take, run_sweep, run_shrinker },
	  false },
	{ "one unit again and again, a sweep and the shrinker",
	  { run_again, run_sweep, run_shrinker },
	  false },
	{ "two units and the process's purger",
	  { run_take, run_purger },
	  false },
	{ "one unit, a sweep and the process's purger",
	  { run_leave, run_sweep, run_purger },
	  false },
	{ "offered twice, a sweep and the shrinker",
	  { run_free_offered, run_sweep, run_shrinker },
	  false },
	{ "offered and left, a sweep and the shrinker",
	  { run_leave, run_sweep, run_shrinker },
	  false },
	{ "fork, the map copied first",
	  { run_fork_map_first, run_sweep, run_shrinker },
	  false },
	{ "fork, the map copied last",
	  { run_fork_map_last, run_sweep, run_shrinker },
	  false },
	{ "fork, the map copied first, the child spared",
	  { run_fork_map_first, run_sweep, run_shrinker },
	  true },
	{ "fork, the map copied last, the child spared",
	  { run_fork_map_last, run_sweep, run_shrinker },
	  true },
	{ "fork and the process's purger",
	  { run_fork_map_first, run_sweep, run_purger },
	  false },
};

static const char *try_scenario(const struct scenario *scenario)
{
	zaps_shared = scenario->zaps_shared;
	for (actor_count = 0; scenario->run[actor_count]; actor_count++)
		actors[actor_count].run = scenario->run[actor_count];
	return explore(reset, check, &world, sizeof(world));
}

/* The first scenario in which the fault shows, and how. */
static const char *find_fault(const char **where)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		const char *why = try_scenario(&scenarios[i]);

		*where = scenarios[i].name;
		if (why)
			return why;
	}
	return NULL;
}

int main(void)
{
	unsigned int test = 0;
	const char *why, *where;
	bool failed = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		why = try_scenario(&scenarios[i]);
		failed |= why != NULL;
		printf("%sok %u - %s: %lu states%s%s\n", why ? "not " : "",
		       ++test, scenarios[i].name, states, why ? ": " : "",
		       why ? why : "");
	}
	for (fault = NONE + 1; fault < ARRAY_SIZE(fault_names); fault++) {
		why = find_fault(&where);
		failed |= !why;
		printf("%sok %u - broken, %s: %s%s%s\n", why ? "" : "not ",
		       ++test, fault_names[fault], why ? why : "not noticed",
		       why ? ", in: " : "", why ? where : "");
	}
	printf("1..%u\n", test);
	return failed;
}
