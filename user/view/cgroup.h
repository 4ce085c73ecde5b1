/* SPDX-License-Identifier: GPL-2.0-only */
/* The part of a cgroup's path that tells people which service or container it is. */
#ifndef HOLDUP_VIEW_CGROUP_H
#define HOLDUP_VIEW_CGROUP_H

#define CGROUP_SZ 128

/*
 * The last component of a path of untrusted bytes, container IDs (runs of 32 or more hexadecimal digits) cut to
 * the 12 that docker and crictl show; one that is nothing but an ID has its parent's name before it. What is
 * longer than buf is cut. Returns buf, in which bytes are not escaped yet; "" for the root.
 */
const char *cgroup__shorten(const char *path, char buf[CGROUP_SZ]);

#endif
