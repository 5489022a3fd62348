// SPDX-License-Identifier: MIT
/*
 * C++ on the allocator under test: new and delete in all their forms, threads,
 * exceptions thrown while there is no memory, containers passed between
 * threads.
 */
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <csignal>
#include <sys/resource.h>
#include <unistd.h>

static int count, failures;

static void ok(bool good, const std::string &text)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, text.c_str());
	fflush(stdout);
}

extern "C" void timed_out(int)
{
	static const char text[] = "not ok - timeout\n";

	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

template <size_t N> struct alignas(N) Aligned {
	unsigned char bytes[N];
};

template <size_t N> static bool aligned()
{
	std::vector<std::unique_ptr<Aligned<N>>> live;
	bool good = true;

	for (int i = 0; i < 50; i++) {
		live.emplace_back(new Aligned<N>);
		memset(live.back()->bytes, i, N);
		good &= reinterpret_cast<uintptr_t>(live.back().get()) % N == 0;
	}
	for (int i = 0; i < 50; i++)
		good &= live[i]->bytes[0] == i && live[i]->bytes[N - 1] == i;
	auto *array = new Aligned<N>[7];
	good &= reinterpret_cast<uintptr_t>(array) % N == 0;
	delete[] array;
	return good;
}

/* Early and late: constructed before main, destroyed after it. */
struct Static {
	std::map<int, std::string> names;
	Static()
	{
		for (int i = 0; i < 1000; i++)
			names[i] = std::string(i % 200, 'x');
	}
	~Static()
	{
		for (auto &entry : names)
			if (entry.second.size() != size_t(entry.first % 200))
				abort();
		names.clear();
	}
};
static Static before_main;
static thread_local Static of_thread;

static uint64_t work(unsigned int seed)
{
	std::unordered_map<std::string, std::vector<int>> index;
	uint64_t sum = of_thread.names.size();

	for (unsigned int i = 0; i < 20000; i++) {
		seed = seed * 1103515245 + 12345;
		auto &list = index["key number " + std::to_string(seed % 997)];

		list.push_back(i);
		if (list.size() > 30)
			index.erase("key number " + std::to_string(seed % 997));
	}
	for (auto &entry : index)
		sum += entry.second.size() * entry.first.size();
	return sum;
}

static void threads()
{
	std::vector<std::future<uint64_t>> results;
	std::vector<std::thread> crew;
	std::vector<std::vector<std::string>> handed(8);
	uint64_t alone = work(7);
	bool good = true;

	for (int i = 0; i < 16; i++)
		results.push_back(std::async(std::launch::async, work, 7));
	for (auto &result : results)
		good &= result.get() == alone;
	ok(good, "16 asynchronous tasks agree");

	for (int i = 0; i < 8; i++)
		crew.emplace_back([i, &handed] {
			for (int k = 0; k < 5000; k++)
				handed[i].emplace_back(k % 300, 'a' + i);
		});
	for (auto &thread : crew)
		thread.join();
	good = true;
	for (int i = 0; i < 8; i++) {
		for (int k = 0; k < 5000; k++)
			good &= handed[i][k] == std::string(k % 300, 'a' + i);
		std::thread([&handed, i] { handed[i].clear(); }).join();
	}
	ok(good, "40,000 strings survive their threads, others free them");
}

static void out_of_memory()
{
	struct rlimit old, tight;
	std::vector<char *> hoard;
	int thrown = 0, caught = 0;
	volatile size_t huge = SIZE_MAX / 4;

	hoard.reserve(4096);
	try {
		delete[] new char[huge];
	} catch (const std::bad_alloc &) {
		caught++;
	}
	ok(caught == 1, "new of SIZE_MAX / 4 throws bad_alloc");
	ok(!new (std::nothrow) char[huge], "nothrow new of that is null");

	getrlimit(RLIMIT_AS, &old);
	tight = old;
	tight.rlim_cur = 400 << 20;
	setrlimit(RLIMIT_AS, &tight);
	try {
		for (int i = 0; i < 4096; i++) {
			hoard.push_back(new char[1 << 20]);
			memset(hoard.back(), 1, 1 << 20);
		}
	} catch (const std::bad_alloc &) {
		thrown++;
	}
	/* An exception object is allocated where there is hardly memory. */
	for (int i = 0; i < 100; i++) {
		try {
			std::string text(64 + i, 'x');

			throw std::runtime_error(text);
		} catch (const std::runtime_error &e) {
			caught += strlen(e.what()) == size_t(64 + i);
		} catch (const std::bad_alloc &) {
			caught++;
		}
	}
	ok(thrown == 1 && hoard.size() > 20,
	   "400 MB of address space: bad_alloc after " +
		   std::to_string(hoard.size()) + " MiB");
	ok(caught == 101, "100 exceptions thrown and caught without memory");
	for (char *p : hoard)
		delete[] p;
	hoard.clear();
	try {
		for (int i = 0; i < 20; i++)
			hoard.push_back(new char[1 << 20]);
	} catch (const std::bad_alloc &) {
		thrown++;
	}
	ok(thrown == 1, "after delete there is memory again");
	for (char *p : hoard)
		delete[] p;
	setrlimit(RLIMIT_AS, &old);
}

int main()
{
	signal(SIGALRM, timed_out);
	alarm(120);
	ok(before_main.names.size() == 1000, "static constructors allocated");
	ok(aligned<8>() && aligned<16>() && aligned<32>() && aligned<64>() &&
		   aligned<256>() && aligned<4096>() && aligned<65536>(),
	   "aligned new and delete, 8 to 65536");
	threads();
	out_of_memory();
	printf("1..%d\n", count);
	return failures ? 1 : 0;
}
