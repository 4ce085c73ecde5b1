# SPDX-License-Identifier: GPL-2.0-only
"""Sampling of Go's waits, in every release and form.

Who waits for semaphores by the runtime's own table: exactly those who wait for locks of package sync by Go's own
tracebacks, with the same stacks, and for the locks that the program says; its symbol and the proof for stripped programs
agree on where the table is. And snapshots that take over from the previous one whoever has not run since.
"""

import json
import os
import sys
import unittest

import golang
import holdup

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import test_golang_look  # noqa: E402  (what a right stack is under churn)

ZOO = os.path.join(HERE, os.pardir, "workload", "go", "zoo")
STATES = ("semacquire", "sync.Mutex", "sync.RWMutex", "sync.WaitGroup")
OBJECT_SZ = 24  # sync.RWMutex is the largest of them
LOOKS = 100


class Look(golang.Look):
    """More of what tests/golang/look.c can do."""

    def ask(self, what):
        self.process.stdin.write(what.encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def waiters(self):
        return self.ask("waiters")

    def again(self):
        return self.ask("again")


def in_semaphore(program):
    """Goroutines, by Go itself."""
    return [row for row in program.ask("goroutines") if row["state"].startswith(STATES)]


class Zoo(unittest.TestCase):
    """Programs whose goroutines rest."""

    def check(self, name):
        for form, path in golang.builds(name):
            with self.subTest(form), golang.Program(path) as program, Look(program.pid) as look:
                truth, seen = in_semaphore(program), look.waiters()
                ids = sorted(row["goroutine"] for row in seen["waiters"])
                self.assertEqual(ids, sorted(row["goroutine"] for row in truth))
                self.assertEqual(golang.compare(seen["goroutines"], truth), [])
                self.assertEqual(seen["missed"], 0)
                # Without anybody in it nothing proves itself.
                self.assertEqual(bool(seen["proof"]), bool(truth))
                if seen["symbol"] and truth:
                    self.assertEqual(seen["symbol"], seen["proof"])
                self.check_locks(program.truth["waits"], seen["waiters"])

    def check_locks(self, waits, waiters):
        sema = {row["goroutine"]: row["sema"] for row in waiters}
        for wait in waits:
            if not wait["address"] or wait["kind"] not in ("go-mutex", "go-rwmutex", "go-waitgroup"):
                continue
            lock = int(wait["address"], 0)
            for goroutine in wait["goroutines"]:
                self.assertIn(sema[goroutine] - lock, range(OBJECT_SZ), wait["role"])


def add_tests():
    """One for each program."""
    for name in sorted(set(os.listdir(ZOO)) - {"contended"}):
        method = holdup.timeout(300)(lambda self, name=name: self.check(name))
        setattr(Zoo, f"test_{name.replace('-', '_')}", method)


add_tests()


class Contended(unittest.TestCase):
    """The table changes all the time, under six goroutines that want a Mutex, six readers and a writer."""

    GOROUTINES, SEMAPHORES = 13, 4  # of the Mutex, and the writer's Mutex, writers' and readers' of the RWMutex

    @holdup.timeout(300)
    def test_contended(self):
        for form, path in golang.builds("contended"):
            with self.subTest(form), golang.Program(path) as program, Look(program.pid) as look:
                known = {row["goroutine"] for row in program.ask("goroutines")}
                looks = [look.waiters() for _ in range(LOOKS)]
                waiters = [row for seen in looks for row in seen["waiters"]]
                self.assertGreater(len(waiters), LOOKS)
                self.assertLessEqual({row["goroutine"] for row in waiters}, known)
                self.assertLessEqual(len({row["sema"] for row in waiters}), self.SEMAPHORES)
                self.assertLessEqual(max(len(seen["waiters"]) for seen in looks), self.GOROUTINES)
                places = {seen["proof"] for seen in looks} - {0}
                self.assertEqual(len(places), 1)
                self.assertLessEqual({seen["symbol"] for seen in looks} - {0}, places)


class Again(unittest.TestCase):
    """A snapshot that takes over what has not changed is no different from one that reads all."""

    @holdup.timeout(300)
    def test_rest(self):
        for name in ("circular", "rw-writer", "select-stuck", "missing-done"):
            for form, path in golang.builds(name):
                with self.subTest(form), golang.Program(path) as program:
                    with Look(program.pid) as look:
                        truth = program.ask("goroutines")
                        for _ in range(3):
                            self.assertEqual(golang.compare(look.again()["goroutines"], truth), [])

    @holdup.timeout(300)
    def test_churn(self):
        """Goroutines are born and end, and others get their gs and stacks: never a wrong one."""
        churn = test_golang_look.Churn()
        for form, path in golang.builds("churn"):
            with self.subTest(form), golang.Program(path) as program, Look(program.pid) as look:
                churn.look_at(program, look)


if __name__ == "__main__":
    unittest.main()
