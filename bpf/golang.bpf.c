// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every wait of a Go program for a semaphore, and who ended it (`locks --go-probes`): probes on runtime.semacquire1,
 * where it runs on after a sleep, and runtime.semrelease1. Nothing is sent for each: waits are added up here, by lock
 * and by call stack. One program, so that all probes are one link; its cookie says at which place it is.
 *
 * The state of a wait is the goroutine's, by the address of its g: goroutines move between threads. uprobe programs can
 * be preempted by others of them where that can't be put off (bpf/calm.h), so no memory of a CPU is used. Needs
 * bpf_get_attach_cookie() and bpf_task_pt_regs() (5.15).
 */
#define HU_CALM_KSYM
#include "bpf/calm.h"
#include "bpf/arch.h"
#include "bpf/abi_golang.h"
#include "bpf/golang_wait.h"
#include "bpf/hist.h"

/* The loader checks the same (user/collect/go_probes.c). */
#define CHECK_SIZE(name, sz) _Static_assert(sizeof(struct name) == (sz), #name);
HU_GO_SIZES(CHECK_SIZE)

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* src/cmd/compile/abi-internal.md: arguments in AX, BX; g in R14, or on arm64 in R0, R1; R28. */
#if defined(__TARGET_ARCH_x86)
#define go__arg0(r)    REG(r, ax)
#define go__arg1(r)    REG(r, bx)
#define go__g(r)       REG(r, r14)
#define BRANCH_TAKEN   0x41 /* of jbe: X86_EFLAGS_CF or X86_EFLAGS_ZF */
#define go__repeats(r) (REG(r, flags) & BRANCH_TAKEN)
#else
#define go__arg0(r)    REG(r, regs[0])
#define go__arg1(r)    REG(r, regs[1])
#define go__g(r)       REG(r, regs[28])
#define go__repeats(r) 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct hu_go_waiter_key);
	__type(value, struct hu_go_pending);
} hu_go_pending SEC(".maps");

#define WAITS_MAX 8192

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAITS_MAX);
	__type(key, struct hu_go_key);
	__type(value, struct hu_go_wait);
} hu_go_waits SEC(".maps");

/* Entries that were made in there: none is ever taken out. */
static __u32 waits_made;

/* Without their locks: as many as there are places that wait. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct hu_go_key);
	__type(value, struct hu_go_wait);
} hu_go_rest SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct hu_go_release_key);
	__type(value, struct hu_go_release);
} hu_go_releases SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct hu_go_release_key);
	__type(value, struct hu_go_release);
} hu_go_releases_rest SEC(".maps");

struct sema_key {
	__u64 sema;
	__u32 tgid;
	__u32 pad;
};

/* Who has released a semaphore last, and how often that was done. */
struct released {
	__u64 ns, goid, stack, cnt;
};

/* Only the latest matter: a waiter runs on at once. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct sema_key);
	__type(value, struct released);
} hu_go_released SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct hu_go_stack);
} hu_go_stacks SEC(".maps");

struct go_counts {
	__u64 cnt[HU_GO_COUNTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct go_counts);
} hu_go_counts SEC(".maps");

static const struct hu_go_wait wait_zero;
static const struct hu_go_release release_zero;
static const struct hu_go_pending pending_zero;
static const struct hu_go_stack stack_zero;

/* Atomic, since a thread can be preempted here. */
static __always_inline __u64 count(enum hu_go_count what, __u64 n)
{
	__u32 zero = 0;
	struct go_counts *c = bpf_map_lookup_elem(&hu_go_counts, &zero);

	return c && what < HU_GO_COUNTS ? __sync_fetch_and_add(&c->cnt[what], n) : 0;
}

/* One hit. */
struct hit {
	__u64 now_ns, proc_start, cookie, g;
	__u32 tgid;
	__u32 place;
};

