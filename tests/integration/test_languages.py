# SPDX-License-Identifier: GPL-2.0-only
"""Locks of other languages' runtimes: `holdup locks` beside programs that know what they wait for."""

import json
import os
import unittest

import holdup
import oracle
from oracle import ATTEMPTS_PERCENT, functions_of, total

LANGS = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "langs"
)


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

    def check(self, name, kind, label, *also):
        """One row has the name; `also` are the names of locks whose sleeps can't be told apart."""
        sites = [site for site in self.truth["locks"] if site["name"] in (name, *also)]
        rows = [row for row in self.document["locks"] if row["name"] in (name, *also)]
        own = [(row["kind"], row["label"]) for row in rows if row["name"] == name]
        self.assertEqual(own, [(kind, label)])
        self.assertGreater(total(sites, "sleeps"), 0)
        self.assertEqual(total(rows, "sleeps"), total(sites, "sleeps"))
        with holdup.clocks():
            self.check_times(rows, sites)
        functions = {name for site in sites for name in site["functions"]}
        for row in rows:
            for site in row["sites"]:
                self.assertTrue(site["complete"], functions_of(site))
                self.assertTrue(functions & set(functions_of(site)), functions_of(site))

    def check_times(self, rows, sites):
        waited, truth = total(rows, "wait_ns"), total(sites, "wait_ns")
        spare = oracle.CLOCKS_NS * total(sites, "slept")
        spare += oracle.PREEMPTED_NS * total(sites, "preempted")
        self.assertLessEqual(waited, truth * 1.001)
        self.assertGreaterEqual(waited, truth * 0.99 - spare)
        spare = oracle.SPARE_ATTEMPTS + total(sites, "slept") * ATTEMPTS_PERCENT / 100
        self.assertAlmostEqual(total(rows, "waits"), total(sites, "slept"), delta=spare)

    def test_mutex(self):
        self.check("contention::LEDGER", "mutex", "Rust Mutex")

    def test_rwlock(self):
        self.check("contention::CATALOG", "rwlock", "Rust RwLock")

    def test_condvar(self):
        self.check("contention::NONEMPTY", "condvar", "Rust Condvar", "contention::QUEUE")

    def test_once(self):
        """Sleeps on words of std's own: threads that wait for a Once are parked."""
        (site,) = [site for site in self.truth["locks"] if site["kind"] == "once"]
        rows = self.rows_in(site["functions"][0])
        self.assertEqual(total(rows, "sleeps"), site["sleeps"])
        self.assertEqual({(row["kind"], row["label"]) for row in rows}, {("once", "Rust Once")})

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

    def observe(self, *command):
        out, documents, _ = oracle.watch([self.PROGRAM, os.path.join(LANGS, command[0]), *command[1:]])
        oracle.check_coverage(self, documents)
        return json.loads(out), documents[0]["locks"]

    def test_lock(self):
        truth, rows = self.observe("contention.py")
        totals = truth["totals"]
        lock = max((row for row in rows if not row["idle"]), key=lambda row: row["wait_ns"])
        self.assertEqual((lock["kind"], lock["label"]), ("semaphore", "Python lock"), lock["name"])
        self.assertNotEqual(lock["address"], "0x0")
        for site in lock["sites"]:
            self.assertTrue(site["complete"], functions_of(site))
        called = {name for site in lock["sites"] for name in functions_of(site)}
        self.assertIn("PyThread_acquire_lock_timed", called)
        # Of each attempt's sleeps the last ones may be for the interpreter.
        self.assertGreater(lock["sleeps"], totals["lock"]["slept"] * 0.5)
        self.assertLessEqual(lock["sleeps"], totals["lock"]["sleeps"])
        self.assertGreaterEqual(total(rows, "sleeps"), totals["lock"]["sleeps"])

    def test_interpreter(self):
        """Its condition variables and mutexes lie in _PyRuntime, and are one lock."""
        truth, rows = self.observe("contention.py", "--compute")
        own = [row for row in rows if row["name"].startswith("_PyRuntime")]
        self.assertEqual(len(own), 1)
        found = (own[0]["name"], own[0]["kind"], own[0]["label"], own[0]["idle"])
        # The thread that has the interpreter is computing: nobody is idle.
        self.assertEqual(found, ("_PyRuntime", "mutex", "Python GIL", False))
        self.assertEqual([row for row in rows if row["label"] == "Python GIL"], own)
        self.assertGreaterEqual(own[0]["sleeps"], truth["totals"]["interpreter"]["sleeps"])

    def test_pool_at_rest(self):
        """Workers wait in SimpleQueue.get(): for work."""
        truth, rows = self.observe("pool.py")
        queue = [row for row in rows if row["label"] == "Python queue"]
        self.assertTrue(queue)
        self.assertEqual({row["idle"] for row in queue}, {True})
        with holdup.clocks():
            self.assertGreaterEqual(total(queue, "wait_ns"), truth["idle_ns"] * 0.95)


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
        """Frames that are guessed may be of another wait."""
        return [
            row
            for row in self.document["locks"]
            if any(
                frame["function"].split("(")[0] == function and not frame["guessed"]
                for site in row["sites"]
                for frame in site["stack"]
            )
        ]

    @holdup.clocks()
    def check_waits(self, rows, truth):
        """The program's clock sees calls that take long, and the JVM's own work in them."""
        self.assertGreaterEqual(total(rows, "waits"), truth["slept"] * 0.98 - 2)
        self.assertGreaterEqual(total(rows, "wait_ns"), truth["wait_ns"] * 0.95)
        self.assertLessEqual(total(rows, "wait_ns"), truth["wait_ns"] * 1.05)

    def test_monitor(self):
        """Which one does not show: one row for those of the process."""
        (row,) = [row for row in self.document["locks"] if row["label"] == "Java monitor"]
        self.check_waits([row], self.totals["monitor"])
        self.assertEqual((row["kind"], row["idle"], row["address"]), ("mutex", False, "0x0"))
        self.assertIn(row, self.rows_in("ObjectMonitor::enter"))
        threads = {holder["comm"] for holder in row["holders"]}
        self.assertTrue({"worker-0", "worker-2", "worker-4"} <= threads, threads)

    def test_reentrant_lock(self):
        """Parked threads: what they wait for only Java's own frames tell, and the report says so."""
        (row,) = [row for row in self.document["locks"] if row["label"] == "Java parked thread"]
        self.check_waits([row], self.totals["lock"])
        self.assertEqual((row["kind"], row["idle"], row["unsure"]), ("futex", True, True))
        self.assertIn(row, self.rows_in("Unsafe_Park"))
        self.assertEqual(self.document["unsure_wait_ns"], row["wait_ns"])
        self.assertNotEqual(row["name"], "")

    def test_machine_at_rest(self):
        """The collector, the compiler and the like wait for work, not for locks."""
        rest = [row for row in self.document["locks"] if row["label"] == "JVM thread at rest"]
        self.assertTrue(rest)
        self.assertLessEqual(
            {(row["kind"], row["idle"]) for row in rest},
            {("condvar", True), ("semaphore", True), ("mutex", False)},
        )
        for row in self.document["locks"]:
            if not row["idle"] and row["label"] != "Java monitor":
                with holdup.clocks():
                    least = self.totals["monitor"]["wait_ns"] / 4
                    self.assertLess(row["wait_ns"], least, row["name"])

    def test_sleep_is_idle(self):
        rows = self.rows_in("JVM_Sleep")
        self.assertTrue(rows)
        longest = max(rows, key=lambda row: row["wait_ns"])
        self.assertEqual((longest["label"], longest["idle"]), ("Java Thread.sleep()", True))

    def test_nothing_lost(self):
        oracle.check_coverage(self, [self.document])


class Node(unittest.TestCase):
    """libuv's threads, with libuv in the program or as a library of its own."""

    def test_pool_at_rest(self):
        out, (document,), _ = oracle.watch(["node", os.path.join(LANGS, "pool.js")])
        self.assertEqual(json.loads(out)["workload"], "pool.js")
        rows = [
            row
            for row in document["locks"]
            if row["label"] == "libuv thread pool" and row["kind"] == "condvar"
        ]
        self.assertEqual({row["idle"] for row in rows}, {True})
        # At least a second for each of at least two threads.
        self.assertGreater(total(rows, "wait_ns"), 2e9)
        for row in document["locks"]:
            if not row["idle"]:
                self.assertLess(row["wait_ns"], 1e9, row["name"])


if __name__ == "__main__":
    unittest.main()
