/* SPDX-License-Identifier: GPL-2.0-only */
/* Views of time off the CPU; as view.h. */
#ifndef HOLDUP_VIEW_OFFCPU_H
#define HOLDUP_VIEW_OFFCPU_H

#include "user/model/offcpu.h"
#include "user/model/sched.h"
#include "user/view/view.h"

int view__offcpu_text(FILE *out, const struct off_report *r, const struct view_style *style);
int view__offcpu_json(FILE *out, const struct off_report *r, const struct view_style *style);
/*
 * A line for each place and waker, as flame graph tools read them: frames from the root on, separated by semicolons,
 * then microseconds. The process, the user stack, the kernel stack (_[k]), then, after "--", who woke, its leaf
 * first, as in "offwake" flame graphs. Needs a report of all rows, OFF_BY_STACK.
 */
int view__offcpu_folded(FILE *out, const struct off_report *r);
int view__sched_text(FILE *out, const struct sched_report *r, const struct view_style *style);
int view__sched_json(FILE *out, const struct sched_report *r, const struct view_style *style);

#endif
