// SPDX-License-Identifier: GPL-2.0-only
/* Threads that print to one FILE, some with its lock held for a whole page. */
#include "truth.h"

static FILE *journal;
static int page_site, line_site;

TRUTH_FRAME static void print_page(void)
{
	int i;

	TRUTH_WAIT(page_site, flockfile(journal));
	for (i = 0; i < 10; i++)
		fputs_unlocked("one line of a page\n", journal);
	truth_hold();
	funlockfile(journal);
}

TRUTH_FRAME static void print_line(uint64_t number)
{
	TRUTH_WAIT(line_site, fprintf(journal, "line %llu\n", (unsigned long long)number));
}

/* Half of them print pages, half lines. */
TRUTH_FRAME static void *worker(void *arg)
{
	uint64_t calls = 0;

	while (truth_more(&calls)) {
		if ((intptr_t)arg % 2)
			print_line(calls);
		else
			print_page();
		truth_pause();
	}
	truth_worker_ends();
	return NULL;
}

int main(int argc, char **argv)
{
	intptr_t i;

	truth_opt.pause_ns = 500000;
	truth_start(argc, argv, "stdio");
	journal = fopen("/dev/null", "we");
	if (!journal || fputc('\n', journal) < 0) /* has its buffer now */
		truth_die("/dev/null", errno);
	/* _IO_lock_t: lock, cnt, owner (sysdeps/nptl/stdio-lock.h), behind the FILE on the heap */
	page_site = truth_lock("stdio FILE lock in print_page", journal->_lock, 16, "mutex",
			       TRUTH_CONTENTION, "print_page worker");
	line_site = truth_lock("stdio FILE lock in print_line", journal->_lock, 16, "mutex",
			       TRUTH_CONTENTION, "print_line worker");
	for (i = 0; i < truth_opt.threads; i++)
		truth_spawn(worker, (void *)i);
	return truth_finish();
}
