// SPDX-License-Identifier: GPL-2.0-only
#include "user/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/options.h"
#include "user/util/clock.h"

struct watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct timespec until; /* of CLOCK_MONOTONIC, while armed */
	bool armed, over;
};

static void expire(void)
{
	static const char text[] = "holdup: a process could not be read in time: its address space "
				   "is locked, or the "
				   "machine is overloaded; choose others with -p or --comm\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_FAILED);
	_exit(EXIT_FAILED); /* and with us the thread that hangs */
}

static bool is_late(const struct watchdog *w)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec != w->until.tv_sec ? now.tv_sec > w->until.tv_sec
					     : now.tv_nsec >= w->until.tv_nsec;
}

static void *run(void *arg)
{
	struct watchdog *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->over) {
		if (!w->armed)
			pthread_cond_wait(&w->changed, &w->lock);
		else if (pthread_cond_timedwait(&w->changed, &w->lock, &w->until) == ETIMEDOUT &&
			 w->armed && is_late(w)) /* it may have been started anew just then */
			expire();
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int watchdog__new(struct watchdog **ret)
{
	struct watchdog *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	sigset_t all, before;
	int err;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	/* Signals are for the thread whose sleeps they are to end. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		free(w);
		return -err;
	}
	*ret = w;
	return 0;
}

static void set(struct watchdog *w, bool armed, bool over)
{
	pthread_mutex_lock(&w->lock);
	w->armed = armed;
	w->over = over;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void watchdog__start(struct watchdog *w, uint64_t ns)
{
	uint64_t at = clock__now_ns() + ns;

	pthread_mutex_lock(&w->lock);
	w->until = (struct timespec){ at / 1000000000, at % 1000000000 };
	pthread_mutex_unlock(&w->lock);
	set(w, true, false);
}

void watchdog__stop(struct watchdog *w)
{
	set(w, false, false);
}

void watchdog__free(struct watchdog *w)
{
	if (!w)
		return;
	set(w, false, true);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
