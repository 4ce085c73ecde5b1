// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who holds which lock for how long, and in which order locks are taken: probes on the functions that lock and
 * unlock, of chosen processes only (`locks --hold`). Nothing is sent for each operation: holds are added up here by
 * lock and by the call stack that took it.
 *
 * A mutex's words are not looked at: what its owner is, its thread knows. Needs bpf_loop() (5.17) and task storage.
 */
#define HU_UNWIND
#include "bpf/emit.h"
#include "bpf/hold.h"
#include "bpf/reason.h"
#include "bpf/stack.h"
#include "bpf/unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EOWNERDEAD	 130  /* asm-generic/errno.h; arm64 and x86-64 alike: the mutex was got */
#define X86_ZERO_FLAG	 0x40 /* X86_EFLAGS_ZF */
#define NESTED_STACK_MAX 256  /* bytes between functions of musl that go on in one another */
#define COND_SZ		 48   /* pthread_cond_t of glibc and musl */
#define MUTEX_CHECKING	 2    /* PTHREAD_MUTEX_ERRORCHECK */
#define MUTEX_RECURSIVE	 1    /* PTHREAD_MUTEX_RECURSIVE, of glibc and musl */
#define MUTEX_KIND_MASK	 3
#define GLIBC_KIND_OFF \
	16 /* __kind (sysdeps/nptl/bits/struct_mutex.h); musl's _m_type is the first word */

/* One operation on a lock. */
struct op {
	void *ctx;
	struct hold_thread *h;
	struct task_id id;
	__u64 now_ns;
	__u64 lock;
	__u64 site;
	__u32 cookie;
	__u32 mode;
	__u16 flags; /* enum slot_flag */
	bool stepped;
};

static const struct hold_thread hold_thread_zero;
static const struct hu_hold hold_zero;
static const struct hu_edge edge_zero;

/* ---- call stacks */

