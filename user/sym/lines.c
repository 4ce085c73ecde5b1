// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "user/sym/lines_worker.h"
#include "user/sym/worker.h"

#define ANSWER_TIMEOUT_MS 10000 /* the first answer reads all compilation units' headers */

struct lines {
	struct worker worker;
};

static void serve(int sock, int fd, const void *arg)
{
	lines_worker__serve(sock, fd);
}

int lines__start(int fd, struct lines **ret)
{
	struct lines *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	err = worker__start(serve, fd, NULL, &l->worker);
	if (err) {
		free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void lines__stop(struct lines *l)
{
	if (!l)
		return;
	worker__stop(&l->worker);
	free(l);
}

/* The worker may have been taken over by what it read: nothing in an answer is trusted. */
static void sanitize(struct lines_frame *f)
{
	f->function[sizeof(f->function) - 1] = '\0';
	f->file[sizeof(f->file) - 1] = '\0';
	if (f->line < 0)
		f->line = 0;
}

size_t lines__query(struct lines *l, uint64_t vaddr, struct lines_frame *ret, size_t cap)
{
	struct lines_frame *answer;
	ssize_t n = -1;
	size_t cnt = 0;

	if (l->worker.sock < 0)
		return 0;
	answer = calloc(LINES_FRAMES_MAX, sizeof(*answer));
	if (!answer)
		return 0;
	if (send(l->worker.sock, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) == sizeof(vaddr) &&
	    worker__wait(&l->worker, ANSWER_TIMEOUT_MS))
		n = recv(l->worker.sock, answer, LINES_FRAMES_MAX * sizeof(*answer), 0);
	/* One byte stands for "nothing known": an empty packet would look like the end. */
	if (n <= 0)
		worker__stop(&l->worker);
	else
		cnt = n / sizeof(*answer);
	if (cnt > cap)
		cnt = cap;
	for (size_t i = 0; i < cnt; i++) {
		sanitize(&answer[i]);
		ret[i] = answer[i];
	}
	free(answer);
	return cnt;
}