static __always_inline __u64 goid_of(const struct hit *h)
{
	__u64 goid = 0;

	if (bpf_probe_read_user(&goid, sizeof(goid), (void *)(h->g + HU_GO_GOID_OFF(h->cookie))))
		count(HU_GO_NO_GOID, 1);
	return goid;
}

/* ---- stacks: walked once for the hash, and once more if it is a new one */

struct frame {
	__u64 fp, pc; /* the frame pointer that it saved, and the return address above it */
};

/* The frame of whose fp this is; false: there is none. Frames lie one above the other. */
static __always_inline bool next_frame(struct frame *f, bool *broken)
{
	__u64 fp = f->fp;

	if (!fp)
		return false; /* where the goroutine began (src/runtime/asm_amd64.s: gogo) */
	if ((fp & 7) || bpf_probe_read_user(f, sizeof(*f), (void *)fp) || (f->fp && f->fp <= fp)) {
		*broken = true;
		return false;
	}
	return f->pc != 0;
}

/* Of the same memory as the hash: what is between the two is the same thread. */
static __always_inline void fill_stack(struct hu_go_stack *s, __u64 ip, struct frame f, __u32 tgid)
{
	bool broken = false;
	__u32 n = 1;

	s->tgid = tgid;
	s->pcs[0] = ip;
	while (n < HU_GO_FRAMES_MAX) {
		s->pcs[n++] = f.pc;
		if (!next_frame(&f, &broken))
			break;
	}
	s->broken = broken;
	s->truncated = n == HU_GO_FRAMES_MAX && !broken && f.fp;
	barrier();
	s->frames = n;
}

static __always_inline __u64 keep_stack(__u64 id, __u64 ip, const struct frame *f, __u32 tgid)
{
	struct hu_go_stack *s = bpf_map_lookup_elem(&hu_go_stacks, &id);

	if (s)
		return id;
	/* Who comes second finds it being filled. */
	if (bpf_map_update_elem(&hu_go_stacks, &id, &stack_zero, BPF_NOEXIST)) {
		if (bpf_map_lookup_elem(&hu_go_stacks, &id))
			return id;
		count(HU_GO_STACKS_FULL, 1);
		return 0;
	}
	s = bpf_map_lookup_elem(&hu_go_stacks, &id);
	if (s)
		fill_stack(s, ip, *f, tgid);
	return id;
}

/* At the beginning of a function: the return address is on top of the stack, fp still the caller's. */
static __always_inline __u64 take_stack(const arch_regs *r, __u32 tgid)
{
	struct frame first = { .fp = arch__fp(r) }, f;
	__u64 hash = go_stack__mix(tgid, arch__ip(r));
	bool broken = false;

	if (bpf_probe_read_user(&first.pc, sizeof(first.pc), (void *)arch__sp(r))) {
		count(HU_GO_NO_STACK, 1);
		return 0;
	}
	f = first;
	for (int n = 1; n < HU_GO_FRAMES_MAX; n++) {
		hash = go_stack__mix(hash, f.pc);
		if (!next_frame(&f, &broken))
			break;
		if (n == HU_GO_FRAMES_MAX - 1)
			count(HU_GO_DEEP_STACKS, 1);
	}
	if (broken)
		count(HU_GO_BROKEN_STACKS, 1);
	return keep_stack(hash ? hash : 1, arch__ip(r), &first, tgid);
}

/* ---- semacquire1 begins */

static __always_inline struct hu_go_pending *pending_of(const struct hit *h, bool create)
{
	struct hu_go_waiter_key key = { .g = h->g, .tgid = h->tgid };
	struct hu_go_pending *p = bpf_map_lookup_elem(&hu_go_pending, &key);

	if (p || !create)
		return p;
	bpf_map_update_elem(&hu_go_pending, &key, &pending_zero, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&hu_go_pending, &key);
	if (!p)
		count(HU_GO_PENDING_FULL, 1);
	return p;
}

