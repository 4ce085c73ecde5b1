// SPDX-License-Identifier: GPL-2.0-only
/*
 * From snapshots to a report. Snapshots are made by hand: their threads have made-up TIDs, but the processes are
 * real, this one and a child of it, so that names, mappings and the words of locks are read as from any other.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "bpf/wait.h"
#include "user/model/stacks.h"
#include "user/sym/kernel.h"
#include "user/util/patience.h"

#define TAKEN_NS    100000000000ULL
#define THREADS_MAX 50000
#define STACKS_MAX  64

/* ---- what is looked at */

static pthread_mutex_t ledger_lock, order_lock, price_lock, stock_lock, mail_lock;
static pthread_rwlock_t catalog;
static pthread_cond_t work_cond;
static uint32_t join_word[2];

/* A page that both processes have, each somewhere else. */
static struct shared {
	pthread_mutex_t mutex;
	pthread_rwlock_t rwlock;
} * shared, *shared_there;
static pid_t other;   /* the child */
static uint32_t dead; /* a TID that nobody has */

static volatile int sink;

__attribute__((noinline)) static void update_ledger(void)
{
	for (int i = 0; i < 3; i++)
		sink += i * 7;
}

__attribute__((noinline)) static void read_catalog(void)
{
	for (int i = 0; i < 4; i++)
		sink -= i * 9;
}

static uint64_t in(void (*function)(void))
{
	return (uint64_t)(uintptr_t)function + 6; /* as a return address */
}

static uint64_t libc_function(const char *name)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), *f;

	assert_non_null(libc);
	f = dlsym(libc, name);
	if (!f)
		fail_msg("the C library has no %s", name);
	dlclose(libc);
	return (uintptr_t)f;
}

static int start_other(void **state)
{
	int fds[2];
	pid_t pid;
	void *there;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe(fds))
		return -1;
	other = fork();
	if (!other) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Twice: by their parent it knows that they are one page, elsewhere. */
		there = mremap(shared, 0, 4096, MREMAP_MAYMOVE);
		if (write(fds[1], &there, sizeof(there)) != sizeof(there))
			_exit(1);
		for (;;)
			pause();
	}
	if (other < 0 || read(fds[0], &shared_there, sizeof(void *)) != sizeof(void *) ||
	    (void *)shared_there == MAP_FAILED)
		return -1;
	pid = fork();
	if (!pid)
		_exit(0);
	dead = pid;
	return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static int end_other(void **state)
{
	kill(other, SIGKILL);
	return waitpid(other, NULL, 0) != other;
}

/* ---- a snapshot in the making */

struct fixture {
	struct snapshot snapshot;
	struct snap_process here, there;
	struct snap_stack *stack[STACKS_MAX];
	size_t stacks;
	struct symbolizer *symbolizer;
	struct stacks_query query;
	struct stacks_input in;
	struct stacks_report *report;
	struct target_memory memory;
};

static int add_process(struct fixture *f, struct snap_process *p, pid_t tgid, const char *comm)
{
	p->tgid = tgid;
	p->opened = true;
	p->threads = 1;
	snprintf(p->comm, sizeof(p->comm), "%s", comm);
	return symbolizer__add_process(f->symbolizer, tgid, &p->names) ||
	       table__add(&f->snapshot.processes, tgid, p);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || symbolizer__new(&f->symbolizer) || calls__new(&f->in.calls) ||
	    kernel_names__new(&f->in.kernel) || add_process(f, &f->here, getpid(), "shop") ||
	    add_process(f, &f->there, other, "shop"))
		return -1;
	f->snapshot.thread = calloc(THREADS_MAX, sizeof(*f->snapshot.thread));
	f->snapshot.taken_ns = TAKEN_NS;
	f->snapshot.clock = true;
	f->in.snapshot = &f->snapshot;
	f->in.symbolizer = f->symbolizer;
	f->query.rows = 20;
	memset(&ledger_lock, 0, sizeof(ledger_lock));
	order_lock = price_lock = stock_lock = mail_lock = ledger_lock;
	memset(&catalog, 0, sizeof(catalog));
	memset(shared, 0, sizeof(*shared));
	join_word[0] = join_word[1] = 0;
	*state = f;
	return f->snapshot.thread ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	stacks_report__free(f->report);
	calls__free(f->in.calls);
	kernel_names__free(f->in.kernel);
	symbolizer__free(f->symbolizer);
	table__clear(&f->snapshot.processes, NULL);
	table__clear(&f->snapshot.by_tid, NULL);
	for (size_t i = 0; i < f->stacks; i++)
		free(f->stack[i]);
	free(f->snapshot.thread);
	free(f);
	return 0;
}

/* leaf <- caller; the same one for the same two. */
static const struct snap_stack *stack(struct fixture *f, struct snap_process *p, const char *leaf,
				      void (*caller)(void))
{
	uint64_t pc = libc_function(leaf);
	struct snap_stack *s;

	for (size_t i = 0; i < f->stacks; i++)
		if (f->stack[i]->process == p && f->stack[i]->stack.pcs[0] == pc &&
		    f->stack[i]->stack.pcs[1] == in(caller))
			return f->stack[i];
	assert_in_range(f->stacks, 0, STACKS_MAX - 1);
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	f->stack[f->stacks++] = s;
	s->process = p;
	s->stack.tgid = p->tgid;
	s->stack.flags = HU_STACK_COMPLETE;
	s->stack.frames = s->stack.exact = 2;
	s->stack.pcs[0] = pc;
	s->stack.pcs[1] = in(caller);
	return s;
}

