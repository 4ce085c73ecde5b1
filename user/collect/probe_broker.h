/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may put probes into files when holdup may not any more: since 6.16 (commit ba677dbe77af) that takes
 * CAP_SYS_ADMIN, with which holdup does not want to read strangers' files; and which libraries there are is known only
 * as processes come. So a process of its own keeps that capability, and nothing else: it is given an open file and an
 * offset, and gives back a perf event. It reads nothing of the file, and ends with holdup.
 *
 * Errors: negative errno. Not thread-safe.
 */
#ifndef HOLDUP_COLLECT_PROBE_BROKER_H
#define HOLDUP_COLLECT_PROBE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

struct probe_broker;

/* While all privileges are still there. */
int probe_broker__start(struct probe_broker **ret);
/* A perf event for all hits of this place, by whomever; the caller closes it. */
int probe_broker__open(struct probe_broker *b, int fd, uint64_t off, bool on_return);
void probe_broker__free(struct probe_broker *b); /* NULL is fine */

#endif