static __always_inline void on_acquire(const struct hit *h, const arch_regs *r)
{
	struct hu_go_pending *p = pending_of(h, true);
	__u64 sema = go__arg0(r);
	bool lifo = go__arg1(r) & 0xff;

	if (p && go_wait__ask(p, h->proc_start, sema, lifo, h->now_ns))
		p->site = take_stack(r, h->tgid);
}

/* ---- … and has slept */

static __always_inline struct hu_go_wait *find_wait(void *map, const struct hu_go_key *key,
						    __u32 *made)
{
	struct hu_go_wait *w = bpf_map_lookup_elem(map, key);

	if (w)
		return w;
	if (!bpf_map_update_elem(map, key, &wait_zero, BPF_NOEXIST) && made)
		__sync_fetch_and_add(made, 1);
	return bpf_map_lookup_elem(map, key);
}

/*
 * A program may make a WaitGroup for each request: a lock that is waited for once. So when half of the room is taken,
 * the rest is for semaphores that were released before. *ret_rest: it is the sum of those that have no own.
 */
static __always_inline struct hu_go_wait *wait_of(const struct hit *h,
						  const struct hu_go_pending *p,
						  const struct released *last, bool *ret_rest)
{
	struct hu_go_key key = {
		.proc_start = h->proc_start,
		.sema = p->sema,
		.site = p->site,
		.tgid = h->tgid,
	};
	struct hu_go_wait *w;

	if (waits_made < WAITS_MAX / 2 || (last && last->cnt > 1))
		w = find_wait(&hu_go_waits, &key, &waits_made);
	else
		w = bpf_map_lookup_elem(&hu_go_waits, &key);
	*ret_rest = !w;
	if (w)
		return w;
	key.sema = 0;
	w = find_wait(&hu_go_rest, &key, NULL);
	count(w ? HU_GO_WAITS_REST : HU_GO_WAITS_FULL, 1);
	return w;
}

