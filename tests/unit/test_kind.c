// SPDX-License-Identifier: GPL-2.0-only
/* What a wait is for, by the names in its stack, or by the futex call alone. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/target/kind.h"

#define WORD 0x7f0000001000ULL

struct frame {
	const char *name, *module;
};

static struct target_wait classify(const struct frame *frames, size_t cnt,
				   const struct hu_wait_record *rec)
{
	struct sym_frame f[20] = { 0 };
	struct target_site site = { .frames = f, .frame_cnt = cnt, .rec = rec, .symbol = "" };
	struct target_wait t;

	memset(&t, 0xff, sizeof(t));
	for (size_t i = 0; i < cnt; i++)
		f[i] = (struct sym_frame){
			.function = frames[i].name,
			.raw = frames[i].name,
			.module = frames[i].module,
			.file = "",
		};
	target__classify(&site, &t);
	return t;
}

static struct hu_wait_record futex(uint16_t op, uint32_t val)
{
	return (struct hu_wait_record){ .uaddr = WORD, .sleeps = 1, .op = op, .val = val };
}

static void check_name(const char *name, const char *module, enum lock_kind kind)
{
	struct frame frames[] = { { name, module }, { "work", "prog" }, { "main", "prog" } };
	struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, 0);
	struct target_wait t = classify(frames, 3, &rec);

	if (t.kind != kind)
		fail_msg("%s: %s, not %s", name, lock_kind__name(t.kind), lock_kind__name(kind));
	assert_int_equal(t.api, kind == LOCK_FUTEX ? -1 : 0);
}

static void test_kind_names(void **state)
{
	static const char *const names[LOCK_KINDS] = {
		[LOCK_INVALID] = "invalid",
		[LOCK_FUTEX] = "futex",
		[LOCK_MUTEX] = "mutex",
		[LOCK_RWLOCK] = "rwlock",
		[LOCK_CONDVAR] = "condvar",
		[LOCK_SEMAPHORE] = "semaphore",
		[LOCK_BARRIER] = "barrier",
		[LOCK_JOIN] = "join",
		[LOCK_ONCE] = "once",
		[LOCK_PARK] = "futex",
		[LOCK_GO_MUTEX] = "go-mutex",
		[LOCK_GO_RWMUTEX] = "go-rwmutex",
		[LOCK_GO_WAITGROUP] = "go-waitgroup",
		[LOCK_GO_CHAN] = "go-chan",
		[LOCK_GO_SELECT] = "go-select",
		[LOCK_GO_COND] = "go-cond",
		[LOCK_SPIN] = "spinlock",
	};

	for (int kind = 0; kind < LOCK_KINDS; kind++) {
		assert_string_equal(lock_kind__name(kind), names[kind]);
		assert_int_equal(lock_kind__idle(kind), kind == LOCK_CONDVAR || kind == LOCK_JOIN ||
								kind == LOCK_PARK ||
								kind == LOCK_GO_COND);
	}
	assert_string_equal(lock_kind__name(LOCK_KINDS), "invalid");
	assert_false(lock_kind__idle(LOCK_KINDS));
}

static void test_glibc(void **state)
{
	static const struct {
		const char *name;
		enum lock_kind kind;
	} names[] = {
		{ "pthread_mutex_lock", LOCK_MUTEX },
		{ "__pthread_mutex_lock", LOCK_MUTEX },
		{ "___pthread_mutex_lock", LOCK_MUTEX },
		{ "__pthread_mutex_lock_full", LOCK_MUTEX },
		{ "pthread_mutex_timedlock", LOCK_MUTEX },
		{ "___pthread_mutex_timedlock64", LOCK_MUTEX },
		{ "__pthread_mutex_clocklock_common", LOCK_MUTEX },
		{ "__pthread_mutex_cond_lock", LOCK_MUTEX },
		{ "__lll_lock_wait", LOCK_MUTEX },
		{ "__lll_lock_wait_private", LOCK_MUTEX },
		{ "mtx_lock", LOCK_MUTEX },
		{ "__pthread_rwlock_rdlock", LOCK_RWLOCK },
		{ "___pthread_rwlock_wrlock", LOCK_RWLOCK },
		{ "__pthread_rwlock_wrlock_full64", LOCK_RWLOCK },
		{ "pthread_rwlock_timedrdlock", LOCK_RWLOCK },
		{ "pthread_cond_wait", LOCK_CONDVAR },
		{ "___pthread_cond_wait", LOCK_CONDVAR },
		{ "__pthread_cond_timedwait64", LOCK_CONDVAR },
		{ "pthread_cond_clockwait", LOCK_CONDVAR },
		{ "pthread_cond_wait@@GLIBC_2.3.2", LOCK_CONDVAR },
		{ "cnd_wait", LOCK_CONDVAR },
		{ "___pthread_cond_signal", LOCK_CONDVAR },
		{ "___pthread_cond_broadcast", LOCK_CONDVAR },
		{ "sem_wait", LOCK_SEMAPHORE },
		{ "sem_timedwait", LOCK_SEMAPHORE },
		{ "__new_sem_wait", LOCK_SEMAPHORE },
		{ "__new_sem_wait_slow64.constprop.0", LOCK_SEMAPHORE },
		{ "pthread_barrier_wait", LOCK_BARRIER },
		{ "___pthread_barrier_wait", LOCK_BARRIER },
		{ "pthread_join", LOCK_JOIN },
		{ "__pthread_clockjoin_ex", LOCK_JOIN },
		{ "pthread_timedjoin_np", LOCK_JOIN },
		{ "thrd_join", LOCK_JOIN },
		{ "__pthread_once_slow.isra.0", LOCK_ONCE },
		{ "call_once", LOCK_ONCE },
		{ "__cxa_guard_acquire", LOCK_ONCE },
		/* Nothing that waits for a lock. */
		{ "pthread_create", LOCK_FUTEX },
		{ "pthread_mutex_unlock", LOCK_FUTEX },
		{ "pthread_mutex_trylock", LOCK_FUTEX },
		{ "sem_post", LOCK_FUTEX },
		{ "syscall", LOCK_FUTEX },
		{ "lock_orders", LOCK_FUTEX },
		{ "my_pthread_mutex_lock", LOCK_FUTEX },
		{ "", LOCK_FUTEX },
		{ "___", LOCK_FUTEX },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_name(names[i].name, "libc.so.6", names[i].kind);
}

