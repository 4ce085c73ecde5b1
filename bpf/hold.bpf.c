// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who holds which lock for how long, and in which order locks are taken: probes on the functions that lock and
 * unlock, of chosen processes only (`locks --hold`). Nothing is sent for each operation: holds are added up here by
 * lock and by the call stack that took it.
 *
 * The locks' own words are not looked at, but for a mutex's kind: what a thread holds is known by its own doing. Needs
 * bpf_loop() (5.17) and task storage.
 */
#define HU_UNWIND
#define HU_CALM_KSYM
#include "bpf/calm.h"
#include "bpf/hold_slots.h"
#include "bpf/hold_stack.h"
#include "bpf/interval.h"
#include "bpf/reason.h"

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

static const struct hold_thread hold_thread_zero;

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

/* ---- back on the CPU */

static __noinline int on_back(struct hold_thread *h, __u64 now_ns)
{
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
	return 0;
}

/*
 * It runs, though its switch-in was not seen (see interval__resumed()): for as long as it has used CPU time since. Of a
 * thread that runs that is known up to the last tick.
 */
static __always_inline void back_unseen(struct hold_thread *h, struct task_struct *t, __u64 now_ns)
{
	on_back(h, interval__resumed(h->out_ns, 0, now_ns, task__cpu_ns(t) - h->out_cpu_ns));
	loss__add(HU_LOSS_INFERRED, 1);
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
	if (h->out_ns)
		back_unseen(h, t, op->now_ns);
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

UPROBE_PROGRAM("?uprobe", hu_hold_lock, void *, ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;
	bool attempt;

	if (!op__begin(&op, ctx, arch__fn_arg0(r)))
		return 0;
	attempt = op.cookie & (HU_HOLD_TRY | HU_HOLD_TIMED);
	if (attempt ? attempt_wanted(&op, r) : lock_wanted(&op, r)) {
		op.site = calm ? site_undisturbed() : hu_hold_site();
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

UPROBE_PROGRAM("?uprobe", hu_hold_return, void *, ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;

	if (!op__begin(&op, ctx, 0))
		return 0;
	on_return(&op, r, (int)arch__result(r));
	return op__end(&op, HU_HOLD_AT_RETURN);
}

UPROBE_PROGRAM("?uprobe", hu_hold_unlock, void *, ctx)
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
UPROBE_PROGRAM("?uprobe", hu_hold_cond, void *, ctx)
{
	const arch_regs *r = task__regs(NULL);
	struct op op;
	int i;

	if (!op__begin(&op, ctx, arch__fn_arg1(r)))
		return 0;
	i = find_slot(op.h, op.lock);
	if (i >= 0)
		end_hold(&op, i, true);
	op.site = calm ? site_undisturbed() : hu_hold_site();
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
	if (h->out_ns)
		back_unseen(h, t, bpf_ktime_get_ns());
	r = task__regs(&copy);
	h->out_reason = reason__of(t, r, state);
	h->out_cpu_ns = task__cpu_ns(t);
	h->out_ns = bpf_ktime_get_ns();
	h->asleep = 0;
	if (HU_REASON_WHY(h->out_reason) != HU_WHY_LOCK)
		return;
	if (h->call.lock && arch__sp(r) <= h->call.sp)
		h->call.slept = 1;
	if (h->pending && waits_in_call(h, HU_REASON_VALUE(h->out_reason), arch__sp(r)))
		h->asleep = 1;
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
		on_back(h, bpf_ktime_get_ns());
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
