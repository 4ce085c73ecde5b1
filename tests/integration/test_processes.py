# SPDX-License-Identifier: GPL-2.0-only
"""Which processes `holdup locks` watches, and what happens to them meanwhile: attached to while
they run, forked, executed anew, killed, gone.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import holdup
import oracle
from holdup import Running, Workload, wait_until, workload
from oracle import total

# Python threads wait for a lock, and one of them runs another program; MAIN or OTHER does so.
EXEC = """
import os, sys, threading
lock, ready = threading.Lock(), threading.Barrier(5)
lock.acquire()
def wait():
    ready.wait()
    lock.acquire()
def replace():
    ready.wait()
    while sum(state(tid) == "S" for tid in os.listdir("/proc/self/task")) < SLEEPERS:
        os.sched_yield()
    os.execv(sys.argv[2], sys.argv[2:])
def state(tid):
    try:
        return open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
for i in range(3):
    threading.Thread(target=wait, daemon=True).start()
if sys.argv[1] == "main":
    threading.Thread(target=ready.wait, daemon=True).start()
    SLEEPERS = 3
    replace()
else:
    SLEEPERS = 4  # the main thread joins
    thread = threading.Thread(target=replace)
    thread.start()
    ready.wait()
    thread.join()
"""


def waiting_threads(pid):
    """How many threads of a process sleep in a futex call."""
    count = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(
            f"/proc/{pid}/task/{tid}/wchan", encoding="ascii", errors="replace"
        ) as wchan:
            count += "futex" in wchan.read()
    return count


def watch_all(test, works, args, number=signal.SIGINT, options=()):
    """Attach to processes that have not begun, let them run to their end: truths and the report.

    `args` chooses the processes; holdup is told to end if it does not by itself.
    """
    with Running(["locks", "--json", "--idle", "-n", 1000, *args, *options]) as tool:
        tool.attached()
        for work in works:
            work.go()
        truths = [work.wait() for work in works]
        if number is None:
            out, err = tool.process.communicate(timeout=30)
            status = tool.process.returncode
        else:
            status, out, err = tool.stop(number)
    test.assertEqual(status, 0, err)
    return truths, json.loads(out)


def pids_of(document):
    """The processes of a report."""
    return {row["pid"] for row in document["locks"]}


class Chosen(unittest.TestCase):
    """Two alike; one is asked for."""

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.one, self.other = (
            stack.enter_context(Workload("mutex", "--count", 200, "--wait-for-usr1"))
            for _ in range(2)
        )

    def check(self, args, pids, number=signal.SIGINT):
        truths, document = watch_all(self, [self.one, self.other], args, number)
        self.assertEqual(pids_of(document), pids)
        wanted = [truth for truth in truths if truth["pid"] in pids]
        self.assertEqual(len(wanted), len(pids))
        for truth in wanted:
            locks = oracle.locks_of(truth)
            oracle.check_sleeps(self, locks, [document])
            oracle.check_wait_time(self, locks, [document])
        oracle.check_coverage(self, [document])
        return document

    def test_pid(self):
        """Ends by itself when the process has ended."""
        self.check(["-p", self.one.pid], {self.one.pid}, None)

    def test_pids(self):
        pids = {self.one.pid, self.other.pid}
        self.check(["-p", ",".join(map(str, pids))], pids, None)

    def test_whole_machine(self):
        truths, document = watch_all(self, [self.one, self.other], [])
        for truth in truths:
            oracle.check_sleeps(self, oracle.locks_of(truth), [document])

    def test_comm(self):
        """The leader's name, whatever its threads are called."""
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            path = shutil.copy(workload("mutex"), os.path.join(directory, f"cm{os.getpid()}"))
            with Workload(path, "--count", 200, "--wait-for-usr1") as self.other:
                name = os.path.basename(path)
                document = self.check(["--comm", f"c?[0-9]{name[3:]}*"], {self.other.pid})
        self.assertEqual({row["comm"] for row in document["locks"]}, {name})

    def test_comm_that_nothing_has(self):
        self.check(["--comm", "no such*"], set())

    def test_cgroup(self):
        """The processes in it and below."""
        with cgroup() as directory:
            below = os.path.join(directory, "below")
            os.mkdir(below)
            try:
                with open(os.path.join(below, "cgroup.procs"), "w", encoding="ascii") as procs:
                    procs.write(str(self.one.pid))
                document = self.check(["--cgroup", directory], {self.one.pid})
                for row in document["locks"]:
                    self.assertTrue(below.endswith(row["cgroup"]), row["cgroup"])
                    self.assertIn(os.path.basename(directory), row["cgroup"])
                self.one.wait()
            finally:
                wait_until(lambda: removed(below), 10, f"{below} to be empty")

    def test_no_cgroup(self):
        for path, said in (("/nonexistent", "/nonexistent"), ("/proc", "cgroup v2")):
            status, out, err = holdup.run(["locks", "--cgroup", path, "-d", "100ms"])
            self.assertEqual((status, out), (1, ""))
            self.assertIn(said, err)


