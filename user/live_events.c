// SPDX-License-Identifier: GPL-2.0-only
#include "user/live_events.h"
#include "user/live_go_waits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bpf/wait.h"
#include "user/aggregate/blame.h"
#include "user/collect/adopt.h"
#include "user/collect/proc.h"
#include "user/target/call.h"
#include "user/util/clock.h"
#include "user/util/log.h"

#define ASKED_MAX   256 /* locks whose holder is looked for at an interval's end */
#define ADOPTED_MAX 512 /* threads whose stacks are kept, of 16 KiB each, before they are walked */

static void set_rows(struct live *l, const struct agg_process *p)
{
	int err;

	if (!l->rows || !p->names)
		return;
	err = row_store__set_process(l->rows, l->symbolizer, p->tgid, p->names);
	if (err)
		log__info("process %u is unwound by frame pointers: %s", p->tgid, strerror(-err));
}

static void on_forget(void *ctx, struct agg_process *p)
{
	struct live *l = ctx;

	if (p->names)
		symbolizer__drop_process(l->symbolizer, p->names);
	p->names = NULL;
	live_go__forget(p);
}

static void on_forget_stack(void *ctx, uint64_t id)
{
	session__drop_stack(((struct live *)ctx)->session, id);
}

struct noting {
	struct live *live;
	struct agg_process *process;
};

static int note_thread(void *ctx, uint32_t tid)
{
	struct noting *n = ctx;

	return aggregate__thread_seen(&n->live->aggregate, n->process, tid, "");
}

static void on_process(void *ctx, struct agg_process *p)
{
	struct live *l = ctx;
	struct noting noting = { l, p };

	if (symbolizer__add_process(l->symbolizer, p->tgid, &p->names))
		p->names = NULL;
	p->names_ns = clock__now_ns();
	p->in_pid_namespace = proc__in_pid_namespace(p->tgid);
	p->cgroup = proc__cgroup(p->tgid);
	/* Owners may be gone when their names are asked for: a process that is killed takes all along. */
	proc__each_thread(p->tgid, note_thread, &noting);
	if (!l->early)
		set_rows(l, p);
}

static bool all_mapped(const struct agg_process *p, const __u64 *pcs, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (!maps__find(sym_process__maps(p->names), pcs[i]))
			return false;
	return true;
}

/* Code that was mapped since (dlopen): look again. */
static void rescan(struct live *l, struct agg_process *p)
{
	if (p->names && !symbolizer__rescan(l->symbolizer, p->names))
		set_rows(l, p);
}

static int on_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	struct live *l = ctx;
	int err = source__stack(session__source(l->session), id, ret);

	/* With rows the kernel side asks for a rescan itself. */
	if (!err && !l->rows && p->names && ret->frames <= HU_MAX_FRAMES &&
	    !all_mapped(p, ret->pcs, ret->frames))
		rescan(l, p);
	return err;
}

int live__on_process_record(void *ctx, const struct hu_proc_record *rec)
{
	struct live *l = ctx;
	struct agg_process *p = aggregate__find(&l->aggregate, rec->tgid, rec->proc_start);
	int err = l->what & SESSION_LIVES ? live__on_life_process(l, rec) : 0;

	if (err)
		return err;
	switch (rec->hdr.kind) {
	case HU_REC_RESCAN:
		if (p && p->names)
			rescan(l, p);
		return 0;
	case HU_REC_SEEN:
		/* Looked at early: now it has mapped all that its first stack needs, or is over. */
		if ((l->what & SESSION_LIVES) && p && p->names &&
		    symbolizer__rescan(l->symbolizer, p->names) != -ENOMEM)
			set_rows(l, p);
		break;
	case HU_REC_EXEC:
		/* Looked at too late: those are the next program's names. */
		if (p && p->names && p->names_ns > rec->hdr.ts_ns)
			on_forget(l, p);
		/* fall through */
	case HU_REC_EXIT:
		if (l->rows)
			row_store__remove_process(l->rows, rec->tgid);
		break;
	}
	err = aggregate__process(&l->aggregate, rec);
	return err || !(l->what & SESSION_LIVES) ? err : live__look_early(l, rec);
}

