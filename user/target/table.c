// SPDX-License-Identifier: GPL-2.0-only
/* Functions that wait, by runtime. Each table names the sources its names were taken from. */
#include "user/target/table.h"

#include <fnmatch.h>
#include <string.h>

#define F(name, kind, rank, label, flags)                                \
	{                                                                \
		name, LOCK_##kind, RANK_##rank, label, flags, NULL, NULL \
	}
#define IN(module, name, kind, rank, label, flags)                         \
	{                                                                  \
		name, LOCK_##kind, RANK_##rank, label, flags, module, NULL \
	}

#define LEAST_PLAIN "*?[\\" /* where a pattern stops to be plain text */

/*
 * C, by the names that users call and those inside the libraries (glibc 2.17 to 2.42: nptl/, musl 1.2:
 * src/thread/). Leading underscores are skipped before comparing, so __pthread_… and ___pthread_… match.
 */
static const struct target_function c_functions[] = {
	/* The mutex after a condvar: contention. */
	F("pthread_mutex_cond_lock*", MUTEX, CALL, NULL, 0),
	F("pthread_mutex_lock*", MUTEX, CALL, NULL, 0),
	F("pthread_mutex_timedlock*", MUTEX, CALL, NULL, 0), /* musl: all that wait */
	F("pthread_mutex_clocklock*", MUTEX, CALL, NULL, 0),
	F("mtx_lock", MUTEX, CALL, NULL, 0),
	F("mtx_timedlock", MUTEX, CALL, NULL, 0),
	/* glibc: also the private locks of malloc and stdio (nptl/lowlevellock.c). */
	F("lll_lock_wait*", MUTEX, CALL, NULL, TARGET_LOWLEVEL),
	F("lock", MUTEX, CALL, NULL, 0),		  /* musl's internal __lock() */
	F("lockfile", MUTEX, CALL, "stdio FILE lock", 0), /* musl: src/stdio/__lockfile.c */
	F("pthread_rwlock_*", RWLOCK, CALL, NULL, 0),
	F("pthread_cond_*wait*", CONDVAR, CALL, NULL, 0),
	F("pthread_cond_signal*", CONDVAR, CALL, NULL, 0), /* until earlier waiters have left */
	F("pthread_cond_broadcast*", CONDVAR, CALL, NULL, 0),
	F("cnd_wait", CONDVAR, CALL, NULL, 0),
	F("cnd_timedwait", CONDVAR, CALL, NULL, 0),
	F("sem_wait", SEMAPHORE, CALL, NULL, 0),
	F("sem_timedwait", SEMAPHORE, CALL, NULL, 0),
	F("sem_clockwait", SEMAPHORE, CALL, NULL, 0),
	F("new_sem_*wait*", SEMAPHORE, CALL, NULL, 0),
	F("pthread_barrier_wait", BARRIER, MEANING, NULL, 0),
	F("pthread_*join*", JOIN, CALL, NULL, 0),
	F("thrd_join", JOIN, CALL, NULL, 0),
	F("pthread_once*", ONCE, MEANING, NULL, 0),
	F("call_once", ONCE, MEANING, NULL, 0),
	/* libstdc++ and libc++abi: initialisation of a function's static (libsupc++/guard.cc). */
	F("cxa_guard_acquire", ONCE, MEANING, "C++ static", 0),
	/* libstdc++: std::future (src/c++11/futex.cc). */
	F("std::__atomic_futex_unsigned_base::*", PARK, MEANING, "C++ future", 0),
};

#define LOWLEVEL(name, what) F(name, MUTEX, LABEL, what, TARGET_LOWLEVEL | TARGET_KNOWN)
#define MALLOC(name)	     LOWLEVEL(name, "malloc arena")
#define STDIO(name)	     LOWLEVEL(name, "stdio FILE lock")
#define LOADER(name, what)                                                             \
	{                                                                              \
		name, LOCK_MUTEX, RANK_LABEL, what, TARGET_KNOWN, NULL, "_rtld_global" \
	}

