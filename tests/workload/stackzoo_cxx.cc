// SPDX-License-Identifier: GPL-2.0-only
/*
 * C++ threads blocked where stacks are hard to follow; the chains are in tests/integration/test_stack_zoo.py.
 * --how catch: in a catch handler; destructor: in a destructor while an exception passes; inlined: below
 * inlined methods; lambda: in a lambda that std::function calls. The main thread waits for zoo_mutex.
 */
#include "hang/hang.h"
#include <functional>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace zoo
{

static std::mutex zoo_mutex;
static int mutex_id;

class Keeper
{
      public:
	HANG_FRAME void feed(int meals)
	{
		hang_will("futex", mutex_id);
		zoo_mutex.lock();
		meals_ += meals;
		HANG_NO_TAIL_CALL();
	}

	HANG_FRAME void refuse(const std::vector<int> &meals)
	{
		throw std::out_of_range("meal " + std::to_string(meals.at(7)));
	}

	HANG_FRAME void handle(const std::vector<int> &meals)
	{
		try {
			refuse(meals);
		} catch (const std::exception &) {
			feed(3);
			HANG_NO_TAIL_CALL();
		}
	}

      private:
	int meals_ = 0;
};

class Guard
{
      public:
	explicit Guard(Keeper &keeper) : keeper_(keeper)
	{
	}
	HANG_FRAME ~Guard()
	{
		keeper_.feed(1);
		HANG_NO_TAIL_CALL();
	}

      private:
	Keeper &keeper_;
};

HANG_FRAME static void guarded(Keeper &keeper, const std::vector<int> &meals)
{
	Guard guard(keeper);

	keeper.refuse(meals);
	HANG_NO_TAIL_CALL();
}

template <typename Meal> struct Table {
	Keeper &keeper;
	std::vector<Meal> meals;

	inline __attribute__((always_inline)) void serve_one(Meal meal)
	{
		keeper.feed(meal);
		HANG_NO_TAIL_CALL();
	}

	inline __attribute__((always_inline)) void serve()
	{
		for (Meal meal : meals)
			serve_one(meal);
	}
};

HANG_FRAME static void open_table(Keeper &keeper, const std::vector<int> &meals)
{
	Table<int> table{ keeper, meals };

	table.serve();
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void call_back(const std::function<void(int)> &function)
{
	function(5);
	HANG_NO_TAIL_CALL();
}

HANG_FRAME static void visit(Keeper &keeper)
{
	std::vector<int> meals{ 1, 2, 3 };

	if (hang_is("catch"))
		keeper.handle(meals);
	else if (hang_is("inlined"))
		open_table(keeper, meals);
	else if (hang_is("lambda"))
		call_back([&keeper](int meal) {
			keeper.feed(meal);
			HANG_NO_TAIL_CALL();
		});
	try {
		guarded(keeper, meals);
	} catch (const std::exception &) {
		HANG_NO_TAIL_CALL();
	}
}

} // namespace zoo

static void *keep(void *arg)
{
	hang_enter("keeper", "keep");
	zoo::zoo_mutex.lock();
	hang_took(zoo::mutex_id);
	hang_arrive(1);
	hang_ready(1);
	return arg;
}

int main(int argc, char **argv)
{
	zoo::Keeper keeper;

	hang_start(argc, argv, "stackzoo_cxx", "catch destructor inlined lambda");
	zoo::mutex_id =
		hang_lock("zoo::zoo_mutex", &zoo::zoo_mutex, sizeof(zoo::zoo_mutex), "mutex");
	hang_spawn(keep, NULL);
	hang_await(&hang_all->arrived, 1);
	zoo::visit(keeper);
	return 1;
}
