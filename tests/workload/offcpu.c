// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that are off the CPU for known reasons, and know for how long.
 *
 * usage: offcpu [--for SECONDS] KIND…
 *
 * Each KIND starts one thread, or those that it takes: sleep, pipe, sync, fault, spin (on the first CPU that it may
 * run on, so that two of them share it), lock (two threads), poll. At the end each tells, as one JSON document, how
 * long it lived, how much of that it ran (CLOCK_THREAD_CPUTIME_ID) and waited for a CPU
 * (/proc/thread-self/schedstat), and how long it was in the calls that are its kind, by its own clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 32
#define FAULT_PAGES 65536
#define FRAME	    __attribute__((noipa))
#define NO_TAIL()   __asm__ volatile("" ::: "memory")

struct thread {
	pthread_t thread;
	void (*work)(struct thread *t);
	const char *kind;
	int tid, fd;
	uint64_t count, off_ns, began_ns, life_ns, run_ns, delay_ns;
};

static struct thread all[THREADS_MAX];
static int cnt;
static uint64_t end_ns;
static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	fprintf(stderr, "offcpu: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static bool over(void)
{
	return now_ns() >= end_ns;
}

static void pause_ns(long ns)
{
	struct timespec t = { .tv_nsec = ns };

	nanosleep(&t, NULL);
}

/* ---- kinds. Each call that is off the CPU stands in a function of its own. */

static FRAME void do_sleep(void)
{
	pause_ns(2000000);
	NO_TAIL();
}

static FRAME void do_read(int fd)
{
	char c;

	if (read(fd, &c, 1) < 0)
		die("read");
	NO_TAIL();
}

static FRAME void do_sync(int fd)
{
	if (pwrite(fd, "x", 1, 0) != 1 || fdatasync(fd))
		die("fdatasync");
	NO_TAIL();
}

static FRAME void do_fault(volatile char *page)
{
	*page = 1;
	NO_TAIL();
}

static FRAME void do_lock(void)
{
	pthread_mutex_lock(&the_lock);
	NO_TAIL();
}

static FRAME void do_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 5);
	NO_TAIL();
}

#define COUNTED(t, call)                           \
	do {                                       \
		uint64_t from_ns = now_ns();       \
		call;                              \
		(t)->off_ns += now_ns() - from_ns; \
		(t)->count++;                      \
	} while (0)

static void work_sleep(struct thread *t)
{
	while (!over())
		COUNTED(t, do_sleep());
}

static void work_read(struct thread *t)
{
	while (!over())
		COUNTED(t, do_read(t->fd));
}

static void work_write(struct thread *t)
{
	/* One more than the reader needs. */
	do {
		pause_ns(3000000);
		if (write(t->fd, "x", 1) != 1)
			die("write");
	} while (!over());
	if (write(t->fd, "x", 1) != 1)
		die("write");
}

static void work_sync(struct thread *t)
{
	char path[] = "./offcpu-sync-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		die(path);
	unlink(path);
	/* Where a disk answers in 50 us, the switches' own time would be a tenth of all, and it is in nobody's sums. */
	while (!over()) {
		COUNTED(t, do_sync(fd));
		pause_ns(500000);
	}
}

static void work_spin(struct thread *t)
{
	cpu_set_t set;
	int cpu = 0;

	t->count = 1;
	sched_getaffinity(0, sizeof(set), &set);
	while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!over())
		for (volatile int i = 0; i < 100000; i++)
			;
}

static void work_lock(struct thread *t)
{
	while (!over()) {
		COUNTED(t, do_lock());
		pause_ns(1000000);
		pthread_mutex_unlock(&the_lock);
		sched_yield();
	}
}

static void work_poll(struct thread *t)
{
	while (!over())
		COUNTED(t, do_poll(t->fd));
}

/* ---- page faults that another thread resolves, a moment later */

static char *fault_area;
static long page_sz;

static void work_fault(struct thread *t)
{
	for (size_t i = 0; i < FAULT_PAGES && !over(); i++)
		COUNTED(t, do_fault(fault_area + i * page_sz));
	end_ns = now_ns(); /* the one that resolves them ends as well */
}

