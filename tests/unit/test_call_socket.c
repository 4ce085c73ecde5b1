// SPDX-License-Identifier: GPL-2.0-only
/* Threads that wait at sockets: addresses and who is at the other end. Like test_call.c. */
#include "tests/unit/call_child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static int fds[2];
static struct sockaddr_storage address;
static socklen_t address_sz;

static void hold_second(void)
{
	close(fds[0]);
	pause();
}

static void receive(void)
{
	char c;

	close(fds[1]);
	recv(fds[0], &c, 1, 0);
}

static void receive_message(void)
{
	struct msghdr message = { 0 };

	close(fds[1]);
	recvmsg(fds[0], &message, 0);
}

static void send_much(void)
{
	static char page[4096];

	close(fds[1]);
	while (send(fds[0], page, sizeof(page), 0) > 0)
		;
}

static void accept_one(void)
{
	accept(fds[0], NULL, NULL);
}

static void connect_there(void)
{
	int s = socket(address.ss_family, SOCK_STREAM, 0);

	connect(s, (struct sockaddr *)&address, address_sz);
}

/* A listening socket of the family on this machine, whose address is in `address`. */
static int listen_on(int family)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int s = socket(family, SOCK_STREAM, 0);
	int err = family == AF_INET ? bind(s, (struct sockaddr *)&in, sizeof(in))
				    : bind(s, (struct sockaddr *)&in6, sizeof(in6));

	address_sz = sizeof(address);
	if (s < 0 || err || listen(s, 0) ||
	    getsockname(s, (struct sockaddr *)&address, &address_sz))
		return -1;
	return s;
}

static unsigned int port_of(int s, bool peer)
{
	struct sockaddr_in in; /* the port stands at the same place for IPv6 */
	struct sockaddr_storage all;
	socklen_t sz = sizeof(all);

	assert_int_equal((peer ? getpeername : getsockname)(s, (struct sockaddr *)&all, &sz), 0);
	memcpy(&in, &all, sizeof(in));
	return ntohs(in.sin_port);
}

/* Who receives at one end, and who has the other. */
static void check_connected(struct looks *l, int family, const char *host)
{
	int s = listen_on(family);
	unsigned int port, peer_port;
	pid_t holder, blocked;

	if (s < 0)
		return; /* no IPv6 here */
	fds[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&address, address_sz), 0);
	fds[1] = accept(s, NULL, NULL);
	close(s);
	port = port_of(fds[0], false);
	peer_port = port_of(fds[0], true);
	holder = child(hold_second, SYS_ppoll_or_pause);
	blocked = child(receive, SYS_recvfrom);
	look_after_closing(l, blocked, fds);
	says(l, CALL_SOCKET, "recvfrom", "from tcp %s:%u -> %s:%u, at the other end %s (%d)", host,
	     port, host, peer_port, COMM, holder);
	assert_int_equal(l->wait.peer_cnt, 1);
	assert_int_equal(l->wait.peer[0].tgid, holder);
	end_other_children(0);
	fresh(l);
}

static void test_tcp(void **state)
{
	check_connected(*state, AF_INET, "127.0.0.1");
	check_connected(*state, AF_INET6, "[::1]");
}

static void test_accept(void **state)
{
	struct looks *l = *state;

	fds[0] = listen_on(AF_INET);
	assert_true(fds[0] >= 0);
	look(l, child(accept_one, SYS_accept));
	says(l, CALL_SOCKET, "accept", "on tcp 127.0.0.1:%u listening", port_of(fds[0], false));
	assert_int_equal(l->wait.peer_cnt, 0);
	close(fds[0]);
}

/* The queue of who wants to be accepted is full, which is when connect() waits on one machine. */
static void test_connect(void **state)
{
	struct looks *l = *state;
	int full[2];

	fds[0] = listen_on(AF_INET);
	assert_true(fds[0] >= 0);
	for (size_t i = 0; i < 2; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(full[i], (struct sockaddr *)&address, address_sz);
	}
	look(l, child(connect_there, SYS_connect));
	says(l, CALL_SOCKET, "connect", "to 127.0.0.1:%u", port_of(fds[0], false));
	close(full[0]);
	close(full[1]);
	close(fds[0]);
}

static void receive_udp(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char c;

	if (!bind(fds[0], (struct sockaddr *)&in, sizeof(in)))
		recv(fds[0], &c, 1, 0);
}

