// SPDX-License-Identifier: GPL-2.0-only
/*
 * look PID: reads a Go program's goroutines, once for each line of standard input, and prints each time a line of
 * JSON: the goroutines that were accepted, with their stacks, and how many were not. For the line `again` those that
 * have not run since the last time are taken over from there. For the line `waiters`: where the table of semaphores is
 * by its symbol and by proof (0: not found), who waits by it, and those goroutines.
 *
 * The readers alone, without the rest of holdup: thousands of looks in the time of a few runs of the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/golang/go_semtable.h"

#define INLINED_MAX 32

static json_t *frame_json(const struct go_frame *f)
{
	return json_pack("{s:s, s:s, s:i}", "function", f->function, "file", f->file, "line",
			 f->line);
}

static void add_frames(const struct go_process *p, uint64_t pc, bool leaf, json_t *to)
{
	struct go_frame frame[INLINED_MAX];
	size_t cnt = go_process__frames(p, pc, leaf, frame, INLINED_MAX);

	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(to, frame_json(&frame[i]));
}

static json_t *goroutine_json(const struct go_process *p, const struct go_goroutine *g)
{
	json_t *stack = json_array(), *created = json_array();

	for (size_t i = 0; g->stack && i < g->stack->frames; i++)
		add_frames(p, g->stack->pcs[i], false, stack);
	if (g->gopc)
		add_frames(p, g->gopc, false, created);
	return json_pack("{s:I, s:s, s:s, s:b, s:o, s:o}", "goroutine", (json_int_t)g->goid,
			 "state", go_status__name(g->status), "reason",
			 g->status == GO_WAITING ? go_process__reason(p, g->reason) : "",
			 "complete", g->stack && g->stack->complete, "stack", stack, "created_by",
			 created);
}

static void print(json_t *document)
{
	json_dumpf(document, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(document);
}

static json_t *goroutines_json(const struct go_process *p, const struct go_snapshot *s)
{
	json_t *all = json_array();

	for (size_t i = 0; i < s->cnt; i++)
		json_array_append_new(all, goroutine_json(p, &s->goroutine[i]));
	return all;
}

static int look(struct go_process *p, bool again, struct go_snapshot **last)
{
	struct go_snapshot *s;
	int err = again && *last ? go_snapshot__again(p, *last, &s) : go_snapshot__take(p, &s);

	if (err)
		return err;
	go_snapshot__free(*last);
	*last = s;
	print(json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "listed", (json_int_t)s->listed,
			"retried", (json_int_t)s->retried, "rejected", (json_int_t)s->rejected,
			"broken", (json_int_t)s->broken, "took_ns",
			(json_int_t)(s->taken_ns - s->began_ns), "goroutines",
			goroutines_json(p, s)));
	return 0;
}

/* ---- the table of semaphores */

/* As if the program had, or had not, a symbol table. */
static struct go_semtable find(struct go_process *p, struct go_binary *b, uint64_t symbol,
			       const struct go_snapshot *s)
{
	struct go_semtable t = { 0 };
	uint64_t its_own = b->semtable;

	b->semtable = symbol;
	if (go_semtable__find(p, s, &t))
		t = (struct go_semtable){ 0 };
	b->semtable = its_own;
	return t;
}

static json_t *waiter_json(const struct go_process *p, const struct go_sema_waiter *w)
{
	uint64_t goid = 0;

	go_memory__u64(&p->memory, w->g + p->binary->layout.g_goid, &goid);
	return json_pack("{s:I, s:I}", "goroutine", (json_int_t)goid, "sema", (json_int_t)w->sema);
}

/* *w: to be freed by the caller. */
static int read_waiters(struct go_process *p, struct go_semtable *t, struct go_sema_waiter **w,
			size_t *cnt, struct go_snapshot **ret)
{
	int err = t->addr ? go_semtable__read(p, t, w, cnt) : 0;
	uint64_t *addr = calloc(*cnt + 1, sizeof(*addr));

	if (!addr)
		err = -ENOMEM;
	for (size_t i = 0; i < *cnt && !err; i++)
		addr[i] = (*w)[i].g;
	if (!err)
		err = go_snapshot__take_some(p, addr, *cnt, ret);
	free(addr);
	return err;
}

static int waiters(struct go_process *p, struct go_binary *b)
{
	struct go_semtable symbol = { 0 }, proof, *t;
	struct go_sema_waiter *w = NULL;
	json_t *all = json_array();
	struct go_snapshot *s;
	size_t cnt = 0;
	int err = go_snapshot__take(p, &s);

	if (err)
		return err;
	proof = find(p, b, 0, s);
	if (b->semtable)
		symbol = find(p, b, b->semtable, s);
	go_snapshot__free(s);
	t = symbol.addr ? &symbol : &proof;
	err = read_waiters(p, t, &w, &cnt, &s);
	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(all, waiter_json(p, &w[i]));
	print(json_pack("{s:I, s:I, s:I, s:o, s:o}", "symbol", (json_int_t)symbol.addr, "proof",
			(json_int_t)proof.addr, "missed", (json_int_t)t->missed, "waiters", all,
			"goroutines", goroutines_json(p, s)));
	go_snapshot__free(s);
	free(w);
	return 0;
}

/* ---- */

static int open_process(pid_t pid, struct go_process *p, struct go_binary **binary)
{
	static pid_t tgid;
	struct go_memory memory;
	const char *why = "";
	uint64_t bias = 0;
	char path[64];
	int fd, err;

	tgid = pid;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -ENOENT : go_binary__open(fd, binary);
	if (!err)
		err = go_process__bias(*binary, pid, &bias);
	memory = go_memory__of(&tgid);
	if (!err)
		err = go_process__open(*binary, &memory, bias, p, &why);
	if (err)
		fprintf(stderr, "look: %s: %s\n", strerror(-err), why);
	return err;
}

int main(int argc, char **argv)
{
	struct go_process process = { 0 };
	struct go_snapshot *last = NULL;
	struct go_binary *binary = NULL;
	char line[64];
	int err = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: look PID\n");
		return 2;
	}
	if (open_process(atoi(argv[1]), &process, &binary))
		return 1;
	while (!err && fgets(line, sizeof(line), stdin))
		err = strcmp(line, "waiters\n") ? look(&process, !strcmp(line, "again\n"), &last)
						: waiters(&process, binary);
	if (err)
		fprintf(stderr, "look: %s\n", strerror(-err));
	go_snapshot__free(last);
	go_process__close(&process);
	go_binary__free(binary);
	return err ? 1 : 0;
}
