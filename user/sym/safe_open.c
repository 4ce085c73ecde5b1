// SPDX-License-Identifier: GPL-2.0-only
#include "user/sym/safe_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Path resolution as if root were "/" (openat2(2), Linux 5.6), to an O_PATH descriptor. */
static int open_path(const char *root, const char *path, bool no_link)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | (no_link ? O_NOFOLLOW : 0),
				.resolve = RESOLVE_IN_ROOT };
	int dir, fd, err;

	if (!root[0]) {
		fd = open(path, how.flags);
		return fd < 0 ? -errno : fd;
	}
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
	err = fd < 0 ? -errno : fd;
	close(dir);
	return err;
}

int safe_open__regular(const char *root, const char *path, bool no_link)
{
	int path_fd = open_path(root, path, no_link), fd, err = 0;
	char self[32];
	struct stat st;

	if (path_fd < 0)
		return path_fd;
	/* Looked at before it is opened: opening a FIFO can block and opening a device can do
	 * anything. */
	if (fstat(path_fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -ENOEXEC;
	if (!err) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", path_fd);
		fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		err = fd < 0 ? -errno : fd;
	}
	close(path_fd);
	return err;
}