/* Needs l->rows. */
static void walk(struct live *l, const struct hu_stack_record *rec, struct hu_stack *ret)
{
	struct agg_process *p = aggregate__find(&l->aggregate, rec->tgid, rec->proc_start);

	row_store__walk(l->rows, rec, ret);
	if ((ret->flags & HU_STACK_NOMAP) && p && p->names) {
		rescan(l, p);
		row_store__walk(l->rows, rec, ret);
	}
}

int live__take_raw_stack(struct live *l, const struct hu_stack_record *rec, uint64_t read_ns)
{
	struct hu_stack stack;

	if (!l->rows)
		return 0;
	walk(l, rec, &stack);
	return aggregate__stack_unwound(&l->aggregate, rec->stack_id, &stack, read_ns);
}

static int on_stack_record(void *ctx, const struct hu_stack_record *rec)
{
	return live__take_raw_stack(ctx, rec, 0);
}

/* Do these mappings have the same file as what lies at addr in p? */
static bool maps_share(const struct agg_process *p, uint64_t addr, const struct maps *maps)
{
	const struct mapping *own = p->names ? maps__find(sym_process__maps(p->names), addr) : NULL;

	if (!own || !own->ino || !own->shared)
		return false;
	for (size_t i = 0; maps && i < maps->cnt; i++)
		if (maps->map[i].shared && maps->map[i].ino == own->ino &&
		    maps->map[i].major == own->major && maps->map[i].minor == own->minor)
			return true;
	return false;
}

static bool shares(const struct agg_process *p, uint64_t addr, pid_t tgid)
{
	struct maps *maps;
	bool found;

	if (maps__read(tgid, &maps))
		return false;
	found = maps_share(p, addr, maps);
	maps__free(maps);
	return found;
}

static bool on_shares(void *ctx, const struct agg_process *p, uint64_t shared_addr,
		      const struct agg_process *other)
{
	return other->names && maps_share(p, shared_addr, sym_process__maps(other->names));
}

/* The thread that an owner word names: the TID, unless the process has a PID namespace of its own. */
static int on_thread(void *ctx, struct agg_process *p, uint32_t word, uint64_t shared_addr,
		     struct agg_thread *ret)
{
	ret->tgid = p->tgid;
	ret->tid = word;
	if (p->in_pid_namespace)
		return proc__by_inner_tid(p->tgid, word, &ret->tid)
			       ? -ESRCH
			       : proc__comm(p->tgid, ret->tid, ret->comm);
	if (!proc__comm(ret->tgid, ret->tid, ret->comm))
		return 0;
	if (!shared_addr)
		return -ESRCH;
	ret->tgid = proc__of_thread(word);
	if (!ret->tgid || !shares(p, shared_addr, ret->tgid))
		return -ESRCH;
	return proc__comm(ret->tgid, ret->tid, ret->comm);
}

/* Descriptors are looked at anew each time: what was open a moment ago may be another file now. */
static const char *on_call_object(void *ctx, uint32_t tgid, long nr, int fd)
{
	struct live *l = ctx;
	uint64_t args[6] = { fd, 0, 0,
			     -1ULL }; /* epoll_wait: no timeout that would have to be told */
	const char *text = NULL;
	struct call_wait wait;
	struct calls *calls;

	if (calls__new(&calls))
		return NULL;
	if (!calls__describe(calls, tgid, tgid, nr, args, false, false, NULL, NULL, &wait) &&
	    *wait.object)
		text = symbolizer__intern(l->symbolizer, wait.what);
	calls__free(calls);
	return text;
}

static int on_holder_record(void *ctx, const struct hu_holder_record *rec)
{
	return aggregate__holder(&((struct live *)ctx)->aggregate, rec);
}

static int on_wait_record(void *ctx, const struct hu_wait_record *rec)
{
	return aggregate__wait(&((struct live *)ctx)->aggregate, rec);
}

