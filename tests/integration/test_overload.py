# SPDX-License-Identifier: GPL-2.0-only
"""More than holdup can take, and kernels that offer less: totals stay exact, and coverage says what
lost its detail.
"""

import json
import os
import shlex
import signal
import tempfile
import unittest

import holdup
import oracle
from holdup import HOLDUP, Running, Workload
from oracle import Oracle, total

PAGE = os.sysconf("SC_PAGE_SIZE")
WAYS = ("sem", "cond", "mutex")
# What a ring of one page may cost: waits' detail, and notes on processes, which can't be summed.
TINY_RING = ("summarized", "summarized_ns", "records_lost")
# Who lets go of a lock sleeps then: else it may have it again before a waiter gets a CPU, and hardly any wait ends.
PAUSE = ("--pause", "1000")
DEAF = 'kill -STOP "$PPID"; "$@"; status=$?; kill -CONT "$PPID"; exit $status'


def observe_deaf(name, *args, options=()):
    """Run a workload while holdup is stopped, from before its first wait until after its last: the
    ring buffer is read only then.
    """
    command = ["sh", "-c", DEAF, "sh", holdup.workload(name), *map(str, args), *PAUSE]
    out, documents, _ = oracle.watch(command, *options)
    return json.loads(out), documents[0]


class Storm(unittest.TestCase):
    """As many waits as two cores can produce."""

    def test_nothing_lost(self):
        for way in WAYS:
            with self.subTest(way=way):
                truth, document = oracle.observe("storm", "--for", 1, "--how", way)
                oracle.check_coverage(self, [document])
                oracle.check_sleeps(self, oracle.locks_of(truth), [document])

    def test_smallest_ring(self):
        summarized = 0
        for way in WAYS:
            with self.subTest(way=way):
                truth, document = oracle.observe(
                    "storm", "--for", 1, "--how", way, options=["--ring-size", PAGE]
                )
                summarized += document["coverage"]["summarized"]
                oracle.check_coverage(self, [document], TINY_RING)
                oracle.check_sleeps(self, oracle.locks_of(truth), [document])
        self.assertGreater(summarized, 0)

    def test_smallest_ring_by_intervals(self):
        """What is added to sums while they are read must be in this report or in the next."""
        out, documents, _ = oracle.watch(
            [holdup.workload("storm"), "--for", "2"], "-i", "100ms", "--ring-size", PAGE
        )
        self.assertGreater(len(documents), 5)
        oracle.check_sleeps(self, oracle.locks_of(json.loads(out)), documents)
        oracle.check_coverage(self, documents, TINY_RING)


