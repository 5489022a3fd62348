/* SPDX-License-Identifier: MIT */
/*
 * TRACT_OPTIONS=key=value,...
 *
 *   backend=auto|module|plain   auto: the module where it answers, else plain
 *   decay_ms=N                  freed memory goes back after N ms; 0: at once,
 *                               -1: never
 *   hardened=0|1                see hardened.h
 *   stats=0|1                   a table on stderr at exit
 *
 * A key or value that is not known is answered by one line on stderr and
 * otherwise ignored.
 */
#ifndef TRACT_OPTIONS_H
#define TRACT_OPTIONS_H

#include "common.h"

enum backend_choice {
	BACKEND_AUTO,
	BACKEND_MODULE,
	BACKEND_PLAIN
};

/* Milliseconds that stand for "never". */
#define DECAY_NEVER (-1)
#define DECAY_DEFAULT 1000
#define DECAY_MAX 3600000

struct options {
	enum backend_choice backend;
	int decay_ms;
	bool hardened;
	bool stats;
};

extern struct options tract__options;

/*
 * Reads @text (the variable's value, or NULL) over the defaults.  The first
 * mistake, if any, is described in @warning as one line; else that is empty.
 */
void tract__options_parse(struct options *options, const char *text,
			  char *warning, size_t size);

#endif