int live__on_pending(void *ctx, const struct hu_wait_record *rec)
{
	return aggregate__pending(&((struct live *)ctx)->aggregate, rec);
}

/* What is read of a thread while it waits. */
struct adopted {
	struct hu_adopt_record rec;
	struct hu_stack_record *stack; /* NULL: it could not be read */
	uint64_t read_ns;
	uint32_t owner; /* the owner word; 0: none */
};

struct live_adoption {
	struct live *live;
	struct adopted thread[ADOPTED_MAX];
	size_t cnt;
};

/* Blame follows the owner from here on. */
static void claim(struct live *l, const struct adopted *t)
{
	uint64_t scope = 0;
	char path[64];
	struct stat st;

	if (!session__sees_blame(l->session))
		return;
	snprintf(path, sizeof(path), "/proc/%u/ns/pid", t->rec.tgid);
	if (proc__in_pid_namespace(t->rec.tgid) && !stat(path, &st))
		scope = (uint64_t)(uint32_t)st.st_ino << 32;
	if (session__claim(l->session, scope | t->owner, t->rec.tgid, t->rec.uaddr))
		log__info("who holds a lock at the start can't be noted");
}

static int take_adopted(struct live *l, const struct adopted *t)
{
	const struct hu_adopt_record *rec = &t->rec;
	struct hu_proc_record seen = {
		.hdr = { .kind = HU_REC_SEEN, .size = sizeof(seen), .ts_ns = rec->hdr.ts_ns },
		.tgid = rec->tgid,
		.tid = rec->tid,
		.proc_start = rec->proc_start,
	};
	int err;

	memcpy(seen.comm, rec->comm, sizeof(seen.comm));
	err = aggregate__process(&l->aggregate, &seen);
	if (!err && t->stack)
		err = live__take_raw_stack(l, t->stack, t->read_ns);
	if (!err && t->owner)
		err = aggregate__owner_before(&l->aggregate, rec->tgid, rec->tid, t->owner);
	if (!err && t->owner)
		claim(l, t);
	return err;
}

static int take_all(struct live_adoption *a)
{
	int err = 0;

	for (size_t i = 0; i < a->cnt; i++) {
		if (!err)
			err = take_adopted(a->live, &a->thread[i]);
		free(a->thread[i].stack);
	}
	a->cnt = 0;
	return err;
}

/* Reads what will be gone when the thread goes on; the rest has time. */
static int on_adopted(void *ctx, const void *data, size_t sz)
{
	struct live_adoption *a = ctx;
	struct adopted *t = &a->thread[a->cnt];
	uint32_t word, owner;

	if (sz != sizeof(t->rec))
		return -EIO;
	*t = (struct adopted){ .stack = malloc(sizeof(*t->stack)) };
	if (!t->stack)
		return -ENOMEM;
	memcpy(&t->rec, data, sizeof(t->rec));
	t->rec.comm[HU_COMM_LEN - 1] = '\0';
	if (adopt__read_stack(&t->rec, t->stack)) {
		free(t->stack);
		t->stack = NULL;
	}
	t->read_ns = clock__now_ns();
	if (!adopt__read_words(&t->rec, &word, &owner))
		t->owner = owner__of(t->rec.op, t->rec.val, word, owner);
	return ++a->cnt == ADOPTED_MAX ? take_all(a) : 0;
}

int live__take_waiting(struct live *l)
{
	struct live_adoption *a = calloc(1, sizeof(*a));
	int err, took;

	if (!a)
		return -ENOMEM;
	a->live = l;
	err = session__adopt(l->session, on_adopted, a);
	took = take_all(a);
	free(a);
	return err ? err : took;
}

/* A thread that a lock's word names while others wait for it. */
struct asked {
	const struct agg_site *site;
	uint32_t tid;
};

struct asking {
	struct live *live;
	struct asked asked[ASKED_MAX];
	size_t cnt;
};

