// SPDX-License-Identifier: GPL-2.0-only
/* What each thread waits for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/wait.h"
#include "user/model/stacks_build.h"

/* include/linux/sched.h */
#define TASK_INTERRUPTIBLE   0x1
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_STOPPED	     0x4
#define TASK_TRACED	     0x8

/* ---- names of stacks */

static bool stack__is(const void *value, const void *key)
{
	return ((const struct named_stack *)value)->stack == key;
}

static size_t name_frames(const struct stacks_builder *b, const struct snap_stack *s, bool lines,
			  struct sym_frame *ret)
{
	struct sym_process *names = s->process->names;
	size_t cnt = 0, before;

	for (size_t i = 0; i < s->stack.frames && cnt < STACK_FRAMES_MAX; i++) {
		before = cnt;
		cnt += stacks__go_frames(b, s->process, s->stack.pcs[i], i == 0, lines, ret + cnt,
					 STACK_FRAMES_MAX - cnt);
		if (cnt == before)
			cnt += symbolizer__frames(b->in->symbolizer, names, s->stack.pcs[i], i == 0,
						  lines, ret + cnt, STACK_FRAMES_MAX - cnt);
		for (; before < cnt; before++)
			ret[before].guessed = i >= s->stack.exact;
	}
	return cnt;
}

static int set_frames(struct stacks_builder *b, struct named_stack *s, bool lines)
{
	struct sym_frame frames[STACK_FRAMES_MAX];
	size_t cnt = name_frames(b, s->stack, lines, frames);
	struct sym_frame *copy = malloc((cnt + 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, frames, cnt * sizeof(*copy));
	free(s->frames);
	s->frames = copy;
	s->frame_cnt = cnt;
	return 0;
}

static int stack__get(struct stacks_builder *b, const struct snap_stack *snap,
		      const struct named_stack **ret)
{
	uint64_t hash = hash__mix(0, (uintptr_t)snap);
	struct named_stack *s = table__find(&b->stacks, hash, stack__is, snap);
	int err;

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->stack = snap;
		err = set_frames(b, s, false);
		if (!err)
			err = table__add(&b->stacks, hash, s);
		if (err) {
			free(s->frames);
			free(s);
			return err;
		}
	}
	*ret = s;
	return 0;
}

/* Lock functions are those of the frames without inlined ones: api moves with them. */
static int api_with_lines(const struct named_stack *s, int api)
{
	int frame = -1;

	/* Inlined frames come before the one that has their code. */
	for (size_t i = 0; i < s->frame_cnt && api >= 0; i++) {
		frame = i;
		api -= !s->frames[i].inlined;
	}
	return frame;
}

int stacks__name_lines(struct stacks_builder *b, const struct named_stack *stack)
{
	struct named_stack *s = (struct named_stack *)stack;
	int err;

	if (s->has_lines)
		return 0;
	s->has_lines = true;
	err = set_frames(b, s, true);

	for (size_t i = 0; i < b->r.thread_cnt && !err; i++)
		if (b->r.thread[i].stack == s && b->r.thread[i].api >= 0)
			b->r.thread[i].api = api_with_lines(s, b->r.thread[i].api);
	return err;
}

/* ---- locks */

struct lock_key {
	const struct snap_process *process; /* NULL: shared, by the file that it lies in */
	uint64_t address;		    /* or the offset in the file */
	uint64_t ino;
	uint32_t major, minor;
	enum lock_kind kind;
	const char *label;
};

struct keyed_lock {
	struct waited_lock lock;
	struct lock_key key;
};

static bool lock__equal(const void *value, const void *key)
{
	const struct lock_key *a = &((const struct keyed_lock *)value)->key, *b = key;

	return a->process == b->process && a->address == b->address && a->ino == b->ino &&
	       a->major == b->major && a->minor == b->minor && a->kind == b->kind &&
	       a->label == b->label;
}

/* A lock in shared memory is one, wherever each process has it mapped. */
static void find_shared(const struct snap_process *p, uint64_t address, struct lock_key *key)
{
	const struct mapping *map = maps__find(sym_process__maps(p->names), address);

	if (!map || !map->shared || !map->ino)
		return;
	key->process = NULL;
	key->address = map->off + (address - map->start);
	key->ino = map->ino;
	key->major = map->major;
	key->minor = map->minor;
}

