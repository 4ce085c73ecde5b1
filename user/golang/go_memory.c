// SPDX-License-Identifier: GPL-2.0-only
#include "user/golang/go_memory.h"

#include <errno.h>
#include <sys/uio.h>

#include "user/util/patience.h"

#define BATCH 1024 /* UIO_MAXIOV */
#define PART_SZ \
	(256u << 10) /* that are read at once, in some tens of microseconds: see util/patience.h */

static int read_part(pid_t tgid, uint64_t addr, void *to, size_t sz)
{
	struct iovec local = { to, sz }, remote = { (void *)(uintptr_t)addr, sz };
	ssize_t got = patience__begin_short(tgid);

	if (got)
		return got;
	got = process_vm_readv(tgid, &local, 1, &remote, 1, 0);
	patience__end();
	return got == (ssize_t)sz ? 0 : got < 0 ? -errno : -EFAULT;
}

static int on_read(void *ctx, uint64_t addr, void *to, size_t sz)
{
	int err = 0;

	for (size_t at = 0, part; at < sz && !err; at += part) {
		part = sz - at < PART_SZ ? sz - at : PART_SZ;
		err = read_part(*(const pid_t *)ctx, addr + at, (uint8_t *)to + at, part);
	}
	return err;
}

/* As many pieces as the kernel could read; it stops at the first that it can't. */
static size_t read_some(pid_t tgid, struct go_piece *piece, size_t cnt)
{
	struct iovec local[BATCH], remote[BATCH];
	size_t asked = 0, sum = 0, done = 0;
	ssize_t got;

	for (; asked < cnt && asked < BATCH && sum < PART_SZ; asked++) {
		local[asked] = (struct iovec){ piece[asked].to, piece[asked].sz };
		remote[asked] =
			(struct iovec){ (void *)(uintptr_t)piece[asked].addr, piece[asked].sz };
		sum += piece[asked].sz;
	}
	if (patience__begin_short(tgid))
		return cnt; /* as if none of them were there */
	got = process_vm_readv(tgid, local, asked, remote, asked, 0);
	patience__end();
	for (; done < asked && got >= (ssize_t)piece[done].sz; done++) {
		got -= piece[done].sz;
		piece[done].ok = true;
	}
	return done < asked ? done + 1 : done; /* that one is not there */
}

static void on_read_many(void *ctx, struct go_piece *piece, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		piece[i].ok = false;
	for (size_t i = 0; i < cnt;)
		i += read_some(*(const pid_t *)ctx, piece + i, cnt - i);
}

struct go_memory go_memory__of(const pid_t *tgid)
{
	return (struct go_memory){ on_read, on_read_many, (void *)tgid };
}