static struct snap_thread *add_thread(struct fixture *f, struct snap_process *p, uint32_t tid)
{
	struct snap_thread *t = &f->snapshot.thread[f->snapshot.cnt++];

	assert_in_range(f->snapshot.cnt, 1, THREADS_MAX);
	t->process = p;
	t->rec.tgid = t->call.tgid = p->tgid;
	t->rec.tid = t->call.tid = tid;
	t->rec.state = 1; /* TASK_INTERRUPTIBLE */
	t->rec.nr = SYS_pause;
	t->since_ns = TAKEN_NS - 1000000000;
	t->seen = t->steady = true;
	snprintf(t->rec.comm, sizeof(t->rec.comm), "t%u", tid);
	return t;
}

/* One that waits for a word, in a function of the C library that update_ledger() called. */
static struct snap_thread *add_waiter(struct fixture *f, struct snap_process *p, uint32_t tid,
				      const char *function, const void *word, uint16_t op,
				      uint32_t val)
{
	struct snap_thread *t = add_thread(f, p, tid);

	t->rec.nr = SYS_futex;
	t->futex = true;
	t->call.sleeps = 1;
	t->call.op = op;
	t->call.val = val;
	t->call.uaddr = (uintptr_t)word;
	t->stack = stack(f, p, function, update_ledger);
	target_memory__set(&f->memory, p->tgid);
	snap_thread__read_near(t, &f->memory);
	return t;
}

/* A thread that waits for a mutex which the other one has. */
static struct snap_thread *add_blocked(struct fixture *f, uint32_t tid, pthread_mutex_t *m,
				       uint32_t owner)
{
	m->__data.__lock = 2;
	m->__data.__owner = owner;
	return add_waiter(f, &f->here, tid, "pthread_mutex_lock", m, HU_OP_WAIT, 2);
}

static const struct stacks_report *build(struct fixture *f)
{
	struct snapshot *s = &f->snapshot;

	table__clear(&s->by_tid, NULL);
	for (size_t i = 0; i < s->cnt; i++)
		assert_int_equal(table__add(&s->by_tid, hash__mix(0, s->thread[i].rec.tid),
					    &s->thread[i]),
				 0);
	stacks_report__free(f->report);
	f->report = NULL;
	assert_int_equal(stacks_report__build(&f->in, &f->query, &f->report), 0);
	return f->report;
}

static const struct blocked_thread *thread_of(const struct stacks_report *r, uint32_t tid)
{
	for (size_t i = 0; i < r->thread_cnt; i++)
		if (r->thread[i].thread->rec.tid == tid)
			return &r->thread[i];
	fail_msg("there is no thread %u", tid);
	return NULL;
}

static void check_nothing_found(const struct stacks_report *r)
{
	assert_int_equal(r->deadlock_cnt, 0);
	assert_int_equal(r->orphan_cnt, 0);
}

/* ---- tests: circles */

static void test_nobody(void **state)
{
	const struct stacks_report *r = build(*state);

	check_nothing_found(r);
	assert_int_equal(r->thread_cnt, 0);
	assert_int_equal(r->group_cnt, 0);
	assert_int_equal(r->chain_cnt, 0);
	assert_int_equal(r->lock_cnt, 0);
}

static void test_two_threads(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;
	const struct deadlock *d;

	add_blocked(f, 102, &ledger_lock, 101);
	add_blocked(f, 101, &order_lock, 102);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	d = r->deadlock;
	assert_int_equal(d->cnt, 2);
	assert_int_equal(d->behind, 0);
	assert_int_equal(d->thread[0]->thread->rec.tid, 101); /* the lowest one first */
	assert_string_equal(d->thread[0]->lock->name, "order_lock");
	assert_int_equal(d->thread[0]->lock->kind, LOCK_MUTEX);
	assert_int_equal(d->thread[0]->lock->held_by, HELD_OWNER);
	assert_ptr_equal(d->thread[0]->holder, d->thread[1]);
	assert_string_equal(d->thread[1]->lock->name, "ledger_lock");
	assert_ptr_equal(d->thread[1]->holder, d->thread[0]);
	assert_string_equal(d->thread[1]->stack->frames[1].function, "update_ledger");
	assert_int_equal(d->thread[1]->at_least_ns, 1000000000);
	assert_int_equal(r->orphan_cnt, 0);
	assert_int_equal(r->chain_cnt, 0);
}

static void test_itself(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;

	add_blocked(f, 101, &ledger_lock, 101);
	add_blocked(f, 102, &ledger_lock, 101);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->cnt, 1);
	assert_int_equal(r->deadlock->behind, 1);
	assert_int_equal(r->deadlock->thread[0]->thread->rec.tid, 101);
	assert_int_equal(thread_of(r, 101)->behind, 1);
	assert_int_equal(r->lock[0]->waiters, 2);
}

