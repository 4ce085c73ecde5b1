# SPDX-License-Identifier: GPL-2.0-only
"""The frames of `holdup stacks` beside eu-stack's, in servers and runtimes with hundreds of threads
or processes.
"""

import contextlib
import copy
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import unittest

import compare_eu_stack
import holdup
from hang import Hang


class Comparison(unittest.TestCase):
    """The comparison itself: alike with itself, and no difference goes unseen."""

    def test_it_sees_differences(self):
        with Hang("cxxlocks") as program:
            theirs = compare_eu_stack.eu_stacks(program.pid)[program["teller"].tid]
            paths = compare_eu_stack.paths_of(program.pid)
            self.assertGreater(len(theirs), 5)
            self.assertIsNone(compare_eu_stack.compare_stack(theirs, theirs, paths))
            place = next(i for i, frame in enumerate(theirs) if "transfer" in frame.name)
            for name in ("bank::Teller::transfer()", "bank::Teller::transfer"):
                alike = copy.deepcopy(theirs)
                alike[place].name = name
                self.assertIsNone(compare_eu_stack.compare_stack(alike, theirs, paths), name)
            alike[place - 1].name = "pthread_mutex_lock"  # eu-stack: __pthread_mutex_lock
            self.assertIsNone(compare_eu_stack.compare_stack(alike, theirs, paths))
            for name in ("bank::Teller::set_rates()", "", "pthread_mutex_lock", "main"):
                other = copy.deepcopy(theirs)
                other[place].name = name
                self.assertIsNotNone(compare_eu_stack.compare_stack(other, theirs, paths), name)
            other = copy.deepcopy(theirs)
            other[place].module = "libc.so.6"
            for ours in (other, theirs[:place] + theirs[place + 1 :], theirs[:-1], theirs + theirs[:1]):
                self.assertIsNotNone(compare_eu_stack.compare_stack(ours, theirs, paths))


class Frames(unittest.TestCase):
    def alike(self, pids, least):
        """All stacks of the processes are, and so many threads were compared."""
        total, wrong = 0, []
        for pid in pids:
            compared, differences = compare_eu_stack.compare(pid)
            total += compared
            wrong += differences
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(total, least)

    @holdup.timeout(300)
    def test_c(self):
        with Hang("crowd", "--threads", 1000) as program:
            self.alike([program.pid], 1000)

    def test_holders(self):
        for how in ("sleep", "recv", "poll", "waitpid", "pipe"):
            with self.subTest(how), Hang("holder", "--how", how) as program:
                self.alike([program.pid], 5)

    def test_cxx(self):
        for how in ("mutex", "shared"):
            with self.subTest(how), Hang("cxxlocks", "--how", how) as program:
                self.alike([program.pid], 3)

    def test_rust(self):
        with Hang("deadlock") as program:
            self.alike([program.pid], 3)

    @holdup.timeout(300)
    def test_python(self):
        with Hang("stuck.py", "crowd", 200) as program:
            self.alike([program.pid], 300)

    @holdup.timeout(300)
    def test_java(self):
        with Hang("Stuck", 200) as program:
            self.alike([program.pid], 200)

    @holdup.timeout(300)
    def test_node(self):
        with Hang("stuck.js", 200, env={"UV_THREADPOOL_SIZE": "200"}) as program:
            self.alike([program.pid], 200)

    @holdup.timeout(300)
    def test_postgresql(self):
        """One client has a lock and sleeps; a hundred wait for it, each with a process of its own."""
        with Server(100) as server:
            self.alike(server.processes(), 100)


class Server:
    """PostgreSQL on a socket in a directory of its own, with clients that wait for a lock."""

    SQL = "SELECT pg_advisory_lock(1); SELECT pg_sleep(600);\n"

    def __init__(self, waiters):
        self.waiters = waiters
        places = glob.glob("/usr/lib/postgresql/*/bin") + os.environ["PATH"].split(":")
        self.bin = next(path for path in places if os.path.exists(f"{path}/pgbench"))
        self.user = pwd.getpwnam("postgres")
        self.stack = contextlib.ExitStack()

    def options(self):
        return {
            "user": self.user.pw_uid,
            "group": self.user.pw_gid,
            "extra_groups": [],
            "cwd": self.folder,
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": self.folder},
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }

    def start(self, program, *args, ends_by):
        """In the background, until the end of the block."""
        process = subprocess.Popen([f"{self.bin}/{program}", *args], **self.options())

        def end():
            process.send_signal(ends_by)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self.stack.callback(end)
        return process

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = tempfile.mkdtemp(prefix="holdup-test-")
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.stack = stack
            self.open()
            self.stack = stack.pop_all()
        return self

    def open(self):
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        data, script = f"{self.folder}/data", f"{self.folder}/wait.sql"
        with open(script, "w", encoding="ascii") as file:
            file.write(self.SQL)
        initdb = [f"{self.bin}/initdb", "-D", data, "-A", "trust", "-U", "test", "--no-sync"]
        subprocess.run(initdb, check=True, timeout=60, **self.options())
        settings = ["listen_addresses=", f"max_connections={self.waiters + 20}"]
        settings += ["shared_buffers=16MB", "fsync=off", "autovacuum=off"]
        args = [arg for setting in settings for arg in ("-c", setting)]
        # SIGQUIT is PostgreSQL's immediate shutdown.
        self.server = self.start(
            "postgres", "-D", data, "-k", self.folder, *args, ends_by=signal.SIGQUIT
        )
        holdup.wait_until(lambda: self.is_ready(f"{data}/postmaster.pid"), 30, "PostgreSQL to start")
        clients = ["-n", "-h", self.folder, "-U", "test", "-c", str(self.waiters + 1)]
        self.start("pgbench", *clients, "-t", "1", "-f", script, "postgres", ends_by=signal.SIGKILL)
        holdup.wait_until(self.all_wait, 60, "all clients to wait")

    @staticmethod
    def is_ready(path):
        """It says so in the last line (src/include/utils/pidfile.h, LOCK_FILE_LINE_PM_STATUS)."""
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            return file.read().rstrip().endswith("ready")
        return False

    def children(self):
        """The server's own processes, by what each says it does."""
        with open(
            f"/proc/{self.server.pid}/task/{self.server.pid}/children", encoding="ascii"
        ) as file:
            pids = [int(pid) for pid in file.read().split()]
        titles = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(
                f"/proc/{pid}/cmdline", "rb"
            ) as file:
                titles[pid] = file.read().rstrip(b"\0 ").decode("utf-8", "replace")
        return titles

    def all_wait(self):
        assert self.server.poll() is None, "PostgreSQL ended"
        titles = self.children().values()
        return sum(title.endswith("SELECT waiting") for title in titles) == self.waiters

    def processes(self):
        return [self.server.pid, *self.children()]

    def __exit__(self, *exception):
        self.stack.close()


if __name__ == "__main__":
    unittest.main()
