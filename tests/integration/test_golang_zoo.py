# SPDX-License-Identifier: GPL-2.0-only
"""Go programs that hang or leak, each in a way of its own, and healthy ones like them: what `holdup stacks` says
of their goroutines. Function and line expected are those of the program's own source (workload/go/truth).
"""

import os
import unittest

import golang
import holdup

ZOO = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "go", "zoo"
)


class Zoo(unittest.TestCase):
    """Each program's goroutines are where its source says, wait for what it says, and are created there."""

    def check(self, name):
        for form, path in golang.builds(name):
            with self.subTest(form), golang.Program(path) as program:
                document = golang.stacks(program.pid)
                rows = golang.goroutines(document)
                for wait in program.truth["waits"]:
                    self.check_wait(wait, rows)
                    self.check_group(wait, document)
                (process,) = document["golang"]
                self.assertEqual(process["version"], program.truth["go"])
                self.assertEqual(process["goroutines"], len(rows))

    def check_wait(self, wait, rows):
        """The goroutines that the program says there are, and no others."""
        found = [row for row in rows if golang.is_at(row, wait)]
        self.assertEqual(
            sorted(row["goroutine"] for row in found), sorted(wait["goroutines"]), wait["role"]
        )
        for row in found:
            self.assertEqual(row["go_status"], "waiting")
            (created,) = [f for f in row["created_by"] if golang.shown(f)][-1:]
            self.assertEqual(
                (created["function"], created["line"]), (wait["created_by"], wait["created_line"])
            )
            if wait["kind"]:
                self.assertEqual(row["wait"]["kind"], wait["kind"])
            if wait["address"]:
                self.assertEqual(row["wait"]["address"], wait["address"])

    def check_group(self, wait, document):
        """Alike ones are one entry."""
        groups = [group for group in document["groups"] if golang.is_at(group, wait)]
        self.assertEqual([group["count"] for group in groups], [wait["count"]], wait["role"])


def add_tests():
    """One for each program; in `contended` goroutines never rest."""
    for name in sorted(set(os.listdir(ZOO)) - {"contended"}):
        method = holdup.timeout(300)(lambda self, name=name: self.check(name))
        setattr(Zoo, f"test_{name.replace('-', '_')}", method)


add_tests()


class Skips(unittest.TestCase):
    """A release that could not be had is said to be missing."""

    def test_all_releases(self):
        reasons = golang.missing()
        if reasons:
            self.skipTest("Go: " + "; ".join(reasons))


if __name__ == "__main__":
    unittest.main()
