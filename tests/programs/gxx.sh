#!/bin/bash
# SPDX-License-Identifier: MIT
# Templates and a heavy library: the object code and what it prints.
set -euo pipefail

cat >large.cc <<'END'
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>
template <int N> struct chain {
	std::map<int, std::vector<std::unique_ptr<chain<N - 1>>>> next;
	std::string name = std::to_string(N);
	int sum(int x) const
	{
		int s = x * N;
		for (auto &entry : next)
			for (auto &c : entry.second)
				s += c->sum(x + entry.first);
		return s;
	}
};
template <> struct chain<0> {
	int sum(int x) const { return x; }
};
int main(int argc, char **argv)
{
	chain<40> c;
	std::regex word("([a-z]+)-(\\d+)");
	std::smatch match;
	std::string text = "tract-" + std::to_string(argc);
	std::regex_search(text, match, word);
	std::cout << c.sum(argc) << ' ' << match[2] << '\n';
}
END
g++ -O2 -g0 -c -o large.o large.cc
sha256sum <large.o
g++ -o large large.o
./large
