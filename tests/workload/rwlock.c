// SPDX-License-Identifier: GPL-2.0-only
/* A read-write lock: all threads but the first read, the first writes. */
#include "truth.h"

static pthread_rwlock_t catalog_lock = PTHREAD_RWLOCK_INITIALIZER;
static int read_site, write_site;
static uint64_t catalog_version;

TRUTH_FRAME static uint64_t read_catalog(void)
{
	uint64_t version;

	TRUTH_WAIT(read_site, truth_ok(pthread_rwlock_rdlock(&catalog_lock)));
	version = catalog_version;
	truth_hold();
	truth_ok(pthread_rwlock_unlock(&catalog_lock));
	return version;
}

TRUTH_FRAME static void write_catalog(void)
{
	TRUTH_WAIT(write_site, truth_ok(pthread_rwlock_wrlock(&catalog_lock)));
	catalog_version++;
	truth_hold();
	truth_hold();
	truth_ok(pthread_rwlock_unlock(&catalog_lock));
}

TRUTH_FRAME static void *reader(void *arg)
{
	uint64_t reads = 0;

	while (truth_more(&reads)) {
		read_catalog();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

TRUTH_FRAME static void *writer(void *arg)
{
	uint64_t writes = 0;

	while (truth_more(&writes)) {
		write_catalog();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

int main(int argc, char **argv)
{
	int i;

	/* glibc's default prefers readers: without pauses the writer would starve. */
	truth_opt.pause_ns = 3000000;
	truth_start(argc, argv, "rwlock");
	read_site = truth_lock("catalog_lock", &catalog_lock, sizeof(catalog_lock), "rwlock",
			       TRUTH_CONTENTION, "read_catalog reader");
	write_site = truth_lock("catalog_lock", &catalog_lock, sizeof(catalog_lock), "rwlock",
				TRUTH_CONTENTION, "write_catalog writer");
	truth_spawn(writer, NULL);
	for (i = 1; i < truth_opt.threads; i++)
		truth_spawn(reader, NULL);
	return truth_finish();
}
