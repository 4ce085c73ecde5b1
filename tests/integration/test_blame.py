# SPDX-License-Identifier: GPL-2.0-only
"""Blame in `holdup locks`: what holders did while others waited, beside what the holders themselves know
by their own clocks (tests/workload/blame.c).
"""

import json
import os
import sys
import unittest

import holdup
import oracle

POINTS = 0.03  # how far a share of the wait time may be off
LEAST_WAITS = 20  # fewer would test nothing


def observe(*args, options=(), before=()):
    """The workload under holdup: its truth by lock, and the report."""
    command = [*before, holdup.workload("blame"), *map(str, args)]
    out, documents, _ = oracle.watch(command, *options)
    assert len(documents) == 1, f"{len(documents)} reports"
    return {lock["name"]: lock for lock in json.loads(out)["locks"]}, documents[0]


def futex_waits(pid):
    """Threads in a futex call: its number on x86-64 and arm64."""
    calls = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as file:
            calls.append(file.read().split()[0])
    return sum(call in ("202", "98") for call in calls)


def row_of(document, name):
    rows = [row for row in document["locks"] if row["name"] == name]
    assert len(rows) == 1, f"{name}: {[row['name'] for row in document['locks']]}"
    return rows[0]


def parts_of(row):
    """The row's blame in the truth's words."""
    blame = row["blame"]
    parts = {
        "running": blame["running_ns"],
        "runnable": blame["runnable_ns"],
        "handover": blame["handover_ns"],
        "unknown": blame["unknown_ns"] + blame["blocked_other_ns"],
        "asleep": 0,
        "syncing": 0,
        "waiting": 0,
        "other": 0,
    }
    words = {"clock_nanosleep": "asleep", "nanosleep": "asleep", "fdatasync": "syncing"}
    for one in blame["blocked"]:
        word = "waiting" if one["reason"] == "lock" else words.get(one["call"], "other")
        parts[word] += one["wait_ns"]
    return parts


class Blame:
    """One run, compared share by share."""

    how, lock, args, before, points = None, "ledger_lock", (), (), POINTS
    # Between two holds of a thread: long enough for one that was woken to get the lock in the meantime.
    pause_us, least = 1000, LEAST_WAITS

    @classmethod
    def setUpClass(cls):
        args = ("--how", cls.how, "--for", 3, "--pause", cls.pause_us, *cls.args)
        cls.truth, cls.document = observe(*args, before=cls.before)

    @holdup.clocks()
    def compare(self, name):
        truth, row = self.truth[name], row_of(self.document, name)
        parts, wait_ns = parts_of(row), row["wait_ns"]
        self.assertGreaterEqual(row["waits"], self.least)
        known = {key[:-3]: ns for key, ns in truth.items() if key.endswith("_ns")}
        true_wait_ns = known.pop("wait_ns"[:-3])
        known["handover"] = true_wait_ns - sum(known.values())
        for word, ns in known.items():
            self.assertAlmostEqual(
                parts[word] / wait_ns,
                ns / true_wait_ns,
                delta=self.points,
                msg=f"{word}: {parts} of {wait_ns}, truth {known} of {true_wait_ns}",
            )

    def test_shares(self):
        self.compare(self.lock)

    def test_sum(self):
        """Each nanosecond is in exactly one part."""
        for row in self.document["locks"]:
            if "blame" in row:
                self.assertEqual(sum(parts_of(row).values()), row["wait_ns"], row["name"])

    def test_coverage(self):
        oracle.check_coverage(self, [self.document])
        self.assertEqual(self.document["coverage"]["holders_untracked"], 0)
        self.assertTrue(self.document["coverage"]["blame"])

    def root(self, reason):
        """The one that ends in this; which comes first is up to what else runs on the machine."""
        roots = [root for root in self.document["root_causes"] if root["reason"] == reason]
        self.assertTrue(roots, self.document["root_causes"])
        return roots[0]


class Asleep(Blame, unittest.TestCase):
    how = "sleep"
    # Whoever sleeps for it anew reads the word: woken ones do, that come too late.
    pause_us, least = 0, 5

    def test_root(self):
        root, truth = self.root("call"), self.truth[self.lock]
        self.assertEqual((root["call"], root["function"]), ("clock_nanosleep", "update_ledger"))
        with holdup.clocks():
            share = truth["asleep_ns"] / truth["wait_ns"]
            self.assertAlmostEqual(root["share"], share, delta=POINTS)

    def test_nothing_is_inferred(self):
        """The mutex's own word names its holder."""
        blame = row_of(self.document, self.lock)["blame"]
        self.assertLess(blame["inferred_ns"], 0.1 * row_of(self.document, self.lock)["wait_ns"])