/* What glibc's own locks protect (2.17 to 2.42), by the functions that take them. */
static const struct target_function glibc_labels[] = {
	/* malloc/malloc.c, malloc/arena.c: each arena has a mutex, and so has the list of arenas. */
	MALLOC("malloc*"),
	MALLOC("free"),
	MALLOC("cfree"),
	MALLOC("calloc"),
	MALLOC("realloc*"),
	MALLOC("libc_malloc*"),
	MALLOC("libc_free*"),
	MALLOC("libc_calloc*"),
	MALLOC("libc_realloc*"),
	MALLOC("int_malloc*"),
	MALLOC("int_free*"),
	MALLOC("int_realloc*"),
	MALLOC("int_memalign*"),
	MALLOC("mid_memalign*"),
	MALLOC("*memalign"),
	MALLOC("aligned_alloc"),
	MALLOC("*valloc"),
	MALLOC("mallinfo*"),
	MALLOC("arena_get*"),
	MALLOC("tcache_*"),
	/* libio/: the list of open files (libio/genops.c), then each file's own lock (libio/stdio-lock.h). */
	LOWLEVEL("IO_link_in", "stdio list of files"),
	LOWLEVEL("IO_un_link*", "stdio list of files"),
	LOWLEVEL("IO_flush_all*", "stdio list of files"),
	LOWLEVEL("IO_cleanup", "stdio list of files"),
	STDIO("IO_*"),
	STDIO("*printf*"),
	STDIO("*scanf*"),
	STDIO("*puts*"),
	STDIO("*putc*"),
	STDIO("*getc*"),
	STDIO("*getwc*"),
	STDIO("*putwc*"),
	STDIO("f[gs]et[swp]*"), /* fgets, fgetws, fsetpos */
	STDIO("fgetpos*"),
	STDIO("fread*"),
	STDIO("fwrite*"),
	STDIO("fflush*"),
	STDIO("fclose*"),
	STDIO("fseek*"),
	STDIO("ftell*"),
	STDIO("flockfile"),
	STDIO("getdelim"),
	STDIO("getline"),
	STDIO("perror"),
	STDIO("setvbuf"),
	STDIO("rewind"),
	/* elf/dl-open.c, dl-close.c, dl-sym.c, dl-addr.c, dl-iteratephdr.c: mutexes in _rtld_global. */
	LOADER("dlopen*", "dl_load lock"),
	LOADER("dl_open*", "dl_load lock"),
	LOADER("dlclose*", "dl_load lock"),
	LOADER("dl_close*", "dl_load lock"),
	LOADER("dlsym*", "dl_load lock"),
	LOADER("dl_sym*", "dl_load lock"),
	LOADER("dlvsym*", "dl_load lock"),
	LOADER("dladdr*", "dl_load lock"),
	LOADER("dl_addr*", "dl_load lock"),
	LOADER("dlinfo*", "dl_load lock"),
	LOADER("dlerror_run", "dl_load lock"),
	LOADER("tls_get_addr*", "dl_load lock"),
	LOADER("dl_iterate_phdr", "dl_load lock"),
	/* nptl/allocatestack.c, nptl/nptl-stack.c */
	LOADER("allocate_stack", "thread stack cache"),
	LOADER("get_cached_stack", "thread stack cache"),
	LOADER("pthread_create*", "thread stack cache"),
	LOADER("nptl_deallocate_stack", "thread stack cache"),
	LOADER("nptl_free_tcb", "thread stack cache"),
	/* time/tzset.c, stdlib/random.c, stdlib/setenv.c, misc/syslog.c, stdlib/exit.c */
	LOWLEVEL("tz_convert", "time zone lock"),
	LOWLEVEL("tzset", "time zone lock"),
	LOWLEVEL("localtime*", "time zone lock"),
	LOWLEVEL("mktime*", "time zone lock"),
	LOWLEVEL("strftime*", "time zone lock"),
	LOWLEVEL("random", "random() state"),
	LOWLEVEL("srandom", "random() state"),
	LOWLEVEL("rand", "random() state"),
	LOWLEVEL("setenv", "environment lock"),
	LOWLEVEL("unsetenv", "environment lock"),
	LOWLEVEL("putenv", "environment lock"),
	LOWLEVEL("add_to_environ", "environment lock"),
	LOWLEVEL("*syslog*", "syslog lock"),
	LOWLEVEL("cxa_atexit", "exit handlers lock"),
	LOWLEVEL("cxa_finalize", "exit handlers lock"),
	LOWLEVEL("run_exit_handlers", "exit handlers lock"),
};

