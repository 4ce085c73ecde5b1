// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/hold.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/collect/hold_internal.h"
#include "user/collect/session_internal.h"
#include "user/sym/maps.h"
#include "user/util/clock.h"

#define HOLD_PROBES	5 /* programs on probes */
#define SCRATCHES_A_CPU 4 /* HOLD_SCRATCHES of bpf/hold.h */

void session__hold_choose(struct session *s, const struct features *f, bool wanted)
{
	struct holdup_bpf *skel = s->skel;
	/* First those on probes. */
	struct bpf_program *const progs[] = {
		session__program(s, "hu_hold_lock"),
		session__program(s, "hu_hold_unlock"),
		session__program(s, "hu_hold_return"),
		session__program(s, "hu_hold_cond"),
		skel->progs.hu_hold_empty,
		skel->progs.hu_hold_switch,
		skel->progs.hu_hold_exit,
		skel->progs.hu_hold_now,
		skel->progs.hu_hold_processes,
	};
	struct bpf_map *const maps[] = {
		skel->maps.hu_hold_threads, skel->maps.hu_hold_memos, skel->maps.hu_hold_scratch,
		skel->maps.hu_holds,	    skel->maps.hu_edges,      skel->maps.hu_hold_counts,
	};

	for (size_t i = 0; i < sizeof(progs) / sizeof(progs[0]); i++)
		bpf_program__set_autoload(progs[i], wanted);
	s->hold.multi = wanted && f->uprobe_multi;
	for (size_t i = 0; s->hold.multi && i < HOLD_PROBES; i++)
		bpf_program__set_expected_attach_type(progs[i], BPF_TRACE_UPROBE_MULTI);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		bpf_map__set_autocreate(maps[i], wanted);
	if (wanted)
		bpf_map__set_max_entries(skel->maps.hu_hold_scratch, SCRATCHES_A_CPU * s->ncpus);
}

/* ---- what a probe costs */

/* Two functions whose first instructions are those that the kernel emulates, and steps. */
__asm__(".text\n"
	".type hold_target_emulated,%function\n"
	"hold_target_emulated:\n"
#if defined(__x86_64__)
	"	push %rax\n"
	"	pop %rax\n"
#else
	"	nop\n"
#endif
	"	ret\n"
	".size hold_target_emulated, .-hold_target_emulated\n"
	".type hold_target_stepped,%function\n"
	"hold_target_stepped:\n"
#if defined(__x86_64__)
	"	mov %rax,%rax\n"
#else
	"	mov x0,x0\n"
#endif
	"	ret\n"
	".size hold_target_stepped, .-hold_target_stepped\n");

void hold_target_emulated(void);
void hold_target_stepped(void);

#define BATCHES	   5
#define BATCH_HITS 200

/* One call, in ns: of several batches the quickest, which was interrupted least. */
static uint64_t time_calls(void (*fn)(void))
{
	uint64_t best = UINT64_MAX, ns;

	for (int b = 0; b < BATCHES; b++) {
		ns = clock__now_ns();
		for (int i = 0; i < BATCH_HITS; i++)
			fn();
		ns = clock__now_ns() - ns;
		if (ns < best)
			best = ns;
	}
	return best / BATCH_HITS;
}

static int offset_of(void (*fn)(void), uint64_t *ret)
{
	const struct mapping *m;
	struct maps *maps;
	int err = maps__read(getpid(), &maps);

	if (err)
		return err;
	m = maps__find(maps, (uintptr_t)fn);
	if (m)
		*ret = (uintptr_t)fn - m->start + m->off;
	maps__free(maps);
	return m ? 0 : -ENOENT;
}

static int price_of(struct session *s, int fd, void (*fn)(void), bool at_return, uint64_t *ret)
{
	struct hold_probes probes = { .prog = s->skel->progs.hu_hold_empty,
				      .pid = getpid(),
				      .fd = fd,
				      .at_return = at_return,
				      .cnt = 1 };
	uint64_t bare, probed;
	int link, err = offset_of(fn, &probes.off[0]);

	if (err)
		return err;
	bare = time_calls(fn);
	link = s->hold.multi ? hold__probe_many(&probes) : hold__probe_one(&probes, 0);
	if (link < 0)
		return link;
	probed = time_calls(fn);
	close(link);
	*ret = probed > bare ? probed - bare : 0;
	return 0;
}

int session__hold_price(struct session *s, struct hold_price *ret)
{
	uint64_t both = 0;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = price_of(s, fd, hold_target_emulated, false, &ret->emulated_ns);
	if (!err)
		err = price_of(s, fd, hold_target_stepped, false, &ret->stepped_ns);
	if (!err)
		err = price_of(s, fd, hold_target_emulated, true, &both);
	/* A breakpoint at the entry is a part of it, and is there already. */
	ret->return_ns = both > ret->emulated_ns ? both - ret->emulated_ns : 0;
	close(fd);
	return err;
}

/* ---- reading */

int session__holds(struct session *s, hold_fn fn, void *ctx)
{
	int fd = bpf_map__fd(s->skel->maps.hu_holds), err = 0;
	struct hu_hold *hold = malloc(sizeof(*hold));
	struct hu_hold_key key;

	if (!hold)
		return -ENOMEM;
	while (!err && !bpf_map_get_next_key(fd, NULL, &key)) {
		err = bpf_map_lookup_elem(fd, &key, hold);
		if (!err)
			err = bpf_map_delete_elem(fd, &key);
		if (!err)
			err = fn(ctx, &key, hold);
	}
	free(hold);
	return err;
}

int session__edges(struct session *s, edge_fn fn, void *ctx)
{
	int fd = bpf_map__fd(s->skel->maps.hu_edges), err = 0;
	struct hu_edge_key key, *last = NULL;
	struct hu_edge edge;

	while (!err && !bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		if (!bpf_map_lookup_elem(fd, &key, &edge))
			err = fn(ctx, &key, &edge);
	}
	return err;
}

int session__hold_processes(struct session *s, source_record_fn fn, void *ctx)
{
	return session__iterate(s->skel->progs.hu_hold_processes, sizeof(struct hu_proc_record), fn,
				ctx);
}

struct held_reading {
	held_fn fn;
	void *ctx;
};

static int on_held(void *ctx, const void *data, size_t sz)
{
	const struct held_reading *r = ctx;
	struct hu_held_record rec;

	if (sz != sizeof(rec))
		return -EIO;
	memcpy(&rec, data, sizeof(rec));
	rec.comm[HU_COMM_LEN - 1] = '\0';
	return r->fn(r->ctx, &rec);
}

int session__held(struct session *s, held_fn fn, void *ctx)
{
	struct held_reading reading = { fn, ctx };

	return session__iterate(s->skel->progs.hu_hold_now, sizeof(struct hu_held_record), on_held,
				&reading);
}

int session__hold_counts(struct session *s, uint64_t ret[HU_HOLD_COUNTS])
{
	size_t per_cpu = HU_HOLD_COUNTS * sizeof(uint64_t);
	uint64_t *values = calloc(s->ncpus, per_cpu);
	uint32_t zero = 0;
	int err;

	if (!values)
		return -ENOMEM;
	err = bpf_map__lookup_elem(s->skel->maps.hu_hold_counts, &zero, sizeof(zero), values,
				   s->ncpus * per_cpu, 0);
	memset(ret, 0, per_cpu);
	for (size_t i = 0; !err && i < (size_t)s->ncpus * HU_HOLD_COUNTS; i++)
		ret[i % HU_HOLD_COUNTS] += values[i];
	free(values);
	return err;
}
