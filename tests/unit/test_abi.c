// SPDX-License-Identifier: GPL-2.0-only
/*
 * The structs of bpf/abi.h as this compiler lays them out (by this test's own debug information) against the BTF
 * inside the object that holdup loads: sizes, and each member's name, offset and size. Padding must be explicit
 * everywhere, as keys are compared as bytes; so structs that no BTF describes (records, which are only built in the
 * ring's memory) can't differ either: members of fixed width without gaps lie alike for every compiler.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dwarf.h>
#include <elfutils/libdw.h>

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

#define STRUCTS (sizeof(structs) / sizeof(structs[0]))

/* Keeps the compiler from leaving a struct out of the debug information. */
#define X(struct_name, size) const struct struct_name *test_abi_##struct_name;
HU_ABI_SIZES(X)
#undef X

struct member {
	const char *name;
	size_t off, sz;
};

#define MEMBERS_MAX 64

struct layout {
	struct member member[MEMBERS_MAX];
	int cnt;
};

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

/* ---- this test's own debug information */

static Dwarf *own_dwarf(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	Dwarf *dw;

	assert_true(fd >= 0);
	dw = dwarf_begin(fd, DWARF_C_READ);
	assert_non_null(dw); /* built without -g */
	return dw;
}

static bool find_in_unit(Dwarf_Die *unit, const char *name, Dwarf_Die *ret)
{
	if (dwarf_child(unit, ret))
		return false;
	do {
		const char *found = dwarf_diename(ret);

		if (dwarf_tag(ret) == DW_TAG_structure_type && found && !strcmp(found, name) &&
		    !dwarf_hasattr_integrate(ret, DW_AT_declaration))
			return true;
	} while (!dwarf_siblingof(ret, ret));
	return false;
}

static void find_struct(Dwarf *dw, const char *name, Dwarf_Die *ret)
{
	Dwarf_Off off = 0, next;
	Dwarf_Die unit;
	size_t head_sz;

	for (; !dwarf_nextcu(dw, off, &next, &head_sz, NULL, NULL, NULL); off = next)
		if (dwarf_offdie(dw, off + head_sz, &unit) && find_in_unit(&unit, name, ret))
			return;
	fail_msg("struct %s is not in this test's debug information", name);
}

static size_t size_of_type(Dwarf_Die *of)
{
	Dwarf_Attribute attr;
	Dwarf_Word sz = 0;
	Dwarf_Die type;

	assert_non_null(dwarf_attr_integrate(of, DW_AT_type, &attr));
	assert_non_null(dwarf_formref_die(&attr, &type));
	assert_int_equal(dwarf_aggregate_size(&type, &sz), 0);
	return sz;
}

static void read_layout(Dwarf *dw, const char *name, struct layout *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Die of, die;
	Dwarf_Word off;

	ret->cnt = 0;
	find_struct(dw, name, &of);
	assert_int_equal(dwarf_child(&of, &die), 0);
	do {
		if (dwarf_tag(&die) != DW_TAG_member)
			continue;
		assert_true(ret->cnt < MEMBERS_MAX);
		assert_non_null(dwarf_attr(&die, DW_AT_data_member_location, &attr));
		assert_int_equal(dwarf_formudata(&attr, &off), 0);
		ret->member[ret->cnt++] =
			(struct member){ dwarf_diename(&die), off, size_of_type(&die) };
	} while (!dwarf_siblingof(&die, &die));
}

/* ---- tests */

static void test_host_sizes(void **state)
{
	for (size_t i = 0; i < STRUCTS; i++)
		if (structs[i].host != structs[i].expected)
			fail_msg("%s: %zu bytes, not %zu", structs[i].name, structs[i].host,
				 structs[i].expected);
}

/* The members in order: each begins where the one before ends. */
static void test_no_padding(void **state)
{
	Dwarf *dw = own_dwarf();
	struct layout l;

	for (size_t i = 0; i < STRUCTS; i++) {
		size_t end = 0;

		read_layout(dw, structs[i].name, &l);
		for (int k = 0; k < l.cnt; k++) {
			if (l.member[k].off != end)
				fail_msg("%s.%s: at byte %zu, not %zu", structs[i].name,
					 l.member[k].name, l.member[k].off, end);
			end += l.member[k].sz;
		}
		if (end != structs[i].expected)
			fail_msg("%s: %zu bytes of padding at its end", structs[i].name,
				 structs[i].expected - end);
	}
	dwarf_end(dw);
}

static void check_against_btf(const struct btf *btf, const char *name, const struct btf_type *t,
			      const struct layout *l)
{
	if (btf_vlen(t) != l->cnt)
		fail_msg("%s: %d members in the BTF, %d here", name, btf_vlen(t), l->cnt);
	for (int k = 0; k < l->cnt; k++) {
		const struct btf_member *bm = &btf_members(t)[k];
		const struct member *m = &l->member[k];

		assert_string_equal(btf__name_by_offset(btf, bm->name_off), m->name);
		if (btf_member_bit_offset(t, k) != m->off * 8)
			fail_msg("%s.%s: at bit %u in the BTF, at byte %zu here", name, m->name,
				 btf_member_bit_offset(t, k), m->off);
		if (btf__resolve_size(btf, bm->type) != (__s64)m->sz)
			fail_msg("%s.%s: the sizes differ", name, m->name);
	}
}

static void test_btf(void **state)
{
	/* What programs and loader share through maps and constants must be described. */
	static const char *const wanted[] = { "hu_config", "hu_lock", "hu_stack",
					      "hu_sum",	   "hu_row",  "hu_calls" };
	struct btf *btf = object_btf();
	Dwarf *dw = own_dwarf();
	struct layout l;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (btf__find_by_name_kind(btf, wanted[i], BTF_KIND_STRUCT) < 0)
			fail_msg("%s is not in the BTF", wanted[i]);
	for (size_t i = 0; i < STRUCTS; i++) {
		int id = btf__find_by_name_kind(btf, structs[i].name, BTF_KIND_STRUCT);

		if (id < 0)
			continue; /* clang describes what maps, globals and prototypes reach */
		assert_int_equal(btf__resolve_size(btf, id), structs[i].expected);
		read_layout(dw, structs[i].name, &l);
		check_against_btf(btf, structs[i].name, btf__type_by_id(btf, id), &l);
	}
	dwarf_end(dw);
	btf__free(btf);
}

static void test_records(void **state)
{
	assert_int_equal(offsetof(struct hu_wait_record, hdr), 0);
	assert_int_equal(offsetof(struct hu_proc_record, hdr), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_sizes),
		cmocka_unit_test(test_no_padding),
		cmocka_unit_test(test_btf),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