static __always_inline struct stack_scratch *scratch__take(void)
{
	__u32 first = bpf_get_smp_processor_id() * HOLD_SCRATCHES;

	for (__u32 i = 0; i < HOLD_SCRATCHES; i++) {
		__u32 n = first + i;
		struct stack_scratch *s = bpf_map_lookup_elem(&hu_hold_scratch, &n);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

static __always_inline void scratch__give(struct stack_scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}

/* One of a thread's memos for each place that it locks in, by what tells most of them apart. */
static __always_inline struct stack_memo *memo_of(const arch_regs *r)
{
	struct hold_memos *memos = bpf_task_storage_get(&hu_hold_memos, bpf_get_current_task_btf(),
							0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 sp = arch__sp(r), word = 0;

	if (!memos || !hu_cfg.memo)
		return NULL;
	bpf_probe_read_user(&word, sizeof(word), (void *)sp);
	return &memos->memo[memo__mix(memo__mix(arch__ip(r), sp), word) & (HOLD_MEMOS - 1)];
}

static __always_inline __u64 stack__remembered(struct unwinder *u, const arch_regs *r, __u32 tgid)
{
	__u32 generation = u->maps->generation;

	u->memo = memo_of(r);
	if (u->memo) {
		u->hash = 0;
		if (memo__fits(u->memo, r, generation) &&
		    bpf_loop(u->memo->cnt, compare_step, u, 0) == u->memo->cnt &&
		    u->hash == u->memo->hash)
			return u->memo->stack_id;
		memo__begin(u->memo, r, generation);
	}
	return walk(u, r, tgid);
}

/* The loader reads the mappings of a process when it hears of it. */
static __always_inline void announce(struct hold_thread *h, const struct task_id *id)
{
	__u64 *start;

	if (h->announced)
		return;
	h->announced = 1;
	start = bpf_map_lookup_elem(&hu_seen, &id->tgid);
	if (start && *start == id->proc_start)
		return;
	if (bpf_map_update_elem(&hu_seen, &id->tgid, &id->proc_start, BPF_ANY))
		loss__add(HU_LOSS_PROC_FULL, 1);
	else if (emit__process(bpf_get_current_task_btf(), HU_REC_SEEN, id, 0))
		bpf_map_delete_elem(&hu_seen, &id->tgid);
}

/* Of the top of the stack: of two stacks that are alike so far only one is sent. */
static __always_inline __u64 hash_top(struct hold_thread *h, const arch_regs *r)
{
	__u64 hash = memo__mix(arch__ip(r), arch__sp(r));

	if (bpf_probe_read_user(h->top, sizeof(h->top), (void *)arch__sp(r)))
		return 0;
	for (int i = 0; i < HOLD_TOP_WORDS; i++)
		hash = memo__mix(hash, h->top[i]);
	return hash;
}

/*
 * Where mappings are not known yet, or are others by now: some stacks go to the loader raw. Global, like its caller
 * below: each has room for its own variables only while it runs.
 */
__noinline __u64 hu_hold_unmapped(__u64 lost_pc)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct hold_thread *h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	const arch_regs *r = task__regs(NULL);
	struct raw_memo *memo;
	struct task_id id;
	__u64 hash, stack_id;

	if (!h)
		return 0;
	task__id(t, &id);
	announce(h, &id);
	hash = hash_top(h, r);
	memo = &h->raw[hash & (HOLD_RAW_MEMOS - 1)];
	if (hash && memo->hash == hash)
		return memo->stack_id;
	if (h->raws < HOLD_RAWS_MAX) {
		h->raws++;
		stack_id = emit__raw_stack(r, &id);
		if (stack_id) {
			memo->hash = hash;
			memo->stack_id = stack_id;
			return stack_id;
		}
	}
	if (lost_pc)
		emit__process(t, HU_REC_RESCAN, &id, lost_pc);
	return 0;
}

static __always_inline __u64 walk_by_rows(const arch_regs *r, __u32 tgid,
					  const struct hu_proc_maps *maps, __u64 *lost_pc)
{
	struct stack_scratch *scratch = scratch__take();
	struct unwinder u = { .scratch = scratch, .maps = maps };
	__u64 site;

	if (!scratch)
		return 0;
	scratch->window_addr = HU_NO_WINDOW;
	scratch->walk.lost_pc = 0;
	site = stack__remembered(&u, r, tgid);
	*lost_pc = scratch->walk.lost_pc;
	scratch__give(scratch);
	return site;
}

/*
 * The stack of current; 0: it can't be had. A global function, which the verifier looks at once, on its own; so it
 * takes nothing, and finds out for itself what its callers know.
 */
__noinline __u64 hu_hold_site(void)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct hold_thread *h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	__u64 site = 0, lost_pc = 0, raw;
	struct hu_proc_maps *maps;
	__u32 tgid = t->tgid;

	if (!h)
		return 0;
	maps = bpf_map_lookup_elem(&hu_maps, &tgid);
	if (maps) {
		site = walk_by_rows(task__regs(NULL), tgid, maps, &lost_pc);
		if (lost_pc && h->rescan == maps->generation + 1)
			lost_pc = 0; /* what is still unknown after a look stays unknown */
		if (lost_pc)
			h->rescan = maps->generation + 1;
	}
	if (!maps || lost_pc) {
		raw = hu_hold_unmapped(lost_pc);
		if (raw)
			site = raw;
	}
	if (!site)
		hold__count(HU_HOLD_NO_STACK, 1);
	return site;
}

/* ---- what a thread holds */

static __always_inline __u64 lock_hash(__u64 lock, __u32 mode)
{
	__u64 hash = (lock + (mode == HU_HOLD_READ)) * 0x9e3779b97f4a7c15ULL;

	return mode == HU_HOLD_SEM ? 0 : hash ^ hash >> 29;
}

/*
 * The slot of this lock, below 0: none. By way of the thread's state, whose contents the verifier does not follow: it
 * would look at all that comes for each slot.
 */
static __always_inline int find_slot(struct hold_thread *h, __u64 lock)
{
	volatile __s32 *found = &h->found;

	*found = -1;
	for (__s32 i = HU_HOLD_SLOTS - 1; i >= 0; i--)
		if ((__u32)i < h->cnt && h->slot[i].lock == lock)
			*found = i;
	return *found;
}

static __always_inline struct hold_slot *slot_at(struct hold_thread *h, __u32 i)
{
	return &h->slot[i & (HU_HOLD_SLOTS - 1)];
}

static __always_inline struct hu_hold *hold__of(const struct op *op, __u64 lock, __u64 site,
						__u32 mode)
{
	struct hu_hold_key key = {
		.proc_start = op->id.proc_start,
		.lock = lock,
		.site = site,
		.tgid = op->id.tgid,
		.mode = mode,
	};
	struct hu_hold *hold = bpf_map_lookup_elem(&hu_holds, &key);

	if (hold)
		return hold;
	bpf_map_update_elem(&hu_holds, &key, &hold_zero, BPF_NOEXIST);
	hold = bpf_map_lookup_elem(&hu_holds, &key);
	if (!hold)
		hold__count(HU_HOLD_SITES_FULL, 1);
	return hold;
}

static __always_inline void note_longest(struct hu_hold *hold, const struct op *op,
					 const struct hold_slot *slot, __u64 ns)
{
	struct hu_longest *l = &hold->longest;

	if (ns <= l->ns)
		return;
	/* Of an exclusive lock this is written with that lock held. */
	if (__sync_lock_test_and_set(&hold->busy, 1)) {
		hold__count(HU_HOLD_LONGEST_BUSY, 1);
		return;
	}
	if (ns > l->ns) {
		l->ns = ns;
		l->end_ns = op->now_ns;
		l->off_ns = slot->off_ns;
		l->worst_ns = slot->worst_ns;
		l->worst_reason = slot->worst_reason;
		l->tid = op->id.tid;
	}
	__sync_lock_test_and_set(&hold->busy, 0);
}

/* A hold ends; released: its thread gives the lock up. */
static __always_inline void add_hold(const struct op *op, const struct hold_slot *slot,
				     bool released)
{
	struct hu_hold *hold = hold__of(op, slot->lock, slot->site, slot->mode);
	__u64 ns = op->now_ns > slot->since_ns ? op->now_ns - slot->since_ns : 0;

	if (!hold)
		return;
	if (!released) {
		__sync_fetch_and_add(&hold->unreleased, 1);
		return;
	}
	__sync_fetch_and_add(&hold->cnt, 1);
	__sync_fetch_and_add(&hold->ns, ns);
	if (slot->flags & SLOT_CONTENDED)
		__sync_fetch_and_add(&hold->contended, 1);
	if (slot->flags & SLOT_TRIED)
		__sync_fetch_and_add(&hold->tried, 1);
	if (slot->flags & SLOT_AFTER_WAIT)
		__sync_fetch_and_add(&hold->after_wait, 1);
	if (slot->off_ns)
		__sync_fetch_and_add(&hold->off_ns, slot->off_ns);
	__sync_fetch_and_add(&hold->hist[hold__bucket(ns) & (HU_HOLD_BUCKETS - 1)], 1);
	note_longest(hold, op, slot, ns);
}

static __always_inline void end_hold(const struct op *op, __u32 i, bool released)
{
	struct hold_thread *h = op->h;
	struct hold_slot *slot = slot_at(h, i);

	add_hold(op, slot, released);
	h->held_hash ^= lock_hash(slot->lock, slot->mode);
	h->pending = 0;
	h->cnt--;
	if (i != h->cnt)
		*slot = *slot_at(h, h->cnt);
}

/* ---- lock order */

struct edge_loop {
	const struct op *op;
	struct hold_thread *h;
};

/* The locks held beside the first, into the map's own memory: on the stack the verifier would follow each of them. */
static __always_inline void fill_gates(struct hu_edge *edge, const struct hold_thread *h,
				       __u32 first)
{
	volatile __u16 *cnt = &edge->gate_cnt;

	for (__u32 i = 0; i < HU_HOLD_SLOTS; i++) {
		const struct hold_slot *slot = &h->slot[i];
		__u32 n = *cnt;

		if (i >= h->cnt)
			break;
		if (i == first || slot->mode == HU_HOLD_SEM || n >= HU_HOLD_SLOTS - 1)
			continue;
		edge->gate[n] = slot->lock | (slot->mode == HU_HOLD_READ ? HU_GATE_SHARED : 0);
		*cnt = n + 1;
	}
}

static __always_inline struct hu_edge *edge__of(const struct op *op, const struct hu_edge_key *key,
						const struct hold_thread *h, __u32 first)
{
	struct hu_edge *edge = bpf_map_lookup_elem(&hu_edges, key);
	bool made;

	if (edge)
		return edge;
	made = !bpf_map_update_elem(&hu_edges, key, &edge_zero, BPF_NOEXIST);
	edge = bpf_map_lookup_elem(&hu_edges, key);
	if (edge && made) {
		edge->tid = op->id.tid;
		fill_gates(edge, h, first);
	}
	return edge;
}

/* Lock i is held, and op asks for another; a bpf_loop() callback. */
static long edge_step(__u32 i, void *ctx)
{
	struct edge_loop *loop = ctx;
	const struct op *op = loop->op;
	struct hold_thread *h = loop->h;
	struct hold_slot *slot = slot_at(h, i);
	struct hu_edge_key key = {
		.proc_start = op->id.proc_start,
		.first = slot->lock,
		.second = op->lock,
		.first_site = slot->site,
		.second_site = op->site,
		.tgid = op->id.tgid,
		.first_mode = slot->mode,
		.second_mode = op->mode,
	};
	struct hu_edge *edge;

	if (slot->mode == HU_HOLD_SEM)
		return 0;
	key.gates = h->held_hash ^ lock_hash(slot->lock, slot->mode);
	edge = edge__of(op, &key, h, i);
	if (!edge) {
		hold__count(HU_HOLD_EDGES_FULL, 1);
		return 0;
	}
	__sync_fetch_and_add(&edge->cnt, 1);
	if (edge->tid != op->id.tid)
		edge->several = 1;
	return 0;
}

static __always_inline void note_order(const struct op *op)
{
	struct edge_loop loop = { .op = op, .h = op->h };

	if (op->h->cnt && op->mode != HU_HOLD_SEM)
		bpf_loop(op->h->cnt, edge_step, &loop, 0);
}

/* ---- acquisitions */

static __always_inline __u32 mutex_kind(const struct op *op)
{
	__u32 kind = 0;

	bpf_probe_read_user(&kind, sizeof(kind),
			    (void *)(op->lock + (op->cookie & HU_HOLD_MUSL ? 0 : GLIBC_KIND_OFF)));
	return kind & MUTEX_KIND_MASK;
}

/* The thread asks for, or (got) has, what it holds by what we know. Does a new hold begin? */
static __always_inline bool held_already(const struct op *op, __u32 i, bool got)
{
	struct hold_slot *slot = slot_at(op->h, i);
	__u32 kind;

	switch (op->mode) {
	case HU_HOLD_READ:
		slot->depth += slot->mode == HU_HOLD_READ;
		return false;
	case HU_HOLD_WRITE:
		return false; /* EDEADLK, or it waits for ever */
	case HU_HOLD_MUTEX:
		kind = got ? MUTEX_RECURSIVE : mutex_kind(op);
		slot->depth += kind == MUTEX_RECURSIVE;
		if (kind == MUTEX_RECURSIVE || kind == MUTEX_CHECKING)
			return false; /* the latter are refused: nothing changes */
	}
	/* It would wait for ever, unless another thread has released it meanwhile: so may semaphores be. */
	end_hold(op, i, false);
	return true;
}

/* The lock is this thread's from now on, or as soon as the call that begins here lets it run on. */
static __always_inline void begin_hold(const struct op *op, const arch_regs *r, bool in_call)
{
	struct hold_thread *h = op->h;
	struct hold_slot *slot;
	__u32 n = h->cnt;

	if (n >= HU_HOLD_SLOTS) {
		hold__count(HU_HOLD_TOO_MANY, 1);
		return;
	}
	slot = slot_at(h, n);
	slot->lock = op->lock;
	slot->site = op->site;
	/* The program's own time is none of the thread's. */
	slot->since_ns = bpf_ktime_get_ns();
	slot->off_ns = slot->worst_ns = slot->worst_reason = 0;
	slot->depth = 1;
	slot->mode = op->mode;
	slot->flags = op->flags;
	h->sp = arch__sp(r);
	h->held_hash ^= lock_hash(op->lock, op->mode);
	h->cnt = n + 1;
	h->pending = in_call ? n + 1 : 0;
}

/*
 * musl's functions call one another: pthread_mutex_lock() goes on in pthread_mutex_timedlock(), by a jump, which
 * first calls pthread_mutex_trylock() (src/thread/). Only the outermost tells.
 */
static __always_inline bool is_nested(const struct op *op, const arch_regs *r)
{
	const struct hold_thread *h = op->h;
	__u64 sp = arch__sp(r);

	if (!(op->cookie & HU_HOLD_MUSL))
		return false;
	if (h->call.lock == op->lock && sp < h->call.sp)
		return true;
	/* mtx_lock() is one more around it. */
	return h->pending && slot_at(op->h, h->pending - 1)->lock == op->lock &&
	       (op->cookie & HU_HOLD_TIMED) && h->sp - sp <= NESTED_STACK_MAX;
}

/* ---- probes */

/* Fills op; NULL: nothing can be known of this thread. */
static __always_inline struct hold_thread *op__begin(struct op *op, void *ctx, __u64 lock)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct hold_thread *h;
	__u64 mm = (__u64)t->mm;

	op->ctx = ctx;
	op->now_ns = bpf_ktime_get_ns();
	op->lock = lock;
	op->site = 0;
	op->flags = 0;
	op->cookie = bpf_get_attach_cookie(ctx);
	op->mode = HU_HOLD_MODE(op->cookie);
	op->stepped = op->cookie & HU_HOLD_STEPPED;
	task__id(t, &op->id);
	h = bpf_task_storage_get(&hu_hold_threads, t, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	op->h = h;
	if (!h) {
		hold__count(HU_HOLD_NO_STATE, 1);
		return NULL;
	}
	if (h->mm != mm) { /* the first operation, or the first after an exec */
		bpf_probe_read_kernel(h, sizeof(*h), &hold_thread_zero);
		h->mm = mm;
	}
	return h;
}

/* Counts the hit, and measures one in many; not the first ones, whose stacks are dear. */
static __always_inline int op__end(const struct op *op, enum hu_hold_place place)
{
	if (op->stepped)
		hold__count(HU_HOLD_STEPPED_HITS + place, 1);
	if (hold__count(HU_HOLD_HITS + place, 1) % HU_HOLD_SAMPLE != HU_HOLD_SAMPLE / 2)
		return 0;
	hold__count(HU_HOLD_RUN_NS + place, bpf_ktime_get_ns() - op->now_ns);
	hold__count(HU_HOLD_SAMPLES + place, 1);
	return 0;
}

/* A lock function that can't fail: at its entry, or where it has just tried. Is the lock to be taken as got? */
static __always_inline bool lock_wanted(struct op *op, const arch_regs *r)
{
	int i;

	if (is_nested(op, r))
		return false;
#if defined(__TARGET_ARCH_x86)
	if ((op->cookie & HU_HOLD_ZERO_GOT) && !(r->flags & X86_ZERO_FLAG))
		return false;
#endif
	i = find_slot(op->h, op->lock);
	return i < 0 || held_already(op, i, false);
}

static __always_inline bool attempt_wanted(struct op *op, const arch_regs *r)
{
	struct hold_call *call = &op->h->call;
	bool nested = is_nested(op, r);

	if (nested && call->lock == op->lock)
		return false;
	/* If nested, its return must not be taken for that of the function around it. */
	call->lock = op->lock;
	call->sp = arch__sp(r);
	call->cookie = op->cookie;
	call->slept = 0;
	call->nested = nested;
	if (!nested)
		op->h->pending = 0;
	return !nested;
}

SEC("?uprobe")
int hu_hold_lock(void *ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;
	bool attempt;

	if (!op__begin(&op, ctx, arch__fn_arg0(r)))
		return 0;
	attempt = op.cookie & (HU_HOLD_TRY | HU_HOLD_TIMED);
	if (attempt ? attempt_wanted(&op, r) : lock_wanted(&op, r)) {
		op.site = hu_hold_site();
		if (attempt) {
			op.h->call.site = op.site;
		} else {
			note_order(&op);
			begin_hold(&op, r, op.mode != HU_HOLD_SPIN);
		}
	}
	return op__end(&op, HU_HOLD_AT_LOCK);
}

static __always_inline void on_return(struct op *op, const arch_regs *r, int result)
{
	struct hold_call *call = &op->h->call;
	struct hu_hold *hold;
	int i;

	/* Each function returns above the stack of its entry, and functions inside it below. */
	if (!call->lock || arch__sp(r) < call->sp)
		return;
	op->lock = call->lock;
	op->site = call->site;
	op->cookie = call->cookie;
	op->mode = HU_HOLD_MODE(call->cookie);
	call->lock = 0;
	if (call->nested)
		return;
	if (result && !(op->mode == HU_HOLD_MUTEX && result == EOWNERDEAD)) {
		hold = hold__of(op, op->lock, op->site, op->mode);
		if (hold)
			__sync_fetch_and_add(&hold->failed, 1);
		return;
	}
	op->flags = (op->cookie & HU_HOLD_TRY ? SLOT_TRIED : 0) |
		    (call->slept ? SLOT_CONTENDED : 0);
	i = find_slot(op->h, op->lock);
	if (i < 0 || held_already(op, i, true))
		begin_hold(op, r, false);
}

SEC("?uprobe")
int hu_hold_return(void *ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;

	if (!op__begin(&op, ctx, 0))
		return 0;
	on_return(&op, r, (int)arch__result(r));
	return op__end(&op, HU_HOLD_AT_RETURN);
}

SEC("?uprobe")
int hu_hold_unlock(void *ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct hold_slot *slot;
	struct op op;
	int i;

	if (!op__begin(&op, ctx, arch__fn_arg0(r)))
		return 0;
	i = find_slot(op.h, op.lock);
	if (i < 0) {
		hold__count(op.mode == HU_HOLD_SEM ? HU_HOLD_POSTS : HU_HOLD_UNKNOWN, 1);
	} else {
		slot = slot_at(op.h, i);
		if (slot->depth > 1)
			slot->depth--;
		else
			end_hold(&op, i, true);
	}
	return op__end(&op, HU_HOLD_AT_UNLOCK);
}

/* pthread_cond_wait() and its like (condvar, mutex, …) of glibc: they release the mutex, and take it back. */
SEC("?uprobe")
int hu_hold_cond(void *ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;
	int i;

	if (!op__begin(&op, ctx, arch__fn_arg1(r)))
		return 0;
	i = find_slot(op.h, op.lock);
	if (i >= 0)
		end_hold(&op, i, true);
	op.site = hu_hold_site();
	op.flags = SLOT_AFTER_WAIT;
	note_order(&op);
	begin_hold(&op, r, true);
	op.h->cond = arch__fn_arg0(r);
	return op__end(&op, HU_HOLD_AT_LOCK);
}

/* For the price of a probe itself. */
SEC("?uprobe")
int hu_hold_empty(void *ctx)
{
	return 0;
}

/* ---- off the CPU */

static __always_inline bool within(__u64 addr, __u64 start, __u64 sz)
{
	return addr - start < sz;
}

/* Does the call that began slot `pending` wait for the word at addr? */
static __always_inline bool waits_in_call(struct hold_thread *h, __u64 addr, __u64 sp)
{
	struct hold_slot *slot = slot_at(h, h->pending - 1);

	return sp <= h->sp && (within(addr, slot->lock, hold__size(slot->mode)) ||
			       ((slot->flags & SLOT_AFTER_WAIT) && within(addr, h->cond, COND_SZ)));
}

static __always_inline void on_leave(__u64 *ctx, struct task_struct *t, struct hold_thread *h)
{
	unsigned int state = 0;
	union regs_copy copy;
	const arch_regs *r;

	if (T(t, flags) & (PF_KTHREAD | PF_EXITING))
		return;
	if (!(bool)ctx[0])
		state = hu_cfg.switch_state ? (unsigned int)ctx[3] : task__state(t);
	r = task__regs(&copy);
	h->out_reason = reason__of(t, r, state);
	h->out_ns = bpf_ktime_get_ns();
	h->asleep = 0;
	if (HU_REASON_WHY(h->out_reason) != HU_WHY_LOCK)
		return;
	if (h->call.lock && arch__sp(r) <= h->call.sp)
		h->call.slept = 1;
	if (h->pending && waits_in_call(h, HU_REASON_VALUE(h->out_reason), arch__sp(r)))
		h->asleep = 1;
}

static __always_inline void on_back(struct hold_thread *h)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u64 off_ns = now_ns > h->out_ns ? now_ns - h->out_ns : 0;
	struct hold_slot *slot;

	for (__u32 i = 0; i < HU_HOLD_SLOTS; i++) {
		slot = &h->slot[i];
		if (i >= h->cnt)
			break;
		slot->off_ns += off_ns;
		if (off_ns > slot->worst_ns) {
			slot->worst_ns = off_ns;
			slot->worst_reason = h->out_reason;
		}
	}
	if (h->asleep && h->pending) {
		/* It was not held: it is, if at all, from now on. */
		slot = slot_at(h, h->pending - 1);
		slot->since_ns = now_ns;
		slot->off_ns = slot->worst_ns = 0;
		slot->flags |= SLOT_CONTENDED;
	}
	h->out_ns = 0;
	h->asleep = 0;
}

