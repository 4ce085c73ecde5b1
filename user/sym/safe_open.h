/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opening files in places that a target may write to: only regular files, nothing that could block
 * or has side effects, and nothing outside root.
 */
#ifndef HOLDUP_SYM_SAFE_OPEN_H
#define HOLDUP_SYM_SAFE_OPEN_H

#include <stdbool.h>

/*
 * Opens a regular file for reading; symbolic links are resolved within root ("" is the host's), and
 * with no_link the path's last part may not be one. Returns a descriptor or a negative errno,
 * -ENOEXEC when it is not a regular file.
 */
int safe_open__regular(const char *root, const char *path, bool no_link);

#endif
