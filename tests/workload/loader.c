// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that need the loader's own locks: they look up symbols while another one loads a slow library
 * again and again, and walk the list of libraries while others do. What the loading thread waits for, in turn,
 * is not counted. The locks have no address that the program could know; 1 and 2 stand for them.
 */
#include "truth.h"
#include <dlfcn.h>
#include <limits.h>
#include <link.h>

static int look_up_site, walk_site;

TRUTH_FRAME static void look_up(void)
{
	void *found;

	TRUTH_WAIT(look_up_site, found = dlsym(RTLD_DEFAULT, "getpid"));
	if (!found)
		truth_die("dlsym", ENOENT);
}

/* The lock is held while this is called: the wait is over. */
static int visit(struct dl_phdr_info *info, size_t size, void *mark)
{
	(void)info, (void)size;
	truth_after(walk_site, (struct truth_mark *)mark, 1);
	truth_hold();
	return 1; /* one is enough */
}

TRUTH_FRAME static void walk(void)
{
	struct truth_mark mark;

	truth_before(&mark);
	dl_iterate_phdr(visit, &mark);
	TRUTH_NO_TAIL_CALL();
}

TRUTH_FRAME static void *seeker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		look_up();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

TRUTH_FRAME static void *walker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		walk();
		truth_pause();
	}
	truth_worker_ends();
	return arg;
}

/* lib/slow.so beside this program. */
static void *loader(void *path)
{
	void *library;
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		library = dlopen((char *)path, RTLD_NOW);
		if (!library || dlclose(library)) {
			fprintf(stderr, "loader: %s\n", dlerror());
			exit(1);
		}
		truth_pause();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX + 16];
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	int i;

	truth_opt.pause_ns = 1000000;
	truth_start(argc, argv, "loader");
	if (length < 0)
		truth_die("/proc/self/exe", errno);
	path[length] = '\0';
	strcpy(strrchr(path, '/'), "/lib/slow.so");
	look_up_site = truth_lock("dl_load_lock", (void *)1, 1, "mutex", TRUTH_CONTENTION,
				  "look_up seeker");
	walk_site = truth_lock("dl_load_write_lock", (void *)2, 1, "mutex", TRUTH_CONTENTION,
			       "walk walker");
	truth_spawn(loader, path);
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(i % 2 ? walker : seeker, NULL);
	return truth_finish();
}
