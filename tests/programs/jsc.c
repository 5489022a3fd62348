// SPDX-License-Identifier: MIT
/*
 * JavaScriptCore, embedded: runs a script, prints its value, and on stderr how
 * many mappings there were before, at most (sampled) and at the end.
 */
#include <jsc/jsc.h>
#include <pthread.h>
#include <stdio.h>

#include "../process.h"

static long before, most;

static void *watch(void *arg)
{
	for (;; process_sleep(0.02)) {
		long now = process_vmas();

		if (now > most)
			most = now;
	}
	return arg;
}

int main(int argc, char **argv)
{
	JSCContext *context = jsc_context_new();
	JSCException *exception;
	JSCValue *value;
	pthread_t thread;
	gchar *script;

	if (argc < 2 || !g_file_get_contents(argv[1], &script, NULL, NULL))
		return 2;
	/* The engine is at work, and its threads are there. */
	value = jsc_context_evaluate(
		context,
		"let a = [];"
		"for (let i = 0; i < 1e6; i++) a.push({i});",
		-1);
	g_object_unref(value);
	process_sleep(0.5);
	before = process_vmas();
	if (getenv("TRACT_TEST_WATCH"))
		pthread_create(&thread, NULL, watch, NULL);
	value = jsc_context_evaluate(context, script, -1);
	exception = jsc_context_get_exception(context);
	if (exception)
		g_error("%s", jsc_exception_get_message(exception));
	puts(jsc_value_to_string(value));
	fprintf(stderr, "vmas %ld %ld %ld\n", before, most, process_vmas());
	return 0;
}
