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
 *   never     offered in a purge map, purged under pressure only
 *   decay     offered in a purge map, with the default decay time
 *   free      madvise(MADV_FREE)
 *   dontneed  madvise(MADV_DONTNEED)
 *
 * In these modes both work at the same time.  In the following they take turns,
 * so that what is in use at a time always fits: BURST_MIB of entries are used and
 * then given up all together, and then it is the other's turn.
 *
 *   burst     offered in a purge map, purged under pressure only
 *   malloc    free()
 *
 * Prints what became of the entries, and one line of JSON with that and more;
 * ends 0 if both processes lived to the end and found their data, 2 if one was
 * killed, which ends the run.
 */
#include "../observe.h"
#include "../offer.h"

#define UNIT (64 * KIB)
#define BURST_MIB 150
#define PATIENCE 4
#define BURST (BURST_MIB * MIB / UNIT)

static double seconds = 60;
static size_t live_mib = 300, cache_mib = 1536, peer_mib = 300;
static const char *mode;

struct report {
	unsigned long used, intact, purged, busy; /* entries */
	unsigned long checks;			  /* looks at live data */
	unsigned long turns;			  /* of the peer */
	unsigned long pressed;	   /* units that went for want of memory */
	double fill_s, fill_max_s; /* it took to have its memory */
	bool peers_turn, ended;
};

static struct report *report;

static bool is_mode(const char *name)
{
	return !strcmp(mode, name);
}

/* Has memory been short yet? */
static bool was_short(void)
{
	return __atomic_load_n(&report->turns, __ATOMIC_RELAXED) &&
	       (!is_mode("never") ||
		__atomic_load_n(&report->pressed, __ATOMIC_RELAXED));
}

/* A slow machine gets more time, or it would have tested nothing. */
static bool goes_on(double end)
{
	if (__atomic_load_n(&report->ended, __ATOMIC_ACQUIRE))
		return false;
	return t_now() < (was_short() ? end : end + PATIENCE * seconds);
}

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

/*
 * The entry that is used next: half of the time one of a sixteenth, which a cache
 * should be able to keep, else any.
 */
