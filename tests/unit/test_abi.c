// SPDX-License-Identifier: GPL-2.0-only
/*
 * The structs of bpf/abi.h as this compiler lays them out, against the BTF inside the object that
 * holdup loads: sizes, and each member's name, offset and size.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "bpf/holdup.skel.h"

struct abi_struct {
	const char *name;
	size_t expected, host;
};

static const struct abi_struct structs[] = {
#define X(struct_name, size) { #struct_name, size, sizeof(struct struct_name) },
	HU_ABI_SIZES(X)
#undef X
};

struct member {
	const char *of, *name;
	size_t off, sz;
};

#define M(s, m)                                                           \
	{                                                                 \
#s, #m, offsetof(struct s, m), sizeof(((struct s *)0)->m) \
	}

static const struct member members[] = {
	M(hu_sum_key, proc_start),
	M(hu_sum_key, uaddr),
	M(hu_sum_key, tgid),
	M(hu_sum_key, cpu),
	M(hu_sum_key, op),
	M(hu_sum_key, flags),
	M(hu_sum_key, pad),
	M(hu_sum, waits),
	M(hu_sum, sleeps),
	M(hu_sum, blocked_ns),
	M(hu_sum, runq_ns),
	M(hu_sum, max_ns),
	M(hu_sum, stack_id),
	M(hu_stack, tgid),
	M(hu_stack, flags),
	M(hu_stack, frames),
	M(hu_stack, exact),
	M(hu_stack, pcs),
	M(hu_row, pc),
	M(hu_row, cfa_off),
	M(hu_row, kind),
	M(hu_row, fp_off),
	M(hu_map_entry, start),
	M(hu_map_entry, end),
	M(hu_map_entry, bias),
	M(hu_map_entry, row0),
	M(hu_map_entry, rows),
	M(hu_proc_maps, cnt),
	M(hu_proc_maps, generation),
	M(hu_proc_maps, map),
	M(hu_lock_key, uaddr),
	M(hu_lock_key, tgid),
	M(hu_lock_key, pad),
	M(hu_lock, waiters),
	M(hu_lock, pad),
	M(hu_lock, asked_ns),
	M(hu_lock, shown_ns),
	M(hu_holder, uaddr),
	M(hu_holder, tgid),
	M(hu_holder, in_word),
	M(hu_holder, shared),
	M(hu_owner, word),
	M(hu_owner, sleeps),
	M(hu_owner, ns),
	M(hu_call_key, proc_start),
	M(hu_call_key, uaddr),
	M(hu_call_key, tgid),
	M(hu_call_key, pad),
	M(hu_calls, waits),
	M(hu_calls, again),
	M(hu_calls, timedout),
	M(hu_calls, interrupted),
	M(hu_calls, wakes),
	M(hu_calls, wakes_none),
	M(hu_calls, requeues),
	M(hu_glob, accept),
	M(hu_glob, stay),
	M(hu_glob, match),
	M(hu_record, kind),
	M(hu_record, size),
	M(hu_record, cpu),
	M(hu_record, ts_ns),
	M(hu_thread_record, hdr),
	M(hu_thread_record, tgid),
	M(hu_thread_record, tid),
	M(hu_thread_record, proc_start),
	M(hu_thread_record, thread_start),
	M(hu_thread_record, off_ns),
	M(hu_thread_record, switches),
	M(hu_thread_record, cgroup),
	M(hu_thread_record, ip),
	M(hu_thread_record, sp),
	M(hu_thread_record, fp),
	M(hu_thread_record, ra_reg),
	M(hu_thread_record, saved),
	M(hu_thread_record, nr),
	M(hu_thread_record, arg),
	M(hu_thread_record, state),
	M(hu_thread_record, parent),
	M(hu_thread_record, flags),
	M(hu_thread_record, kframes),
	M(hu_thread_record, execs),
	M(hu_thread_record, comm),
	M(hu_thread_record, leader),
	M(hu_thread_record, kpc),
	M(hu_snap_ask, off_before_ns),
	M(hu_snap_ask, mode),
	M(hu_snap_ask, kernel),
	M(hu_snap_ask, self_tid),
	M(hu_snap_ask, pad),
	M(hu_config, filters),
	M(hu_config, tid),
	M(hu_config, self_tgid),
	M(hu_config, task_storage),
	M(hu_config, task_regs),
	M(hu_config, switch_state),
	M(hu_config, ring_sz),
	M(hu_config, join_cpu_ns),
	M(hu_config, holder_every_ns),
	M(hu_config, stacks),
	M(hu_config, unwind),
	M(hu_config, memo),
	M(hu_config, wakes_seen),
	M(hu_config, pad),
	M(hu_config, fd_calls),
	M(hu_config, comm),
	M(hu_hold_key, proc_start),
	M(hu_hold_key, lock),
	M(hu_hold_key, site),
	M(hu_hold_key, tgid),
	M(hu_hold_key, mode),
	M(hu_longest, ns),
	M(hu_longest, end_ns),
	M(hu_longest, off_ns),
	M(hu_longest, worst_ns),
	M(hu_longest, worst_reason),
	M(hu_longest, tid),
	M(hu_longest, pad),
	M(hu_hold, cnt),
	M(hu_hold, ns),
	M(hu_hold, contended),
	M(hu_hold, after_wait),
	M(hu_hold, tried),
	M(hu_hold, failed),
	M(hu_hold, unreleased),
	M(hu_hold, off_ns),
	M(hu_hold, longest),
	M(hu_hold, busy),
	M(hu_hold, pad),
	M(hu_hold, hist),
	M(hu_edge_key, proc_start),
	M(hu_edge_key, first),
	M(hu_edge_key, second),
	M(hu_edge_key, first_site),
	M(hu_edge_key, second_site),
	M(hu_edge_key, gates),
	M(hu_edge_key, tgid),
	M(hu_edge_key, first_mode),
	M(hu_edge_key, second_mode),
	M(hu_edge, cnt),
	M(hu_edge, tid),
	M(hu_edge, several),
	M(hu_edge, gate_cnt),
	M(hu_edge, gate),
};

/*
 * Clang writes BTF for what maps, globals and functions' prototypes reach; records are only built
 * in the ring's memory, so no BTF describes them. Their layout is held by test_records().
 */
