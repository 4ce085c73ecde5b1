/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of user/target/call*.c share: the object, a thread's call while it is described, and small
 * readers of /proc. call.c: the table of calls; call_fd.c: descriptors; call_io.c: calls on them; call_path.c: calls
 * that take paths; call_set.c: poll, select, epoll; call_sleep.c: timers, signals, IPC; call_child.c: children,
 * stops, faults; call_lock.c: file locks; call_net.c: sockets, by call_diag.c (netlink) or call_procnet.c (/proc);
 * call_peers.c: who else has it; call_proc.c: /proc.
 *
 * Functions return 0 or -ENOMEM, nothing else: what a process does not tell is left out. Strings are interned and
 * live as long as the object.
 */
#ifndef HOLDUP_TARGET_CALL_INTERNAL_H
#define HOLDUP_TARGET_CALL_INTERNAL_H

#include "user/target/call.h"
#include "user/sym/intern.h"
#include "user/util/table.h"

/* A path of the target, and some words; what is longer is cut. */
#define PHRASE_SZ 4608
struct phrase {
	char text[PHRASE_SZ];
	size_t len;
};

void phrase__add(struct phrase *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ", for at most 10.0 s" */
void phrase__add_duration(struct phrase *p, const char *fmt_before, uint64_t ns);
/* "INT, TERM" for a mask whose lowest bit is signal 1. */
void phrase__add_signals(struct phrase *p, uint64_t mask);

enum fd_type {
	FD_UNKNOWN, /* not there, or not to be read */
	FD_FILE,
	FD_PIPE,
	FD_SOCKET,
	FD_CHAR,
	FD_EPOLL,
	FD_EVENTFD,
	FD_TIMERFD,
	FD_SIGNALFD,
	FD_INOTIFY,
	FD_URING,
	FD_PIDFD,
	FD_ANON, /* another of the kernel's */
};

/* Who has what is waited for, found once. */
struct call_peers {
	uint64_t key;
	struct call_peer peer[CALL_PEERS];
	size_t cnt; /* of all, also those that are not in peer[] */
};

/* One open socket of a network namespace. */
struct net_sock {
	uint64_t ino;
	uint64_t peer_ino; /* unix sockets: 0: none, or not known */
	uint8_t family;	   /* AF_INET, AF_INET6, AF_UNIX */
	uint8_t proto;	   /* IPPROTO_TCP or IPPROTO_UDP */
	bool listening, connected;
	uint16_t port, peer_port;
	uint8_t addr[16], peer_addr[16]; /* an IPv4 address: the first 4 bytes */
	const char *name;		 /* unix: path, or '@' and an abstract one; "": none */
};

/* What is in an epoll set, or the like: how many, and the first of them. */
#define SET_TOLD 3
struct fd_set_info {
	bool read;
	size_t cnt, known; /* known: how many of fd[] and writes[] are there */
	bool more;	   /* there may be more than cnt */
	int fd[SET_TOLD];
	bool writes[SET_TOLD]; /* it waits for that one to take, not to give */
};

/* A descriptor of a process. */
struct call_fd {
	uint32_t tgid;
	int fd;
	enum fd_type type;
	uint64_t ino;		     /* pipe, socket: the number in its link */
	const char *link;	     /* as readlink() has it; "": unreadable */
	const char *object;	     /* what to call it */
	const char *fstype;	     /* FD_FILE: "ext4"; "": not known */
	const struct net_sock *sock; /* NULL: not known */
	const struct net_ns *ns;
	struct fd_set_info *epoll; /* FD_EPOLL: filled when first asked for; else NULL */
};

/* What is remembered of a process. */
struct call_proc {
	uint32_t tgid, tid; /* tid: the thread by which it is asked; another may have ended */
	const char *comm;
	const struct mount_ns *mounts; /* NULL: not looked at yet */
	struct net_ns *net;	       /* the same */
	int ns_depth;		       /* PID namespaces it is in, from ours on; 0: not looked at */
};

struct fd_index;
struct file_lock;

struct calls {
	struct intern *strings;
	struct phrase scratch; /* for objects; call_at.what is the sentence */
	struct table procs, fds, mounts, nets, peers;
	struct fd_index *index; /* NULL: not looked yet */
	struct file_lock *locks;
	size_t lock_cnt;
	bool locks_read;
	uint64_t seed;
};

struct call_at;

/* How a call is described: one row of the table in call.c. */
struct call_shape {
	int (*describe)(struct call_at *at);
	const char *word; /* goes before the object */
	enum call_kind kind;
	uint8_t arg;	/* which argument: the descriptor, path, timeout, … */
	int8_t dir_arg; /* paths: the directory's descriptor; NO_ARG: the current directory */
	bool writes;	/* waits for who takes from the object, not for who gives */
};
#define NO_ARG -1

/* The call that is being described. */
struct call_at {
	struct calls *c;
	uint32_t tgid, tid;
	long nr;
	const uint64_t *args;
	bool peers;
	call_read_fn read;
	void *read_ctx;
	const struct call_shape *shape;
	struct phrase what;
	struct call_wait *ret;
};

/* --- call.c */
int call_at__read(const struct call_at *at, uint64_t addr, void *buf, size_t sz); /* or -errno */
int call__object(struct call_at *at, const char *object);

/* --- descriptions, for the table */
int call__plain(struct call_at *at);
int call__fd(struct call_at *at);
int call__fcntl(struct call_at *at);
int call__splice(struct call_at *at);
int call__connect(struct call_at *at);
int call__sendto(struct call_at *at);
int call__uring(struct call_at *at);
int call__path(struct call_at *at);
int call__poll(struct call_at *at);
int call__select(struct call_at *at);
int call__epoll(struct call_at *at);
int call__nanosleep(struct call_at *at);
int call__clock_nanosleep(struct call_at *at);
int call__any_signal(struct call_at *at);
int call__sigtimedwait(struct call_at *at);
int call__semop(struct call_at *at);
int call__msg(struct call_at *at);
int call__mq(struct call_at *at);
int call__wait4(struct call_at *at);
int call__waitid(struct call_at *at);
int call__clone(struct call_at *at);
int call__restart(struct call_at *at);
int call__in_none(struct call_at *at);
int call__stopped(struct call_at *at);

/* --- call_fd.c */
int call_fd__get(struct calls *c, uint32_t tgid, uint32_t tid, int fd, const struct call_fd **ret);
enum call_kind call_fd__kind(const struct call_fd *f);
/* Adds the peers of f to at->ret and to the sentence; writes: those that take from it. */
int call_fd__add_peers(struct call_at *at, const struct call_fd *f, bool writes);
/* Those of pipes, FIFOs and POSIX queues, which also have a way in and one out. */
int call_pipe__add_peers(struct call_at *at, const struct call_fd *f, bool writes);
/* "key:" of the descriptor's fdinfo as a number; false: there is none. */
bool call_fd__info(uint32_t tid, int fd, const char *key, int base, uint64_t *ret);
/* What is left until a timerfd fires; UINT64_MAX: it is not armed, or not known. */
uint64_t call_fd__timer_left_ns(uint32_t tid, int fd);
void call_fd__free(struct calls *c);

/* --- call_sleep.c: timeouts; UINT64_MAX: no address, no timeout, or not to be read */
uint64_t call_at__timespec_ns(const struct call_at *at, uint64_t addr);
uint64_t call_at__timeval_ns(const struct call_at *at, uint64_t addr);
/* Writes ret->timeout_ns, and it is the last thing in the sentence. */
void call_at__add_timeout(struct call_at *at, uint64_t ns);
/* The same, for an absolute time of the clock (as clock_gettime(2) numbers them). */
void call_at__add_deadline(struct call_at *at, int clock, uint64_t deadline_ns);

/* --- call_lock.c: who has what a lock call waits for */
int call_lock__add_holder(struct call_at *at, const struct call_fd *f);
void call_lock__free(struct calls *c);

/* --- call_net.c */
/* Finds the socket; 0 with *ret NULL: not found. */
int call_net__find(struct calls *c, struct call_proc *p, uint64_t ino, const struct net_sock **ret);
/* The inode of the socket at its other end, if that is in the same namespace; 0: not found. */
uint64_t call_net__other_end(const struct calls *c, const struct net_ns *ns,
			     const struct net_sock *s);
/* The listening unix socket of that name; 0: none. */
uint64_t call_net__listener(const struct net_ns *ns, const char *name);
void call_net__describe(const struct net_ns *ns, const struct net_sock *s, struct phrase *p);
/* "10.0.0.1:80", "unix /run/socket" for a struct sockaddr; false: of no known family. */
bool call_net__sockaddr(const void *addr, size_t sz, struct phrase *p);
/* A socket that is not in the tables: "netlink socket:[4711]". */
void call_net__other(uint32_t tid, int fd, const char *link, struct phrase *p);
void call_net__free(struct calls *c);

struct net_ns {
	uint64_t ino;
	struct net_sock *sock; /* by inode, once all are there */
	size_t cnt, cap;
	struct table by_ends; /* connected ones, by both addresses */
};

/* For call_diag.c and call_procnet.c: adds a copy of s, name not yet interned; more than the limit are left out. */
#define NET_SOCKS_MAX 262144
int net_ns__add(struct calls *c, struct net_ns *ns, const struct net_sock *s, const char *name);
/* Which sockets have been told already. */
struct net_told {
	bool inet, unix_socks;
};
/* All sockets of holdup's own namespace, as far as netlink tells. */
int net_diag__read(struct calls *c, struct net_ns *ns, struct net_told *ret_told);
/* Those of the thread's that are not told yet, as far as files in /proc/PID/net tell. */
int net_proc__read(struct calls *c, struct net_ns *ns, uint32_t tid, struct net_told told);

/* --- call_peers.c */
/* What every descriptor's link is looked up by. */
uint64_t call_peers__key(const struct calls *c, const char *link);
uint64_t call_peers__socket_key(const struct calls *c, uint64_t ino);
/*
 * Who has a descriptor of that key for which accept(ctx) holds (NULL: all). The result is kept for
 * mix(key, salt): one salt for each accept and ctx.
 */
typedef bool (*call_accept_fn)(void *ctx, uint32_t tid, int fd);
int call_peers__find(struct calls *c, uint64_t key, uint64_t salt, call_accept_fn accept, void *ctx,
		     const struct call_peers **ret);
/* Adds them to at->ret; words: ", at the other end " and then names. */
void call_peers__tell(struct call_at *at, const struct call_peers *p, const char *words);
int call_peers__tell_one(struct call_at *at, uint32_t tgid, const char *words);
bool call_peers__partial(const struct calls *c);
void call_peers__free(struct calls *c);

/* --- call_proc.c */
int call_proc__get(struct calls *c, uint32_t tgid, uint32_t tid, struct call_proc **ret);
int call_proc__comm(struct calls *c, uint32_t tgid, const char **ret); /* "": gone */
/* Reads what fits into buf, and NUL; returns the length, 0 if there is nothing to read. */
size_t call_proc__read(const char *path, char *buf, size_t cap);
/* The same for a symbolic link. */
size_t call_proc__readlink(const char *path, char *buf, size_t cap);
/* The number in "net:[4026531840]", the link ns/NAME; 0: not known. */
uint64_t call_proc__ns(uint32_t tid, const char *name);
/* A line of /proc/TID/status: what stands after "key:", blanks skipped; false: no such line. */
bool call_proc__status(uint32_t tid, const char *key, char *ret, size_t cap);
/* In which kernel function it sleeps; "": not known. */
void call_proc__wchan(uint32_t tid, char *ret, size_t cap);
/* Lines of a file, each cut at LINES_SZ, no more than max bytes of all. */
#define LINES_SZ 16384
struct lines {
	int fd;
	size_t start, end, left;
	bool skip; /* the rest of a line that was cut */
	char buf[LINES_SZ + 1];
};
bool lines__open(struct lines *l, const char *path, size_t max);
char *lines__next(struct lines *l); /* NULL: no more */
void lines__close(struct lines *l);

#endif
