// SPDX-License-Identifier: GPL-2.0-only
#include "user/target/kind.h"

#include <fnmatch.h>
#include <string.h>

/* How many frames above the leaf may belong to the library; glibc's deepest is 5 (cond_wait by
 * alias). */
#define API_DEPTH 12

static const struct {
	const char *name;
	bool idle;
} kinds[LOCK_KINDS] = {
	[LOCK_INVALID] = { "invalid", false }, [LOCK_FUTEX] = { "futex", false },
	[LOCK_MUTEX] = { "mutex", false },     [LOCK_RWLOCK] = { "rwlock", false },
	[LOCK_CONDVAR] = { "condvar", true },  [LOCK_SEMAPHORE] = { "semaphore", false },
	[LOCK_BARRIER] = { "barrier", false }, [LOCK_JOIN] = { "join", true },
	[LOCK_ONCE] = { "once", false },       [LOCK_PARK] = { "futex", true },
};

const char *lock_kind__name(enum lock_kind kind)
{
	return kinds[kind < LOCK_KINDS ? kind : LOCK_INVALID].name;
}

bool lock_kind__idle(enum lock_kind kind)
{
	return kind < LOCK_KINDS && kinds[kind].idle;
}

/*
 * Functions that wait, by the names that users call and those inside the libraries (glibc 2.17
 * to 2.42: nptl/, musl 1.2: src/thread/). Leading underscores are skipped before comparing, so
 * __pthread_… and
 * ___pthread_… match. The first match from the leaf up decides; a match further up, while
 * everything between is of the library too, only moves the API frame.
 */
static const struct {
	const char *pattern;
	enum lock_kind kind;
} c_functions[] = {
	{ "pthread_mutex_cond_lock*", LOCK_MUTEX }, /* the mutex after a condvar: contention */
	{ "pthread_mutex_lock*", LOCK_MUTEX },
	{ "pthread_mutex_timedlock*", LOCK_MUTEX },
	{ "pthread_mutex_clocklock*", LOCK_MUTEX },
	{ "lll_lock_wait*", LOCK_MUTEX }, /* also the private locks of malloc and stdio */
	{ "lock", LOCK_MUTEX },		  /* musl's internal __lock() */
	{ "lockfile", LOCK_MUTEX },	  /* musl's __lockfile() */
	{ "mtx_lock", LOCK_MUTEX },
	{ "mtx_timedlock", LOCK_MUTEX },
	{ "pthread_rwlock_*", LOCK_RWLOCK },
	{ "pthread_cond_*wait*", LOCK_CONDVAR },
	{ "pthread_cond_signal*", LOCK_CONDVAR }, /* until earlier waiters have left */
	{ "pthread_cond_broadcast*", LOCK_CONDVAR },
	{ "cnd_wait", LOCK_CONDVAR },
	{ "cnd_timedwait", LOCK_CONDVAR },
	{ "sem_wait", LOCK_SEMAPHORE },
	{ "sem_timedwait", LOCK_SEMAPHORE },
	{ "sem_clockwait", LOCK_SEMAPHORE },
	{ "new_sem_*wait*", LOCK_SEMAPHORE },
	{ "pthread_barrier_wait", LOCK_BARRIER },
	{ "pthread_*join*", LOCK_JOIN },
	{ "thrd_join", LOCK_JOIN },
	{ "pthread_once*", LOCK_ONCE },
	{ "call_once", LOCK_ONCE },
	{ "cxa_guard_acquire", LOCK_ONCE }, /* initialisation of a C++ function's static */
};

/* Demangled names in languages that wait on futexes themselves. Rust std: library/std/src/sys/sync.
 */
