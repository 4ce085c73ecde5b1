// SPDX-License-Identifier: GPL-2.0-only
#include "user/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/options.h"
#include "user/util/log.h"

int output__open(struct output *o, const char *path)
{
	struct stat st;
	int flags;

	o->file = stdout;
	o->path = path;
	if (path) {
		o->file = fopen(path, "we");
		if (!o->file) {
			log__msg("%s can't be written: %s", path, strerror(errno));
			return EXIT_FAILED;
		}
	} else {
		/* main() put a read-only /dev/null where a closed standard output was. */
		flags = fcntl(STDOUT_FILENO, F_GETFL);
		if (flags < 0 || fstat(STDOUT_FILENO, &st) || (flags & O_ACCMODE) == O_RDONLY) {
			log__msg("standard output is closed: open it, or use -o FILE");
			return EXIT_FAILED;
		}
	}
	o->style = view__style(o->file);
	return EXIT_FINE;
}

int output__write(struct output *o, int (*write)(void *ctx, FILE *out), void *ctx)
{
	char *text = NULL;
	size_t sz = 0;
	FILE *memory = open_memstream(&text, &sz);
	int err;

	if (!memory)
		return -ENOMEM;
	err = write(ctx, memory);
	if (fclose(memory) && err >= 0)
		err = -ENOMEM;
	if (err >= 0) {
		errno = 0;
		err = 0;
		if (fwrite(text, 1, sz, o->file) != sz || fflush(o->file))
			err = errno ? -errno : -EIO;
	}
	if (err)
		log__msg("%s can't be written: %s", o->path ? o->path : "the report",
			 strerror(-err));
	free(text);
	return err;
}

int output__close(struct output *o)
{
	int err = 0;

	if (o->file && o->file != stdout && fclose(o->file)) {
		err = -errno;
		log__msg("%s can't be written: %s", o->path, strerror(errno));
	}
	o->file = NULL;
	return err;
}
