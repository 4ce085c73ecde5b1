// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of another network namespace, from /proc/TID/net: tcp, tcp6, udp, udp6 (net/ipv4/tcp_ipv4.c,
 * tcp4_seq_show() and its like) and unix (net/unix/af_unix.c, unix_seq_show()), which do not tell who is connected to
 * whom.
 */
#include "user/target/call_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NET_FILE_MAX (64 << 20)

/* 32-bit words in hexadecimal, each as this machine reads one from memory in network order. */
static bool parse_address(const char *text, size_t words, uint8_t addr[16])
{
	uint32_t word;

	if (strlen(text) != words * 8)
		return false;
	for (size_t i = 0; i < words; i++) {
		if (sscanf(text + i * 8, "%8x", &word) != 1)
			return false;
		memcpy(addr + i * 4, &word, sizeof(word));
	}
	return true;
}

static int add_inet(struct calls *c, struct net_ns *ns, const char *line, uint8_t family,
		    uint8_t proto)
{
	struct net_sock s = { .family = family, .proto = proto };
	size_t words = family == AF_INET ? 1 : 4;
	unsigned int port, peer_port, state;
	char own[33], peer[33];
	unsigned long long ino;

	if (sscanf(line,
		   " %*d: %32[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x %*x:%*x %*x:%*x %*x %*u %*d %llu",
		   own, &port, peer, &peer_port, &state, &ino) != 6 ||
	    !parse_address(own, words, s.addr) || !parse_address(peer, words, s.peer_addr))
		return 0;
	s.port = port;
	s.peer_port = peer_port;
	s.ino = ino;
	s.listening = proto == IPPROTO_TCP && state == TCP_LISTEN;
	s.connected = !s.listening && peer_port;
	return net_ns__add(c, ns, &s, "");
}

/* "Num RefCount Protocol Flags Type St Inode Path" */
static int add_unix(struct calls *c, struct net_ns *ns, const char *line)
{
	struct net_sock s = { .family = AF_UNIX };
	unsigned long long ino;
	unsigned int flags, state;
	int path = 0;

	if (sscanf(line, "%*x: %*x %*x %x %*x %x %llu%n", &flags, &state, &ino, &path) != 3)
		return 0;
	s.ino = ino;
	s.listening = flags & (1 << 16); /* __SO_ACCEPTCON, linux/net.h */
	s.connected = state == 3;	 /* SS_CONNECTED, linux/net.h */
	return net_ns__add(c, ns, &s, line[path] == ' ' ? line + path + 1 : "");
}

static const struct {
	const char *name;
	uint8_t family, proto;
} files[] = {
	{ "tcp", AF_INET, IPPROTO_TCP }, { "tcp6", AF_INET6, IPPROTO_TCP },
	{ "udp", AF_INET, IPPROTO_UDP }, { "udp6", AF_INET6, IPPROTO_UDP },
	{ "unix", AF_UNIX, 0 },
};

int net_proc__read(struct calls *c, struct net_ns *ns, uint32_t tid, struct net_told told)
{
	struct lines *l = malloc(sizeof(*l));
	char path[64];
	char *line;
	int err = l ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++) {
		if (files[i].family == AF_UNIX ? told.unix_socks : told.inet)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/net/%s", tid, files[i].name);
		if (!lines__open(l, path, NET_FILE_MAX))
			continue;
		while (!err && ns->cnt < NET_SOCKS_MAX && (line = lines__next(l)))
			err = files[i].family == AF_UNIX
				      ? add_unix(c, ns, line)
				      : add_inet(c, ns, line, files[i].family, files[i].proto);
		lines__close(l);
	}
	free(l);
	return err;
}
