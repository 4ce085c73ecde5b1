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
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/collect/hold.h"
#include "user/collect/hold_internal.h"
#include "user/collect/session_internal.h"
#include "user/collect/target.h"
#include "user/sym/elf_file.h"
#include "user/sym/maps.h"
#include "user/sym/safe_open.h"
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
	/* For all processes the event is one CPU's; its program runs on each of them all the same. */
	event = syscall(SYS_perf_event_open, &attr, pid ? pid : -1, pid ? -1 : 0, -1,
			PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : event;
}

int hold__probe_one(const struct hold_probes *p, size_t i)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = p->cookie[i]);
	int event = open_probe(p->pid, p->fd, p->off[i], p->at_return), link;

	if (event < 0)
		return event;
	link = bpf_link_create(bpf_program__fd(p->prog), event, BPF_PERF_EVENT, &opts);
	if (link >= 0 && ioctl(event, PERF_EVENT_IOC_ENABLE, 0)) {
		close(link);
		link = -errno;
	}
	close(event); /* the link has it */
	return link;
}

/* union bpf_attr's link_create with uprobe_multi, <linux/bpf.h> of 6.6. */
struct multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, pad;
};

int hold__probe_many(const struct hold_probes *p)
{
	char path[32];
	struct multi_attr attr = {
		.prog_fd = bpf_program__fd(p->prog),
		.attach_type = BPF_TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)p->off,
		.cookies = (uintptr_t)p->cookie,
		.cnt = p->cnt,
		.multi_flags = p->at_return ? BPF_F_UPROBE_MULTI_RETURN : 0,
		.pid = p->pid,
	};
	int link;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return link < 0 ? -errno : link;
}

static const struct bpf_program *program_of(struct session *s, enum hold_what what)
{
	switch (what) {
	case HOLD_LOCK:
		return session__program(s, "hu_hold_lock");
	case HOLD_UNLOCK:
		return session__program(s, "hu_hold_unlock");
	case HOLD_COND:
		return session__program(s, "hu_hold_cond");
	default:
		return session__program(s, "hu_hold_return");
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

static int keep(struct session *s, int link)
{
	int *more;

	if (link < 0)
		return link;
	more = realloc(s->hold.fd, (s->hold.fd_cnt + 1) * sizeof(*more));
	if (!more) {
		close(link);
		return -ENOMEM;
	}
	s->hold.fd = more;
	s->hold.fd[s->hold.fd_cnt++] = link;
	return 0;
}

/* The probes of one program, in one way. */
static int attach_probes(struct session *s, const struct hold_probes *p)
{
	int err = 0;

	if (s->hold.multi)
		return p->cnt ? keep(s, hold__probe_many(p)) : 0;
	for (size_t i = 0; i < p->cnt && !err; i++)
		err = keep(s, hold__probe_one(p, i));
	return err;
}

static int attach_points(struct attaching *a, int fd, const struct hold_point *point, size_t cnt)
{
	struct hold_probes *p = malloc(sizeof(*p));
	int err = p ? 0 : -ENOMEM;

	for (int what = HOLD_LOCK; what <= HOLD_RETURN && !err; what++)
		for (int replaced = 0; replaced <= 1 && !err; replaced++) {
			*p = (struct hold_probes){ .prog = program_of(a->s, what),
						   .pid = a->tgid,
						   .fd = fd,
						   .at_return = replaced };
			for (size_t i = 0; i < cnt; i++)
				if (point[i].what == (enum hold_what)what &&
				    point[i].replaced == replaced) {
					p->off[p->cnt] = point[i].off;
					p->cookie[p->cnt++] =
						point[i].cookie |
						(point[i].stepped ? HU_HOLD_STEPPED : 0);
				}
			err = attach_probes(a->s, p);
		}
	free(p);
	return err;
}

/* Takes fd over. A file without lock functions is none of ours. */
static int attach_file(struct attaching *a, int fd, const char *path)
{
	struct hold_point point[HOLD_POINTS_MAX];
	size_t cnt = 0;
	int err;

	if (fd < 0)
		return 0;
	if (!is_new(a, fd) || hold_points__find(fd, path, point, &cnt))
		cnt = 0;
	err = attach_points(a, fd, point, cnt);
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
	int fd = program__open_file(name), err;

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
