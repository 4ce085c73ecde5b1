# SPDX-License-Identifier: GPL-2.0-only
"""`holdup threads` beside programs that know the lives of their threads: exact counts, how they
ended, who joined them, where they were created; with each C library, from the start and attached
later.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import holdup
from holdup import Running, run, run_json, wait_until, workload

LIBRARIES = ("", "static/", "musl/", "musl-static/")
# musl has neither timed joins by clock nor versions of them that differ; its names are the same.
WAYS = (
    "joined",
    "joined-late",
    "unjoined",
    "detached-before-end",
    "detached-after-end",
    "detached-anyhow",
    "detached-by-attribute",
    "attribute",
    "exited",
    "cancelled",
    "timed",
    "tried",
    "tried-in-vain",
    "c11",
    "left",
)


def lives(library, way, *args):
    """The command of a workload."""
    return [workload(library + "lives/lives"), way, *map(str, args)]


TRIES = 5  # on a busy machine a workload may be over before holdup comes to look at it
PAUSE_S = 0.5


def watch(command, *options, statuses=(0,)):
    """Run a workload under holdup, which sees it before it creates threads: its truth, and the report."""
    for _ in range(TRIES):
        truth, document = watch_once(command, *options, statuses=statuses)
        coverage = document["coverage"]
        if not coverage["processes_unnamed"] and not coverage["stacks_incomplete"]:
            break
        time.sleep(PAUSE_S)
    return truth, document


def watch_once(command, *options, statuses=(0,)):
    """The same, once."""
    with tempfile.NamedTemporaryFile("r") as report:
        status, out, err = run(
            ["threads", "--json", "-o", report.name, *options, "--", *command], timeout=100
        )
        assert status in statuses, (status, err)
        return json.loads(out.splitlines()[-1] if out else "null"), json.load(report)


def process_of(document, pid):
    """The process of that ID, the first program of it."""
    found = [process for process in document["processes"] if process["pid"] == pid]
    assert found, (pid, document)
    return found[-1]


def site_of(process, truth):
    """The report's sites that create threads in that line."""
    found = []
    for site in process["sites"]:
        for frame in site["created_by"]:
            if (frame["function"], frame["line"]) == (truth["function"], truth["line"]):
                found.append(site)
    return found


class Threads(unittest.TestCase):
    """What all of these have in common."""

    def assert_whole(self, document):
        """Nothing was lost, and everything is as the schema says."""
        coverage = document["coverage"]
        for key in ("lost", "summarized", "calls_lost", "records_lost", "unmatched", "malformed"):
            self.assertEqual(coverage[key], 0, (key, coverage))
        for key in ("stacks_lost", "stacks_incomplete", "probes_failed", "processes_unprobed"):
            self.assertEqual(coverage[key], 0, (key, coverage))

    def assert_sites(self, process, truth, over=True):
        """Each of the workload's places is there, with exact counts."""
        for known in truth["sites"]:
            sites = site_of(process, known)
            self.assertEqual(len(sites), 1, (known, process))
            (site,) = sites
            for key in ("created", "exited", "unjoined"):
                self.assertEqual(site[key], known[key], (key, known, site))
            self.assertEqual(site["live"], known["created"] - known["exited"])
            if known["exited"] and over:
                self.assertEqual(site["ended"][known["ended"]], known["exited"], site["ended"])
        for key in ("created", "exited", "unjoined"):
            self.assertEqual(process[key], sum(site[key] for site in truth["sites"]), key)


def musl_returns(library, truth):
    """A thread of musl's that returns calls pthread_exit() (src/thread/pthread_create.c)."""
    if "musl" in library:
        for site in truth["sites"]:
            if site["ended"] == "returned":
                site["ended"] = "exited"
    return truth


class FromTheStart(Threads):
    """holdup runs the program."""

    def check(self, library, way, *args):
        truth, document = watch(lives(library, way, *args))
        process = process_of(document, truth["pid"])
        self.assert_whole(document)
        self.assert_sites(process, musl_returns(library, truth))
        self.assertTrue(process["joins_known"])
        self.assertTrue(process["over"])
        self.assertEqual(process["live"], 0)
        return process


for library_ in LIBRARIES:
    for way_ in WAYS:

        def method(self, library=library_, way=way_):
            self.check(library, way)

        name_ = "test_" + (library_ + way_).replace("/", "_").replace("-", "_")
        setattr(FromTheStart, name_, method)