static void test_five_threads(void **state)
{
	pthread_mutex_t *lock[] = { &ledger_lock, &order_lock, &price_lock, &stock_lock,
				    &mail_lock };
	struct fixture *f = *state;
	const struct stacks_report *r;

	for (uint32_t i = 0; i < 5; i++)
		add_blocked(f, 100 + i, lock[i], 100 + (i + 1) % 5);
	add_blocked(f, 110, &stock_lock, 104); /* behind: directly, and through another one */
	add_blocked(f, 111, &stock_lock, 104);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->cnt, 5);
	assert_int_equal(r->deadlock->behind, 2);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(r->deadlock->thread[i]->thread->rec.tid, 100 + i);
		assert_int_equal(r->deadlock->thread[i]->behind, 6);
	}
	assert_int_equal(thread_of(r, 110)->behind, 0);
}

/* Each of these alone is enough for there to be no finding. */
static void test_unsure_circles(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *first = add_blocked(f, 101, &order_lock, 102);

	add_blocked(f, 102, &ledger_lock, 101);
	assert_int_equal(build(f)->deadlock_cnt, 1);
	first->call.flags |= HU_WAIT_TIMED;
	check_nothing_found(build(f));
	assert_int_equal(thread_of(f->report, 101)->holder->thread->rec.tid, 102);
	assert_int_equal(thread_of(f->report, 102)->behind, 1);
	first->call.flags = 0;
	first->steady = false;
	check_nothing_found(build(f));
	first->steady = true;
	first->moved = true;
	check_nothing_found(build(f));
	assert_int_equal(f->report->coverage.moved, 1);
	first->moved = false;
	/* Another one tells who has the lock: that this one waits for it still is not sure. */
	first->steady = false;
	add_blocked(f, 103, &order_lock, 102);
	check_nothing_found(build(f));
	assert_non_null(thread_of(f->report, 101)->holder);
	f->snapshot.cnt--;
	first->steady = true;
	first->rec.state = 0; /* it has been woken */
	check_nothing_found(build(f));
	assert_int_equal(f->report->runnable, 1);
	first->rec.state = 1;
	assert_int_equal(build(f)->deadlock_cnt, 1);
}

/* Two waiters read different owners: it went from one to the other meanwhile. */
static void test_waiters_disagree(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;

	add_blocked(f, 101, &order_lock, 102);
	add_blocked(f, 102, &ledger_lock, 101);
	add_blocked(f, 103, &ledger_lock, 104);
	r = build(f);
	check_nothing_found(r);
	assert_false(thread_of(r, 102)->lock->steady);
	add_blocked(f, 105, &stock_lock, dead);
	add_blocked(f, 106, &stock_lock, 101);
	check_nothing_found(build(f));
}

/* Many circles, long tails and a crowd: in time that grows as the threads do (the runner ends what takes minutes). */
static void test_crowd(void **state)
{
	static pthread_mutex_t many[THREADS_MAX];
	struct fixture *f = *state;
	const struct stacks_report *r;
	uint32_t tid = 100;

	for (int i = 0; i < 10000; i += 2, tid += 2) {
		add_blocked(f, tid, &many[i], tid + 1);
		add_blocked(f, tid + 1, &many[i + 1], tid);
	}
	add_blocked(f, tid, &ledger_lock,
		    100); /* a chain, of which the last one waits for a circle */
	for (int i = 10000; i < 30000; i++, tid++)
		add_blocked(f, tid + 1, &many[i], tid);
	for (int i = 0; i < 1000; i++)
		add_blocked(f, ++tid, &order_lock, 101);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 5000);
	assert_int_equal(r->deadlock[0].behind, 20001 + 1000);
	assert_int_equal(r->deadlock[1].behind, 0);
	assert_int_equal(thread_of(r, 100)->behind, 21002);
	assert_int_equal(r->orphan_cnt, 0);
	memset(many, 0, sizeof(many));
}

/* ---- tests: owners */

static void test_orphan(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;

	add_blocked(f, 101, &ledger_lock, dead);
	add_blocked(f, 102, &ledger_lock, dead);
	r = build(f);
	assert_int_equal(r->orphan_cnt, 1);
	assert_string_equal(r->orphan[0]->name, "ledger_lock");
	assert_int_equal(r->orphan[0]->owner_word, dead);
	assert_int_equal(r->orphan[0]->held_by, HELD_GONE);
	assert_int_equal(r->orphan[0]->waiters, 2);
	assert_null(r->orphan[0]->owner);
	assert_null(thread_of(r, 101)->holder);
	assert_int_equal(r->deadlock_cnt, 0);
}

/* It came after the first look, released the lock, and ended before we asked for it. */
static void test_orphan_for_a_moment(void **state)
{
	struct fixture *f = *state;

	add_blocked(f, 101, &ledger_lock, dead);
	ledger_lock.__data.__owner = 0;
	ledger_lock.__data.__lock = 0;
	check_nothing_found(build(f));
	ledger_lock.__data.__owner = 101;
	ledger_lock.__data.__lock = 2;
	check_nothing_found(build(f));
	ledger_lock.__data.__owner = dead;
	assert_int_equal(build(f)->orphan_cnt, 1);
}

