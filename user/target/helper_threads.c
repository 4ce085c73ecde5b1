// SPDX-License-Identifier: GPL-2.0-only
#include "user/target/helper_threads.h"

#include <string.h>

#include "user/target/table.h"

/* NULL: any. A row matches when all of it does. */
struct helper {
	const char *comm;
	const char *function; /* of the start routine, or of the outermost frames */
	const char *module;   /* of the same */
	const char *whose;
};

static const struct helper helpers[] = {
	/*
	 * HotSpot: every thread begins in thread_native_entry() (src/hotspot/os/linux/os_linux.cpp). Those of the
	 * program have ended when the VM does, unless they are daemons or somebody called System.exit().
	 */
	{ NULL, NULL, "libjvm.so", "JVM" },
	/*
	 * node: workers of V8's platform and the inspector's (src/node_platform.cc, src/inspector_agent.cc); libuv's
	 * pool, which lives until the process ends (src/threadpool.c, worker()).
	 */
	{ NULL, NULL, "node", "node" },
	{ NULL, NULL, "nodejs", "node" },
	{ NULL, NULL, "libnode.so*", "node" },
	{ NULL, NULL, "libuv.so*", "libuv pool" },
	/*
	 * CPython joins all threads at its end but those that were marked as daemons (Lib/threading.py, _shutdown()):
	 * start routine pythread_wrapper(), Python/thread_pthread.h.
	 */
	{ NULL, NULL, "python[23]*", "Python daemon" },
	{ NULL, NULL, "libpython[23]*", "Python daemon" },
	/* Go: its threads are the scheduler's (src/runtime/proc.go, mstart; sys_linux_*.s, clone). */
	{ NULL, "runtime.mstart*", NULL, "Go runtime" },
	{ NULL, "runtime.clone*", NULL, "Go runtime" },
	{ NULL, "runtime/cgo(*", NULL, "Go runtime" },
	{ NULL, "threadentry", NULL, "Go runtime" }, /* src/runtime/cgo/gcc_linux_*.c */
	/*
	 * glibc's own: SIGEV_THREAD timers (sysdeps/unix/sysv/linux/timer_routines.c), mq_notify (mq_notify.c), aio
	 * (rt/aio_misc.c), getaddrinfo_a (resolv/gai_misc.c). Nothing else in it is a start routine.
	 */
	{ NULL, "*timer_helper_thread", NULL, "glibc timer" },
	{ NULL, "handle_fildes_io", NULL, "glibc aio" },
	{ NULL, "handle_requests", NULL, "glibc resolver" },
	/* OpenMP: pools wait for the next parallel region (GCC libgomp/team.c; LLVM openmp/runtime/src/z_Linux_util.cpp). */
	{ NULL, "gomp_thread_start", NULL, "libgomp pool" },
	{ NULL, NULL, "libgomp.so*", "libgomp pool" },
	{ NULL, "__kmp_launch_worker", NULL, "libomp pool" },
	{ NULL, "__kmp_launch_monitor", NULL, "libomp pool" },
	/* oneTBB: src/tbb/private_server.cpp */
	{ NULL, NULL, "libtbb.so*", "TBB pool" },
	/* OpenBLAS: driver/others/blas_server.c, blas_thread_server() */
	{ NULL, "blas_thread_server", NULL, "OpenBLAS pool" },
	{ NULL, NULL, "libopenblas*", "OpenBLAS pool" },
	/* Sanitizers: lib/sanitizer_common, BackgroundThread(); lib/tsan/rtl/tsan_rtl.cpp */
	{ NULL, "*__sanitizer*BackgroundThread*", NULL, "sanitizer" },
	{ NULL, "*__tsan*BackgroundThread*", NULL, "sanitizer" },
	/* jemalloc: src/background_thread.c; by default below its prefix je_ */
	{ NULL, "*background_thread_entry", NULL, "jemalloc" },
	/* GLib: the worker of its main contexts (glib/gmain.c), D-Bus (gio/gdbusprivate.c), pools (glib/gthreadpool.c). */
	{ "gmain", NULL, NULL, "GLib" },
	{ "gdbus", NULL, NULL, "GLib" },
	{ "pool-spawner", NULL, NULL, "GLib" },
	/* Workers of io_uring are threads of the process that never leave the kernel (io_uring/io-wq.c, sqpoll.c). */
	{ "iou-wrk-*", NULL, NULL, "io_uring" },
	{ "iou-sqp-*", NULL, NULL, "io_uring" },
};

#define OUTERMOST 6 /* frames: clone, start_thread, and how a runtime begins */

static bool frame_matches(const struct helper *h, const struct sym_frame *f)
{
	return (!h->function || target__matches(h->function, f->raw) ||
		target__matches(h->function, f->function)) &&
	       (!h->module || target__matches(h->module, f->module));
}

/* Its first function that is not the C library's. */
static const struct sym_frame *first_own(const struct sym_frame *frames, size_t cnt)
{
	for (size_t i = cnt; i-- && cnt - i <= OUTERMOST;)
		if (!target__matches("libc.so*", frames[i].module) &&
		    !target__matches("libc-2.*", frames[i].module) &&
		    !target__matches("libpthread*", frames[i].module) &&
		    !target__matches("ld-musl*", frames[i].module))
			return &frames[i];
	return NULL;
}

static bool matches(const struct helper *h, const char *comm, const struct sym_frame *start,
		    const struct sym_frame *frames, size_t cnt)
{
	const struct sym_frame *own;

	if (h->comm && !target__matches(h->comm, comm))
		return false;
	if (!h->function && !h->module)
		return true;
	if (start)
		return frame_matches(h, start);
	if (h->function)
		for (size_t i = cnt; i-- && cnt - i <= OUTERMOST;)
			if (frame_matches(h, &frames[i]))
				return true;
	own = first_own(frames, cnt);
	return own && frame_matches(h, own);
}

const char *target__helper_thread(const char *comm, const struct sym_frame *start,
				  const struct sym_frame *frames, size_t cnt)
{
	/* What the C library itself starts is its own. */
	if (start && (target__matches("libc.so*", start->module) ||
		      target__matches("libc-2.*", start->module)))
		return "C library";
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
		if (matches(&helpers[i], comm, start, frames, cnt))
			return helpers[i].whose;
	return NULL;
}
