# SPDX-License-Identifier: GPL-2.0-only
"""Every kind of lock, of every C library: `holdup locks` beside programs that know the
truth.
"""

import json
import os
import subprocess
import unittest

import holdup
import oracle
from oracle import Oracle, functions_of, total

# A busy machine can make a retry look like a new attempt, as for the other oracles.
ATTEMPTS_PERCENT = oracle.ATTEMPTS_PERCENT
RETRIES_PERCENT = 2
ONE_S = ("--for", 1)


class Zoo(Oracle):
    """The checks of one workload, with the counts and names that all locks are to have in the end."""

    labels = {}  # of locks by name; others have none

    def rows_of_group(self, group):
        return [row for lock in group for row in lock.rows_of(self.document)]

    @holdup.clocks()
    def test_attempts(self):
        for group in self.groups:
            slept = most = sum(lock.slept for lock in group)
            if len(group) > 1:  # one attempt can wait for the condvar and for its mutex
                most = sum(lock.sleeps for lock in group)
            waits = total(self.rows_of_group(group), "waits")
            spare = slept * ATTEMPTS_PERCENT / 100 + oracle.SPARE_ATTEMPTS
            what = " + ".join(map(str, group))
            self.assertGreaterEqual(waits, slept - spare, what)
            self.assertLessEqual(waits, most + spare, what)

    def test_labels(self):
        for lock in self.locks:
            for row in lock.rows_of(self.document):
                self.assertEqual(row["label"], self.labels.get(lock.name, ""), str(lock))
                self.assertFalse(row["unsure"], str(lock))

    def test_process(self):
        for row in self.rows_of_group(self.locks):
            self.assertEqual(row["comm"], os.path.basename(self.workload)[:15])
            self.assertEqual(row["exe"], holdup.workload(self.workload))

    def test_holders(self):
        """Where a word of the lock names its owner, holders are threads that had it, and hardly any
        time has none.
        """
        for lock in self.locks:
            takers = {tid for site in lock.sites for tid in site.get("takers", ())}
            rows = lock.rows_of(self.document) if takers else []
            check_holders(self, rows, takers, str(lock))


def check_holders(test, rows, takers, what):
    """The holders of rows: only `takers`, for at least 99 % of the time."""
    known = [holder for row in rows for holder in row["holders"]]
    test.assertLessEqual({holder["tid"] for holder in known}, takers, what)
    test.assertGreaterEqual(total(known, "wait_ns"), total(rows, "wait_ns") * 0.99, what)


class ArenaOfMalloc(Zoo, unittest.TestCase):
    """Named main_arena where libc's debugging information is installed."""

    workload, args = "arena", ONE_S
    labels = {"main_arena": "malloc arena"}

    def test_kind_and_name(self):
        rows = self.rows_of_group(self.locks)
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["kind"], "mutex")
        self.assertIn(rows[0]["name"], {"main_arena", "malloc arena in libc.so.6"})


class Stdio(Zoo, unittest.TestCase):
    workload, args = "stdio", ONE_S

    @property
    def labels(self):
        return dict.fromkeys((lock.name for lock in self.locks), "stdio FILE lock")

    def test_kind_and_name(self):
        rows = self.rows_of_group(self.locks)
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["kind"], "mutex")
        self.assertIn(rows[0]["name"], {site["name"] for site in self.locks[0].sites})