static const char *name_lock(struct stacks_builder *b, const struct snap_process *p,
			     uint64_t address)
{
	struct sym_object object = { .name = "", .module = "" };

	if (!address)
		return "";
	symbolizer__object(b->in->symbolizer, p->names, address, &object);
	return symbolizer__object_name(b->in->symbolizer, &object);
}

int stacks__get_lock(struct stacks_builder *b, const struct blocked_thread *t,
		     const struct target_wait *wait, struct waited_lock **ret)
{
	const struct snap_process *p = t->thread->process;
	struct lock_key key = {
		.process = p,
		.address = wait->object,
		.kind = wait->kind,
		.label = wait->object ? "" : wait->label,
	};
	struct keyed_lock *lock;
	uint64_t hash;
	int err;

	if ((t->thread->call.flags & HU_WAIT_SHARED) && wait->kind != LOCK_JOIN && wait->object)
		find_shared(p, wait->object, &key);
	hash = hash__mix(hash__mix((uintptr_t)key.process, key.address), key.ino + key.kind);
	lock = table__find(&b->locks, hash, lock__equal, &key);
	if (!lock) {
		lock = calloc(1, sizeof(*lock));
		if (!lock)
			return -ENOMEM;
		lock->key = key;
		lock->lock = (struct waited_lock){
			.process = p,
			.address = wait->object,
			.name = name_lock(b, p, wait->object),
			.kind = wait->kind,
			.label = wait->label,
			.idle = wait->idle,
			.shared = !key.process,
			.steady = true,
		};
		err = table__add(&b->locks, hash, lock);
		if (err) {
			free(lock);
			return err;
		}
	}
	lock->lock.waiters++;
	*ret = &lock->lock;
	return 0;
}

/* ---- glibc's mutexes with priority inheritance whose call was refused */

/*
 * When the kernel refuses FUTEX_LOCK_PI because the owner is gone (ESRCH) or this would be a deadlock (EDEADLK),
 * glibc has the thread wait for ever on a word of its own stack (nptl/pthread_mutex_lock.c,
 * __pthread_mutex_lock_full(): "Delay the thread indefinitely"). Which mutex it wanted is in a callee-saved register:
 * the object's address or that of its __kind.
 */
#define PARKED_STACK_SZ	   4096	 /* of the functions below pthread_mutex_lock() */
#define MUTEX_KIND_OFF	   16	 /* of __kind, sysdeps/nptl/bits/struct_mutex.h */
#define MUTEX_PRIO_INHERIT 32	 /* PTHREAD_MUTEX_PRIO_INHERIT_NP, nptl/pthreadP.h */
#define MUTEX_KIND_MASK	   0x3ff /* types, robust, PI, PP, pshared, and both elision bits */

static bool is_parked(const struct snap_thread *thread)
{
	return !(thread->call.flags & (HU_WAIT_SHARED | HU_WAIT_TIMED)) && !thread->call.val &&
	       thread->call.uaddr - thread->rec.sp < PARKED_STACK_SZ;
}

/* Is there a mutex of this kind that somebody owns? */
static bool is_pi_mutex(struct stacks_builder *b, uint64_t address, uint32_t *ret_owner)
{
	uint32_t word[5]; /* __lock, __count, __owner, __nusers, __kind */

	if (target_memory__read(&b->memory, address, word, sizeof(word)))
		return false;
	*ret_owner = word[0] & FUTEX_TID_MASK;
	return (word[4] & MUTEX_PRIO_INHERIT) && !(word[4] & ~MUTEX_KIND_MASK) && *ret_owner &&
	       *ret_owner <= PID_MAX_LIMIT;
}

static void find_parked_on(struct stacks_builder *b, struct blocked_thread *t,
			   struct target_wait *wait)
{
	const struct hu_thread_record *rec = &t->thread->rec;
	uint64_t found = 0;
	uint32_t owner;

