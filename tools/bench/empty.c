// SPDX-License-Identifier: GPL-2.0-only
/* Keeps the empty programs attached until a signal ends it, at most ten minutes. */
#include <stdio.h>
#include <unistd.h>
#include "empty.skel.h"

int main(void)
{
	struct empty_bpf *skel = empty_bpf__open_and_load();

	if (!skel || empty_bpf__attach(skel)) {
		fprintf(stderr, "empty: the programs can't be attached\n");
		empty_bpf__destroy(skel);
		return 1;
	}
	alarm(600);
	pause();
	empty_bpf__destroy(skel);
	return 0;
}