/* Who holds the site's lock at this moment, by the lock's own word; 0: nobody who is known. */
static uint32_t owner_now(struct live *l, const struct agg_site *site)
{
	struct hu_adopt_record where = { .tgid = site->process->tgid, .uaddr = site->uaddr };
	struct agg_thread thread = { 0 };
	uint32_t word, owner_word, owner;

	if (adopt__read_words(&where, &word, &owner_word))
		return 0;
	owner = owner__of(site->op, site->sample.val, word, owner_word);
	if (!owner || on_thread(l, site->process, owner,
				site->flags & HU_WAIT_SHARED ? site->uaddr : 0, &thread))
		return 0;
	return thread.tid;
}

/*
 * A thread that does not run, as the iterator found it. It counts as seen with the lock only if it was asked
 * for this lock and still holds it after its stack was read: both looks have to agree.
 */
static int on_where(void *ctx, const void *data, size_t sz)
{
	struct asking *a = ctx;
	struct hu_stack_record stack;
	struct hu_adopt_record rec;
	struct hu_holder_record holder;
	struct hu_stack walked;
	uint64_t id = 0;
	size_t i = 0;
	int err;

	if (sz != sizeof(rec))
		return -EIO;
	memcpy(&rec, data, sizeof(rec));
	rec.comm[HU_COMM_LEN - 1] = '\0';
	while (i < a->cnt && (a->asked[i].tid != rec.tid || a->asked[i].site->uaddr != rec.uaddr))
		i++;
	if (i == a->cnt || adopt__read_stack(&rec, &stack) ||
	    owner_now(a->live, a->asked[i].site) != rec.tid)
		return 0;
	/* No wait names this sample: one an interval and lock must not add up. */
	if (a->live->rows) {
		walk(a->live, &stack, &walked);
		err = aggregate__stack_walked(&a->live->aggregate, &walked, &id);
		if (err)
			return err;
	}
	holder = (struct hu_holder_record){
		.tgid = rec.tgid,
		.tid = rec.tid,
		.proc_start = rec.proc_start,
		.uaddr = rec.uaddr,
		.stack_id = id,
		.waiter_tgid = rec.waiter_tgid,
		.why = HU_HOLDER_SWITCH,
	};
	memcpy(holder.comm, rec.comm, sizeof(holder.comm));
	return aggregate__holder(&a->live->aggregate, &holder);
}

static bool is_waited_for(const struct live *l, const struct agg_site *site)
{
	return site->waiters_now ||
	       aggregate__waiters(&l->aggregate, site->process->tgid, site->uaddr);
}

int live__find_holders(struct live *l)
{
	struct asking a = { .live = l };
	const struct agg_site *site;
	uint32_t tid;
	int err;

	for (size_t i = 0; a.cnt < ASKED_MAX && (site = table__next(&l->aggregate.sites, &i));) {
		tid = is_waited_for(l, site) ? owner_now(l, site) : 0;
		if (tid && !session__ask(l->session, tid, site->process->tgid, site->uaddr))
			a.asked[a.cnt++] = (struct asked){ site, tid };
	}
	err = a.cnt ? session__where(l->session, on_where, &a) : 0;
	return err == -EOPNOTSUPP ? 0 : err;
}

void live__wire(struct live *l)
{
	struct agg_hooks hooks = { .process = on_process,
				   .thread = on_thread,
				   .shares = on_shares,
				   .call_object = on_call_object,
				   .stack = on_stack,
				   .forget = on_forget,
				   .forget_stack = on_forget_stack,
				   .ctx = l };
	struct source *source = session__source(l->session);

	aggregate__init(&l->aggregate, &hooks, l->opt->min_wait_ns);
	l->decoder = (struct decode_handler){
		.wait = on_wait_record,
		.process = live__on_process_record,
		.stack = on_stack_record,
		.holder = on_holder_record,
		.ctx = l,
	};
	lifetimes__init(&l->lifetimes, &l->aggregate);
	if (l->what & SESSION_LIVES) {
		l->decoder.birth = live__on_birth;
		l->decoder.death = live__on_death;
		l->decoder.call = live__on_call;
	}
	source->on_record = decode__record;
	source->on_record_ctx = &l->decoder;
}
