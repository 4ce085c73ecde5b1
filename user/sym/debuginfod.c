// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/debuginfod.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/sym/debuginfod_worker.h"
#include "user/sym/worker.h"
#include "user/util/clock.h"
#include "user/util/log.h"

#define URLS_MAX 4096

struct debuginfod {
	struct worker worker;
	struct debuginfod_job job;
	int64_t left_ms; /* of DEBUGINFOD_TOTAL_MS */
	int failures;	 /* in a row */
};

static int64_t now_ms(void)
{
	return (int64_t)(clock__now_ns() / 1000000);
}

/* The files' words, with a space between them; as elfutils' profile script for shells does. */
static void read_urls(char *buf, size_t cap)
{
	size_t used = 0;
	glob_t found;

	if (glob("/etc/debuginfod/*.urls", 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *f = fopen(found.gl_pathv[i], "re");

		if (!f)
			continue;
		used += fread(buf + used, 1, cap - 2 - used, f);
		buf[used++] = ' ';
		fclose(f);
		if (used >= cap - 2)
			break;
	}
	buf[used] = '\0';
	for (char *p = buf; *p; p++)
		if (*p == '\n')
			*p = ' ';
	globfree(&found);
}

static int find_urls(char **ret)
{
	const char *set = getenv("DEBUGINFOD_URLS");
	char buf[URLS_MAX] = "";

	if (!set || !*set) {
		read_urls(buf, sizeof(buf));
		set = buf;
	}
	if (!set[strspn(set, " ")])
		return -ENOENT;
	*ret = strdup(set);
	return *ret ? 0 : -ENOMEM;
}

/* A folder that the worker may write to; only a file that is on its way is ever in it. */
static int make_folder(char *path)
{
	if (!mkdtemp(path))
		return -errno;
	if (geteuid() == 0 && chown(path, WORKER_UID, WORKER_UID))
		return 0; /* no such ID here: then the worker is who we are */
	return 0;
}

/* The alignment of control messages leaves room for a second one, which nobody asked for. */
static void take_descriptor(struct msghdr *msg, int *ret)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t cnt;
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len < CMSG_LEN(sizeof(fd)))
		return;
	cnt = (c->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
	memcpy(ret, CMSG_DATA(c), sizeof(*ret));
	for (size_t i = 1; i < cnt; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		close(fd);
	}
}

/* Status and, with status 0, a descriptor (SCM_RIGHTS, unix(7)). */
static int receive(const struct worker *w, int timeout_ms)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	int32_t status;
	struct iovec iov = { &status, sizeof(status) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	int fd = -1;

	if (!worker__wait(w, timeout_ms))
		return -ETIMEDOUT;
	if (recvmsg(w->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof(status))
		return -EPIPE;
	take_descriptor(&msg, &fd);
	if (status == 0 && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return status < 0 ? status : -EPROTO;
}

static int start(struct debuginfod *d)
{
	int err = worker__start(debuginfod_worker__serve, -1, &d->job, &d->worker);

	if (err)
		return err;
	/* Its first message is whether the library could be loaded. */
	err = receive(&d->worker, DEBUGINFOD_FILE_MS);
	if (err == -EALREADY)
		return 0;
	if (err >= 0)
		close(err);
	worker__stop(&d->worker);
	return err < 0 ? err : -EPROTO;
}

int debuginfod__new(struct debuginfod **ret)
{
	static const char folder[] = "/tmp/holdup-debuginfod.XXXXXX";
	struct debuginfod *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->worker.sock = -1;
	d->left_ms = DEBUGINFOD_TOTAL_MS;
	err = find_urls(&d->job.urls);
	if (!err) {
		memcpy(d->job.folder, folder, sizeof(folder));
		err = make_folder(d->job.folder);
		if (err)
			d->job.folder[0] = '\0';
	}
	if (!err)
		err = start(d);
	if (err) {
		debuginfod__free(d);
		return err;
	}
	*ret = d;
	return 0;
}

/* As the worker's user: what is in the folder may be links to anywhere. */
static void clean_folder(struct debuginfod *d)
{
	struct worker cleaner;

	if (!d->job.folder[0])
		return;
	if (worker__start(debuginfod_worker__clean, -1, &d->job, &cleaner) == 0) {
		worker__wait(&cleaner, DEBUGINFOD_FILE_MS);
		worker__stop(&cleaner);
	}
	rmdir(d->job.folder);
}

void debuginfod__free(struct debuginfod *d)
{
	if (!d)
		return;
	worker__stop(&d->worker);
	clean_folder(d);
	free(d->job.urls);
	free(d);
}

static bool may_ask(const struct debuginfod *d)
{
	return d->left_ms > 0 && d->failures < DEBUGINFOD_FAILURES;
}

static int ask(struct debuginfod *d, const char *build_id)
{
	int64_t timeout_ms = d->left_ms < DEBUGINFOD_FILE_MS ? d->left_ms : DEBUGINFOD_FILE_MS;
	size_t len = strlen(build_id);
	int err = d->worker.sock < 0 ? start(d) : 0;

	if (err)
		return err;
	if (send(d->worker.sock, build_id, len, MSG_NOSIGNAL) != (ssize_t)len)
		return -EPIPE;
	return receive(&d->worker, timeout_ms);
}

int debuginfod__fetch(struct debuginfod *d, const char *build_id)
{
	int64_t start_ms = now_ms();
	int ret;

	if (!may_ask(d))
		return -ETIMEDOUT;
	ret = ask(d, build_id);
	d->left_ms -= now_ms() - start_ms;
	if (ret >= 0 || ret == -ENOENT) {
		d->failures = 0;
		return ret;
	}
	/* An answer that is late would be taken for that to the next question. */
	worker__stop(&d->worker);
	d->failures++;
	log__info("debuginfod: %s: %s", build_id, strerror(-ret));
	if (!may_ask(d))
		log__msg("debuginfod: the servers do not answer in time, going on without them");
	return ret;
}