/* Where a lock begins that waits on the word at WORD + 4. */
enum object {
	AT_WORD,
	BEFORE_WORD, /* at WORD */
	NOWHERE,     /* the word is the thread's own */
};

static void check_where(const char *name, enum object where, uint64_t object)
{
	static const uint64_t at[] = { [AT_WORD] = WORD + 4, [BEFORE_WORD] = WORD, [NOWHERE] = 0 };

	if (object != at[where])
		fail_msg("%s: the object is at 0x%llx", name, (unsigned long long)object);
}

/* musl 1.2, src/internal/pthread_impl.h: _m_lock is the second int of a mutex, other words are the first. */
static void test_musl(void **state)
{
	static const struct {
		const char *api;
		enum lock_kind kind;
		enum object where;
	} names[] = {
		{ "__pthread_mutex_timedlock", LOCK_MUTEX, BEFORE_WORD },
		{ "__pthread_mutex_lock", LOCK_MUTEX, BEFORE_WORD },
		{ "__pthread_rwlock_timedrdlock", LOCK_RWLOCK, AT_WORD },
		{ "__pthread_cond_timedwait", LOCK_CONDVAR, NOWHERE },
		{ "sem_timedwait", LOCK_SEMAPHORE, AT_WORD },
		{ "pthread_barrier_wait", LOCK_BARRIER, AT_WORD },
		{ "__pthread_timedjoin_np", LOCK_JOIN, AT_WORD },
		{ "__pthread_once_full", LOCK_ONCE, AT_WORD },
		{ "__lock", LOCK_MUTEX, AT_WORD },
		{ "__lockfile", LOCK_MUTEX, AT_WORD },
	};
	static const char *const modules[] = { "ld-musl-x86_64.so.1", "static-prog" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t m = 0; m < 2; m++) {
			struct frame frames[] = {
				{ "__timedwait_cp", modules[m] },
				{ "__timedwait", modules[m] },
				{ names[i].api, modules[m] },
				{ "work", "static-prog" },
			};
			struct hu_wait_record rec = futex(HU_OP_WAIT, 2);
			struct target_wait t;

			rec.uaddr = WORD + 4;
			t = classify(frames, 4, &rec);
			assert_int_equal(t.kind, names[i].kind);
			assert_int_equal(t.api, 2);
			check_where(names[i].api, names[i].where, t.object);
		}
}

