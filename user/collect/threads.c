// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/threads.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bpf/glob.h"
#include "bpf/holdup.skel.h"
#include "user/collect/threads_proc.h"
#include "user/util/clock.h"

#define READ_SZ	    (256 * 1024)
#define SETTLE_NS   50000 /* a sleep so short that nothing else gets long turns meanwhile */
#define TARGETS_MAX 65536

struct threads {
	struct holdup_bpf *skel; /* NULL: by /proc */
	uint32_t filters;	 /* the rest for /proc only */
	struct hu_glob comm;
	pid_t *target; /* of target_cnt */
	size_t target_cnt;
	struct bpf_link *link;
	bool has_offset;
	int64_t offset_ns;
	uint64_t woke_ns; /* CLOCK_MONOTONIC right after our own last sleep */
	char *buf;
};

/* Of the object only the iterator, and the maps that it uses. */
static void choose(struct holdup_bpf *skel, bool targets)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj)
	{
		const char *name = bpf_map__name(map);
		bool internal = bpf_map__is_internal(map);

		if (!internal && strcmp(name, "hu_snap_ask") && strcmp(name, "hu_snap_scratch") &&
		    strcmp(name, "hu_targets"))
			bpf_map__set_autocreate(map, false);
	}
	bpf_map__set_max_entries(skel->maps.hu_targets, targets ? TARGETS_MAX : 1);
	bpf_program__set_autoload(skel->progs.hu_threads_now, true);
}

static int add_targets(struct threads *t, const struct threads_config *cfg)
{
	int err = 0;

	for (size_t i = 0; i < cfg->tgid_cnt && !err; i++)
		err = threads__add_target(t, cfg->tgids[i]);
	return err;
}

static int load(struct threads *t, const struct threads_config *cfg)
{
	struct hu_config *c;
	int err;

	t->skel = holdup_bpf__open();
	if (!t->skel)
		return -errno;
	choose(t->skel, cfg->filters & (HU_FILTER_TGIDS | HU_FILTER_CGROUP));
	c = (struct hu_config *)&t->skel->rodata->hu_cfg;
	c->filters = cfg->filters;
	c->tid = cfg->tid;
	c->self_tgid = getpid();
	if (cfg->comm)
		c->comm = *cfg->comm;
	err = holdup_bpf__load(t->skel);
	if (!err)
		err = add_targets(t, cfg);
	if (err)
		return err;
	t->link = bpf_program__attach_iter(t->skel->progs.hu_threads_now, NULL);
	return libbpf_get_error(t->link);
}

int threads__open(const struct threads_config *cfg, const struct features *features,
		  struct threads **ret, const char **why)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct threads *t;
	int err;

	*why = "out of memory";
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->filters = cfg->filters;
	if (cfg->comm)
		t->comm = *cfg->comm;
	if (!features->task_regs || cfg->by_proc) {
		err = add_targets(t, cfg);
		if (err)
			threads__free(t);
		else
			*ret = t;
		return err;
	}
	t->buf = malloc(READ_SZ);
	setrlimit(RLIMIT_MEMLOCK, &all); /* a refusal matters before 5.11 only */
	err = t->buf ? load(t, cfg) : -ENOMEM;
	if (err == -EPERM || err == -EACCES)
		*why = "the kernel refused the BPF program: run as root, and see `holdup doctor`";
	else if (err && err != -ENOMEM)
		*why = "the kernel did not accept the iterator: `holdup doctor` says what it "
		       "lacks, "
		       "-vv prints its reasons";
	if (err) {
		if (libbpf_get_error(t->link))
			t->link = NULL;
		threads__free(t);
		return err;
	}
	*ret = t;
	return 0;
}

void threads__free(struct threads *t)
{
	if (!t)
		return;
	if (t->link)
		bpf_link__destroy(t->link);
	holdup_bpf__destroy(t->skel);
	free(t->target);
	free(t->buf);
	free(t);
}

