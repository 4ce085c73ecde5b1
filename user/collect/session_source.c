// SPDX-License-Identifier: GPL-2.0-only
/* The live source: records from the ring and from iterators, sums and counters from maps. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/collect/session_internal.h"

#ifndef ENOTSUPP
#define ENOTSUPP 524 /* include/linux/errno.h, not for users */
#endif

static struct session *session_of(struct source *s)
{
	return (struct session *)s;
}

static int live_poll(struct source *src, int timeout_ms)
{
	struct session *s = session_of(src);
	int n;

	s->handler_err = 0;
	n = timeout_ms ? ring_buffer__poll(s->ring, timeout_ms) : ring_buffer__consume(s->ring);
	if (s->handler_err)
		return s->handler_err;
	/* The wake-up comes at a quarter: what lies below it is taken at each timeout. */
	if (n == 0 && timeout_ms)
		n = ring_buffer__consume(s->ring);
	return n < 0 ? n : 0;
}

static int live_stack(struct source *src, uint64_t id, struct hu_stack *ret)
{
	struct session *s = session_of(src);

	return bpf_map__lookup_elem(s->skel->maps.hu_stacks, &id, sizeof(id), ret, sizeof(*ret), 0);
}

/* Hashes can be looked up and deleted in one step since 5.14 (commit 3e87f192b405). */
static int take(int fd, const void *key, void *value)
{
	int err = bpf_map_lookup_and_delete_elem(fd, key, value);

	if (err != -EINVAL && err != -EOPNOTSUPP && err != -ENOTSUPP)
		return err;
	err = bpf_map_lookup_elem(fd, key, value);
	return err ? err : bpf_map_delete_elem(fd, key);
}

static int live_sums(struct source *src, source_sum_fn fn, void *ctx)
{
	int fd = bpf_map__fd(session_of(src)->skel->maps.hu_sums);
	struct hu_sum_key key;
	struct hu_sum sum;
	int err;

	while (!bpf_map_get_next_key(fd, NULL, &key)) {
		err = take(fd, &key, &sum);
		if (!err)
			err = fn(ctx, &key, &sum);
		if (err)
			return err;
	}
	return 0;
}

static int live_calls(struct source *src, source_calls_fn fn, void *ctx)
{
	int fd = bpf_map__fd(session_of(src)->skel->maps.hu_calls);
	struct hu_call_key key;
	struct hu_calls calls;
	int err;

	while (!bpf_map_get_next_key(fd, NULL, &key)) {
		err = take(fd, &key, &calls);
		if (!err)
			err = fn(ctx, &key, &calls);
		if (err)
			return err;
	}
	return 0;
}

static int read_iterator(int fd, size_t record_sz, source_record_fn fn, void *ctx)
{
	char buf[16384]; /* of whole records, and a part of the next */
	size_t have = 0, used;
	ssize_t n;
	int err;

	for (;;) {
		n = read(fd, buf + have, sizeof(buf) - have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return have ? -EIO : 0;
		have += n;
		for (used = 0; have - used >= record_sz; used += record_sz) {
			err = fn(ctx, buf + used, record_sz);
			if (err)
				return err;
		}
		have -= used;
		memmove(buf, buf + used, have);
	}
}

int session__iterate(const struct bpf_program *prog, size_t record_sz, source_record_fn fn,
		     void *ctx)
{
	struct bpf_link *link = bpf_program__attach_iter(prog, NULL);
	int fd, err = libbpf_get_error(link);

	if (err)
		return err;
	fd = bpf_iter_create(bpf_link__fd(link));
	err = fd < 0 ? fd : read_iterator(fd, record_sz, fn, ctx);
	if (fd >= 0)
		close(fd);
	bpf_link__destroy(link);
	return err;
}

static int live_pending(struct source *src, source_record_fn fn, void *ctx)
{
	return session__iterate(session_of(src)->skel->progs.hu_pending,
				sizeof(struct hu_wait_record), fn, ctx);
}

int session__adopt(struct session *s, source_record_fn fn, void *ctx)
{
	const struct bpf_program *prog = s->skel->progs.hu_adopt;

	if (bpf_program__fd(prog) < 0)
		return -EOPNOTSUPP;
	return session__iterate(prog, sizeof(struct hu_adopt_record), fn, ctx);
}

int session__ask(struct session *s, pid_t tid, pid_t waiter_tgid, uint64_t uaddr)
{
	struct hu_holder holder = { .uaddr = uaddr, .tgid = waiter_tgid };
	uint32_t key = tid;

	return bpf_map__update_elem(s->skel->maps.hu_holders, &key, sizeof(key), &holder,
				    sizeof(holder), BPF_ANY);
}

int session__where(struct session *s, source_record_fn fn, void *ctx)
{
	const struct bpf_program *prog = s->skel->progs.hu_where;

	if (bpf_program__fd(prog) < 0)
		return -EOPNOTSUPP;
	return session__iterate(prog, sizeof(struct hu_adopt_record), fn, ctx);
}

/* Since 5.12 (commit 9ed9e9ba2337) the kernel counts what it did not run to avoid recursion. */
static uint64_t missed(const struct session *s)
{
	struct bpf_program *prog;
	uint64_t sum = 0;

	bpf_object__for_each_program(prog, s->skel->obj)
	{
		struct bpf_prog_info info = { 0 };
		__u32 sz = sizeof(info);

		if (bpf_program__fd(prog) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &sz))
			sum += info.recursion_misses;
	}
	return sum;
}

static int live_losses(struct source *src, uint64_t ret[HU_LOSS_CNT])
{
	struct session *s = session_of(src);
	size_t per_cpu = HU_LOSS_CNT * sizeof(uint64_t);
	uint64_t *values = calloc(s->ncpus, per_cpu);
	uint32_t zero = 0;
	int err;

	if (!values)
		return -ENOMEM;
	err = bpf_map__lookup_elem(s->skel->maps.hu_losses, &zero, sizeof(zero), values,
				   s->ncpus * per_cpu, 0);
	if (!err) {
		memset(ret, 0, per_cpu);
		for (int cpu = 0; cpu < s->ncpus; cpu++)
			for (int i = 0; i < HU_LOSS_CNT; i++)
				ret[i] += values[(size_t)cpu * HU_LOSS_CNT + i];
	}
	ret[HU_LOSS_MISSED] = missed(s);
	free(values);
	return err;
}

static void live_free(struct source *src)
{
	session__free(session_of(src));
}

const struct source_ops session_ops = {
	.poll = live_poll,
	.stack = live_stack,
	.sums = live_sums,
	.calls = live_calls,
	.pending = live_pending,
	.losses = live_losses,
	.free = live_free,
};
