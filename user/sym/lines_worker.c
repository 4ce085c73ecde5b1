// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/lines_worker.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RANGES_MAX  (4u << 20)
#define SCOPES_MAX  64 /* in each other */
#define OVERLAP_MAX 16 /* how many ranges that start before an address are tried */

/* Code of one compilation unit. .debug_aranges would say the same, but clang does not emit it. */
struct range {
	uint64_t start, end;
	Dwarf_Off unit; /* offset of the unit's DIE in .debug_info */
};

struct worker {
	Dwarf *dwarf;
	struct range *range;
	size_t cnt, cap;
};

static bool append(struct worker *w, struct range range)
{
	struct range *more;

	if (w->cnt == RANGES_MAX)
		return false;
	if (w->cnt == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		more = reallocarray(w->range, w->cap, sizeof(*more));
		if (!more)
			return false;
		w->range = more;
	}
	w->range[w->cnt++] = range;
	return true;
}

static int compare(const void *pa, const void *pb)
{
	const struct range *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static bool add_unit(struct worker *w, Dwarf_Die *die)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t off = 0;

	while ((off = dwarf_ranges(die, off, &base, &start, &end)) > 0)
		if (start < end && !append(w, (struct range){ start, end, dwarf_dieoffset(die) }))
			return false;
	return true;
}

static void read_units(struct worker *w)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (dwarf_get_units(w->dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0)
		if (!add_unit(w, &die))
			break;
	if (w->cnt)
		qsort(w->range, w->cnt, sizeof(*w->range), compare);
}

static bool find_unit(struct worker *w, uint64_t vaddr, Dwarf_Die *ret)
{
	size_t lo = 0, hi = w->cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w->range[mid].start <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (int i = 0; i < OVERLAP_MAX && lo > 0; i++, lo--)
		if (vaddr < w->range[lo - 1].end)
			return dwarf_offdie(w->dwarf, w->range[lo - 1].unit, ret) != NULL;
	return false;
}

static void copy_text(char *to, const char *from)
{
	size_t len = from ? strnlen(from, LINES_TEXT_MAX - 1) : 0;

	memcpy(to, from ? from : "", len);
	to[len] = '\0';
}

/* An inlined function's own DIE has no name: dwarf_attr_integrate follows it to its origin. */
static void set_function(struct lines_frame *f, Dwarf_Die *die)
{
	static const unsigned int name[] = { DW_AT_linkage_name, DW_AT_MIPS_linkage_name,
					     DW_AT_name };
	Dwarf_Attribute attr;
	const char *text = NULL;

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]) && !text; i++)
		if (dwarf_attr_integrate(die, name[i], &attr))
			text = dwarf_formstring(&attr);
	copy_text(f->function, text);
}

static void set_line(struct lines_frame *f, Dwarf_Die *unit, uint64_t vaddr)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, vaddr);

	copy_text(f->file, line ? dwarf_linesrc(line, NULL, NULL) : NULL);
	if (!line || dwarf_lineno(line, &f->line))
		f->line = 0;
}

/* Where the function of this inlined DIE was called. */
static void set_call(struct lines_frame *f, Dwarf_Die *unit, Dwarf_Die *die)
{
	Dwarf_Word file = 0, line = 0;
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	size_t cnt;

	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attr), &line) == 0 &&
	    line <= INT32_MAX)
		f->line = line;
	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attr), &file) == 0 &&
	    dwarf_getsrcfiles(unit, &files, &cnt) == 0 && file < cnt)
		copy_text(f->file, dwarf_filesrc(files, file, NULL, NULL));
}

/* May lie between a unit and a function: Rust's methods are inside of their types. */
static bool holds_functions(int tag)
{
	switch (tag) {
	case DW_TAG_module:
	case DW_TAG_namespace:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_variant_part:
	case DW_TAG_variant:
		return true;
	}
	return false;
}

static bool is_code(int tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
	       tag == DW_TAG_lexical_block;
}

/* Scopes of code, outermost first. */
struct scopes {
	uint64_t vaddr;
	Dwarf_Die die[SCOPES_MAX];
	int cnt;
};

/*
 * The DIEs around vaddr as they lie in the code. dwarf_getscopes() does not look into namespaces and types,
 * and beyond the first inlined function its scopes are those of the source text. Types may lie in functions.
 */
static bool find_scopes(struct scopes *s, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;

	if (depth == SCOPES_MAX || dwarf_child(parent, &die))
		return false;
	do {
		int tag = dwarf_tag(&die);

		if (is_code(tag) && dwarf_haspc(&die, s->vaddr) > 0) {
			s->die[s->cnt++] = die;
			find_scopes(s, &die, depth + 1);
			return true;
		}
		if (holds_functions(tag) && find_scopes(s, &die, depth + 1))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static size_t answer(struct worker *w, uint64_t vaddr, struct lines_frame *ret)
{
	struct scopes scopes = { .vaddr = vaddr };
	Dwarf_Die unit;
	size_t cnt = 0;

	if (!find_unit(w, vaddr, &unit))
		return 0;
	memset(ret, 0, LINES_FRAMES_MAX * sizeof(*ret));
	set_line(&ret[0], &unit, vaddr);
	find_scopes(&scopes, &unit, 0);
	for (int i = scopes.cnt - 1; i >= 0; i--) {
		int tag = dwarf_tag(&scopes.die[i]);

		if (tag == DW_TAG_lexical_block)
			continue;
		set_function(&ret[cnt++], &scopes.die[i]);
		if (tag == DW_TAG_subprogram || cnt == LINES_FRAMES_MAX)
			break;
		set_call(&ret[cnt], &unit, &scopes.die[i]);
		/* The next turn names it. */
	}
	if (cnt == 0)
		cnt = ret[0].line || ret[0].file[0];
	return cnt;
}

void lines_worker__serve(int sock, int elf_fd)
{
	struct lines_frame *frames = calloc(LINES_FRAMES_MAX, sizeof(*frames));
	struct worker w = { 0 };
	uint64_t vaddr;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(elf_fd, ELF_C_READ, NULL);
	w.dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	if (!frames || !w.dwarf)
		return;
	read_units(&w);
	while (recv(sock, &vaddr, sizeof(vaddr), 0) == sizeof(vaddr)) {
		size_t cnt = answer(&w, vaddr, frames);
		ssize_t n = send(sock, frames, cnt ? cnt * sizeof(*frames) : 1, MSG_NOSIGNAL);

		if (n < 0)
			return;
	}
}