static void work_resolve(struct thread *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	struct uffdio_range area = { .len = FAULT_PAGES * page_sz };
	struct uffd_msg msg;

	while (!over()) {
		struct uffdio_zeropage zero = { .range.len = page_sz };

		if (poll(&p, 1, 20) < 1 || read(t->fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		pause_ns(2000000);
		zero.range.start = msg.arg.pagefault.address & ~(page_sz - 1UL);
		ioctl(t->fd, UFFDIO_ZEROPAGE, &zero);
	}
	/* Who still waits is let go. */
	area.start = (unsigned long)fault_area;
	if (ioctl(t->fd, UFFDIO_UNREGISTER, &area))
		die("UFFDIO_UNREGISTER");
	close(t->fd);
}

static int open_faults(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	page_sz = sysconf(_SC_PAGESIZE);
	fault_area = mmap(NULL, FAULT_PAGES * page_sz, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (unsigned long)fault_area;
	reg.range.len = FAULT_PAGES * page_sz;
	if (fd < 0 || fault_area == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	return fd;
}

/* ---- */

/* Time on run queues so far. */
static uint64_t delay_ns(void)
{
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	uint64_t ns = 0;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 1)
		die("schedstat");
	close(fd);
	sscanf(text, "%*s %lu", &ns);
	return ns;
}

static void *run(void *arg)
{
	struct thread *t = arg;
	uint64_t before_ns;

	t->began_ns = now_ns();
	t->tid = syscall(SYS_gettid);
	before_ns = delay_ns(); /* until it first ran */
	t->work(t);
	t->delay_ns = delay_ns() - before_ns;
	t->run_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	t->life_ns = now_ns() - t->began_ns;
	return NULL;
}

static void add(const char *kind, void (*work)(struct thread *), int fd)
{
	if (cnt == THREADS_MAX)
		die("threads");
	all[cnt++] = (struct thread){ .work = work, .kind = kind, .fd = fd };
}

static void add_kind(const char *kind)
{
	int fds[2];

	if (pipe(fds))
		die("pipe");
	if (!strcmp(kind, "sleep")) {
		add(kind, work_sleep, -1);
	} else if (!strcmp(kind, "pipe")) {
		add("pipe", work_read, fds[0]);
		add("write", work_write, fds[1]);
	} else if (!strcmp(kind, "sync")) {
		add(kind, work_sync, -1);
	} else if (!strcmp(kind, "fault")) {
		int fd = open_faults();

		add(kind, work_fault, -1);
		add("resolve", work_resolve, fd);
	} else if (!strcmp(kind, "spin")) {
		add(kind, work_spin, -1);
	} else if (!strcmp(kind, "lock")) {
		add(kind, work_lock, -1);
		add(kind, work_lock, -1);
	} else if (!strcmp(kind, "poll")) {
		add(kind, work_poll, fds[0]);
	} else {
		fprintf(stderr, "offcpu: no kind %s\n", kind);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	double seconds = 2;
	int first = 1;

	if (argc > 2 && !strcmp(argv[1], "--for")) {
		seconds = atof(argv[2]);
		first = 3;
	}
	for (int i = first; i < argc; i++)
		add_kind(argv[i]);
	end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (int i = 0; i < cnt; i++)
		if (pthread_create(&all[i].thread, NULL, run, &all[i]))
			die("pthread_create");
	for (int i = 0; i < cnt; i++)
		pthread_join(all[i].thread, NULL);
	printf("{\"threads\": [");
	for (int i = 0; i < cnt; i++)
		printf("%s\n {\"tid\": %d, \"kind\": \"%s\", \"count\": %lu, \"off_ns\": %lu, "
		       "\"life_ns\": %lu, \"run_ns\": %lu, \"delay_ns\": %lu}",
		       i ? "," : "", all[i].tid, all[i].kind, all[i].count, all[i].off_ns,
		       all[i].life_ns, all[i].run_ns, all[i].delay_ns);
	printf("\n]}\n");
	return 0;
}
