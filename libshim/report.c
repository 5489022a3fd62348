// SPDX-License-Identifier: MIT
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sys.h"

#define STDERR 2

void tract__report(int fd, const char *format, ...)
{
	char text[4096];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length < 0)
		return;
	if ((size_t)length >= sizeof(text))
		length = sizeof(text) - 1;
	tract__sys_write(fd, text, (size_t)length);
}

void tract__report_corruption(const char *what, const void *p)
{
	tract__report(STDERR, "tract: %s of %p\n", what, p);
	abort();
}