	target_memory__set(&b->memory, rec->tgid);
	for (int i = 0; i < 2 * HU_SAVED_REGS; i++) {
		uint64_t at = rec->saved[i / 2] - (i % 2 ? MUTEX_KIND_OFF : 0);

		if (at % 8 || at == found || !is_pi_mutex(b, at, &owner))
			continue;
		if (found)
			return; /* two: which, can't be told */
		found = at;
		t->parked_owner = owner;
	}
	if (found)
		wait->object = found;
}

static int find_lock(struct stacks_builder *b, struct blocked_thread *t)
{
	const struct snap_thread *thread = t->thread;
	struct sym_object object = { .name = "" };
	struct target_site site = { .rec = &thread->call };
	struct target_wait wait;

	if (t->stack) {
		site.frames = t->stack->frames;
		site.frame_cnt = t->stack->frame_cnt;
	}
	symbolizer__object(b->in->symbolizer, thread->process->names, thread->call.uaddr, &object);
	site.symbol = object.name;
	site.symbol_off = object.offset;
	target__classify(&site, &wait);
	if (wait.kind == LOCK_MUTEX && is_parked(thread))
		find_parked_on(b, t, &wait);
	t->object = wait.object;
	t->api = wait.api;
	t->idle = wait.idle;
	t->timed = thread->call.flags & HU_WAIT_TIMED;
	return stacks__get_lock(b, t, &wait, &t->lock);
}

/* ---- states and calls */

static enum blocked_state state_of(const struct hu_thread_record *rec)
{
	if (rec->flags & HU_THREAD_ON_CPU)
		return BLOCKED_RUNNING;
	if (rec->flags & HU_THREAD_EXITING)
		return BLOCKED_EXITING;
	if (rec->state & (TASK_STOPPED | TASK_TRACED))
		return BLOCKED_STOPPED;
	if (rec->state & TASK_UNINTERRUPTIBLE)
		return BLOCKED_DISK;
	return rec->state & TASK_INTERRUPTIBLE ? BLOCKED_SLEEPING : BLOCKED_RUNNABLE;
}

const char *blocked_state__name(enum blocked_state state)
{
	static const char *const names[] = {
		[BLOCKED_RUNNING] = "running",	 [BLOCKED_RUNNABLE] = "runnable",
		[BLOCKED_SLEEPING] = "sleeping", [BLOCKED_DISK] = "uninterruptible",
		[BLOCKED_STOPPED] = "stopped",	 [BLOCKED_EXITING] = "exiting",
	};

	return state && state < sizeof(names) / sizeof(names[0]) ? names[state] : "invalid";
}

/* Waits for somebody to come with work, rather than for a thing that should be done by now. */
static bool call_idle(const struct call_wait *c)
{
	switch (c->kind) {
	case CALL_POLL:
	case CALL_TIMER:
	case CALL_SIGNAL:
	case CALL_TERMINAL:
	case CALL_CHILD:
	case CALL_EVENT:
		return true;
	case CALL_SOCKET:
		return !strncmp(c->call, "accept", 6);
	default:
		return false;
	}
}

static int describe(struct stacks_builder *b, struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;
	long nr = t->state == BLOCKED_RUNNING ? -1 : rec->nr;
	uint64_t args[6];
	int err;

	memcpy(args, rec->arg, sizeof(args));
	target_memory__set(&b->memory, rec->tgid);
	err = calls__describe(b->in->calls, rec->tgid, rec->tid, nr, args,
			      rec->flags & HU_THREAD_COMPAT, b->r.query->peers, target_memory__read,
			      &b->memory, &t->call);
	if (err)
		return err;
	if (t->state == BLOCKED_STOPPED) {
		err = calls__describe_stopped(b->in->calls, rec->tgid, rec->tid, &t->call);
		if (err)
			return err;
	}
	t->idle = t->state == BLOCKED_SLEEPING && call_idle(&t->call);
	t->timed = t->call.timeout_ns != UINT64_MAX;
	return 0;
}

/* Threads come process by process: the last answer is this one's, too, most of the time. */
static const char *runtime_of(const struct snap_process *p, const struct blocked_thread *last)
{
	const struct maps *maps = p->names ? sym_process__maps(p->names) : NULL;
	const char *runtime = "native", *slash;

	if (last && last->thread->process == p)
		return last->runtime;
	for (size_t i = 0; maps && i < maps->cnt; i++) {
		slash = strrchr(maps->map[i].path, '/');
		if (maps->map[i].exec && slash)
			target__runtime(slash + 1, &runtime);
	}
	if (p->go)
		runtime = "go";
	return runtime;
}