static const struct {
	const char *pattern;
	enum lock_kind kind;
} other_functions[] = {
	{ "std::sys::*utex*::lock_contended", LOCK_MUTEX },
	{ "std::sync::*nce::call_inner*", LOCK_ONCE },
	{ "std::sync::*arrier::wait*", LOCK_BARRIER },
	{ "std::latch::wait*", LOCK_BARRIER },
	{ "std::barrier<*>::wait*", LOCK_BARRIER },
	{ "std::__atomic_semaphore::*", LOCK_SEMAPHORE },
	{ "std::counting_semaphore<*>::acquire*", LOCK_SEMAPHORE },
	{ "std::sync::*ondvar::wait*", LOCK_CONDVAR },
	{ "std::sys::*RwLock::*_contended", LOCK_RWLOCK },
	{ "std::sys::*ondvar::wait*", LOCK_CONDVAR },
	{ "std::sys::*nce::call", LOCK_ONCE },
	{ "std::sys::*nce::wait", LOCK_ONCE },
	{ "std::sys::*arker::park*", LOCK_PARK },
	{ "std::thread::*park*", LOCK_PARK },
	{ "parking_lot::raw_mutex::RawMutex::lock_slow*", LOCK_MUTEX },
	{ "parking_lot::raw_rwlock::RawRwLock::*_slow*", LOCK_RWLOCK },
	{ "parking_lot::condvar::Condvar::wait*", LOCK_CONDVAR },
	{ "runtime.lock2", LOCK_MUTEX }, /* Go: src/runtime/lock_futex.go, lock_spinbit.go */
	{ "runtime.notesleep", LOCK_PARK },
	{ "runtime.notetsleep*", LOCK_PARK },
};

static const char *skip_underscores(const char *name)
{
	return name + strspn(name, "_");
}

static bool is_c_function(const struct sym_frame *f)
{
	const char *name = skip_underscores(f->raw);

	for (size_t i = 0; i < sizeof(c_functions) / sizeof(c_functions[0]); i++)
		if (!fnmatch(c_functions[i].pattern, name, 0))
			return true;
	return false;
}

static enum lock_kind kind_of_function(const struct sym_frame *f)
{
	const char *name = skip_underscores(f->raw);

	if (!*name)
		return LOCK_INVALID;
	for (size_t i = 0; i < sizeof(c_functions) / sizeof(c_functions[0]); i++)
		if (!fnmatch(c_functions[i].pattern, name, 0))
			return c_functions[i].kind;
	for (size_t i = 0; i < sizeof(other_functions) / sizeof(other_functions[0]); i++)
		/* Rust's v0 mangling writes methods as <path::Type>::method. */
		if (!fnmatch(other_functions[i].pattern, f->function + (*f->function == '<'), 0))
			return other_functions[i].kind;
	return LOCK_INVALID;
}

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

bool target__is_runtime(const struct sym_frame *f)
{
	static const char *const modules[] = { "libc.so", "libc-2.",  "libpthread",
					       "ld-musl", "ld-linux", "libstdc++.so",
					       "libc++",  "libgcc_s", "[vdso]" };
	static const char *const names[] = { "std::",	"__gnu_cxx::", "__gthread_", "core::",
					     "alloc::", "parking_lot", "lock_api::", "<std::",
					     "<core::", "<alloc::" };

	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		if (starts_with(f->module, modules[i]))
			return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (starts_with(f->function, names[i]))
			return true;
	/* Static programs: the library has no module. */
	return kind_of_function(f) != LOCK_INVALID || !strcmp(f->raw, "syscall");
}

/* ---- from the call and the memory alone */

#define PID_MAX_LIMIT (4 << 20) /* include/linux/threads.h */

static bool plausible_tid(uint32_t tid)
{
	return tid > 0 && tid <= PID_MAX_LIMIT;
}

static enum lock_kind kind_of_call(const struct hu_wait_record *rec)
{
	if (rec->op == HU_OP_LOCK_PI || rec->op == HU_OP_LOCK_PI2)
		return LOCK_MUTEX;
	if (rec->op == HU_OP_WAIT_REQUEUE_PI)
		return LOCK_CONDVAR;
	if (!rec->sleeps)
		return LOCK_FUTEX;
	/* glibc's low-level lock: 2 is "taken, with waiters"; __owner names who
	 * (nptl/lowlevellock.c). */
	if ((rec->op == HU_OP_WAIT || rec->op == HU_OP_WAIT_BITSET) && rec->val == 2 &&
	    (rec->flags & HU_WAIT_OWNER_READ) && plausible_tid(rec->owner_word))
		return LOCK_MUTEX;
	/* pthread_join waits, as if shared, until the kernel clears the TID
	 * (nptl/pthread_join_common.c). */
	if (rec->op == HU_OP_WAIT_BITSET && (rec->flags & HU_WAIT_SHARED) && rec->val > 3 &&
	    plausible_tid(rec->val) && rec->word == rec->val)
		return LOCK_JOIN;
	return LOCK_FUTEX;
}