int threads__add_target(struct threads *t, pid_t tgid)
{
	uint32_t key = tgid;
	uint8_t one = 1;
	pid_t *more;

	if (!t->skel) {
		more = reallocarray(t->target, t->target_cnt + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		t->target = more;
		t->target[t->target_cnt++] = tgid;
		return 0;
	}
	return bpf_map__update_elem(t->skel->maps.hu_targets, &key, sizeof(key), &one, sizeof(one),
				    BPF_ANY);
}

void threads__clear_targets(struct threads *t)
{
	uint32_t key;
	size_t left = t->skel ? TARGETS_MAX : 0;

	t->target_cnt = 0;
	while (left-- && !bpf_map__get_next_key(t->skel->maps.hu_targets, NULL, &key, sizeof(key)))
		bpf_map__delete_elem(t->skel->maps.hu_targets, &key, sizeof(key), 0);
}

/*
 * When a thread last came to a CPU is known by the scheduler's clock; ours just did, and knows the time. What lies
 * between the two is a few microseconds unless we were preempted, which the least of several passes leaves out.
 */
static void calibrate(struct threads *t, uint64_t arrival_ns)
{
	int64_t offset = t->woke_ns - arrival_ns;

	if (!arrival_ns || (t->has_offset && offset >= t->offset_ns))
		return;
	t->has_offset = true;
	t->offset_ns = offset;
}

bool threads__clock_offset(const struct threads *t, int64_t *ret_ns)
{
	*ret_ns = t->offset_ns;
	return t->has_offset;
}

struct pass {
	struct threads *threads;
	int (*fn)(void *ctx, const struct hu_record *rec);
	void *ctx;
};

static int take(const struct pass *p, const struct hu_record *rec)
{
	const struct hu_thread_record *full = (const void *)rec;

	if (rec->kind == HU_REC_THREAD && rec->size == sizeof(*full)) {
		if (full->flags & HU_THREAD_SELF) {
			calibrate(p->threads, full->off_ns);
			return 0;
		}
	} else if (rec->kind != HU_REC_BRIEF || rec->size != sizeof(struct hu_thread_brief)) {
		return -EIO;
	} else if (((const struct hu_thread_brief *)rec)->flags & HU_THREAD_SELF) {
		return 0;
	}
	return p->fn(p->ctx, rec);
}

/* Records are whole in the file, but not in what one read() returns. */
static int read_records(const struct pass *p, int fd)
{
	size_t have = 0, off;
	ssize_t got;
	int err = 0;

	while (!err) {
		got = read(fd, p->threads->buf + have, READ_SZ - have);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return got ? -errno : have ? -EIO : 0;
		have += got;
		for (off = 0; !err && have - off >= sizeof(struct hu_record);) {
			const struct hu_record *rec = (const void *)(p->threads->buf + off);

			if (rec->size < sizeof(*rec))
				return -EIO;
			if (rec->size > have - off)
				break;
			err = take(p, rec);
			off += rec->size;
		}
		memmove(p->threads->buf, p->threads->buf + off, have - off);
		have -= off;
	}
	return err;
}

/* As task__asked_for() in bpf/task.h. */
static bool wanted(void *ctx, pid_t tgid, const char comm[HU_COMM_LEN])
{
	const struct threads *t = ctx;

	if ((t->filters & HU_FILTER_COMM) && !glob__matches(&t->comm, comm))
		return false;
	if (!(t->filters & (HU_FILTER_TGIDS | HU_FILTER_CGROUP)))
		return true;
	for (size_t i = 0; i < t->target_cnt; i++)
		if (t->target[i] == tgid)
			return true;
	return false;
}

int threads__pass(struct threads *t, const struct hu_snap_ask *ask,
		  int (*fn)(void *ctx, const struct hu_record *rec), void *ctx)
{
	struct timespec moment = { .tv_nsec = SETTLE_NS };
	struct pass pass = { t, fn, ctx };
	struct hu_snap_ask all = *ask;
	uint32_t zero = 0;
	int fd, err;

	if (!t->skel)
		return threads_proc__pass(ask, wanted, fn, t, ctx);
	all.self_tid = syscall(SYS_gettid);
	err = bpf_map__update_elem(t->skel->maps.hu_snap_ask, &zero, sizeof(zero), &all,
				   sizeof(all), BPF_ANY);
	if (err)
		return err;
	fd = bpf_iter_create(bpf_link__fd(t->link));
	if (fd < 0)
		return -errno;
	nanosleep(&moment, NULL);
	t->woke_ns = clock__now_ns();
	err = read_records(&pass, fd);
	close(fd);
	return err;
}