/* A main thread that has ended stays for as long as its process does; one that ends may clean up still. */
static void test_owner_ends(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *owner = add_thread(f, &f->here, 100);

	owner->rec.flags = HU_THREAD_EXITING;
	owner->rec.state = 0;
	owner->steady = false;
	add_blocked(f, 101, &ledger_lock, 100);
	check_nothing_found(build(f));
	assert_ptr_equal(thread_of(f->report, 101)->holder->thread, owner);
	owner->rec.state = 0x80; /* TASK_DEAD */
	build(f);
	assert_int_equal(f->report->orphan_cnt, 1);
	assert_int_equal(f->report->orphan[0]->owner_word, 100);
	assert_null(thread_of(f->report, 101)->holder);
	assert_int_equal(f->report->chain_cnt, 0);
}

/* Of a process that is not looked at, and that its parent has not asked for. */
static void test_zombie(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *t;
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	shared->mutex.__data.__lock = 2;
	shared->mutex.__data.__owner = pid;
	t = add_waiter(f, &f->here, 101, "pthread_mutex_lock", &shared->mutex, HU_OP_WAIT, 2);
	t->call.flags = HU_WAIT_SHARED;
	assert_int_equal(build(f)->orphan_cnt, 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Threads that came after the first look are not in the snapshot: they are alive all the same. */
static void test_owner_not_listed(void **state)
{
	struct fixture *f = *state;

	add_blocked(f, 101, &ledger_lock, getpid());
	check_nothing_found(build(f));
	assert_int_equal(f->report->lock[0]->held_by, HELD_OWNER);
	assert_null(f->report->lock[0]->owner);
}

/* Only a lock that processes share can be held by a thread of another one. */
static void test_number_of_another_process(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *there = add_thread(f, &f->there, dead);
	struct snap_thread *waiter;

	add_blocked(f, 101, &ledger_lock, dead);
	shared->mutex.__data.__lock = 2;
	shared->mutex.__data.__owner = dead;
	waiter = add_waiter(f, &f->here, 102, "pthread_mutex_lock", &shared->mutex, HU_OP_WAIT, 2);
	waiter->call.flags = HU_WAIT_SHARED;
	build(f);
	assert_int_equal(f->report->orphan_cnt, 1);
	assert_string_equal(f->report->orphan[0]->name, "ledger_lock");
	assert_true(thread_of(f->report, 102)->lock->shared);
	assert_ptr_equal(thread_of(f->report, 102)->holder->thread, there);
}

static void test_across_processes(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *t, *writer;
	const struct stacks_report *r;

	shared->mutex.__data.__lock = 2;
	shared->mutex.__data.__owner = 101;
	shared->rwlock.__data.__readers = 3;
	shared->rwlock.__data.__cur_writer = 102;
	t = add_waiter(f, &f->there, 102, "pthread_mutex_lock", &shared_there->mutex, HU_OP_WAIT,
		       2);
	t->call.flags = HU_WAIT_SHARED;
	writer = add_waiter(f, &f->there, 103, "pthread_rwlock_wrlock",
			    &shared_there->rwlock.__data.__writers_futex, HU_OP_WAIT_BITSET, 1);
	writer->call.flags = HU_WAIT_SHARED;
	t = add_waiter(f, &f->here, 101, "pthread_rwlock_rdlock",
		       &shared->rwlock.__data.__wrphase_futex, HU_OP_WAIT_BITSET, 3);
	t->call.flags = HU_WAIT_SHARED;
	r = build(f);
	assert_int_equal(r->lock_cnt, 2); /* each is one, wherever it is mapped */
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->cnt, 2);
	assert_int_equal(r->deadlock->behind, 1);
	assert_ptr_equal(thread_of(r, 101)->lock, thread_of(r, 103)->lock);
	assert_true(thread_of(r, 101)->lock->steady);
	assert_int_equal(thread_of(r, 101)->object, (uintptr_t)&shared->rwlock);
	assert_int_equal(thread_of(r, 103)->object, (uintptr_t)&shared_there->rwlock);
	/* Whose words are believed is not the one by whose address the lock is known. */
	writer->steady = false;
	assert_int_equal(build(f)->deadlock_cnt, 1);
}

static void hand_shared_to(struct fixture *f, struct snap_thread *waiter, pid_t owner)
{
	shared->mutex.__data.__owner = owner;
	target_memory__set(&f->memory, waiter->process->tgid);
	snap_thread__read_near(waiter, &f->memory);
}

/* Numbers of another PID namespace are looked for there: in the process, and for shared locks in the others too. */
static void test_pid_namespace(void **state)
{
	struct fixture *f = *state;
	struct snap_thread *self, *waiter;

	f->here.in_pid_namespace = true;
	add_blocked(f, 101, &ledger_lock, getpid()); /* whose number is the same in both, here */
	shared->mutex.__data.__lock = 2;
	shared->mutex.__data.__owner = dead;
	waiter = add_waiter(f, &f->here, 102, "pthread_mutex_lock", &shared->mutex, HU_OP_WAIT, 2);
	waiter->call.flags = HU_WAIT_SHARED;
	self = add_thread(f, &f->here, getpid());
	assert_int_equal(build(f)->orphan_cnt, 1); /* nobody elsewhere has the memory mapped */
	assert_int_equal(f->report->deadlock_cnt, 0);
	assert_ptr_equal(thread_of(f->report, 101)->holder->thread, self);
	assert_int_equal(thread_of(f->report, 102)->lock->held_by, HELD_GONE);
	/* A process that is not in the snapshot, and has it mapped; one that lives, and has not. */
	hand_shared_to(f, waiter, other);
	check_nothing_found(build(f));
	assert_int_equal(thread_of(f->report, 102)->lock->held_by, HELD_OWNER);
	assert_null(thread_of(f->report, 102)->holder);
	hand_shared_to(f, waiter, getppid());
	assert_int_equal(build(f)->orphan_cnt, 1);
	hand_shared_to(f, waiter, getpid());
	check_nothing_found(build(f));
	assert_ptr_equal(thread_of(f->report, 102)->holder->thread, self);
	add_blocked(f, 103, &order_lock, dead);
	assert_int_equal(build(f)->orphan_cnt, 1);
}

static void test_words_with_owner(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;

	/* As of PI and robust mutexes, both of which have the waiters' bit in the word. */
	ledger_lock.__data.__lock = HU_FUTEX_WAITERS | 102;
	order_lock.__data.__lock = HU_FUTEX_WAITERS | 101;
	add_waiter(f, &f->here, 101, "pthread_mutex_lock", &ledger_lock, HU_OP_LOCK_PI, 0);
	add_waiter(f, &f->here, 102, "pthread_mutex_lock", &order_lock, HU_OP_WAIT,
		   HU_FUTEX_WAITERS | 101);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->cnt, 2);
}

