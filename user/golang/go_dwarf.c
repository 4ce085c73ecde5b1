// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "user/sym/worker.h"

#define ANSWER_TIMEOUT_MS 2000
#define OFFSET_MAX	  32768
#define FIELDS_MAX	  64
#define DEPTH_MAX	  4

/* ---- in the worker */

static bool member_named(Dwarf_Die *type, const char *name, size_t len, Dwarf_Die *ret)
{
	const char *found;

	if (dwarf_child(type, ret))
		return false;
	do {
		found = dwarf_tag(ret) == DW_TAG_member ? dwarf_diename(ret) : NULL;
		if (found && strlen(found) == len && !memcmp(found, name, len))
			return true;
	} while (dwarf_siblingof(ret, ret) == 0);
	return false;
}

/* A member's own type, through typedefs. */
static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;

	if (!dwarf_formref_die(dwarf_attr(die, DW_AT_type, &attr), ret))
		return false;
	for (int i = 0; i < DEPTH_MAX && dwarf_tag(ret) == DW_TAG_typedef; i++)
		if (!dwarf_formref_die(dwarf_attr(ret, DW_AT_type, &attr), ret))
			return false;
	return true;
}

/* The offset of "sched.bp" in a structure. */
static uint16_t offset_of(Dwarf_Die *type, const char *path)
{
	Dwarf_Die at = *type, member;
	Dwarf_Word sum = 0, off;
	Dwarf_Attribute attr;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		size_t len = strcspn(path, ".");

		if (!member_named(&at, path, len, &member) ||
		    dwarf_formudata(dwarf_attr(&member, DW_AT_data_member_location, &attr), &off) ||
		    off > OFFSET_MAX)
			return GO_NO_FIELD;
		sum += off;
		if (!path[len])
			return sum;
		path += len + 1;
		if (!type_of(&member, &at))
			return GO_NO_FIELD;
	}
	return GO_NO_FIELD;
}

static size_t read_type(Dwarf_Die *type, const char *name, uint16_t *ret)
{
	size_t found = 0;

	for (size_t i = 0; i < go_field_cnt; i++)
		if (!strcmp(go_fields[i].type, name)) {
			ret[i] = offset_of(type, go_fields[i].field);
			found++;
		}
	return found;
}

/* The linker puts all types of the runtime into units of that name (cmd/link/internal/ld/dwarf.go). */
static void read_units(Dwarf *dwarf, uint16_t *ret)
{
	Dwarf_Die unit, die;
	Dwarf_CU *cu = NULL;
	const char *name;
	size_t found = 0;

	while (found < go_field_cnt &&
	       dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
		name = dwarf_diename(&unit);
		if (!name || strcmp(name, "runtime") || dwarf_child(&unit, &die))
			continue;
		do {
			name = dwarf_tag(&die) == DW_TAG_structure_type ? dwarf_diename(&die)
									: NULL;
			if (name)
				found += read_type(&die, name, ret);
		} while (dwarf_siblingof(&die, &die) == 0);
	}
}

static void serve(int sock, int fd, const void *arg)
{
	uint16_t offset[FIELDS_MAX];
	Dwarf *dwarf;
	Elf *elf;

	memset(offset, 0xff, sizeof(offset));
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	if (dwarf)
		read_units(dwarf, offset);
	send(sock, offset, sizeof(offset), MSG_NOSIGNAL);
}

/* ---- here */

static bool has_dwarf(const struct elf_file *elf)
{
	return elf->fd >= 0 &&
	       (elf_file__section(elf, ".debug_info") || elf_file__section(elf, ".zdebug_info"));
}

int go_dwarf__read(const struct elf_file *elf, struct go_layout *layout)
{
	uint16_t offset[FIELDS_MAX];
	struct worker worker;
	ssize_t n = -1;
	int found = 0;

	_Static_assert(FIELDS_MAX * sizeof(uint16_t) <= 4096, "one packet");
	if (go_field_cnt > FIELDS_MAX || !has_dwarf(elf) ||
	    worker__start(serve, elf->fd, NULL, &worker))
		return 0;
	if (worker__wait(&worker, ANSWER_TIMEOUT_MS))
		n = recv(worker.sock, offset, sizeof(offset), 0);
	worker__stop(&worker);
	for (size_t i = 0; n == (ssize_t)sizeof(offset) && i < go_field_cnt; i++)
		found += go_layout__set(layout, &go_fields[i], offset[i]);
	return found;
}