/* A shared condition variable's waiters wait on the object itself; its mutex afterwards. */
static void test_musl_condvar(void **state)
{
	static const struct frame frames[] = {
		{ "__timedwait", "ld-musl-x86_64.so.1" },
		{ "__pthread_mutex_timedlock", "ld-musl-x86_64.so.1" },
		{ "__pthread_cond_timedwait", "ld-musl-x86_64.so.1" },
		{ "work", "prog" },
	};
	struct hu_wait_record rec = futex(HU_OP_WAIT, 2);
	struct target_wait t;

	rec.uaddr = WORD + 4;
	rec.flags = HU_WAIT_SHARED;
	t = classify(frames + 2, 2, &rec);
	assert_int_equal(t.kind, LOCK_CONDVAR);
	assert_int_equal(t.object, WORD + 4);
	rec.flags = 0;
	t = classify(frames, 4, &rec);
	assert_int_equal(t.kind, LOCK_MUTEX);
	assert_int_equal(t.api, 2);
	assert_int_equal(t.object, WORD);
	assert_false(t.idle);
}

static void test_other_languages(void **state)
{
	static const struct {
		const char *name;
		enum lock_kind kind;
		const char *label;
		enum object where;
	} names[] = {
		{ "std::sys::sync::mutex::futex::Mutex::lock_contended", LOCK_MUTEX, "Rust Mutex",
		  AT_WORD },
		{ "std::sys::unix::locks::futex_mutex::Mutex::lock_contended", LOCK_MUTEX,
		  "Rust Mutex", AT_WORD },
		{ "std::sys::sync::rwlock::futex::RwLock::read_contended", LOCK_RWLOCK,
		  "Rust RwLock", AT_WORD },
		/* state at 0, writer_notify at 4: library/std/src/sys/sync/rwlock/futex.rs */
		{ "std::sys::sync::rwlock::futex::RwLock::write_contended", LOCK_RWLOCK,
		  "Rust RwLock", BEFORE_WORD },
		{ "std::sys::unix::locks::futex_rwlock::RwLock::write_contended", LOCK_RWLOCK,
		  "Rust RwLock", BEFORE_WORD },
		{ "std::sys::sync::condvar::futex::Condvar::wait_timeout", LOCK_CONDVAR,
		  "Rust Condvar", AT_WORD },
		{ "std::sys::sync::once::futex::Once::call", LOCK_ONCE, "Rust Once", AT_WORD },
		{ "std::sync::once::Once::call_inner", LOCK_ONCE, "Rust Once", NOWHERE },
		{ "std::sys::sync::thread_parking::futex::Parker::park", LOCK_PARK,
		  "Rust thread::park", NOWHERE },
		{ "std::sync::mpsc::Receiver<T>::recv", LOCK_PARK, "Rust channel", NOWHERE },
		{ "parking_lot::raw_mutex::RawMutex::lock_slow", LOCK_MUTEX, "parking_lot Mutex",
		  NOWHERE },
		{ "parking_lot::raw_rwlock::RawRwLock::lock_exclusive_slow", LOCK_RWLOCK,
		  "parking_lot RwLock", NOWHERE },
		{ "parking_lot::condvar::Condvar::wait_until_internal", LOCK_CONDVAR,
		  "parking_lot Condvar", NOWHERE },
		{ "runtime.lock2", LOCK_MUTEX, "Go runtime lock", AT_WORD },
		{ "runtime.notesleep", LOCK_PARK, "Go idle thread", NOWHERE },
		{ "runtime.notetsleepg", LOCK_PARK, "Go idle thread", NOWHERE },
		{ "runtime.mallocgc", LOCK_FUTEX, "", AT_WORD },
		{ "std::sys::thread::Thread::join", LOCK_FUTEX, "", AT_WORD },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct frame frames[] = { { names[i].name, "prog" }, { "prog::main", "prog" } };
		struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, 2);
		struct target_wait t;

		rec.uaddr += 4;
		t = classify(frames, 2, &rec);
		if (t.kind != names[i].kind)
			fail_msg("%s: %s", names[i].name, lock_kind__name(t.kind));
		assert_string_equal(t.label, names[i].label);
		assert_int_equal(t.idle, lock_kind__idle(t.kind));
		check_where(names[i].name, names[i].where, t.object);
	}
}

