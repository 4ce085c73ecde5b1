/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages to people, on stderr: one line each, "holdup: …", with what to do. Text of targets must
 * be escaped by the caller (util/text.h).
 */
#ifndef HOLDUP_UTIL_LOG_H
#define HOLDUP_UTIL_LOG_H

void log__set_verbose(
	int level); /* 0: messages only; 1: what holdup does; 2: libbpf's words as well */
int log__verbose(void);
void log__msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log__info(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* with -v */
/* Routes libbpf's messages through the level. */
void log__hook_libbpf(void);

#endif
