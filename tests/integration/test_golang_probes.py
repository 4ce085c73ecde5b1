# SPDX-License-Identifier: GPL-2.0-only
"""Probes on the semaphores of Go's runtime: every wait is counted, its time is no longer and no shorter than
the program says, and who ended it is named.
"""

import json
import os
import subprocess
import unittest

import golang
import holdup

ROUNDS = 20


class Probes:
    """The probes alone (tests/golang/probes.c), on one process."""

    def __init__(self, pid):
        self.command = [os.path.join(holdup.BUILD, "tests", "golang", "probes"), str(pid)]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            self.placed = self._line()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _line(self):
        line = self.process.stdout.readline()
        assert line, f"{self.command} ended with {self.process.wait()}"
        return json.loads(line)

    def read(self):
        """What was added up since it began."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self._line()

    def __exit__(self, *exception):
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        self.process.wait()


def add_rounds(rounds, what):
    """What the program said of one lock, all rounds together."""
    return {
        "sema": rounds[0][what]["sema"],
        "waits": sum(r[what]["waits"] for r in rounds),
        "least_ns": sum(r[what]["waits"] * r[what]["held_ns"] for r in rounds),
        "longest_ns": max(r[what]["held_ns"] for r in rounds),
        "most_ns": sum(r[what]["ns"] for r in rounds),
    }


class Counted(unittest.TestCase):
    """A program that knows how often its goroutines wait (tests/workload/go/load/counted)."""

    WAITERS = {
        "mutex": "main.(*scene).take",
        "read": "main.(*scene).startReading",
        "write": "main.(*scene).startWriting",
    }
    RELEASERS = {
        "mutex": {"main.(*scene).letGo", "main.(*scene).give"},
        "read": {"main.(*scene).endWriting"},
        "write": {"main.(*scene).endReading"},
    }

    def rows(self, seen, kind, truth, what):
        """The rows of one lock and of the function that waits for it."""
        return [
            row
            for row in seen[kind]
            if row["sema"] == truth["sema"] and self.WAITERS[what] in row["stack"]
        ]

    def check_waits(self, rows, truth):
        """Their number, and their time."""
        self.assertEqual(sum(row["waits"] for row in rows), truth["waits"])
        self.assertEqual(sum(row["placed"] for row in rows), truth["waits"])
        self.assertEqual(sum(row["before"] for row in rows), 0)
        self.assertGreaterEqual(sum(row["sleeps"] for row in rows), truth["waits"])
        time_ns = sum(row["ns"] for row in rows)
        with holdup.clocks():
            self.assertGreaterEqual(time_ns, truth["least_ns"])
            self.assertLessEqual(time_ns, truth["most_ns"])
        self.assertGreaterEqual(max(row["max_ns"] for row in rows), truth["longest_ns"])
        for row in rows:
            self.assertGreater(row["max_goid"], 1)
            self.assertEqual(row["stack"][0], "runtime.semacquire1")
            self.assertEqual(row["stack"][-1], "runtime.goexit")

    def check_releases(self, rows, truth, what):
        """Who ended them."""
        self.assertEqual(sum(row["waits"] for row in rows), truth["waits"])
        found = {}
        for row in rows:
            names = self.RELEASERS[what].intersection(row["releaser"])
            self.assertEqual(len(names), 1, row)
            name = names.pop()
            found[name] = found.get(name, 0) + row["waits"]
            if name != "main.(*scene).give":
                self.assertEqual(row["goid"], 1)
        self.assertEqual(set(found), self.RELEASERS[what])
        return found

    def check(self, seen, rounds):
        """Everything of all rounds."""
        self.assertEqual(set(seen["losses"]), {0})
        for what in self.WAITERS:
            truth = add_rounds(rounds, what)
            self.check_waits(self.rows(seen, "waits", truth, what), truth)
            releases = self.rows(seen, "releases", truth, what)
            found = self.check_releases(releases, truth, what)
            if what == "mutex":
                self.assertGreaterEqual(found["main.(*scene).letGo"], len(rounds))

    def test_counted(self):
        """Each release and form that was built."""
        for form, path in golang.builds("counted"):
            with self.subTest(form), golang.Program(path) as program:
                with Probes(program.pid) as probes:
                    self.assertEqual(probes.placed, {"probes": 3, "stepped": 0})
                    rounds = [program.ask("round") for _ in range(ROUNDS)]
                    self.check(probes.read(), rounds)
                # It goes on without the probes.
                self.assertEqual(program.ask("round")["mutex"]["waits"], rounds[0]["mutex"]["waits"])


if __name__ == "__main__":
    unittest.main()
