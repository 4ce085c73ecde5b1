// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_hold.h"

#include <errno.h>
#include <string.h>

#include "user/live_events.h"
#include "user/util/log.h"

static int on_process(void *ctx, const void *data, size_t sz)
{
	struct hu_proc_record rec;

	if (sz != sizeof(rec))
		return -EIO;
	memcpy(&rec, data, sizeof(rec));
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return live__on_process_record(ctx, &rec);
}

static int tell(const char *why, int err)
{
	log__msg("--hold: %s (%s)", why, strerror(-err));
	return err == -ENOENT || err == -EPERM || err == -EACCES || err == -EOPNOTSUPP
		       ? EXIT_UNSUPPORTED
		       : EXIT_FAILED;
}

int live_hold__open(struct live *l)
{
	const struct options *o = l->opt;
	const char *why = "";
	size_t points;
	int err;

	hold_set__init(&l->hold, &l->aggregate);
	if (!o->hold)
		return EXIT_FINE;
	err = session__hold_price(l->session, &l->hold_price);
	if (err)
		return tell("a probe on holdup itself, to see what it costs, fails", err);
	/* A program has no mappings yet that would be its own. */
	if (!o->program)
		err = session__hold_processes(l->session, on_process, l);
	if (err)
		return tell("the processes can't be listed", err);
	err = session__hold_attach(l->session, o->program ? &l->program.pid : o->pids,
				   o->program ? 1 : o->pid_cnt, o->program, &points, &why);
	if (err)
		return tell(why, err);
	log__info("--hold: %zu probes; a hit costs %llu ns where the kernel emulates the "
		  "instruction, %llu ns where not, a return %llu ns more",
		  points, (unsigned long long)l->hold_price.emulated_ns,
		  (unsigned long long)l->hold_price.stepped_ns,
		  (unsigned long long)l->hold_price.return_ns);
	return EXIT_FINE;
}

int live_hold__settle(struct live *l)
{
	uint64_t now[HU_HOLD_COUNTS];
	int err;

	if (!l->opt->hold)
		return 0;
	err = session__holds(l->session, hold_set__add, &l->hold);
	if (!err)
		err = session__held(l->session, hold_set__add_held, &l->hold);
	hold_set__forget_edges(&l->hold);
	if (!err)
		err = session__edges(l->session, hold_set__add_edge, &l->hold);
	if (!err)
		err = session__hold_counts(l->session, now);
	if (err)
		return err;
	for (int i = 0; i < HU_HOLD_COUNTS; i++)
		l->hold_counts[i] = now[i] - l->hold_seen[i];
	memcpy(l->hold_seen, now, sizeof(now));
	return 0;
}

void live_hold__next(struct live *l)
{
	hold_set__reset(&l->hold);
}

void live_hold__close(struct live *l)
{
	hold_set__free(&l->hold);
}
