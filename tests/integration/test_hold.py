# SPDX-License-Identifier: GPL-2.0-only
"""`holdup locks --hold` beside programs that know how often they held each lock and for how long,
and beside the classic cases of lock orders.
"""

import json
import os
import subprocess
import tempfile
import unittest
from subprocess import PIPE

import holdup
import jsonschema
import oracle
from holdup import Workload

VARIANTS = ("", "static/", "musl/", "musl-static/")
# A percentile's bucket is 1/8 of a power of two wide, and its middle is told.
BUCKET = 1 / 8
# From the end of one probe's program to the begin of the next one's: a hold is never seen shorter
# than it looks from inside, and never longer than from outside; but for the clock's own steps.
SLACK_NS = 1000


def watch(name, *args):
    """A workload under --hold from before its first lock on: (its truth, the document).

    It waits for a line, which it gets when the probes are in place.
    """
    with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
        path = os.path.join(directory, "report")
        command = [holdup.workload(name), *args, "--wait"]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as work:
            try:
                options = ["--hold", "--json", "-v", "-n", "1000", "-o", path, "-d", "100"]
                status, err = attach(work, ["locks", *options, "-p", str(work.pid)])
                out, _ = work.communicate(timeout=10)
            finally:
                work.kill()
        assert status == 0, err
        assert work.returncode == 0
        (document,) = oracle.read_documents(path)
        jsonschema.validate(document, oracle.schema())
        return json.loads(out) if out else None, document


def attach(work, args):
    """Run holdup, and let the workload go when it has attached: its status, what it said."""
    said = []
    with subprocess.Popen([holdup.HOLDUP, *args], stderr=PIPE, text=True) as process:
        try:
            for line in process.stderr:
                said.append(line)
                if "--hold:" in line and " probes" in line:
                    work.stdin.write("\n")
                    work.stdin.flush()
            return process.wait(timeout=100), "".join(said)
        finally:
            process.kill()


def holds_of(document):
    """What is said of each lock, by its name."""
    return {lock["name"]: lock for lock in document["locks"] if "hold" in lock}


def circles(document):
    """The locks of each circle that was found, in the order of their names."""
    return sorted(sorted(lock["name"] for lock in one["locks"]) for one in document["lock_order"])