static void test_udp(void **state)
{
	struct looks *l = *state;

	fds[0] = socket(AF_INET, SOCK_DGRAM, 0);
	look(l, child(receive_udp, SYS_recvfrom));
	says(l, CALL_SOCKET, "recvfrom", "from udp 127.0.0.1:%u", port_of(fds[0], false));
	close(fds[0]);
}

static void check_pair(struct looks *l, void (*fn)(void), long nr, const char *word)
{
	pid_t holder, blocked;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	holder = child(hold_second, SYS_ppoll_or_pause);
	blocked = child(fn, nr);
	look_after_closing(l, blocked, fds);
	assert_int_equal(l->wait.kind, CALL_SOCKET);
	assert_int_equal(l->wait.peer_cnt, 1);
	assert_int_equal(l->wait.peer[0].tgid, holder);
	assert_string_equal(l->wait.peer[0].comm, COMM);
	starts(l, "%s unix socket:[", word);
	end_other_children(0);
	fresh(l);
}

static void test_unix_pair(void **state)
{
	check_pair(*state, receive, SYS_recvfrom, "from");
	check_pair(*state, receive_message, SYS_recvmsg, "from");
	check_pair(*state, send_much, SYS_sendto, "to");
}

static void hold_listening(void)
{
	pause();
}

/* A listening unix socket whose name would clear a terminal, and pretend to be a line of /proc/net/unix. */
static void listen_unix(char name[sizeof(((struct sockaddr_un *)0)->sun_path)])
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(name, sizeof(un.sun_path), "/tmp/holdup-call\033[2J\n%d: 0 0 00010000 1 1 7 -%d",
		 getpid(), getpid());
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
	fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink(name);
	assert_int_equal(bind(fds[0], (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	memcpy(&address, &un, sizeof(un));
	address_sz = sizeof(un);
	/* One is taken beyond the backlog. */
	fds[1] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&un, sizeof(un)), 0);
}

static void test_unix_connect(void **state)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct looks *l = *state;
	pid_t holder, blocked;

	listen_unix(name);
	holder = child(hold_listening, SYS_ppoll_or_pause);
	close(fds[0]);
	blocked = child(connect_there, SYS_connect);
	look(l, blocked);
	says(l, CALL_SOCKET, "connect", "to unix %s, which is for %s (%d)", name, COMM, holder);
	close(fds[1]);
	unlink(name);
}

/* What /proc/net tells where netlink is another namespace's: the target is alone in its own. */
static int ready;

static void in_own_namespace(void)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct sockaddr_in in = { .sin_family = AF_INET };
	int s;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		(void)!write(ready, "n", 1);
		pause();
	}
	listen_unix(name);
	s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&in, sizeof(in)) || listen(s, 1))
		_exit(1);
	in.sin_port = htons(port_of(s, false));
	/* The port is what the parent can't know; the unix socket comes second. */
	(void)!write(ready, "y", 1);
	(void)!write(ready, &in.sin_port, sizeof(in.sin_port));
	accept(s, NULL, NULL);
}

static void test_other_namespace(void **state)
{
	struct looks *l = *state;
	int tell[2];
	in_port_t port;
	pid_t blocked;
	char answer;

	assert_int_equal(pipe(tell), 0);
	ready = tell[1];
	blocked = child(in_own_namespace, -1);
	close(tell[1]);
	assert_int_equal(read(tell[0], &answer, 1), 1);
	if (answer == 'n') {
		close(tell[0]);
		skip();
	}
	assert_int_equal(read(tell[0], &port, sizeof(port)), sizeof(port));
	close(tell[0]);
	wait_asleep(blocked, SYS_accept);
	look(l, blocked);
	says(l, CALL_SOCKET, "accept", "on tcp 0.0.0.0:%u listening", ntohs(port));
}

static void receive_netlink(void)
{
	char c;

	recv(socket(AF_NETLINK, SOCK_RAW, 0), &c, 1, 0);
}

static void test_other_families(void **state)
{
	struct looks *l = *state;

	look(l, child(receive_netlink, SYS_recvfrom));
	starts(l, "from netlink socket:[");
	assert_int_equal(l->wait.kind, CALL_SOCKET);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_tcp),
		TEST(test_accept),
		TEST(test_connect),
		TEST(test_udp),
		TEST(test_unix_pair),
		TEST(test_unix_connect),
		TEST(test_other_namespace),
		TEST(test_other_families),
	};

	return cmocka_run_group_tests_name("call at sockets", tests, NULL, NULL);
}
