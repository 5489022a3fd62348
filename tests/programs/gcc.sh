#!/bin/bash
# SPDX-License-Identifier: MIT
# A large C file: the object code must be the same.
set -euo pipefail

awk 'BEGIN {
	for (i = 0; i < 500; i++) {
		printf "int f%d(int a, const int *b)\n{\n\tint s = %d;\n", i, i
		printf "\tfor (int i = 0; i < a; i++)\n\t\ts += b[i] * %d ^ (s >> %d);\n", i * 3, i % 31
		printf "\tswitch (s %% 7) {\n"
		for (j = 0; j < 6; j++)
			printf "\tcase %d: return s / %d;\n", j, i + j + 1
		printf "\t}\n\treturn s%s;\n}\n", i ? " + f" i - 1 "(a - 1, b)" : ""
	}
}' </dev/null >large.c
gcc -O2 -g0 -c -o large.o large.c
sha256sum <large.o
gcc -O2 -S -o - large.c | sha256sum
