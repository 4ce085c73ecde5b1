// SPDX-License-Identifier: GPL-2.0-only
/* Threads that wait for processes: children, stops, IPC, page faults. Like test_call.c. */
#include "tests/unit/call_child.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/stat.h>

/* What a child tells the test. */
static struct told {
	pid_t pid[3];
	pid_t tid;
} * told;

static void sleep_forever(void)
{
	prctl(PR_SET_NAME, "sleep\033er");
	for (;;)
		pause();
}

static pid_t grandchild(size_t number)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) /* it has ended before */
			_exit(1);
		sleep_forever();
	}
	told->pid[number] = pid;
	return pid;
}

static void wait_one(void)
{
	grandchild(0);
	waitpid(grandchild(1), NULL, 0);
}

static void wait_any(void)
{
	for (size_t i = 0; i < 3; i++)
		grandchild(i);
	wait(NULL);
}

static void wait_group(void)
{
	setpgid(0, 0);
	grandchild(0);
	waitpid(0, NULL, 0);
}

static void wait_id(void)
{
	siginfo_t info;

	grandchild(0);
	waitid(P_PID, grandchild(1), &info, WEXITED);
}

static void wait_pidfd(void)
{
	siginfo_t info;

	waitid(P_PIDFD, syscall(SYS_pidfd_open, grandchild(0), 0), &info, WEXITED);
}

/* The grandchildren have taken their name once they sleep. */
static void look_at_parent(struct looks *l, void (*fn)(void), long nr, size_t cnt)
{
	pid_t blocked;

	memset(told, 0, sizeof(*told));
	blocked = child(fn, nr);
	for (size_t i = 0; i < cnt; i++)
		wait_told(&told->pid[i]);
	for (size_t i = 0; i < cnt; i++)
		wait_asleep(told->pid[i], SYS_ppoll_or_pause);
	look(l, blocked);
	assert_int_equal(l->wait.kind, CALL_CHILD);
	end_child(blocked);
}

static void test_child(void **state)
{
	struct looks *l = *state;

	look_at_parent(l, wait_one, SYS_wait4, 2);
	says(l, CALL_CHILD, "wait4", "for child sleep\033er (%d)", told->pid[1]);
	assert_int_equal(l->wait.child, told->pid[1]);
	assert_int_equal(l->wait.peer[0].tgid, told->pid[1]);
	look_at_parent(l, wait_id, SYS_waitid, 2);
	says(l, CALL_CHILD, "waitid", "for child sleep\033er (%d)", told->pid[1]);
	assert_int_equal(l->wait.child, told->pid[1]);
	look_at_parent(l, wait_pidfd, SYS_waitid, 1);
	says(l, CALL_CHILD, "waitid", "for child sleep\033er (%d)", told->pid[0]);
	assert_int_equal(l->wait.child, told->pid[0]);
}

static void test_children(void **state)
{
	struct looks *l = *state;

	look_at_parent(l, wait_any, SYS_wait4, 3);
	says(l, CALL_CHILD, "wait4", "for any child of 3: sleep\033er (%d) and 2 more",
	     told->pid[0]);
	assert_int_equal(l->wait.child, 0);
	assert_int_equal(l->wait.peer_cnt, 3);
	look_at_parent(l, wait_group, SYS_wait4, 1);
	says(l, CALL_CHILD, "wait4", "for a child in its own process group");
}

/* PIDs as it knows them itself: its own is 1, its child's 2. */
static void wait_in_namespace(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID)) {
		told->pid[2] = -1;
		sleep_forever();
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		waitpid(grandchild(0), NULL, 0);
	}
	told->pid[2] = pid;
	pause();
}

static void test_child_in_namespace(void **state)
{
	struct looks *l = *state;
	pid_t first;

	memset(told, 0, sizeof(*told));
	child(wait_in_namespace, SYS_ppoll_or_pause);
	first = wait_told(&told->pid[2]);
	if (first < 0)
		skip();
	wait_asleep(first, SYS_wait4);
	assert_int_equal(told->pid[0], 2);
	look(l, first);
	assert_int_equal(l->wait.kind, CALL_CHILD);
	assert_int_equal(l->wait.peer_cnt, 1);
	/* Which process that is here: the one whose parent the first is. */
	wait_asleep(l->wait.child, SYS_ppoll_or_pause);
	says(l, CALL_CHILD, "wait4", "for child %s (%d)", l->wait.peer[0].comm, l->wait.child);
	assert_true((pid_t)l->wait.child != 2);
}

