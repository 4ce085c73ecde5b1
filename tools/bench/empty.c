// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps the empty programs attached until SIGINT or SIGTERM, at most ten minutes. With stackid or filter, and -p PID,
 * another one: it takes that process's stacks with bpf_get_stackid(), or only finds that it could. At its
 * end it prints how many frames the stacks have that were taken (the median of all different ones).
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "empty.skel.h"

#define MAX_FRAMES 127 /* as in empty.bpf.c */
#define MAX_STACKS 64  /* the load has four */

static void wait_for_end(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGALRM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	alarm(600);
	sigwaitinfo(&ends, NULL);
}

static int frames_in(int map, uint32_t id)
{
	uint64_t ip[MAX_FRAMES] = { 0 };
	int frames = 0;

	if (bpf_map_lookup_elem(map, &id, ip))
		return 0;
	while (frames < MAX_FRAMES && ip[frames])
		frames++;
	return frames;
}

static int by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void print_frames(int map)
{
	static int frames[MAX_STACKS];
	uint32_t *before = NULL, id, next;
	int cnt = 0;

	while (cnt < MAX_STACKS && !bpf_map_get_next_key(map, before, &next)) {
		frames[cnt++] = frames_in(map, next);
		id = next;
		before = &id;
	}
	qsort(frames, (size_t)cnt, sizeof(frames[0]), by_size);
	printf("%d\n", cnt ? frames[cnt / 2] : 0);
}

int main(int argc, char **argv)
{
	bool stackid = argc == 4 && !strcmp(argv[2], "-p");
	struct empty_bpf *skel = empty_bpf__open();

	if (!skel)
		return 1;
	if (stackid) {
		bpf_program__set_autoload(skel->progs.empty_switch, false);
		bpf_program__set_autoload(skel->progs.empty_waking, false);
		bpf_program__set_autoload(skel->progs.stackid_switch, true);
		skel->rodata->watched_tgid = (uint32_t)strtoul(argv[3], NULL, 10);
		skel->rodata->takes_stacks = !strcmp(argv[1], "stackid");
	}
	if (empty_bpf__load(skel) || empty_bpf__attach(skel)) {
		fprintf(stderr, "empty: the programs can't be attached\n");
		empty_bpf__destroy(skel);
		return 1;
	}
	wait_for_end();
	if (stackid && skel->rodata->takes_stacks)
		print_frames(bpf_map__fd(skel->maps.stacks));
	empty_bpf__destroy(skel);
	return 0;
}