/* FUTEX_OWNER_DIED: the kernel has said it to a waiter, who is to clean up. */
static void test_robust_is_no_orphan(void **state)
{
	struct fixture *f = *state;

	ledger_lock.__data.__lock = HU_FUTEX_WAITERS | 0x40000000;
	add_waiter(f, &f->here, 101, "pthread_mutex_lock", &ledger_lock, HU_OP_WAIT,
		   HU_FUTEX_WAITERS | dead);
	check_nothing_found(build(f));
	assert_int_equal(f->report->lock[0]->held_by, HELD_NOBODY);
}

/* musl's normal mutexes hold EBUSY, which is nobody's TID. */
static void test_musl(void **state)
{
	struct fixture *f = *state;

	ledger_lock.__data.__lock = HU_FUTEX_WAITERS | 16;
	add_waiter(f, &f->here, 101, "pthread_mutex_timedlock", &ledger_lock, HU_OP_WAIT,
		   HU_FUTEX_WAITERS | 16);
	add_thread(f, &f->here, 16);
	check_nothing_found(build(f));
	assert_int_equal(f->report->lock[0]->kind, LOCK_MUTEX);
	assert_int_equal(f->report->lock[0]->held_by, HELD_UNKNOWN);
}

static void test_rwlock(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;

	catalog.__data.__readers = 3;
	catalog.__data.__cur_writer = 101;
	add_waiter(f, &f->here, 102, "pthread_rwlock_rdlock", &catalog.__data.__wrphase_futex,
		   HU_OP_WAIT_BITSET, 3);
	add_waiter(f, &f->here, 103, "pthread_rwlock_wrlock", &catalog.__data.__writers_futex,
		   HU_OP_WAIT_BITSET, 1);
	add_blocked(f, 101, &ledger_lock, 102);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->behind, 1);
	assert_string_equal(r->deadlock->thread[1]->lock->name, "catalog");
	assert_int_equal(r->deadlock->thread[1]->lock->kind, LOCK_RWLOCK);
	/* While readers have it, who wrote last says nothing. */
	catalog.__data.__readers = 8 + 2;
	f->snapshot.cnt = 0;
	add_waiter(f, &f->here, 103, "pthread_rwlock_wrlock", &catalog.__data.__writers_futex,
		   HU_OP_WAIT_BITSET, 1);
	check_nothing_found(build(f));
	assert_int_equal(f->report->lock[0]->held_by, HELD_UNKNOWN);
}

static struct snap_thread *add_join(struct fixture *f, uint32_t tid, int word, uint32_t target)
{
	struct snap_thread *t;

	join_word[word] = target;
	t = add_waiter(f, &f->here, tid, "pthread_join", &join_word[word], HU_OP_WAIT_BITSET,
		       target);
	t->call.flags = HU_WAIT_SHARED;
	return t;
}

static void test_join(void **state)
{
	struct fixture *f = *state;
	const struct stacks_report *r;
	struct snap_thread *t = add_join(f, 101, 0, 102);

	add_blocked(f, 102, &ledger_lock, 101);
	r = build(f);
	assert_int_equal(r->deadlock_cnt, 1);
	assert_int_equal(r->deadlock->cnt, 2);
	assert_int_equal(thread_of(r, 101)->lock->kind, LOCK_JOIN);
	assert_int_equal(thread_of(r, 101)->lock->held_by, HELD_TARGET);
	/* musl waits for a state, which is a small number, privately. */
	t->call.flags = 0;
	check_nothing_found(build(f));
	assert_null(thread_of(f->report, 101)->holder);
	/* Nobody can be joined by another process. */
	t->call.flags = HU_WAIT_SHARED;
	t->call.val = 103;
	add_thread(f, &f->there, 103);
	check_nothing_found(build(f));
	assert_null(thread_of(f->report, 101)->holder);
	assert_int_equal(thread_of(f->report, 103)->behind, 0);
}

