// SPDX-License-Identifier: MIT
/*
 * The pattern of bmalloc, JavaScriptCore's allocator: threads commit and
 * decommit 16 KiB pieces scattered over 2 GiB, and keep what is not committed
 * out of core dumps.
 *
 *   bmalloc --mode stock          madvise: DONTNEED and DONTDUMP, then DODUMP
 *           --mode tract          a plain reservation, 16 pieces a BATCH
 *           --mode tract-nohuge   the same without huge pages, also with
 *                                 --batch 1
 *           --threads 8 --steps 6000 --mib 2048 --batch 16 --trace --json
 *
 * --trace counts the acquisitions of mmap_lock by these threads in the loop,
 * writers apart, with the kernel's own tracepoints (root, tracefs).  Every piece
 * is checked: zero when committed, its pattern when decommitted.
 */
#include <getopt.h>
#include <pthread.h>

#include "observe.h"

#define PIECE (16 * KIB)
/* Pieces are never neighbours, as in a fragmented heap. */
#define STRIDE (2 * PIECE)
#define THREADS_MAX 64
#define BATCH_LIMIT 64
#define SAMPLES 10
#define INSTANCE "/sys/kernel/tracing/instances/tract-bmalloc"
#define EVENT INSTANCE "/events/mmap_lock/mmap_lock_acquire_returned"
#define TRACE_MAX 4096

enum mode {
	STOCK,
	TRACT,
	TRACT_NOHUGE
};

static const char *const mode_names[] = { "stock", "tract", "tract-nohuge" };

static struct {
	enum mode mode;
	unsigned int threads, steps, mib, batch;
	bool trace, json;
} opt = { STOCK, 8, 6000, 2048, 16, false, false };

struct worker {
	pthread_t thread;
	struct t_rand rnd;
	unsigned int number, held;
	int tid;
	unsigned char *committed;
	size_t pending[BATCH_LIMIT];
	unsigned long commits, decommits, failed, calls, wrong;
	int first_errno;
};

static struct worker workers[THREADS_MAX];
static char *base;
static struct t_res res;
static size_t pieces; /* of one thread */
static pthread_barrier_t barrier;
static volatile unsigned int progress;
static volatile bool done;
static int device;

/* When the map was first full, by the number of steps all had made. */
static volatile unsigned long full_at;

static char *piece_at(const struct worker *w, size_t n)
{
	return base + (n * opt.threads + w->number) * STRIDE;
}

static void failed(struct worker *w, int err)
{
	w->failed++;
	if (!w->first_errno)
		w->first_errno = err;
	if (!full_at)
		full_at = progress;
}

/* One page of a piece is used: page faults are not what is looked at. */
static volatile uint64_t *word_of(const struct worker *w, size_t n)
{
	return (volatile uint64_t *)(piece_at(w, n) + n % 4 * PAGE);
}

static void commit(struct worker *w, size_t n)
{
	char *at = piece_at(w, n);
	volatile uint64_t *word;

	if (opt.mode == STOCK) {
		w->calls++;
		if (madvise(at, PIECE, MADV_DODUMP))
			failed(w, errno);
	}
	word = word_of(w, n);
	w->wrong += *word != 0;
	*word = n + 1;
	w->committed[n] = 1;
	w->commits++;
}

static void verify(struct worker *w, size_t n)
{
	w->wrong += *word_of(w, n) != n + 1;
}

static void flush(struct worker *w)
{
	struct tract_op ops[BATCH_LIMIT];
	int err;

	if (!w->held)
		return;
	for (unsigned int i = 0; i < w->held; i++)
		ops[i] = t_make_op(TRACT_OP_DECOMMIT, res.id,
				   piece_at(w, w->pending[i]) - base, PIECE);
	w->calls++;
	err = t_batch(ops, w->held, NULL);
	for (unsigned int i = 0; i < w->held; i++) {
		if (err || ops[i].out_result)
			failed(w, err ? -err : -ops[i].out_result);
		w->committed[w->pending[i]] = 0;
	}
	w->held = 0;
}

