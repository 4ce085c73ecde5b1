// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/jit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/sym/process.h"
#include "user/sym/safe_open.h"
#include "user/util/clock.h"

#define RETRY_NS 1000000000ull
/*
 * Reading maps may take a tenth of all time, and ALLOWED_MAX_NS at once: many processes with maps that
 * are as large as can be must not keep a report from being printed.
 */
#define ALLOWED_MAX_NS 5000000000ull
#define ALLOWED_PART   10

void jit__init(struct jit *j, struct jit_set *set, pid_t tgid, uint64_t start_time)
{
	*j = (struct jit){ .set = set, .tgid = tgid, .start_time = start_time, .fd = -1 };
}

static void drop_map(struct jit *j)
{
	if (!j->map)
		return;
	*(j->newer ? &j->newer->older : &j->set->newest) = j->older;
	*(j->older ? &j->older->newer : &j->set->oldest) = j->newer;
	j->newer = j->older = NULL;
	j->set->bytes -= perfmap__bytes(j->map);
	perfmap__free(j->map);
	j->map = NULL;
	j->file_sz = 0;
}

static void keep_map(struct jit *j, struct perfmap *map, uint64_t file_sz)
{
	struct jit_set *set = j->set;

	drop_map(j);
	while (set->oldest && set->bytes + perfmap__bytes(map) > JIT_TOTAL_MAX)
		drop_map(set->oldest);
	j->map = map;
	j->file_sz = file_sz;
	j->older = set->newest;
	*(set->newest ? &set->newest->newer : &set->oldest) = j;
	set->newest = j;
	set->bytes += perfmap__bytes(map);
}

static void close_file(struct jit *j)
{
	if (j->fd < 0)
		return;
	close(j->fd);
	j->fd = -1;
	j->set->file_cnt--;
}

void jit__free(struct jit *j)
{
	drop_map(j);
	close_file(j);
}

struct status {
	unsigned long uid; /* effective */
	unsigned long pid; /* in its own namespace */
};

/* proc(5), /proc/PID/status: "Uid: real effective saved fs", "NSpid: ours … its own" (Linux 4.1). */
static int read_status(pid_t tgid, struct status *ret)
{
	char path[32], line[512];
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tgid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *last = strrchr(line, '\t');

		if (strncmp(line, "Uid:", 4) == 0)
			found += sscanf(line, "Uid: %*u %lu", &ret->uid) == 1;
		else if (strncmp(line, "NSpid:", 6) == 0 && last)
			found += sscanf(last, "%lu", &ret->pid) == 1;
	}
	fclose(f);
	return found == 2 ? 0 : -ENOENT;
}

static int open_map(const struct jit *j)
{
	char root[32], path[48];
	struct status status;
	struct stat st;
	int fd, err = read_status(j->tgid, &status);

	if (err)
		return err;
	snprintf(root, sizeof(root), "/proc/%d/root", j->tgid);
	snprintf(path, sizeof(path), "/tmp/perf-%lu.map", status.pid);
	fd = safe_open__regular(root, path, true);
	if (fd < 0)
		return fd;
	/* /tmp is everybody's: another user could have put names there for a process yet to come. */
	if (fstat(fd, &st) < 0 || (st.st_uid != status.uid && st.st_uid != 0))
		err = -EPERM;
	else if (j->start_time && process__start_time(j->tgid) != j->start_time)
		err = -ESRCH; /* the ID is another's now */
	if (!err)
		return fd;
	close(fd);
	return err;
}

static bool open_file(struct jit *j)
{
	if (j->fd >= 0)
		return true;
	j->fd = open_map(j);
	if (j->fd < 0)
		return false;
	j->set->file_cnt++;
	return true;
}

void jit__open(struct jit *j)
{
	if (j->set->file_cnt < JIT_FILES_MAX)
		open_file(j);
}

/* The file's end, up to its size as it was asked for; free(*ret). */
static int read_text(int fd, uint64_t file_sz, char **ret, size_t *ret_sz)
{
	uint64_t off = file_sz > JIT_TEXT_MAX ? file_sz - JIT_TEXT_MAX : 0;
	size_t sz = file_sz - off, len = 0;
	char *text = malloc(sz + 1), *nl;

	if (!text)
		return -ENOMEM;
	while (len < sz) {
		ssize_t n = pread(fd, text + len, sz - len, off + len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += n;
	}
	/* A line that is cut at the front would be another one. */
	nl = off ? memchr(text, '\n', len) : NULL;
	if (off) {
		size_t skip = nl ? (size_t)(nl + 1 - text) : len;

		memmove(text, text + skip, len - skip);
		len -= skip;
	}
	*ret = text;
	*ret_sz = len;
	return 0;
}

/* True if there is another map now. */
static bool renew(struct jit *j)
{
	struct perfmap *map;
	struct stat st;
	size_t sz;
	char *text;

	if (fstat(j->fd, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size == j->file_sz)
		return false;
	if (read_text(j->fd, st.st_size, &text, &sz) || perfmap__parse(text, sz, &map))
		return false;
	keep_map(j, map, st.st_size);
	return true;
}

static bool is_allowed(struct jit_set *set, uint64_t now)
{
	uint64_t more = (now - set->allowed_at_ns) / ALLOWED_PART;

	set->allowed_ns += more < ALLOWED_MAX_NS ? more : ALLOWED_MAX_NS;
	if (set->allowed_ns > ALLOWED_MAX_NS)
		set->allowed_ns = ALLOWED_MAX_NS;
	set->allowed_at_ns = now;
	return set->allowed_ns;
}

static void spend(struct jit_set *set, uint64_t ns)
{
	set->allowed_ns -= ns < set->allowed_ns ? ns : set->allowed_ns;
}

bool jit__find(struct jit *j, uint64_t addr, struct symbol *ret, bool *ret_renewed)
{
	uint64_t now = clock__now_ns();

	*ret_renewed = false;
	if (j->map && perfmap__find(j->map, addr, ret))
		return true;
	if (j->tried_ns && now - j->tried_ns < RETRY_NS)
		return false;
	if (!is_allowed(j->set, now))
		return false;
	j->tried_ns = now;
	if (!open_file(j))
		return false;
	*ret_renewed = renew(j);
	spend(j->set, clock__now_ns() - now);
	if (j->set->file_cnt > JIT_FILES_MAX)
		close_file(j);
	return *ret_renewed && perfmap__find(j->map, addr, ret);
}
