// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_memory.h"

#include <errno.h>
#include <sys/uio.h>

#define BATCH 1024 /* UIO_MAXIOV */

static int on_read(void *ctx, uint64_t addr, void *to, size_t sz)
{
	struct iovec local = { to, sz }, remote = { (void *)(uintptr_t)addr, sz };
	ssize_t got = process_vm_readv(*(const pid_t *)ctx, &local, 1, &remote, 1, 0);

	return got == (ssize_t)sz ? 0 : got < 0 ? -errno : -EFAULT;
}

/* As many pieces as the kernel could read; it stops at the first that it can't. */
static size_t read_some(pid_t tgid, struct go_piece *piece, size_t cnt)
{
	struct iovec local[BATCH], remote[BATCH];
	ssize_t got;
	size_t done = 0;

	if (cnt > BATCH)
		cnt = BATCH;
	for (size_t i = 0; i < cnt; i++) {
		local[i] = (struct iovec){ piece[i].to, piece[i].sz };
		remote[i] = (struct iovec){ (void *)(uintptr_t)piece[i].addr, piece[i].sz };
	}
	got = process_vm_readv(tgid, local, cnt, remote, cnt, 0);
	for (; done < cnt && got >= (ssize_t)piece[done].sz; done++) {
		got -= piece[done].sz;
		piece[done].ok = true;
	}
	return done;
}

static void on_read_many(void *ctx, struct go_piece *piece, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		piece[i].ok = false;
	for (size_t i = 0; i < cnt;) {
		size_t left = cnt - i < BATCH ? cnt - i : BATCH;
		size_t done = read_some(*(const pid_t *)ctx, piece + i, left);

		i += done < left ? done + 1 : done; /* that one is not there */
	}
}

struct go_memory go_memory__of(const pid_t *tgid)
{
	return (struct go_memory){ on_read, on_read_many, (void *)tgid };
}
