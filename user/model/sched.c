// SPDX-License-Identifier: GPL-2.0-only
#include "user/model/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/offcpu_pure.h"

struct draft {
	struct sched_row row;
	uint64_t hist[HU_OFF_BUCKETS];
};

static bool draft__equal(const void *value, const void *key)
{
	const struct draft *d = value;
	const struct off_site *s = key;

	return d->row.process == s->process && d->row.tid == s->what.tid;
}

static struct draft *draft__get(struct table *rows, const struct off_site *s)
{
	uint64_t hash = hash__mix((uintptr_t)s->process, s->what.tid);
	struct draft *d = table__find(rows, hash, draft__equal, s);

	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->row.process = s->process;
	d->row.tid = s->what.tid;
	d->row.comm = s->process ? s->process->comm : "";
	if (!table__add(rows, hash, d))
		return d;
	free(d);
	return NULL;
}

static void add(struct draft *d, const struct off_site *s)
{
	d->row.stats.waits += s->waits;
	d->row.stats.blocked_ns += s->blocked_ns;
	d->row.stats.runq_ns += s->runq_ns;
	if (s->max_ns > d->row.stats.max_ns) {
		d->row.stats.max_ns = s->max_ns;
		d->row.stats.max_tid = s->max_tid;
	}
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		d->hist[i] += s->hist[i];
}

static size_t bucket_of(uint64_t ns)
{
	size_t i = 0;

	while (i + 1 < SCHED_BUCKETS && ns >> i >= 1000)
		i++;
	return i;
}

static void finish(struct draft *d)
{
	struct off_stats *s = &d->row.stats;

	s->p50_ns = offcpu__percentile(d->hist, 50, s->max_ns);
	s->p95_ns = offcpu__percentile(d->hist, 95, s->max_ns);
	s->p99_ns = offcpu__percentile(d->hist, 99, s->max_ns);
	for (size_t i = 0; i < HU_OFF_BUCKETS; i++)
		d->row.bucket[bucket_of(off__middle_ns(i))] += d->hist[i];
}

static int compare(const void *a, const void *b)
{
	const struct sched_row *x = a, *y = b;

	if (x->stats.runq_ns != y->stats.runq_ns)
		return x->stats.runq_ns < y->stats.runq_ns ? 1 : -1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int build_rows(const struct sched_input *in, unsigned most, struct sched_report *r)
{
	struct table rows = { 0 };
	const struct off_site *site;
	struct draft *d, all = { 0 };
	int err = 0;

	for (size_t i = 0; !err && (site = table__next(&in->offcpu->sites, &i));) {
		if (!site->waits)
			continue;
		d = draft__get(&rows, site);
		err = d ? 0 : -ENOMEM;
		if (d)
			add(d, site);
		add(&all, site);
	}
	r->row = err ? NULL : calloc(rows.cnt + 1, sizeof(*r->row));
	if (!r->row)
		err = -ENOMEM;
	for (size_t i = 0; !err && (d = table__next(&rows, &i));) {
		finish(d);
		r->row[r->row_cnt++] = d->row;
	}
	finish(&all);
	r->all = all.row;
	r->waits = all.row.stats.waits;
	r->runq_ns = all.row.stats.runq_ns;
	r->rows = r->row_cnt;
	if (!err)
		qsort(r->row, r->row_cnt, sizeof(*r->row), compare);
	if (r->row_cnt > most)
		r->row_cnt = most;
	table__clear(&rows, free);
	return err;
}

static void fill_cpu(const struct sched_input *in, size_t i, struct sched_cpu *ret)
{
	const struct hu_off_queue *was = &in->queue_before[i], *is = &in->queue[i];
	double sum = 0;

	ret->cpu = i;
	ret->max = is->max;
	for (size_t n = 0; n < HU_OFF_QUEUE_MAX; n++)
		ret->ns[n] = is->ns[n] - was->ns[n];
	/* What it has been since it changed last. */
	if (is->since_ns && is->since_ns < in->until_ns) {
		uint64_t since = in->until_ns - is->since_ns;

		if (since > in->interval_ns)
			since = in->interval_ns;
		ret->ns[is->len < HU_OFF_QUEUE_MAX ? is->len : HU_OFF_QUEUE_MAX - 1] += since;
	}
	for (size_t n = 0; n < HU_OFF_QUEUE_MAX; n++) {
		ret->seen_ns += ret->ns[n];
		sum += (double)n * ret->ns[n];
	}
	if (!ret->seen_ns)
		return;
	ret->mean = sum / ret->seen_ns;
	ret->busy = 1 - (double)ret->ns[0] / ret->seen_ns;
	ret->waiting = ret->busy - (double)ret->ns[1] / ret->seen_ns;
	if (ret->waiting < 0)
		ret->waiting = 0; /* rounding */
}

static int build_cpus(const struct sched_input *in, struct sched_report *r)
{
	r->cpu = calloc(in->cpu_cnt + 1, sizeof(*r->cpu));
	if (!r->cpu)
		return -ENOMEM;
	for (size_t i = 0; i < in->cpu_cnt; i++)
		if (in->queue[i].since_ns)
			fill_cpu(in, i, &r->cpu[r->cpu_cnt++]);
	return 0;
}

int sched_report__build(const struct sched_input *in, unsigned rows, struct sched_report **ret)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->interval_ns = in->interval_ns;
	err = build_rows(in, rows, r);
	if (!err)
		err = build_cpus(in, r);
	r->coverage.intervals = r->waits;
	r->coverage.lost = in->losses[HU_LOSS_STATE] + in->losses[HU_LOSS_OFF_LOST] +
			   in->losses[HU_LOSS_MISSED];
	r->coverage.lost_ns = in->losses[HU_LOSS_OFF_LOST_NS];
	r->coverage.inferred = in->losses[HU_LOSS_INFERRED];
	r->coverage.below_min = in->losses[HU_LOSS_OFF_BELOW];
	r->coverage.below_min_ns = in->losses[HU_LOSS_OFF_BELOW_NS];
	if (err)
		sched_report__free(r);
	else
		*ret = r;
	return err;
}

void sched_report__free(struct sched_report *r)
{
	if (!r)
		return;
	free(r->row);
	free(r->cpu);
	free(r);
}
