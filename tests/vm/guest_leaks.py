# SPDX-License-Identifier: GPL-2.0-only
"""In a guest: `holdup check -- PROGRAM` and `holdup leaks` beside programs that leak threads.

Kernels before 5.17 have no stacks by unwind tables, so where threads were created is not known there. A guest is slow: few programs.
"""

import os
import platform
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import holdup  # noqa: E402
import leak  # noqa: E402

VERSION = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
UNWINDS = VERSION >= (5, 17)


class AtTheEnd(unittest.TestCase):
    def left(self, name, how, kind, count):
        status, truth, lines = leak.check(name, "--how", how, "--count", 3, "--end", timeout=150)
        self.assertEqual(status, 10, lines)
        (line,) = [line for line in lines if line.startswith(f"{kind}: {truth['pid']} ")]
        self.assertRegex(line, rf": {count} thread")
        if UNWINDS:
            told = truth["suspects"][0]
            self.assertIn(f"; created at {told['function']} {told['file']}:{told['line']}", line)

    def test_unjoined(self):
        self.left("leaks", "unjoined", "unjoined", 3)

    def test_blocked(self):
        self.left("leaks", "blocked", "blocked", 3)

    def test_own_status(self):
        args = ("--how", "idle-pool", "--end", "--status", 3)
        self.assertEqual(leak.check("healthy", *args, timeout=150)[0], 3)


class Leaks(unittest.TestCase):
    def reasons(self, name, *args, seconds=8):
        options = ("--min-age", "2s", "--for", f"{seconds}s")
        with leak.Leak(name, *args) as program:
            document = leak.leaks("-p", program.pid, *options, timeout=150)
        return {row["reason"]: row for row in document["suspects"]}

    def test_unjoined(self):
        found = self.reasons("leaks", "--how", "unjoined", "--count", 5)
        self.assertEqual(set(found), {"unjoined"})
        self.assertEqual(found["unjoined"]["count"], 5)

    def test_growing(self):
        found = self.reasons("leaks", "--how", "unbounded", "--every", 300, seconds=20)
        self.assertIn("growing", found)

    def test_healthy(self):
        for how in ("join-later", "idle-pool"):
            with self.subTest(how):
                self.assertEqual(self.reasons("healthy", "--how", how), {})


if __name__ == "__main__":
    unittest.main()
