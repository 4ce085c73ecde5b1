// SPDX-License-Identifier: GPL-2.0-only
#include "user/util/patience.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "user/util/clock.h"

#define READ_MAX_NS 500000000ULL
#define SUM_MAX_NS  1000000000ULL
#define SLOW_NS	    1000000ULL	/* a read takes microseconds */
#define TICK_NS	    20000000ULL /* how often the worker is looked after */

enum state {
	STATE_ELSEWHERE = 0,
	STATE_READING = 1,
	STATE_GIVEN_UP = 2,
};

struct run {
	struct patience *p;
	int (*fn)(void *ctx);
	void *ctx;
	int ret;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done; /* under lock */
	int state; /* enum state; this and the next two atomic */
	pid_t tgid;
	uint64_t began_ns;
	bool usual; /* no other priority can be had */
	bool high;  /* this read has the higher one */
};

static __thread struct run *current;

/* ---- what is known of slow processes */

static size_t slow_index(const struct patience *p, pid_t tgid)
{
	size_t i = 0;

	while (i < p->cnt && p->slow[i].tgid != tgid)
		i++;
	return i;
}

static void add_slow(struct patience *p, pid_t tgid, uint64_t ns, bool hung)
{
	size_t i = slow_index(p, tgid);

	if (i == PATIENCE_SLOW_MAX)
		return;
	if (i == p->cnt) {
		p->slow[i].tgid = tgid;
		p->slow[i].ns = 0;
		p->slow[i].hung = false;
		p->cnt++;
	}
	p->slow[i].ns += ns;
	p->slow[i].hung |= hung;
}

bool patience__is_over(pid_t tgid)
{
	const struct patience *p = current ? current->p : NULL;
	size_t i = p ? slow_index(p, tgid) : 0;

	if (!p || i == p->cnt)
		return false;
	return p->slow[i].hung || p->slow[i].ns > (p->sum_max_ns ? p->sum_max_ns : SUM_MAX_NS);
}

void patience__renew(struct patience *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->cnt; i++) {
		if (!p->slow[i].hung)
			continue;
		p->slow[kept] = p->slow[i];
		p->slow[kept++].ns = 0;
	}
	p->cnt = kept;
}

/* ---- priority */

/* Where that is refused, reads are as all else (sched(7): it needs CAP_SYS_NICE, and real-time in the cgroup). */
static void set_priority(struct run *r, bool high)
{
	struct sched_param param = { .sched_priority = high };
	int policy = high ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER;

	if (!r->usual && sched_setscheduler(0, policy, &param))
		r->usual = true;
}

/* ---- in the worker */

static int begin(pid_t tgid, bool high)
{
	if (!current)
		return 0;
	if (current->p->cnt && patience__is_over(tgid))
		return -EBUSY;
	__atomic_store_n(&current->tgid, tgid, __ATOMIC_RELAXED);
	__atomic_store_n(&current->began_ns, clock__now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&current->state, STATE_READING, __ATOMIC_RELEASE);
	current->high = high;
	if (high)
		set_priority(current, true);
	return 0;
}

int patience__begin(pid_t tgid)
{
	return begin(tgid, true);
}

int patience__begin_short(pid_t tgid)
{
	return begin(tgid, false);
}

void patience__end(void)
{
	struct run *r = current;
	int expected = STATE_READING, saved_errno = errno;
	uint64_t took;

	if (!r)
		return;
	if (r->high)
		set_priority(r, false);
	while (!__atomic_compare_exchange_n(&r->state, &expected, STATE_ELSEWHERE, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		pause(); /* given up: what this thread works on is nobody's any more */
		expected = STATE_READING;
	}
	took = clock__now_ns() - r->began_ns;
	if (took > SLOW_NS)
		add_slow(r->p, r->tgid, took, false);
	errno = saved_errno;
}

static void *work(void *arg)
{
	struct run *r = current = arg;

	r->usual = sched_getscheduler(0) != SCHED_OTHER; /* as somebody has chosen it */
	r->ret = r->fn(r->ctx);
	current = NULL;
	pthread_mutex_lock(&r->lock);
	r->done = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* ---- beside it */

/*
 * A read waits for as long as it was seen to, tick by tick: where the whole machine stood still, a clock says that it
 * waited although it did not run.
 */
struct seen {
	uint64_t began_ns, waited_ns;
};

static bool give_up(struct run *r, struct seen *seen)
{
	uint64_t max = r->p->read_max_ns ? r->p->read_max_ns : READ_MAX_NS, began_ns;
	int expected = STATE_READING;
	pid_t tgid;

	if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != STATE_READING)
		return false;
	tgid = __atomic_load_n(&r->tgid, __ATOMIC_RELAXED);
	began_ns = __atomic_load_n(&r->began_ns, __ATOMIC_RELAXED);
	if (seen->began_ns != began_ns)
		*seen = (struct seen){ .began_ns = began_ns };
	else
		seen->waited_ns += TICK_NS;
	if (seen->waited_ns <= max)
		return false;
	/* Should that read have ended just now, and another one begun: it was slow all the same. */
	if (!__atomic_compare_exchange_n(&r->state, &expected, STATE_GIVEN_UP, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return false;
	add_slow(r->p, tgid, 0, true);
	return true;
}

static void wait_a_tick(struct run *r)
{
	uint64_t at = clock__now_ns() + TICK_NS;
	struct timespec until = { at / 1000000000, at % 1000000000 };

	pthread_cond_timedwait(&r->changed, &r->lock, &until);
}

static int start(struct run *r, pthread_t *ret)
{
	sigset_t all, before;
	int err;

	/* Signals are for the thread whose sleeps they are to end. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(ret, NULL, work, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static struct run *run__new(struct patience *p, int (*fn)(void *ctx), void *ctx)
{
	struct run *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return NULL;
	r->p = p;
	r->fn = fn;
	r->ctx = ctx;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
	return r;
}

int patience__run(struct patience *p, int (*fn)(void *ctx), void *ctx, int *ret)
{
	struct run *r = run__new(p, fn, ctx);
	struct seen seen = { 0 };
	pthread_t thread;
	int err;

	if (!r)
		return -ENOMEM;
	err = start(r, &thread);
	if (err) {
		free(r);
		return err;
	}
	pthread_mutex_lock(&r->lock);
	while (!r->done) {
		wait_a_tick(r);
		if (!r->done && give_up(r, &seen)) {
			pthread_mutex_unlock(&r->lock);
			pthread_detach(thread);
			return -ETIMEDOUT; /* r is the worker's */
		}
	}
	pthread_mutex_unlock(&r->lock);
	pthread_join(thread, NULL);
	*ret = r->ret;
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
	return 0;
}