/* The function that the program called is the highest of the library's. */
static void test_api_frame(void **state)
{
	static const struct frame frames[] = {
		{ "__futex_abstimed_wait_common", "libc.so.6" },
		{ "__GI___lll_lock_wait", "libc.so.6" },
		{ "", "libc.so.6" },
		{ "pthread_mutex_lock", "libc.so.6" },
		{ "update_ledger", "prog" },
		{ "pthread_once", "libc.so.6" }, /* of another wait: no business of this one */
	};
	struct hu_wait_record rec = futex(HU_OP_WAIT, 2);
	struct target_wait t = classify(frames, 6, &rec);

	assert_int_equal(t.kind, LOCK_MUTEX);
	assert_int_equal(t.api, 3);
	assert_int_equal(t.object, WORD);
}

static void test_cxx(void **state)
{
	static const struct frame frames[] = {
		{ "pthread_cond_wait", "libc.so.6" },
		{ "std::condition_variable::wait(std::unique_lock<std::mutex>&)", "libstdc++.so.6."
										  "0.30" },
		{ "Pool::run()", "prog" },
	};
	struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, 0);
	struct target_wait t = classify(frames, 3, &rec);

	assert_int_equal(t.kind, LOCK_CONDVAR);
	assert_int_equal(t.api, 0);
}

/* A condition variable's wait ends with taking its mutex back: that is contention. */
static void test_condvar_then_mutex(void **state)
{
	static const struct frame named[] = {
		{ "__lll_lock_wait", "libc.so.6" },
		{ "__pthread_mutex_cond_lock", "libc.so.6" },
		{ "___pthread_cond_wait", "libc.so.6" },
		{ "work", "prog" },
	};
	static const struct frame stripped[] = {
		{ "", "libc.so.6" },
		{ "pthread_cond_wait", "libc.so.6" },
		{ "work", "prog" },
	};
	struct hu_wait_record rec = futex(HU_OP_WAIT, 2);
	struct target_wait t = classify(named, 4, &rec);

	assert_int_equal(t.kind, LOCK_MUTEX);
	assert_int_equal(t.api, 2);
	assert_int_equal(t.object, WORD);
	t = classify(stripped, 3, &rec);
	assert_int_equal(t.kind, LOCK_MUTEX);
	assert_int_equal(t.api, 1);
	assert_int_equal(t.object, WORD);
	/* The condvar itself: FUTEX_WAIT_BITSET, or another value. */
	rec = futex(HU_OP_WAIT_BITSET, 2);
	assert_int_equal(classify(stripped, 3, &rec).kind, LOCK_CONDVAR);
	rec = futex(HU_OP_WAIT, 0);
	assert_int_equal(classify(stripped, 3, &rec).kind, LOCK_CONDVAR);
	/* Without a sample the value says nothing. */
	rec = futex(HU_OP_WAIT, 2);
	rec.sleeps = 0;
	assert_int_equal(classify(stripped, 3, &rec).kind, LOCK_CONDVAR);
}

static void check_call(const struct hu_wait_record *rec, enum lock_kind kind)
{
	struct target_wait t = classify(NULL, 0, rec);

	assert_int_equal(t.kind, kind);
	assert_int_equal(t.api, -1);
	assert_int_equal(t.object, rec->uaddr);
}

static void test_call_alone(void **state)
{
	struct hu_wait_record rec;

	rec = futex(HU_OP_LOCK_PI, 0);
	check_call(&rec, LOCK_MUTEX);
	rec.sleeps = 0; /* the operation says it without a sample, too */
	check_call(&rec, LOCK_MUTEX);
	rec = futex(HU_OP_LOCK_PI2, 0);
	check_call(&rec, LOCK_MUTEX);
	rec = futex(HU_OP_WAIT_REQUEUE_PI, 0);
	check_call(&rec, LOCK_CONDVAR);
	rec = futex(HU_OP_WAITV, 2);
	check_call(&rec, LOCK_FUTEX);
	rec = futex(HU_OP_WAIT2, 2);
	check_call(&rec, LOCK_FUTEX);
}

