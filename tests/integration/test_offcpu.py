# SPDX-License-Identifier: GPL-2.0-only
"""Time off the CPU: every reason by a thread that has it, sums beside the threads' own clocks and /proc's."""

import contextlib
import ctypes
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import holdup

KINDS = ("sleep", "pipe", "sync", "fault", "spin", "spin", "lock", "poll")
ROUSED_NS = 20_000
SWITCHED_NS = 4_000
SLACK_NS = 15_000_000  # a thread's begin and end, which its own clock does not see
# kind: reason, system call, the function in which it is off the CPU, states
WANTED = {
    "sleep": ("sleep", "clock_nanosleep", "do_sleep", "S"),
    "pipe": ("pipe", "read", "do_read", "S"),
    "sync": ("file", "fdatasync", "do_sync", "DS"),
    "fault": ("fault", "", "do_fault", "SD"),
    "spin": ("preempted", "", "work_spin", "R"),
    "lock": ("lock", "futex", "do_lock", "S"),
    "poll": ("poll", "poll", "do_poll", "S"),
}


@functools.lru_cache(maxsize=None)
def schema():
    return json.loads(holdup.run(["--json-schema"])[1])


def valid(document):
    import jsonschema  # guests have none, and do not ask

    jsonschema.validate(document, schema())
    return document


def functions(site):
    return [frame["function"] for frame in site["stack"]]


def offcpu(*args, timeout=60):
    return valid(holdup.run_json(["offcpu", "-n", 1000, *args], timeout=timeout))


