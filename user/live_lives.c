// SPDX-License-Identifier: GPL-2.0-only
/* What a live measurement of threads' lives does beside events.c: probes, and passes over all threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "user/live_events.h"
#include "user/util/clock.h"
#include "user/util/log.h"

/* Processes that have begun another program: their libraries are mapped some time after that. */
#define LATER_MAX  1024
#define LATER_LOOK 10 /* at most: until a library is there */

struct live_later {
	struct {
		uint32_t tgid;
		uint8_t looks; /* left */
	} process[LATER_MAX];
	size_t cnt;
};

#define ARG0 1u
#define ARG2 4u
#define ARG3 8u

/* thrd_*() of glibc since 2.34, and of musl, call these or are these. */
static const struct probe_spec pthread_probes[] = {
	{ "pthread_create", "hu_pthread_create", PROBE_GLIBC, 6, false },
	{ "pthread_create", "hu_pthread_create_musl", PROBE_MUSL, 6, false },
	{ "pthread_join", "hu_pthread_join", PROBE_ANY, ARG0, false },
	{ "pthread_timedjoin_np", "hu_pthread_timedjoin", PROBE_ANY, ARG0 | ARG2, false },
	{ "pthread_clockjoin_np", "hu_pthread_clockjoin", PROBE_ANY, ARG0 | ARG2 | ARG3, false },
	{ "pthread_tryjoin_np", "hu_pthread_tryjoin", PROBE_ANY, ARG0, false },
	{ "pthread_tryjoin_np", "hu_pthread_tryjoin_ret", PROBE_ANY, 0, true },
	{ "pthread_detach", "hu_pthread_detach", PROBE_ANY, ARG0, false },
	{ "pthread_cancel", "hu_pthread_cancel", PROBE_ANY, ARG0, false },
	/* Only musl cancels by it, and glibc's thrd_exit() passes it any number. */
	{ "pthread_exit", "hu_thrd_exit", PROBE_GLIBC, 0, false },
	{ "pthread_exit", "hu_pthread_exit", PROBE_MUSL, ARG0, false },
	{ "thrd_exit", "hu_thrd_exit", PROBE_ANY, 0, false },
	{ "thrd_join", "hu_pthread_join", PROBE_ANY, ARG0, false },
	{ "thrd_detach", "hu_pthread_detach", PROBE_ANY, ARG0, false },
};

void live__hurry(struct live *l, bool on)
{
	if (!(l->what & SESSION_LIVES) || l->hurries == on)
		return;
	if (on)
		l->usual_nice = getpriority(PRIO_PROCESS, 0);
	if (setpriority(PRIO_PROCESS, 0, on ? -20 : l->usual_nice))
		log__info("holdup's priority can't be changed: %s", strerror(errno));
	else
		l->hurries = on;
}

static struct bpf_program *find_program(void *ctx, const char *name)
{
	return session__program(ctx, name);
}

int live__open_probes(struct live *l)
{
	const struct options *o = l->opt;
	struct probe_stats stats;
	int err = probes__new(pthread_probes, sizeof(pthread_probes) / sizeof(pthread_probes[0]),
			      find_program, l->session, &l->probes);

	l->lifetimes.stacks_guessed = !l->rows;
	l->sched_offset_ns = INT64_MAX;
	l->later = calloc(1, sizeof(*l->later));
	if (!err)
		err = pthreads__new(&l->pthreads);
	if (err || !l->later) {
		log__msg("out of memory");
		return EXIT_FAILED;
	}
	/* Our own library is that of most programs, also of those to come. */
	probes__scan(l->probes, getpid(), NULL);
	for (unsigned i = 0; i < o->pid_cnt; i++)
		probes__scan(l->probes, o->pids[i], NULL);
	if (o->program)
		probes__scan_program(l->probes, o->program[0]);
	else if (!o->pid_cnt)
		probes__scan_all(l->probes);
	probes__stats(l->probes, &stats);
	if (stats.failed)
		log__info("%u probes of the thread library can't be attached: %s", stats.failed,
			  strerror(-stats.failed_err));
	return EXIT_FINE;
}

void live__look_again(struct live *l)
{
	size_t kept = 0;
	bool found;

	for (size_t i = 0; i < l->later->cnt; i++) {
		if (probes__scan(l->probes, l->later->process[i].tgid, &found) || found ||
		    !--l->later->process[i].looks)
			continue;
		l->later->process[kept++] = l->later->process[i];
	}
	l->later->cnt = kept;
}

