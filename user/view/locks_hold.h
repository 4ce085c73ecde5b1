/* SPDX-License-Identifier: GPL-2.0-only */
/* Hold times and lock order in the views of `holdup locks` (locks_hold_text.c, locks_hold_json.c). Internal to them. */
#ifndef HOLDUP_VIEW_LOCKS_HOLD_H
#define HOLDUP_VIEW_LOCKS_HOLD_H

#include "user/model/locks_hold.h"
#include "user/view/json.h"
#include "user/view/page.h"

void page__print_holds(const struct page *p, const struct hold_report *r);
/* What people read as the lock's name (locks_text.c). */
const char *page__lock_name(const struct lock_row *row, char buf[NAME_SZ]);

/* NULL: it is not among those listed. */
const struct hold_lock *hold_report__of(const struct hold_report *r, const struct agg_process *p,
					uint64_t address);
/* Adds "hold" to a lock's object; l may be NULL. */
void hold_json__put(struct writer *w, json_t *lock, const struct hold_lock *l);
/* Adds what is not of one lock to the document. */
void hold_json__put_report(struct writer *w, json_t *document, const struct hold_report *r);

#endif