static void test_lowlevel_lock(void **state)
{
	struct hu_wait_record rec = futex(HU_OP_WAIT, 2);

	check_call(&rec, LOCK_FUTEX); /* the owner was not read */
	rec.flags = HU_WAIT_OWNER_READ;
	check_call(&rec, LOCK_FUTEX); /* nobody's */
	rec.owner_word = 1;
	check_call(&rec, LOCK_MUTEX);
	rec.owner_word = 4 << 20; /* PID_MAX_LIMIT */
	check_call(&rec, LOCK_MUTEX);
	rec.owner_word++;
	check_call(&rec, LOCK_FUTEX);
	rec.owner_word = 1234;
	rec.val = 1;
	check_call(&rec, LOCK_FUTEX);
	rec.val = 2;
	rec.op = HU_OP_WAIT_BITSET; /* pthread_mutex_timedlock */
	check_call(&rec, LOCK_MUTEX);
	rec.op = HU_OP_LOCK_PI + 1; /* no call that waits */
	check_call(&rec, LOCK_FUTEX);
	rec.op = HU_OP_WAIT;
	rec.sleeps = 0;
	check_call(&rec, LOCK_FUTEX);
}

static void test_join_by_call(void **state)
{
	struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, 4711);

	rec.flags = HU_WAIT_SHARED;
	rec.word = 4711;
	check_call(&rec, LOCK_JOIN);
	rec.word = 0;
	check_call(&rec, LOCK_FUTEX);
	rec.word = 4711;
	rec.flags = 0;
	check_call(&rec, LOCK_FUTEX);
	rec.flags = HU_WAIT_SHARED;
	rec.op = HU_OP_WAIT;
	check_call(&rec, LOCK_FUTEX);
	rec.op = HU_OP_WAIT_BITSET;
	rec.val = rec.word = 3; /* rather a lock's state */
	check_call(&rec, LOCK_FUTEX);
	rec.val = rec.word = (4 << 20) + 1;
	check_call(&rec, LOCK_FUTEX);
}

static void check_object(const char *function, uint64_t uaddr, uint32_t val, uint64_t object)
{
	struct frame frames[] = { { function, "libc.so.6" }, { "work", "prog" } };
	struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, val);

	rec.uaddr = uaddr;
	assert_int_equal(classify(frames, 2, &rec).object, object);
}

/* From the word that is waited on to the object, with this C library's own layouts. */
static void test_objects(void **state)
{
	const uint64_t at = WORD;

	check_object("pthread_mutex_lock", at + offsetof(pthread_mutex_t, __data.__lock), 2, at);
	check_object("sem_wait", at, 0, at);
	check_object("pthread_rwlock_wrlock",
		     at + offsetof(pthread_rwlock_t, __data.__wrphase_futex), 1, at);
	check_object("pthread_rwlock_wrlock",
		     at + offsetof(pthread_rwlock_t, __data.__writers_futex), 3, at);
	/* Readers of PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP: RWAITING (4) is set. */
	check_object("pthread_rwlock_rdlock", at + offsetof(pthread_rwlock_t, __data.__readers),
		     4 | 2 | 8 * 3, at);
	check_object("pthread_cond_wait", at + offsetof(pthread_cond_t, __data.__g_signals[0]), 0,
		     at);
	check_object("pthread_cond_wait", at + offsetof(pthread_cond_t, __data.__g_signals[1]), 0,
		     at);
	/* Who signals waits for an earlier group to leave (quiescing, glibc 2.25 to 2.40). */
	check_object("pthread_cond_signal", at + offsetof(pthread_cond_t, __data.__g_refs[0]), 2,
		     at);
	check_object("pthread_cond_broadcast", at + offsetof(pthread_cond_t, __data.__g_refs[1]), 2,
		     at);
	check_object("pthread_barrier_wait", at + 4, 0, at); /* current_round */
	check_object("pthread_barrier_wait", at, 0, at);
	check_object("pthread_join", at + 4, 0, at + 4);
	check_object("pthread_once", at + 4, 0, at + 4);
}

