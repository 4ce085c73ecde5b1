// SPDX-License-Identifier: GPL-2.0-only
/* Records to sites, processes and stacks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/hash.h"
#include "user/aggregate/aggregate.h"

/* What the hooks were asked. */
struct asked {
	unsigned int processes, stacks, forgotten, stacks_forgotten;
	uint32_t last_tgid;
	int stack_err;
	uint8_t frames;
};

static void on_forget(void *ctx, struct agg_process *p)
{
	struct asked *asked = ctx;

	assert_true(p->gone || p->exited);
	asked->forgotten++;
}

static void on_forget_stack(void *ctx, uint64_t id)
{
	((struct asked *)ctx)->stacks_forgotten++;
}

static void on_process(void *ctx, struct agg_process *p)
{
	struct asked *asked = ctx;

	asked->processes++;
	asked->last_tgid = p->tgid;
}

static int on_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	struct asked *asked = ctx;

	assert_non_null(p);
	asked->stacks++;
	if (asked->stack_err)
		return asked->stack_err;
	memset(ret, 0, sizeof(*ret));
	ret->tgid = p->tgid;
	ret->flags = HU_STACK_COMPLETE;
	ret->frames = ret->exact = asked->frames;
	for (int i = 0; i < HU_MAX_FRAMES; i++)
		ret->pcs[i] = id * 1000 + i;
	return 0;
}

static void start(struct aggregate *a, struct asked *asked, uint64_t min_wait_ns)
{
	struct agg_hooks hooks = { .process = on_process,
				   .stack = on_stack,
				   .forget = on_forget,
				   .forget_stack = on_forget_stack,
				   .ctx = asked };

	*asked = (struct asked){ .frames = 3 };
	aggregate__init(a, &hooks, min_wait_ns);
}

static struct hu_wait_record wait_of(uint64_t blocked_ns, uint64_t runq_ns)
{
	return (struct hu_wait_record){
		.hdr = { .kind = HU_REC_WAIT, .size = sizeof(struct hu_wait_record) },
		.tgid = 100,
		.tid = 101,
		.proc_start = 5,
		.uaddr = 0x1000,
		.stack_id = 77,
		.start_ns = 1000,
		.end_ns = 1000 + blocked_ns + runq_ns,
		.blocked_ns = blocked_ns,
		.runq_ns = runq_ns,
		.sleeps = 1,
		.depth = 1,
		.val = 2,
		.op = HU_OP_WAIT,
		.comm = "worker",
	};
}

static struct hu_proc_record process_record(uint16_t kind, const char *comm)
{
	struct hu_proc_record rec = {
		.hdr = { .kind = kind, .size = sizeof(rec) },
		.tgid = 100,
		.tid = 100,
		.proc_start = 5,
	};

	strncpy(rec.comm, comm, sizeof(rec.comm) - 1);
	return rec;
}

static struct agg_site *only_site(const struct aggregate *a)
{
	size_t i = 0;

	assert_int_equal(a->sites.cnt, 1);
	return table__next(&a->sites, &i);
}

static void test_waits_add_up(void **state)
{
	static const uint64_t blocked[] = { 100, 5000, 300 };
	struct hu_wait_record rec;
	struct aggregate a;
	struct asked asked;
	struct agg_site *s;

	start(&a, &asked, 0);
	for (size_t i = 0; i < 3; i++) {
		rec = wait_of(blocked[i], 10);
		rec.sleeps = i + 1;
		rec.flags = i == 1 ? HU_WAIT_REQUEUED : 0;
		rec.depth = i == 0 ? 9 : 2;
		assert_int_equal(aggregate__wait(&a, &rec), 0);
	}
	s = only_site(&a);
	assert_int_equal(s->process->tgid, 100);
	assert_int_equal(s->uaddr, 0x1000);
	assert_int_equal(s->stack_id, 77);
	assert_int_equal(s->op, HU_OP_WAIT);
	assert_int_equal(s->waits, 3);
	assert_int_equal(s->sleeps, 6);
	assert_int_equal(s->blocked_ns, 5400);
	assert_int_equal(s->runq_ns, 30);
	assert_int_equal(s->max_ns, 5010);
	assert_int_equal(s->sample.blocked_ns, 5000);
	assert_int_equal(s->depth_max, 9);
	assert_int_equal(s->hist.cnt, 3);
	assert_int_equal(s->ongoing, 0);
	assert_int_equal(s->requeued, 1);
	assert_false(s->summarized);
	assert_int_equal(a.totals.events, 3);
	assert_int_equal(a.totals.waits, 3);
	assert_int_equal(a.totals.sleeps, 6);
	assert_int_equal(a.totals.wait_ns, 5430);
	aggregate__free(&a);
}

