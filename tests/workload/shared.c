// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks in a file that three processes map, each at an address of its own: --how mutex, robust (whose
 * owner dies when it has had it some times), sem or rwlock. One lock, though it has as many addresses as
 * processes.
 */
#include "truth.h"
#include <semaphore.h>
#include <sys/wait.h>

#define APART  (1UL << 32) /* between the processes' mappings */
#define MAP_SZ 8192
#define DIES   25 /* when it has had the robust lock so often: long enough to be looked at */
#define LATER  5  /* each child by so many more, so that they die by turns */

struct block {
	char header[4096 + 64]; /* so that neither the page nor the offset in it is 0 */
	pthread_mutex_t mutex, robust;
	sem_t slots;
	pthread_rwlock_t rwlock;
	bool over;
};

static struct block *block; /* as this process maps it */
static int file, lock_site, write_site;

static int shared_site(const char *name, const char *object, const void *lock, size_t size,
		       const char *kind, const char *functions)
{
	int id = truth_lock(name, lock, size, kind, TRUTH_CONTENTION, functions);

	truth_object(id, object);
	return id;
}

TRUTH_FRAME static void use_mutex(void)
{
	TRUTH_WAIT(lock_site, truth_ok(pthread_mutex_lock(&block->mutex)));
	truth_took(lock_site);
	truth_hold();
	truth_ok(pthread_mutex_unlock(&block->mutex));
}

/* False: this process dies with the lock, and the kernel hands it on. */
TRUTH_FRAME static bool use_robust(int child)
{
	static int had;
	int rc;

	TRUTH_WAIT(lock_site, rc = pthread_mutex_lock(&block->robust));
	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(&block->robust);
	truth_ok(rc);
	truth_took(lock_site);
	truth_hold();
	if (++had == DIES + LATER * child)
		return false;
	truth_ok(pthread_mutex_unlock(&block->robust));
	return true;
}

TRUTH_FRAME static void use_slot(void)
{
	TRUTH_WAIT(lock_site, truth_ok(sem_wait(&block->slots)));
	truth_hold();
	truth_ok(sem_post(&block->slots));
}

TRUTH_FRAME static void read_shared(void)
{
	TRUTH_WAIT(lock_site, truth_ok(pthread_rwlock_rdlock(&block->rwlock)));
	truth_hold();
	truth_ok(pthread_rwlock_unlock(&block->rwlock));
}

TRUTH_FRAME static void write_shared(void)
{
	TRUTH_WAIT(write_site, truth_ok(pthread_rwlock_wrlock(&block->rwlock)));
	truth_hold();
	truth_ok(pthread_rwlock_unlock(&block->rwlock));
}

static bool use_lock(int child)
{
	if (!strcmp(truth_opt.how, "mutex"))
		use_mutex();
	else if (!strcmp(truth_opt.how, "robust"))
		return use_robust(child);
	else if (!strcmp(truth_opt.how, "sem"))
		use_slot();
	else if (child % 2)
		read_shared();
	else
		write_shared();
	return true;
}

static void describe_lock(void)
{
	if (!strcmp(truth_opt.how, "mutex"))
		lock_site = shared_site("lock in use_mutex", "mutex", &block->mutex,
					sizeof(block->mutex), "mutex", "use_mutex main");
	else if (!strcmp(truth_opt.how, "robust"))
		lock_site = shared_site("lock in use_robust", "robust", &block->robust,
					sizeof(block->robust), "mutex", "use_robust main");
	else if (!strcmp(truth_opt.how, "sem"))
		lock_site = shared_site("lock in use_slot", "slots", &block->slots,
					sizeof(block->slots), "semaphore", "use_slot main");
	else {
		lock_site = shared_site("lock in read_shared", "rwlock", &block->rwlock,
					sizeof(block->rwlock), "rwlock", "read_shared main");
		write_site = shared_site("lock in write_shared", "rwlock", &block->rwlock,
					 sizeof(block->rwlock), "rwlock", "write_shared main");
	}
}

static struct block *map_block(unsigned long place)
{
	void *hint = (void *)(place * APART);
	struct block *at =
		(struct block *)mmap(hint, MAP_SZ, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (at == MAP_FAILED)
		truth_die("mmap", errno);
	return at;
}

/* The first thread of a process is the only one, and waits itself. */
static void run_child(int child, unsigned long place)
{
	uint64_t calls = 0;
	bool alive = true;

	block = map_block(place);
	truth_warm(); /* memory locks are not inherited */
	describe_lock();
	while (alive && !__atomic_load_n(&block->over, __ATOMIC_ACQUIRE) && truth_more(&calls)) {
		alive = use_lock(child);
		truth_pause();
	}
	truth_worker_ends();
	_exit(0);
}

static void make_locks(void)
{
	pthread_mutexattr_t mutex;
	pthread_rwlockattr_t rwlock;

	truth_ok(pthread_mutexattr_init(&mutex));
	truth_ok(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
	truth_ok(pthread_mutex_init(&block->mutex, &mutex));
	truth_ok(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST));
	truth_ok(pthread_mutex_init(&block->robust, &mutex));
	truth_ok(pthread_mutexattr_destroy(&mutex));
	truth_ok(sem_init(&block->slots, 1, 1));
	truth_ok(pthread_rwlockattr_init(&rwlock));
	truth_ok(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED));
	truth_ok(pthread_rwlock_init(&block->rwlock, &rwlock));
	truth_ok(pthread_rwlockattr_destroy(&rwlock));
}

static pid_t start_child(int child)
{
	static unsigned long place;
	pid_t pid;

	place++;
	pid = fork();
	if (pid < 0)
		truth_die("fork", errno);
	if (!pid)
		run_child(child, place);
	return pid;
}

/* Starts each child, and another one in the place of each that died; until the time is over. */
static int supervise(void)
{
	uint64_t end_ns = truth_now_ns() + (uint64_t)(truth_opt.seconds * 1e9);
	pid_t children[TRUTH_MAX_THREADS] = { 0 };
	int i, status, alive;

	do {
		bool over = truth_signalled(2000000, 0) ||
			    (truth_opt.seconds > 0 && truth_now_ns() >= end_ns);

		if (over)
			__atomic_store_n(&block->over, true, __ATOMIC_RELEASE);
		for (i = 0, alive = 0; i < truth_opt.threads; i++) {
			if (!children[i] && !block->over)
				children[i] = start_child(i);
			if (children[i] && waitpid(children[i], &status, WNOHANG) > 0) {
				if (status)
					return status;
				children[i] = 0;
			}
			alive += children[i] != 0;
		}
	} while (alive || !block->over);
	return 0;
}

int main(int argc, char **argv)
{
	int status;

	truth_opt.how = "mutex";
	truth_opt.threads = 3;
	truth_opt.pause_ns = 500000;
	truth_start(argc, argv, "shared");
	if (strcmp(truth_opt.how, "mutex") && strcmp(truth_opt.how, "robust") &&
	    strcmp(truth_opt.how, "sem") && strcmp(truth_opt.how, "rwlock")) {
		fprintf(stderr, "shared: --how mutex, robust, sem or rwlock\n");
		return 2;
	}
	file = memfd_create("holdup-shared", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, MAP_SZ))
		truth_die("memfd_create", errno);
	block = map_block(0);
	make_locks();
	status = supervise();
	if (status) {
		fprintf(stderr, "shared: a child ended with status 0x%x\n", status);
		return 1;
	}
	return truth_print();
}
