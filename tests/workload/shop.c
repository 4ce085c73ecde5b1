// SPDX-License-Identifier: GPL-2.0-only
/*
 * The service of `make demo`: takes orders as fast as its clients send them, and has one lock
 * problem. ledger_append() writes the audit log to the disk while it has ledger_lock, and so every
 * request waits for every other's fdatasync(). All the rest is as it should be: a catalogue
 * behind a read-write lock, a lock in each session, a pool of mail threads that mostly idles.
 *
 *	shop [-v] [--for SECONDS] [--dir DIRECTORY] [--threads N]
 *
 * Runs until SIGTERM or SIGINT. The audit log is an unlinked file in DIRECTORY (TMPDIR, else
 * /var/tmp: often a real disk where /tmp is memory). -v prints the orders of each second.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PRODUCTS      512
#define SESSIONS      64
#define MAIL_THREADS  4
#define MAIL_SLOTS    256
#define MAX_THREADS   64
#define AUDIT_LOG_MAX (1 << 20) /* bytes; then it starts over */

/* Inlined functions are frames as well, but the demo is to read like its source everywhere. */
#define OUT_OF_LINE __attribute__((noinline))

struct session {
	char user[32];
	pthread_mutex_t lock;
	uint64_t orders, spent_cents;
};

struct order {
	uint64_t id;
	unsigned int product, quantity;
	uint64_t cents;
	struct session *session;
};

static atomic_bool closing;
static atomic_ullong orders_done;

static void die(const char *what, int err)
{
	fprintf(stderr, "shop: %s: %s\n", what, strerror(err));
	exit(1);
}

static void nap_us(unsigned int us)
{
	struct timespec ts = { us / 1000000, (us % 1000000) * 1000L };

	nanosleep(&ts, NULL);
}

/* ---- Catalogue: read by every order, written a few times a second */

static pthread_rwlock_t catalogue_lock = PTHREAD_RWLOCK_INITIALIZER;
static unsigned int catalogue_cents[PRODUCTS];

OUT_OF_LINE static uint64_t catalogue_price(unsigned int product)
{
	uint64_t cents;

	pthread_rwlock_rdlock(&catalogue_lock);
	cents = catalogue_cents[product];
	pthread_rwlock_unlock(&catalogue_lock);
	return cents;
}

OUT_OF_LINE static void catalogue_refresh(unsigned int *seed)
{
	unsigned int i;

	pthread_rwlock_wrlock(&catalogue_lock);
	for (i = 0; i < PRODUCTS; i++)
		catalogue_cents[i] = 99 + (unsigned int)rand_r(seed) % 10000;
	pthread_rwlock_unlock(&catalogue_lock);
}

static void *catalogue_main(void *arg)
{
	unsigned int seed = 7;

	while (!closing) {
		catalogue_refresh(&seed);
		nap_us(200000);
	}
	return arg;
}

/* ---- Sessions */

static struct session *sessions[SESSIONS];

static void sessions_open(void)
{
	int i;

	for (i = 0; i < SESSIONS; i++) {
		sessions[i] = calloc(1, sizeof(*sessions[i]));
		if (!sessions[i])
			die("calloc", ENOMEM);
		snprintf(sessions[i]->user, sizeof(sessions[i]->user), "user-%d", i);
		pthread_mutex_init(&sessions[i]->lock, NULL);
	}
}

static void sessions_close(void)
{
	int i;

	for (i = 0; i < SESSIONS; i++)
		free(sessions[i]);
}

OUT_OF_LINE static void session_charge(struct session *session, uint64_t cents)
{
	pthread_mutex_lock(&session->lock);
	session->orders++;
	session->spent_cents += cents;
	pthread_mutex_unlock(&session->lock);
}

/* ---- Ledger: totals in memory, and the audit log on disk */

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t ledger_cents;
static int audit_fd = -1;
static off_t audit_off;

static void audit_open(const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/shop-audit-XXXXXX", dir) >= (int)sizeof(path))
		die(dir, ENAMETOOLONG);
	audit_fd = mkostemp(path, O_CLOEXEC);
	if (audit_fd < 0)
		die(path, errno);
	unlink(path);
}

OUT_OF_LINE static void audit_write(const struct order *order)
{
	char line[256];
	int length = snprintf(line, sizeof(line), "order=%llu user=%s product=%u x%u cents=%llu\n",
			      (unsigned long long)order->id, order->session->user, order->product,
			      order->quantity, (unsigned long long)order->cents);

	if (pwrite(audit_fd, line, (size_t)length, audit_off) != length)
		die("audit log", errno);
	if (fdatasync(audit_fd))
		die("audit log", errno);
	audit_off += length;
	if (audit_off >= AUDIT_LOG_MAX)
		audit_off = 0;
}

/* The problem: nobody needs ledger_lock while the disk works. */
OUT_OF_LINE static void ledger_append(const struct order *order)
{
	pthread_mutex_lock(&ledger_lock);
	ledger_cents += order->cents;
	audit_write(order);
	pthread_mutex_unlock(&ledger_lock);
}

/* ---- Receipts by mail: a queue and threads that wait for something in it */

static pthread_mutex_t mail_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t mail_waiting = PTHREAD_COND_INITIALIZER;
static uint64_t mail_queue[MAIL_SLOTS];
static unsigned int mail_head, mail_cnt;

