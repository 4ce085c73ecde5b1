// SPDX-License-Identifier: GPL-2.0-only
#include "user/choice.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "user/collect/proc.h"
#include "user/util/glob.h"
#include "user/util/log.h"
#include "user/util/text.h"

int choice__watch(const struct options *o, struct watch *ret)
{
	pid_t missing = 0;
	int err = watch__new(o->pids, o->pid_cnt, ret, &missing);

	if (!err)
		return EXIT_FINE;
	if (err == -ESRCH)
		log__msg("there is no process %d", missing);
	else if (err == -EINVAL)
		log__msg("%d is a thread, not a process: it is one of process %d", missing,
			 proc__of_thread(missing));
	else
		log__msg("process %d can't be watched: %s", missing, strerror(-err));
	return EXIT_FAILED;
}

int choice__comm(const struct options *o, struct hu_glob *ret)
{
	if (!glob__compile(o->comm, ret))
		return EXIT_FINE;
	log__msg("--comm: a pattern of at most 31 characters with *, ? and [a-z]");
	return EXIT_USAGE;
}

int choice__cgroup(const struct options *o, int *ret_fd)
{
	char shown[256];
	struct statfs fs;
	int fd = open(o->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	text__escape(o->cgroup, strlen(o->cgroup), shown, sizeof(shown));
	if (fd < 0) {
		log__msg("cgroup %s: %s", shown, strerror(errno));
		return EXIT_FAILED;
	}
	if (fstatfs(fd, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC) {
		log__msg("%s is not a cgroup v2 directory (they lie below /sys/fs/cgroup)", shown);
		close(fd);
		return EXIT_FAILED;
	}
	*ret_fd = fd;
	return EXIT_FINE;
}

int choice__start(const struct options *o, bool exits, struct program *ret, bool *ret_started)
{
	int err;

	if (!o->program)
		return EXIT_FINE;
	err = program__start(o->program, exits, ret);
	if (err) {
		log__msg("no process can be started: %s", strerror(-err));
		return EXIT_FAILED;
	}
	*ret_started = true;
	return EXIT_FINE;
}
