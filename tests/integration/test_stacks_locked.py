# SPDX-License-Identifier: GPL-2.0-only
"""`holdup stacks` and `holdup check` on a process whose address space a writer keeps locked, so that who reads it waits:
they end, they find what is beside it, and what they could not read they say.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import golang  # noqa: E402
import hang  # noqa: E402
import holdup  # noqa: E402
from hang import Hang  # noqa: E402
from throttle import throttled  # noqa: E402

LOOKS = int(os.environ.get("HOLDUP_TEST_LOOKS", "4"))
LOOK_S = 50  # less than holdup's own last limit of a minute
MIB = os.environ.get("HOLDUP_TEST_MIB", "256")


def deadlocked(text, process):
    """Does `holdup check` name the process in a line of its own?"""
    return any(line.startswith(f"deadlock: {process.pid} ") for line in text.splitlines())


class Locked(unittest.TestCase):
    def look(self, args, writer, other):
        """A deadlock there, and one here or the word that it could not be looked at."""
        status, out, err = holdup.run(["check", *args], timeout=LOOK_S)
        self.assertEqual(status, 10, err)
        self.assertTrue(deadlocked(out, other), out)
        self.assertTrue(deadlocked(out, writer) or "could not be looked at" in err, out + err)
        document = holdup.run_json(["stacks", "--all", *args], timeout=LOOK_S)
        found = [set(cycle) for cycle in hang.deadlocks_of(document)]
        self.assertIn({other["teller"].tid, other["auditor"].tid}, found)
        unread = document["coverage"]["processes_locked"]
        if not unread:
            self.assertIn({writer["teller"].tid, writer["auditor"].tid}, found)
        listed = {row["tid"] for row in document["threads"]}
        self.assertLessEqual({thread.tid for thread in writer.threads}, listed)

    def looks(self, writer, other):
        chosen = hang.choose([writer.pid, other.pid])
        for _ in range(LOOKS):
            self.look(chosen, writer, other)
        self.look([], writer, other)  # the whole machine

    @holdup.timeout(600)
    def test_writer(self):
        """A thread changes the protection of its pages all the time."""
        with Hang("remap", "--threads", MIB, "--seconds", 500) as writer, Hang("cycle") as other:
            self.looks(writer, other)

    @holdup.timeout(600)
    def test_throttled(self):
        """… and gets so little CPU time that each time takes seconds."""
        with Hang("remap", "--threads", MIB, "--seconds", 500) as writer, Hang("cycle") as other:
            with throttled(writer.pid) as done:
                if not done:
                    self.skipTest("no CPU controller of cgroups is mounted")
                self.looks(writer, other)

class LockedGo(unittest.TestCase):
    """Goroutines are read from the same memory (tests/workload/go/load/remap)."""

    def look(self, writer, other):
        """As above; the goroutines' deadlock is a probable one."""
        args = hang.choose([writer.pid, other.pid])
        status, out, err = holdup.run(["check", *args], timeout=LOOK_S)
        self.assertEqual(status, 10, err)
        self.assertTrue(deadlocked(out, other), out)
        told = f"probable deadlock: {writer.pid} " in out
        self.assertTrue(told or "could not be looked at" in err, out + err)
        document = holdup.run_json(["stacks", "--all", *args], timeout=LOOK_S)
        found = [[row["pid"] for row in cycle["threads"]] for cycle in document["deadlocks"]]
        self.assertIn([other.pid] * 2, found)
        if not document["coverage"]["processes_locked"]:
            self.assertIn([writer.pid] * 2, found)

    def looks(self, writer, other):
        for _ in range(LOOKS):
            self.look(writer, other)

    @holdup.timeout(600)
    def test_writer(self):
        _, path = golang.builds("remap")[-1]
        with golang.Program(path, "-mib", MIB) as writer, Hang("cycle") as other:
            self.looks(writer, other)

    @holdup.timeout(600)
    def test_throttled(self):
        _, path = golang.builds("remap")[-1]
        with golang.Program(path, "-mib", MIB) as writer, Hang("cycle") as other:
            with throttled(writer.pid) as done:
                if not done:
                    self.skipTest("no CPU controller of cgroups is mounted")
                self.looks(writer, other)


if __name__ == "__main__":
    unittest.main(verbosity=2)