/* A full queue drops the receipt: mail is no reason to refuse an order. */
OUT_OF_LINE static void mail_enqueue(uint64_t order_id)
{
	pthread_mutex_lock(&mail_lock);
	if (mail_cnt < MAIL_SLOTS)
		mail_queue[(mail_head + mail_cnt++) % MAIL_SLOTS] = order_id;
	pthread_mutex_unlock(&mail_lock);
	pthread_cond_signal(&mail_waiting);
}

/* False: the shop closes. */
OUT_OF_LINE static bool mail_dequeue(uint64_t *order_id)
{
	bool got;

	pthread_mutex_lock(&mail_lock);
	while (!mail_cnt && !closing)
		pthread_cond_wait(&mail_waiting, &mail_lock);
	got = mail_cnt > 0;
	if (got) {
		*order_id = mail_queue[mail_head];
		mail_head = (mail_head + 1) % MAIL_SLOTS;
		mail_cnt--;
	}
	pthread_mutex_unlock(&mail_lock);
	return got;
}

static void mail_close(void)
{
	pthread_mutex_lock(&mail_lock);
	pthread_cond_broadcast(&mail_waiting);
	pthread_mutex_unlock(&mail_lock);
}

static void *mail_main(void *arg)
{
	uint64_t order_id;

	while (mail_dequeue(&order_id))
		nap_us(1500); /* the mail server's answer */
	return arg;
}

/* ---- Requests */

/* Stands for reading and checking what the client sent. */
OUT_OF_LINE static void parse_request(struct order *order, unsigned int *seed)
{
	static atomic_ullong next_id;
	uint64_t digest = 0xcbf29ce484222325;
	int i;

	for (i = 0; i < 20000; i++)
		digest = (digest ^ (unsigned int)rand_r(seed)) * 0x100000001b3;
	order->id = ++next_id;
	order->product = (unsigned int)(digest >> 32) % PRODUCTS;
	order->quantity = 1 + (unsigned int)(digest >> 16) % 3;
	order->session = sessions[digest % SESSIONS];
}

OUT_OF_LINE static void place_order(struct order *order)
{
	order->cents = catalogue_price(order->product) * order->quantity;
	session_charge(order->session, order->cents);
	ledger_append(order);
	if (order->id % 16 == 0) /* not everyone wants a receipt */
		mail_enqueue(order->id);
}

OUT_OF_LINE static void handle_request(unsigned int *seed)
{
	struct order order;

	parse_request(&order, seed);
	place_order(&order);
	orders_done++;
}

static void *request_main(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!closing) {
		handle_request(&seed);
		nap_us(300 + (unsigned int)rand_r(&seed) % 400); /* until the next one comes */
	}
	return NULL;
}

/* ---- Starting, serving, stopping */

struct options {
	const char *dir;
	long seconds; /* 0: until told */
	int threads;
	bool verbose;
};

static long number(const char *text, long least, long most)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "shop: '%s' is no number from %ld to %ld\n", text, least, most);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv, struct options *opt)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "dir", required_argument, NULL, 'd' },
		{ "threads", required_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
		if (c == 'f')
			opt->seconds = number(optarg, 1, 86400);
		else if (c == 'd')
			opt->dir = optarg;
		else if (c == 't')
			opt->threads = (int)number(optarg, 1, MAX_THREADS);
		else if (c == 'v')
			opt->verbose = true;
		else
			exit(2);
	}
	if (optind != argc) {
		fprintf(stderr, "usage: shop [-v] [--for SECONDS] [--dir DIR] [--threads N]\n");
		exit(2);
	}
}

static void start_thread(pthread_t *thread, void *(*start)(void *), const char *role, int i)
{
	char name[16]; /* TASK_COMM_LEN */
	int err = pthread_create(thread, NULL, start, (void *)(uintptr_t)(i + 1));

	if (err)
		die("pthread_create", err);
	snprintf(name, sizeof(name), "%s-%d", role, i);
	pthread_setname_np(*thread, name);
}

static void serve(const struct options *opt, const sigset_t *stop)
{
	const struct timespec second = { 1, 0 };
	unsigned long long before = 0, now;
	long passed = 0;

	while (sigtimedwait(stop, NULL, &second) < 0) {
		if (errno == EINTR)
			continue;
		now = orders_done;
		if (opt->verbose) {
			printf("%llu orders/s\n", now - before);
			fflush(stdout);
		}
		before = now;
		if (++passed == opt->seconds)
			break;
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .dir = getenv("TMPDIR"), .threads = 6 };
	pthread_t thread[MAX_THREADS + MAIL_THREADS + 1];
	int i, cnt = 0;
	sigset_t stop;

	if (!opt.dir || !*opt.dir)
		opt.dir = "/var/tmp";
	parse_options(argc, argv, &opt);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	audit_open(opt.dir);
	sessions_open();
	start_thread(&thread[cnt++], catalogue_main, "catalogue", 0);
	for (i = 0; i < MAIL_THREADS; i++)
		start_thread(&thread[cnt++], mail_main, "mail", i);
	for (i = 0; i < opt.threads; i++)
		start_thread(&thread[cnt++], request_main, "request", i);
	serve(&opt, &stop);
	closing = true;
	mail_close();
	while (cnt)
		pthread_join(thread[--cnt], NULL);
	sessions_close();
	close(audit_fd);
	return 0;
}
