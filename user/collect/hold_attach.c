// SPDX-License-Identifier: GPL-2.0-only
/* Which files have the lock functions of which process, and the probes on them. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/collect/hold.h"
#include "user/collect/hold_internal.h"
#include "user/collect/session_internal.h"
#include "user/sym/elf_file.h"
#include "user/sym/maps.h"
#include "user/sym/safe_open.h"
#include "user/util/log.h"
#include "user/util/parse.h"

#define FILES_MAX  32 /* with lock functions; of one process */
#define INTERP_MAX 256

/* ---- one probe */

/* The number in a file of one line, behind what the line begins with; -ENOENT: there is none. */
static int read_number(const char *path, const char *before)
{
	size_t skip = strlen(before);
	FILE *f = fopen(path, "re");
	char line[32] = "";
	uint64_t n;

	if (!f)
		return -errno;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return strncmp(line, before, skip) || parse__u64(line + skip, 0, INT_MAX, &n) ? -ENOENT
										      : (int)n;
}

/* The file is named by our descriptor of it: no path of the target's is resolved again. */
static int open_probe(pid_t pid, int fd, uint64_t off, bool at_return)
{
	int type = read_number("/sys/bus/event_source/devices/uprobe/type", "");
	int bit = read_number("/sys/bus/event_source/devices/uprobe/format/retprobe", "config:");
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char path[32];
	int event;

	if (type < 0 || bit < 0 || bit > 63)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	attr.type = type;
	attr.config = at_return ? 1ULL << bit : 0;
	attr.uprobe_path = (uintptr_t)path;
	attr.probe_offset = off;
	event = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : event;
}

int hold__probe(const struct bpf_program *prog, pid_t pid, int fd, uint64_t off, bool at_return,
		uint32_t cookie, struct bpf_link **ret)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = cookie);
	int event = open_probe(pid, fd, off, at_return), err;

	if (event < 0)
		return event;
	*ret = bpf_program__attach_perf_event_opts(prog, event, &opts);
	err = libbpf_get_error(*ret);
	if (err)
		close(event);
	return err;
}

static const struct bpf_program *program_of(const struct session *s, enum hold_what what)
{
	switch (what) {
	case HOLD_LOCK:
		return s->skel->progs.hu_hold_lock;
	case HOLD_UNLOCK:
		return s->skel->progs.hu_hold_unlock;
	case HOLD_COND:
		return s->skel->progs.hu_hold_cond;
	default:
		return s->skel->progs.hu_hold_return;
	}
}

/* ---- the files of one process */

struct file {
	dev_t dev;
	ino_t ino;
};

struct attaching {
	struct session *s;
	pid_t tgid;
	struct file seen[FILES_MAX];
	size_t seen_cnt, points;
};

static bool is_new(struct attaching *a, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || a->seen_cnt == FILES_MAX)
		return false;
	for (size_t i = 0; i < a->seen_cnt; i++)
		if (a->seen[i].dev == st.st_dev && a->seen[i].ino == st.st_ino)
			return false;
	a->seen[a->seen_cnt++] = (struct file){ st.st_dev, st.st_ino };
	return true;
}

static int keep(struct session *s, struct bpf_link *link)
{
	struct bpf_link **more = realloc(s->hold.link, (s->hold.link_cnt + 1) * sizeof(*more));

	if (!more) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	s->hold.link = more;
	s->hold.link[s->hold.link_cnt++] = link;
	return 0;
}

/* Takes fd over. A file without lock functions is none of ours. */
static int attach_file(struct attaching *a, int fd, const char *path)
{
	struct hold_point point[HOLD_POINTS_MAX];
	struct bpf_link *link;
	size_t cnt = 0;
	int err = 0;

	if (fd < 0)
		return 0;
	if (is_new(a, fd) && hold_points__find(fd, path, point, &cnt))
		cnt = 0;
	for (size_t i = 0; i < cnt && !err; i++) {
		err = hold__probe(program_of(a->s, point[i].what), a->tgid, fd, point[i].off,
				  point[i].replaced,
				  point[i].cookie | (point[i].stepped ? HU_HOLD_STEPPED : 0),
				  &link);
		if (!err)
			err = keep(a->s, link);
		else
			log__info("%s in %s can't be probed: %s", point[i].name, path,
				  strerror(-err));
	}
	a->points += cnt;
	close(fd);
	return err;
}

