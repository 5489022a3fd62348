// SPDX-License-Identifier: MIT
/*
 * Memory for two: one process holds live data and a cache that is far larger
 * than the machine, another needs memory again and again.  Nobody may be killed
 * and no live byte may change.
 *
 *   pressure MODE [SECONDS [LIVE_MIB [CACHE_MIB [PEER_MIB]]]]
 *
 * MODE says how an entry of the cache is given up after use:
 *
 *   never   offered in a purge map, purged under pressure only
 *   decay   offered in a purge map, with the default decay time
 *   free    madvise(MADV_FREE)
 *
 * In these modes both work at the same time.  In the following they take turns,
 * so that what is in use at a time always fits: BURST_MIB of entries are used and
 * then given up all together, and then it is the other's turn.
 *
 *   burst   offered in a purge map, purged under pressure only
 *   malloc  free()
 *
 * Prints what became of the entries; ends 0 if both processes lived to the end
 * and found their data, 2 if one was killed.
 */
#include "../offer.h"

#define UNIT (64 * KIB)
#define BURST_MIB 150
#define BURST (BURST_MIB * MIB / UNIT)

static double seconds = 60;
static size_t live_mib = 300, cache_mib = 1536, peer_mib = 300;
static const char *mode;

struct report {
	unsigned long used, intact, purged, busy; /* entries */
	unsigned long checks;			  /* looks at live data */
	bool peers_turn, ended;
};

static struct report *report;

/* Cheap to make and to check; every word depends on the seed and its place. */
static void fill(void *addr, size_t length, uint64_t seed)
{
	uint64_t *word = addr;

	for (size_t i = 0; i < length / 8; i++)
		word[i] = (seed + i) * 0x9e3779b97f4a7c15 | 1;
}

static bool is_filled(const void *addr, size_t length, uint64_t seed)
{
	const uint64_t *word = addr;
	uint64_t wrong = 0;

	for (size_t i = 0; i < length / 8; i++)
		wrong |= word[i] ^ ((seed + i) * 0x9e3779b97f4a7c15 | 1);
	return !wrong;
}

static bool is_zero(const void *addr, size_t length)
{
	const uint64_t *word = addr;
	uint64_t any = 0;

	for (size_t i = 0; i < length / 8; i++)
		any |= word[i];
	return !any;
}

/* Live data that is looked at a piece at a time. */
static char *live;
static size_t live_at;

static void check_live(void)
{
	CHECK(is_filled(live + live_at, MIB, live_at), "live data at %zu lost",
	      live_at);
	report->checks++;
	live_at = (live_at + MIB) % (live_mib * MIB);
}

/* Each entry has a seed of its own, every turn another. */
static uint64_t seed_of(size_t entry, unsigned int turn)
{
	return ((uint64_t)entry << 20 | turn) * 8192;
}

/* An entry that is the process's again: as it was left, or wholly zero. */
static void check_entry(char *entry, size_t u, unsigned int filled, bool intact)
{
	if (intact) {
		report->intact++;
		CHECK(is_filled(entry, UNIT, seed_of(u, filled)),
		      "entry %zu should be intact", u);
	} else {
		report->purged += filled > 0;
		CHECK(is_zero(entry, UNIT), "entry %zu should be zero", u);
	}
}

static void use(char *entry, size_t u, unsigned int turn)
{
	fill(entry, UNIT, seed_of(u, turn));
	report->used++;
	if (u % 16 == 0)
		check_live();
}

/* Both kinds of cache: @filled has the turn that each entry was last used in. */
static void cache_offered(double end)
{
	struct t_res res = t_reserve(cache_mib * MIB, 0);
	struct t_map map = t_bind(
		&res, UNIT, strcmp(mode, "never") ? 0 : TRACT_DECAY_NEVER);
	unsigned int *filled = t_anonymous(map.units * sizeof(*filled));
	struct tract_stats st;

	for (unsigned int turn = 1; t_now() < end; turn++)
		for (size_t u = 0; u < map.units && t_now() < end; u++) {
			__u8 was = t_take(&map, u);

			/* New, or being purged: then the next, as one should. */
			if (was == TRACT_UNIT_LIVE && filled[u]) {
				report->busy++;
				continue;
			}
			check_entry(t_unit(&map, u), u, filled[u],
				    was == TRACT_UNIT_VOLATILE ||
					    was == TRACT_UNIT_AGED);
			use(t_unit(&map, u), u, turn);
			filled[u] = turn;
			t_offer(&map, u);
		}
	st = t_process_stats();
	t_note("purged by pressure %llu MiB, by age %llu MiB, %llu sweeps",
	       st.out_purged_pressure_bytes / MIB,
	       st.out_purged_age_bytes / MIB, st.out_sweeps);
}

