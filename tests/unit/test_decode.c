// SPDX-License-Identifier: GPL-2.0-only
/* Bytes to records: what is believed, and what is counted as bad and skipped. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/decode/decode.h"

struct seen {
	unsigned int waits, processes, stacks;
	struct hu_wait_record wait;
	struct hu_proc_record process;
	int ret;
};

static int on_wait(void *ctx, const struct hu_wait_record *rec)
{
	struct seen *s = ctx;

	s->waits++;
	s->wait = *rec;
	return s->ret;
}

static int on_process(void *ctx, const struct hu_proc_record *rec)
{
	struct seen *s = ctx;

	s->processes++;
	s->process = *rec;
	return s->ret;
}

static int on_stack(void *ctx, const struct hu_stack_record *rec)
{
	struct seen *s = ctx;

	assert_in_range(rec->len, 0, sizeof(rec->data));
	s->stacks++;
	return s->ret;
}

static struct decode_handler handler_for(struct seen *s)
{
	return (struct decode_handler){
		.wait = on_wait,
		.process = on_process,
		.stack = on_stack,
		.ctx = s,
	};
}

static struct hu_wait_record good_wait(void)
{
	return (struct hu_wait_record){
		.hdr = { .kind = HU_REC_WAIT, .size = sizeof(struct hu_wait_record) },
		.tgid = 100,
		.tid = 101,
		.uaddr = 0x1000,
		.start_ns = 1000,
		.end_ns = 2000,
		.blocked_ns = 600,
		.runq_ns = 100,
		.sleeps = 2,
		.comm = "worker",
	};
}

static struct hu_proc_record good_process(uint16_t kind)
{
	return (struct hu_proc_record){
		.hdr = { .kind = kind, .size = sizeof(struct hu_proc_record) },
		.tgid = 100,
		.tid = 101,
		.proc_start = 55,
		.comm = "leader",
	};
}

/* Decodes sz bytes that lie unaligned and end where their allocation ends, as a sanitizer likes
 * it. */
static int decode(struct decode_handler *h, const void *data, size_t sz)
{
	char *raw = malloc(sz + 1);
	int ret;

	assert_non_null(raw);
	memcpy(raw + 1, data, sz);
	ret = decode__record(h, raw + 1, sz);
	free(raw);
	return ret;
}

static void check_wait(const struct hu_wait_record *rec, bool good)
{
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	assert_int_equal(decode(&h, rec, sizeof(*rec)), 0);
	assert_int_equal(s.waits, good);
	assert_int_equal(s.processes, 0);
	assert_int_equal(h.bad, !good);
}

static void test_wait(void **state)
{
	struct hu_wait_record rec = good_wait();
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	assert_int_equal(decode(&h, &rec, sizeof(rec)), 0);
	assert_int_equal(s.waits, 1);
	assert_memory_equal(&s.wait, &rec, sizeof(rec));
	assert_int_equal(h.bad, 0);
}

static void test_process_kinds(void **state)
{
	for (uint16_t kind = HU_REC_SEEN; kind <= HU_REC_RESCAN; kind++) {
		struct hu_proc_record rec = good_process(kind);
		struct seen s = { 0 };
		struct decode_handler h = handler_for(&s);

		assert_int_equal(decode(&h, &rec, sizeof(rec)), 0);
		assert_int_equal(s.processes, 1);
		assert_int_equal(s.waits, 0);
		assert_memory_equal(&s.process, &rec, sizeof(rec));
		assert_int_equal(h.bad, 0);
	}
}

/* The ring rounds up: what was received may be longer than the record, never shorter. */
static void test_sizes(void **state)
{
	struct hu_wait_record rec = good_wait();
	char longer[sizeof(rec) + 64] = { 0 };
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	memcpy(longer, &rec, sizeof(rec));
	for (size_t sz = 0; sz < sizeof(rec); sz++)
		assert_int_equal(decode(&h, longer, sz), 0);
	assert_int_equal(s.waits, 0);
	assert_int_equal(h.bad, sizeof(rec));
	for (size_t sz = sizeof(rec); sz <= sizeof(longer); sz++)
		assert_int_equal(decode(&h, longer, sz), 0);
	assert_int_equal(s.waits, sizeof(longer) - sizeof(rec) + 1);
	assert_int_equal(h.bad, sizeof(rec));
}