static bool is_libc(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return !strncmp(name, "libc.", 5) || !strncmp(name, "libc-", 5) ||
	       !strncmp(name, "libpthread", 10) || !strncmp(name, "ld-musl-", 8);
}

static int attach_running(struct attaching *a)
{
	struct maps *maps;
	char path[96];
	int err = maps__read(a->tgid, &maps);

	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/%d/exe", a->tgid);
	err = attach_file(a, open(path, O_RDONLY | O_CLOEXEC), path);
	for (size_t i = 0; i < maps->cnt && !err; i++) {
		const struct mapping *m = &maps->map[i];

		if (!m->exec || !m->ino || !is_libc(m->path))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", a->tgid,
			 (unsigned long long)m->start, (unsigned long long)m->end);
		err = attach_file(a, open(path, O_RDONLY | O_CLOEXEC), m->path);
	}
	maps__free(maps);
	return err;
}

/* ---- a program that has not begun: what it will map is not known, but where that comes from */

static int open_program(const char *name)
{
	const char *path = strchr(name, '/') ? NULL : getenv("PATH");
	char *copy, *rest, *dir, full[4096];
	int fd = -1;

	if (!path)
		return safe_open__regular("", name, false);
	copy = rest = strdup(path);
	while (copy && fd < 0 && (dir = strsep(&rest, ":"))) {
		snprintf(full, sizeof(full), "%s/%s", *dir ? dir : ".", name);
		if (!access(full, X_OK))
			fd = safe_open__regular("", full, false);
	}
	free(copy);
	return fd;
}

/* The loader that the program names, "" if it has none. */
static void read_interp(int fd, char ret[INTERP_MAX])
{
	struct elf_file *f;

	ret[0] = '\0';
	if (elf_file__open(fd, &f))
		return;
	for (size_t i = 0; i < f->phdr_cnt; i++)
		if (f->phdr[i].p_type == PT_INTERP && f->phdr[i].p_filesz < INTERP_MAX &&
		    !elf_file__read(f, f->phdr[i].p_offset, ret, f->phdr[i].p_filesz))
			ret[f->phdr[i].p_filesz] = '\0';
	elf_file__close(f);
}

static int attach_own_libc(struct attaching *a)
{
	struct maps *maps;
	int err = maps__read(getpid(), &maps);

	if (err)
		return err;
	for (size_t i = 0; i < maps->cnt && !err; i++)
		if (maps->map[i].exec && maps->map[i].ino && is_libc(maps->map[i].path))
			err = attach_file(a, safe_open__regular("", maps->map[i].path, false),
					  maps->map[i].path);
	maps__free(maps);
	return err;
}

static int attach_program(struct attaching *a, const char *name)
{
	char interp[INTERP_MAX] = "", libc[INTERP_MAX + 16], *real;
	int fd = open_program(name), err;

	if (fd >= 0)
		read_interp(fd, interp);
	err = attach_file(a, fd, name);
	if (!err)
		err = attach_own_libc(a);
	real = *interp ? realpath(interp, NULL) : NULL;
	if (!err && real) {
		err = attach_file(a, safe_open__regular("", real, false),
				  real); /* musl's is its libc */
		snprintf(libc, sizeof(libc), "%.*s/libc.so.6", INTERP_MAX, dirname(real));
		if (!err)
			err = attach_file(a, safe_open__regular("", libc, false), libc);
	}
	free(real);
	return err;
}

int session__hold_attach(struct session *s, const pid_t *tgids, size_t cnt, char **program,
			 size_t *ret_points, const char **why)
{
	int err = 0;

	*ret_points = 0;
	for (size_t i = 0; i < cnt && !err; i++) {
		struct attaching a = { .s = s, .tgid = tgids[i] };

		err = program ? attach_program(&a, program[0]) : attach_running(&a);
		*why = "probes can't be placed on its lock functions";
		if (!err && !a.points) {
			*why = "no lock functions are found in it: neither a C library it has "
			       "mapped, nor the program itself has such symbols";
			err = -ENOENT;
		}
		*ret_points += a.points;
	}
	return err;
}