/*
 * C++20 as libstdc++ 11 and newer has it (include/bits/atomic_wait.h, semaphore_base.h, std/latch,
 * std/barrier). Most of it is inlined: which of them it is tells the template argument of a function that
 * was not, or debugging information.
 */
static const struct target_function cxx_functions[] = {
	F("std::__atomic_wait_address*<*std::__atomic_semaphore::*", SEMAPHORE, MEANING,
	  "C++ semaphore", 0),
	F("std::__atomic_wait_address*<*std::latch::*", BARRIER, MEANING, "C++ latch", 0),
	F("std::__atomic_wait_address*<*std::__tree_barrier*", BARRIER, MEANING, "C++ barrier", 0),
	F("std::__detail::__platform_wait*", FUTEX, BUILT, "C++ atomic wait", 0),
	F("std::__atomic_semaphore::*", SEMAPHORE, MEANING, "C++ semaphore", 0),
	F("std::__platform_semaphore::*", SEMAPHORE, MEANING, "C++ semaphore", 0),
	F("std::counting_semaphore<*>::*acquire*", SEMAPHORE, MEANING, "C++ semaphore", 0),
	F("std::latch::*wait*", BARRIER, MEANING, "C++ latch", 0),
	F("std::barrier<*>::*wait*", BARRIER, MEANING, "C++ barrier", 0),
	F("std::__tree_barrier*::wait*", BARRIER, MEANING, "C++ barrier", 0),
	F("std::__atomic_base<*>::wait*", FUTEX, BUILT, "C++ atomic wait", 0),
	F("std::atomic<*>::wait*", FUTEX, BUILT, "C++ atomic wait", 0),
};

/*
 * Rust: library/std/src/sys/sync/ and its predecessors sys/unix/locks/ (1.62 to 1.9x), sync/once.rs,
 * sync/barrier.rs, sync/mpsc/; parking_lot 0.11 and 0.12, whose waiters have words of their own threads
 * (parking_lot_core/src/thread_parker/linux.rs).
 */
static const struct target_function rust_functions[] = {
	F("std::sys::*utex*::lock_contended*", MUTEX, CALL, "Rust Mutex", 0),
	F("std::sys::*RwLock::write_contended*", RWLOCK, CALL, "Rust RwLock", TARGET_WRITER),
	F("std::sys::*RwLock::*_contended*", RWLOCK, CALL, "Rust RwLock", 0),
	F("std::sync::*nce::call_inner*", ONCE, MEANING, "Rust Once", TARGET_OWN),
	F("std::sys::*queue*Once::*", ONCE, MEANING, "Rust Once", TARGET_OWN),
	F("std::sys::*nce::call*", ONCE, MEANING, "Rust Once", 0),
	F("std::sys::*nce::wait*", ONCE, MEANING, "Rust Once", 0),
	F("std::sync::*arrier::wait*", BARRIER, MEANING, "Rust Barrier", 0),
	F("std::sync::*ondvar::wait*", CONDVAR, CALL, "Rust Condvar", 0),
	F("std::sys::*ondvar::wait*", CONDVAR, CALL, "Rust Condvar", 0),
	F("std::sync::mpsc*", PARK, MEANING, "Rust channel", TARGET_OWN),
	F("std::sys::*arker::park*", PARK, CALL, "Rust thread::park", TARGET_OWN),
	F("std::thread::*park*", PARK, CALL, "Rust thread::park", TARGET_OWN),
	F("parking_lot::raw_mutex::RawMutex::lock_slow*", MUTEX, MEANING, "parking_lot Mutex",
	  TARGET_OWN),
	F("parking_lot::raw_rwlock::RawRwLock::*_slow*", RWLOCK, MEANING, "parking_lot RwLock",
	  TARGET_OWN),
	F("parking_lot::condvar::Condvar::wait*", CONDVAR, MEANING, "parking_lot Condvar",
	  TARGET_OWN),
	F("parking_lot::once::Once::call_once_slow*", ONCE, MEANING, "parking_lot Once",
	  TARGET_OWN),
};