/* glibc parks a thread for ever whose PI mutex the kernel refused. */
static void test_parked(void **state)
{
	struct fixture *f = *state;
	uint32_t zero = 0;
	struct snap_thread *t;

	ledger_lock.__data.__lock = 101;
	ledger_lock.__data.__kind = 32;
	t = add_waiter(f, &f->here, 101, "pthread_mutex_lock", &zero, HU_OP_WAIT, 0);
	t->rec.sp = (uintptr_t)&zero - 64;
	t->rec.saved[1] = (uintptr_t)&ledger_lock;
	build(f);
	assert_int_equal(f->report->deadlock_cnt, 1);
	assert_int_equal(f->report->deadlock->cnt, 1);
	assert_string_equal(f->report->lock[0]->name, "ledger_lock");
	ledger_lock.__data.__lock = dead;
	t->rec.saved[1] += 16;
	assert_int_equal(build(f)->orphan_cnt, 1);
	/* Two candidates: which it is, can't be told. */
	order_lock.__data.__lock = 102;
	order_lock.__data.__kind = 32;
	t->rec.saved[2] = (uintptr_t)&order_lock;
	check_nothing_found(build(f));
}

/* ---- tests: chains */

static void test_chain(void **state)
{
	struct fixture *f = *state;
	const struct wait_chain *c;
	struct snap_thread *root = add_thread(f, &f->here, 100);

	root->rec.nr = SYS_fdatasync;
	add_blocked(f, 101, &ledger_lock, 100);
	add_blocked(f, 102, &order_lock, 101);
	add_blocked(f, 103, &price_lock, 102);
	add_blocked(f, 104, &price_lock, 102);
	add_blocked(f, 105, &stock_lock, 100);
	add_blocked(f, 106, &stock_lock, 100);
	assert_int_equal(build(f)->chain_cnt, 1);
	c = f->report->chain;
	assert_ptr_equal(c->root->thread, root);
	assert_int_equal(c->waiters, 6);
	assert_int_equal(c->lock_cnt, 2);
	assert_string_equal(c->lock[0]->name, "stock_lock"); /* most waiters first */
	assert_string_equal(c->lock[1]->name, "ledger_lock");
	assert_string_equal(c->root->call.call, "fdatasync");
	assert_int_equal(thread_of(f->report, 101)->behind, 3);
	assert_int_equal(thread_of(f->report, 102)->behind, 2);
	check_nothing_found(f->report);
}

static void test_forty_one_behind_one(void **state)
{
	struct fixture *f = *state;

	add_thread(f, &f->here, 50); /* in pause(), idle otherwise */
	add_thread(f, &f->here, 51);
	add_blocked(f, 99, &order_lock, 51);
	for (uint32_t i = 0; i < 41; i++)
		add_blocked(f, 100 + i, &ledger_lock, 50);
	assert_int_equal(build(f)->chain_cnt, 2);
	assert_int_equal(f->report->chain[0].waiters, 41);
	assert_int_equal(f->report->chain[0].root->thread->rec.tid, 50);
	assert_false(f->report->chain[0].root->idle);
	assert_int_equal(f->report->chain[1].waiters, 1);
	assert_int_equal(f->report->idle, 0);
	assert_string_equal(f->report->lock[0]->name, "ledger_lock");
	assert_int_equal(f->report->lock[0]->waiters, 41);
}

/* ---- tests: groups */

