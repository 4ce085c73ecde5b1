// SPDX-License-Identifier: GPL-2.0-only
/* What runtimes built on the C library's locks wait for, and what people call such locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/target/kind.h"

#define WORD	   0x7f0000001000ULL
#define FRAMES_MAX 8
#define STACK_SZ   512

struct wait {
	const char *stack; /* FUNCTION@MODULE < …, leaf first; guessed ones begin with '?' */
	/* What is to be told of it. */
	enum lock_kind kind;
	const char *label;
	int api;
	bool idle, nowhere; /* nowhere: the word is the thread's own */
	bool unsure, known;
	/* What else is given. */
	const char *symbol; /* that the word lies in, at offset 0x188 */
	uint32_t val;
};

#define COND	 "__futex_abstimed_wait_common@libc.so.6 < pthread_cond_wait@libc.so.6"
#define SEM	 "__new_sem_wait_slow64.constprop.0@libc.so.6"
#define LOWLEVEL "__lll_lock_wait_private@libc.so.6"
#define START	 "start_thread@libc.so.6"
#define SYSCALL	 "syscall@libc.so.6 < std::__detail::__platform_wait<int>@prog"
#define RELOCK                                                            \
	"__lll_lock_wait@libc.so.6 < __pthread_mutex_cond_lock@libc.so.6" \
	" < pthread_cond_wait@libc.so.6"

/* Cuts text, whose parts live as long as it does, into frames. */
static size_t parse(char *text, struct sym_frame ret[FRAMES_MAX])
{
	size_t cnt = 0;

	for (char *next; text && cnt < FRAMES_MAX; text = next) {
		char *module;
		bool guessed = *text == '?';

		next = strstr(text, " < ");
		if (next) {
			*next = '\0';
			next += 3;
		}
		module = strrchr(text, '@');
		assert_non_null(module);
		*module++ = '\0';
		text += guessed;
		ret[cnt++] = (struct sym_frame){ .function = text,
						 .raw = text,
						 .module = module,
						 .file = "",
						 .guessed = guessed };
	}
	return cnt;
}

static struct target_wait classify(const struct wait *w)
{
	struct sym_frame f[FRAMES_MAX];
	struct hu_wait_record rec = { .uaddr = WORD, .sleeps = 1, .op = HU_OP_WAIT, .val = w->val };
	struct target_site site = { .frames = f, .rec = &rec };
	char text[STACK_SZ];
	struct target_wait t;

	assert_true(strlen(w->stack) < STACK_SZ);
	strcpy(text, w->stack);
	site.frame_cnt = parse(text, f);
	site.symbol = w->symbol ? w->symbol : "";
	site.symbol_off = w->symbol ? 0x188 : 0;
	memset(&t, 0xff, sizeof(t));
	target__classify(&site, &t);
	return t;
}

static void check(const struct wait *waits, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		const struct wait *w = &waits[i];
		struct target_wait t = classify(w);

		if (t.kind != w->kind || strcmp(t.label, w->label) || t.idle != w->idle ||
		    t.api != w->api || (t.object == 0) != w->nowhere || t.unsure != w->unsure ||
		    t.known_as_label != w->known)
			fail_msg("%s: %s '%s'%s%s%s%s, api %d", w->stack, lock_kind__name(t.kind),
				 t.label, t.idle ? " idle" : "", t.object ? "" : " nowhere",
				 t.unsure ? " unsure" : "", t.known_as_label ? " known" : "",
				 t.api);
	}
}

#define CHECK(waits) check(waits, sizeof(waits) / sizeof((waits)[0]))