/* Go: src/runtime/lock_futex.go, lock_spinbit.go; a thread without work sleeps on a note in its m. */
static const struct target_function go_functions[] = {
	F("runtime.lock2", MUTEX, CALL, "Go runtime lock", 0),
	F("runtime.notesleep", PARK, CALL, "Go idle thread", TARGET_OWN),
	F("runtime.notetsleep*", PARK, CALL, "Go idle thread", TARGET_OWN),
};

#define GIL(name)                                                                            \
	{                                                                                    \
		name, LOCK_MUTEX, RANK_BUILT, "Python GIL", TARGET_KNOWN, NULL, "_PyRuntime" \
	}

/*
 * CPython 3.7 to 3.13. The interpreter lock is two mutexes and two condition variables in _PyRuntime
 * (Python/ceval_gil.c, take_gil() and drop_gil()): one lock, that a running thread holds. threading.Lock and
 * all that Lib/threading.py makes of it is a semaphore, which another thread may release, so what kind of
 * waiting it serves only Python's own frames tell (Python/thread_pthread.h, Modules/_threadmodule.c). Since
 * 3.13 it is a PyMutex, whose waiters have semaphores of their own (Python/lock.c, parking_lot.c).
 */
static const struct target_function python_functions[] = {
	F("take_gil*", MUTEX, BUILT, "Python GIL", TARGET_KNOWN),
	F("drop_gil*", MUTEX, BUILT, "Python GIL", TARGET_KNOWN),
	GIL("PyEval_RestoreThread"),
	GIL("PyEval_AcquireThread"),
	GIL("PyEval_AcquireLock"),
	GIL("PyEval_SaveThread"),
	GIL("PyEval_ReleaseThread"),
	GIL("PyEval_EvalFrameDefault*"),
	F("PyThread_acquire_lock*", SEMAPHORE, BUILT, "Python lock", 0),
	F("PyMutex_Lock*", MUTEX, BUILT, "Python lock", TARGET_OWN),
	F("PyRawMutex_Lock*", MUTEX, BUILT, "Python internal lock", TARGET_OWN),
	F("PyRWMutex_*Lock*", RWLOCK, BUILT, "Python internal lock", TARGET_OWN),
	F("PyEvent_Wait*", CONDVAR, BUILT, "Python event", TARGET_OWN),
	/* queue.SimpleQueue.get(): what workers of concurrent.futures wait for (Modules/_queuemodule.c). */
	F("queue_SimpleQueue_get*", INVALID, MEANING, "Python queue", TARGET_IDLE),
	IN("_queue.cpython-*", "*", INVALID, MEANING, "Python queue", TARGET_IDLE),
	IN("_multiprocessing.cpython-*", "*", SEMAPHORE, MEANING, "Python multiprocessing lock", 0),
};

#define JVM(name, kind, rank, label, flags) IN("libjvm.so", name, kind, rank, label, flags)
#define JVM_REST(name)			    JVM(name, INVALID, MEANING, "JVM thread at rest", TARGET_IDLE | TARGET_OWN)

/*
 * HotSpot, OpenJDK 17 to 21: src/hotspot/share/runtime/{objectMonitor,mutex,synchronizer,vmThread,
 * safepoint}.cpp, os/posix/os_posix.cpp, os/linux/waitBarrier_linux.cpp, share/gc. A thread waits for a Java
 * monitor, or parked for java.util.concurrent, on an event of its own: no word names the lock.
 */
