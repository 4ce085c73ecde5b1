// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/debuginfod_worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_SZ_MAX  (1ull << 30) /* what a server may make us write */
#define BUILD_ID_MAX 128
#define DEPTH_MAX    8

/*
 * elfutils 0.178 and newer, debuginfod/debuginfod.h (symbol version ELFUTILS_0.178). Declared here, so
 * that building needs no header of a library that few have.
 */
struct api {
	void *(*begin)(void);
	/* build_id_len 0: hexadecimal text; a descriptor or a negative errno, path malloc'ed */
	int (*find_debuginfo)(void *client, const unsigned char *build_id, int build_id_len,
			      char **path);
};

static int load(struct api *ret)
{
	void *lib = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return -ELIBACC;
	*(void **)&ret->begin = dlsym(lib, "debuginfod_begin");
	*(void **)&ret->find_debuginfo = dlsym(lib, "debuginfod_find_debuginfo");
	return ret->begin && ret->find_debuginfo ? 0 : -ELIBACC;
}

static bool answer(int sock, int32_t status, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &status, sizeof(status) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == sizeof(status);
}

/* debuginfod_find_debuginfo(3), "ENVIRONMENT VARIABLES" */
static void set_environment(const struct debuginfod_job *job)
{
	struct rlimit lim = { FILE_SZ_MAX, FILE_SZ_MAX };

	setenv("DEBUGINFOD_URLS", job->urls, 1);
	setenv("DEBUGINFOD_CACHE_PATH", job->folder, 1);
	setenv("HOME", job->folder, 1);
	unsetenv("DEBUGINFOD_PROGRESS");
	unsetenv("DEBUGINFOD_VERBOSE");
	setrlimit(RLIMIT_FSIZE, &lim);
	signal(SIGXFSZ, SIG_IGN);
}

static bool fetch(const struct api *api, void *client, int sock, const char *build_id)
{
	char *path = NULL;
	int fd = api->find_debuginfo(client, (const unsigned char *)build_id, 0, &path);
	bool ok;

	/* It is ours by its descriptor alone. */
	if (fd >= 0 && path)
		unlink(path);
	free(path);
	ok = answer(sock, fd < 0 ? fd : 0, fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

void debuginfod_worker__serve(int sock, int fd, const void *arg)
{
	char build_id[BUILD_ID_MAX + 1];
	struct api api;
	void *client;
	ssize_t n;
	int err;

	set_environment(arg);
	err = load(&api);
	client = err ? NULL : api.begin();
	if (!err && !client)
		err = -ENOMEM;
	if (!answer(sock, err ? err : -EALREADY, -1) || err)
		return;
	while ((n = recv(sock, build_id, BUILD_ID_MAX, 0)) > 0) {
		build_id[n] = '\0';
		if (!fetch(&api, client, sock, build_id))
			return;
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

void debuginfod_worker__clean(int sock, int fd, const void *arg)
{
	const struct debuginfod_job *job = arg;

	nftw(job->folder, remove_one, DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
}