@contextlib.contextmanager
def running(*kinds, seconds=30):
    """The workload in the background, in a directory of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = [holdup.workload("offcpu"), "--for", str(seconds), *kinds]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=place) as process:
            try:
                tasks = f"/proc/{process.pid}/task"
                holdup.wait_until(lambda: len(os.listdir(tasks)) > len(kinds), 20, "its threads")
                yield process
            finally:
                process.kill()


class Lives(unittest.TestCase):
    """Threads from their first instruction to their last: nothing is cut off, so all must agree."""

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as place:
            report = os.path.join(place, "report")
            status, out, err = holdup.run(
                ["offcpu", "--by", "thread", "--idle", "--json", "-n", 1000, "-o", report,
                 "--", holdup.workload("offcpu"), "--for", "3", *KINDS],
                timeout=60, cwd=place,
            )  # fmt: skip
            assert status == 0, err
            with open(report, encoding="utf-8") as file:
                cls.document = valid(json.load(file))
        cls.threads = json.loads(out)["threads"]
        cls.rows = {row["tid"]: row for row in cls.document["threads"]}

    def test_nothing_lost(self):
        coverage = self.document["coverage"]
        for name in ("lost", "summarized", "records_lost", "kernel_stacks_lost", "wakers_lost"):
            self.assertEqual(coverage[name], 0, name)

    def test_sums(self):
        """Running, blocked and on a run queue make up a thread's life, as /proc accounts for it."""
        for thread in self.threads:
            row = self.rows[thread["tid"]]
            # Its own clock does not see its first and its last moment.
            unseen = max(self.document["interval_ns"] - thread["life_ns"], 0)
            slack = thread["life_ns"] / 100 + SLACK_NS
            # The kernel counts from when a CPU that it had to rouse has queued the thread, holdup from its waking.
            roused = row["waits"] * ROUSED_NS
            # Neither running nor off the CPU: the switches themselves, and what looks at them.
            switched = row["waits"] * SWITCHED_NS
            for seen, true, less, more in (
                (row["wait_ns"], thread["life_ns"] - thread["run_ns"], switched, 0),
                (row["runqueue_ns"], thread["delay_ns"], 0, roused),
            ):
                with holdup.clocks():
                    self.assertGreaterEqual(seen, true - less - slack, str(thread))
                    self.assertLessEqual(seen, true + more + slack + unseen, str(thread))
            self.assertEqual(row["blocked_ns"] + row["runqueue_ns"], row["wait_ns"])
            for name in ("waits", "blocked_ns", "runqueue_ns"):
                self.assertEqual(row[name], sum(site[name] for site in row["sites"]), name)

    def test_reasons(self):
        for thread in self.threads:
            if thread["kind"] not in WANTED:
                continue
            reason, call, function, states = WANTED[thread["kind"]]
            sites = [
                site
                for site in self.rows[thread["tid"]]["sites"]
                if site["reason"] == reason and function in functions(site)
            ]
            # Who writes before it syncs waits there as well, now and then.
            others = {"pwrite64"} if call == "fdatasync" else set()
            calls = {site["call"] for site in sites}
            self.assertEqual(calls - others, {call}, f"{thread}: {sites}")
            for site in sites:
                self.assertIn(site["state"], states)
                self.assertEqual(site["idle"], reason == "poll")

    @holdup.clocks()
    def test_own_clock(self):
        """What a call took by the thread's own clock is what it was off the CPU in it, but for what it ran."""
        for thread in self.threads:
            if thread["kind"] not in ("sleep", "pipe", "fault", "poll"):
                continue
            function = WANTED[thread["kind"]][2]
            seen = sum(
                site["wait_ns"]
                for site in self.rows[thread["tid"]]["sites"]
                if function in functions(site)
            )
            self.assertLessEqual(seen, thread["off_ns"] * 1.001 + SLACK_NS, str(thread))
            self.assertGreaterEqual(
                seen, thread["off_ns"] * 0.99 - thread["run_ns"] - SLACK_NS, str(thread)
            )

    def test_percentiles(self):
        for row in self.rows.values():
            for stats in (row, *row["sites"]):
                order = [stats[f"{name}_ns"] for name in ("p50", "p95", "p99", "max")]
                self.assertEqual(order, sorted(order))
                if stats["waits"] == 1 and not stats["ongoing"]:
                    self.assertAlmostEqual(
                        stats["p50_ns"], stats["wait_ns"], delta=stats["wait_ns"] / 8 + 128
                    )

    def test_lock(self):
        sites = [s for row in self.rows.values() for s in row["sites"] if s["reason"] == "lock"]
        names = {site["why"] for site in sites if "do_lock" in functions(site)}
        self.assertEqual(names, {"mutex the_lock"})

    def wakers(self, kind):
        (thread,) = [t for t in self.threads if t["kind"] == kind]
        return [w for site in self.rows[thread["tid"]]["sites"] for w in site["wakers"]]

    def test_wakers(self):
        """A timer wakes who sleeps, a thread who reads a pipe or whose page it brings."""
        timers = self.wakers("sleep")
        self.assertTrue(timers)
        most = max(timers, key=lambda waker: waker["wait_ns"])
        self.assertEqual((most["context"], most["tid"]), ("timer", 0))
        tids = {thread["kind"]: thread["tid"] for thread in self.threads}
        for kind, by, function in (
            ("pipe", "write", "work_write"),
            ("fault", "resolve", "work_resolve"),
        ):
            most = max(self.wakers(kind), key=lambda waker: waker["wait_ns"])
            self.assertEqual((most["context"], most["tid"]), ("thread", tids[by]), kind)
            self.assertIn(function, [frame["function"] for frame in most["stack"]])

    def test_kernel_stacks(self):
        found = {
            name
            for row in self.rows.values()
            for site in row["sites"]
            for name in site["kernel_stack"]
        }
        if not any(not name.startswith("[0x") for name in found):
            self.skipTest("this kernel has no names for root")
        for part in ("nanosleep", "pipe_read", "poll", "futex"):
            self.assertTrue([name for name in found if part in name], f"{part}: {found}")


