// SPDX-License-Identifier: GPL-2.0-only
/* The sockets of a network namespace, read once: what a socket's inode stands for, and who is at the other end. */
#include "user/target/call_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

int net_ns__add(struct calls *c, struct net_ns *ns, const struct net_sock *s, const char *name)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	size_t cap = ns->cap ? ns->cap * 2 : 256;
	struct net_sock *at, *grown;

	if (!s->ino || ns->cnt >= NET_SOCKS_MAX)
		return 0;
	if (ns->cnt == ns->cap) {
		grown = reallocarray(ns->sock, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		ns->sock = grown;
		ns->cap = cap;
	}
	at = &ns->sock[ns->cnt++];
	*at = *s;
	at->name = intern__add(c->strings, name);
	/* An IPv6 socket that speaks IPv4: its other end may be an IPv4 one. RFC 4291, 2.5.5.2 */
	if (at->family == AF_INET6 && !memcmp(at->addr, mapped, sizeof(mapped))) {
		at->family = AF_INET;
		memmove(at->addr, at->addr + 12, 4);
		memmove(at->peer_addr, at->peer_addr + 12, 4);
		memset(at->addr + 4, 0, 12);
		memset(at->peer_addr + 4, 0, 12);
	}
	return at->name ? 0 : -ENOMEM;
}

static int by_ino(const void *a, const void *b)
{
	const struct net_sock *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/*
 * Lines of /proc/net/unix can be forged: names in it may hold newlines. What is told twice is not believed but for
 * being there. Netlink tells nothing twice.
 */
static void doubt_doubles(struct net_ns *ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < ns->cnt; i++) {
		if (!kept || ns->sock[kept - 1].ino != ns->sock[i].ino) {
			ns->sock[kept++] = ns->sock[i];
			continue;
		}
		ns->sock[kept - 1].name = "";
		ns->sock[kept - 1].peer_ino = 0;
	}
	ns->cnt = kept;
}

static uint64_t hash_ends(uint64_t seed, const struct net_sock *s, bool swapped)
{
	const uint8_t *first = swapped ? s->peer_addr : s->addr;
	const uint8_t *second = swapped ? s->addr : s->peer_addr;
	uint64_t word[4];

	memcpy(word, first, 16);
	memcpy(word + 2, second, 16);
	for (size_t i = 0; i < 4; i++)
		seed = hash__mix(seed, word[i]);
	return hash__mix(seed, (uint64_t)(swapped ? s->peer_port : s->port) << 32 |
				       (uint64_t)(swapped ? s->port : s->peer_port) << 16 |
				       s->proto);
}

static bool is_other_end(const void *value, const void *key)
{
	const struct net_sock *a = value, *b = key;

	return a->family == b->family && a->proto == b->proto && a->port == b->peer_port &&
	       a->peer_port == b->port && !memcmp(a->addr, b->peer_addr, 16) &&
	       !memcmp(a->peer_addr, b->addr, 16);
}

static int finish(struct calls *c, struct net_ns *ns)
{
	int err = 0;

	if (ns->cnt)
		qsort(ns->sock, ns->cnt, sizeof(*ns->sock), by_ino);
	doubt_doubles(ns);
	for (size_t i = 0; i < ns->cnt && !err; i++)
		if (ns->sock[i].connected && ns->sock[i].family != AF_UNIX)
			err = table__add(&ns->by_ends, hash_ends(c->seed, &ns->sock[i], false),
					 &ns->sock[i]);
	return err;
}

static void free_ns(void *value)
{
	struct net_ns *ns = value;

	table__clear(&ns->by_ends, NULL);
	free(ns->sock);
	free(ns);
}

void call_net__free(struct calls *c)
{
	table__clear(&c->nets, free_ns);
}

static int read_ns(struct calls *c, struct net_ns *ns, uint32_t tid)
{
	struct net_told told = { 0 };
	int err = 0;

	if (ns->ino && ns->ino == call_proc__ns(0, "net"))
		err = net_diag__read(c, ns, &told);
	if (!err)
		err = net_proc__read(c, ns, tid, told);
	return err ? err : finish(c, ns);
}

static bool same_net_ns(const void *value, const void *key)
{
	return ((const struct net_ns *)value)->ino == *(const uint64_t *)key;
}

static int get_ns(struct calls *c, struct call_proc *p)
{
	uint64_t ino = call_proc__ns(p->tid, "net");
	uint64_t hash = hash__mix(c->seed, ino);
	struct net_ns *ns = table__find(&c->nets, hash, same_net_ns, &ino);
	int err;

	if (!ns) {
		ns = calloc(1, sizeof(*ns));
		if (!ns)
			return -ENOMEM;
		ns->ino = ino;
		err = read_ns(c, ns, p->tid);
		if (!err)
			err = table__add(&c->nets, hash, ns);
		if (err) {
			free_ns(ns);
			return err;
		}
	}
	p->net = ns;
	return 0;
}

