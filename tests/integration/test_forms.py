# SPDX-License-Identifier: GPL-2.0-only
"""Every form of futex call, and waits that end otherwise than with the lock: `holdup locks` beside
programs that know the truth.
"""

import os
import subprocess
import sys
import unittest

import holdup
import oracle
from oracle import total

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_kinds import ATTEMPTS_PERCENT, ONE_S, Zoo, check_holders  # noqa: E402

NOT_HERE = 77  # the exit status of a workload whose system call the kernel has not
STOP_NS = 300_000  # to stop all threads of a process, and to let them run again


def skip_without(how):
    """Skip a class of tests on a kernel that is too old for a form, with the workload's words."""
    args = [holdup.workload("forms"), "--how", how, "--count", "1"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == NOT_HERE:
        raise unittest.SkipTest(done.stderr.strip())


class Form(Zoo):
    """One --how of the workload `forms`."""

    workload = "forms"
    how = None

    @classmethod
    def setUpClass(cls):
        skip_without(cls.how)
        cls.args = ("--how", cls.how, *ONE_S)
        super().setUpClass()


class Wait(Form, unittest.TestCase):
    how = "wait"


class WaitBitset(Form, unittest.TestCase):
    how = "bitset"


class Waitv(Form, unittest.TestCase):
    how = "waitv"


class FutexWait(Form, unittest.TestCase):
    """futex2: futex_wait() and futex_wake()."""

    how = "wait2"


class LockPi2(Form, unittest.TestCase):
    how = "pi2"


class Requeue(Form, unittest.TestCase):
    how = "requeue"


class RequeuePi(Form, unittest.TestCase):
    how = "requeue-pi"


class Timeouts(Zoo, unittest.TestCase):
    workload, args = "timed", ("--how", "timeout", *ONE_S)

    def test_the_workload_gave_up(self):
        self.assertGreater(total([site for lock in self.locks for site in lock.sites], "timeouts"), 9)


class Restarted(Zoo, unittest.TestCase):
    """Handlers with SA_RESTART: the kernel goes on with the call."""

    workload, args = "timed", ("--how", "restart", *ONE_S)


class Interrupted(Zoo, unittest.TestCase):
    """Handlers without: the call fails by EINTR, and the attempt makes another one."""

    workload, args = "timed", ("--how", "eintr", *ONE_S)

    def test_the_workload_was_interrupted(self):
        self.assertGreater(self.locks[0].sites[0]["interrupted"], 9)


class Stopped(Zoo, unittest.TestCase):
    """SIGSTOP and SIGCONT: a timed wait goes on by restart_syscall().  A stop is no sleep for the lock
    and its time no wait for it.
    """

    workload, args = "timed", ("--how", "stop", *ONE_S)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for site in cls.truth["locks"]:
            site["sleeps"] -= site["stops"]
            site["wait_ns"] -= site["stopped_ns"]
        cls.locks = oracle.locks_of(cls.truth)
        cls.groups = oracle.groups_of(cls.locks)

    @holdup.clocks()
    def test_wait_time(self):
        (lock,) = self.locks
        waited = total(lock.rows_of(self.document), "wait_ns")
        spare = oracle.CLOCKS_NS * lock.slept + oracle.PREEMPTED_NS * lock.preempted
        spare += STOP_NS * lock.sites[0]["stops"]
        self.assertLessEqual(waited, lock.wait_ns * 1.001 + spare)
        self.assertGreaterEqual(waited, lock.wait_ns * 0.99 - spare)

    @holdup.clocks()
    def test_longest_wait(self):
        """The workload's longest has the stops in it."""
        (lock,) = self.locks
        (row,) = lock.rows_of(self.document)
        self.assertLessEqual(row["max_ns"], lock.max_ns * 1.001)


class Ended(Zoo):
    """Threads that are waiting when their process ends."""

    workload = "ended"
    # The end of a process takes its time, more where others run, and the wait lasts so long.
    END_NS = 25_000_000

    @holdup.clocks()
    def test_wait_time(self):
        for lock in self.locks:
            waited = total(lock.rows_of(self.document), "wait_ns")
            self.assertGreaterEqual(waited, lock.wait_ns * 0.99, str(lock))
            self.assertLessEqual(waited, lock.wait_ns * 1.001 + self.END_NS * lock.slept, str(lock))

    @holdup.clocks()
    def test_longest_wait(self):
        for lock in self.locks:
            (row,) = lock.rows_of(self.document)
            self.assertAlmostEqual(row["max_ns"], lock.max_ns, delta=self.END_NS, msg=str(lock))

    def test_all_processes_waited(self):
        self.assertEqual([lock.sleeps for lock in self.locks], [3] * 10)


class Killed(Ended, unittest.TestCase):
    args = ("--how", "kill")


class EndedByExec(Ended, unittest.TestCase):
    args = ("--how", "exec")


class EndedByExit(Ended, unittest.TestCase):
    args = ("--how", "exit")


class Shared(Zoo):
    """One lock in a file that several processes map at addresses of their own."""

    workload = "shared"
    how = None

    @classmethod
    def setUpClass(cls):
        cls.args = ("--how", cls.how, *ONE_S)
        super().setUpClass()
        cls.rows = [row for lock in cls.locks for row in lock.rows_of(cls.document)]

    def sites(self):
        return [site for lock in self.locks for site in lock.sites]

    def test_the_truth_is_one_lock(self):
        self.assertEqual(len({site["object"] for site in self.sites()}), 1)
        self.assertGreaterEqual(len({site["pid"] for site in self.sites()}), 3)
        self.assertGreaterEqual(len({site["address"] for site in self.sites()}), 3)

    def test_it_appears_once(self):
        self.assertEqual([row["shared"] for row in self.rows], [True])

    def test_each_sleep_counts(self):
        self.assertEqual(total(self.rows, "sleeps"), total(self.sites(), "sleeps"))

    @holdup.clocks()
    def test_attempts(self):
        slept = total(self.sites(), "slept")
        spare = oracle.SPARE_ATTEMPTS + slept * ATTEMPTS_PERCENT / 100
        self.assertAlmostEqual(total(self.rows, "waits"), slept, delta=spare)

    @holdup.clocks()
    def test_wait_time(self):
        waited, truth = total(self.rows, "wait_ns"), total(self.sites(), "wait_ns")
        spare = oracle.CLOCKS_NS * total(self.sites(), "slept")
        spare += oracle.PREEMPTED_NS * total(self.sites(), "preempted")
        self.assertLessEqual(waited, truth * 1.001 + 1000)
        self.assertGreaterEqual(waited, truth * 0.99 - spare)

    def test_kind_and_name(self):
        sites = self.sites()
        for row in self.rows:
            self.assertEqual(row["kind"], sites[0]["kind"])
            self.assertIn(row["name"], {site["name"] for site in sites})

    def test_sites(self):
        """The chains of all processes, with the sleeps that each has in all of them."""
        truth, found = {}, {}
        for site in self.sites():
            chain = tuple(site["functions"])
            truth[chain] = truth.get(chain, 0) + site["sleeps"]
        for row in self.rows:
            for site in row["sites"]:
                (chain,) = [chain for chain in truth if oracle.has_chain(site, chain)]
                found[chain] = found.get(chain, 0) + site["sleeps"]
        self.assertEqual(found, truth)

    @holdup.clocks()
    def test_longest_wait(self):
        longest = max(site["max_ns"] for site in self.sites())
        self.assertLessEqual(max(row["max_ns"] for row in self.rows), longest * 1.001 + 1000)

    def test_holders(self):
        takers = {tid for site in self.sites() for tid in site.get("takers", ())}
        check_holders(self, self.rows if takers else [], takers, self.how)


class SharedMutex(Shared, unittest.TestCase):
    how = "mutex"


class SharedRobust(Shared, unittest.TestCase):
    """Its owners die now and then."""

    how = "robust"

    def test_owners_died(self):
        self.assertGreater(len({site["pid"] for site in self.sites()}), 3)


class SharedSemaphore(Shared, unittest.TestCase):
    how = "sem"


class SharedRwlock(Shared, unittest.TestCase):
    how = "rwlock"


if __name__ == "__main__":
    unittest.main()
