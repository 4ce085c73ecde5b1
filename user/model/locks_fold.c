// SPDX-License-Identifier: GPL-2.0-only
/* Rows of locks to rows of processes, or of call chains. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/locks_build.h"

/* One row for each process; idle waits keep a row of their own, to be hidden or shown apart. */
int builder__fold_processes(struct builder *b)
{
	struct table locks = b->rows;
	struct draft_row *d, *sum;
	int err = 0;

	b->rows = (struct table){ 0 };
	for (size_t i = 0; (d = table__next(&locks, &i));) {
		struct row_key key = { .process = d->row.process,
				       .kind = d->row.idle ? LOCK_CONDVAR : LOCK_INVALID,
				       .idle = d->row.idle,
				       .label = "",
				       .place = "" };

		if (d->row.unsure)
			b->report->unsure_wait_ns += d->row.stats.wait_ns;
		if (!err)
			err = row__get(b, &key, &sum);
		if (err)
			continue;
		sum->row.locks += sum->site_cnt ? 1 : 0;
		for (size_t s = 0; s < d->site_cnt && !err; s++) {
			err = row__add_site(sum, d->site[s]);
			stats__add(&sum->row.stats, d->site[s]->agg);
		}
		hist__merge(&sum->hist, &d->hist);
		sum->row.waiters_now += d->row.waiters_now;
		if (d->row.has_calls)
			row__add_calls(&sum->row, &d->row.calls);
		/* How many waited for several locks at once is not known. */
		sum->row.waiters_max = sum->row.locks > 1 ? 0 : d->row.waiters_max;
	}
	table__clear(&locks, draft_row__free);
	return err;
}

/* ---- call chains */

/*
 * Names, not addresses: what 16 processes of one program have in common. Code in no file has neither, and as many
 * frames of it as the compiler of the moment likes. From the call that the program made for the lock: what the
 * library does below it is no other place.
 */
static void print_chain(FILE *out, const struct sym_frame *frames, size_t cnt, int api)
{
	bool nowhere = false;

	for (size_t i = api > 0 ? api : 0; i < cnt; i++) {
		const struct sym_frame *f = &frames[i];

		if (*f->raw)
			fprintf(out, "%s\n%s\n", f->raw, f->module);
		else if (*f->module)
			fprintf(out, "+%llx\n%s\n", (unsigned long long)f->offset, f->module);
		else if (!nowhere)
			fputs("?\n", out);
		nowhere = !*f->raw && !*f->module;
	}
}

/* What makes sites one row begins like this, as text. */
static void print_kind(FILE *out, enum lock_kind kind, bool idle, const char *label)
{
	fprintf(out, "%d %d %s\n", kind, idle, label);
}

/* NULL: out of memory. */
static char *chain_of(const struct builder *b, const struct draft_row *lock,
		      const struct draft_site *site)
{
	struct sym_frame frames[FRAMES_MAX];
	struct target_wait target;
	uint16_t flags;
	char *text = NULL;
	size_t sz, cnt = builder__frames(b, site->agg, false, frames, &flags);
	FILE *out = open_memstream(&text, &sz);
	bool failed;

	if (!out)
		return NULL;
	print_kind(out, lock->row.kind, lock->row.idle, site->target.label);
	if (cnt) {
		builder__classify(b, site->agg, frames, cnt, &target);
		print_chain(out, frames, cnt, target.api);
	} else { /* nothing says that these are the same place */
		fprintf(out, "%p %llx", (void *)site->process,
			(unsigned long long)site->target.object);
	}
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return text;
	free(text);
	return NULL;
}

static bool chain__equal(const void *value, const void *key)
{
	return !strcmp(((const struct draft_row *)value)->chain, key);
}

static uint64_t chain__hash(const char *chain)
{
	uint64_t hash = 0;

	for (; *chain; chain++)
		hash = hash__mix(hash, (unsigned char)*chain);
	return hash;
}

/* The row of this chain, which it takes over. */
static int chain__get(struct builder *b, char *chain, const struct draft_row *lock,
		      struct draft_row **ret)
{
	uint64_t hash = chain__hash(chain);
	struct draft_row *d = table__find(&b->rows, hash, chain__equal, chain);
	int err;

	if (d) {
		free(chain);
	} else {
		d = calloc(1, sizeof(*d));
		err = d ? table__add(&b->rows, hash, d) : -ENOMEM;
		if (err) {
			free(d);
			free(chain);
			return err;
		}
		d->chain = chain;
		d->row.process = lock->row.process;
		d->row.address = lock->row.address;
		d->row.kind = lock->row.kind;
		d->row.idle = lock->row.idle;
		d->row.label = "";
	}
	*ret = d;
	return 0;
}

int builder__chain_row(struct builder *b, const struct row_key *key, const struct sym_frame *frames,
		       size_t cnt, int api, struct draft_row **ret)
{
	struct draft_row lock = { .row = { .process = key->process,
					   .address = key->object,
					   .kind = key->kind,
					   .idle = key->idle } };
	char *text = NULL;
	size_t sz;
	FILE *out = open_memstream(&text, &sz);
	bool failed;

	if (!out)
		return -ENOMEM;
	print_kind(out, key->kind, key->idle, key->label);
	print_chain(out, frames, cnt, api);
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return chain__get(b, text, &lock, ret);
	free(text);
	return -ENOMEM;
}

static void add_to_chain(struct draft_row *d, const struct draft_row *lock,
			 const struct draft_site *site)
{
	struct lock_row *row = &d->row;

	if (d->last != lock) {
		d->last = lock;
		if (row->locks++)
			row->address = 0;
	}
	/* Which comes first must not depend on a table's order. */
	if (site->process->tgid < row->process->tgid)
		row->process = site->process;
	stats__add(&row->stats, site->agg);
	hist__merge(&d->hist, &site->agg->hist);
	row->shared |= lock->row.shared;
	row->unsure |= site->target.unsure;
	row->waiters_now += site->agg->waiters_now;
	/* How many waited for several locks at once is not known. */
	if (row->locks > 1 || !lock->row.address)
		row->waiters_max = 0;
	else if (site->agg->depth_max > row->waiters_max)
		row->waiters_max = site->agg->depth_max;
}

int builder__fold_sites(struct builder *b)
{
	struct table locks = b->rows;
	struct draft_row *lock, *sum;
	char *chain;
	int err = 0;

	b->rows = (struct table){ 0 };
	for (size_t i = 0; !err && (lock = table__next(&locks, &i));)
		for (size_t s = 0; s < lock->site_cnt && !err; s++) {
			chain = chain_of(b, lock, lock->site[s]);
			err = chain ? chain__get(b, chain, lock, &sum) : -ENOMEM;
			if (!err)
				err = row__add_site(sum, lock->site[s]);
			if (!err)
				add_to_chain(sum, lock, lock->site[s]);
		}
	table__clear(&locks, draft_row__free);
	return err;
}