/* A page of MADV_FREE is intact or zero each by itself: look at all. */
static void cache_freed(double end)
{
	const size_t units = cache_mib * MIB / UNIT;
	char *cache = mmap(NULL, units * UNIT, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int *filled = t_anonymous(units * sizeof(*filled));

	for (unsigned int turn = 1; t_now() < end; turn++)
		for (size_t u = 0; u < units && t_now() < end; u++) {
			char *entry = cache + u * UNIT;
			bool intact = filled[u];

			for (size_t at = 0; at < UNIT; at += PAGE)
				intact &= *(uint64_t *)(entry + at) != 0;
			if (intact)
				report->intact++;
			else
				report->purged += filled[u] > 0;
			use(entry, u, turn);
			filled[u] = turn;
			if (madvise(entry, UNIT, MADV_FREE))
				t_die("MADV_FREE: %s", strerror(errno));
		}
}

/* Pass the turn to the other, and wait until it is passed back. */
static void take_turns(bool is_peer)
{
	__atomic_store_n(&report->peers_turn, !is_peer, __ATOMIC_RELEASE);
	while (__atomic_load_n(&report->peers_turn, __ATOMIC_ACQUIRE) !=
		       is_peer &&
	       !__atomic_load_n(&report->ended, __ATOMIC_ACQUIRE))
		t_sleep_us(1000);
}

static void cache_malloc(double end)
{
	static char *burst[BURST];

	for (unsigned int turn = 1; t_now() < end; turn++) {
		for (size_t u = 0; u < BURST; u++) {
			burst[u] = malloc(UNIT);
			if (!burst[u])
				t_die("malloc: %s", strerror(errno));
			use(burst[u], u, turn);
		}
		for (size_t u = 0; u < BURST; u++)
			free(burst[u]);
		take_turns(false);
	}
}

static void cache_burst(double end)
{
	struct t_res res = t_reserve(BURST_MIB * MIB, 0);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);

	for (unsigned int turn = 1; t_now() < end; turn++) {
		for (size_t u = 0; u < BURST; u++) {
			__u8 was = turn > 1 ? t_take(&map, u) :
					      TRACT_UNIT_PURGED;

			if (was == TRACT_UNIT_LIVE)
				t_die("a unit stays PURGING");
			check_entry(t_unit(&map, u), u, turn - 1,
				    was != TRACT_UNIT_PURGED);
			use(t_unit(&map, u), u, turn);
		}
		for (size_t u = 0; u < BURST; u++)
			t_offer(&map, u);
		take_turns(false);
	}
}

static bool takes_turns(void)
{
	return !strcmp(mode, "malloc") || !strcmp(mode, "burst");
}

static void holder(double end)
{
	if (!strcmp(mode, "malloc")) {
		live = malloc(live_mib * MIB);
	} else if (!strcmp(mode, "free")) {
		live = t_anonymous(live_mib * MIB);
	} else {
		live = t_reserve(live_mib * MIB, 0).addr;
	}
	for (size_t at = 0; at < live_mib * MIB; at += MIB)
		fill(live + at, MIB, at);
	t_note("%zu MiB live", live_mib);
	if (!strcmp(mode, "malloc"))
		cache_malloc(end);
	else if (!strcmp(mode, "free"))
		cache_freed(end);
	else if (!strcmp(mode, "burst"))
		cache_burst(end);
	else
		cache_offered(end);
	__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < live_mib; i++)
		check_live();
}

static void peer(double end)
{
	static unsigned long turns;

	if (takes_turns())
		take_turns(true);
	while (t_now() < end) {
		char *memory = t_anonymous(peer_mib * MIB);

		for (size_t at = 0; at < peer_mib * MIB; at += MIB)
			fill(memory + at, MIB, at + turns);
		t_sleep_us(500000);
		for (size_t at = 0; at < peer_mib * MIB; at += MIB)
			CHECK(is_filled(memory + at, MIB, at + turns),
			      "the peer lost its data at %zu", at);
		munmap(memory, peer_mib * MIB);
		turns++;
		if (takes_turns())
			take_turns(true);
		else
			t_sleep_us(500000);
	}
	__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
	t_note("the peer had its %zu MiB %lu times", peer_mib, turns);
	CHECK(turns > 0, "the peer never had its memory");
}

static int start(void (*fn)(double end), double end)
{
	int pid = t_fork();

	if (!pid) {
		alarm(0);
		fn(end);
		_exit(0);
	}
	return pid;
}

/* True if it was killed, which is for the OOM killer to do. */
static bool was_killed(int pid, const char *who)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		t_note("the %s was killed", who);
		return true;
	}
	CHECK_EQ(status, 0, "%s: status", who);
	return false;
}

int main(int argc, char **argv)
{
	bool killed;
	double end;
	int a, b;

	mode = argc > 1 ? argv[1] : "never";
	if (argc > 2)
		seconds = atof(argv[2]);
	if (argc > 3)
		live_mib = atol(argv[3]);
	if (argc > 4)
		cache_mib = atol(argv[4]);
	if (argc > 5)
		peer_mib = atol(argv[5]);
	t_begin("pressure", seconds + 120);
	report = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	end = t_now() + seconds;
	a = start(holder, end);
	b = start(peer, end);
	killed = was_killed(a, "holder");
	killed |= was_killed(b, "peer");
	t_note("%s: %lu entries used (%lu MiB), %lu found intact, %lu purged, %lu busy",
	       mode, report->used, report->used / 16, report->intact,
	       report->purged, report->busy);
	t_note("%lu looks at live data, %u checks failed", report->checks,
	       t_state->failed);
	if (killed)
		return 2;
	return t_state->failed ? 1 : 0;
}