static void test_groups(void **state)
{
	struct fixture *f = *state;
	const struct blocked_group *g;
	struct snap_thread *t;

	for (uint32_t i = 0; i < 3; i++)
		add_blocked(f, 101 + i, &ledger_lock, 150)->since_ns = TAKEN_NS - (i + 1) * 1000;
	add_blocked(f, 104, &order_lock, 150)->since_ns = 0; /* not known */
	add_waiter(f, &f->there, 201, "pthread_mutex_lock", &order_lock, HU_OP_WAIT, 2);
	t = add_waiter(f, &f->here, 105, "pthread_mutex_lock", &order_lock, HU_OP_WAIT, 2);
	t->stack = stack(f, &f->here, "pthread_mutex_lock", read_catalog);
	for (uint32_t i = 0; i < 7; i++)
		add_waiter(f, &f->here, 120 + i, "pthread_cond_wait",
			   &work_cond.__data.__g_signals[0], HU_OP_WAIT_BITSET, 0);
	t = add_thread(f, &f->here, 140);
	t->rec.state = 2; /* uninterruptible */
	t->rec.nr = SYS_fdatasync;
	t = add_thread(f, &f->here, 150);
	t->rec.flags = HU_THREAD_ON_CPU;
	t->rec.state = 0;
	add_thread(f, &f->here, 151)->rec.state = 0;
	build(f);
	assert_int_equal(f->report->group_cnt, 6);
	g = f->report->group; /* one entry for the same functions, in whichever process */
	assert_int_equal(g->cnt, 5);
	assert_int_equal(g->processes, 2);
	assert_int_equal(g->locks, 3);
	assert_int_equal(g->most_ns, 1000000000);
	assert_int_equal(g->least_ns, 1000);
	assert_int_equal(g->thread[0]->thread->rec.tid, 201); /* longest first */
	assert_int_equal(g->thread[4]->thread->rec.tid, 104);
	assert_int_equal(g[1].cnt, 1);
	assert_int_equal(g[1].thread[0]->thread->rec.tid, 105);
	assert_int_equal(g[2].thread[0]->state, BLOCKED_DISK);
	assert_int_equal(g[3].thread[0]->state, BLOCKED_RUNNABLE);
	assert_int_equal(g[4].cnt, 7);
	assert_true(g[4].thread[0]->idle);
	assert_int_equal(g[4].locks, 1);
	assert_int_equal(g[5].thread[0]->state, BLOCKED_RUNNING);
	assert_int_equal(f->report->idle, 7);
	assert_int_equal(f->report->running, 1);
	assert_int_equal(f->report->runnable, 1);
	assert_int_equal(f->report->processes, 2);
}

static void test_states(void **state)
{
	static const struct {
		uint32_t state;
		uint16_t flags;
		enum blocked_state is;
	} of[] = {
		{ 0, HU_THREAD_ON_CPU, BLOCKED_RUNNING },
		{ 1, HU_THREAD_ON_CPU, BLOCKED_RUNNING },
		{ 0, 0, BLOCKED_RUNNABLE },
		{ 1, 0, BLOCKED_SLEEPING },
		{ 0x2001, 0, BLOCKED_SLEEPING },
		{ 2, 0, BLOCKED_DISK },
		{ 0x102, 0, BLOCKED_DISK },
		{ 4, 0, BLOCKED_STOPPED },
		{ 8, 0, BLOCKED_STOPPED },
		{ 1, HU_THREAD_EXITING, BLOCKED_EXITING },
	};
	size_t cnt = sizeof(of) / sizeof(of[0]);
	struct fixture *f = *state;

	for (uint32_t i = 0; i < cnt; i++) {
		struct snap_thread *t = add_thread(f, &f->here, 101 + i);

		t->rec.state = of[i].state;
		t->rec.flags = of[i].flags;
	}
	build(f);
	for (size_t i = 0; i < cnt; i++)
		assert_int_equal(f->report->thread[i].state, of[i].is);
	assert_int_equal(f->report->running, 2);
	assert_int_equal(f->report->thread[0].at_least_ns, 0); /* it is not blocked */
	assert_string_equal(blocked_state__name(BLOCKED_DISK), "uninterruptible");
	assert_string_equal(blocked_state__name(99), "invalid");
}

/* ---- tests: hostile values */

static void test_no_tid(void **state)
{
	static const uint32_t owner[] = { PID_MAX_LIMIT + 1, 0x3fffffff, 0x40000000, 0xffffffff };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(owner) / sizeof(owner[0]); i++) {
		f->snapshot.cnt = 0;
		add_blocked(f, 101, &ledger_lock, owner[i]);
		check_nothing_found(build(f));
		assert_int_equal(f->report->lock[0]->held_by, HELD_UNKNOWN);
		f->snapshot.cnt = 0;
		ledger_lock.__data.__lock = HU_FUTEX_WAITERS | (owner[i] & 0x3fffffff);
		add_waiter(f, &f->here, 101, "pthread_mutex_lock", &ledger_lock, HU_OP_LOCK_PI, 0);
		check_nothing_found(build(f));
		catalog.__data.__readers = 3;
		catalog.__data.__cur_writer = owner[i];
		f->snapshot.cnt = 0;
		add_waiter(f, &f->here, 101, "pthread_rwlock_wrlock",
			   &catalog.__data.__writers_futex, HU_OP_WAIT, 3);
		check_nothing_found(build(f));
		f->snapshot.cnt = 0;
		add_join(f, 101, 0, owner[i]);
		check_nothing_found(build(f));
	}
}

