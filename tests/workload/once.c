// SPDX-License-Identifier: GPL-2.0-only
/* pthread_once() with a slow routine: one thread runs it, the others wait. Once after once. */
#include "truth.h"

#define CATALOGS 256 /* --count can't be more: an initialiser runs once */

static pthread_once_t catalog_once[CATALOGS];
static int catalog_site[CATALOGS];
static __thread bool loaded_it;

static void load_catalog(void)
{
	loaded_it = true;
	truth_hold();
}

TRUTH_FRAME static void use_catalog(uint64_t i)
{
	struct truth_mark mark;

	loaded_it = false;
	truth_before(&mark);
	truth_ok(pthread_once(&catalog_once[i], load_catalog));
	if (loaded_it) /* these sleeps were the routine's own */
		truth_before(&mark);
	truth_after(catalog_site[i], &mark, 1);
}

TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t catalogs = 0;

	while (catalogs < CATALOGS && truth_more(&catalogs))
		use_catalog(catalogs - 1);
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	truth_opt.hold_ns = 5000000;
	truth_opt.seconds = 0;
	truth_opt.count = 100;
	truth_start(argc, argv, "once");
	for (i = 0; i < CATALOGS; i++) {
		catalog_once[i] = (pthread_once_t)PTHREAD_ONCE_INIT;
		catalog_site[i] = truth_lock_of("catalog_once", catalog_once, i,
						sizeof(catalog_once[0]), "once", TRUTH_CONTENTION,
						"use_catalog worker");
	}
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, NULL);
	return truth_finish();
}