/* What tells sites apart, and what does not. */
static void test_site_identity(void **state)
{
	struct hu_wait_record rec = wait_of(10, 0);
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	aggregate__wait(&a, &rec);
	rec.tid++;
	rec.val++;
	rec.owner_word++;
	rec.word++;
	rec.waker_tid++;
	rec.flags = HU_WAIT_WAKER_KNOWN | HU_WAIT_OWNER_READ | HU_WAIT_TIMED;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 1);
	rec.uaddr += 4;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 2);
	rec.stack_id++;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 3);
	rec.op = HU_OP_WAIT_BITSET;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 4);
	rec.flags |= HU_WAIT_SHARED;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 5);
	rec.flags |= HU_WAIT_COMPAT;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 6);
	rec.proc_start++; /* the process ID was given to another one */
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 7);
	assert_int_equal(a.processes.cnt, 2);
	aggregate__free(&a);
}

static void test_many_sites(void **state)
{
	struct aggregate a;
	struct asked asked;
	struct agg_site *s;
	uint64_t waits = 0;

	start(&a, &asked, 0);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 5000; i++) {
			struct hu_wait_record rec = wait_of(i, 0);

			rec.tgid = 1 + i % 7;
			rec.uaddr = 64 * (uint64_t)i;
			rec.stack_id = 1 + i % 100;
			assert_int_equal(aggregate__wait(&a, &rec), 0);
		}
	assert_int_equal(a.sites.cnt, 5000);
	assert_int_equal(a.processes.cnt, 7);
	assert_int_equal(a.stacks.cnt, 100);
	assert_int_equal(asked.processes, 7);
	assert_int_equal(asked.stacks, 100);
	for (size_t i = 0; (s = table__next(&a.sites, &i));) {
		assert_int_equal(s->waits, 2);
		assert_int_equal(s->max_ns, s->uaddr / 64);
		waits += s->waits;
	}
	assert_int_equal(waits, 10000);
	aggregate__free(&a);
}

static void test_hooks_are_called_once(void **state)
{
	struct hu_wait_record rec = wait_of(10, 0);
	struct hu_proc_record seen = process_record(HU_REC_SEEN, "leader");
	const struct agg_stack *stack;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	for (int i = 0; i < 10; i++) {
		aggregate__process(&a, &seen);
		aggregate__wait(&a, &rec);
	}
	assert_int_equal(asked.processes, 1);
	assert_int_equal(asked.last_tgid, 100);
	assert_int_equal(asked.stacks, 1);
	stack = aggregate__stack(&a, 77);
	assert_non_null(stack);
	assert_int_equal(stack->frames, 3);
	assert_int_equal(stack->flags, HU_STACK_COMPLETE);
	assert_int_equal(stack->pcs[2], 77002);
	assert_null(aggregate__stack(&a, 78));
	/* A new interval forgets sites only. */
	aggregate__reset(&a);
	assert_int_equal(a.sites.cnt, 0);
	assert_int_equal(a.totals.events, 0);
	aggregate__wait(&a, &rec);
	assert_int_equal(asked.processes, 1);
	assert_int_equal(asked.stacks, 1);
	assert_int_equal(only_site(&a)->waits, 1);
	aggregate__free(&a);
}