static const struct target_function hotspot_functions[] = {
	JVM("ObjectMonitor::enter*", MUTEX, MEANING, "Java monitor", TARGET_OWN),
	JVM("ObjectMonitor::EnterI*", MUTEX, MEANING, "Java monitor", TARGET_OWN),
	JVM("ObjectMonitor::[Rr]eenter*", MUTEX, MEANING, "Java monitor", TARGET_OWN),
	JVM("ObjectMonitor::wait*", CONDVAR, MEANING, "Java Object.wait()", TARGET_OWN),
	JVM("JavaThread::sleep*", CONDVAR, MEANING, "Java Thread.sleep()", TARGET_OWN),
	/* java.util.concurrent: a lock (AbstractQueuedSynchronizer), or a pool without work. */
	JVM("Parker::park*", PARK, MEANING, "Java parked thread", TARGET_OWN | TARGET_UNSURE),
	JVM("Unsafe_Park*", PARK, MEANING, "Java parked thread", TARGET_OWN | TARGET_UNSURE),
	JVM("*PlatformEvent::park*", PARK, BUILT, "JVM parked thread", TARGET_OWN),
	JVM("*PlatformMutex::lock*", MUTEX, BUILT, "JVM mutex", 0),
	JVM("*PlatformMonitor::wait*", CONDVAR, BUILT, "JVM monitor", 0),
	JVM("Mutex::lock*", MUTEX, BUILT, "JVM mutex", 0),
	JVM("Monitor::wait*", CONDVAR, BUILT, "JVM monitor", 0),
	JVM("PosixSemaphore::*wait*", SEMAPHORE, BUILT, "JVM semaphore", 0),
	JVM("Semaphore::wait*", SEMAPHORE, BUILT, "JVM semaphore", 0),
	/* Java threads that may not run on: until the VM thread or the collector is done. */
	JVM("LinuxWaitBarrier::wait*", BARRIER, MEANING, "JVM safepoint", 0),
	JVM("SafepointSynchronize::block*", BARRIER, MEANING, "JVM safepoint", 0),
	JVM("VMThread::execute*", CONDVAR, MEANING, "JVM operation", TARGET_BUSY),
	JVM("VMThread::wait_until_executed*", CONDVAR, MEANING, "JVM operation", TARGET_BUSY),
	JVM("GCLocker::stall_until_clear*", CONDVAR, MEANING, "JVM GC locker", TARGET_BUSY),
	JVM("CompileBroker::wait_for_completion*", CONDVAR, MEANING, "JVM compilation",
	    TARGET_BUSY),
	/* The machine's own threads when there is nothing to do for them: one row is enough. */
	JVM_REST("GangWorker::*"),
	JVM_REST("AbstractGangWorker::*"),
	JVM_REST("WorkerThread::run*"),
	JVM_REST("G1ConcurrentRefineThread::*"),
	JVM_REST("G1ServiceThread::*"),
	JVM_REST("G1ConcurrentMarkThread::*"),
	JVM_REST("ConcurrentGCThread::*"),
	JVM_REST("os::signal_wait*"),
	JVM_REST("signal_thread_entry*"),
	JVM_REST("VMThread::wait_for_operation*"),
	JVM_REST("VMThread::loop*"),
	JVM_REST("CompileQueue::get*"),
	JVM_REST("ServiceThread::*"),
	JVM_REST("MonitorDeflationThread::*"),
	JVM_REST("NMethodSweeper::sweeper_loop*"),
	JVM_REST("NotificationThread::*"),
	JVM_REST("WatcherThread::*"),
	JVM_REST("JVM_WaitForReferencePendingList*"),
	JVM_REST("JfrThread*"),
};

/* The module that libuv is in: node has it linked in. */
#define UV_POOL(name, module) IN(module, name, INVALID, LABEL, "libuv thread pool", TARGET_KNOWN)

