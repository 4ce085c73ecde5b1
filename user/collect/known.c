// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/known.h"

#include <errno.h>
#include <stdlib.h>

#define GONE_MIN  64   /* processes that are gone matter from then on */
#define LOOKS_MAX 1000 /* names that nobody asks for any more go at last, too */

struct known_process {
	uint32_t tgid, execs;
	uint64_t start;
	struct sym_process *names;
	bool asked;	      /* whether it is a Go program */
	struct go_target *go; /* NULL: it is none */
};

static bool process__equal(const void *value, const void *key)
{
	const struct known_process *p = value;
	const struct hu_thread_record *rec = key;

	return p->tgid == rec->tgid && p->execs == rec->execs && p->start == rec->proc_start;
}

static void process_free(void *value)
{
	struct known_process *p = value;

	go_target__free(p->go);
	free(p);
}

void known__free(struct known_names *k)
{
	table__clear(&k->processes, process_free);
	go_set__free(&k->go);
	walker__free(k->walker);
	symbolizer__free(k->symbolizer);
	*k = (struct known_names){ 0 };
}

int known__renew(struct known_names *k)
{
	int err;

	known__free(k);
	err = symbolizer__new(&k->symbolizer);
	return err ? err : walker__new(k->symbolizer, &k->walker);
}

bool known__worn(const struct known_names *k, size_t live)
{
	return !k->walker || k->looks > LOOKS_MAX || k->processes.cnt > 2 * live + GONE_MIN;
}

int known__process(struct known_names *k, const struct hu_thread_record *rec,
		   struct sym_process **ret)
{
	uint64_t hash = hash__mix(hash__mix(rec->tgid, rec->proc_start), rec->execs);
	struct known_process *p = table__find(&k->processes, hash, process__equal, rec);
	int err;

	if (p) {
		err = symbolizer__rescan(k->symbolizer, p->names);
		*ret = p->names;
		return err;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->tgid = rec->tgid;
	p->execs = rec->execs;
	p->start = rec->proc_start;
	err = symbolizer__add_process(k->symbolizer, rec->tgid, &p->names);
	if (!err && !sym_process__maps(p->names)->cnt)
		err = -ESRCH; /* it may be readable the next time */
	if (!err)
		err = table__add(&k->processes, hash, p);
	if (err)
		free(p);
	else
		*ret = p->names;
	return err;
}

int known__golang(struct known_names *k, const struct hu_thread_record *rec, struct go_target **ret)
{
	uint64_t hash = hash__mix(hash__mix(rec->tgid, rec->proc_start), rec->execs);
	struct known_process *p = table__find(&k->processes, hash, process__equal, rec);
	int err = 0;

	*ret = NULL;
	if (!p)
		return 0;
	if (!p->asked)
		err = go_set__find(&k->go, rec->tgid, &p->go);
	p->asked = !err;
	*ret = p->go;
	return err;
}

int known__sample_golang(struct known_names *k)
{
	const struct known_process *p;
	int err = 0;

	for (size_t i = 0; !err && (p = table__next(&k->processes, &i));)
		if (p->go)
			err = go_target__sample(p->go);
	return err;
}