int live__on_life_process(struct live *l, const struct hu_proc_record *rec)
{
	if (rec->hdr.kind == HU_REC_SEEN)
		probes__scan(l->probes, rec->tgid, NULL);
	if (rec->hdr.kind == HU_REC_EXEC && l->later->cnt < LATER_MAX) {
		l->later->process[l->later->cnt].tgid = rec->tgid;
		l->later->process[l->later->cnt++].looks = LATER_LOOK;
	}
	return lifetimes__process(&l->lifetimes, rec);
}

/*
 * A program that was started to be watched creates threads: its mappings are read while it begins, since it may be
 * over soon. What is mapped later is found with the first stack.
 */
int live__look_early(struct live *l, const struct hu_proc_record *rec)
{
	struct hu_proc_record seen = *rec;
	int err;

	if (rec->hdr.kind != HU_REC_EXEC || !l->has_program)
		return 0;
	seen.hdr.kind = HU_REC_SEEN;
	l->early = true;
	err = aggregate__process(&l->aggregate, &seen);
	l->early = false;
	return err;
}

int live__on_birth(void *ctx, const struct hu_birth_record *rec)
{
	return lifetimes__birth(&((struct live *)ctx)->lifetimes, rec);
}

int live__on_death(void *ctx, const struct hu_death_record *rec)
{
	struct live *l = ctx;

	if (l->on_death)
		l->on_death(l->on_death_ctx, rec);
	/* By now its other threads' ends have been told as well. */
	if (l->has_program && (rec->flags & HU_DEATH_LAST))
		session__drop_target(l->session, rec->tgid);
	return lifetimes__death(&l->lifetimes, rec);
}

/* The deadline by its own clock becomes one by ours; clocks may be set meanwhile, so it is as good as that. */
int live__on_call(void *ctx, const struct hu_pthread_record *rec)
{
	struct live *l = ctx;
	struct hu_pthread_record own = *rec;
	struct timespec ts;
	int64_t now_ns;

	if (rec->what == HU_PTHREAD_TIMEDJOIN && rec->clock == CLOCK_REALTIME &&
	    !clock_gettime(CLOCK_REALTIME, &ts)) {
		now_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
		own.deadline_ns =
			(int64_t)((uint64_t)rec->deadline_ns - (uint64_t)now_ns + clock__now_ns());
	}
	if (own.deadline_ns < 1)
		own.deadline_ns = 1; /* long ago; 0 would be never */
	return lifetimes__call(&l->lifetimes, &own);
}

static int on_alive(void *ctx, const void *data, size_t sz)
{
	struct live *l = ctx;
	struct hu_alive_record rec;

	if (sz != sizeof(rec))
		return -EIO;
	memcpy(&rec, data, sizeof(rec));
	/*
	 * What the scheduler's clock and ours differ by: we came to our CPU a moment ago. The least that was seen is
	 * off by some microseconds.
	 */
	if (rec.arrival_ns && (int64_t)(rec.hdr.ts_ns - rec.arrival_ns) < l->sched_offset_ns)
		l->sched_offset_ns = rec.hdr.ts_ns - rec.arrival_ns;
	if (rec.off_ns)
		rec.off_ns += l->sched_offset_ns;
	rec.comm[HU_COMM_LEN - 1] = rec.leader[HU_COMM_LEN - 1] = '\0';
	return lifetimes__alive(&l->lifetimes, &rec);
}

/* Once for what is older than holdup, then where threads are unjoined: it corrects what was lost or unsure. */
static int ask_libraries(struct live *l)
{
	struct lt_descriptor *found;
	struct lt_process *p;
	size_t cnt;
	int err = 0;

	for (p = l->lifetimes.processes; p && !err; p = p->next) {
		if (p->over || (!p->unjoined && (p->zombies_known || p->asked)))
			continue;
		p->asked = true;
		if (pthreads__read(l->pthreads, p->tgid, &found, &cnt))
			continue;
		err = lifetimes__descriptors(&l->lifetimes, p, found, cnt, true);
		free(found);
	}
	return err;
}

int live__pass(struct live *l, uint64_t now_ns)
{
	struct timespec moment = { .tv_nsec = 50000 };
	int err = session__lost_lives(l->session, lifetimes__lost, &l->lifetimes);

	lifetimes__pass_begin(&l->lifetimes, now_ns);
	nanosleep(&moment, NULL); /* so that our own arrival on a CPU is a recent one */
	if (!err)
		err = session__alive(l->session, on_alive, l);
	/* What ended or was born before its turn has told so. */
	if (!err)
		err = source__poll(session__source(l->session), 0);
	if (!err)
		err = lifetimes__pass_end(&l->lifetimes);
	return err ? err : ask_libraries(l);
}