static void vfork_and_wait(void)
{
	pid_t pid = vfork();

	if (!pid) {
		syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
		told->pid[0] = getpid();
		pause();
		_exit(0);
	}
}

static void test_vfork(void **state)
{
	struct looks *l = *state;
	pid_t blocked;

	memset(told, 0, sizeof(*told));
	blocked = child(vfork_and_wait, -1);
	wait_told(&told->pid[0]);
	wait_state(blocked, 'D');
	look(l, blocked);
	assert_int_equal(l->wait.kind, CALL_VFORK);
	assert_int_equal(l->wait.child, told->pid[0]);
	starts(l, "until %s (%d) calls exec or exit", COMM, told->pid[0]);
	kill(told->pid[0], SIGKILL);
}

static void trace(void)
{
	if (ptrace(PTRACE_ATTACH, told->pid[0], 0, 0))
		told->pid[1] = -1;
	sleep_forever();
}

static void test_stopped(void **state)
{
	struct looks *l = *state;
	pid_t stopped = child(sleep_forever, SYS_ppoll_or_pause), tracer;

	memset(told, 0, sizeof(*told));
	kill(stopped, SIGSTOP);
	wait_state(stopped, 'T');
	assert_int_equal(calls__describe_stopped(l->calls, stopped, stopped, &l->wait), 0);
	says(l, CALL_STOPPED, "", "stopped");
	assert_int_equal(l->wait.peer_cnt, 0);
	/* It may be traced by any process of its user. */
	told->pid[0] = stopped;
	tracer = child(trace, SYS_ppoll_or_pause);
	if (told->pid[1])
		skip();
	wait_state(stopped, 't');
	assert_int_equal(calls__describe_stopped(l->calls, stopped, stopped, &l->wait), 0);
	says(l, CALL_STOPPED, "", "stopped, traced by sleep\033er (%d)", tracer);
	assert_int_equal(l->wait.peer[0].tgid, tracer);
}

/* --- IPC */

static int id;

static void take_semaphore(void)
{
	struct sembuf take = { .sem_num = 1, .sem_op = -2 };

	semop(id, &take, 1);
}

static void set_semaphore(void)
{
	struct sembuf add = { .sem_num = 1, .sem_op = 1 };

	semop(id, &add, 1);
	pause();
}

static void test_semaphore(void **state)
{
	struct looks *l = *state;
	pid_t last, blocked;

	id = semget(IPC_PRIVATE, 3, 0600);
	assert_true(id >= 0);
	last = child(set_semaphore, SYS_ppoll_or_pause);
	blocked = child(take_semaphore, -1);
	wait_asleep_in_either(blocked, SYS_semop, SYS_semtimedop);
	look(l, blocked);
	semctl(id, 0, IPC_RMID);
	says(l, CALL_IPC, l->wait.call,
	     "on System V semaphores %d, number 1, until it is 2, last changed by %s (%d)", id,
	     COMM, last);
	assert_int_equal(l->wait.peer[0].tgid, last);
}

static void receive_message(void)
{
	struct {
		long type;
		char text[8];
	} message;

	msgrcv(id, &message, sizeof(message.text), 5, 0);
}

static void send_message(void)
{
	struct {
		long type;
		char text[8];
	} message = { .type = 1 };

	msgsnd(id, &message, sizeof(message.text), 0);
	pause();
}

static void test_queue(void **state)
{
	struct looks *l = *state;
	pid_t last, blocked;

	id = msgget(IPC_PRIVATE, 0600);
	assert_true(id >= 0);
	last = child(send_message, SYS_ppoll_or_pause);
	blocked = child(receive_message, SYS_msgrcv);
	look(l, blocked);
	msgctl(id, IPC_RMID, NULL);
	says(l, CALL_IPC, "msgrcv", "from System V queue %d, last sent to by %s (%d)", id, COMM,
	     last);
}

