// SPDX-License-Identifier: GPL-2.0-only
/* A library that takes its time to be loaded: the loader's lock is held meanwhile. */
#include <time.h>

__attribute__((constructor)) static void take_time(void)
{
	const struct timespec ms = { 0, 3000000 };

	nanosleep(&ms, NULL);
}
