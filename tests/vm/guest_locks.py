# SPDX-License-Identifier: GPL-2.0-only
"""In a guest: `holdup locks` beside workloads that know the truth, where the counts are exact and the
stacks are whole.

A guest is slow and its clock uneven, so no time is compared. Kernels without bpf_loop() have no stacks by
unwind tables: there only the mutex can be told, by its words.
"""

import os
import platform
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import holdup  # noqa: E402
from oracle import (  # noqa: E402
    SPARE_ATTEMPTS,
    Oracle,
    check_coverage,
    functions_of,
    total,
    watch,
)

VERSION = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
UNWINDS = VERSION >= (5, 17)
PREEMPTS = VERSION >= (7, 0)
SLEEPS = 20  # fewer would test nothing
ATTEMPTS_PERCENT = 2  # where calls tell one attempt from the next
# Long enough for a slow guest to read the process's mappings and open its files while it lives.
FIFTY = ("--threads", 3, "--count", 50, "--hold", 5000)


class Guest(Oracle):
    test_wait_time = test_longest_wait = None  # times
    test_it_adds_up = None  # the schema's validator is not everywhere

    def test_attempts(self):
        """Which sleeps belong to one wait is told by CPU time, of which a slow guest needs more.

        Of mutexes wake calls tell it, where they are seen also if they woke nobody.
        """
        calls_seen = self.document["coverage"]["futex_calls"]
        for group in self.groups:
            rows = [row for lock in group for row in lock.rows_of(self.document)]
            waits, slept = total(rows, "waits"), sum(lock.slept for lock in group)
            self.assertLessEqual(waits, sum(lock.sleeps for lock in group))
            if calls_seen and [lock.kind for lock in group] == ["mutex"]:
                spare = slept * ATTEMPTS_PERCENT / 100 + SPARE_ATTEMPTS
                self.assertAlmostEqual(waits, slept, delta=spare, msg=str(group[0]))
        self.assertGreater(sum(row["waits"] for row in self.document["locks"]), 0)
        self.assertGreaterEqual(sum(lock.sleeps for lock in self.locks), SLEEPS)

    def test_nothing_lost(self):
        """A thread that is preempted within our program lets others pass on its CPU unseen, which is told: likely where
        threads are preempted anywhere in the kernel, and in emulation. The sleeps are exact all the same.
        """
        check_coverage(self, [self.document], ["lost"] if PREEMPTS else ())
        sleeps = sum(lock.sleeps for lock in self.locks)
        self.assertLessEqual(self.document["coverage"]["lost"], sleeps / 20)

    if not UNWINDS:
        test_every_stack_is_whole = test_sites = None


class Mutex(Guest, unittest.TestCase):
    workload, args = "mutex", FIFTY

    def test_owner(self):
        """The thread that the mutex names is one of the workload's, and shows where it is."""
        (lock,) = self.locks
        (row,) = lock.rows_of(self.document)
        named = [holder for holder in row["holders"] if holder["tid"]]
        self.assertTrue(named, row["holders"])
        self.assertEqual({holder["comm"] for holder in named}, {self.workload})
        if UNWINDS:
            shown = [functions_of(holder) for holder in named if holder["stack"]]
            self.assertTrue(any("update_ledger" in stack for stack in shown), shown)


if UNWINDS:

    class Blame(unittest.TestCase):
        """What holders did adds up, and the shares are known where the holder is."""

        TRIES = 3  # where a guest gets no CPU, its clocks compare badly

        def check(self, how, lock):
            seen = []
            for _ in range(self.TRIES):
                blocked, unknown, asleep = shares = self.shares(how, lock)
                if blocked > 0.25 and unknown < 0.1 and asleep > 0.9:
                    return
                seen.append(shares)
            self.fail(seen)

        def shares(self, how, lock):
            """(of the wait time: holders blocked, unknown; of the former: asleep). They add up, and say what holders do."""
            command = [holdup.workload("blame"), "--how", how, "--for", "2"]
            _, (document,), _ = watch(command, timeout=180)  # the verifier takes long there
            (row,) = [row for row in document["locks"] if row["name"] == lock]
            blame = row["blame"]
            parts = ("running_ns", "runnable_ns", "handover_ns", "blocked_other_ns", "unknown_ns")
            slept = total(blame["blocked"], "wait_ns")
            self.assertEqual(slept + sum(blame[part] for part in parts), row["wait_ns"])
            # Holders sleep; that one waits for a page now and then is as true.
            asleep = [one for one in blame["blocked"] if one["call"] == "clock_nanosleep"]
            rest = {one["reason"] for one in blame["blocked"] if one not in asleep}
            self.assertLessEqual(rest, {"page-fault"}, blame["blocked"])
            return (
                slept / row["wait_ns"],
                blame["unknown_ns"] / row["wait_ns"],
                total(asleep, "wait_ns") / slept,
            )

        def test_owner_in_word(self):
            self.check("sleep", "ledger_lock")

        def test_inferred(self):
            self.check("word", "bare_lock")

    class InHandler(Guest, unittest.TestCase):
        """The stack goes through a signal frame."""

        workload, args = "handler", FIFTY

    class Remembered(unittest.TestCase):
        """Stacks that need not be walked again are those that a walk finds."""

        # Nothing is remembered before the process's mappings are read.
        args = ("--threads", 3, "--count", 400, "--hold", 1000)

        def check(self, workload):
            command = [holdup.workload(workload), *map(str, self.args)]
            _, _, err = watch(command, "--assume", "check-memo")
            found = re.findall(r"of (\d+) remembered stacks (\d+) were wrong", err)
            self.assertEqual(sum(int(wrong) for _, wrong in found), 0, err)
            # How many, is up to how fast the guest reads the process's mappings.
            self.assertGreater(sum(int(remembered) for remembered, _ in found), 0, err)

        def test_mutex(self):
            self.check("mutex")

        def test_condvar(self):
            self.check("condvar")

    class Rwlock(Guest, unittest.TestCase):
        workload, args = "rwlock", FIFTY

    class Condvar(Guest, unittest.TestCase):
        workload, args = "condvar", FIFTY

    class Semaphore(Guest, unittest.TestCase):
        workload, args = "sem", (*FIFTY, "--how", "one")

    class Join(Guest, unittest.TestCase):
        # Two that join at once can meet at the lock of libc's cache of stacks, inside of pthread_join().
        workload, args = "join", ("--threads", 1, *FIFTY[2:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