static const char *const not_in_btf[] = { "hu_wait_record",   "hu_proc_record",	 "hu_stack_record",
					  "hu_holder_record", "hu_adopt_record", "hu_thread_brief",
					  "hu_held_record" };

static bool expected_in_btf(const char *name)
{
	for (size_t i = 0; i < sizeof(not_in_btf) / sizeof(not_in_btf[0]); i++)
		if (!strcmp(not_in_btf[i], name))
			return false;
	return true;
}

static struct btf *object_btf(void)
{
	struct bpf_object *obj;
	struct btf *copy;
	const void *elf, *raw;
	size_t elf_sz;
	__u32 raw_sz;

	elf = holdup_bpf__elf_bytes(&elf_sz);
	obj = bpf_object__open_mem(elf, elf_sz, NULL);
	assert_int_equal(libbpf_get_error(obj), 0);
	raw = btf__raw_data(bpf_object__btf(obj), &raw_sz);
	assert_non_null(raw);
	copy = btf__new(raw, raw_sz);
	assert_int_equal(libbpf_get_error(copy), 0);
	bpf_object__close(obj);
	return copy;
}

static void test_host_sizes(void **state)
{
	for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++)
		if (structs[i].host != structs[i].expected)
			fail_msg("%s: %zu bytes, not %zu", structs[i].name, structs[i].host,
				 structs[i].expected);
}

static void test_btf_sizes(void **state)
{
	struct btf *btf = object_btf();

	for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++) {
		int id = btf__find_by_name_kind(btf, structs[i].name, BTF_KIND_STRUCT);

		if (!expected_in_btf(structs[i].name)) {
			/* Once it is there, it is to be compared. */
			if (id != -ENOENT)
				fail_msg("%s is in the BTF: compare it", structs[i].name);
			continue;
		}
		if (id < 0)
			fail_msg("%s is not in the BTF: %d", structs[i].name, id);
		if (btf__resolve_size(btf, id) != (__s64)structs[i].expected)
			fail_msg("%s: %lld bytes in the BTF, not %zu", structs[i].name,
				 (long long)btf__resolve_size(btf, id), structs[i].expected);
	}
	btf__free(btf);
}

static const struct member *find_member(const char *of, const char *name)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (!strcmp(members[i].of, of) && !strcmp(members[i].name, name))
			return &members[i];
	return NULL;
}

static unsigned int count_members(const char *of)
{
	unsigned int cnt = 0;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		cnt += !strcmp(members[i].of, of);
	return cnt;
}

static void check_members(const struct btf *btf, const char *name, const struct btf_type *t)
{
	size_t end = 0;

	for (int k = 0; k < btf_vlen(t); k++) {
		const struct btf_member *bm = &btf_members(t)[k];
		const char *member_name = btf__name_by_offset(btf, bm->name_off);
		const struct member *m = find_member(name, member_name);

		if (!m)
			fail_msg("%s.%s is not in this test's table", name, member_name);
		if (btf_member_bit_offset(t, k) != m->off * 8)
			fail_msg("%s.%s: at bit %u in the BTF, at byte %zu here", name, member_name,
				 btf_member_bit_offset(t, k), m->off);
		if (btf__resolve_size(btf, bm->type) != (__s64)m->sz)
			fail_msg("%s.%s: the sizes differ", name, member_name);
		/* Padding is explicit: keys are compared as bytes. */
		if (m->off != end)
			fail_msg("%s.%s: %zu bytes of padding before it", name, member_name,
				 m->off - end);
		end = m->off + m->sz;
	}
	if (end != t->size)
		fail_msg("%s: %zu bytes of padding at its end", name, t->size - end);
	assert_int_equal(count_members(name), btf_vlen(t));
}