static void decommit(struct worker *w, size_t n)
{
	char *at = piece_at(w, n);

	verify(w, n);
	w->decommits++;
	if (opt.mode == STOCK) {
		w->calls += 2;
		if (madvise(at, PIECE, MADV_DONTNEED))
			failed(w, errno);
		if (madvise(at, PIECE, MADV_DONTDUMP))
			failed(w, errno);
		w->committed[n] = 0;
		return;
	}
	/* Neither used nor free until the batch is through. */
	w->committed[n] = 2;
	w->pending[w->held++] = n;
	if (w->held == opt.batch)
		flush(w);
}

/* Grow as a heap does: of four steps three commit, one decommits. */
static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int i = 0;

	w->tid = syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	while (i < opt.steps) {
		size_t n = t_below(&w->rnd, pieces);

		if (w->committed[n] == 2)
			continue;
		if (!w->committed[n])
			commit(w, n);
		else if (t_below(&w->rnd, 3) == 0)
			decommit(w, n);
		else
			continue;
		i++;
		__atomic_add_fetch(&progress, 1, __ATOMIC_RELAXED);
	}
	flush(w);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/*
 * A histogram in the kernel of what these threads and no others do, in an
 * instance of our own: it goes with everything in it.
 */
static void trace_start(void)
{
	static char text[TRACE_MAX];
	size_t len = snprintf(text, sizeof(text), "hist:keys=write if ");

	rmdir(INSTANCE);
	if (mkdir(INSTANCE, 0700))
		t_die(INSTANCE ": %s", strerror(errno));
	for (unsigned int i = 0; i < opt.threads; i++)
		len += snprintf(text + len, sizeof(text) - len,
				"%scommon_pid == %d", i ? " || " : "",
				workers[i].tid);
	snprintf(text + len, sizeof(text) - len, "\n");
	if (t_write_file(EVENT "/trigger", text)) {
		rmdir(INSTANCE);
		t_die("cannot count by " EVENT "/trigger");
	}
}

static void trace_read(long count[2])
{
	static char text[TRACE_MAX];
	char *at = text;

	if (t_read_file(EVENT "/hist", text, sizeof(text)) < 0)
		t_die("no " EVENT "/hist");
	while ((at = strstr(at, "write:"))) {
		char *hit = strstr(at, "hitcount:");

		at += strlen("write:");
		if (!hit)
			break;
		count[strtol(at, NULL, 10) & 1] =
			strtol(hit + strlen("hitcount:"), NULL, 10);
	}
}

static void make_range(void)
{
	size_t length = opt.mib * MIB;

	if (opt.mode == STOCK) {
		base = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (base == MAP_FAILED || madvise(base, length, MADV_DONTDUMP))
			t_die("mmap: %s", strerror(errno));
		return;
	}
	res = t_reserve(length,
			opt.mode == TRACT_NOHUGE ? TRACT_RESERVE_NOHUGE : 0);
	base = res.addr;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", 1, NULL, 'm' },  { "threads", 1, NULL, 't' },
		{ "steps", 1, NULL, 's' }, { "mib", 1, NULL, 'l' },
		{ "batch", 1, NULL, 'b' }, { "trace", 0, NULL, 'T' },
		{ "json", 0, NULL, 'j' },  { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned int i;

		switch (c) {
		case 'm':
			for (i = 0; i < 3; i++)
				if (!strcmp(optarg, mode_names[i]))
					break;
			if (i == 3)
				t_die("no mode %s", optarg);
			opt.mode = i;
			break;
		case 't':
			opt.threads = atoi(optarg);
			break;
		case 's':
			opt.steps = atoi(optarg);
			break;
		case 'l':
			opt.mib = atoi(optarg);
			break;
		case 'b':
			opt.batch = atoi(optarg);
			break;
		case 'T':
			opt.trace = true;
			break;
		case 'j':
			opt.json = true;
			break;
		default:
			exit(1);
		}
	}
	if (!opt.threads || opt.threads > THREADS_MAX || !opt.batch ||
	    opt.batch > BATCH_LIMIT || !opt.mib)
		t_die("up to %d threads, up to %d a batch", THREADS_MAX,
		      BATCH_LIMIT);
	pieces = opt.mib * MIB / STRIDE / opt.threads;
	if (opt.steps > pieces * 2)
		t_die("%u steps are too many for %zu pieces a thread",
		      opt.steps, pieces);
}