class Loader(unittest.TestCase):
    """The locks of the dynamic loader, whose addresses the workload does not know."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth, cls.document = oracle.observe("loader", *ONE_S)

    def check(self, name):
        (truth,) = [site for site in self.truth["locks"] if site["name"] == name]
        sites = [
            (row, site)
            for row in self.document["locks"]
            for site in row["sites"]
            if oracle.has_chain(site, truth["functions"])
        ]
        self.assertGreater(truth["sleeps"], 0)
        self.assertEqual(sum(site["sleeps"] for _, site in sites), truth["sleeps"])
        for row, _ in sites:
            found = (row["label"], row["kind"], row["idle"])
            self.assertEqual(found, ("dl_load lock", "mutex", False))
            self.assertRegex(row["module"], r"^ld-linux")
        (address,) = {row["address"] for row, _ in sites}
        return address

    def test_locks(self):
        self.assertNotEqual(self.check("dl_load_lock"), self.check("dl_load_write_lock"))

    def test_nothing_lost(self):
        oracle.check_coverage(self, [self.document])


class Dlopened(Zoo, unittest.TestCase):
    workload, args = "dlopened", ONE_S


class DlopenedAndClosed(Zoo, unittest.TestCase):
    """The library is gone when the report is made."""

    workload, args = "dlopened", ("--how", "close", *ONE_S)


class Cxx20(Zoo, unittest.TestCase):
    workload, args = "cxx20", ONE_S
    # Its truth leaves CPU time out, which the kernel counts from before a switch is traced on.
    ahead_ns = 50_000
    labels = {
        "turnstile": "C++ atomic wait",
        "berths": "C++ semaphore",
        "C++ latch in await_start": "C++ latch",
    }

    @holdup.clocks()
    def test_attempts(self):
        """The library spins and yields before it sleeps again: some of these retries take more CPU time
        than holdup believes a retry to take, and count as attempts.
        """
        for lock in self.locks:
            waits = total(lock.rows_of(self.document), "waits")
            spare = lock.slept * ATTEMPTS_PERCENT / 100 + oracle.SPARE_ATTEMPTS
            retries = (lock.sleeps - lock.slept) * RETRIES_PERCENT / 100
            self.assertGreaterEqual(waits, lock.slept - spare, str(lock))
            self.assertLessEqual(waits, lock.slept + spare + retries, str(lock))


class Cxx20WithoutDebug(unittest.TestCase):
    """What was inlined is known only where a function was not that has it as template argument."""

    def test_kinds(self):
        workload = "nodebug/cxx20"
        truth, document = oracle.observe(workload, *ONE_S)
        symbols = subprocess.run(
            ["nm", "--demangle", holdup.workload(workload)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        kinds = {
            "berths": "semaphore" if "__atomic_semaphore::" in symbols else "futex",
            "turnstile": "futex",
            "C++ latch in await_start": "barrier" if "std::latch::" in symbols else "futex",
        }
        seen = set()
        for lock in oracle.locks_of(truth):
            for row in lock.rows_of(document):
                self.assertEqual(row["kind"], kinds[lock.name], str(lock))
                seen.add(lock.name)
        self.assertEqual(seen, set(kinds))


class ForkAndExec(Zoo, unittest.TestCase):
    workload, args = "forker", ONE_S


class TenThousandThreads(Zoo, unittest.TestCase):
    workload = "mayflies"


class Migration(Zoo, unittest.TestCase):
    workload, args = "migrant", ONE_S


class StaticMutex(Zoo, unittest.TestCase):
    workload, args = "static/mutex", ONE_S


class StaticRwlock(Zoo, unittest.TestCase):
    workload, args = "static/rwlock", ONE_S


class StaticCondvar(Zoo, unittest.TestCase):
    workload, args = "static/condvar", ONE_S


class StaticSemaphore(Zoo, unittest.TestCase):
    workload, args = "static/sem", ONE_S


class WithoutFrameInformation(Zoo, unittest.TestCase):
    """Assembly whose rows come from its machine code."""

    workload, args = "bare", ONE_S


# Debian builds musl without call frame information: rows come from its machine code.
class MuslMutex(Zoo, unittest.TestCase):
    workload, args = "musl/mutex", ONE_S


class MuslRwlock(Zoo, unittest.TestCase):
    workload, args = "musl/rwlock", ONE_S


class MuslSemaphore(Zoo, unittest.TestCase):
    workload, args = "musl/sem", ONE_S


class MuslStaticMutex(Zoo, unittest.TestCase):
    workload, args = "musl-static/mutex", ONE_S


class MuslStaticRwlock(Zoo, unittest.TestCase):
    workload, args = "musl-static/rwlock", ONE_S


class MuslStaticSemaphore(Zoo, unittest.TestCase):
    workload, args = "musl-static/sem", ONE_S


class MuslMayflies(Zoo, unittest.TestCase):
    """Ten thousand threads that start and end: each has its outermost frame in __clone()."""

    workload = "musl/mayflies"


class MuslCondvar(unittest.TestCase):
    """musl's waiters lie on words of their own stacks (src/thread/pthread_cond_timedwait.c), so that
    the address says nothing; the call chain does.
    """

    workload = "musl/condvar"

    def test_all(self):
        truth, document = oracle.observe(self.workload, *ONE_S)
        chain = ("take_job", "worker")
        waits = [
            (row, site)
            for row in document["locks"]
            for site in row["sites"]
            if oracle.has_chain(site, chain) and "cond" in " ".join(functions_of(site))
        ]
        self.assertTrue(waits)
        for row, site in waits:
            # A thread that was woken takes the mutex back, which may be taken.
            mutex = any("pthread_mutex" in name for name in functions_of(site))
            expected = ("mutex", False) if mutex else ("condvar", True)
            self.assertEqual((row["kind"], row["idle"]), expected, row["name"])
        rows = oracle.without_threads(document)
        self.assertEqual(total(rows, "sleeps"), total(truth["locks"], "sleeps"))
        oracle.check_coverage(self, [document])


class MuslStaticCondvar(MuslCondvar):
    workload = "musl-static/condvar"


class Mutex32(Zoo, unittest.TestCase):
    """A 32-bit program: its stacks are not walked as yet, and each report says so."""

    workload, args = "m32/mutex", ONE_S

    def test_every_stack_is_whole(self):
        coverage = self.document["coverage"]
        self.assertEqual(coverage["stacks_incomplete"], coverage["events"])

    def test_sites(self):
        (row,) = self.rows_of_group(self.locks)
        self.assertEqual([site["complete"] for site in row["sites"]], [False])


class Namespaces(Zoo, unittest.TestCase):
    """A PID and a mount namespace of its own: the workload is process 1 there."""

    workload = "mutex"

    @classmethod
    def setUpClass(cls):
        unittest.TestCase.setUpClass()
        inside = ["unshare", "--pid", "--fork", "--mount-proc", holdup.workload(cls.workload)]
        out, documents, _ = oracle.watch([*inside, *map(str, ONE_S)])
        cls.truth, (cls.document,) = json.loads(out), documents
        pids = {row["pid"] for row in cls.document["locks"] if row["comm"] == cls.workload}
        assert cls.truth["pid"] == 1 and len(pids) == 1, (cls.truth["pid"], pids)
        for site in cls.truth["locks"]:
            site["pid"] = min(pids)
        cls.locks = oracle.locks_of(cls.truth)
        cls.groups = oracle.groups_of(cls.locks)


if __name__ == "__main__":
    unittest.main()