class Reasons(unittest.TestCase):
    """Reasons that somebody else brings about."""

    def reasons_of(self, pid, *args):
        document = offcpu("-p", pid, "-d", "500ms", "--by", "reason", *args)
        return {row["reason"]: row for row in document["reasons"]}

    def test_stopped(self):
        with running("sleep") as process:
            process.send_signal(signal.SIGSTOP)
            holdup.wait_until(
                lambda: "stopped" in self.reasons_of(process.pid), 30, "the stop to be seen"
            )

    def test_traced(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with running("sleep") as process:
            if libc.ptrace(0x4206, process.pid, None, None):  # PTRACE_SEIZE
                self.fail(os.strerror(ctypes.get_errno()))
            libc.ptrace(0x4207, process.pid, None, None)  # PTRACE_INTERRUPT
            os.waitpid(process.pid, 0)
            try:
                found = self.reasons_of(process.pid)
                self.assertIn("traced", found)
            finally:
                libc.ptrace(17, process.pid, None, None)  # PTRACE_DETACH

    def test_throttled(self):
        parent = "/sys/fs/cgroup/cpu"
        if not os.path.exists(f"{parent}/cpu.cfs_quota_us"):
            self.skipTest("offcpu: no cgroup v1 for CPU time here; tests/vm has v2")
        group = f"{parent}/holdup-test-{os.getpid()}"
        os.mkdir(group)
        try:
            for name, value in (("cpu.cfs_period_us", 100000), ("cpu.cfs_quota_us", 10000)):
                with open(f"{group}/{name}", "w", encoding="ascii") as file:
                    file.write(str(value))
            with running("spin") as process:
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write(str(process.pid))

                def share():
                    document = offcpu("-p", process.pid, "-d", "1s")
                    return document["throttled_ns"] > document["interval_ns"] / 2

                holdup.wait_until(share, 60, "most of the time to be throttled")
        finally:
            holdup.wait_until(lambda: not self.members(group), 20, "the group to be empty")
            os.rmdir(group)

    @staticmethod
    def members(group):
        with open(f"{group}/cgroup.procs", encoding="ascii") as file:
            return file.read().split()


class Views(unittest.TestCase):
    def test_ways(self):
        """The same time, however it is divided."""
        with running(*KINDS) as process:
            for by, name in (
                ("stack", "sites"), ("reason", "reasons"), ("process", "processes"),
                ("thread", "threads"), ("waker", "wakers"),
            ):  # fmt: skip
                document = offcpu("-p", process.pid, "-d", "500ms", "--idle", "--by", by)
                total = sum(row["wait_ns"] for row in document[name])
                whole = document["wait_ns"] + document["idle_wait_ns"]
                self.assertAlmostEqual(total, whole, delta=whole / 1000 + 1000, msg=by)
                # Threads and the interval: nobody is off the CPU for longer.
                most = document["interval_ns"] * document["thread_count"]
                self.assertLessEqual(whole, most * 1.001)

    def test_begun_before(self):
        """A thread that sleeps all the while is off the CPU for the interval, with its stack."""
        with subprocess.Popen(["sleep", "600"]) as process:
            try:
                document = offcpu("-p", process.pid, "-d", "700ms")
            finally:
                process.kill()
        (site,) = document["sites"]
        self.assertEqual((site["reason"], site["waits"], site["ongoing"]), ("sleep", 0, 1))
        with holdup.clocks():
            self.assertAlmostEqual(
                site["wait_ns"], document["interval_ns"], delta=document["interval_ns"] / 50
            )
        self.assertIn("__libc_start_call_main", functions(site))

    def test_intervals(self):
        """Each interval has its own part of a wait that goes on."""
        with subprocess.Popen(["sleep", "600"]) as process:
            try:
                status, out, err = holdup.run(
                    ["offcpu", "-p", process.pid, "-i", "300ms", "-d", "1200ms", "--json"]
                )
            finally:
                process.kill()
        self.assertEqual(status, 0, err)
        documents = [valid(json.loads(line)) for line in out.splitlines()]
        self.assertGreaterEqual(len(documents), 2)
        for document in documents:
            (site,) = document["sites"]
            with holdup.clocks():
                self.assertAlmostEqual(
                    site["wait_ns"], document["interval_ns"], delta=document["interval_ns"] / 20
                )

    def test_folded(self):
        with running("sleep", "pipe") as process:
            status, out, err = holdup.run(
                ["offcpu", "-p", process.pid, "-d", "1s", "--folded"], timeout=60
            )
        self.assertEqual(status, 0, err)
        lines = [re.fullmatch(r"(offcpu;.*) (\d+)", line) for line in out.splitlines()]
        self.assertTrue(lines)
        self.assertNotIn(None, lines, out)
        sleeps = [line[1] for line in lines if ";do_sleep;" in line[1]]
        self.assertTrue(sleeps)
        for stack in sleeps:
            frames = stack.split(";")
            self.assertLess(frames.index("work_sleep"), frames.index("do_sleep"))
        # Two sleep, one reads, and the one that joins them waits for work: four seconds in all.
        total = sum(int(line[2]) for line in lines)
        with holdup.clocks():
            self.assertAlmostEqual(total, 4_000_000, delta=2_000_000)

    def test_state_and_min_wait(self):
        with running("sleep", "spin", "spin") as process:
            document = offcpu("-p", process.pid, "-d", "1s", "--state", "R")
            self.assertEqual({site["state"] for site in document["sites"]}, {"R"})
            document = offcpu("-p", process.pid, "-d", "1s", "--min-wait", "1ms")
            sites = [site for site in document["sites"] if site["waits"]]
            self.assertGreaterEqual(min(site["max_ns"] for site in sites), 1000000, sites)

    def test_usage(self):
        for args in (
            ["--by", "lock"], ["--state", "X"], ["--folded", "--json"], ["--sched", "--folded"],
            ["--sched", "--by", "waker"],
        ):  # fmt: skip
            status, out, err = holdup.run(["offcpu", *args])
            self.assertEqual((status, out), (2, ""), err)
            self.assertTrue(err)

    def test_memo(self):
        """Stacks that were not walked anew are those that a walk finds."""
        with running(*KINDS) as process:
            status, _, err = holdup.run(
                ["offcpu", "-p", process.pid, "-d", "2s", "--assume", "check-memo"], timeout=60
            )
        self.assertEqual(status, 0, err)
        found = re.findall(r"of (\d+) remembered (kernel )?stacks (\d+) were wrong", err)
        self.assertEqual(len(found), 2, err)
        for remembered, _, wrong in found:
            self.assertGreater(int(remembered), 100)
            self.assertEqual(int(wrong), 0, err)


class Sched(unittest.TestCase):
    def test_queues(self):
        """Two threads that compute on one CPU: it has two of them, and each waits about half of the time."""
        with running("spin", "spin") as process:
            document = valid(
                holdup.run_json(["offcpu", "--sched", "-d", "2s", "-n", 1000], timeout=60)
            )
        cpu = min(os.sched_getaffinity(0))
        (row,) = [row for row in document["cpus"] if row["cpu"] == cpu]
        self.assertGreaterEqual(row["max"], 2)
        with holdup.clocks():
            self.assertGreater(row["more_than_one"], 0.95)
            self.assertGreaterEqual(row["mean"], 1.9)
        for row in document["cpus"]:
            with holdup.clocks():
                self.assertAlmostEqual(
                    sum(row["length_ns"]),
                    document["interval_ns"],
                    delta=document["interval_ns"] / 20,
                )
            self.assertLessEqual(row["more_than_one"], row["busy"] + 1e-9)
        (own,) = [row for row in document["processes"] if row["pid"] == process.pid]
        with holdup.clocks():
            self.assertGreater(own["runqueue_ns"], document["interval_ns"] * 0.9)
        self.assertEqual(sum(own["below_us"]), own["switches"])

    def test_littles_law(self):
        """Who waits is who is too many: the queues' lengths tell the same as the threads' waits."""
        with running("spin", "spin", "spin"):
            document = valid(
                holdup.run_json(["offcpu", "--sched", "-d", "2s", "-n", 100000], timeout=60)
            )
        waiting_ns = sum(
            max(n - 1, 0) * ns for cpu in document["cpus"] for n, ns in enumerate(cpu["length_ns"])
        )
        with holdup.clocks():
            self.assertAlmostEqual(document["runqueue_ns"] / waiting_ns, 1, delta=0.25)


if __name__ == "__main__":
    sys.exit(unittest.main())
