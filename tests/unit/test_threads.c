// SPDX-License-Identifier: GPL-2.0-only
/* Memory and call stacks of threads from outside: those of children of this process. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/collect/proc.h"
#include "user/collect/walker.h"

#define PAGE 4096

/* Three pages with holes before and behind; the child has them at the same place. */
static uint8_t *page;
static pid_t child;
static struct target_memory memory;

__attribute__((noinline)) static void wait_here(void)
{
	for (;;) {
		syscall(SYS_pause);
		__asm__ volatile("" ::: "memory"); /* a call, not a jump */
	}
}

__attribute__((noinline)) static void live(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	wait_here();
	__asm__ volatile("" ::: "memory");
}

static int start(void **state)
{
	page = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	munmap(page, PAGE);
	munmap(page + 4 * PAGE, PAGE);
	page += PAGE;
	for (int i = 0; i < 3 * PAGE; i++)
		page[i] = i * 7 + i / 251;
	child = fork();
	if (!child)
		live();
	return child < 0;
}

static int end(void **state)
{
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) != child;
}

static void check_read(uint64_t off, size_t sz)
{
	uint8_t buf[PAGE];

	assert_int_equal(target_memory__read(&memory, (uintptr_t)page + off, buf, sz), 0);
	assert_memory_equal(buf, page + off, sz);
}

static void check_no_read(uint64_t addr, size_t sz)
{
	uint8_t buf[PAGE + 1];

	memset(buf, 0xa5, sizeof(buf));
	assert_true(target_memory__read(&memory, addr, buf, sz) < 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0xa5); /* untouched */
}

/* Any part of it, in any order: what is kept from the last read must not matter. */
static void test_memory(void **state)
{
	target_memory__set(&memory, child);
	for (uint64_t off = 0; off < 3 * PAGE; off += 37)
		check_read(off, off + 64 <= 3 * PAGE ? 64 : 3 * PAGE - off);
	for (uint64_t off = 2 * PAGE; off > 500; off -= 501)
		check_read(off, PAGE);
	check_read(3 * PAGE - 1, 1);
	check_read(2 * PAGE, PAGE);
	check_read(0, 0);
}

static void test_edges(void **state)
{
	uintptr_t at = (uintptr_t)page;

	target_memory__set(&memory, child);
	check_no_read(at + 3 * PAGE - 7, 8);
	check_read(3 * PAGE - 8, 8);
	check_no_read(at + 3 * PAGE, 1);
	check_no_read(at - 1, 2);
	check_read(0, 1);
	check_no_read(at - 4, 8);
	check_no_read(at, PAGE + 1); /* more than anybody may ask for */
	check_read(5, 8);
}

static void test_wild_addresses(void **state)
{
	static const uint64_t at[] = { 0,	   1,	       PAGE - 1,  (1ULL << 47) - 1,
				       1ULL << 47, 1ULL << 63, ~0ULL - 7, ~0ULL };

	for (int keep = 0; keep < 2; keep++)
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			target_memory__set(&memory, child);
			if (keep)
				check_read(0, 8);
			check_no_read(at[i], 8);
			check_no_read(at[i], 1);
			check_no_read(at[i], PAGE);
			check_read(16, 8);
		}
}

static void test_gone(void **state)
{
	uint8_t buf[8];
	pid_t pid = fork();

	if (!pid)
		live();
	target_memory__set(&memory, pid);
	check_read(0, 8);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	target_memory__set(&memory, pid);
	assert_int_equal(target_memory__read(&memory, (uintptr_t)page, buf, 8), -ESRCH);
	/* What is kept is that of the process before, and is no other's. */
	target_memory__set(&memory, child);
	check_read(0, 8);
}

/* ---- stacks */

/* proc(5), /proc/PID/syscall: number, six arguments, stack pointer, program counter of a thread that sleeps. */
static void read_regs(pid_t pid, struct hu_thread_record *ret)
{
	unsigned long long sp = 0, pc = 0;
	char path[64], line[256] = "";
	long nr = -1;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	for (int i = 0; i < 10000 && nr != SYS_pause; i++) {
		FILE *file = fopen(path, "re");

		assert_non_null(file);
		if (!fgets(line, sizeof(line), file) ||
		    sscanf(line, "%ld %*s %*s %*s %*s %*s %*s %llx %llx", &nr, &sp, &pc) != 3) {
			nr = -1;
			usleep(1000);
		}
		fclose(file);
	}
	if (nr != SYS_pause)
		fail_msg("the child does not sleep: %s", line);
	*ret = (struct hu_thread_record){ .tgid = pid, .tid = pid, .ip = pc, .sp = sp };
}