static void test_stack_edges(void **state)
{
	struct hu_wait_record rec = wait_of(10, 0);
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	rec.stack_id = 0; /* none: nothing to ask for */
	assert_int_equal(aggregate__wait(&a, &rec), 0);
	assert_int_equal(asked.stacks, 0);
	asked.stack_err = -ENOENT; /* the wait counts all the same */
	rec.stack_id = 5;
	assert_int_equal(aggregate__wait(&a, &rec), 0);
	assert_null(aggregate__stack(&a, 5));
	asked.stack_err = 0;
	asked.frames = 0xff; /* a lie */
	rec.stack_id = 6;
	assert_int_equal(aggregate__wait(&a, &rec), 0);
	assert_int_equal(aggregate__stack(&a, 6)->frames, HU_MAX_FRAMES);
	assert_int_equal(aggregate__stack(&a, 6)->pcs[HU_MAX_FRAMES - 1], 6000 + HU_MAX_FRAMES - 1);
	asked.frames = 0;
	rec.stack_id = 7;
	assert_int_equal(aggregate__wait(&a, &rec), 0);
	assert_int_equal(aggregate__stack(&a, 7)->frames, 0);
	assert_int_equal(a.totals.waits, 4);
	aggregate__free(&a);
}

/* Stacks that were unwound here come under an id of their own each time; equal ones are one site. */
static void test_unwound_stacks(void **state)
{
	struct hu_stack raw = { .tgid = 100, .flags = HU_STACK_COMPLETE, .frames = 2 };
	struct hu_wait_record rec = wait_of(10, 0);
	struct aggregate a;
	struct asked asked;
	struct agg_site *s;

	start(&a, &asked, 0);
	raw.pcs[0] = 0x1000;
	raw.pcs[1] = 0x2000;
	for (uint64_t raw_id = 1000; raw_id < 1010; raw_id++) {
		assert_int_equal(aggregate__stack_unwound(&a, raw_id, &raw, 0), 0);
		rec.stack_id = raw_id;
		assert_int_equal(aggregate__wait(&a, &rec), 0);
	}
	s = only_site(&a);
	assert_int_equal(s->waits, 10);
	assert_int_equal(a.stacks.cnt, 1);
	assert_int_equal(aggregate__stack(&a, s->stack_id)->pcs[1], 0x2000);
	assert_int_equal(asked.stacks, 0); /* the kernel has it not */
	raw.pcs[1] = 0x3000;
	aggregate__stack_unwound(&a, 2000, &raw, 0);
	rec.stack_id = 2000;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 2);
	aggregate__free(&a);
}

/* A stack that was read from outside is that of a wait which was not over by then, and of no other. */
static void test_stack_read_too_late(void **state)
{
	struct hu_stack raw = { .tgid = 100, .frames = 1, .exact = 1, .pcs = { 0x1000 } };
	struct hu_wait_record rec = wait_of(10, 0);
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	rec.stack_id = 2000;
	assert_int_equal(aggregate__stack_unwound(&a, 2000, &raw, rec.end_ns), 0);
	aggregate__wait(&a, &rec);
	assert_int_not_equal(only_site(&a)->stack_id, 0);
	rec.stack_id = 2001;
	assert_int_equal(aggregate__stack_unwound(&a, 2001, &raw, rec.end_ns + 1), 0);
	aggregate__reset(&a);
	aggregate__wait(&a, &rec);
	assert_int_equal(only_site(&a)->stack_id, 0);
	aggregate__free(&a);
}

static void test_exec_makes_a_new_process(void **state)
{
	struct hu_proc_record seen = process_record(HU_REC_SEEN, "before");
	struct hu_proc_record exec = process_record(HU_REC_EXEC, "after");
	struct hu_proc_record again = process_record(HU_REC_SEEN, "after");
	struct hu_wait_record rec = wait_of(10, 0);
	struct agg_process *before, *after;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	aggregate__process(&a, &seen);
	aggregate__wait(&a, &rec);
	before = aggregate__find(&a, 100, 5);
	assert_non_null(before);
	aggregate__process(&a, &exec);
	assert_true(before->gone);
	assert_null(aggregate__find(&a, 100, 5));
	aggregate__process(&a, &again);
	aggregate__wait(&a, &rec);
	after = aggregate__find(&a, 100, 5);
	assert_non_null(after);
	assert_ptr_not_equal(before, after);
	assert_string_equal(before->comm, "before");
	assert_string_equal(after->comm, "after");
	assert_int_equal(a.processes.cnt, 2);
	assert_int_equal(a.sites.cnt, 2);
	assert_int_equal(asked.processes, 2);
	aggregate__free(&a);
}