class Storm(Threads):
    """Many and short-lived ones."""

    def check(self, library, way, count):
        truth, document = watch(lives(library, way, "--count", count))
        self.assert_whole(document)
        process = process_of(document, truth["pid"])
        self.assert_sites(process, musl_returns(library, truth))
        self.assertEqual(process["created"], count)

    def test_joined(self):
        self.check("", "storm", 50000)

    def test_detached(self):
        self.check("", "storm-detached", 50000)

    def test_musl(self):
        self.check("musl/", "storm", 20000)

    def test_too_many_for_the_buffer(self):
        """What finds no room as a record is counted all the same."""
        truth, document = watch(
            lives("", "storm-detached", "--count", 20000), "--ring-size", "4K"
        )
        process = process_of(document, truth["pid"])
        self.assertEqual(document["coverage"]["lost"], 0, document["coverage"])
        self.assertGreater(document["coverage"]["summarized"], 0)
        self.assertEqual(process["created"], 20000)
        self.assertEqual(process["exited"], 20000)
        self.assertEqual(process["live"], 0)


class Attached(Threads):
    """To processes that run already."""

    def watch_way(self, library, way, *args):
        command = lives(library, way, "--wait-for-usr1", "--stay", *args)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as work:
            try:
                self.assertEqual(work.stdout.readline(), "ready\n")
                with Running(["threads", "--json", "-p", work.pid]) as tool:
                    tool.attached()
                    work.send_signal(signal.SIGUSR1)
                    truth = json.loads(work.stdout.readline())
                    status, out, err = tool.stop()
                    self.assertEqual(status, 0, err)
            finally:
                work.kill()
        return truth, json.loads(out)

    def check(self, library, way, *args):
        truth, document = self.watch_way(library, way, *args)
        self.assert_whole(document)
        process = process_of(document, truth["pid"])
        if way == "left":  # they have not ended yet
            truth["sites"][0]["exited"] = 0
        self.assert_sites(process, musl_returns(library, truth))
        self.assertFalse(process["over"])
        return process

    def test_unjoined(self):
        self.check("", "unjoined")

    def test_static(self):
        self.check("static/", "unjoined")

    def test_musl(self):
        self.check("musl/", "unjoined")

    def test_musl_static(self):
        self.check("musl-static/", "unjoined")

    def test_living(self):
        process = self.check("", "left")
        self.assertEqual(process["live"], 21)
        (site,) = process["sites"]
        self.assertEqual(site["start_routine"][0]["function"], "endless")
        self.assertGreater(site["living"]["oldest_ns"], 0)
        self.assertGreaterEqual(site["living"]["oldest_ns"], site["living"]["median_ns"])
        self.assertGreaterEqual(site["living"]["median_ns"], site["living"]["youngest_ns"])

    def test_older_threads(self):
        """Threads from before the start live at a place that is not known."""
        with subprocess.Popen(
            lives("", "left", "--stay"), stdout=subprocess.PIPE, text=True
        ) as work:
            try:
                work.stdout.readline()
                document = run_json(["threads", "-p", work.pid, "-d", "0.2s"])
            finally:
                work.kill()
        process = process_of(document, work.pid)
        self.assertEqual((process["live"], process["created"], process["exited"]), (21, 0, 0))
        (site,) = process["sites"]
        self.assertEqual((site["origin"], site["live"]), ("before", 20))
        self.assertEqual(site["created_by"], [])


class Processes(Threads):
    """fork, exec, ends."""

    def test_fork(self):
        """The child of a process with threads has one thread, and its own counts."""
        truth, document = watch(lives("", "forked"))
        self.assert_whole(document)
        self.assert_sites(process_of(document, truth["pid"]), truth)
        (child,) = [p for p in document["processes"] if p["pid"] != truth["pid"]]
        self.assertEqual((child["created"], child["joined"], child["unjoined"]), (20, 20, 0))
        self.assertEqual(child["peak"], 2)

    def test_exec(self):
        """By another thread than the first: all threads end with it, the process stays."""
        truth, document = watch(lives("", "exec", "--exec", *lives("", "unjoined")))
        first, second = [p for p in document["processes"] if p["pid"] == truth["pid"]]
        if not first["exec"]:
            first, second = second, first
        self.assertTrue(first["exec"])
        self.assertEqual((first["created"], first["ended"]["exec"]), (21, 21))
        self.assertEqual((second["created"], second["unjoined"]), (20, 20))
        self.assertTrue(second["over"])

    def test_first_thread_ends(self):
        truth, document = watch(lives("", "orphans"), statuses=(128 + signal.SIGALRM,))
        process = process_of(document, truth["pid"])
        self.assertTrue(process["over"])
        self.assertEqual(process["exit_code"] & 0x7F, signal.SIGALRM)
        self.assertEqual(process["ended"]["killed"], 20)

    def test_exit_status(self):
        _, document = watch(["/bin/sh", "-c", lives("", "joined")[0] + " joined; exit 3"], statuses=(3,))
        self.assertEqual(document["processes"][0]["exit_code"], 0)


