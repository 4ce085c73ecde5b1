// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define CGROUP_DEPTH_MAX 32

int adopt__read_stack(const struct hu_adopt_record *rec, struct hu_stack_record *ret)
{
	ret->hdr = rec->hdr;
	ret->hdr.kind = HU_REC_STACK;
	ret->hdr.size = sizeof(*ret);
	ret->tgid = rec->tgid;
	ret->tid = rec->tid;
	ret->proc_start = rec->proc_start;
	ret->stack_id = rec->stack_id;
	ret->ip = rec->ip;
	ret->sp = rec->sp;
	ret->fp = rec->fp;
	ret->ra_reg = rec->ra_reg;
	ret->len = 0;
	/* Page by page: a read across the stack's end fails as a whole. */
	while (ret->len < sizeof(ret->data)) {
		uint64_t addr = rec->sp + ret->len;
		size_t part = HU_RAW_CHUNK_SZ - addr % HU_RAW_CHUNK_SZ;
		struct iovec local = { ret->data + ret->len, part };
		struct iovec remote = { (void *)addr, part };

		if (part > sizeof(ret->data) - ret->len)
			local.iov_len = remote.iov_len = part = sizeof(ret->data) - ret->len;
		if (process_vm_readv(rec->tgid, &local, 1, &remote, 1, 0) != (ssize_t)part)
			return ret->len ? 0 : -errno;
		ret->len += part;
	}
	return 0;
}

int adopt__read_words(const struct hu_adopt_record *rec, uint32_t *ret_word, uint32_t *ret_owner)
{
	uint32_t words[3]; /* __lock, __count, __owner: sysdeps/nptl/bits/struct_mutex.h */
	struct iovec local = { words, sizeof(words) };
	struct iovec remote = { (void *)rec->uaddr, sizeof(words) };

	if (process_vm_readv(rec->tgid, &local, 1, &remote, 1, 0) != sizeof(words))
		return -EFAULT;
	*ret_word = words[0];
	*ret_owner = words[2];
	return 0;
}

static int members(char *path, size_t len, int depth, int (*fn)(void *ctx, int pid), void *ctx)
{
	struct dirent *entry;
	FILE *procs;
	DIR *dir;
	int pid, err = 0;

	snprintf(path + len, PATH_MAX - len, "/cgroup.procs");
	procs = fopen(path, "re");
	path[len] = '\0';
	if (!procs)
		return -errno;
	while (!err && fscanf(procs, "%d", &pid) == 1)
		err = fn(ctx, pid);
	fclose(procs);
	dir = err || depth == CGROUP_DEPTH_MAX ? NULL : opendir(path);
	if (!dir)
		return err;
	while (!err && (entry = readdir(dir))) {
		size_t more = strlen(entry->d_name);

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    len + more + sizeof("//cgroup.procs") > PATH_MAX)
			continue;
		snprintf(path + len, PATH_MAX - len, "/%s", entry->d_name);
		err = members(path, len + 1 + more, depth + 1, fn, ctx);
		path[len] = '\0';
		if (err == -ENOENT) /* removed meanwhile */
			err = 0;
	}
	closedir(dir);
	return err;
}

int adopt__cgroup_members(const char *path, int (*fn)(void *ctx, int pid), void *ctx)
{
	char buf[PATH_MAX];
	size_t len = strlen(path);

	if (len + sizeof("/cgroup.procs") > sizeof(buf))
		return -ENAMETOOLONG;
	memcpy(buf, path, len + 1);
	return members(buf, len, 0, fn, ctx);
}
