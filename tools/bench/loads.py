# SPDX-License-Identifier: GPL-2.0-only
"""What runs while something watches. A load is prepared (so that a watcher can choose its process),
then run once: run() returns nanoseconds an operation."""

import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

import children
from children import Failed


def last_cpu():
    return {max(os.sched_getaffinity(0))}


def other_cpus():
    """Where watchers run while a load has the last CPU to itself."""
    return os.sched_getaffinity(0) - last_cpu() or last_cpu()


class Load:
    """One of the modes of load.c, pinned to the last CPU."""

    pinned, missing, switches = True, None, None  # switches: of threads, in an operation

    def __init__(self, build, *args):
        self.argv = [f"{build}/bench/load", *args]
        self.process = None

    def prepare(self):
        self.process = children.start(
            self.argv, last_cpu(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if children.line_of(self.process, 20) != "ready":
            raise Failed(f"{self.argv[0]} does not start")

    def choice(self):
        return ["-p", str(self.process.pid)]

    def numbers(self):
        """Operations, nanoseconds and sleeps of one run."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return [int(word) for word in children.line_of(self.process, 90).split()]

    def run(self):
        operations, ns, _ = self.numbers()
        return ns / operations

    def done(self):
        if self.process:
            children.end(self.process, signal.SIGKILL)
            self.process = None

    def close(self):
        self.done()


class Getppid(Load):
    operation = "a getppid call"
    note = "system calls of a process that does not wait"

    def __init__(self, build, sample_s):
        super().__init__(build, "getppid", int(sample_s * 1000))


class Threads(Load):
    operation = "a thread"
    note = "threads are created and joined one after the other, on one CPU"

    def __init__(self, build, sample_s):
        super().__init__(build, "threads", int(sample_s * 1000))


class Waits(Load):
    operation, switches = "a wait", 1
    note = "two threads hand each other semaphores on one CPU, 10 frames deep: every turn sleeps"
    DEPTH = 10

    def __init__(self, build, sample_s, depth=DEPTH, rate=0, frame_pointers=False):
        super().__init__(build, "waits", int(sample_s * 1000), depth, rate)
        if frame_pointers:
            self.argv[0] += "-fp"


class Pipe:
    """Two threads and a pipe (perf bench): one operation is two switches, there and back."""

    operation, switches, pinned = "a switch pair", 2, True
    note = "perf bench sched pipe -T on one CPU: switches that are no lock waits"
    CALIBRATE = 20000

    def __init__(self, perf, sample_s):
        self.perf, self.sample_s, self.loops = perf, sample_s, 0
        self.missing = None if perf else "perf is not installed (Debian: linux-perf)"

    def prepare(self):
        if not self.loops:
            self.loops = max(1000, int(self.sample_s * 1e9 / self.measure(self.CALIBRATE)))

    def measure(self, loops):
        text = children.output(
            [self.perf, "bench", "sched", "pipe", "-T", "-l", loops], cpus=last_cpu()
        )
        found = re.search(r"([\d.]+) usecs/op", text)
        if not found:
            raise Failed("perf bench sched pipe printed no time")
        return float(found.group(1)) * 1000

    def choice(self):
        return ["-p", str(os.getpid())]  # some process: this load waits for no lock

    def run(self):
        return self.measure(self.loops)

    def done(self):
        pass

    def close(self):
        pass


class Pgbench:
    """PostgreSQL where all clients update one row; a cluster of its own, reached by a socket."""

    operation, switches, pinned = "a transaction", None, False
    note = "pgbench, 8 clients, scale 1 (all update one row), no disk syncs, on all CPUs"
    CLIENTS = 8
    SETTINGS = {
        "listen_addresses": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "shared_buffers": "64MB",
        "max_connections": "20",
    }

    def __init__(self, sample_s):
        self.seconds = max(1, round(sample_s))
        self.bin = self.find()
        self.missing = self.why_missing()
        self.folder, self.server = None, None

    @staticmethod
    def find():
        by_version = sorted(
            glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4])
        )
        if by_version:
            return by_version[-1]
        return os.path.dirname(shutil.which("initdb") or "") or None

    def why_missing(self):
        if not self.bin:
            return "PostgreSQL is not installed (Debian: postgresql)"
        try:
            self.user = pwd.getpwnam("postgres")
        except KeyError:
            return "there is no user postgres"
        return None

    def as_user(self, name, *args, **options):
        return children.output(
            [f"{self.bin}/{name}", *args],
            user=self.user.pw_uid,
            group=self.user.pw_gid,
            extra_groups=[],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": self.folder},
            **options,
        )

    def open(self):
        self.folder = tempfile.mkdtemp(prefix="holdup-bench-")
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        data = f"{self.folder}/data"
        self.as_user("initdb", "-D", data, "-A", "trust", "-U", "bench", "--no-sync")
        argv = [f"{self.bin}/postgres", "-D", data, "-k", self.folder]
        for name, value in self.SETTINGS.items():
            argv += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown.
        self.server = children.start(
            argv,
            ends_by=signal.SIGINT,
            user=self.user.pw_uid,
            group=self.user.pw_gid,
            extra_groups=[],
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        children.wait_until(self.is_ready, 20, "PostgreSQL starts")
        self.pgbench("-i", "-s", "1", "-q")

    def is_ready(self):
        try:
            return bool(self.as_user("pg_isready", "-h", self.folder))
        except Failed:
            return False

    def pgbench(self, *args):
        return self.as_user("pgbench", "-h", self.folder, "-U", "bench", *args, "postgres")

    def prepare(self):
        if not self.server:
            self.open()

    def choice(self):
        return ["--comm", "postgres"]  # its processes are not there yet

    def run(self):
        text = self.pgbench("-c", self.CLIENTS, "-j", "2", "-M", "prepared", "-T", self.seconds)
        found = re.search(r"tps = ([\d.]+)", text)
        if not found:
            raise Failed("pgbench printed no rate")
        return 1e9 / float(found.group(1))

    def done(self):
        pass

    def close(self):
        if self.server:
            children.end(self.server, signal.SIGINT)
            self.server = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