static void test_wrong_size_in_header(void **state)
{
	struct hu_wait_record rec = good_wait();
	struct hu_proc_record proc = good_process(HU_REC_SEEN);
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	for (unsigned int size = 0; size < 300; size++) {
		rec.hdr.size = size;
		if (size != sizeof(rec))
			decode(&h, &rec, sizeof(rec));
	}
	rec.hdr.size = 0xffff;
	decode(&h, &rec, sizeof(rec));
	assert_int_equal(h.bad, 300);
	proc.hdr.size = sizeof(proc) - 8;
	decode(&h, &proc, sizeof(proc));
	/* The right size of another kind is no right size. */
	rec.hdr.kind = HU_REC_SEEN;
	rec.hdr.size = sizeof(rec);
	decode(&h, &rec, sizeof(rec));
	assert_int_equal(h.bad, 302);
	assert_int_equal(s.waits + s.processes, 0);
}

static void test_unknown_kinds(void **state)
{
	static const uint16_t kinds[] = { HU_REC_INVALID, 100, 0x100 | HU_REC_WAIT, 0xffff };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct hu_wait_record rec = good_wait();

		rec.hdr.kind = kinds[i];
		check_wait(&rec, false);
	}
}

static void test_contradictions(void **state)
{
	struct hu_wait_record rec;

	rec = good_wait();
	rec.tgid = 0;
	check_wait(&rec, false);
	rec = good_wait();
	rec.tid = 0;
	check_wait(&rec, false);
	rec = good_wait();
	rec.sleeps = 0;
	check_wait(&rec, false);
	rec = good_wait();
	rec.end_ns = 999;
	check_wait(&rec, false);
	rec = good_wait();
	rec.blocked_ns = 1001;
	rec.runq_ns = 0;
	check_wait(&rec, false);
	rec = good_wait();
	rec.blocked_ns = 600;
	rec.runq_ns = 401;
	check_wait(&rec, false);
	rec = good_wait();
	rec.blocked_ns = 600; /* their sum wraps */
	rec.runq_ns = UINT64_MAX - 599;
	check_wait(&rec, false);
	rec = good_wait();
	rec.blocked_ns = UINT64_MAX;
	rec.runq_ns = 1;
	check_wait(&rec, false);
}

static void test_edges(void **state)
{
	struct hu_wait_record rec;

	rec = good_wait();
	rec.blocked_ns = 600;
	rec.runq_ns = 400;
	check_wait(&rec, true);
	rec = good_wait();
	rec.end_ns = rec.start_ns;
	rec.blocked_ns = rec.runq_ns = 0;
	check_wait(&rec, true);
	rec = good_wait();
	rec.start_ns = 0;
	rec.end_ns = rec.blocked_ns = UINT64_MAX;
	rec.runq_ns = 0;
	check_wait(&rec, true);
}

static void test_process_without_id(void **state)
{
	struct hu_proc_record rec = good_process(HU_REC_EXIT);
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	rec.tgid = 0;
	decode(&h, &rec, sizeof(rec));
	assert_int_equal(h.bad, 1);
	assert_int_equal(s.processes, 0);
}

static void test_comm_gets_an_end(void **state)
{
	struct hu_wait_record rec = good_wait();
	struct hu_proc_record proc = good_process(HU_REC_SEEN);
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	memset(rec.comm, 'x', sizeof(rec.comm));
	memset(proc.comm, 'y', sizeof(proc.comm));
	decode(&h, &rec, sizeof(rec));
	decode(&h, &proc, sizeof(proc));
	assert_string_equal(s.wait.comm, "xxxxxxxxxxxxxxx");
	assert_string_equal(s.process.comm, "yyyyyyyyyyyyyyy");
}

