// SPDX-License-Identifier: GPL-2.0-only
/*
 * All sockets of holdup's own network namespace by netlink (sock_diag(7)): unlike /proc/net it tells which unix sockets
 * are connected to each other.
 */
#include "user/target/call_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define REPLY_SZ 65536 /* more than the kernel sends at once: net/netlink/af_netlink.c, 32 KiB */

struct dump {
	struct calls *c;
	struct net_ns *ns;
	int sock;
	uint8_t proto;
	char *reply;
};

static int add_inet(struct dump *d, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct net_sock s = { .proto = d->proto };
	size_t addr_sz;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return 0;
	addr_sz = m->idiag_family == AF_INET ? 4 : 16;
	s.family = m->idiag_family;
	s.ino = m->idiag_inode;
	s.port = ntohs(m->id.idiag_sport);
	s.peer_port = ntohs(m->id.idiag_dport);
	memcpy(s.addr, m->id.idiag_src, addr_sz);
	memcpy(s.peer_addr, m->id.idiag_dst, addr_sz);
	s.listening = d->proto == IPPROTO_TCP && m->idiag_state == TCP_LISTEN;
	s.connected = !s.listening && s.peer_port;
	return net_ns__add(d->c, d->ns, &s, "");
}

/* A path, or a zero and an abstract name, neither with an end; zeros are shown as in /proc/net/unix. */
static void copy_name(const struct rtattr *a, char name[128])
{
	size_t len = RTA_PAYLOAD(a);
	const char *bytes = RTA_DATA(a);
	bool abstract = len && !bytes[0];

	if (len > 127)
		len = 127;
	for (size_t i = 0; i < len; i++)
		name[i] = bytes[i] || !abstract ? bytes[i] : '@';
	name[len] = '\0';
}

static int add_unix(struct dump *d, const struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	struct net_sock s = { .family = AF_UNIX };
	char name[128] = "";
	int left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return 0;
	s.ino = m->udiag_ino;
	s.listening = m->udiag_state == TCP_LISTEN;
	left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		if (a->rta_type == UNIX_DIAG_NAME)
			copy_name(a, name);
		else if (a->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(a) >= sizeof(uint32_t))
			s.peer_ino = *(const uint32_t *)RTA_DATA(a);
	}
	s.connected = s.peer_ino;
	return net_ns__add(d->c, d->ns, &s, name);
}

/* One message; 1: it was the last, or -EIO: refused (a module is missing, or a filter is in the way). */
static int take_one(struct dump *d, const struct nlmsghdr *h)
{
	if (h->nlmsg_type == NLMSG_DONE)
		return 1;
	if (h->nlmsg_type == NLMSG_ERROR)
		return -EIO;
	if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
		return d->proto ? add_inet(d, h) : add_unix(d, h);
	return 0;
}

/* Not by NLMSG_OK() and NLMSG_NEXT(): those mix signs, and step beyond an end that is not aligned. */
static int take(struct dump *d, size_t sz)
{
	const struct nlmsghdr *h;
	size_t off = 0;
	int err = 0;

	while (!err && sz - off >= sizeof(*h)) {
		h = (const void *)((const char *)d->reply + off);
		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > sz - off)
			return -EIO;
		err = take_one(d, h);
		off += NLMSG_ALIGN(h->nlmsg_len);
		if (off > sz)
			break;
	}
	return err;
}

static int request(struct dump *d, const void *req, size_t sz)
{
	struct {
		struct nlmsghdr h;
		char body[64];
	} msg = { .h = { .nlmsg_len = NLMSG_LENGTH(sz),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	ssize_t n;
	int err = 0;

	memcpy(NLMSG_DATA(&msg.h), req, sz);
	if (send(d->sock, &msg, msg.h.nlmsg_len, 0) < 0)
		return -EIO;
	while (!err) {
		n = recv(d->sock, d->reply, REPLY_SZ, 0);
		if (n <= 0)
			return -EIO;
		err = take(d, n);
	}
	return err > 0 ? 0 : err;
}

static int dump_inet(struct dump *d, uint8_t family, uint8_t proto)
{
	struct inet_diag_req_v2 req = {
		.sdiag_family = family,
		.sdiag_protocol = proto,
		/* What has no inode is of no interest. 12: TCP_NEW_SYN_RECV (net/tcp_states.h) */
		.idiag_states = ~(1u << TCP_TIME_WAIT | 1u << 12),
	};

	d->proto = proto;
	return request(d, &req, sizeof(req));
}

static int dump_unix(struct dump *d)
{
	struct unix_diag_req req = {
		.sdiag_family = AF_UNIX,
		.udiag_states = -1,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER,
	};

	d->proto = 0;
	return request(d, &req, sizeof(req));
}

static int dump_all_inet(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < 4 && !err; i++)
		err = dump_inet(d, i & 1 ? AF_INET6 : AF_INET, i & 2 ? IPPROTO_UDP : IPPROTO_TCP);
	return err;
}

int net_diag__read(struct calls *c, struct net_ns *ns, struct net_told *ret_told)
{
	struct timeval patience = { .tv_sec = 1 }; /* replies are there at once */
	struct dump d = { .c = c, .ns = ns };
	int unix_err = -ENOMEM, inet_err = -ENOMEM;

	d.sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (d.sock < 0)
		return 0;
	setsockopt(d.sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	d.reply = malloc(REPLY_SZ);
	if (d.reply) {
		unix_err = dump_unix(&d);
		inet_err = dump_all_inet(&d);
	}
	free(d.reply);
	close(d.sock);
	ret_told->unix_socks = !unix_err;
	ret_told->inet = !inet_err;
	return unix_err == -ENOMEM || inet_err == -ENOMEM ? -ENOMEM : 0;
}
