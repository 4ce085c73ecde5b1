/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the options choose to look at, as the collectors take it. Each tells the user what is wrong and returns an enum
 * exit_status; what it returns besides is then untouched.
 */
#ifndef HOLDUP_CHOICE_H
#define HOLDUP_CHOICE_H

#include <stdbool.h>

#include "bpf/glob.h"
#include "user/collect/target.h"
#include "user/options.h"

/* -p: the processes, which must be there; *ret is the caller's to free. */
int choice__watch(const struct options *o, struct watch *ret);
/* --comm, which must be given. */
int choice__comm(const struct options *o, struct hu_glob *ret);
/* --cgroup, which must be given: the directory, open. */
int choice__cgroup(const struct options *o, int *ret_fd);
/*
 * -- PROGRAM: started and held back, and *ret_started set; nothing happens without one. exits: its processes wait for
 * us before they end (collect/exits.h).
 */
int choice__start(const struct options *o, bool exits, struct program *ret, bool *ret_started);

#endif