/*
 * libuv 1.x: src/unix/thread.c, src/threadpool.c. node 18 to 22: src/node_platform.cc,
 * src/inspector_agent.cc (the thread that waits for SIGUSR1).
 */
static const struct target_function uv_functions[] = {
	F("uv_mutex_lock", MUTEX, CALL, NULL, 0),
	F("uv_rwlock_*lock", RWLOCK, CALL, NULL, 0),
	F("uv_cond_*", CONDVAR, CALL, NULL, 0),
	F("uv*_sem_wait", SEMAPHORE, CALL, NULL, 0),
	F("uv_barrier_wait", BARRIER, MEANING, NULL, 0),
	F("uv_thread_join", JOIN, CALL, NULL, 0),
	F("uv_once", ONCE, MEANING, NULL, 0),
	UV_POOL("worker", "node"),
	/* Without local symbols: nothing else of the library waits for a condition variable. */
	IN("libuv.so*", "*", CONDVAR, LABEL, "libuv thread pool", TARGET_KNOWN),
	UV_POOL("uv_queue_work", "node"),
	UV_POOL("uv__work_submit*", "node"),
	IN("*node*", "node::(anonymous namespace)::PlatformWorkerThread*", INVALID, LABEL,
	   "node worker pool", TARGET_KNOWN),
	IN("*node*", "node::inspector::*::StartIoThreadMain*", SEMAPHORE, MEANING,
	   "node inspector thread", TARGET_IDLE | TARGET_KNOWN),
};

/* What lies in these symbols, whoever waits. */
static const struct target_function symbols[] = {
	F("_PyRuntime", CONDVAR, BUILT, "Python GIL", TARGET_KNOWN),
	F("_PyRuntime", MUTEX, BUILT, "Python GIL", TARGET_KNOWN),
};

#define TABLE(t, c)                              \
	{                                        \
		t, sizeof(t) / sizeof((t)[0]), c \
	}

static const struct {
	const struct target_function *function;
	size_t cnt;
	bool in_c; /* names are compared as they stand in the file */
} tables[] = {
	TABLE(c_functions, true),    TABLE(uv_functions, true),	      TABLE(python_functions, true),
	TABLE(glibc_labels, true),   TABLE(hotspot_functions, false), TABLE(rust_functions, false),
	TABLE(cxx_functions, false), TABLE(go_functions, false),
};

bool target__matches(const char *pattern, const char *text)
{
	size_t plain = strcspn(pattern, LEAST_PLAIN);

	if (strncmp(pattern, text, plain))
		return false;
	if (!pattern[plain])
		return !text[plain];
	if (!strcmp(pattern + plain, "*"))
		return true;
	return !fnmatch(pattern + plain, text + plain, 0);
}

static bool applies(const struct target_function *fn, const struct sym_frame *f, const char *name,
		    const char *symbol)
{
	if (!*name && strcmp(fn->name, "*"))
		return false;
	return target__matches(fn->name, name) &&
	       (!fn->module || target__matches(fn->module, f->module)) &&
	       (!fn->symbol || !strcmp(fn->symbol, symbol));
}

const struct target_function *target__function(const struct sym_frame *f, const char *symbol)
{
	const char *raw = f->raw + strspn(f->raw, "_");
	/* Rust's v0 mangling writes methods as <path::Type>::method. */
	const char *demangled = f->function + (*f->function == '<');

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (size_t i = 0; i < tables[t].cnt; i++) {
			const struct target_function *fn = &tables[t].function[i];
			bool in_c = tables[t].in_c && !strchr(fn->name, ':');

			if (applies(fn, f, in_c ? raw : demangled, symbol))
				return fn;
		}
	return NULL;
}

const struct target_function *target__symbol(const char *symbol, enum lock_kind kind)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		if (symbols[i].kind == kind && !strcmp(symbols[i].name, symbol))
			return &symbols[i];
	return NULL;
}

bool target__is_c(const struct target_function *fn)
{
	return fn >= c_functions && fn < c_functions + sizeof(c_functions) / sizeof(c_functions[0]);
}