/* Waits of a process may come after its exit, from other CPUs. */
static void test_exit_keeps_the_process(void **state)
{
	struct hu_proc_record seen = process_record(HU_REC_SEEN, "leader");
	struct hu_proc_record gone = process_record(HU_REC_EXIT, "leader");
	struct hu_wait_record rec = wait_of(10, 0);
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	assert_int_equal(aggregate__process(&a, &gone), 0); /* of one never heard of */
	assert_int_equal(a.processes.cnt, 0);
	aggregate__process(&a, &seen);
	aggregate__process(&a, &gone);
	aggregate__wait(&a, &rec);
	assert_int_equal(a.processes.cnt, 1);
	assert_string_equal(only_site(&a)->process->comm, "leader");
	aggregate__free(&a);
}

/* A thread's name only stands in for the leader's until that is told. */
static void test_leader_names_the_process(void **state)
{
	struct hu_proc_record seen = process_record(HU_REC_SEEN, "leader");
	struct hu_wait_record rec = wait_of(10, 0);
	struct hu_sum sum = { .waits = 1, .sleeps = 1, .blocked_ns = 5, .max_ns = 5 };
	struct hu_sum_key key = { .proc_start = 5, .uaddr = 0x1000, .tgid = 100 };
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	aggregate__wait(&a, &rec);
	assert_string_equal(aggregate__find(&a, 100, 5)->comm, "worker");
	aggregate__process(&a, &seen);
	assert_string_equal(aggregate__find(&a, 100, 5)->comm, "leader");
	rec = wait_of(10, 0);
	aggregate__wait(&a, &rec); /* and stays */
	assert_string_equal(aggregate__find(&a, 100, 5)->comm, "leader");
	aggregate__free(&a);

	start(&a, &asked, 0);
	aggregate__sum(&a, &key, &sum); /* sums know no name at all */
	aggregate__wait(&a, &rec);
	assert_string_equal(aggregate__find(&a, 100, 5)->comm, "worker");
	aggregate__free(&a);
}

static void test_min_wait(void **state)
{
	struct hu_wait_record rec;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 1000);
	rec = wait_of(900, 99);
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 0);
	assert_int_equal(a.totals.events, 1);
	assert_int_equal(a.totals.waits, 0);
	assert_int_equal(a.totals.wait_ns, 0);
	assert_int_equal(a.totals.below_min, 1);
	assert_int_equal(a.totals.below_min_ns, 999);
	rec = wait_of(900, 100);
	aggregate__wait(&a, &rec);
	assert_int_equal(only_site(&a)->waits, 1);
	assert_int_equal(a.totals.below_min, 1);
	assert_int_equal(a.totals.wait_ns, 1000);
	aggregate__free(&a);
}

static void test_pending(void **state)
{
	struct hu_wait_record rec = wait_of(5000, 0), ended = wait_of(300, 0);
	struct agg_site *s;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	rec.flags |= HU_WAIT_ONGOING;
	rec.tid = 1;
	aggregate__pending(&a, &rec);
	rec.tid = 2;
	aggregate__pending(&a, &rec);
	aggregate__pending(&a, &ended); /* will be sent when it is certain that it ended */
	s = only_site(&a);
	assert_int_equal(s->waiters_now, 2);
	assert_int_equal(s->waits, 0);
	assert_int_equal(s->ongoing, 0);
	assert_int_equal(s->sample.val, 2); /* says what the lock is */
	assert_int_equal(a.totals.waits, 0);
	assert_int_equal(a.totals.wait_ns, 0);
	assert_int_equal(a.totals.events, 0);
	aggregate__free(&a);
}