static void test_members(void **state)
{
	struct btf *btf = object_btf();
	unsigned int compared = 0;

	for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++) {
		int id = btf__find_by_name_kind(btf, structs[i].name, BTF_KIND_STRUCT);

		if (id < 0)
			continue; /* test_btf_sizes() says which may be missing */
		check_members(btf, structs[i].name, btf__type_by_id(btf, id));
		compared++;
	}
	assert_int_equal(compared, sizeof(structs) / sizeof(structs[0]) -
					   sizeof(not_in_btf) / sizeof(not_in_btf[0]));
	btf__free(btf);
}

/* The members that fill a record, in order: each must begin where the one before ends. */
static void check_filled(const char *name, const struct member *m, size_t cnt, size_t sz)
{
	size_t end = 0;

	for (size_t i = 0; i < cnt; i++) {
		if (m[i].off != end || m[i].off % (m[i].sz < 8 ? m[i].sz : 8))
			fail_msg("%s.%s: at byte %zu, not %zu", name, m[i].name, m[i].off, end);
		end += m[i].sz;
	}
	if (end != sz)
		fail_msg("%s: %zu bytes of padding at its end", name, sz - end);
}

#define CHECK_FILLED(s, m) check_filled(#s, m, sizeof(m) / sizeof(m[0]), sizeof(struct s))

static void test_records(void **state)
{
	static const struct member head[] = { M(hu_record, kind), M(hu_record, size),
					      M(hu_record, cpu), M(hu_record, ts_ns) };
	static const struct member wait[] = {
		M(hu_wait_record, hdr),	       M(hu_wait_record, tgid),
		M(hu_wait_record, tid),	       M(hu_wait_record, proc_start),
		M(hu_wait_record, uaddr),      M(hu_wait_record, stack_id),
		M(hu_wait_record, start_ns),   M(hu_wait_record, end_ns),
		M(hu_wait_record, blocked_ns), M(hu_wait_record, runq_ns),
		M(hu_wait_record, sleeps),     M(hu_wait_record, depth),
		M(hu_wait_record, val),	       M(hu_wait_record, owner_word),
		M(hu_wait_record, waker_tgid), M(hu_wait_record, waker_tid),
		M(hu_wait_record, op),	       M(hu_wait_record, flags),
		M(hu_wait_record, word),       M(hu_wait_record, comm),
		M(hu_wait_record, owner),
	};
	static const struct member process[] = {
		M(hu_proc_record, hdr),	       M(hu_proc_record, tgid), M(hu_proc_record, tid),
		M(hu_proc_record, proc_start), M(hu_proc_record, pc),	M(hu_proc_record, comm),
	};
	static const struct member stack[] = {
		M(hu_stack_record, hdr),      M(hu_stack_record, tgid),
		M(hu_stack_record, tid),      M(hu_stack_record, proc_start),
		M(hu_stack_record, stack_id), M(hu_stack_record, ip),
		M(hu_stack_record, sp),	      M(hu_stack_record, fp),
		M(hu_stack_record, ra_reg),   M(hu_stack_record, len),
		M(hu_stack_record, pad),      M(hu_stack_record, data),
	};

	static const struct member holder[] = {
		M(hu_holder_record, hdr),	  M(hu_holder_record, tgid),
		M(hu_holder_record, tid),	  M(hu_holder_record, proc_start),
		M(hu_holder_record, uaddr),	  M(hu_holder_record, stack_id),
		M(hu_holder_record, waiter_tgid), M(hu_holder_record, why),
		M(hu_holder_record, pad),	  M(hu_holder_record, comm),
	};

	static const struct member adopt[] = {
		M(hu_adopt_record, hdr),      M(hu_adopt_record, tgid),
		M(hu_adopt_record, tid),      M(hu_adopt_record, proc_start),
		M(hu_adopt_record, stack_id), M(hu_adopt_record, ip),
		M(hu_adopt_record, sp),	      M(hu_adopt_record, fp),
		M(hu_adopt_record, ra_reg),   M(hu_adopt_record, uaddr),
		M(hu_adopt_record, val),      M(hu_adopt_record, op),
		M(hu_adopt_record, flags),    M(hu_adopt_record, waiter_tgid),
		M(hu_adopt_record, pad),      M(hu_adopt_record, comm),
	};

	static const struct member brief[] = {
		M(hu_thread_brief, hdr),      M(hu_thread_brief, tgid),
		M(hu_thread_brief, tid),      M(hu_thread_brief, thread_start),
		M(hu_thread_brief, switches), M(hu_thread_brief, state),
		M(hu_thread_brief, flags),
	};

	CHECK_FILLED(hu_thread_brief, brief);
	CHECK_FILLED(hu_adopt_record, adopt);
	CHECK_FILLED(hu_holder_record, holder);
	CHECK_FILLED(hu_record, head);
	CHECK_FILLED(hu_wait_record, wait);
	CHECK_FILLED(hu_proc_record, process);
	CHECK_FILLED(hu_stack_record, stack);
	assert_int_equal(offsetof(struct hu_wait_record, hdr), 0);
	assert_int_equal(offsetof(struct hu_proc_record, hdr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_sizes),
		cmocka_unit_test(test_btf_sizes),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
