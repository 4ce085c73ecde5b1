# SPDX-License-Identifier: GPL-2.0-only
"""What a report of `holdup locks` says beyond the figures of one lock: rows for call chains, moved
waits, cgroups, how good the stacks are; and that holdup itself stays small in a long run.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

import holdup
import oracle
from holdup import Running, Workload, wait_until, workload
from oracle import total

STACK_ENDS = (
    "stacks_missing",
    "stacks_no_row",
    "stacks_no_mapping",
    "stacks_unreadable",
    "stacks_too_deep",
)


# One thread waits for another, in a process with more code mapped than is kept of one.
MAPPED = """
import mmap, os, sys, threading, time
file = open(sys.executable, "rb")
code = [
    mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    for _ in range(300)
]
lock = threading.Lock()
lock.acquire()
thread = threading.Thread(target=lock.acquire)
thread.start()
def state():
    with open(f"/proc/self/task/{thread.native_id}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
while state() != "S":
    os.sched_yield()
lock.release()
thread.join()
time.sleep(0.5)  # what is mapped is read meanwhile
"""


class BySite(unittest.TestCase):
    def test_across_processes(self):
        """Twenty processes of one program wait at one place, each for its own lock."""
        truth, document = oracle.observe("shorty", options=["--by", "site"])
        sites = [site for site in truth["locks"] if site["sleeps"]]
        pids = {site["pid"] for site in sites}
        self.assertGreater(len(pids), 10)
        (row,) = rows = oracle.without_threads(document)
        self.assertEqual(row["name"], "brief_lock")
        self.assertEqual((row["locks"], row["processes"]), (len(pids), len(pids)))
        self.assertEqual(row["pid"], min(pids))
        self.assertEqual(row["sleeps"], total(sites, "sleeps"))
        others = sum(row["locks"] for row in document["locks"] if row not in rows)
        self.assertEqual(document["contended_locks"], len(pids) + others)
        (site,) = row["sites"]
        self.assertTrue(oracle.has_chain(site, sites[0]["functions"]), site)
        self.assertEqual(site["waits"], row["waits"])

    def test_one_place_many_locks(self):
        """64 locks of one program: a row for each place, and in the table how many."""
        truth, document = oracle.observe("many", "--for", 1, options=["--by", "site"])
        slept = {site["address"] for site in truth["locks"] if site["sleeps"]}
        chains = {tuple(site["functions"]) for site in truth["locks"] if site["sleeps"]}
        rows = oracle.without_threads(document)
        self.assertEqual(len(rows), len(chains))
        others = sum(row["locks"] for row in document["locks"] if row not in rows)
        self.assertEqual(document["contended_locks"], len(slept) + others)
        self.assertEqual(total(rows, "sleeps"), total(truth["locks"], "sleeps"), chains)

    def test_kinds_stay_apart(self):
        _, document = oracle.observe("condvar", "--for", 1, options=["--by", "site"])
        idle = {row["kind"] for row in document["locks"] if row["idle"]}
        self.assertEqual(idle, {"condvar"})
        for row in document["locks"]:
            self.assertEqual(row["idle"], row["kind"] == "condvar")


class Moved(unittest.TestCase):
    def moved(self, how):
        truth, document = oracle.observe("forms", "--how", how, "--for", 1)
        self.assertGreater(total(truth["locks"], "sleeps"), 0)
        return document, total(document["locks"], "requeued")

    def test_requeued(self):
        """All but the first sleeper of each round are moved before anybody wakes them."""
        document, moved = self.moved("requeue")
        self.assertGreater(moved, 0)
        self.assertLessEqual(moved, total(document["locks"], "waits"))
        for row in document["locks"]:
            self.assertEqual(row["requeued"], total(row["sites"], "requeued"))

    def test_not_requeued(self):
        self.assertEqual(self.moved("wait")[1], 0)


class Stacks(unittest.TestCase):
    """Coverage says what became of the stack of each wait."""

    def check_sums(self, document):
        coverage = document["coverage"]
        waits = total(document["locks"], "waits")
        self.assertEqual(coverage["stacks_complete"] + coverage["stacks_incomplete"], waits)
        self.assertLessEqual(
            sum(coverage[end] for end in STACK_ENDS), coverage["stacks_incomplete"]
        )
        return coverage

    def test_complete(self):
        _, document = oracle.observe("mutex", "--for", 1)
        coverage = self.check_sums(document)
        for name in ("stacks_incomplete", "stacks_guessed", "modules_full", *STACK_ENDS):
            self.assertEqual(coverage[name], 0, name)

    def test_by_frame_pointers(self):
        """They show less than all frames of a program without them; nothing of it is held for sure."""
        _, document = oracle.observe("mutex", "--for", 1, options=["--assume", "frame-pointers"])
        coverage = self.check_sums(document)
        self.assertEqual(coverage["stacks_guessed"], total(document["locks"], "waits"))
        self.assertEqual(coverage["stacks_complete"], 0)

    def test_no_room(self):
        """The rows of a C library alone are more than the least that can be asked for."""
        _, document = oracle.observe("mutex", "--for", 1, options=["--unwind-mem", "64K"])
        coverage = self.check_sums(document)
        self.assertGreater(coverage["modules_full"], 0)
        self.assertGreater(coverage["stacks_incomplete"] + coverage["stacks_guessed"], 0)
        args = ["--unwind-mem", "64K", "-o", "/dev/stderr", "--", workload("mutex"), "--for", 1]
        status, _, err = holdup.run(["locks", *args])
        self.assertEqual(status, 0, err)
        self.assertRegex(err, r"\A.* files? without room .*--unwind-mem")

    def test_too_many_mappings(self):
        _, (document,), _ = oracle.watch([sys.executable, "-c", MAPPED])
        coverage = self.check_sums(document)
        self.assertGreater(coverage["stacks_complete"] + coverage["stacks_incomplete"], 0)
        # The interpreter, its libraries and the 300.
        self.assertGreater(coverage["mappings_dropped"], 300 - 256)
        self.assertLess(coverage["mappings_dropped"], 300)

    def test_verbose_says_it(self):
        args = ["-v", "-o", "/dev/stderr", "--", workload("mutex"), "--for", 1]
        status, _, err = holdup.run(["locks", *args])
        self.assertEqual(status, 0, err)
        self.assertRegex(err, r"\nstacks of waits: 100\.00 % complete\n")


def anonymous_kib(pid):
    """Memory of a process that is nobody else's."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        (line,) = [line for line in lines if line.startswith("Anonymous:")]
    return int(line.split()[1])


def documents_in(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file)


class LongRun(unittest.TestCase):
    BATCH = 8
    CHILDREN = 40

    def mayflies(self):
        """Processes that wait a few times and are gone: their number."""
        with contextlib.ExitStack() as stack:
            works = [
                stack.enter_context(
                    subprocess.Popen(
                        [workload("shorty"), "--count", str(self.CHILDREN)],
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(self.BATCH)
            ]
            truths = [json.loads(work.communicate(timeout=60)[0]) for work in works]
        return sum(len({site["pid"] for site in truth["locks"] if site["sleeps"]}) for truth in truths)

    @holdup.timeout(180)
    def test_memory_stays(self):
        """A process that is over and its stacks used to cost about 7 KiB each, for ever."""
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            path = os.path.join(directory, "reports")
            args = ["locks", "-i", "300ms", "--comm", "shorty", "--json", "-n", 1, "-o", path]
            with Running(args) as tool:
                tool.attached()

                def settled():
                    """After three more intervals nothing of before is needed."""
                    before = documents_in(path)
                    wait_until(lambda: documents_in(path) >= before + 4, 20, "reports")
                    return anonymous_kib(tool.pid)

                self.mayflies()
                first = settled()
                gone = sum(self.mayflies() for _ in range(3))
                last = settled()
                status, _, err = tool.stop()
            self.assertEqual(status, 0, err)
        self.assertGreater(gone, 500)
        self.assertLess(last - first, gone, "KiB more: less than one for each process")


if __name__ == "__main__":
    unittest.main()