/* Words at the edges of the address space, and where nothing is. */
static void test_wild_addresses(void **state)
{
	static const uint64_t at[] = {
		0, 4, 8, 12, 1ULL << 32, (1ULL << 47) - 4, ~0ULL - 3, ~0ULL - 15, 1ULL << 63,
	};
	static const char *const functions[] = { "pthread_mutex_lock",	  "pthread_rwlock_rdlock",
						 "pthread_rwlock_wrlock", "pthread_cond_wait",
						 "pthread_join",	  "sem_wait",
						 "pthread_barrier_wait" };
	static const uint32_t vals[] = { 0, 2, 3, 0xffffffff, HU_FUTEX_WAITERS | 101 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		for (size_t n = 0; n < sizeof(functions) / sizeof(functions[0]); n++) {
			f->snapshot.cnt = 0;
			for (uint32_t v = 0; v < sizeof(vals) / sizeof(vals[0]); v++) {
				struct snap_thread *t =
					add_waiter(f, &f->here, 101 + v, functions[n],
						   (void *)(uintptr_t)at[i], HU_OP_WAIT, vals[v]);

				assert_int_equal(t->near_to, 0);
				t->call.flags = v & 1 ? HU_WAIT_SHARED : 0;
				t->rec.sp = at[i] - 8; /* parked? */
				t->rec.saved[0] = at[i];
			}
			check_nothing_found(build(f));
		}
}

/* A page that ends right behind, or begins right before, the word: what there is, is read. */
static void test_words_at_an_edge(void **state)
{
	struct fixture *f = *state;
	uint8_t *page =
		mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct snap_thread *t;
	uint32_t word;

	assert_ptr_not_equal(page, MAP_FAILED);
	munmap(page, 4096);
	munmap(page + 2 * 4096, 4096);
	for (int i = 0; i < 1024; i++)
		((uint32_t *)page)[1024 + i] = i;
	t = add_waiter(f, &f->here, 101, "pthread_mutex_lock", page + 4096, HU_OP_WAIT, 2);
	assert_false(snap_thread__near(t, -4, &word));
	assert_true(snap_thread__near(t, 0, &word));
	assert_int_equal(word, 0);
	assert_true(snap_thread__near(t, 28, &word));
	assert_int_equal(word, 7);
	assert_false(snap_thread__near(t, 32, &word));
	t = add_waiter(f, &f->here, 102, "pthread_mutex_lock", page + 2 * 4096 - 4, HU_OP_WAIT, 2);
	assert_true(snap_thread__near(t, -16, &word));
	assert_int_equal(word, 1019);
	assert_true(snap_thread__near(t, 0, &word));
	assert_int_equal(word, 1023);
	assert_false(snap_thread__near(t, 4, &word));
	check_nothing_found(build(f)); /* no room for an owner */
	munmap(page + 4096, 4096);
}

/* A process whose names could not be read: its threads are told by what they are in alone. */
static void test_unreadable(void **state)
{
	struct fixture *f = *state;

	f->there.names = NULL;
	f->there.locked = f->there.missed = true;
	add_thread(f, &f->there, 101);
	build(f);
	assert_int_equal(f->report->coverage.locked, 1);
	assert_int_equal(f->report->coverage.stacks_incomplete, 1);
	assert_null(f->report->thread[0].stack);
	assert_string_equal(f->report->thread[0].call.call, "pause");
}

static int build_run(void *ctx)
{
	build(ctx);
	return 0;
}

/* One whose reads take too long while the report is made is told as well. */
static void test_unreadable_late(void **state)
{
	struct fixture *f = *state;
	struct patience p = { .cnt = 1 };
	int ret;

	p.slow[0].tgid = f->there.tgid;
	p.slow[0].hung = true;
	add_thread(f, &f->there, 101);
	assert_int_equal(patience__run(&p, build_run, f, &ret), 0);
	assert_int_equal(f->report->coverage.locked, 1);
	assert_int_equal(f->report->coverage.unreadable, 1);
	p.slow[0].tgid = 1; /* neither */
	assert_int_equal(patience__run(&p, build_run, f, &ret), 0);
	assert_int_equal(f->report->coverage.locked, 0);
	assert_int_equal(f->report->coverage.unreadable, 0);
}

/* Lock functions stay the same ones when frames get their lines, and inlined ones come in between. */
static void test_lines(void **state)
{
	struct fixture *f = *state;
	const struct blocked_thread *t;

	f->query.lines = true;
	add_blocked(f, 101, &ledger_lock, 101);
	build(f);
	t = thread_of(f->report, 101);
	assert_true(t->stack->has_lines);
	assert_string_equal(t->stack->frames[t->api].raw, "pthread_mutex_lock");
	assert_false(t->stack->frames[t->api].inlined);
	assert_string_equal(t->stack->frames[t->api + 1].function, "update_ledger");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),
		TEST(test_two_threads),
		TEST(test_itself),
		TEST(test_five_threads),
		TEST(test_unsure_circles),
		TEST(test_waiters_disagree),
		TEST(test_crowd),
		TEST(test_orphan),
		TEST(test_orphan_for_a_moment),
		TEST(test_owner_ends),
		TEST(test_zombie),
		TEST(test_owner_not_listed),
		TEST(test_number_of_another_process),
		TEST(test_across_processes),
		TEST(test_pid_namespace),
		TEST(test_words_with_owner),
		TEST(test_robust_is_no_orphan),
		TEST(test_musl),
		TEST(test_rwlock),
		TEST(test_join),
		TEST(test_parked),
		TEST(test_chain),
		TEST(test_forty_one_behind_one),
		TEST(test_groups),
		TEST(test_states),
		TEST(test_no_tid),
		TEST(test_wild_addresses),
		TEST(test_words_at_an_edge),
		TEST(test_unreadable),
		TEST(test_unreadable_late),
		TEST(test_lines),
	};

	/* Called, so that they are no dead code. */
	update_ledger();
	read_catalog();
	return cmocka_run_group_tests(tests, start_other, end_other);
}