static void test_hotspot(void **state)
{
	static const struct wait waits[] = {
		{ .stack = COND " < os::PlatformEvent::park@libjvm.so < "
				"ObjectMonitor::EnterI@libjvm.so < ObjectMonitor::enter@libjvm.so "
				"< @",
		  .kind = LOCK_MUTEX,
		  .label = "Java monitor",
		  .api = 4,
		  .nowhere = true },
		/* Back from Object.wait() a thread waits for the monitor. */
		{ .stack = COND " < os::PlatformEvent::park@libjvm.so < "
				"ObjectMonitor::ReenterI@libjvm.so < ObjectMonitor::wait@libjvm.so "
				"< @",
		  .kind = LOCK_MUTEX,
		  .label = "Java monitor",
		  .api = 4,
		  .nowhere = true },
		{ .stack = COND " < os::PlatformEvent::park@libjvm.so < "
				"ObjectMonitor::wait@libjvm.so < JVM_MonitorWait@libjvm.so",
		  .kind = LOCK_CONDVAR,
		  .label = "Java Object.wait()",
		  .api = 3,
		  .idle = true,
		  .nowhere = true },
		{ .stack = COND " < os::PlatformEvent::park@libjvm.so < "
				"JavaThread::sleep@libjvm.so",
		  .kind = LOCK_CONDVAR,
		  .label = "Java Thread.sleep()",
		  .api = 3,
		  .idle = true,
		  .nowhere = true },
		{ .stack = COND " < Parker::park@libjvm.so < Unsafe_Park@libjvm.so < @",
		  .kind = LOCK_PARK,
		  .label = "Java parked thread",
		  .api = 3,
		  .idle = true,
		  .nowhere = true,
		  .unsure = true },
		{ .stack = "pthread_mutex_lock@libc.so.6 < Mutex::lock@libjvm.so < "
			   "ciEnv::x@libjvm.so",
		  .kind = LOCK_MUTEX,
		  .label = "JVM mutex",
		  .api = 1 },
		{ .stack = COND " < os::PlatformMonitor::wait@libjvm.so < Monitor::wait@libjvm.so "
				"< ClassLoader::x@libjvm.so",
		  .kind = LOCK_CONDVAR,
		  .label = "JVM monitor",
		  .api = 3,
		  .idle = true },
		{ .stack = COND " < os::PlatformMonitor::wait@libjvm.so < Monitor::wait@libjvm.so "
				"< CompileQueue::get@libjvm.so",
		  .kind = LOCK_CONDVAR,
		  .label = "JVM thread at rest",
		  .api = 4,
		  .idle = true,
		  .nowhere = true },
		/* Not at rest any more: it wants the queue's mutex. */
		{ .stack = RELOCK " < os::PlatformMonitor::wait@libjvm.so < "
				  "Monitor::wait@libjvm.so < CompileQueue::get@libjvm.so",
		  .kind = LOCK_MUTEX,
		  .label = "JVM monitor",
		  .api = 5,
		  .nowhere = true },
		{ .stack = SEM " < PosixSemaphore::wait@libjvm.so < GangWorker::loop@libjvm.so",
		  .kind = LOCK_SEMAPHORE,
		  .label = "JVM thread at rest",
		  .api = 2,
		  .idle = true,
		  .nowhere = true },
		{ .stack = SEM " < PosixSemaphore::wait@libjvm.so < "
			       "SemaphoreGangTaskDispatcher::x@libjvm.so",
		  .kind = LOCK_SEMAPHORE,
		  .label = "JVM semaphore",
		  .api = 1 },
		/* Kept waiting by the collector: nobody is idle. */
		{ .stack = COND " < os::PlatformMonitor::wait@libjvm.so < Monitor::wait@libjvm.so "
				"< VMThread::execute@libjvm.so",
		  .kind = LOCK_CONDVAR,
		  .label = "JVM operation",
		  .api = 4 },
		{ .stack = "syscall@libc.so.6 < LinuxWaitBarrier::wait@libjvm.so < "
			   "SafepointSynchronize::block@libjvm.so",
		  .kind = LOCK_BARRIER,
		  .label = "JVM safepoint",
		  .api = 2 },
		/* Classes of other programs may have the same names. */
		{ .stack = COND " < Monitor::wait@prog",
		  .kind = LOCK_CONDVAR,
		  .label = "",
		  .api = 1,
		  .idle = true },
		/* Guessed frames prove nothing. */
		{ .stack = COND " < os::PlatformEvent::park@libjvm.so < "
				"?ObjectMonitor::enter@libjvm.so",
		  .kind = LOCK_PARK,
		  .label = "JVM parked thread",
		  .api = 2,
		  .idle = true,
		  .nowhere = true },

	};

	CHECK(waits);
}

