# SPDX-License-Identifier: GPL-2.0-only
"""What `holdup locks --hold` adds to a lock and its unlock, beside empty programs in its places."""

import subprocess
import tempfile

import children
from children import Failed

ATTACH_S = 60


class Locker:
    """tools/bench/hold.c: does as it is told, line by line."""

    def __init__(self, build):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = children.start([f"{build}/bench/hold"], **pipes)
        self.pid = int(self.process.stdout.readline())

    def order(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        said = int(self.process.stdout.readline() or -1)
        if said < 0:
            raise Failed(f"the program with the locks can't do this: {what}")
        return said


def attached(build, pid):
    """holdup with --hold on that process, its probes in place."""
    log = tempfile.TemporaryFile("w+")
    argv = [f"{build}/holdup", "locks", "--hold", "-v", "-d", "600s", "-p", pid]
    process = children.start(argv, stdout=log, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if " probes" in line:
            return process
    raise Failed("holdup: it has not attached")


def measure(build, rounds):
    """ns a pair of lock and unlock: {(way, order): [one a round]}."""
    found = {}
    for _ in range(rounds):
        locker = Locker(build)

        def note(way):
            for order in ("go", "nested"):
                found.setdefault((way, order), []).append(locker.order(order))

        note("bare")
        locker.order("empty")
        note("empty programs")
        locker.order("bare")
        process = attached(build, locker.pid)
        note("holdup --hold")
        children.end(process)
        note("bare")
        children.end(locker.process)
    return found