struct names {
	struct symbolizer *symbolizer;
	struct walker *walker;
	struct sym_process *process;
};

static struct names names_of(pid_t pid)
{
	struct names n;

	assert_int_equal(symbolizer__new(&n.symbolizer), 0);
	assert_int_equal(walker__new(n.symbolizer, &n.walker), 0);
	assert_int_equal(symbolizer__add_process(n.symbolizer, pid, &n.process), 0);
	return n;
}

static void names__free(struct names *n)
{
	walker__free(n->walker);
	symbolizer__free(n->symbolizer);
}

/* Where a function is in a stack; -1: not in it. */
static int find(const struct names *n, const struct hu_stack *s, const char *function)
{
	struct sym_frame f;

	for (int i = 0; i < s->frames; i++) {
		symbolizer__frames(n->symbolizer, n->process, s->pcs[i], i == 0, false, &f, 1);
		if (!strcmp(f.function, function))
			return i;
	}
	return -1;
}

static void test_walk(void **state)
{
	struct names n = names_of(child);
	struct hu_thread_record rec;
	struct hu_stack stack, again;

	read_regs(child, &rec);
	target_memory__set(&memory, child);
	walker__walk(n.walker, n.process, &rec, &memory, &stack);
	assert_int_equal(stack.tgid, child);
	assert_int_equal(find(&n, &stack, "syscall"), 0);
	assert_int_equal(find(&n, &stack, "wait_here"), 1);
	assert_in_range(find(&n, &stack, "main"), 3, HU_MAX_FRAMES);
	assert_true(stack.flags & HU_STACK_COMPLETE);
	assert_int_equal(stack.exact, stack.frames);
	/* By tables that are known by then. */
	walker__walk(n.walker, n.process, &rec, &memory, &again);
	assert_int_equal(again.frames, stack.frames);
	assert_memory_equal(again.pcs, stack.pcs, stack.frames * sizeof(stack.pcs[0]));
	names__free(&n);
	walker__free(NULL);
}

/* Registers that lie: an end within bounds, and no claim to be complete. */
static void test_lies(void **state)
{
	static const uint64_t values[] = { 0, 1, 8, 1ULL << 47, 1ULL << 63, ~0ULL, ~0ULL - 7 };
	size_t cnt = sizeof(values) / sizeof(values[0]);
	struct names n = names_of(child);
	struct hu_thread_record rec, lie;
	struct hu_stack stack;

	read_regs(child, &rec);
	for (size_t i = 0; i < cnt; i++)
		for (int which = 0; which < 3; which++) {
			lie = rec;
			*(which == 0 ? &lie.ip : which == 1 ? &lie.sp : &lie.fp) = values[i];
			if (which == 2)
				lie.sp = (uintptr_t)page;
			target_memory__set(&memory, child);
			walker__walk(n.walker, n.process, &lie, &memory, &stack);
			assert_in_range(stack.frames, 1, HU_MAX_FRAMES);
			assert_int_equal(stack.pcs[0], lie.ip);
			assert_false(stack.flags & HU_STACK_COMPLETE);
		}
	names__free(&n);
}

/* ---- small questions about processes */

static void test_lives(void **state)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(proc__lives(0, child));
	assert_true(proc__lives(child, child));
	assert_false(proc__lives(child, getpid()));
	assert_false(proc__lives(0, 0));
	assert_false(proc__lives(0, pid)); /* a zombie */
	assert_int_equal(proc__of_thread(pid), pid);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(proc__lives(0, pid));
	assert_int_equal(proc__of_thread(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),	       cmocka_unit_test(test_edges),
		cmocka_unit_test(test_wild_addresses), cmocka_unit_test(test_gone),
		cmocka_unit_test(test_walk),	       cmocka_unit_test(test_lies),
		cmocka_unit_test(test_lives),
	};

	return cmocka_run_group_tests(tests, start, end);
}
