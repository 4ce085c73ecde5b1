// SPDX-License-Identifier: GPL-2.0-only
/* Threads that start others and join them. The futex is the word where the kernel clears the TID. */
#include "truth.h"
#include <sys/prctl.h>

struct child {
	pthread_t thread;
	void *tid_word; /* set by the child */
};

static void *child_main(void *arg)
{
	struct child *child = arg;

	if (prctl(PR_GET_TID_ADDRESS, &child->tid_word))
		truth_die("PR_GET_TID_ADDRESS", errno);
	truth_hold();
	return NULL;
}

/* glibc keeps stacks for reuse, and the word lies there: a few addresses come again and again. */
static int join_site(const struct child *child)
{
	return truth_lock("join in collect_child", child->tid_word, 4, "join", TRUTH_NEITHER,
			  "collect_child parent");
}

TRUTH_FRAME static void collect_child(struct child *child)
{
	TRUTH_WAIT(join_site(child), truth_ok(pthread_join(child->thread, NULL)));
}

TRUTH_FRAME static void *parent(void *arg)
{
	uint64_t children = 0;

	while (truth_more(&children)) {
		struct child child = { 0, NULL };

		truth_ok(pthread_create(&child.thread, NULL, child_main, &child));
		collect_child(&child);
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.threads = 2;
	truth_opt.hold_ns = 3000000;
	truth_start(argc, argv, "join");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(parent, NULL);
	return truth_finish();
}