SEC("?tp_btf/sched_switch")
int hu_hold_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	struct hold_thread *h = bpf_task_storage_get(&hu_hold_threads, prev, 0, 0);

	if (h && (h->cnt || h->call.lock))
		on_leave(ctx, prev, h);
	h = bpf_task_storage_get(&hu_hold_threads, next, 0, 0);
	if (h && h->out_ns)
		on_back(h);
	return 0;
}

/* ---- ends, and what is held now */

static long abandon_step(__u32 i, void *ctx)
{
	struct op *op = ctx;

	add_hold(op, slot_at(op->h, i), false);
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int hu_hold_exit(__u64 *ctx)
{
	struct task_struct *t = (struct task_struct *)ctx[0];
	struct op op = { .now_ns = bpf_ktime_get_ns() };

	op.h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	if (!op.h || !op.h->cnt)
		return 0;
	task__id(t, &op.id);
	bpf_loop(op.h->cnt, abandon_step, &op, 0);
	op.h->cnt = 0;
	return 0;
}

static __always_inline void send_held(struct seq_file *seq, struct task_struct *t,
				      const struct hold_slot *slot)
{
	struct hu_held_record rec = {
		.hdr = { .kind = HU_REC_HELD, .size = sizeof(rec), .ts_ns = bpf_ktime_get_ns() },
		.tgid = t->tgid,
		.tid = t->pid,
		.proc_start = t->group_leader->start_boottime,
		.lock = slot->lock,
		.site = slot->site,
		.since_ns = slot->since_ns,
		.mode = slot->mode,
	};

	BPF_CORE_READ_INTO(&rec.comm, t, comm);
	bpf_seq_write(seq, &rec, sizeof(rec));
}

/* The chosen processes as if they had announced themselves: before the first probe is placed. */
SEC("?iter/task")
int hu_hold_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hu_proc_record rec = {
		.hdr = { .kind = HU_REC_SEEN, .size = sizeof(rec), .ts_ns = bpf_ktime_get_ns() },
	};
	__u32 tgid;

	if (!t || t->pid != t->tgid)
		return 0;
	tgid = t->tgid;
	if (!bpf_map_lookup_elem(&hu_targets, &tgid))
		return 0;
	rec.tgid = rec.tid = tgid;
	rec.proc_start = t->start_boottime;
	BPF_CORE_READ_INTO(&rec.comm, t, comm);
	bpf_map_update_elem(&hu_seen, &tgid, &rec.proc_start, BPF_ANY);
	bpf_seq_write(ctx->meta->seq, &rec, sizeof(rec));
	return 0;
}

SEC("?iter/task")
int hu_hold_now(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct hold_thread *h;

	if (!t || (t->flags & (PF_KTHREAD | PF_EXITING)))
		return 0;
	h = bpf_task_storage_get(&hu_hold_threads, t, 0, 0);
	if (!h)
		return 0;
	for (__u32 i = 0; i < HU_HOLD_SLOTS; i++) {
		if (i >= h->cnt)
			break;
		if (h->out_ns && h->asleep && i == h->pending - 1)
			continue; /* it waits for it */
		send_held(ctx->meta->seq, t, &h->slot[i]);
	}
	return 0;
}
