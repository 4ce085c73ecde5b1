# SPDX-License-Identifier: GPL-2.0-only
"""Every kind of lock, of every C library and language: `holdup locks` beside programs that know the
truth.
"""

import json
import os
import unittest

import holdup
import oracle
from oracle import Oracle, functions_of, total

# A busy machine can make a retry look like a new attempt, as for the other oracles.
ATTEMPTS_PERCENT = oracle.ATTEMPTS_PERCENT
ONE_S = ("--for", 1)
LANGS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "langs"
)


def gap(what):
    """What is known to be missing: shown as skipped, with the reason, until it is there."""
    return unittest.skip("gap: " + what)


MUSL = "Debian's musl has no call frame information: its stacks end at the leaf, and its kinds are not known"


class Zoo(Oracle):
    """The checks of one workload, with the counts and names that all locks are to have in the end."""

    def rows_of_group(self, group):
        return [row for lock in group for row in lock.rows_of(self.document)]

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

    def test_kind_and_name(self):
        rows = self.rows_of_group(self.locks)
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["kind"], "mutex")
        self.assertRegex(rows[0]["name"], r"^(main_arena|lock in \w+|libc\.so\.6\+0x[0-9a-f]+)$")

    def test_each_sleep_counts(self):
        super().test_each_sleep_counts()

    def test_sites(self):
        super().test_sites()


class Stdio(Zoo, unittest.TestCase):
    workload, args = "stdio", ONE_S

    def test_kind_and_name(self):
        rows = self.rows_of_group(self.locks)
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["kind"], "mutex")
        self.assertIn(rows[0]["name"], {site["name"] for site in self.locks[0].sites})


class Dlopened(Zoo, unittest.TestCase):
    workload, args = "dlopened", ONE_S


class DlopenedAndClosed(Zoo, unittest.TestCase):
    """The library is gone when the report is made."""

    workload, args = "dlopened", ("--how", "close", *ONE_S)


class Cxx20(Zoo, unittest.TestCase):
    workload, args = "cxx20", ONE_S

    def test_attempts(self):
        super().test_attempts()

    def test_wait_time(self):
        super().test_wait_time()

    def test_kind_and_name(self):
        super().test_kind_and_name()


class ForkAndExec(Zoo, unittest.TestCase):
    workload, args = "forker", ONE_S


class TenThousandThreads(Zoo, unittest.TestCase):
    workload = "mayflies"
    others = True  # libc's own, of the cache of stacks


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


class MuslGaps:
    """What is not known of a program on musl."""

    @gap(MUSL)
    def test_every_stack_is_whole(self):
        super().test_every_stack_is_whole()

    @gap(MUSL)
    def test_kind_and_name(self):
        super().test_kind_and_name()

    @gap(MUSL)
    def test_sites(self):
        super().test_sites()

    @gap("musl's own list of threads is locked too while they start and end")
    def test_no_other_locks(self):
        super().test_no_other_locks()