static __always_inline struct hu_go_release *find_release(void *map,
							  const struct hu_go_release_key *key)
{
	struct hu_go_release *rel = bpf_map_lookup_elem(map, key);

	if (rel)
		return rel;
	bpf_map_update_elem(map, key, &release_zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

static __always_inline void note_longest(struct hu_go_wait *w, const struct hit *h, __u64 ns)
{
	if (ns <= w->max_ns)
		return;
	if (__sync_lock_test_and_set(&w->busy, 1)) {
		count(HU_GO_MAX_BUSY, 1);
		return;
	}
	if (ns > w->max_ns) {
		w->max_ns = ns;
		w->max_goid = goid_of(h);
	}
	__sync_lock_test_and_set(&w->busy, 0);
}

static __always_inline void add_wait(struct hu_go_wait *w, const struct hit *h,
				     const struct go_sleep *s)
{
	__u32 was = hold__bucket(s->was_ns), is = hold__bucket(s->is_ns);

	__sync_fetch_and_add(&w->sleeps, 1);
	__sync_fetch_and_add(&w->ns, s->ns);
	if (s->first) {
		__sync_fetch_and_add(&w->waits, 1);
		if (s->before)
			__sync_fetch_and_add(&w->before, 1);
	}
	if (s->first || was != is)
		__sync_fetch_and_add(&w->hist[is & (HU_HOLD_BUCKETS - 1)], 1);
	if (!s->first && was != is)
		__sync_fetch_and_add(&w->hist[was & (HU_HOLD_BUCKETS - 1)], -1);
	note_longest(w, h, s->is_ns);
}

static __always_inline struct hu_go_release *release_of(struct hu_go_release_key *key)
{
	struct hu_go_release *rel = NULL;

	if (key->sema)
		rel = find_release(&hu_go_releases, key);
	if (rel)
		return rel;
	key->sema = 0;
	rel = find_release(&hu_go_releases_rest, key);
	count(rel ? HU_GO_RELEASES_REST : HU_GO_RELEASES_FULL, 1);
	return rel;
}

static __always_inline void add_release(const struct hit *h, struct hu_go_release_key *key,
					const struct released *last, const struct go_sleep *s)
{
	struct hu_go_release *rel;
	__u64 goid = 0;

	/* Whoever ended the sleep came after it began. */
	if (last && last->ns >= s->began_ns) {
		key->releaser = last->stack;
		goid = last->goid;
	}
	rel = release_of(key);
	if (!rel)
		return;
	if (s->first)
		__sync_fetch_and_add(&rel->waits, 1);
	__sync_fetch_and_add(&rel->sleeps, 1);
	__sync_fetch_and_add(&rel->ns, s->ns);
	rel->goid = goid;
}

static __always_inline void on_resume(const struct hit *h)
{
	struct hu_go_pending *p = pending_of(h, false);
	struct hu_go_release_key key = { .proc_start = h->proc_start, .tgid = h->tgid };
	struct sema_key sema = { .tgid = h->tgid };
	struct go_sleep s = {};
	struct released *last;
	struct hu_go_wait *w;
	bool rest;

	if (!p || !go_wait__resume(p, h->now_ns, &s)) {
		count(HU_GO_UNKNOWN_SLEEPS, 1);
		return;
	}
	sema.sema = p->sema;
	last = bpf_map_lookup_elem(&hu_go_released, &sema);
	w = wait_of(h, p, last, &rest);
	if (!w)
		return;
	add_wait(w, h, &s);
	key.sema = rest ? 0 : p->sema;
	key.site = p->site;
	add_release(h, &key, last, &s);
}

/* ---- semrelease1 begins */

static __always_inline void on_release(const struct hit *h, const arch_regs *r)
{
	struct sema_key key = { .sema = go__arg0(r), .tgid = h->tgid };
	struct released *last = bpf_map_lookup_elem(&hu_go_released, &key);
	struct released rel = {
		.ns = h->now_ns,
		.goid = goid_of(h),
		.stack = take_stack(r, h->tgid),
		.cnt = last ? last->cnt + 1 : 1,
	};

	/* As a whole: others may release it at the same time. */
	if (bpf_map_update_elem(&hu_go_released, &key, &rel, BPF_ANY))
		count(HU_GO_RELEASED_FULL, 1);
}

/* ---- */

/* Counts the hit, and measures one in many; not the first ones, whose stacks are new. */
static __always_inline void count_hit(const struct hit *h)
{
	__u32 place = h->place & 3;

	if (h->cookie & HU_GO_STEPPED)
		count(HU_GO_STEPPED_HITS + place, 1);
	if (count(HU_GO_HITS + place, 1) % HU_GO_SAMPLE != HU_GO_SAMPLE / 2)
		return;
	count(HU_GO_RUN_NS + place, bpf_ktime_get_ns() - h->now_ns);
	count(HU_GO_SAMPLES + place, 1);
}

UPROBE_PROGRAM("?uprobe", hu_go_probe, void *, ctx)
{
	struct task_struct *t = bpf_get_current_task_btf();
	const arch_regs *r = (const arch_regs *)bpf_task_pt_regs(t);
	struct hit h = {
		.now_ns = bpf_ktime_get_ns(),
		.cookie = bpf_get_attach_cookie(ctx),
		.g = go__g(r),
		.tgid = t->tgid,
		.proc_start = t->group_leader->start_boottime,
	};

	if ((h.cookie & HU_GO_AT_CHECK) && go__repeats(r)) {
		count(HU_GO_REPEATS, 1);
		return 0;
	}
	h.place = HU_GO_PLACE(h.cookie);
	if (h.place == HU_GO_ACQUIRE)
		on_acquire(&h, r);
	else if (h.place == HU_GO_RESUME)
		on_resume(&h);
	else if (h.place == HU_GO_RELEASE)
		on_release(&h, r);
	count_hit(&h);
	return 0;
}