class Counting:
    """Every acquisition of every kind of lock; a subclass says of which C library."""

    variant = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth, cls.document = watch(cls.variant + "hold")
        cls.rows = holds_of(cls.document)

    def each(self):
        for lock in self.truth["locks"]:
            row = self.rows[lock["name"]]
            yield lock, row, row["hold"]

    def test_every_acquisition_counts(self):
        for lock, row, hold in self.each():
            self.assertEqual(hold["acquisitions"], lock["acquisitions"], lock["name"])
            self.assertEqual(hold["failed"], lock["failed"], lock["name"])
            self.assertEqual(row["kind"], lock["kind"])
            self.assertEqual(int(row["address"], 16), int(lock["address"], 16))
            self.assertEqual(
                sum(site["acquisitions"] for site in hold["sites"]), hold["acquisitions"]
            )
            self.assertEqual((hold["unreleased"], hold["held_now"]), (0, 0), lock["name"])

    def test_time_held(self):
        for lock, _row, hold in self.each():
            spare = SLACK_NS + lock["inside_ns"] // 1000
            self.assertGreaterEqual(hold["ns"] + spare, lock["inside_ns"], lock["name"])
            self.assertGreaterEqual(hold["max_ns"] + spare, lock["inside_max_ns"], lock["name"])
            if lock["alone"]:
                self.assertLessEqual(hold["ns"] - spare, lock["outside_ns"], lock["name"])
                self.assertLessEqual(hold["max_ns"] - spare, lock["outside_max_ns"], lock["name"])

    def test_waiting_is_no_holding(self):
        """One thread at a time: all holds together take no longer than the run."""
        for name in ("busy_lock", "queue_lock", "slot"):
            self.assertLess(self.rows[name]["hold"]["ns"], self.document["interval_ns"], name)
        busy = next(lock for lock in self.truth["locks"] if lock["name"] == "busy_lock")
        self.assertLess(self.rows["busy_lock"]["hold"]["ns"], busy["outside_ns"])
        self.assertGreater(self.rows["busy_lock"]["hold"]["contended"], 0)

    def test_percentiles(self):
        for lock, _row, hold in self.each():
            self.assertLessEqual(hold["p50_ns"], hold["p95_ns"], lock["name"])
            self.assertLessEqual(hold["p95_ns"], hold["p99_ns"], lock["name"])
            self.assertLessEqual(hold["p99_ns"], hold["max_ns"], lock["name"])
        # 500 holds of 20 us and more, and one of 30 ms.
        plain = self.rows["plain_lock"]["hold"]
        self.assertGreaterEqual(plain["p50_ns"], 20000 * (1 - BUCKET))
        self.assertLess(plain["p50_ns"], 30000000 * (1 + BUCKET))
        self.assertGreaterEqual(plain["max_ns"], 30000000)

    def test_sites(self):
        plain = self.rows["plain_lock"]["hold"]
        by_function = {}
        for site in plain["sites"]:
            own = [f for f in oracle.functions_of(site) if f.startswith("hold_plain")]
            self.assertEqual(len(own), 1, site)
            by_function[own[0]] = by_function.get(own[0], 0) + site["acquisitions"]
        self.assertEqual(by_function, {"hold_plain": 500, "hold_plain_asleep": 1})
        modes = {}
        for site in self.rows["catalog_lock"]["hold"]["sites"]:
            modes[site["mode"]] = modes.get(site["mode"], 0) + site["acquisitions"]
        self.assertEqual(modes, {"read": 150, "write": 50})

    def test_what_the_longest_holder_did(self):
        hold = self.rows["plain_lock"]["hold"]
        self.assertEqual(hold["longest"][0]["ns"], hold["max_ns"])
        lengths = [longest["ns"] for longest in hold["longest"]]
        self.assertEqual(lengths, sorted(lengths, reverse=True))
        (asleep,) = [
            longest
            for longest in hold["longest"]
            if "hold_plain_asleep" in oracle.functions_of(longest)
        ]
        self.assertGreaterEqual(asleep["worst_ns"], 30000000)
        self.assertLessEqual(asleep["worst_ns"], asleep["off_cpu_ns"])
        self.assertLessEqual(asleep["off_cpu_ns"], asleep["ns"] + SLACK_NS)
        # On a machine that has no time at all it may have waited for a CPU for longer.
        inside = ("in clock_nanosleep", "in nanosleep", "waiting for a CPU")
        self.assertIn(asleep["inside"], inside)

    def test_nothing_lost(self):
        gaps = dict(self.document["hold_coverage"])
        for known in ("posts", "longest_lost"):
            gaps.pop(known)
        self.assertEqual(set(gaps.values()), {0}, gaps)

    def test_no_order_contradicts(self):
        self.assertEqual(circles(self.document), [])

    def test_cost(self):
        cost = self.document["hold_cost"]
        taken = self.document["acquisitions"]
        self.assertGreaterEqual(cost["operations"], 2 * taken)
        self.assertGreaterEqual(cost["hits"], cost["operations"])
        self.assertGreater(cost["empty_probe_ns"], 0)
        self.assertGreater(cost["per_operation_ns"], cost["empty_probe_ns"] // 2)


class Glibc(Counting, unittest.TestCase):
    variant = ""

    def test_condition_variable(self):
        truth = next(lock for lock in self.truth["locks"] if lock["name"] == "queue_lock")
        self.assertEqual(self.rows["queue_lock"]["hold"]["after_wait"], truth["after_wait"])


class GlibcStatic(Counting, unittest.TestCase):
    variant = "static/"


class Musl(Counting, unittest.TestCase):
    variant = "musl/"


class MuslStatic(Counting, unittest.TestCase):
    variant = "musl-static/"


class Orders(unittest.TestCase):
    """Which orders of locks may come to a deadlock, and which can't."""

    bad = {
        "inverted": [["audit", "ledger"]],
        "one-thread": [["audit", "ledger"]],
        "three": [["audit", "ledger", "wal"]],
        "half-gate": [["audit", "ledger"]],
        "reading-gate": [["audit", "ledger"]],
        "tried-first": [["audit", "ledger"]],
        "writers": [["catalog", "index_lock"]],
        "condvar": [["audit", "ledger"]],
    }
    good = (
        "ordered",
        "gate",
        "writing-gate",
        "try",
        "timed",
        "readers",
        "recursive",
        "polite-philosophers",
    )

    @holdup.timeout(400)
    def test_bad_ones_are_found(self):
        for case, expected in self.bad.items():
            with self.subTest(case):
                _, document = watch("order", case)
                self.assertEqual(circles(document), expected)
                self.assertGreater(document["orders"], 0)

    @holdup.timeout(400)
    def test_good_ones_are_not(self):
        for case in self.good:
            with self.subTest(case):
                _, document = watch("order", case)
                self.assertEqual(circles(document), [])
                self.assertGreater(document["orders"], 0)

    @holdup.timeout(400)
    def test_other_libraries(self):
        for variant in VARIANTS[1:]:
            for case in ("inverted", "try", "writers", "readers"):
                with self.subTest(variant + case):
                    _, document = watch(variant + "order", case)
                    self.assertEqual(circles(document), self.bad.get(case, []))

    def test_philosophers(self):
        _, document = watch("order", "philosophers")
        (circle,) = document["lock_order"]
        self.assertEqual(len(circle["locks"]), 5)
        self.assertFalse(circle["one_thread"])
        self.assertEqual(len({edge["tid"] for edge in circle["edges"]}), 5)
        for edge, follower in zip(circle["edges"], circle["edges"][1:] + circle["edges"][:1]):
            self.assertEqual(edge["second"], follower["first"])

    def test_both_stacks(self):
        _, document = watch("order", "inverted")
        (circle,) = document["lock_order"]
        for edge in circle["edges"]:
            function = f"{edge['first']}_then_{edge['second']}"
            for stack in ("stack_first", "stack_second"):
                names = [frame["function"] for frame in edge[stack]]
                self.assertIn(function, names)
                self.assertTrue(any("pthread_mutex_lock" in name for name in names[:1]), names)

    def test_cxx(self):
        _, document = watch("order_cxx", "scoped")
        self.assertEqual(circles(document), [])
        _, document = watch("order_cxx", "guards")
        self.assertEqual(circles(document), [["audit", "ledger"]])

    def test_text(self):
        status, out, err = holdup.run(
            ["locks", "--hold", "--", holdup.workload("order"), "inverted"]
        )
        self.assertEqual(status, 0, err)
        self.assertIn("POSSIBLE DEADLOCK", out)
        self.assertIn("each lock and each unlock became", out)
        status, out, err = holdup.run(
            ["locks", "--hold", "--", holdup.workload("order"), "ordered"]
        )
        self.assertEqual(status, 0, err)
        self.assertNotIn("DEADLOCK", out)


class Running(unittest.TestCase):
    """A process that runs already."""

    def test_locks_taken_before_are_no_errors(self):
        with Workload("storm", "--how", "mutex", "--until-told") as child:
            status, out, err = holdup.run(
                ["locks", "--hold", "--json", "-p", child.pid, "-d", "1"], timeout=60
            )
            self.assertEqual(status, 0, err)
            document = json.loads(out)
        jsonschema.validate(document, oracle.schema())
        hold = holds_of(document)["hot_lock"]["hold"]
        self.assertGreater(hold["acquisitions"], 1000)
        self.assertGreater(hold["contended"], 0)
        # One for each thread at most.
        self.assertLess(document["hold_coverage"]["unknown_releases"], 64)
        self.assertTrue(all("stack" in site and site["stack"] for site in hold["sites"]))


class Refusals(unittest.TestCase):
    """What --hold needs to be told."""

    def refused(self, *args):
        status, out, err = holdup.run(["locks", "--hold", *args])
        self.assertEqual((status, out), (2, ""))
        return err

    def test_a_choice_of_processes(self):
        self.assertIn("-p", self.refused())
        self.assertIn("-p", self.refused("--comm", "x"))
        self.assertIn("-p", self.refused("-t", "1"))

    def test_by_lock_only(self):
        self.assertIn("--by lock", self.refused("--by", "site", "--", "true"))

    def test_an_older_kernel(self):
        status, out, err = holdup.run(
            ["locks", "--hold", "--assume", "raw-tracepoints", "--", "true"]
        )
        self.assertEqual((status, out), (3, ""))
        self.assertIn("5.17", err)

    def test_a_program_without_lock_functions(self):
        with Workload("static/mutex", "--until-told") as child:
            status, out, err = holdup.run(
                ["locks", "--hold", "--json", "-p", child.pid, "-d", "0.2"], timeout=60
            )
            self.assertEqual(status, 0, err)
            self.assertIn("hold_cost", json.loads(out))
