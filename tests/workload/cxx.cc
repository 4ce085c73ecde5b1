// SPDX-License-Identifier: GPL-2.0-only
// The same waits from C++: locks of the standard library, in class methods and static members.
#include "truth.h"

#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

class Pool
{
      public:
	TRUTH_FRAME void acquire();
	TRUTH_FRAME void serve();
	static void describe();

      private:
	static std::mutex mutex_;
	static int site_;
	uint64_t served_ = 0;
};

std::mutex Pool::mutex_;
int Pool::site_;

class Catalogue
{
      public:
	TRUTH_FRAME uint64_t find();
	TRUTH_FRAME void update();
	static void describe();

      private:
	static std::shared_mutex mutex_;
	static int find_site_, update_site_;
	static uint64_t version_;
};

std::shared_mutex Catalogue::mutex_;
int Catalogue::find_site_, Catalogue::update_site_;
uint64_t Catalogue::version_;

class Queue
{
      public:
	TRUTH_FRAME bool take();
	TRUTH_FRAME void put(bool last);
	static void describe();

      private:
	static std::mutex mutex_;
	static std::condition_variable nonempty_;
	static int idle_site_, signal_site_, take_site_, put_site_;
	static int jobs_;
	static bool closed_;
};

std::mutex Queue::mutex_;
std::condition_variable Queue::nonempty_;
int Queue::idle_site_, Queue::signal_site_, Queue::take_site_, Queue::put_site_, Queue::jobs_;
bool Queue::closed_;

void Pool::acquire()
{
	TRUTH_WAIT(site_, mutex_.lock());
	served_++;
	truth_hold();
	mutex_.unlock();
}

void Pool::serve()
{
	acquire();
	TRUTH_NO_TAIL_CALL();
}

void Pool::describe()
{
	site_ = truth_lock("Pool::mutex_", &mutex_, sizeof(mutex_), "mutex", TRUTH_CONTENTION,
			   "Pool::acquire Pool::serve");
}

uint64_t Catalogue::find()
{
	TRUTH_WAIT(find_site_, mutex_.lock_shared());
	uint64_t version = version_;
	truth_hold();
	mutex_.unlock_shared();
	return version;
}

void Catalogue::update()
{
	TRUTH_WAIT(update_site_, mutex_.lock());
	version_++;
	truth_hold();
	truth_hold();
	mutex_.unlock();
}

void Catalogue::describe()
{
	find_site_ = truth_lock("Catalogue::mutex_", &mutex_, sizeof(mutex_), "rwlock",
				TRUTH_CONTENTION, "Catalogue::find");
	update_site_ = truth_lock("Catalogue::mutex_", &mutex_, sizeof(mutex_), "rwlock",
				  TRUTH_CONTENTION, "Catalogue::update");
}

// False: the queue is closed.
bool Queue::take()
{
	std::unique_lock<std::mutex> guard(mutex_, std::defer_lock);

	TRUTH_WAIT(take_site_, guard.lock());
	while (!jobs_ && !closed_)
		TRUTH_WAIT(idle_site_, nonempty_.wait(guard));
	if (closed_)
		return false;
	jobs_--;
	return true;
}

void Queue::put(bool last)
{
	TRUTH_WAIT(put_site_, mutex_.lock());
	jobs_ += !last;
	closed_ = last;
	mutex_.unlock();
	TRUTH_WAIT(signal_site_, last ? nonempty_.notify_all() : nonempty_.notify_one());
}

void Queue::describe()
{
	idle_site_ = truth_lock("Queue::nonempty_", &nonempty_, sizeof(nonempty_), "condvar",
				TRUTH_IDLE, "Queue::take");
	truth_includes(idle_site_, "Queue::mutex_");
	signal_site_ = truth_lock("Queue::nonempty_", &nonempty_, sizeof(nonempty_), "condvar",
				  TRUTH_IDLE, "Queue::put");
	take_site_ = truth_lock("Queue::mutex_", &mutex_, sizeof(mutex_), "mutex", TRUTH_CONTENTION,
				"Queue::take");
	put_site_ = truth_lock("Queue::mutex_", &mutex_, sizeof(mutex_), "mutex", TRUTH_CONTENTION,
			       "Queue::put");
}

// One thread updates the catalogue; of the others each second one looks things up in it.
static void request_thread(int i)
{
	Pool pool;
	Catalogue catalogue;
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		if (i == 0)
			catalogue.update();
		else if (i % 2)
			catalogue.find();
		else
			pool.serve();
		truth_pause();
	}
	truth_worker_ends();
}

static void idle_thread()
{
	Queue queue;

	while (queue.take())
		;
	truth_worker_ends();
}

static void producer_thread()
{
	Queue queue;
	uint64_t jobs = 0;

	while (truth_more(&jobs)) {
		queue.put(false);
		truth_sleep(5000000);
	}
	queue.put(true);
	truth_worker_ends();
}

int main(int argc, char **argv)
{
	std::vector<std::thread> threads;

	truth_opt.threads = 8;
	truth_opt.pause_ns = 2000000;
	truth_start(argc, argv, "cxx");
	Pool::describe();
	Catalogue::describe();
	Queue::describe();
	for (int i = 0; i < truth_opt.threads; i++)
		threads.emplace_back(request_thread, i);
	threads.emplace_back(idle_thread);
	threads.emplace_back(idle_thread);
	threads.emplace_back(producer_thread);
	truth_collect(); // they are gone when it returns, so that join() does not wait
	for (std::thread &thread : threads)
		thread.join();
	return truth_print();
}