/*
 * Where it is in the kernel. Named is the place of those in uninterruptible sleep: the call alone does not tell what
 * keeps them there.
 */
static int find_kernel_stack(const struct stacks_builder *b, struct blocked_thread *t)
{
	const struct hu_thread_record *rec = &t->thread->rec;
	uint64_t pcs[HU_KERNEL_FRAMES];
	size_t cnt = rec->kframes < HU_KERNEL_FRAMES ? rec->kframes : HU_KERNEL_FRAMES;

	t->kernel = "";
	if (!cnt || (rec->flags & HU_THREAD_ON_CPU))
		return 0;
	for (size_t i = 0; i < cnt; i++)
		pcs[i] = rec->kpc[i];
	if (t->state == BLOCKED_DISK)
		t->kernel = kernel_names__place(b->in->kernel, pcs, cnt);
	if (!b->r.query->kernel)
		return 0;
	t->kernel_stack = calloc(cnt, sizeof(*t->kernel_stack));
	if (!t->kernel_stack)
		return -ENOMEM;
	/* But for the leaf these are return addresses, and a call can be a function's last instruction. */
	for (size_t i = 0; i < cnt; i++)
		t->kernel_stack[i] = kernel_names__find(b->in->kernel, pcs[i] - (i ? 1 : 0));
	t->kernel_cnt = cnt;
	return 0;
}

static int find_wait(struct stacks_builder *b, const struct snap_thread *thread,
		     struct blocked_thread *t)
{
	uint64_t now = b->in->snapshot->taken_ns;
	int err;

	t->thread = thread;
	t->api = -1;
	t->state = state_of(&thread->rec);
	err = find_kernel_stack(b, t);
	if (thread->since_ns && now > thread->since_ns && t->state != BLOCKED_RUNNING)
		t->at_least_ns = now - thread->since_ns;
	if (thread->stack && !err)
		err = stack__get(b, thread->stack, &t->stack);
	if (err)
		return err;
	if (t->state == BLOCKED_SLEEPING && thread->futex) {
		t->call = (struct call_wait){ .kind = CALL_FUTEX,
					      .call = "futex",
					      .what = "",
					      .object = "",
					      .fd = -1,
					      .timeout_ns = UINT64_MAX };
		return find_lock(b, t);
	}
	return describe(b, t);
}

static void count(struct stacks_builder *b, const struct blocked_thread *t)
{
	struct stacks_report *r = &b->r;

	r->running += t->state == BLOCKED_RUNNING;
	r->runnable += t->state == BLOCKED_RUNNABLE;
	r->coverage.moved += t->thread->moved;
	if (t->state != BLOCKED_RUNNING && t->state != BLOCKED_EXITING &&
	    !(t->stack && (t->stack->stack->stack.flags & HU_STACK_COMPLETE)))
		r->coverage.stacks_incomplete++;
}

int stacks__find_waits(struct stacks_builder *b)
{
	const struct snapshot *s = b->in->snapshot;
	struct stacks_report *r = &b->r;
	int err = 0;

	r->thread = calloc(s->cnt + stacks__count_goroutines(b) + 1, sizeof(*r->thread));
	if (!r->thread)
		return -ENOMEM;
	for (size_t i = 0; i < s->cnt && !err; i++) {
		r->thread[i].runtime =
			runtime_of(s->thread[i].process, i ? &r->thread[i - 1] : NULL);
		err = find_wait(b, &s->thread[i], &r->thread[i]);
		r->thread_cnt++;
		count(b, &r->thread[i]);
	}
	return err ? err : stacks__add_goroutines(b);
}

static void stack__free(void *value)
{
	struct named_stack *s = value;

	free(s->frames);
	free(s);
}

void stacks__free_waits(struct stacks_builder *b)
{
	table__clear(&b->stacks, stack__free);
	table__clear(&b->locks, free);
	stacks__free_goroutines(b);
	for (size_t i = 0; i < b->r.thread_cnt; i++)
		free(b->r.thread[i].kernel_stack);
	free(b->r.thread);
}
