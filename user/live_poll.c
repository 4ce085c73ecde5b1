// SPDX-License-Identifier: GPL-2.0-only
/* While a measurement goes on: events are taken in, and what has to be looked at in between is. */
#include <errno.h>

#include "user/aggregate/blame.h"
#include "user/live_events.h"
#include "user/live_go_waits.h"
#include "user/util/clock.h"

static bool have_stack(void *ctx, uint64_t id)
{
	return aggregate__stack(&((struct live *)ctx)->aggregate, id) != NULL;
}

/*
 * What holders do is counted in the kernel and could be read at the end; but which file it was that they waited for
 * can only be told while it is open.
 */
#define BLAME_EVERY_NS	 500000000ULL
#define BLAME_FIRST_NS	 100000000ULL
#define TRACKED_EVERY_NS 10000000000ULL
#define BLAME_LOCKS_MAX	 4096 /* with more, reading them often would cost too much */

int live__read_blame(struct live *l)
{
	if (!session__sees_blame(l->session))
		return 0;
	return source__locks(session__source(l->session), aggregate__blame, &l->aggregate);
}

static int look_at_blame(struct live *l)
{
	uint64_t now = clock__now_ns();
	int err;

	if (!session__sees_blame(l->session))
		return 0;
	if (!l->blame_ns)
		l->blame_ns = now + BLAME_FIRST_NS;
	if (l->aggregate.last || now < l->blame_ns || l->aggregate.blames.cnt > BLAME_LOCKS_MAX)
		return 0;
	l->blame_ns = now + BLAME_EVERY_NS;
	if (now > l->tracked_ns + TRACKED_EVERY_NS) {
		session__trim_tracked(l->session, l->tracked_ns);
		l->tracked_ns = now;
	}
	err = live__read_blame(l);
	/* A holder that slept before anybody waited has shown its stack to nobody. */
	return err ? err : live__find_holders(l);
}

/* Each new stack and each new site has taken an entry in the kernel since the last time. */
static void make_room(struct live *l)
{
	const struct aggregate *a = &l->aggregate;
	uint64_t now[HU_LOSS_CNT];

	/* As the kernel side counts them: stacks that we know already come back once they were trimmed. */
	if (!source__losses(session__source(l->session), now) &&
	    now[HU_LOSS_STACKS_NEW] - l->stacks_trimmed >= SESSION_STACKS_ROOM / 4) {
		session__trim_stacks(l->session, have_stack, l);
		l->stacks_trimmed = now[HU_LOSS_STACKS_NEW];
	}
	if ((l->what & SESSION_WAITS) &&
	    a->sites_made - l->sites_trimmed >= SESSION_LOCKS_ROOM / 4) {
		live__read_blame(l); /* what is not read now is gone */
		session__trim_locks(l->session);
		l->sites_trimmed = a->sites_made;
	}
}

int live__poll(struct live *l, int timeout_ms)
{
	int err = source__poll(session__source(l->session), live_go__timeout(l, timeout_ms));

	make_room(l);
	if (!err && (l->what & SESSION_WAITS))
		err = look_at_blame(l);
	if (!err)
		err = live_go__poll(l);
	if (l->what & SESSION_LIVES)
		live__look_again(l);
	return err == -EINTR ? 0 : live__tell(err);
}
