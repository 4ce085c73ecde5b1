// SPDX-License-Identifier: GPL-2.0-only
// What C++20 added: atomics that wait, semaphores, latches and barriers, all inlined futex calls.
// The library spins and yields before each sleep, a hundred microseconds that no kernel knows to be a wait:
// the CPU time of a call is no part of its time here. What yields wait for a CPU still is, so that many
// attempts count as preempted.
#include "truth.h"

#include <atomic>
#include <barrier>
#include <latch>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

static constexpr int latches = 64;

static std::atomic<int> turnstile; // the number of a round
static std::counting_semaphore<2> berths{ 2 };
static std::latch *starts[latches]; // a latch is good for once
static int turnstile_site, berths_site, start_site[latches];

static uint64_t cpu_ns()
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

// TRUTH_WAIT() for the time off the CPU.
#define OFF_CPU_WAIT(id, call)                        \
	do {                                          \
		struct truth_mark mark_;              \
		truth_before(&mark_);                 \
		uint64_t before_ = cpu_ns();          \
		call;                                 \
		mark_.start_ns += cpu_ns() - before_; \
		truth_after(id, &mark_, 1);           \
	} while (0)

TRUTH_FRAME static void pass_turnstile()
{
	int round = turnstile.load();

	OFF_CPU_WAIT(turnstile_site, turnstile.wait(round));
}

TRUTH_FRAME static void take_berth()
{
	OFF_CPU_WAIT(berths_site, berths.acquire());
	truth_hold();
	berths.release();
}

TRUTH_FRAME static void await_start(int i)
{
	OFF_CPU_WAIT(start_site[i], starts[i]->wait());
}

TRUTH_FRAME static void guest_thread()
{
	uint64_t calls = 0;

	while (truth_more(&calls))
		pass_turnstile();
	truth_worker_ends();
}

TRUTH_FRAME static void ship_thread()
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		take_berth();
		truth_pause();
	}
	truth_worker_ends();
}

TRUTH_FRAME static void runner_thread()
{
	for (int i = 0; i < latches; i++)
		await_start(i);
	truth_worker_ends();
}

// Opens the turnstile again and again, and one latch after another; all of them in the end.
static void starter_thread(const std::atomic<int> *guests)
{
	int i = 0;

	while (guests->load()) {
		truth_sleep(5000000);
		turnstile.fetch_add(1);
		turnstile.notify_all();
		if (i < latches)
			starts[i++]->count_down();
	}
	while (i < latches)
		starts[i++]->count_down();
	truth_worker_ends();
}

static void describe()
{
	turnstile_site = truth_lock("turnstile", &turnstile, sizeof(turnstile), "futex",
				    TRUTH_NEITHER, "pass_turnstile guest_thread");
	berths_site = truth_lock("berths", &berths, sizeof(berths), "semaphore", TRUTH_CONTENTION,
				 "take_berth ship_thread");
	for (int i = 0; i < latches; i++) {
		starts[i] = new std::latch(1);
		start_site[i] = truth_lock("C++ latch in await_start", starts[i],
					   sizeof(*starts[i]), "barrier", TRUTH_NEITHER,
					   "await_start runner_thread");
	}
}

int main(int argc, char **argv)
{
	std::vector<std::thread> threads;
	std::atomic<int> guests{ 2 };

	truth_opt.threads = 5;
	truth_opt.hold_ns = 3000000;
	truth_opt.pause_ns =
		1000000; // or who has a berth takes it again, for hundreds of sleeps of the others
	truth_start(argc, argv, "cxx20");
	describe();
	for (int i = 0; i < 2; i++)
		threads.emplace_back([&guests] {
			guest_thread();
			guests--;
		});
	for (int i = 0; i < truth_opt.threads; i++)
		threads.emplace_back(ship_thread);
	threads.emplace_back(runner_thread);
	threads.emplace_back(starter_thread, &guests);
	truth_collect(); // they are gone when it returns, so that join() does not wait
	for (std::thread &thread : threads)
		thread.join();
	return truth_print();
}
