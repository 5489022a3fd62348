// SPDX-License-Identifier: MIT
/*
 * Many threads, each with a Lua state of its own, all compiling.  With a gap
 * the compiler's surroundings, as far as its branches go, are full but for
 * that, and the kernel puts what is mapped somewhere else: what LuaJIT meets on
 * machines with narrow branches.
 *
 *   luajit THREADS GAP-MIB    0: the address space is left as it is
 *
 * Prints what the script computed, the compiler's aborts for want of memory
 * for code, and how far from it the code lies that is farthest away.
 */
#include "../squeeze.h"
#include "../tap.h"

#include <lauxlib.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define WINDOW ((uintptr_t)1 << 30)

/* Loaded late, so that it lies where we want it. */
static struct {
	lua_State *(*newstate)(void);
	void (*openlibs)(lua_State *L);
	int (*loadfile)(lua_State *L, const char *name);
	int (*pcall)(lua_State *L, int args, int results, int handler);
	lua_Number (*tonumber)(lua_State *L, int index);
	const char *(*tolstring)(lua_State *L, int index, size_t *length);
} lua;

static pthread_barrier_t created, squeezed;
static const char *script;
static long aborts, sum;

/* Fills what is free within reach of @near, but for @gap bytes close to it. */
static void squeeze(uintptr_t near, size_t gap)
{
	uintptr_t at[SQUEEZE_RANGES], to[SQUEEZE_RANGES];
	size_t n = squeeze_free(near - WINDOW, near + WINDOW, at, to);

	/* The gap is the end of the last large one below. */
	for (size_t i = n; i-- > 0;) {
		if (gap && to[i] < near && to[i] - at[i] >= gap) {
			to[i] -= gap;
			gap = 0;
		}
		squeeze_fill(at[i], to[i]);
	}
}

static uintptr_t farthest(uintptr_t near)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uintptr_t start, end, inode, far = 0;
	char line[512], prot[8];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s %*x %*x:%*x %lu", &start, &end,
			   prot, &inode) != 4 ||
		    prot[2] != 'x' || inode || strchr(line, '['))
			continue;
		if (start < near && near - start > far)
			far = near - start;
		if (end > near && end - near > far)
			far = end - near;
	}
	fclose(maps);
	return far;
}

/* With free space above it that is not within its reach. */
static void load(void)
{
	void *above = (void *)syscall(
		SYS_mmap, NULL, 3 * WINDOW, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at[SQUEEZE_RANGES], to[SQUEEZE_RANGES];
	void *library;
	size_t n = squeeze_free((uintptr_t)above, (uintptr_t)&n, at, to);

	/* Between the other libraries there may be room for one more. */
	for (size_t i = 0; i < n; i++)
		if (to[i] - at[i] < WINDOW)
			squeeze_fill(at[i], to[i]);
	library = dlopen("libluajit-5.1.so.2", RTLD_NOW | RTLD_GLOBAL);

	if (!library) {
		printf("1..0 # SKIP %s\n", dlerror());
		exit(77);
	}
	*(void **)&lua.newstate = dlsym(library, "luaL_newstate");
	*(void **)&lua.openlibs = dlsym(library, "luaL_openlibs");
	*(void **)&lua.loadfile = dlsym(library, "luaL_loadfile");
	*(void **)&lua.pcall = dlsym(library, "lua_pcall");
	*(void **)&lua.tonumber = dlsym(library, "lua_tonumber");
	*(void **)&lua.tolstring = dlsym(library, "lua_tolstring");
	syscall(SYS_munmap, above, 3 * WINDOW);
}

static void *compile(void *arg)
{
	lua_State *L = lua.newstate();

	lua.openlibs(L);
	pthread_barrier_wait(&created);
	pthread_barrier_wait(&squeezed);
	if (lua.loadfile(L, script) || lua.pcall(L, 0, 2, 0)) {
		fprintf(stderr, "%s\n", lua.tolstring(L, -1, NULL));
		exit(1);
	}
	__atomic_fetch_add(&sum, (long)lua.tonumber(L, -2), __ATOMIC_RELAXED);
	__atomic_fetch_add(&aborts, (long)lua.tonumber(L, -1),
			   __ATOMIC_RELAXED);
	return arg;
}

int main(int argc, char **argv)
{
	uintptr_t near;
	int threads = argc > 1 ? atoi(argv[1]) : 200;
	size_t gap = (size_t)(argc > 2 ? atoi(argv[2]) : 0) << 20;
	pthread_attr_t attr;
	pthread_t thread;

	load();
	near = (uintptr_t)lua.newstate;
	script = getenv("TRACT_TEST_SCRIPT");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	pthread_barrier_init(&created, NULL, threads + 1);
	pthread_barrier_init(&squeezed, NULL, threads + 1);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread, &attr, compile, NULL))
			return 1;
	pthread_barrier_wait(&created);
	if (gap)
		squeeze(near, gap);
	/* A mark for whoever reads the system calls. */
	syscall(SYS_getppid);
	pthread_barrier_wait(&squeezed);
	while (process_status("\nThreads:") > 1)
		process_sleep(0.01);
	printf("sum %ld\naborts %ld\nfarthest %lu MiB\n", sum, aborts,
	       farthest(near) >> 20);
	return 0;
}