static void test_depth_is_bounded(void **state)
{
	struct frame frames[20];
	struct hu_wait_record rec = futex(HU_OP_WAIT_BITSET, 0);

	for (int i = 0; i < 20; i++)
		frames[i] = (struct frame){ "", "libc.so.6" };
	frames[16] = (struct frame){ "pthread_mutex_lock", "libc.so.6" };
	assert_int_equal(classify(frames, 20, &rec).kind, LOCK_FUTEX);
	frames[15] = frames[16];
	assert_int_equal(classify(frames, 20, &rec).kind, LOCK_MUTEX);
}

/* The program's own futex, used while a library function calls the program back. */
static void test_own_futex_in_a_callback(void **state)
{
	static const struct frame frames[] = {
		{ "syscall", "libc.so.6" }, { "own_lock_slow", "prog" },
		{ "initialise", "prog" },   { "__pthread_once_slow", "libc.so.6" },
		{ "main", "prog" },
	};
	struct hu_wait_record rec = futex(HU_OP_WAIT, 1);
	struct target_wait t = classify(frames, 5, &rec);

	assert_int_equal(t.kind, LOCK_FUTEX);
	assert_int_equal(t.api, -1);
}

static void test_runtime(void **state)
{
	static const struct {
		const char *function, *module;
		bool runtime;
	} frames[] = {
		{ "start_thread", "libc.so.6", true },
		{ "", "libpthread.so.0", true },
		{ "", "libpthread-2.31.so", true },
		{ "", "libc-2.31.so", true },
		{ "", "ld-musl-x86_64.so.1", true },
		{ "execute_native_thread_routine", "libstdc++.so.6.0.30", true },
		{ "", "[vdso]", true },
		{ "std::mutex::lock()", "prog", true },
		{ "core::ops::function::FnOnce::call_once", "prog", true },
		{ "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
		  "prog", true },
		{ "__pthread_mutex_lock", "static-prog", true },
		{ "update_ledger", "prog", false },
		{ "stdio_writer", "prog", false },
		{ "", "prog", false },
		{ "", "", false },
		{ "work", "libcurl.so.4", false },
		{ "", "libjvm.so", true },
		{ "", "python3.11", true },
		{ "", "libpython3.13.so.1.0", true },
		{ "", "numpy.cpython-311-x86_64-linux-gnu.so", false },
		{ "uv_mutex_lock", "node", true },
		{ "worker", "node", false }, /* a name that says little: only its label is known */
		{ "malloc", "prog", false },
		{ "work", "libcrypto.so.3", false },
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct sym_frame f = {
			.function = frames[i].function,
			.raw = frames[i].function,
			.module = frames[i].module,
			.file = "",
		};

		if (target__is_runtime(&f) != frames[i].runtime)
			fail_msg("%s in %s", f.function, f.module);
	}
}

static void test_short_names(void **state)
{
	static const char *const names[][2] = {
		{ "go.etcd.io/etcd/server/mvcc/backend.(*batchTx).lock", "backend.(*batchTx)."
									 "lock" },
		{ "example.com/shop.Handle[...]", "shop.Handle[...]" },
		{ "example.com/shop.put[go/x.T]", "shop.put[go/x.T]" },
		{ "main.main.func1", "main.main.func1" },
		{ "sync.(*Mutex).Lock", "sync.(*Mutex).Lock" },
		{ "ns::operator/(ns::a, ns::b)", "ns::operator/(ns::a, ns::b)" },
		{ "std::vector<a/b.c>::at", "std::vector<a/b.c>::at" },
		{ "pthread_mutex_lock", "pthread_mutex_lock" },
		{ "/", "/" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(target__short_name(names[i][0]), names[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_names),
		cmocka_unit_test(test_kind_names),
		cmocka_unit_test(test_glibc),
		cmocka_unit_test(test_musl),
		cmocka_unit_test(test_musl_condvar),
		cmocka_unit_test(test_other_languages),
		cmocka_unit_test(test_api_frame),
		cmocka_unit_test(test_cxx),
		cmocka_unit_test(test_condvar_then_mutex),
		cmocka_unit_test(test_call_alone),
		cmocka_unit_test(test_lowlevel_lock),
		cmocka_unit_test(test_join_by_call),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_own_futex_in_a_callback),
		cmocka_unit_test(test_runtime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