static void test_pending_at_the_end(void **state)
{
	struct hu_wait_record rec = wait_of(5000, 100), ended = wait_of(300, 0);
	struct agg_site *s;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	a.last = true;
	rec.flags |= HU_WAIT_ONGOING;
	aggregate__pending(&a, &rec);
	aggregate__pending(&a, &ended);
	s = only_site(&a);
	assert_int_equal(s->waiters_now, 1);
	assert_int_equal(s->waits, 2);
	assert_int_equal(s->ongoing, 1);
	assert_int_equal(s->blocked_ns, 5300);
	assert_int_equal(s->max_ns, 5100);
	assert_int_equal(s->hist.cnt, 1); /* how long the other one takes is not known */
	assert_int_equal(a.totals.waits, 2);
	assert_int_equal(a.totals.ongoing, 1);
	assert_int_equal(a.totals.wait_ns, 5400);
	aggregate__free(&a);
}

/* Read from outside when the thread had gone on: that is another wait's stack, or none at all. */
static void test_stack_read_late(void **state)
{
	struct hu_stack raw = { .tgid = 100, .flags = HU_STACK_COMPLETE, .frames = 2, .exact = 2 };
	struct hu_wait_record rec = wait_of(400, 0);
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	assert_int_equal(aggregate__stack_unwound(&a, 77, &raw, 5000), 0);
	rec.stack_id = 77;
	rec.end_ns = 4999;
	aggregate__wait(&a, &rec);
	assert_int_equal(only_site(&a)->stack_id, 0);
	aggregate__reset(&a);
	rec.end_ns = 5000;
	aggregate__wait(&a, &rec);
	assert_int_equal(only_site(&a)->stack_id, stack__hash(&raw));
	aggregate__free(&a);
}

static bool on_shares(void *ctx, const struct agg_process *p, uint64_t shared_addr,
		      const struct agg_process *other)
{
	return other->tgid == 200;
}

/* Who died with a lock of several processes is known as one of the process it was seen in. */
static void test_owner_gone(void **state)
{
	struct hu_proc_record proc = { .hdr = { .kind = HU_REC_SEEN }, .proc_start = 6 };
	struct hu_wait_record rec = wait_of(400, 0);
	struct agg_process *other;
	struct agg_site *s;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	for (uint32_t tgid = 200; tgid <= 300; tgid += 100) {
		proc.tgid = tgid;
		assert_int_equal(aggregate__process(&a, &proc), 0);
		other = aggregate__find(&a, tgid, 6);
		assert_int_equal(aggregate__thread_seen(&a, other, tgid + 1, "dead"), 0);
		proc.hdr.kind = HU_REC_EXIT;
		assert_int_equal(aggregate__process(&a, &proc), 0);
		proc.hdr.kind = HU_REC_SEEN;
	}
	a.hooks.shares = on_shares;
	rec.owner[0] = (struct hu_owner){ .word = 201, .sleeps = 1, .ns = 400 };
	aggregate__wait(&a, &rec); /* a private lock: nobody else can hold it */
	s = only_site(&a);
	assert_int_equal(s->holder_unknown_ns, 400);
	aggregate__reset(&a);
	rec.flags |= HU_WAIT_SHARED;
	rec.owner[0].word = 301; /* of a process that does not share it */
	aggregate__wait(&a, &rec);
	rec.owner[0].word = 201;
	aggregate__wait(&a, &rec);
	s = only_site(&a);
	assert_int_equal(s->holder_unknown_ns, 400);
	assert_int_equal(s->holder_cnt, 1);
	assert_int_equal(s->holder[0].tgid, 200);
	assert_int_equal(s->holder[0].tid, 201);
	assert_true(s->holder[0].owner);
	assert_string_equal(s->holder[0].comm, "dead");
	aggregate__free(&a);
}

