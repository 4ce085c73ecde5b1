/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BPF programs on functions of the C libraries that processes use: in every mount namespace, statically linked ones
 * that have symbols, and those that are mapped only later.
 *
 * In: a table of functions and programs, and processes to look through. A file is known by its device and inode and
 * attached to once, for all processes that have it mapped or will; the programs filter. Which symbol is where is read
 * from the file's own tables (hostile), all versions of a name. Files are opened by what is mapped, and attached to by
 * that descriptor, so it is what was looked at that is probed.
 *
 * Ownership: probes__free() detaches everything. Errors: negative errno; a file that can't be attached to is counted,
 * not an error. Bounds: PROBE_FILES_MAX files. Not thread-safe.
 */
#ifndef HOLDUP_COLLECT_PROBES_H
#define HOLDUP_COLLECT_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROBE_FILES_MAX 256

struct bpf_program;

/* Whose functions these are: their arguments differ in their insides. */
enum probe_libc {
	PROBE_GLIBC = 1 << 0,
	PROBE_MUSL = 1 << 1,
	PROBE_ANY = PROBE_GLIBC | PROBE_MUSL,
};

struct probe_spec {
	const char *function;
	const char *program; /* its name, for the finder below */
	unsigned libcs;	     /* enum probe_libc */
	unsigned args;	     /* bit i: the program reads argument i */
	bool on_return;
};

struct probes;

struct probe_stats {
	uint32_t files;	   /* that programs are attached to */
	uint32_t attached; /* programs */
	uint32_t failed;   /* programs that could not be */
	int failed_err;	   /* the first reason, negative errno */
	uint32_t unsuitable; /* main programs without a C library that have no symbols: static and stripped, or Go */
	uint32_t beyond; /* files for which there was no room */
};

/* spec and its strings have to outlive it; find(ctx, name) gives a loaded program. */
int probes__new(const struct probe_spec *spec, size_t cnt,
		struct bpf_program *(*find)(void *ctx, const char *name), void *ctx,
		struct probes **ret);
void probes__free(struct probes *p); /* NULL is fine */
/*
 * Attaches to what this process has mapped of C libraries and is not attached to yet. True in *ret_found if it has
 * any at all (NULL: never mind). -ESRCH, -ENOENT: it is gone.
 */
int probes__scan(struct probes *p, pid_t tgid, bool *ret_found);
/* The same for all processes of the machine that may be looked at. */
int probes__scan_all(struct probes *p);
/* A program that is about to be started, and the interpreter that it names. */
int probes__scan_program(struct probes *p, const char *name);
void probes__stats(const struct probes *p, struct probe_stats *ret);

#endif
