# SPDX-License-Identifier: GPL-2.0-only
"""Call stacks that need not be walked anew: the remembered one is the one that a walk finds."""

import os
import re
import shutil
import tempfile
import unittest

import holdup
import oracle
from oracle import Oracle

LANGS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "langs"
)


class Twins(Oracle, unittest.TestCase):
    """Call chains that only words far up the stack tell apart: each has its own sleeps."""

    workload, args = "twins", ("--for", 2)


class TwinsWalked(Twins):
    """The same when every stack is walked."""

    options = ("--assume", "no-memo")


class Remembered(unittest.TestCase):
    """Each remembered stack is walked all the same, and compared."""

    # Waits in many places, by frame pointers, in callbacks, C++, deep ones; some hardly ever sleep.
    WORKLOADS = {
        "twins": 10,
        "condvar": 10,
        "mutex": 10,
        "heap": 10,
        "cxx": 10,
        "rwlock": 10,
        "many": 10,
        "storm": 1000,
        "static/mutex": 10,
    }

    def check(self, command, least):
        _, _, err = oracle.watch(command, "--assume", "check-memo")
        found = re.findall(r"of (\d+) remembered stacks (\d+) were wrong", err)
        self.assertTrue(found, err)
        self.assertEqual(sum(int(wrong) for _, wrong in found), 0, err)
        self.assertGreaterEqual(sum(int(remembered) for remembered, _ in found), least, err)

    def test_workloads(self):
        for name, least in self.WORKLOADS.items():
            with self.subTest(name):
                self.check([holdup.workload(name), "--for", "1"], least)

    def test_python(self):
        """An interpreter's loop has one frame for many functions."""
        self.check(["/usr/bin/python3", os.path.join(LANGS, "contention.py"), "--compute"], 1)


class Copies(unittest.TestCase):
    """Copies of one library in two files, as in containers' images, share their unwind rows."""

    LIBC = "/lib/x86_64-linux-gnu/libc.so.6"

    def incomplete(self, memory):
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            shutil.copy(self.LIBC, directory)
            program = holdup.workload("mutex")
            script = f"LD_LIBRARY_PATH={directory} {program} --for 1 >&2 & {program} --for 1; wait"
            _, (document,), _ = oracle.watch(["/bin/sh", "-c", script], "--unwind-mem", memory)
        locks = [row for row in document["locks"] if row["name"] == "ledger_lock"]
        self.assertEqual(len(locks), 2)
        return [site for row in locks for site in row["sites"] if not site["complete"]]

    def test_room_for_one(self):
        """Room for one libc's rows, some 190 KB, and the rest; not for two."""
        self.assertEqual(self.incomplete("320K"), [])

    def test_room_for_none(self):
        """The control: without room stacks end early, and say so."""
        self.assertNotEqual(self.incomplete("64K"), [])


if __name__ == "__main__":
    unittest.main()