static void test_sums(void **state)
{
	struct hu_sum_key key = {
		.proc_start = 5,
		.uaddr = 0x1000,
		.tgid = 100,
		.op = HU_OP_WAIT,
	};
	struct hu_sum sum = {
		.waits = 10,
		.sleeps = 12,
		.blocked_ns = 9000,
		.runq_ns = 1000,
		.max_ns = 4000,
		.stack_id = 77,
	};
	struct hu_wait_record rec = wait_of(50, 0);
	struct agg_site *s, *detailed = NULL, *summed = NULL;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 1000000); /* sums are not filtered: what is in them can't be told */
	aggregate__sum(&a, &key, &sum);
	key.cpu = 1; /* each CPU has its own entry */
	sum.max_ns = 3000;
	aggregate__sum(&a, &key, &sum);
	a.min_wait_ns = 0;
	aggregate__wait(&a, &rec);
	assert_int_equal(a.sites.cnt, 2);
	for (size_t i = 0; (s = table__next(&a.sites, &i));)
		*(s->summarized ? &summed : &detailed) = s;
	assert_non_null(summed);
	assert_non_null(detailed);
	assert_int_equal(summed->waits, 20);
	assert_int_equal(summed->sleeps, 24);
	assert_int_equal(summed->blocked_ns, 18000);
	assert_int_equal(summed->runq_ns, 2000);
	assert_int_equal(summed->max_ns, 4000);
	assert_int_equal(summed->hist.cnt, 0);
	assert_int_equal(summed->sample.sleeps, 0);
	assert_int_equal(detailed->waits, 1);
	assert_ptr_equal(summed->process, detailed->process);
	assert_int_equal(a.totals.events, 1);
	assert_int_equal(a.totals.waits, 21);
	assert_int_equal(a.totals.sleeps, 25);
	assert_int_equal(a.totals.wait_ns, 20050);
	assert_int_equal(a.totals.summarized, 20);
	assert_int_equal(a.totals.summarized_ns, 20000);
	assert_int_equal(asked.stacks, 1);
	aggregate__free(&a);
}

static void test_without_process_hook(void **state)
{
	struct asked asked = { .frames = 1 };
	struct agg_hooks hooks = { .stack = on_stack, .ctx = &asked };
	struct hu_wait_record rec = wait_of(50, 0);
	struct aggregate a;

	aggregate__init(&a, &hooks, 0);
	assert_int_equal(aggregate__wait(&a, &rec), 0);
	assert_null(aggregate__find(&a, 100, 5)->names);
	assert_null(aggregate__find(&a, 100, 6));
	aggregate__free(&a);
}

/* ---- what is over goes */

/* A process comes, waits at stacks of its own, one of them sent raw, is found by an owner word, and goes. */
static void live_and_die(struct aggregate *a, uint32_t tgid, uint16_t end)
{
	struct hu_proc_record proc = process_record(HU_REC_SEEN, "mayfly");
	struct hu_stack raw = { .tgid = tgid, .frames = 1, .exact = 1, .pcs = { 0x401000 } };
	struct hu_wait_record rec = wait_of(10, 0);

	proc.tgid = proc.tid = rec.tgid = tgid;
	proc.proc_start = rec.proc_start = tgid;
	assert_int_equal(aggregate__process(a, &proc), 0);
	assert_int_equal(aggregate__stack_unwound(a, 1ULL << 63 | tgid, &raw, 0), 0);
	for (uint32_t i = 0; i < 3; i++) {
		rec.tid = tgid + i;
		rec.stack_id = i ? ((uint64_t)tgid << 8) + i : 1ULL << 63 | tgid;
		assert_int_equal(aggregate__wait(a, &rec), 0);
	}
	assert_int_equal(aggregate__owner_before(a, tgid, tgid, 1), 0);
	proc.hdr.kind = end;
	if (end)
		assert_int_equal(aggregate__process(a, &proc), 0);
}

