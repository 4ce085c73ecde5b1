// SPDX-License-Identifier: GPL-2.0-only
/*
 * C++ locks: std::scoped_lock takes several in any order without a deadlock, since it waits for one and only tries the
 * others; two std::lock_guard do not.
 *
 *     order_cxx scoped|guards [--wait]
 */
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

static std::mutex ledger, audit;

template <typename F> static void in_thread(F f)
{
	std::thread(f).join();
}

__attribute__((noinline)) static void scoped(std::mutex &first, std::mutex &second)
{
	std::scoped_lock both(first, second);
}

__attribute__((noinline)) static void guards(std::mutex &first, std::mutex &second)
{
	std::lock_guard<std::mutex> one(first);
	std::lock_guard<std::mutex> other(second);
}

int main(int argc, char **argv)
{
	auto way = argc > 1 && !strcmp(argv[1], "guards") ? guards : scoped;

	if (argc > 2 && getchar() == EOF)
		return 1;
	in_thread([=] { way(ledger, audit); });
	in_thread([=] { way(audit, ledger); });
	return 0;
}
