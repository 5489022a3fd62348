// SPDX-License-Identifier: MIT
/*
 * Libraries that come and go.  A helper that allocates in its constructor, in
 * thread-local storage and in its destructor is built with cc at run time; two
 * ordinary libraries (zlib, SQLite) are used where the system has them.
 */
#include "tap.h"

#include <pthread.h>
#include <sys/wait.h>

static const char source[] =
	"#include <stdlib.h>\n"
	"#include <string.h>\n"
	"static char *early; static __thread char big[3000];\n"
	"static __thread char *mine;\n"
	"int (*hook)(void);\n"
	"__attribute__((constructor)) static void up(void)\n"
	"{ early = malloc(1000); memset(early, 7, 1000); }\n"
	"__attribute__((destructor)) static void down(void)\n"
	"{ int i, ok = 1; for (i = 0; i < 1000; i++) ok &= early[i] == 7;\n"
	"  free(early); if (!ok) abort(); free(calloc(10, 100)); }\n"
	"char *make(int n)\n"
	"{ big[n % 3000] = 1; free(mine); mine = malloc(n);\n"
	"  memset(mine, 1, n); return strdup(\"made by a library\"); }\n"
	"void drop(char *p) { free(p); free(mine); mine = NULL; }\n";

static char *(*lib_make)(int);
static void (*lib_drop)(char *);

static void *use(void *arg)
{
	uintptr_t good = 1;
	int i;

	(void)arg;
	for (i = 1; i < 200; i++) {
		char *p = lib_make(i * 10);

		good &= !strcmp(p, "made by a library");
		lib_drop(p);
	}
	return (void *)good;
}

/* 0 built, else there is no compiler. */
static int build(const char *dir, char *path, size_t size)
{
	char c[256], command[1024];
	FILE *file;

	snprintf(c, sizeof(c), "%s/helper.c", dir);
	snprintf(path, size, "%s/helper.so", dir);
	file = fopen(c, "w");
	if (!file)
		return -1;
	fputs(source, file);
	fclose(file);
	snprintf(command, sizeof(command),
		 "cc -shared -fPIC -O1 -fno-builtin -o %s %s 2>%s/log", path, c,
		 dir);
	return system(command);
}

static void helper(void)
{
	char dir[] = "/tmp/tract-dlopen-XXXXXX", path[256], command[256];
	int i, failed = 0, wrong = 0, ret;
	void *kept[100], *lib, *good;
	pthread_t t[2];

	if (!mkdtemp(dir) || build(dir, path, sizeof(path))) {
		tap_skip("no C compiler to build a helper library with");
		return;
	}
	for (i = 0; i < 100; i++) {
		lib = dlopen(path, RTLD_NOW);
		if (!lib) {
			tap_note("%s", dlerror());
			failed++;
			break;
		}
		lib_make = (char *(*)(int))dlsym(lib, "make");
		lib_drop = (void (*)(char *))dlsym(lib, "drop");
		pthread_create(&t[0], NULL, use, NULL);
		pthread_create(&t[1], NULL, use, NULL);
		pthread_join(t[0], &good);
		wrong += !good;
		pthread_join(t[1], &good);
		wrong += !good;
		wrong += !use(NULL);
		/* Outlives the library that allocated it. */
		kept[i] = lib_make(5000);
		failed += dlclose(lib) != 0;
	}
	while (i--) {
		wrong += strcmp(kept[i], "made by a library") != 0;
		free(kept[i]);
	}
	tap_ok(!failed && !wrong,
	       "a library that allocates as it loads and unloads, 100 times: "
	       "%d failed, %d wrong",
	       failed, wrong);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ret = system(command);
	if (ret)
		tap_note("%s was left behind", dir);
}

static void zlib(void)
{
	int (*squeeze)(unsigned char *, unsigned long *, const unsigned char *,
		       unsigned long);
	int (*expand)(unsigned char *, unsigned long *, const unsigned char *,
		      unsigned long);
	static unsigned char in[200000], out[400000], back[200000];
	unsigned long packed, size, i;
	int round, bad = 0;
	void *lib;

	for (i = 0; i < sizeof(in); i++)
		in[i] = tap_mix(i / 7) & 15;
	for (round = 0; round < 20; round++) {
		lib = dlopen("libz.so.1", RTLD_NOW);
		if (!lib) {
			tap_skip("no libz.so.1");
			return;
		}
		squeeze = (__typeof__(squeeze))dlsym(lib, "compress");
		expand = (__typeof__(expand))dlsym(lib, "uncompress");
		packed = sizeof(out);
		size = sizeof(back);
		bad += squeeze(out, &packed, in, sizeof(in)) ||
		       expand(back, &size, out, packed) || size != sizeof(in) ||
		       memcmp(in, back, size);
		dlclose(lib);
	}
	tap_ok(!bad, "zlib packs and unpacks 20 times: %d wrong", bad);
}

static int row(void *sum, int n, char **value, char **name)
{
	(void)n;
	(void)name;
	*(long long *)sum = value[0] ? atoll(value[0]) : -1;
	return 0;
}

static void sqlite(void)
{
	int (*open_db)(const char *, void **), (*close_db)(void *);
	int (*exec)(void *, const char *,
		    int (*)(void *, int, char **, char **), void *, char **);
	long long sum = 0;
	int round, bad = 0;
	void *lib, *db;

	for (round = 0; round < 3; round++) {
		lib = dlopen("libsqlite3.so.0", RTLD_NOW);
		if (!lib) {
			tap_skip("no libsqlite3.so.0");
			return;
		}
		open_db = (__typeof__(open_db))dlsym(lib, "sqlite3_open");
		close_db = (__typeof__(close_db))dlsym(lib, "sqlite3_close");
		exec = (__typeof__(exec))dlsym(lib, "sqlite3_exec");
		bad += open_db(":memory:", &db);
		bad += exec(db,
			    "create table t(a integer, b text);"
			    "with recursive n(i) as (select 1 union all select "
			    "i+1 from n where i<50000) insert into t select i, "
			    "hex(i*i) from n; create index x on t(b);"
			    "delete from t where a%3=0;",
			    NULL, NULL, NULL);
		bad += exec(db, "select sum(length(b)*a) from t", row, &sum,
			    NULL);
		bad += sum != 15926599052;
		if (bad)
			tap_note("the sum is %lld", sum);
		bad += close_db(db);
		dlclose(lib);
	}
	tap_ok(!bad, "SQLite works on 50,000 rows, 3 times: %d wrong", bad);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 120);
	helper();
	zlib();
	sqlite();
	return tap_done();
}