class Computing(Blame, unittest.TestCase):
    how = "compute"

    def test_root(self):
        first = self.document["root_causes"][0]
        self.assertIn(first["reason"], ("running", "runnable"))
        self.assertEqual(first["chain"], ["ledger_lock"])


class Retaken(Computing):
    """Who lets go takes it again at once, and for long nobody else has it: what is not seen of one switch of its is
    not put right by the next.
    """

    pause_us, least = 0, 3


class Syncing(Blame, unittest.TestCase):
    """Many wait, since the truth takes each of a hold's two halves to be alike throughout for all of them."""

    how, args = "sync", ("--threads", 12)

    def test_root(self):
        calls = [root for root in self.document["root_causes"] if root["reason"] == "call"]
        (root,) = [root for root in calls if root["call"] == "fdatasync"]  # writing takes its time as well
        self.assertEqual(root["function"], "write_record")
        self.assertIn("blame.wal.", root["what"])


class Chain(Blame, unittest.TestCase):
    """Behind a second lock: both have their own blame, and the root is the second one's holder."""

    how, args = "chain", ("--threads", 3)

    def test_second(self):
        self.compare("wal_lock")

    def test_names(self):
        blocked = row_of(self.document, "ledger_lock")["blame"]["blocked"]
        self.assertEqual(blocked[0]["lock"], "wal_lock")

    def test_root(self):
        root = self.root("call")
        self.assertEqual((root["call"], root["function"]), ("clock_nanosleep", "wal_flush"))
        self.assertEqual(root["chain"], ["ledger_lock", "wal_lock"])
        first, second = self.truth["ledger_lock"], self.truth["wal_lock"]
        asleep = second["asleep_ns"] / second["wait_ns"]
        ends_there = first["waiting_ns"] * asleep + second["asleep_ns"]
        share = ends_there / (first["wait_ns"] + second["wait_ns"])
        with holdup.clocks():
            self.assertAlmostEqual(root["share"], share, delta=2 * POINTS)


class Starved(Blame, unittest.TestCase):
    """More spinning threads than the one CPU that all are pinned to."""

    how, args, pause_us = "starved", ("--threads", 3), 3000

    def test_root(self):
        self.assertEqual(self.document["root_causes"][0]["reason"], "runnable")


class Shares(Blame, unittest.TestCase):
    """The lock goes round among holders that each do something else."""

    how = "shares"

    def test_second(self):
        pass  # the flusher's lock is hardly waited for here


class Timed(Blame, unittest.TestCase):
    """Timeouts end waits, and release nothing."""

    how, args = "timed", ("--hold", 20000)


class Container(Blame, unittest.TestCase):
    """The lock's word names its owner by another TID than ours."""

    how, before = "sleep", ("unshare", "--pid", "--fork")


class Word(Blame, unittest.TestCase):
    """No word names the holder: it is inferred, and proven by who lets go."""

    how, lock = "word", "bare_lock"

    def test_it_is_said(self):
        row = row_of(self.document, self.lock)
        self.assertGreater(row["blame"]["inferred_ns"], 0.5 * row["wait_ns"])


class Robbed(Word):
    """Who lets go takes it again before the one that was woken can: until that one has run and found it taken, nothing
    tells. The time in which it has no CPU counts as hand-over, more of it where other programs run.
    """

    pause_us, least, points = 0, 5, 2 * POINTS


class Signal(unittest.TestCase):
    """Nobody has a semaphore that others post: no holder is made up."""

    def test_unknown(self):
        _, document = observe("--how", "signal", "--for", 2)
        row = row_of(document, "bell")
        parts = parts_of(row)
        self.assertGreaterEqual(row["sleeps"], LEAST_WAITS)
        known = row["wait_ns"] - parts["unknown"] - parts["handover"]
        with holdup.clocks():
            self.assertLess(known / row["wait_ns"], POINTS, parts)


class Off(unittest.TestCase):
    def test_no_blame(self):
        _, document = observe("--for", 0.5, options=("--assume", "no-blame"))
        self.assertFalse(document["coverage"]["blame"])
        self.assertEqual([row for row in document["locks"] if "blame" in row], [])
        self.assertEqual(document["root_causes"], [])


class Before(unittest.TestCase):
    """The lock was held, and waited for, before holdup began: its holder has not moved since."""

    def test_hung(self):
        with holdup.Workload("blame", "--hold", 10_000_000) as work:
            holdup.wait_until(lambda: futex_waits(work.pid) == 3, 10, "three threads to wait")
            document = holdup.run_json(["locks", "-d", "500ms", "-p", work.pid])
        row = row_of(document, "ledger_lock")
        parts = parts_of(row)
        self.assertGreater(parts["asleep"] / row["wait_ns"], 1 - POINTS, parts)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    unittest.main()