int call_net__find(struct calls *c, struct call_proc *p, uint64_t ino, const struct net_sock **ret)
{
	struct net_sock key = { .ino = ino };
	int err = p->net ? 0 : get_ns(c, p);

	if (err)
		return err;
	*ret = p->net->cnt ? bsearch(&key, p->net->sock, p->net->cnt, sizeof(*p->net->sock), by_ino)
			   : NULL;
	return 0;
}

uint64_t call_net__other_end(const struct calls *c, const struct net_ns *ns,
			     const struct net_sock *s)
{
	const struct net_sock *other;

	if (s->family == AF_UNIX || !s->connected)
		return s->peer_ino;
	other = table__find(&ns->by_ends, hash_ends(c->seed, s, true), is_other_end, s);
	return other ? other->ino : 0;
}

uint64_t call_net__listener(const struct net_ns *ns, const char *name)
{
	for (size_t i = 0; i < ns->cnt; i++)
		if (ns->sock[i].family == AF_UNIX && ns->sock[i].listening &&
		    !strcmp(ns->sock[i].name, name))
			return ns->sock[i].ino;
	return 0;
}

static void add_ip(struct phrase *p, int family, const void *addr, uint16_t port)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(family, addr, text, sizeof(text));
	phrase__add(p, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void describe_unix(const struct net_sock *s, const struct net_sock *peer, struct phrase *p)
{
	phrase__add(p, "unix ");
	if (*s->name)
		phrase__add(p, "%s", s->name);
	else if (peer && *peer->name)
		phrase__add(p, "-> %s", peer->name);
	else
		phrase__add(p, "socket:[%llu]", (unsigned long long)s->ino);
	if (s->listening)
		phrase__add(p, " listening");
}

void call_net__describe(const struct net_ns *ns, const struct net_sock *s, struct phrase *p)
{
	struct net_sock key = { .ino = s->peer_ino };

	if (s->family == AF_UNIX) {
		describe_unix(s,
			      s->peer_ino ? bsearch(&key, ns->sock, ns->cnt, sizeof(key), by_ino)
					  : NULL,
			      p);
		return;
	}
	phrase__add(p, s->proto == IPPROTO_TCP ? "tcp " : "udp ");
	add_ip(p, s->family, s->addr, s->port);
	if (s->connected) {
		phrase__add(p, " -> ");
		add_ip(p, s->family, s->peer_addr, s->peer_port);
	} else if (s->listening) {
		phrase__add(p, " listening");
	}
}

/* The name of its protocol is an attribute of the socket: "UNIX", "NETLINK", "AF_VSOCK" (net/socket.c, sockfs_xattr_handlers). */
void call_net__other(uint32_t tid, int fd, const char *link, struct phrase *p)
{
	char path[64], proto[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", tid, fd);
	n = getxattr(path, "system.sockprotoname", proto, sizeof(proto) - 1);
	proto[n > 0 ? n : 0] = '\0';
	for (char *at = proto; *at; at++)
		*at |= *at >= 'A' && *at <= 'Z' ? 'a' - 'A' : 0;
	phrase__add(p, "%s%s%s", proto, *proto ? " " : "", link);
}

static bool add_unix_address(const struct sockaddr_un *un, size_t sz, struct phrase *p)
{
	size_t head = offsetof(struct sockaddr_un, sun_path);
	bool abstract = sz > head && !un->sun_path[0];

	if (sz <= head)
		return false;
	if (sz > sizeof(*un))
		sz = sizeof(*un);
	/* An abstract name has a length and no end (unix(7)); zeros in it are shown as the kernel shows them. */
	phrase__add(p, "unix ");
	for (size_t i = 0; head + i < sz && (abstract || un->sun_path[i]); i++)
		phrase__add(p, "%c", un->sun_path[i] ? un->sun_path[i] : '@');
	return true;
}

bool call_net__sockaddr(const void *addr, size_t sz, struct phrase *p)
{
	const struct sockaddr_in *in = addr;
	const struct sockaddr_in6 *in6 = addr;
	sa_family_t family = ((const struct sockaddr *)addr)->sa_family;

	if (family == AF_INET && sz >= sizeof(*in))
		add_ip(p, AF_INET, &in->sin_addr, ntohs(in->sin_port));
	else if (family == AF_INET6 && sz >= 24) /* without the scope: RFC 2133 */
		add_ip(p, AF_INET6, &in6->sin6_addr, ntohs(in6->sin6_port));
	else if (family == AF_UNIX)
		return add_unix_address(addr, sz, p);
	else
		return false;
	return true;
}