static size_t pick(unsigned long n, size_t entries)
{
	uint64_t any = t_mix(n);

	return any / 2 % (any & 1 ? entries / 16 : entries);
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

/* Both kinds of cache: @filled has how often each entry was used. */
static void cache_offered(double end)
{
	struct t_res res = t_reserve(cache_mib * MIB, 0);
	struct t_map map =
		t_bind(&res, UNIT, is_mode("never") ? TRACT_DECAY_NEVER : 0);
	unsigned int *filled = t_anonymous(map.units * sizeof(*filled));
	struct tract_stats st;

	for (unsigned long n = 0; goes_on(end); n++) {
		size_t u = pick(n, map.units);
		__u8 was = t_take(&map, u);

		/* New, or being purged: then another, as one should. */
		if (was == TRACT_UNIT_LIVE && filled[u]) {
			report->busy++;
			continue;
		}
		check_entry(t_unit(&map, u), u, filled[u],
			    was == TRACT_UNIT_VOLATILE ||
				    was == TRACT_UNIT_AGED);
		use(t_unit(&map, u), u, ++filled[u]);
		t_offer(&map, u);
		if (is_mode("never"))
			__atomic_store_n(&report->pressed, map.header->purged,
					 __ATOMIC_RELAXED);
	}
	st = t_process_stats();
	if (is_mode("never")) {
		/* Else nothing was short, and nothing was tested. */
		CHECK(st.out_purged_pressure_bytes > 0, "nothing was purged");
		CHECK_EQ(st.out_purged_age_bytes, 0, "purged by age");
	}
	t_note("purged by pressure %llu MiB, by age %llu MiB, %llu sweeps",
	       st.out_purged_pressure_bytes / MIB,
	       st.out_purged_age_bytes / MIB, st.out_sweeps);
}

/* A page of MADV_FREE is intact or zero each by itself: look at all. */
static void cache_advised(double end, int advice)
{
	const size_t units = cache_mib * MIB / UNIT;
	char *cache = mmap(NULL, units * UNIT, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned int *filled = t_anonymous(units * sizeof(*filled));

	for (unsigned long n = 0; goes_on(end); n++) {
		size_t u = pick(n, units);
		char *entry = cache + u * UNIT;
		bool intact = filled[u];

		for (size_t at = 0; at < UNIT; at += PAGE)
			intact &= *(uint64_t *)(entry + at) != 0;
		if (intact)
			report->intact++;
		else
			report->purged += filled[u] > 0;
		use(entry, u, ++filled[u]);
		if (madvise(entry, UNIT, advice))
			t_die("madvise: %s", strerror(errno));
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

	for (unsigned int turn = 1; goes_on(end); turn++) {
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

	for (unsigned int turn = 1; goes_on(end); turn++) {
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
	return is_mode("malloc") || is_mode("burst");
}

static bool is_advice(void)
{
	return is_mode("free") || is_mode("dontneed");
}

static void holder(double end)
{
	if (is_mode("malloc"))
		live = malloc(live_mib * MIB);
	else if (is_advice())
		live = t_anonymous(live_mib * MIB);
	else
		live = t_reserve(live_mib * MIB, 0).addr;
	for (size_t at = 0; at < live_mib * MIB; at += MIB)
		fill(live + at, MIB, at);
	t_note("%zu MiB live", live_mib);
	if (is_mode("malloc"))
		cache_malloc(end);
	else if (is_advice())
		cache_advised(end, is_mode("free") ? MADV_FREE : MADV_DONTNEED);
	else if (is_mode("burst"))
		cache_burst(end);
	else
		cache_offered(end);
	__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < live_mib; i++)
		check_live();
}

static char *peer_fill(void)
{
	double start = t_now(), took;
	char *memory = t_anonymous(peer_mib * MIB);

	for (size_t at = 0; at < peer_mib * MIB; at += MIB)
		fill(memory + at, MIB, at + report->turns);
	took = t_now() - start;
	report->fill_s += took;
	if (took > report->fill_max_s)
		report->fill_max_s = took;
	return memory;
}

static void peer(double end)
{
	if (takes_turns())
		take_turns(true);
	while (goes_on(end)) {
		char *memory = peer_fill();

		t_sleep_us(500000);
		for (size_t at = 0; at < peer_mib * MIB; at += MIB)
			CHECK(is_filled(memory + at, MIB, at + report->turns),
			      "the peer lost its data at %zu", at);
		munmap(memory, peer_mib * MIB);
		report->turns++;
		if (takes_turns())
			take_turns(true);
		else
			t_sleep_us(500000);
	}
	__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
	t_note("the peer had its %zu MiB %lu times", peer_mib, report->turns);
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

/* What the kernel has counted, of all names that begin with @name. */
static unsigned long vmstat(const char *name)
{
	static char text[32768];
	unsigned long sum = 0;

	if (t_read_file("/proc/vmstat", text, sizeof(text)) < 0)
		t_die("/proc/vmstat");
	for (const char *line = text; line;) {
		if (!strncmp(line, name, strlen(name)))
			sum += strtoul(strchr(line, ' '), NULL, 10);
		line = strchr(line, '\n');
		line += line != NULL;
	}
	return sum;
}

struct counts {
	unsigned long swapped_out, reclaims;
};

static struct counts count(void)
{
	return (struct counts){
		.swapped_out = vmstat("pswpout "),
		.reclaims = vmstat("allocstall_"),
	};
}

/* Waits for both.  Who was killed, which is for the OOM killer to do; or "". */
static const char *wait_for_both(int holder_pid, long *peak_kib)
{
	const char *killed = "";

	for (int left = 2; left;) {
		struct rusage usage;
		int status, pid = wait4(-1, &status, 0, &usage);
		const char *who = pid == holder_pid ? "holder" : "peer";

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			t_die("wait4: %s", strerror(errno));
		left--;
		__atomic_store_n(&report->ended, true, __ATOMIC_RELEASE);
		if (pid == holder_pid)
			*peak_kib = usage.ru_maxrss;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			killed = *killed ? "both" : who;
		else
			CHECK_EQ(status, 0, "%s: status", who);
	}
	return killed;
}

int main(int argc, char **argv)
{
	struct counts before, after;
	const char *killed;
	double begin, end;
	long peak_kib = 0;
	int pid;

	mode = argc > 1 ? argv[1] : "never";
	if (argc > 2)
		seconds = atof(argv[2]);
	if (argc > 3)
		live_mib = atol(argv[3]);
	if (argc > 4)
		cache_mib = atol(argv[4]);
	if (argc > 5)
		peer_mib = atol(argv[5]);
	t_begin("pressure", (PATIENCE + 1) * seconds + 120);
	report = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	before = count();
	begin = t_now();
	end = begin + seconds;
	pid = start(holder, end);
	start(peer, end);
	killed = wait_for_both(pid, &peak_kib);
	after = count();
	if (*killed)
		t_note("killed: %s", killed);
	else
		CHECK(report->turns > 0, "the peer never had its memory");
	t_note("%s: %lu entries used (%lu MiB), %lu found intact, %lu purged, %lu busy",
	       mode, report->used, report->used / 16, report->intact,
	       report->purged, report->busy);
	t_note("%lu looks at live data, %u checks failed", report->checks,
	       t_state->failed);
	t_print("{\"mode\":\"%s\",\"seconds\":%.0f,\"killed\":\"%s\","
		"\"wrong\":%u,\"used\":%lu,\"intact\":%lu,\"lost\":%lu,"
		"\"live_looks\":%lu,\"peer_turns\":%lu,"
		"\"peer_fill_ms\":%.0f,\"peer_fill_max_ms\":%.0f,"
		"\"peak_mib\":%ld,\"swapped_out_mib\":%lu,"
		"\"direct_reclaims\":%lu}\n",
		mode, t_now() - begin, killed, t_state->failed, report->used,
		report->intact, report->purged, report->checks, report->turns,
		report->turns ? report->fill_s * 1e3 / report->turns : 0.0,
		report->fill_max_s * 1e3, peak_kib / 1024,
		(after.swapped_out - before.swapped_out) * PAGE / MIB,
		after.reclaims - before.reclaims);
	if (*killed)
		return 2;
	return t_state->failed ? 1 : 0;
}