static void test_stack(void **state)
{
	static struct hu_stack_record rec = {
		.hdr = { .kind = HU_REC_STACK, .size = sizeof(rec) },
		.tgid = 100,
		.tid = 101,
		.stack_id = 9,
	};
	struct seen s = { 0 };
	struct decode_handler h = handler_for(&s);

	for (rec.len = 0; rec.len <= sizeof(rec.data); rec.len += sizeof(rec.data) / 4)
		assert_int_equal(decode__record(&h, &rec, sizeof(rec)), 0);
	assert_int_equal(s.stacks, 5);
	assert_int_equal(h.bad, 0);
	/* Cut to one chunk by the sender: then no more than that is there. */
	rec.hdr.size = HU_RAW_SHORT_SZ;
	rec.len = HU_RAW_CHUNK_SZ;
	decode__record(&h, &rec, HU_RAW_SHORT_SZ);
	assert_int_equal(s.stacks, 6);
	s.stacks--;
	rec.len++;
	decode__record(&h, &rec, HU_RAW_SHORT_SZ);
	assert_int_equal(h.bad, 1);
	h.bad = 0;
	rec.hdr.size = sizeof(rec);
	rec.len = sizeof(rec.data) + 1;
	decode__record(&h, &rec, sizeof(rec));
	rec.len = UINT32_MAX;
	decode__record(&h, &rec, sizeof(rec));
	rec.len = 8;
	rec.stack_id = 0;
	decode__record(&h, &rec, sizeof(rec));
	rec.stack_id = 9;
	rec.tgid = 0;
	decode__record(&h, &rec, sizeof(rec));
	rec.tgid = 100;
	decode__record(&h, &rec, sizeof(rec) - 1);
	rec.hdr.size--;
	decode__record(&h, &rec, sizeof(rec));
	rec.hdr.size++;
	assert_int_equal(h.bad, 6);
	h.stack = NULL; /* who pends knows none */
	assert_int_equal(decode__record(&h, &rec, sizeof(rec)), 0);
	assert_int_equal(h.bad, 7);
	assert_int_equal(s.stacks, 5);
	h.stack = on_stack;
	s.ret = -EIO;
	assert_int_equal(decode__record(&h, &rec, sizeof(rec)), -EIO);
}

static void test_returns_the_handlers_error(void **state)
{
	struct hu_wait_record rec = good_wait();
	struct hu_proc_record proc = good_process(HU_REC_SEEN);
	struct seen s = { .ret = -ENOMEM };
	struct decode_handler h = handler_for(&s);

	assert_int_equal(decode(&h, &rec, sizeof(rec)), -ENOMEM);
	assert_int_equal(decode(&h, &proc, sizeof(proc)), -ENOMEM);
	assert_int_equal(decode(&h, &rec, 5), 0);
	assert_int_equal(h.bad, 1);
}

static int on_birth(void *ctx, const struct hu_birth_record *rec)
{
	struct seen *s = ctx;

	assert_int_equal(rec->comm[HU_COMM_LEN - 1], '\0');
	s->processes++;
	return s->ret;
}

static int on_death(void *ctx, const struct hu_death_record *rec)
{
	struct seen *s = ctx;

	assert_int_equal(rec->comm[HU_COMM_LEN - 1], '\0');
	s->processes++;
	return s->ret;
}

static int on_call(void *ctx, const struct hu_pthread_record *rec)
{
	struct seen *s = ctx;

	assert_in_range(rec->what, HU_PTHREAD_JOIN, HU_PTHREAD_CANCEL);
	s->processes++;
	return s->ret;
}

static void test_lives(void **state)
{
	struct hu_birth_record birth = { .hdr = { HU_REC_BIRTH, sizeof(birth) },
					 .tgid = 1,
					 .tid = 2 };
	struct hu_death_record death = { .hdr = { HU_REC_DEATH, sizeof(death) },
					 .tgid = 1,
					 .tid = 1 };
	struct hu_pthread_record call = { .hdr = { HU_REC_PTHREAD, sizeof(call) },
					  .tgid = 1,
					  .tid = 2,
					  .what = HU_PTHREAD_JOIN };
	struct seen seen = { 0 };
	struct decode_handler h = handler_for(&seen);

	/* Nobody has asked for them. */
	decode(&h, &birth, sizeof(birth));
	decode(&h, &death, sizeof(death));
	decode(&h, &call, sizeof(call));
	assert_int_equal(h.bad, 3);
	h.birth = on_birth;
	h.death = on_death;
	h.call = on_call;
	memset(birth.comm, 'x', sizeof(birth.comm));
	memset(death.comm, 'x', sizeof(death.comm));
	decode(&h, &birth, sizeof(birth));
	decode(&h, &death, sizeof(death));
	decode(&h, &call, sizeof(call));
	assert_int_equal(seen.processes, 3);
	birth.tid = birth.tgid; /* a process's first thread has no creator in it */
	decode(&h, &birth, sizeof(birth));
	death.tid = 0;
	decode(&h, &death, sizeof(death));
	call.what = HU_PTHREAD_CANCEL + 1;
	decode(&h, &call, sizeof(call));
	call.what = 0;
	decode(&h, &call, sizeof(call));
	decode(&h, &birth, sizeof(birth) - 8);
	assert_int_equal(h.bad, 8);
	assert_int_equal(seen.processes, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_process_kinds),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_wrong_size_in_header),
		cmocka_unit_test(test_unknown_kinds),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_process_without_id),
		cmocka_unit_test(test_comm_gets_an_end),
		cmocka_unit_test(test_stack),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_returns_the_handlers_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