static void test_mayflies_are_forgotten(void **state)
{
	struct aggregate a;
	struct asked asked;
	uint32_t tgid = 1000;

	start(&a, &asked, 0);
	live_and_die(&a, 100, 0); /* lives on */
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < 100; i++)
			live_and_die(&a, tgid += 4, i % 2 ? HU_REC_EXIT : HU_REC_EXEC);
		aggregate__reset(&a);
		/* Two rounds and the one that stays. */
		assert_in_range(a.processes.cnt, 1, 201);
		assert_in_range(a.stacks.cnt, 3, 603);
		assert_in_range(a.threads.cnt, 3, 603);
		assert_in_range(a.aliases.cnt, 1, 201);
		assert_in_range(a.before.cnt, 1, 201);
		assert_in_range(a.processes.cap, 1, 1024);
		assert_in_range(a.stacks.cap, 1, 2048);
	}
	for (unsigned int i = 0; i < 3; i++)
		aggregate__reset(&a);
	assert_int_equal(a.processes.cnt, 1);
	assert_int_equal(a.stacks.cnt, 3);
	assert_int_equal(a.threads.cnt, 3);
	assert_int_equal(a.aliases.cnt, 1);
	assert_int_equal(a.before.cnt, 1);
	assert_int_equal(asked.forgotten, 5000);
	assert_int_equal(asked.stacks_forgotten, 15000);
	/* What stayed is whole: its stacks are found, also by what they were called raw, and not asked for again. */
	asked.stacks = 0;
	live_and_die(&a, 100, 0);
	assert_int_equal(asked.stacks, 0);
	assert_int_equal(a.stacks.cnt, 3);
	assert_int_equal(a.processes.cnt, 1);
	aggregate__free(&a);
}

/* Waits that come late, from other CPUs, still find the process's names. */
static void test_grace(void **state)
{
	struct hu_wait_record rec = wait_of(10, 0);
	const struct agg_process *p;
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	live_and_die(&a, 100, HU_REC_EXIT);
	p = aggregate__find(&a, 100, 100);
	rec.proc_start = 100;
	for (unsigned int i = 0; i < 5; i++) { /* each keeps it longer */
		aggregate__reset(&a);
		assert_ptr_equal(aggregate__find(&a, 100, 100), p);
		aggregate__wait(&a, &rec);
	}
	aggregate__reset(&a); /* used until here */
	aggregate__reset(&a);
	assert_int_equal(a.processes.cnt, 1);
	aggregate__reset(&a);
	assert_int_equal(a.processes.cnt, 0);
	assert_int_equal(a.stacks.cnt, 0);
	assert_int_equal(asked.processes, 1);
	aggregate__free(&a);
}

/* The kernel side names stacks by process ID, which exec leaves: they stay with the next program. */
static void test_exec_keeps_stacks(void **state)
{
	struct hu_proc_record seen = process_record(HU_REC_SEEN, "after");
	struct aggregate a;
	struct asked asked;

	start(&a, &asked, 0);
	live_and_die(&a, 100, HU_REC_EXEC);
	seen.proc_start = 100;
	assert_int_equal(aggregate__process(&a, &seen), 0);
	for (unsigned int i = 0; i < 4; i++)
		aggregate__reset(&a);
	assert_int_equal(a.processes.cnt, 1);
	assert_int_equal(asked.forgotten, 1);
	assert_int_equal(a.stacks.cnt, 3);
	assert_int_equal(asked.stacks_forgotten, 0);
	aggregate__free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_add_up),
		cmocka_unit_test(test_site_identity),
		cmocka_unit_test(test_many_sites),
		cmocka_unit_test(test_hooks_are_called_once),
		cmocka_unit_test(test_stack_edges),
		cmocka_unit_test(test_unwound_stacks),
		cmocka_unit_test(test_exec_makes_a_new_process),
		cmocka_unit_test(test_exit_keeps_the_process),
		cmocka_unit_test(test_leader_names_the_process),
		cmocka_unit_test(test_min_wait),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_pending_at_the_end),
		cmocka_unit_test(test_stack_read_late),
		cmocka_unit_test(test_owner_gone),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_without_process_hook),
		cmocka_unit_test(test_mayflies_are_forgotten),
		cmocka_unit_test(test_stack_read_too_late),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_exec_keeps_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