static void test_cpython(void **state)
{
	static const struct wait waits[] = {

		/* Debian's: take_gil() has no name, but what it waits for lies in _PyRuntime. */
		{ .stack = COND " < @python3.11 < PyEval_RestoreThread@python3.11 < @python3.11",
		  .kind = LOCK_MUTEX,
		  .label = "Python GIL",
		  .api = 3,
		  .symbol = "_PyRuntime",
		  .known = true },
		{ .stack = COND " < @python3.11 < @python3.11",
		  .kind = LOCK_MUTEX,
		  .label = "Python GIL",
		  .api = 1,
		  .symbol = "_PyRuntime",
		  .known = true },
		{ .stack = RELOCK " < @python3.11",
		  .kind = LOCK_MUTEX,
		  .label = "Python GIL",
		  .api = 2,
		  .symbol = "_PyRuntime",
		  .known = true },
		{ .stack = COND " < take_gil@python3.11 < @python3.11",
		  .kind = LOCK_MUTEX,
		  .label = "Python GIL",
		  .api = 2,
		  .known = true },
		/* Another condition variable below the same function. */
		{ .stack = COND " < @python3.11 < _PyEval_EvalFrameDefault@python3.11",
		  .kind = LOCK_CONDVAR,
		  .label = "",
		  .api = 1,
		  .idle = true },
		{ .stack = SEM " < PyThread_acquire_lock_timed@python3.11 < @python3.11",
		  .kind = LOCK_SEMAPHORE,
		  .label = "Python lock",
		  .api = 1 },
		{ .stack = SEM " < PyThread_acquire_lock_timed@python3.11 < "
			       "@_queue.cpython-311-x86_64-linux-gnu.so < @python3.11",
		  .kind = LOCK_SEMAPHORE,
		  .label = "Python queue",
		  .api = 2,
		  .idle = true },
		{ .stack = "sem_wait@libc.so.6 < @_multiprocessing.cpython-311-x86_64-linux-gnu.so",
		  .kind = LOCK_SEMAPHORE,
		  .label = "Python multiprocessing lock",
		  .api = 1 },
		/* 3.13: waiters have semaphores of their own. */
		{ .stack = "sem_clockwait@libc.so.6 < _PySemaphore_Wait@python3.11 < "
			   "_PyParkingLot_Park@python3.11 < _PyMutex_LockTimed@python3.11",
		  .kind = LOCK_MUTEX,
		  .label = "Python lock",
		  .api = 3,
		  .nowhere = true },

	};
	struct target_wait t = classify(&waits[0]);

	CHECK(waits);
	assert_int_equal(t.object, WORD - 0x188); /* one lock, whichever of its words */
}

static void test_glibc_labels(void **state)
{
	static const struct wait waits[] = {
		{ .stack = LOWLEVEL " < _int_free@libc.so.6 < free@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "malloc arena",
		  .api = 2,
		  .known = true },
		{ .stack = LOWLEVEL " < malloc@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "malloc arena",
		  .api = 1,
		  .known = true },
		/* Statically linked. */
		{ .stack = "__lll_lock_wait_private@prog < malloc@prog < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "malloc arena",
		  .api = 1,
		  .known = true },
		/* A libc without symbols: FUTEX_WAIT with 2 is its own lock. */
		{ .stack = "@libc.so.6 < malloc@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "malloc arena",
		  .api = 1,
		  .val = 2,
		  .known = true },
		{ .stack = "@libc.so.6 < malloc@libc.so.6 < work@prog",
		  .kind = LOCK_FUTEX,
		  .label = "",
		  .api = -1 },
		/* Another allocator's mutex is no arena of glibc's. */
		{ .stack = "pthread_mutex_lock@libc.so.6 < malloc@libjemalloc.so.2",
		  .kind = LOCK_MUTEX,
		  .label = "",
		  .api = 0 },
		{ .stack = "__lll_lock_wait@prog < pthread_mutex_lock@prog < malloc@prog",
		  .kind = LOCK_MUTEX,
		  .label = "",
		  .api = 1 },
		{ .stack = LOWLEVEL " < __vfprintf_internal@libc.so.6 < fprintf@libc.so.6 < "
				    "work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "stdio FILE lock",
		  .api = 2,
		  .known = true },
		{ .stack = LOWLEVEL " < _IO_link_in@libc.so.6 < fopen64@libc.so.6",
		  .kind = LOCK_MUTEX,
		  .label = "stdio list of files",
		  .api = 1,
		  .known = true },
		{ .stack = LOWLEVEL " < __tz_convert@libc.so.6 < localtime_r@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "time zone lock",
		  .api = 2,
		  .known = true },
		{ .stack = "pthread_mutex_lock@libc.so.6 < dlsym@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "dl_load lock",
		  .api = 1,
		  .symbol = "_rtld_global",
		  .known = true },
		/* A mutex that a library's constructor takes, called by dlopen(). */
		{ .stack = "pthread_mutex_lock@libc.so.6 < construct@plugin.so < "
			   "call_init@ld-linux-x86-64.so.2 < dlopen@libc.so.6",
		  .kind = LOCK_MUTEX,
		  .label = "",
		  .api = 0 },
		{ .stack = LOWLEVEL " < pthread_create@libc.so.6 < work@prog",
		  .kind = LOCK_MUTEX,
		  .label = "thread stack cache",
		  .api = 1,
		  .symbol = "_rtld_global",
		  .known = true },
		{ .stack = LOWLEVEL " < unheard_of@libc.so.6",
		  .kind = LOCK_MUTEX,
		  .label = "",
		  .api = 0 },

	};

	CHECK(waits);
}