def probes_of(pid):
    """How many probes a holdup has attached."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += "perf_event" in os.readlink(f"/proc/{pid}/fd/{fd}")
    return count


def own_libc():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if "/libc.so.6" in line)


class OtherLibrary(Threads):
    """One that is mapped only after holdup has attached, and in another mount namespace."""

    def test_mapped_later(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(own_libc(), folder)
            inside = ["mount", "--bind", copy, own_libc()]
            command = lives("", "unjoined", "--wait-for-usr1", "--stay")
            script = f"{shlex.join(inside)} && exec {shlex.join(command)}"
            report = os.path.join(folder, "report")
            with Running(["threads", "-p", os.getpid()]) as tool:
                probes = probes_of(tool.attached().pid)
            args = ["threads", "--json", "-o", report, "--", "unshare", "-m", "sh", "-c", script]
            with Running(args) as tool:
                self.assertEqual(tool.process.stdout.readline(), "ready\n")
                wait_until(lambda: probes_of(tool.pid) >= 2 * probes, 20, "probes")
                (pid,) = (
                    int(pid)
                    for pid in filter(str.isdigit, os.listdir("/proc"))
                    if self.runs(pid, command)
                )
                os.kill(pid, signal.SIGUSR1)
                truth = json.loads(tool.process.stdout.readline())
                os.kill(pid, signal.SIGTERM)
                self.assertEqual(tool.process.wait(30), 0)
            with open(report, encoding="utf-8") as file:
                document = json.load(file)
        self.assertEqual(document["coverage"]["libraries"], 2)
        self.assert_whole(document)
        self.assert_sites(process_of(document, truth["pid"]), truth)

    @staticmethod
    def runs(pid, command):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as line:
                return line.read().split("\0")[:-1] == command
        except (FileNotFoundError, ProcessLookupError):
            return False


class Intervals(Threads):
    """-i shows what has changed."""

    def test_burst(self):
        """Unbounded creation shows in the first interval, and only there."""
        command = lives("", "left", "--wait-for-usr1", "--stay", "--count", 300)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as work:
            try:
                self.assertEqual(work.stdout.readline(), "ready\n")
                with Running(["threads", "--json", "-p", work.pid, "-i", "1s"]) as tool:
                    tool.attached()
                    work.send_signal(signal.SIGUSR1)
                    work.stdout.readline()
                    documents = []
                    while sum(p["created"] for d in documents for p in d["processes"]) < 300:
                        documents.append(json.loads(tool.process.stdout.readline()))
                        self.assertLess(len(documents), 30)
                    documents.append(json.loads(tool.process.stdout.readline()))
            finally:
                work.kill()
        last = process_of(documents[-1], work.pid)
        self.assertEqual((last["created"], last["live"], last["live_change"]), (0, 301, 0))
        of_it = [p for d in documents for p in d["processes"] if p["pid"] == work.pid]
        changes = [p["live_change"] for p in of_it]  # with one thread it may not be told
        self.assertEqual(sum(changes), 300)


class CommandLine(unittest.TestCase):
    def test_help(self):
        status, out, _ = run(["threads", "--help"])
        self.assertEqual(status, 0)
        self.assertIn("holdup threads", out)

    def test_unknown_process(self):
        status, _, err = run(["threads", "-p", "4194303"])
        self.assertEqual((status, "no process 4194303" in err), (1, True), err)

    def test_options_of_others(self):
        status, _, err = run(["threads", "--idle"])
        self.assertEqual(status, 2, err)

    def test_nothing_remains(self):
        """The probes are gone with holdup."""
        watch(lives("", "joined"))
        wait_until(lambda: not holdup.bpf_programs(), 10, "programs to be freed")

    def test_schema(self):
        """Every document is as the schema says."""
        import jsonschema

        schema = json.loads(run(["--json-schema"])[1])
        for way in ("unjoined", "c11", "left", "exec"):
            args = ("--exec", "/bin/true") if way == "exec" else ()
            jsonschema.validate(watch(lives("", way, *args))[1], schema)


if __name__ == "__main__":
    os.environ.setdefault("HOLDUP_BUILD", "build")
    unittest.main()
