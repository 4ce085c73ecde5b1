# SPDX-License-Identifier: GPL-2.0-only
"""Processes that get next to no CPU time: a cgroup with a millisecond of it a second."""

import contextlib
import os
import tempfile

PERIOD_US, QUOTA_US = 1_000_000, 1_000  # the longest and the shortest that there are
V2 = "/sys/fs/cgroup"
V1 = "/sys/fs/cgroup/cpu"


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def mount():
    """(directory of the CPU controller's hierarchy, is it version 2?); None: there is none."""
    with contextlib.suppress(OSError):
        with open(os.path.join(V2, "cgroup.controllers"), encoding="ascii") as file:
            if "cpu" in file.read().split():
                write(os.path.join(V2, "cgroup.subtree_control"), "+cpu")
                return V2, True
    if os.path.exists(os.path.join(V1, "cgroup.procs")):
        return V1, False
    return None


@contextlib.contextmanager
def throttled(pid):
    """The process has next to no CPU time until the end of the block; False: it can't be done here."""
    found = mount()
    if not found:
        yield False
        return
    top, second = found
    directory = tempfile.mkdtemp(prefix="holdup-slow-", dir=top)
    try:
        if second:
            write(os.path.join(directory, "cpu.max"), f"{QUOTA_US} {PERIOD_US}")
        else:
            write(os.path.join(directory, "cpu.cfs_period_us"), str(PERIOD_US))
            write(os.path.join(directory, "cpu.cfs_quota_us"), str(QUOTA_US))
        write(os.path.join(directory, "cgroup.procs"), str(pid))
        yield True
    finally:
        write(os.path.join(top, "cgroup.procs"), str(pid))
        os.rmdir(directory)