static char queue[32];

static void receive_posix(void)
{
	struct timespec until;
	char text[8192];

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 600;
	mq_timedreceive(mq_open(queue, O_RDONLY), text, sizeof(text), NULL, &until);
}

static void hold_posix(void)
{
	mq_open(queue, O_WRONLY);
	pause();
}

static void test_posix_queue(void **state)
{
	struct looks *l = *state;
	pid_t holder;
	mqd_t q;

	snprintf(queue, sizeof(queue), "/holdup-call-%d", getpid());
	q = mq_open(queue, O_CREAT | O_RDWR, 0600, NULL);
	if (q == (mqd_t)-1)
		skip();
	mq_close(q);
	holder = child(hold_posix, SYS_ppoll_or_pause);
	look(l, child(receive_posix, SYS_mq_timedreceive));
	mq_unlink(queue);
	assert_int_equal(l->wait.kind, CALL_IPC);
	starts(l, "from POSIX queue %s, which is open for writing in %s (%d), for another ", queue,
	       COMM, holder);
	assert_true(l->wait.timeout_left);
	assert_true(l->wait.timeout_ns <= 600000000000 && l->wait.timeout_ns > 500000000000);
	assert_int_equal(l->wait.peer_cnt, 1);
}

/* --- threads */

static int pipe_fds[2];

static void *read_in_thread(void *unused)
{
	char c;

	told->tid = gettid();
	(void)!read(pipe_fds[0], &c, 1);
	return NULL;
}

/* The first thread has ended; its descriptors are the others' still. */
static void end_first_thread(void)
{
	pthread_t t;

	close(pipe_fds[1]);
	pthread_create(&t, NULL, read_in_thread, NULL);
	pthread_exit(NULL);
}

static void *pause_in_thread(void *unused)
{
	told->pid[0] = gettid();
	for (;;)
		pause();
	return NULL;
}

static void end_first_thread_of_holder(void)
{
	pthread_t t;

	close(pipe_fds[0]);
	pthread_create(&t, NULL, pause_in_thread, NULL);
	pthread_exit(NULL);
}

static void test_without_first_thread(void **state)
{
	struct looks *l = *state;
	pid_t holder, blocked;
	struct stat st;

	memset(told, 0, sizeof(*told));
	assert_int_equal(pipe(pipe_fds), 0);
	fstat(pipe_fds[0], &st);
	holder = child(end_first_thread_of_holder, -1);
	wait_told(&told->pid[0]);
	wait_state(holder, 'Z');
	wait_asleep(told->pid[0], SYS_ppoll_or_pause);
	blocked = child(end_first_thread, -1);
	wait_told(&told->tid);
	wait_state(blocked, 'Z');
	wait_asleep(told->tid, SYS_read);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	look_thread(l, blocked, told->tid);
	says(l, CALL_PIPE, "read", "from pipe:[%lu], which is open for writing in %s (%d)",
	     (unsigned long)st.st_ino, COMM, holder);
}

/* A page that nobody fills in. */
static void touch_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	volatile char *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range)) {
		told->pid[0] = -1;
		sleep_forever();
	}
	*page = 1;
}

static void test_page_fault(void **state)
{
	struct looks *l = *state;
	pid_t blocked;

	memset(told, 0, sizeof(*told));
	blocked = child(touch_page, -1);
	wait_fault(blocked, &told->pid[0]);
	if (told->pid[0])
		skip();
	look(l, blocked);
	says(l, CALL_FAULT, "", "for whoever handles its page faults (userfaultfd)");
}

static int map_told(void **state)
{
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return told == MAP_FAILED;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_child),      TEST(test_children),    TEST(test_child_in_namespace),
		TEST(test_vfork),      TEST(test_stopped),     TEST(test_semaphore),
		TEST(test_queue),      TEST(test_posix_queue), TEST(test_without_first_thread),
		TEST(test_page_fault),
	};

	return cmocka_run_group_tests_name("call for processes", tests, map_told, NULL);
}