class Deaf(unittest.TestCase):
    """holdup does not get to run at all: how much finds no room is certain."""

    def check_sums(self, locks, document, allowed=()):
        oracle.check_sleeps(self, locks, [document])
        oracle.check_wait_time(self, locks, [document])
        coverage = document["coverage"]
        self.assertEqual(
            coverage["events"] + coverage["summarized"],
            document["waits"] + document["idle_waits"],
        )
        self.assertEqual(total(document["locks"], "summarized"), coverage["summarized"])
        self.assertGreater(coverage["summarized"], 50)
        waited = document["wait_ns"] + document["idle_wait_ns"]
        with holdup.clocks():
            self.assertGreater(coverage["summarized_ns"], 0.25 * waited)
        self.assertLess(coverage["summarized_ns"], waited)
        oracle.check_coverage(self, [document], ("summarized", "summarized_ns", *allowed))

    def test_all_of_a_life(self):
        """The process is gone when holdup looks: nobody can name its locks then."""
        for name in ("mutex", "rwlock", "many"):
            with self.subTest(name=name):
                truth, document = observe_deaf(name, "--for", 2, options=["--ring-size", PAGE])
                self.check_sums(oracle.locks_of(truth), document, ["processes_unreadable"])
                # Not even a page of records; all others are sums.
                self.assertLess(document["coverage"]["events"], PAGE // 128)

    def test_for_a_while(self):
        """The process is there when holdup looks: its locks have names, from sums alone if need be,
        and a kind where the memory tells it; a sum without a stack says "futex".
        """
        for name in ("mutex", "rwlock", "many"):
            with self.subTest(name=name), Workload(
                name, "--wait-for-usr1", *PAUSE
            ) as work:
                args = ["--json", "-n", 1000, "--ring-size", PAGE, "-p", work.pid]
                with Running(["locks", *args]) as tool:
                    tool.attached()
                    tool.process.send_signal(signal.SIGSTOP)
                    work.go()
                    holdup.wait_until(lambda: switches(work.pid) > 2000, 30, "2000 switches")
                    tool.process.send_signal(signal.SIGCONT)
                    tool.attached()  # it has read the ring buffer and looked at the process
                    locks = oracle.locks_of(work.stop())
                    out, err = tool.process.communicate(timeout=30)
                self.assertEqual(tool.process.returncode, 0, err)
                document = json.loads(out)
                self.check_sums(locks, document)
                for lock in locks:
                    for row in lock.rows_of(document):
                        self.assertEqual(row["name"].partition("+")[0], lock.name.partition("+")[0])
                        known = {lock.kind} if lock.kind == "mutex" else {lock.kind, "futex"}
                        self.assertIn(row["kind"], known, str(lock))

    def test_a_large_ring_keeps_all(self):
        truth, document = observe_deaf("mutex", "--for", 1)
        oracle.check_coverage(self, [document], ["processes_unreadable"])
        oracle.check_sleeps(self, oracle.locks_of(truth), [document])
        self.assertEqual(document["coverage"]["events"], document["waits"])

    def test_text_says_so(self):
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            path = os.path.join(directory, "report")
            command = ["sh", "-c", DEAF, "sh", holdup.workload("mutex"), "--for", "1", *PAUSE]
            status, _, err = holdup.run(
                ["locks", "--ring-size", PAGE, "-o", path, "--", *command]
            )
            self.assertEqual(status, 0, err)
            with open(path, encoding="utf-8") as report:
                first = report.readline()
        self.assertRegex(first, r"\d+\.\d % of the waits only as totals")
        self.assertNotIn("nothing lost", first)
        self.assertNotIn("LOST", first)


def switches(pid):
    """The voluntary context switches of all threads of a process."""
    count = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as status:
            count += next(int(line.split()[1]) for line in status if line.startswith("voluntary"))
    return count


class HashMutex(Oracle, unittest.TestCase):
    """Without task storage: Linux before 5.11."""

    workload, args, options = "mutex", ("--for", 1), ("--assume", "hash-state")


class HashRwlock(Oracle, unittest.TestCase):
    workload, args, options = "rwlock", ("--for", 1), ("--assume", "hash-state")


class HashSemaphore(Oracle, unittest.TestCase):
    workload, args, options = "sem", ("--for", 1), ("--assume", "hash-state")


class Raw(Oracle):
    """Where typed tracepoints are refused: stacks are walked by frame pointers.  All counts hold,
    and the report says that of stacks it knows little.
    """

    args, options = ("--for", 1), ("--assume", "raw-tracepoints")

    def test_every_stack_is_whole(self):
        coverage = self.document["coverage"]
        self.assertEqual(coverage["stacks_incomplete"], coverage["events"])

    def test_sites(self):
        for row in self.document["locks"]:
            for site in row["sites"]:
                self.assertTrue(site["guessed"])
                self.assertFalse(site["complete"])
                # The leaf is certain, as it is in a register.
                self.assertTrue(site["stack"])
                self.assertTrue(site["stack"][-1]["module"].startswith("libc"), site["stack"])

    def test_kind_and_name(self):
        """A mutex tells its kind by its memory; of the others only the word is known."""
        for lock in self.slept():
            (row,) = lock.rows_of(self.document)
            self.assertEqual(row["name"].partition("+")[0], lock.name)
            self.assertEqual(row["kind"], lock.kind if lock.kind == "mutex" else "futex")


class RawMutex(Raw, unittest.TestCase):
    workload = "mutex"


class RawRwlock(Raw, unittest.TestCase):
    workload = "rwlock"


class RawSemaphore(Raw, unittest.TestCase):
    workload = "sem"


class Assume(unittest.TestCase):
    def test_both(self):
        options = ["--assume", "hash-state", "--assume", "raw-tracepoints"]
        truth, document = oracle.observe("mutex", "--for", 1, options=options)
        oracle.check_sleeps(self, oracle.locks_of(truth), [document])
        oracle.check_coverage(self, [document])

    def test_unknown(self):
        for options in (
            ["--assume", "nothing"],
            ["--assume", "hash-state", "--assume", "nothing"],
        ):
            with self.subTest(options=options):
                status, out, err = holdup.run(["locks", *options, "-d", "100ms"])
                self.assertEqual((status, out), (2, ""), err)
                self.assertIn("nothing", err)


class Killed(unittest.TestCase):
    """However holdup ends, the kernel unloads its programs."""

    def check(self, *args):
        with Workload("storm") as work, Running(["locks", "-p", work.pid, *args]) as tool:
            tool.attached()
            own = holdup.programs_of(tool.pid)
            self.assertGreaterEqual(len(own), 3)
            self.assertLessEqual(own, holdup.bpf_programs())
            status, out, _ = tool.stop(signal.SIGKILL)
            self.assertEqual((status, out), (-signal.SIGKILL, ""))
            # The kernel frees a program a grace period after its last descriptor is closed.
            holdup.wait_until(
                lambda: not own & holdup.bpf_programs(), 20, f"{HOLDUP}'s programs to be unloaded"
            )

    def test_killed(self):
        self.check()

    def test_killed_with_raw_tracepoints(self):
        self.check("--assume", "raw-tracepoints")

    def test_killed_with_a_program(self):
        """The program goes on by itself."""
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            path = os.path.join(directory, "done")
            script = f'kill -KILL "$PPID"; {shlex.quote(holdup.workload("mutex"))} --for 0.3 >"$0"'
            status, out, _ = holdup.run(["locks", "--", "sh", "-c", script, path])
            self.assertEqual((status, out), (-signal.SIGKILL, ""))

            def finished():
                with open(path, encoding="utf-8") as file:
                    return file.read().endswith("]}\n")

            holdup.wait_until(lambda: os.path.exists(path) and finished(), 20, "the program's end")


if __name__ == "__main__":
    unittest.main()