static void test_libuv(void **state)
{
	static const struct wait waits[] = {
		{ .stack = COND " < uv_cond_wait@node < worker@node < " START,
		  .kind = LOCK_CONDVAR,
		  .label = "libuv thread pool",
		  .api = 3,
		  .idle = true,
		  .known = true },
		{ .stack = COND " < uv_cond_wait@libuv.so.1.0.0 < @libuv.so.1.0.0 < " START,
		  .kind = LOCK_CONDVAR,
		  .label = "libuv thread pool",
		  .api = 3,
		  .idle = true,
		  .known = true },
		{ .stack = "pthread_mutex_lock@libc.so.6 < uv_mutex_lock@node < work@node",
		  .kind = LOCK_MUTEX,
		  .label = "",
		  .api = 1 },
		{ .stack = COND " < worker@prog < " START,
		  .kind = LOCK_CONDVAR,
		  .label = "",
		  .api = 1,
		  .idle = true },
		{ .stack = SEM " < uv_sem_wait@node < node::inspector::(anonymous "
			       "namespace)::StartIoThreadMain@node",
		  .kind = LOCK_SEMAPHORE,
		  .label = "node inspector thread",
		  .api = 2,
		  .idle = true,
		  .known = true },

	};

	CHECK(waits);
}

static void test_cxx20(void **state)
{
	static const struct wait waits[] = {
		{ .stack = SYSCALL " < work@prog",
		  .kind = LOCK_FUTEX,
		  .label = "C++ atomic wait",
		  .api = 1 },
		{ .stack = SYSCALL " < "
				   "std::__atomic_wait_address_bare<std::__atomic_semaphore::_M_"
				   "acquire()::{lambda()#1}>@prog < work@prog",
		  .kind = LOCK_SEMAPHORE,
		  .label = "C++ semaphore",
		  .api = 2 },
		{ .stack = SYSCALL " < std::__atomic_semaphore::_M_acquire@prog < work@prog",
		  .kind = LOCK_SEMAPHORE,
		  .label = "C++ semaphore",
		  .api = 2 },
		{ .stack = SYSCALL " < std::latch::wait@prog",
		  .kind = LOCK_BARRIER,
		  .label = "C++ latch",
		  .api = 2 },
		{ .stack = "__cxa_guard_acquire@libstdc++.so.6 < work@prog",
		  .kind = LOCK_ONCE,
		  .label = "C++ static",
		  .api = 0 },

	};

	CHECK(waits);
}

static void test_interpreters(void **state)
{
	static const struct {
		const char *function, *module, *interpreter;
	} frames[] = {
		{ "", "python3.11", "CPython" },
		{ "Py_RunMain", "libpython3.12.so.1.0", "CPython" },
		{ "JVM_Sleep", "libjvm.so", "HotSpot" },
		{ "", "", "generated code" },
		{ "Hog::audit", "", NULL },
		{ "main", "prog", NULL },
		{ "clone3", "libc.so.6", NULL },
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct sym_frame f = { .function = frames[i].function,
				       .raw = frames[i].function,
				       .module = frames[i].module,
				       .file = "" };
		const char *found = target__interpreter(&f);

		if (!frames[i].interpreter)
			assert_null(found);
		else
			assert_string_equal(found, frames[i].interpreter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hotspot),	     cmocka_unit_test(test_cpython),
		cmocka_unit_test(test_glibc_labels), cmocka_unit_test(test_libuv),
		cmocka_unit_test(test_cxx20),	     cmocka_unit_test(test_interpreters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