/*
 * glibc's objects are larger than the word they wait on (x86-64 and arm64 alike):
 * - pthread_rwlock_t (sysdeps/nptl/bits/struct_rwlock.h): __readers 0, __wrphase_futex 8,
 *   __writers_futex 12. Readers wait on __readers only with PREFER_WRITER_NONRECURSIVE; then the
 * value has PTHREAD_RWLOCK_RWAITING (4) set, while the futexes hold at most 3
 * (nptl/pthread_rwlock_common.c).
 * - pthread_cond_t (sysdeps/nptl/bits/thread-shared-types.h): waiters wait on __g_signals, 40 and 44;
 *   who signals waits on __g_refs, 16 and 20, for an earlier group to leave (nptl/pthread_cond_common.c).
 * - pthread_barrier_t (sysdeps/nptl/internaltypes.h): in 0, current_round 4, …, out 16.
 * Each is aligned to 8 bytes; mutexes and semaphores wait on their first word.
 */
static uint64_t object_of(enum lock_kind kind, const struct sym_frame *api,
			  const struct hu_wait_record *rec)
{
	uint64_t second = rec->uaddr & 4;

	switch (kind) {
	case LOCK_RWLOCK:
		if (second)
			return rec->uaddr - 12;
		return rec->sleeps && (rec->val & 4) ? rec->uaddr : rec->uaddr - 8;
	case LOCK_CONDVAR:
		return rec->uaddr - second - (strstr(api->raw, "wait") ? 40 : 16);
	case LOCK_BARRIER:
		return rec->uaddr - second;
	default:
		return rec->uaddr;
	}
}

/* Whose objects they are: musl's functions wait in __timedwait or __wait
 * (src/thread/__timedwait.c). */
static bool is_glibc(const struct sym_frame *frames, int api)
{
	if (starts_with(frames[api].module, "ld-musl") || !strcmp(frames[api].module, "libc.so"))
		return false;
	/* Rust's, parking_lot's and Go's own locks are no pthread objects. */
	if (!is_c_function(&frames[api]))
		return false;
	for (int i = 0; i <= api; i++)
		if (starts_with(frames[i].raw, "__timedwait") || !strcmp(frames[i].raw, "__wait"))
			return false;
	return true;
}

void target__classify(const struct sym_frame *frames, size_t cnt, const struct hu_wait_record *rec,
		      struct target_wait *ret)
{
	enum lock_kind kind = LOCK_INVALID, here;
	bool cond_wait = false;

	*ret = (struct target_wait){ .api = -1, .object = rec->uaddr };
	for (size_t i = 0; i < cnt && i < API_DEPTH && !frames[i].guessed; i++) {
		here = kind_of_function(&frames[i]);
		if (here != LOCK_INVALID) {
			/* What is built from a condvar or a mutex is what the program waits for. */
			if (kind == LOCK_INVALID || here == LOCK_ONCE || here == LOCK_BARRIER)
				kind = here;
			cond_wait |= here == LOCK_CONDVAR;
			ret->api = i;
		} else if (!target__is_runtime(&frames[i]) &&
			   (kind != LOCK_INVALID || strcmp(frames[i].module, frames[0].module))) {
			break; /* the program: what called it back is not what it waits for */
		}
	}
	/*
	 * In a stripped libc the function that takes the mutex back after a condition variable's
	 * wait has no name; a condvar itself is never waited for by FUTEX_WAIT with value 2 (glibc
	 * ≥ 2.25).
	 */
	if (kind == LOCK_CONDVAR && cond_wait && rec->op == HU_OP_WAIT && rec->sleeps &&
	    rec->val == 2 && is_glibc(frames, ret->api))
		kind = LOCK_MUTEX;
	if (kind == LOCK_INVALID)
		kind = kind_of_call(rec);
	ret->kind = kind;
	if (ret->api >= 0 && is_glibc(frames, ret->api))
		ret->object = object_of(kind, &frames[ret->api], rec);
}
