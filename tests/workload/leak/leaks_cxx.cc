// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of C++ that leak. --how
 *   thread    std::thread objects that are never joined, nor destroyed; their functions have returned
 *   jthread   the same with std::jthread, whose destructor would have joined
 *   async     the same with the futures of std::async
 *   detached  detached threads, each of which waits for a promise that nobody keeps any more
 *   growing   one more such thread for each request
 */
#include "leak.h"

#include <future>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

static int arrived;

LEAK_FRAME static void work_once()
{
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
}

/* Where the program itself creates the thread; the libraries' frames come before it. */
#define LEAK_HERE() (leak_site.function = __func__, leak_site.line = __LINE__)

LEAK_FRAME static void forget_threads()
{
	for (int i = 0; i < leak.count; i++)
		LEAK_HERE(), new std::thread(work_once);
}

LEAK_FRAME static void forget_jthreads()
{
	for (int i = 0; i < leak.count; i++)
		LEAK_HERE(), new std::jthread(work_once);
}

LEAK_FRAME static void forget_futures()
{
	auto *all = new std::vector<std::future<void>>;

	for (int i = 0; i < leak.count; i++)
		LEAK_HERE(), all->push_back(std::async(std::launch::async, work_once));
}

LEAK_FRAME static void wait_for_answer(std::binary_semaphore *answer)
{
	__atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
	answer->acquire();
	LEAK_NO_TAIL_CALL();
}

/* Only the thread itself has the semaphore. */
LEAK_FRAME static void handle_request()
{
	auto answer = std::make_unique<std::binary_semaphore>(0);

	wait_for_answer(answer.get());
	LEAK_NO_TAIL_CALL();
}

LEAK_FRAME static void serve_request()
{
	LEAK_HERE(), std::thread(handle_request).detach();
}

int main(int argc, char **argv)
{
	void (*again)() = nullptr;

	leak_start(argc, argv, "leaks_cxx", "thread jthread async detached growing");
	if (leak_is("detached") || leak_is("growing")) {
		for (int i = 0; i < leak.count; i++)
			serve_request();
		leak_await(&arrived, leak.count);
		leak_tell(leak_is("growing") ? "growing" : "blocked-forever",
			  leak_is("growing") ? 0 : leak.count, "handle_request");
		again = leak_is("growing") ? serve_request : nullptr;
	} else {
		if (leak_is("thread"))
			forget_threads();
		else if (leak_is("jthread"))
			forget_jthreads();
		else
			forget_futures();
		leak_await(&arrived, leak.count);
		leak_await_threads(1);
		leak_tell("unjoined", leak.count, "");
	}
	return leak_ready(again);
}