class MuslMutex(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl/mutex", ONE_S


class MuslRwlock(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl/rwlock", ONE_S


class MuslSemaphore(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl/sem", ONE_S


class MuslStaticMutex(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl-static/mutex", ONE_S


class MuslStaticRwlock(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl-static/rwlock", ONE_S


class MuslStaticSemaphore(MuslGaps, Zoo, unittest.TestCase):
    workload, args = "musl-static/sem", ONE_S


@gap(MUSL)
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
        for row, _ in waits:
            self.assertEqual((row["kind"], row["idle"]), ("condvar", True), row["name"])
        self.assertEqual(total(document["locks"], "sleeps"), total(truth["locks"], "sleeps"))
        oracle.check_coverage(self, [document])


@gap(MUSL)
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


class Rust(unittest.TestCase):
    """std::sync of Rust, which waits on futexes itself."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        out, documents, _ = oracle.watch([holdup.workload("langs/contention")])
        cls.truth, (cls.document,) = json.loads(out), documents

    def rows_in(self, function):
        """The rows of which all stacks pass through a function."""
        return [
            row
            for row in self.document["locks"]
            if all(function in functions_of(site) for site in row["sites"])
        ]

    def check(self, name, kind, *also):
        """One row has the name; `also` are the names of locks whose sleeps can't be told apart."""
        sites = [site for site in self.truth["locks"] if site["name"] in (name, *also)]
        rows = [row for row in self.document["locks"] if row["name"] in (name, *also)]
        self.assertEqual([row["kind"] for row in rows if row["name"] == name], [kind])
        self.assertGreater(total(sites, "sleeps"), 0)
        self.assertEqual(total(rows, "sleeps"), total(sites, "sleeps"))
        self.assertLessEqual(total(rows, "wait_ns"), total(sites, "wait_ns") * 1.001)
        self.assertGreaterEqual(
            total(rows, "wait_ns"),
            total(sites, "wait_ns") * 0.99
            - oracle.CLOCKS_NS * total(sites, "slept")
            - oracle.PREEMPTED_NS * total(sites, "preempted"),
        )
        spare = oracle.SPARE_ATTEMPTS + total(sites, "slept") * ATTEMPTS_PERCENT / 100
        self.assertAlmostEqual(total(rows, "waits"), total(sites, "slept"), delta=spare)
        functions = {name for site in sites for name in site["functions"]}
        for row in rows:
            for site in row["sites"]:
                self.assertTrue(site["complete"], functions_of(site))
                self.assertTrue(functions & set(functions_of(site)), functions_of(site))

    def test_mutex(self):
        self.check("contention::LEDGER", "mutex")

    def test_rwlock(self):
        self.check("contention::CATALOG", "rwlock")

    def test_condvar(self):
        self.check("contention::NONEMPTY", "condvar", "contention::QUEUE")

    def test_once(self):
        """Sleeps on words of std's own: threads that wait for a Once are parked."""
        (site,) = [site for site in self.truth["locks"] if site["kind"] == "once"]
        rows = self.rows_in(site["functions"][0])
        self.assertEqual(total(rows, "sleeps"), site["sleeps"])
        self.assertEqual({row["kind"] for row in rows}, {"once"})

    def test_barrier(self):
        """Made of a mutex and a condition variable, in an object on the stack."""
        (site,) = [site for site in self.truth["locks"] if site["kind"] == "barrier"]
        rows = self.rows_in(site["functions"][0])
        self.assertEqual(total(rows, "sleeps"), site["sleeps"])
        self.assertIn("barrier", {row["kind"] for row in rows})

    def test_nothing_lost(self):
        oracle.check_coverage(self, [self.document])


class Python(unittest.TestCase):
    """CPython's locks are semaphores, and its interpreter is a lock as well."""

    PROGRAM = "/usr/bin/python3"

    def observe(self, *args):
        script = os.path.join(LANGS, "contention.py")
        out, documents, _ = oracle.watch([self.PROGRAM, script, *args])
        oracle.check_coverage(self, documents)
        return json.loads(out)["totals"], documents[0]["locks"]

    def test_lock(self):
        totals, rows = self.observe()
        lock = max((row for row in rows if not row["idle"]), key=lambda row: row["wait_ns"])
        self.assertEqual(lock["kind"], "semaphore", lock["name"])
        for site in lock["sites"]:
            self.assertTrue(site["complete"], functions_of(site))
        called = {name for site in lock["sites"] for name in functions_of(site)}
        self.assertIn("PyThread_acquire_lock_timed", called)
        # Of each attempt's sleeps the last ones may be for the interpreter.
        self.assertGreater(lock["sleeps"], totals["lock"]["slept"] * 0.5)
        self.assertLessEqual(lock["sleeps"], totals["lock"]["sleeps"])
        self.assertGreaterEqual(total(rows, "sleeps"), totals["lock"]["sleeps"])

    def test_interpreter(self):
        """What take_gil() waits for lies in _PyRuntime, the only one of its symbols that is exported."""
        totals, rows = self.observe("--compute")
        own = [row for row in rows if row["name"].startswith("_PyRuntime")]
        self.assertGreaterEqual(total(own, "sleeps"), totals["interpreter"]["sleeps"])
        # The thread that has the interpreter is computing: nobody is idle.
        longest = max(own, key=lambda row: row["wait_ns"])
        self.assertFalse(longest["idle"], (longest["kind"], longest["name"]))


class Java(unittest.TestCase):
    """OpenJDK's monitors and ReentrantLock both end in pthread_cond_wait(), on an object of each
    thread.  The JVM itself waits as well.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.path.dirname(holdup.workload("langs/Contention.class"))
        out, documents, _ = oracle.watch(["java", "-cp", path, "Contention", "2"])
        cls.totals, (cls.document,) = json.loads(out)["totals"], documents

    def rows_in(self, function):
        return [
            row
            for row in self.document["locks"]
            if any(function in functions_of(site) for site in row["sites"])
        ]

    def check_waits(self, rows, truth):
        """The program's clock sees calls that take long, and the JVM's own work in them."""
        self.assertGreaterEqual(total(rows, "waits"), truth["slept"] * 0.98 - 2)
        self.assertGreaterEqual(total(rows, "wait_ns"), truth["wait_ns"] * 0.95)
        self.assertLessEqual(total(rows, "wait_ns"), truth["wait_ns"] * 1.05)

    def test_monitor(self):
        rows = self.rows_in("ObjectMonitor::enter")
        self.check_waits(rows, self.totals["monitor"])
        self.assertEqual({(row["kind"], row["idle"]) for row in rows}, {("mutex", False)})

    def test_reentrant_lock(self):
        """Parked threads: what they wait for only Java's own frames tell."""
        rows = self.rows_in("Unsafe_Park")
        self.check_waits(rows, self.totals["lock"])
        self.assertEqual({row["kind"] for row in rows}, {"condvar"})
        self.assertNotIn("", {row["name"] for row in rows})

    def test_nothing_lost(self):
        oracle.check_coverage(self, [self.document])


if __name__ == "__main__":
    unittest.main()