def removed(directory):
    """rmdir() of a cgroup, which fails while its processes have not been collected."""
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def cgroup():
    """A fresh cgroup v2 directory."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        roots = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    with contextlib.ExitStack() as stack:
        if not roots:
            own = stack.enter_context(tempfile.TemporaryDirectory(prefix="holdup-test-"))
            subprocess.run(["mount", "-t", "cgroup2", "none", own], check=True)
            stack.callback(subprocess.run, ["umount", own], check=True)
            roots = [own]
        directory = tempfile.mkdtemp(prefix="holdup-test-", dir=roots[0])
        try:
            yield directory
        finally:
            wait_until(lambda: removed(directory), 10, f"{directory} to be empty")


class Thread(unittest.TestCase):
    def test_one_thread(self):
        """Its sleeps are its voluntary switches: it pauses never, and holds by computing."""
        with Workload("mutex", "--threads", 3, "--pause", 1000) as work:
            wait_until(lambda: waiting_threads(work.pid) >= 1, 20, "threads to wait")
            tids = sorted(map(int, os.listdir(f"/proc/{work.pid}/task")))
            self.assertEqual(len(tids), 4)
            with Running(["locks", "--json", "-t", tids[1]]) as tool:
                tool.attached()
                began = voluntary(work.pid, tids[1])
                wait_until(lambda: voluntary(work.pid, tids[1]) > began + 200, 30, "waits")
                status, out, err = tool.stop()
                most = voluntary(work.pid, tids[1]) - began
            self.assertEqual(status, 0, err)
            document = json.loads(out)
            row = holdup.lock_named(document["locks"], "ledger_lock")
            self.assertEqual(row["pid"], work.pid)
            self.assertGreater(row["sleeps"], 20)
            # Each hold is a switch as well; more than these few more than `most` would be others'.
            self.assertLessEqual(row["sleeps"], most + 20)
            self.assertLessEqual(row["wait_ns"], document["interval_ns"])
            self.assertEqual(row["waiters_max"], 1)

    def test_no_such_thread(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        status, out, err = holdup.run(["locks", "-t", ended.pid, "-d", "100ms"])
        self.assertEqual((status, out), (1, ""))
        self.assertIn(str(ended.pid), err)


def voluntary(pid, tid):
    """The voluntary context switches of a thread."""
    with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary"))


class Attached(unittest.TestCase):
    """To a process that has long been running: only what falls into the interval."""

    def test_part_of_its_life(self):
        with Workload("mutex") as work:
            wait_until(lambda: waiting_threads(work.pid) >= 2, 20, "threads to wait")
            document = holdup.run_json(["locks", "-p", work.pid, "-d", "1s"])
            (lock,) = oracle.locks_of(work.stop())
        (row,) = lock.rows_of(document)
        self.assertEqual((row["name"], row["kind"]), ("ledger_lock", "mutex"))
        self.assertGreaterEqual(document["interval_ns"], 1e9)
        # One of four has the lock, the others wait.  A wait that had begun before is not seen.
        self.assertLessEqual(row["wait_ns"], 4 * document["interval_ns"])
        with holdup.clocks():
            self.assertGreater(row["wait_ns"], 0.5 * document["interval_ns"])
        self.assertLess(row["sleeps"], lock.sleeps)
        self.assertGreater(row["sleeps"], 50)
        self.assertEqual(row["waiters_max"], 3)
        self.assertIn(row["waiters_now"], (1, 2, 3))
        self.assertGreater(row["ongoing"], 0)
        oracle.check_coverage(self, [document])

    def test_killed_while_it_waits(self):
        """What was waited until then counts, and still has its name."""
        with Workload("mutex", "--hold", 10_000_000, "--wait-for-usr1") as work:
            with Running(["locks", "--json", "-p", work.pid]) as tool:
                tool.attached()
                before = time.monotonic_ns()
                work.go()
                wait_until(lambda: waiting_threads(work.pid) == 3, 9, "three threads to wait")
                all_waiting = time.monotonic_ns()
                # Long enough for the bound below to mean something.
                wait_until(lambda: time.monotonic_ns() - all_waiting > 3e8, 9)
                killed = time.monotonic_ns()
                work.process.kill()
                work.process.wait()
                gone = time.monotonic_ns()
                out, err = tool.process.communicate(timeout=30)
        self.assertEqual(tool.process.returncode, 0, err)
        document = json.loads(out)
        row = holdup.lock_named(document["locks"], "ledger_lock")
        self.assertEqual((row["kind"], row["waits"], row["sleeps"]), ("mutex", 3, 3))
        self.assertGreaterEqual(row["wait_ns"], 3 * (killed - all_waiting))
        self.assertLessEqual(row["wait_ns"], 3 * (gone - before))
        self.assertEqual(row["waiters_now"], 0)
        oracle.check_coverage(self, [document])

    def test_waits_that_go_on(self):
        """Counted with their time so far."""
        with Workload("mutex", "--hold", 10_000_000, "--wait-for-usr1") as work:
            with Running(["locks", "--json", "-p", work.pid]) as tool:
                tool.attached()
                work.go()
                wait_until(lambda: waiting_threads(work.pid) == 3, 9, "three threads to wait")
                all_waiting = time.monotonic_ns()
                wait_until(lambda: time.monotonic_ns() - all_waiting > 3e8, 9)
                told = time.monotonic_ns()
                status, out, err = tool.stop()
        self.assertEqual(status, 0, err)
        document = json.loads(out)
        row = holdup.lock_named(document["locks"], "ledger_lock")
        self.assertEqual((row["waits"], row["ongoing"], row["waiters_now"]), (3, 3, 3))
        self.assertGreaterEqual(row["wait_ns"], 3 * (told - all_waiting))
        self.assertLessEqual(row["wait_ns"], 3 * document["interval_ns"])

    def test_waits_that_began_before(self):
        """A program that hangs already: who waits, for what, who holds it and where that one is."""
        with Workload("mutex", "--hold", 10_000_000, "--wait-for-usr1") as work:
            work.go()
            wait_until(lambda: waiting_threads(work.pid) == 3, 9, "three threads to wait")
            status, out, err = holdup.run(["locks", "--json", "-p", work.pid, "-d", "500ms"])
        self.assertEqual(status, 0, err)
        document = json.loads(out)
        row = holdup.lock_named(document["locks"], "ledger_lock")
        self.assertEqual((row["kind"], row["waits"], row["began_before"]), ("mutex", 3, 3))
        self.assertEqual((row["ongoing"], row["waiters_now"]), (3, 3))
        self.assertEqual(document["coverage"]["stacks_incomplete"], 0)
        with holdup.clocks():
            self.assertGreater(row["wait_ns"], 3 * 400_000_000)
        self.assertLessEqual(row["wait_ns"], 3 * document["interval_ns"])
        chain = ["update_ledger", "handle_order", "worker"]
        functions = [frame["function"] for frame in row["sites"][0]["stack"]]
        self.assertEqual([name for name in functions if name in chain], chain)
        (holder,) = row["holders"]
        self.assertEqual((holder["known_by"], holder["wait_ns"]), ("owner", row["wait_ns"]))
        where = [frame["function"] for frame in holder["stack"]]
        self.assertEqual([name for name in where if name in chain], chain)
        self.assertTrue(any("nanosleep" in name for name in where), where)

    def test_only_who_holds_is_seen_holding(self):
        """Threads that held the lock a moment ago and wait for it now are not where the holder is."""
        with Workload("mutex", "--hold", 40_000, "--wait-for-usr1") as work:
            work.go()
            wait_until(lambda: waiting_threads(work.pid) == 3, 9, "three threads to wait")
            for _ in range(3):
                args = ["locks", "--json", "-p", work.pid, "-d", "400ms"]
                status, out, err = holdup.run(args)
                self.assertEqual(status, 0, err)
                row = holdup.lock_named(json.loads(out)["locks"], "ledger_lock")
                seen = [h for h in row["holders"] if h.get("seen") == "leaving the CPU"]
                self.assertTrue(seen, row["holders"])
                for holder in seen:
                    functions = [frame["function"] for frame in holder["stack"]]
                    self.assertNotIn("pthread_mutex_lock", functions, holder["tid"])


class Lives(unittest.TestCase):
    def test_children_are_followed(self):
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            paths = [os.path.join(directory, name) for name in "abc"]
            runs = [
                f"{shlex.quote(workload(name))} --for 1 >{shlex.quote(path)}"
                for name, path in zip(("mutex", "mutex", "sem"), paths)
            ]
            script = f"{runs[0]} & (sh -c {shlex.quote(runs[1])}) & {runs[2]} & wait"
            _, (document,), _ = oracle.watch(["sh", "-c", script])
            truths = []
            for path in paths:
                with open(path, encoding="utf-8") as file:
                    truths.append(json.load(file))
        self.assertEqual(len({truth["pid"] for truth in truths}), 3)
        for truth in truths:
            locks = oracle.locks_of(truth)
            oracle.check_sleeps(self, locks, [document])
            oracle.check_wait_time(self, locks, [document])
            (row,) = locks[0].rows_of(document)
            self.assertEqual((row["name"], row["kind"]), (locks[0].name, locks[0].kind))
        oracle.check_coverage(self, [document])

    def test_exec_keeps_the_programs_apart(self):
        """Waits before the exec are never said to be of the program after it, however late holdup
        looks at the process.
        """
        script = 'kill -STOP "$PPID"; "$@"; status=$?; kill -CONT "$PPID"; exit $status'
        command = [sys.executable, "-c", EXEC, "main", workload("mutex"), "--for", "0.2"]
        for late in (False, True):
            with self.subTest(late=late):
                before = ["sh", "-c", script, "sh"] if late else []
                _, (document,), _ = oracle.watch([*before, *command])
                for row in document["locks"]:
                    if row["name"] != "ledger_lock":
                        self.assertNotEqual(row["exe"], workload("mutex"), row["name"])

    def test_exec_while_others_wait(self):
        """The others end, the process has another address space, and the same PID."""
        for who in ("main", "other"):
            with self.subTest(who=who):
                command = [sys.executable, "-c", EXEC, who, workload("mutex"), "--for", "0.5"]
                out, (document,), _ = oracle.watch(command)
                truth = json.loads(out)
                (lock,) = oracle.locks_of(truth)
                row = holdup.lock_named(document["locks"], "ledger_lock")
                self.assertEqual(row["pid"], truth["pid"])
                self.assertEqual(row["exe"], workload("mutex"))
                self.assertEqual(row["kind"], "mutex")
                self.assertEqual(row["sleeps"], lock.sleeps)
                oracle.check_wait_time(self, [lock], [document])
                # Those that the exec ended: their waits are of the program that was there before.
                before = [one for one in document["locks"] if one["name"] != "ledger_lock"]
                self.assertGreaterEqual(total(before, "sleeps"), 3)
                self.assertEqual({one["pid"] for one in before}, {truth["pid"]})
                oracle.check_coverage(self, [document])


class Program(unittest.TestCase):
    """`-- PROGRAM`: its life is holdup's, and so is its exit status."""

    def test_exit_status(self):
        for script, expected in (("exit 0", 0), ("exit 7", 7), ("exit 255", 255)):
            with self.subTest(script=script):
                status, _, err = holdup.run(["locks", "-o", "/dev/null", "--", "sh", "-c", script])
                self.assertEqual(status, expected, err)

    def test_killed(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
            with self.subTest(number=number):
                script = f"ulimit -c 0; kill -{int(number)} $$"
                status, _, err = holdup.run(["locks", "-o", "/dev/null", "--", "sh", "-c", script])
                self.assertEqual(status, 128 + number, err)

    def test_not_found(self):
        for program in ("/nonexistent/program", "no-such-program-anywhere"):
            status, out, err = holdup.run(["locks", "--", program])
            self.assertEqual((status, out), (127, ""))
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn(program, err)

    def test_not_executable(self):
        status, out, err = holdup.run(["locks", "--", "/dev/null"])
        self.assertEqual((status, out), (126, ""))
        self.assertIn("/dev/null", err)

    def test_missing(self):
        self.assertEqual(holdup.run(["locks", "--"])[0], 2)

    def test_its_input_is_its_own(self):
        status, out, err = holdup.run(["locks", "-o", "/dev/null", "--", "cat"], stdin="line\n")
        self.assertEqual((status, out), (0, "line\n"), err)

    def test_longer_than_the_duration(self):
        """The report is of -d; the program goes on to its end."""
        out, (document,), _ = oracle.watch([workload("mutex"), "--for", "1"], "-d", "300ms")
        (lock,) = oracle.locks_of(json.loads(out))
        self.assertLess(document["interval_ns"], 1e9)
        self.assertGreater(document["waits"], 0)
        self.assertLess(document["sleeps"], lock.sleeps)

    def test_interrupted(self):
        """Ctrl-C reaches the program too: both end, with report and truth."""
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            path = os.path.join(directory, "report")
            args = ["locks", "--json", "-o", path, "--", workload("mutex"), "--until-told"]
            with subprocess.Popen(
                [holdup.HOLDUP, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as process:
                try:
                    child = wait_until(lambda: child_of(process.pid), 20, "the program's start")
                    # The mask that the workload needs is set before its threads are made.
                    wait_until(lambda: waiting_threads(child) >= 2, 20, "threads to wait")
                    os.killpg(process.pid, signal.SIGINT)
                    out, err = process.communicate(timeout=30)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
            self.assertEqual(process.returncode, 0, err)
            (document,) = oracle.read_documents(path)
        (lock,) = oracle.locks_of(json.loads(out))
        row = holdup.lock_named(document["locks"], "ledger_lock")
        self.assertGreater(row["sleeps"], 0)
        # The report is made while the program ends.
        self.assertLessEqual(row["sleeps"], lock.sleeps + row["ongoing"])


def child_of(pid):
    """The one child of a process, or None."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        pids = children.read().split()
    return int(pids[0]) if pids else None


if __name__ == "__main__":
    unittest.main()
