// SPDX-License-Identifier: GPL-2.0-only
/*
 * C++ threads that wait for each other. --how mutex: two std::mutex; shared: a std::shared_mutex that one
 * writes and the other wants to read, and a std::mutex.
 */
#include "hang.h"
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace bank
{

static std::mutex accounts_mutex, audit_mutex;
static std::shared_mutex rates_mutex;
static int accounts_id, audit_id, rates_id;

class Teller
{
      public:
	HANG_FRAME void transfer()
	{
		std::lock_guard<std::mutex> accounts(accounts_mutex);

		hang_took(accounts_id);
		hang_arrive(2);
		hang_will("futex", audit_id);
		std::lock_guard<std::mutex> audit(audit_mutex);
		HANG_NO_TAIL_CALL();
	}

	HANG_FRAME void set_rates()
	{
		std::unique_lock<std::shared_mutex> rates(rates_mutex);

		hang_took(rates_id);
		hang_arrive(2);
		hang_will("futex", audit_id);
		std::lock_guard<std::mutex> audit(audit_mutex);
		HANG_NO_TAIL_CALL();
	}
};

class Auditor
{
      public:
	HANG_FRAME void check(bool rates)
	{
		std::lock_guard<std::mutex> audit(audit_mutex);

		hang_took(audit_id);
		hang_arrive(2);
		hang_will("futex", rates ? rates_id : accounts_id);
		if (rates)
			rates_mutex.lock_shared();
		else
			accounts_mutex.lock();
		HANG_NO_TAIL_CALL();
	}
};

} // namespace bank

int main(int argc, char **argv)
{
	bool shared;

	hang_opt.how = "mutex";
	hang_start(argc, argv, "cxxlocks", "mutex shared");
	shared = hang_is("shared");
	bank::audit_id = hang_lock("bank::audit_mutex", &bank::audit_mutex,
				   sizeof(bank::audit_mutex), "mutex");
	if (shared)
		bank::rates_id = hang_lock("bank::rates_mutex", &bank::rates_mutex,
					   sizeof(bank::rates_mutex), "rwlock");
	else
		bank::accounts_id = hang_lock("bank::accounts_mutex", &bank::accounts_mutex,
					      sizeof(bank::accounts_mutex), "mutex");
	std::thread teller([shared] {
		hang_enter("teller", shared ? "bank::Teller::set_rates" : "bank::Teller::transfer");
		if (shared)
			bank::Teller().set_rates();
		else
			bank::Teller().transfer();
	});
	std::thread auditor([shared] {
		hang_enter("auditor", "bank::Auditor::check");
		bank::Auditor().check(shared);
	});
	hang_ready(2);
}