/* From the device where there is one: to read 65530 lines takes the lock. */
static long map_count(void)
{
	struct tract_stats st;

	if (device >= 0) {
		st = (struct tract_stats){ .size = sizeof(st),
					   .scope = TRACT_SCOPE_PROCESS };
		if (!t_ioctl_fd(device, TRACT_IOC_STATS, &st))
			return st.out_map_count;
	}
	return t_map_count(0);
}

static void *watch(void *arg)
{
	long *maps = arg;

	/* Against steps, not time: the same on any machine. */
	for (unsigned int i = 0; i < SAMPLES && !done; i++) {
		while (progress < opt.threads * opt.steps / SAMPLES * i &&
		       !done)
			t_sleep_us(2000);
		maps[i] = map_count();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long maps[SAMPLES] = { 0 }, before, after, locks[2] = { 0, 0 };
	long long max = t_read_number("/proc/sys/vm/max_map_count");
	struct worker sum = { 0 };
	pthread_t watcher;
	double start, seconds;

	parse(argc, argv);
	device = t_open();
	make_range();
	for (unsigned int i = 0; i < opt.threads; i++) {
		workers[i].number = i;
		workers[i].rnd.state = i * 1000003;
		workers[i].committed = calloc(pieces, 1);
		if (!workers[i].committed)
			t_die("no memory");
	}
	pthread_barrier_init(&barrier, NULL, opt.threads + 1);
	for (unsigned int i = 0; i < opt.threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			t_die("pthread_create");
	pthread_barrier_wait(&barrier);
	if (pthread_create(&watcher, NULL, watch, maps))
		t_die("pthread_create");
	t_sleep_us(100000);
	before = map_count();
	if (opt.trace)
		trace_start();
	start = t_now();
	pthread_barrier_wait(&barrier);
	/* The loop runs; the threads stay until the counts have been read. */
	pthread_barrier_wait(&barrier);
	seconds = t_now() - start;
	after = map_count();
	if (opt.trace) {
		trace_read(locks);
		rmdir(INSTANCE);
	}
	done = true;
	pthread_join(watcher, NULL);
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < opt.threads; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		for (size_t n = 0; n < pieces; n++)
			if (w->committed[n])
				verify(w, n);
		sum.commits += w->commits;
		sum.decommits += w->decommits;
		sum.failed += w->failed;
		sum.calls += w->calls;
		sum.wrong += w->wrong;
		if (w->first_errno)
			sum.first_errno = w->first_errno;
	}
	maps[SAMPLES - 1] = after;
	printf(opt.json ?
		       "{\"mode\":\"%s\",\"batch\":%u,\"threads\":%u,\"steps\":%u,"
		       "\"commits\":%lu,\"decommits\":%lu,\"calls\":%lu,"
		       "\"failed\":%lu,\"errno\":\"%s\",\"full_at\":%lu,"
		       "\"maps_before\":%ld,\"maps_after\":%ld,\"maps_max\":%lld," :
		       "mode %s, batches of %u, %u threads, %u steps each\n"
		       "commits %lu, decommits %lu, calls %lu\n"
		       "calls or operations failed: %lu, with %s, first at step "
		       "%lu\nVMAs before %ld, after %ld, vm.max_map_count %lld\n",
	       mode_names[opt.mode], opt.mode == STOCK ? 1 : opt.batch,
	       opt.threads, opt.steps, sum.commits, sum.decommits, sum.calls,
	       sum.failed, sum.failed ? strerrorname_np(sum.first_errno) : "-",
	       full_at, before, after, max);
	printf(opt.json ? "\"maps\":[" : "VMAs at each tenth:");
	for (int i = 0; i < SAMPLES; i++)
		printf(opt.json ? "%s%ld" : "%s %ld", opt.json && i ? "," : "",
		       maps[i]);
	if (opt.trace)
		printf(opt.json ?
			       "],\"write_locks\":%ld,\"read_locks\":%ld" :
			       "\nmmap_lock in the loop: %ld for writing, %ld "
			       "for reading\n",
		       locks[1], locks[0]);
	else
		printf(opt.json ? "],\"write_locks\":null,\"read_locks\":null" :
				  "\n");
	printf(opt.json ? ",\"wrong\":%lu,\"seconds\":%.2f}\n" :
			  "wrong contents: %lu; %.2f s\n",
	       sum.wrong, seconds);
	return sum.wrong != 0;
}
