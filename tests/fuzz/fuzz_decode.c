// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer: records as a source hands them over, decoded and added up. The first byte chooses
 * options; then come records one after the other, each as long as its header says or a little more
 * or less. What decode lets through must add up exactly.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -D_GNU_SOURCE tests/fuzz/fuzz_decode.c \
 *		user/decode/decode.c user/aggregate/aggregate.c user/aggregate/hist.c \
 *		user/util/table.c -o fuzz_decode
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/aggregate/aggregate.h"
#include "user/decode/decode.h"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz);

struct run {
	struct aggregate a;
	uint64_t waits, wait_ns, processes, stacks;
	uint8_t options;
};

static int on_stack(void *ctx, struct agg_process *p, uint64_t id, struct hu_stack *ret)
{
	if (id & 1)
		return -ENOENT;
	memset(ret, 0, sizeof(*ret));
	ret->frames = id >> 1; /* may claim more than there are */
	ret->flags = id >> 17;
	return 0;
}

static void check_record(const struct hu_wait_record *rec)
{
	CHECK(rec->tgid && rec->tid && rec->sleeps);
	CHECK(rec->end_ns >= rec->start_ns);
	CHECK(rec->blocked_ns <= rec->end_ns - rec->start_ns);
	CHECK(rec->runq_ns <= rec->end_ns - rec->start_ns - rec->blocked_ns);
	CHECK(memchr(rec->comm, '\0', sizeof(rec->comm)));
}

static int on_wait(void *ctx, const struct hu_wait_record *rec)
{
	struct run *run = ctx;

	check_record(rec);
	run->waits++;
	run->wait_ns += rec->blocked_ns + rec->runq_ns;
	return aggregate__wait(&run->a, rec);
}

static int on_pending(void *ctx, const struct hu_wait_record *rec)
{
	struct run *run = ctx;

	check_record(rec);
	if (run->a.last) {
		run->waits++;
		run->wait_ns += rec->blocked_ns + rec->runq_ns;
	}
	return aggregate__pending(&run->a, rec);
}

static int on_process(void *ctx, const struct hu_proc_record *rec)
{
	struct run *run = ctx;

	CHECK(rec->tgid && memchr(rec->comm, '\0', sizeof(rec->comm)));
	run->processes++;
	return aggregate__process(&run->a, rec);
}

static int on_raw_stack(void *ctx, const struct hu_stack_record *rec)
{
	struct run *run = ctx;
	struct hu_stack stack = { .tgid = rec->tgid, .frames = rec->len };

	CHECK(rec->tgid && rec->stack_id && rec->len <= sizeof(rec->data));
	memcpy(stack.pcs, rec->data, sizeof(stack.pcs));
	if (stack.frames > HU_MAX_FRAMES)
		stack.frames = HU_MAX_FRAMES;
	run->stacks++;
	return aggregate__stack_unwound(&run->a, rec->stack_id, &stack, 0);
}

/* The sites hold all that the totals say, and what was let through is in either. */
static void check_sums(const struct run *run)
{
	const struct agg_totals *t = &run->a.totals;
	uint64_t waits = 0, sleeps = 0, ns = 0, ongoing = 0;
	const struct agg_site *s;

	for (size_t i = 0; (s = table__next(&run->a.sites, &i));) {
		CHECK(s->process);
		CHECK(s->hist.cnt + s->hist.dropped == s->waits - s->ongoing);
		CHECK(!s->waits || s->sample.sleeps);
		CHECK(hist__percentile(&s->hist, 99, s->max_ns) <= s->max_ns);
		waits += s->waits;
		sleeps += s->sleeps;
		ns += s->blocked_ns + s->runq_ns;
		ongoing += s->ongoing;
	}
	CHECK(waits == t->waits && sleeps == t->sleeps && ns == t->wait_ns);
	CHECK(ongoing == t->ongoing);
	CHECK(t->events == run->waits);
	CHECK(t->waits + t->below_min == run->waits);
	CHECK(t->wait_ns + t->below_min_ns == run->wait_ns);
	CHECK(run->a.processes.cnt <= run->waits + run->processes + run->a.sites.cnt);
}

/* How many bytes to hand over for the record at data: mostly what it says itself. */
static size_t record_size(const uint8_t *data, size_t sz)
{
	uint16_t said;
	size_t chosen;

	if (sz < sizeof(struct hu_record))
		return sz;
	memcpy(&said, data + offsetof(struct hu_record, size), sizeof(said));
	chosen = said;
	if (data[4] & 0x80) /* cpu, which nobody reads */
		chosen = said + (data[4] & 15) - 8;
	if (chosen < sizeof(struct hu_record))
		chosen = sizeof(struct hu_record);
	return chosen < sz ? chosen : sz;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t sz)
{
	struct run run = { 0 };
	struct agg_hooks hooks = { .stack = on_stack };
	struct decode_handler h = {
		.wait = on_wait, .process = on_process, .stack = on_raw_stack, .ctx = &run
	};
	uint64_t calls = 0;

	if (!sz)
		return 0;
	run.options = *data++;
	sz--;
	aggregate__init(&run.a, &hooks, run.options & 1 ? 1000 : 0);
	run.a.last = run.options & 2;
	if (run.options & 4)
		h.wait = on_pending;
	while (sz) {
		size_t n = record_size(data, sz);
		void *copy = malloc(n); /* so that the sanitizer sees a look beyond its end */

		CHECK(copy);
		memcpy(copy, data, n);
		CHECK(decode__record(&h, copy, n) == 0);
		free(copy);
		calls++;
		data += n;
		sz -= n;
	}
	CHECK(h.bad <= calls);
	if (!(run.options & 4))
		CHECK(h.bad + run.waits + run.processes + run.stacks == calls);
	check_sums(&run);
	aggregate__reset(&run.a);
	CHECK(run.a.sites.cnt == 0 && run.a.totals.events == 0);
	aggregate__free(&run.a);
	return 0;
}
