// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a lock and an unlock cost: a process that does nothing else. Each line on stdin is an order:
 *
 *     go      times pairs of pthread_mutex_lock() and pthread_mutex_unlock(), prints ns a pair
 *     nested  the same of a second lock inside of the first
 *     empty   puts empty programs where holdup puts its own, in this process alone
 *     bare    takes them away
 *
 * Prints its PID first, and a line for each order.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "user/collect/hold_internal.h"
#include "user/sym/maps.h"

#define BATCH	   1000
#define MEASURE_NS 100000000ULL

static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
static int links[2];
static int link_cnt;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* The quickest batch: the machine's other work is not asked for. */
static uint64_t time_pairs(pthread_mutex_t *m)
{
	uint64_t end = now_ns() + MEASURE_NS, best = UINT64_MAX, ns;

	do {
		ns = now_ns();
		for (int i = 0; i < BATCH; i++) {
			pthread_mutex_lock(m);
			pthread_mutex_unlock(m);
		}
		ns = now_ns() - ns;
		if (ns < best)
			best = ns;
	} while (now_ns() < end);
	return best / BATCH;
}

static int open_libc(char path[512])
{
	struct maps *maps;
	int fd = -1;

	if (maps__read(getpid(), &maps))
		return -1;
	for (size_t i = 0; i < maps->cnt && fd < 0; i++)
		if (maps->map[i].exec && strstr(maps->map[i].path, "/libc")) {
			snprintf(path, 512, "%s", maps->map[i].path);
			fd = open(path, O_RDONLY | O_CLOEXEC);
		}
	maps__free(maps);
	return fd;
}

/* An empty program, loaded as holdup's are where the kernel has links of many probes. */
static int load_empty(void)
{
	const struct bpf_insn insns[] = { { .code = 0xb7, .dst_reg = 0 }, { .code = 0x95 } };
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_UPROBE_MULTI);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "empty", "GPL", insns, 2, &opts);
}

static int probe(int prog, int fd, uint64_t off)
{
	struct {
		uint32_t prog_fd, target_fd, attach_type, flags;
		uint64_t path, offsets, ref_ctr_offsets, cookies;
		uint32_t cnt, multi_flags, pid, pad;
	} attr = { .prog_fd = prog,
		   .attach_type = BPF_TRACE_UPROBE_MULTI,
		   .cnt = 1,
		   .offsets = (uintptr_t)&off,
		   .pid = getpid() };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	attr.path = (uintptr_t)path;
	return syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

static int put_empty(void)
{
	static struct hold_point point[HOLD_POINTS_MAX];
	int prog = load_empty(), fd;
	char path[512];
	size_t cnt;

	fd = open_libc(path);
	if (prog < 0 || fd < 0 || hold_points__find(fd, path, point, &cnt))
		return -1;
	for (size_t i = 0; i < cnt && link_cnt < 2; i++)
		if (!strcmp(point[i].name, "pthread_mutex_lock") || !strcmp(point[i].name, "pthread"
											   "_mutex_"
											   "unloc"
											   "k")) {
			links[link_cnt] = probe(prog, fd, point[i].off);
			if (links[link_cnt] < 0)
				return -1;
			link_cnt++;
		}
	close(prog);
	close(fd);
	return link_cnt == 2 ? 0 : -1;
}

static void take_away(void)
{
	while (link_cnt)
		close(links[--link_cnt]);
}

int main(void)
{
	char line[16];

	printf("%d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long long said = 0;

		if (!strcmp(line, "go\n")) {
			said = time_pairs(&inner);
		} else if (!strcmp(line, "nested\n")) {
			pthread_mutex_lock(&outer);
			said = time_pairs(&inner);
			pthread_mutex_unlock(&outer);
		} else if (!strcmp(line, "empty\n")) {
			said = put_empty();
		} else {
			take_away();
		}
		printf("%lld\n", said);
		fflush(stdout);
	}
	return 0;
}
