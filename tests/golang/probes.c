// SPDX-License-Identifier: GPL-2.0-only
/*
 * probes PID: probes a Go program's semaphores (as root), prints a line of JSON, and another one for each line of
 * standard input: what was added up since. The probes alone, without the rest of holdup. Privileges are given up
 * before the first of those.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/collect/go_probes.h"
#include "user/util/privileges.h"

#define INLINED_MAX 32

struct reading {
	struct go_probes *probes;
	const struct go_process *process;
	json_t *to;
};

static json_t *stack_json(const struct reading *r, uint64_t id)
{
	struct go_frame frame[INLINED_MAX];
	struct hu_go_stack stack;
	json_t *to = json_array();

	if (go_probes__stack(r->probes, id, &stack))
		return to;
	go_probes__tidy(r->process, &stack);
	for (size_t i = 0; i < stack.frames; i++) {
		size_t cnt = go_process__frames(r->process, stack.pcs[i], !i, frame, INLINED_MAX);

		for (size_t n = 0; n < cnt; n++)
			json_array_append_new(to, json_string(frame[n].function));
	}
	return to;
}

static int add_wait(void *ctx, const struct hu_go_key *key, const struct hu_go_wait *wait)
{
	const struct reading *r = ctx;
	json_int_t placed = 0;

	for (size_t i = 0; i < HU_HOLD_BUCKETS; i++)
		placed += wait->hist[i];
	return json_array_append_new(
		r->to, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "sema",
				 (json_int_t)key->sema, "waits", (json_int_t)wait->waits, "sleeps",
				 (json_int_t)wait->sleeps, "ns", (json_int_t)wait->ns, "before",
				 (json_int_t)wait->before, "max_ns", (json_int_t)wait->max_ns,
				 "max_goid", (json_int_t)wait->max_goid, "placed", placed, "stack",
				 stack_json(r, key->site)));
}

static int add_release(void *ctx, const struct hu_go_release_key *key,
		       const struct hu_go_release *release)
{
	const struct reading *r = ctx;

	return json_array_append_new(
		r->to,
		json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "sema", (json_int_t)key->sema, "waits",
			  (json_int_t)release->waits, "ns", (json_int_t)release->ns, "goid",
			  (json_int_t)release->goid, "stack", stack_json(r, key->site), "releaser",
			  stack_json(r, key->releaser)));
}

static json_t *losses_json(struct go_probes *probes)
{
	uint64_t counts[HU_GO_COUNTS] = { 0 };
	json_t *to = json_array();

	go_probes__counts(probes, counts);
	for (size_t i = HU_GO_UNKNOWN_SLEEPS; i < HU_GO_BROKEN_STACKS; i++)
		json_array_append_new(to, json_integer((json_int_t)counts[i]));
	return to;
}

static int look(struct go_probes *probes, const struct go_process *process)
{
	struct reading waits = { probes, process, json_array() };
	struct reading releases = { probes, process, json_array() };
	json_t *document;
	int err = go_probes__waits(probes, add_wait, &waits);

	if (!err)
		err = go_probes__releases(probes, add_release, &releases);
	document = json_pack("{s:o, s:o, s:o}", "waits", waits.to, "releases", releases.to,
			     "losses", losses_json(probes));
	json_dumpf(document, stdout, JSON_COMPACT);
	puts("");
	fflush(stdout);
	json_decref(document);
	return err;
}

static int attach(pid_t pid, struct go_probes *probes, struct go_process *process, const char **why)
{
	static pid_t tgid;
	struct go_memory memory;
	struct go_binary *binary = NULL;
	uint64_t bias = 0;
	char path[64];
	int fd, err;

	tgid = pid;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -ENOENT : go_binary__open(fd, &binary);
	if (!err)
		err = go_process__bias(binary, pid, &bias);
	memory = go_memory__of(&tgid);
	if (!err)
		err = go_process__open(binary, &memory, bias, process, why);
	if (!err)
		err = go_probes__attach(probes, pid, fd, binary, process->text - bias, NULL, why);
	return err ? err : privileges__drop();
}

int main(int argc, char **argv)
{
	struct go_process process = { 0 };
	struct go_probes *probes;
	const char *why = "";
	size_t placed, stepped;
	char line[64];
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: probes PID\n");
		return 2;
	}
	err = go_probes__open(&probes, &why);
	if (!err)
		err = attach(atoi(argv[1]), probes, &process, &why);
	if (err) {
		fprintf(stderr, "probes: %s: %s\n", strerror(-err), why);
		return 1;
	}
	go_probes__placed(probes, &placed, &stepped);
	printf("{\"probes\": %zu, \"stepped\": %zu}\n", placed, stepped);
	fflush(stdout);
	while (!err && fgets(line, sizeof(line), stdin))
		err = look(probes, &process);
	go_probes__free(probes);
	return err ? 1 : 0;
}
