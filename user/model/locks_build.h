/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A locks report in the making: sites are classified and placed in rows (locks_rows.c), rows are named
 * (locks_names.c), sorted and counted (locks.c). Internal to these files. Errors: -ENOMEM.
 */
#ifndef HOLDUP_MODEL_LOCKS_BUILD_H
#define HOLDUP_MODEL_LOCKS_BUILD_H

#include "user/aggregate/blame.h"
#include "user/golang/go_wait.h"
#include "user/model/locks.h"

#define FRAMES_MAX	 256 /* of one stack, inlined ones included */
#define SITES_WITH_LINES 16  /* libdw is slow: the longest sites of a row get source lines */

struct go_target;

/* A site while the report is made: what it is for is known, its row not yet final. */
struct draft_site {
	const struct agg_site *agg;
	struct target_wait target;
	const char *place; /* the function that waits, where the lock has no address; else "" */
	/* Whose row it is in: for a lock in shared memory the first process that was found waiting for it. */
	const struct agg_process *process;
};

/* The same for goroutines: a place where they wait (locks_go.c). */
struct go_place {
	const struct agg_process *process;
	const struct go_stack *stack;	  /* NULL: not known */
	uint64_t word;			  /* semaphore or channel; 0: not known */
	const struct go_counted *counted; /* by probes; NULL: seen from time to time */
	struct lock_stats stats;
	uint32_t now, max;
	struct sym_frame *frames; /* named, with lines */
	size_t frame_cnt;
	struct go_wait wait; /* only where there is a stack */
	bool idle;
	struct draft_row *row; /* NULL: in none */
};

struct draft_row {
	struct lock_row row;
	const char *place;	      /* of its sites */
	char *chain;		      /* BY_SITE: what all its stacks have in common; NULL: else */
	const struct draft_row *last; /* while rows are folded: the last one that added to it */
	struct hist hist;
	struct draft_site **site;
	size_t site_cnt, site_cap;
	struct go_place **go; /* instead of sites, where goroutines wait */
	size_t go_cnt, go_cap;
};

/* What sites of one row have in common. */
struct row_key {
	const struct agg_process *process;
	uint64_t object;
	enum lock_kind kind;
	bool idle;
	const char *label, *place; /* only where object is 0, else "" */
};

/* A lock that was waited for, before rows are folded: what its holders did, and its name. */
struct blamed {
	const struct agg_process *process;
	uint64_t uaddr;		     /* the futex word */
	const struct agg_blame *agg; /* NULL: nothing is known */
	const char *name;
	bool idle;
	uint64_t wait_ns; /* of its waits */
};

struct builder {
	const struct locks_input *in;
	const struct locks_query *query;
	struct draft_site *site;
	size_t site_cnt;
	struct table rows;   /* of struct draft_row */
	struct table shared; /* of struct shared_lock */
	struct table words;  /* of struct word: which row a futex word belongs to */
	struct table blames; /* of struct blamed, by process and futex word */
	struct go_place *go_place;
	size_t go_place_cnt;
	struct table
		go_words; /* of struct go_place, by semaphore or channel: the first that has a row */
	struct table go_locks; /* which locks have been counted in which row */
	struct locks_report *report;
};

/* Frames of a site's stack, leaf first, into buf[FRAMES_MAX]; returns how many. */
size_t builder__frames(const struct builder *b, const struct agg_site *site, bool lines,
		       struct sym_frame *buf, uint16_t *flags);

/* What a site is for, by these frames of it. */
void builder__classify(const struct builder *b, const struct agg_site *agg,
		       const struct sym_frame *frames, size_t cnt, struct target_wait *ret);
/* The first frame above frames[api] that is the program's own and sure; NULL: none. */
const struct sym_frame *frames__caller(const struct sym_frame *frames, size_t cnt, int api);
int builder__classify_sites(struct builder *b);
int builder__place_sites(struct builder *b);
/* Futex calls of the source, to the rows of their words. */
int builder__add_calls(struct builder *b);
/* What holders did (locks_blame.c): of each lock, before rows are folded; of a row; where all waits end. */
int builder__blame_locks(struct builder *b);
/* NULL: nobody waited for that word. */
const struct blamed *builder__blamed(const struct builder *b, const struct agg_process *p,
				     uint64_t uaddr);
int builder__blame_row(struct builder *b, struct draft_row *d);
int builder__find_roots(struct builder *b);
void lock_row__free_blame(struct lock_row *row);
void root_cause__free(struct root_cause *root);
/* A name for the lock of a row that has not been finished, interned; NULL: out of memory. */
const char *builder__name_lock(struct builder *b, const struct draft_row *d);
/* One row for each process, or each call chain and kind, in place of one for each lock (locks_fold.c). */
int builder__fold_processes(struct builder *b);
int builder__fold_sites(struct builder *b);
/* The row of this call chain, whatever process it is in, for a lock of this key. */
int builder__chain_row(struct builder *b, const struct row_key *key, const struct sym_frame *frames,
		       size_t cnt, int api, struct draft_row **ret);
/* Rows for what goroutines wait for, as the query wants them folded. */
int builder__add_goroutines(struct builder *b);
/* Named with lines, malloc'ed. */
int builder__go_frames(struct builder *b, const struct go_target *go, const struct go_stack *stack,
		       struct sym_frame **ret, size_t *ret_cnt);
void go_stats__add(struct lock_stats *s, const struct lock_stats *more);
int builder__finish_go_row(struct builder *b, struct draft_row *d);
void builder__free_goroutines(struct builder *b);
/* The lock's name, and which program and file it is of. */
void builder__name_row(struct builder *b, struct draft_row *d);
void builder__free_rows(struct builder *b);
void draft_row__free(void *value);
/* The row of this key; a new one if there is none. */
int row__get(struct builder *b, const struct row_key *key, struct draft_row **ret);
int row__add_site(struct draft_row *d, struct draft_site *site);
void row__add_calls(struct lock_row *row, const struct hu_calls *calls);
/* Percentiles, sites and names of a row that will be shown. */
int builder__finish_row(struct builder *b, struct draft_row *d);
void stats__add(struct lock_stats *s, const struct agg_site *agg);

#endif
