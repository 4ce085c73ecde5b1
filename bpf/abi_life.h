/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Births, ends and calls of the thread library: a part of bpf/abi.h, which includes it. The same rules hold. */
#ifndef HOLDUP_ABI_LIFE_H
#define HOLDUP_ABI_LIFE_H

enum hu_birth_flag {
	HU_BIRTH_PTHREAD =
		1 << 0, /* by pthread_create() or thrd_create(): start_routine is known */
	HU_BIRTH_DETACHED = 1 << 1, /* … with an attribute that says so */
};

struct hu_birth_record {
	struct hu_record hdr;
	__u32 tgid, tid; /* of the new thread */
	__u64 proc_start;
	__u64 thread_start; /* start_boottime */
	__u64 stack_id;	    /* its creator's, in clone(2); 0: none */
	/*
	 * The thread pointer that clone(2) was told to set: on x86-64 what pthread_create() returns as the
	 * pthread_t, on arm64 that lies a library's constant below.
	 */
	__u64 tp;
	__u64 start_routine;
	__u32 creator_tid;
	__u32 flags;		/* enum hu_birth_flag */
	char comm[HU_COMM_LEN]; /* the group leader's */
};

enum hu_death_flag {
	HU_DEATH_LAST = 1 << 0,	       /* no other thread of its process is left */
	HU_DEATH_GROUP = 1 << 1,       /* exit_group(2), or a signal, ended the whole process */
	HU_DEATH_EXEC = 1 << 2,	       /* another thread of its process called execve(2) */
	HU_DEATH_ITSELF = 1 << 3,      /* it called exit(2) */
	HU_DEATH_EXIT_CALLED = 1 << 4, /* pthread_exit() or thrd_exit() */
	HU_DEATH_CANCELLED = 1 << 5,   /* pthread_exit(PTHREAD_CANCELED): musl's way to cancel */
};

struct hu_death_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start, thread_start;
	__u64 born_ns;
	__u64 cpu_ns;		/* se.sum_exec_runtime */
	__u64 runq_ns;		/* sched_info.run_delay */
	__s32 exit_code;	/* as of wait(2) */
	__u32 flags;		/* enum hu_death_flag */
	char comm[HU_COMM_LEN]; /* the thread's */
};

/* Append only. */
enum hu_pthread_call {
	HU_PTHREAD_JOIN = 1,	  /* begins to wait for its end, for ever */
	HU_PTHREAD_TIMEDJOIN = 2, /* … until a deadline */
	HU_PTHREAD_JOINED = 3,	  /* pthread_tryjoin_np() has succeeded */
	HU_PTHREAD_DETACH = 4,
	HU_PTHREAD_CANCEL = 5,
};

struct hu_pthread_record {
	struct hu_record hdr;
	__u32 tgid, tid; /* of the caller */
	__u64 proc_start;
	__u64 thread;	   /* the pthread_t that it names: untrusted */
	__s64 deadline_ns; /* TIMEDJOIN, by its clock */
	__u16 what;	   /* enum hu_pthread_call */
	__u16 clock;	   /* TIMEDJOIN: clockid_t; untrusted */
	__u32 pad;
};

struct hu_alive_record {
	struct hu_record hdr;
	__u32 tgid, tid;
	__u64 proc_start, thread_start;
	__u64 born_ns;
	__u64 tp;
	__u64 cpu_ns, runq_ns;
	__u64 off_ns;	  /* as in struct hu_thread_record */
	__u64 arrival_ns; /* when the thread that asks came to its CPU, by the same clock */
	__u32 flags;	  /* enum hu_thread_flag */
	__u32 pad;
	char comm[HU_COMM_LEN];
	char leader[HU_COMM_LEN];
};

/* Births and deaths that found the ring full (map hu_life_sums). */
struct hu_life_key {
	__u64 proc_start;
	__u32 tgid;
	__u32 cpu; /* an entry is only changed on one CPU, so plain stores are exact */
};

struct hu_life_sum {
	__u64 born, died;
};

#endif
