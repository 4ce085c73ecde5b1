# SPDX-License-Identifier: GPL-2.0-only
"""Integration tests: unittest modules, each in a process of its own, each test bounded in time.

The module's process (child.py) announces every test on a pipe.  When one does not end in its time,
the process is killed, the test fails, and a new process goes on with those that have not run yet.
Tests in which only clocks differed (holdup.clocks) run once more in a process of their own: when all modules have run, so that a
minute in which the machine is busy with something else is over by then.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time

import process
from results import FAIL

START_S = 60  # to import the module and set up its first class
TRIES = 5  # of a test that compares clocks: what is wrong is so each time
PAUSE_S = 20  # before the third and further tries
CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")


class Module:
    """One test module while it runs."""

    def __init__(self, path, results, pattern, env):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0].removeprefix("test_")
        self.results = results
        self.pattern = pattern
        self.env = env
        self.seen = []  # tests that need not run again
        self.failed = []  # those of them that shall, as they compare clocks
        self.tries = 1
        self.running = None

    def full(self, test):
        return f"integration/{self.name}:{test}"

    def run_again(self):
        """Run the tests once more that compare clocks and failed."""
        once_more, self.failed = self.failed, []
        self.seen = [test for test in self.seen if test not in once_more]
        self.tries += 1
        self.run_rest()
        for test in once_more:
            if test not in self.seen:
                self.results.add(self.full(test), FAIL, "failed, and could not run once more")

    def run_rest(self):
        """Run all tests that have not been seen, with as many processes as it takes."""
        self.running = None
        with tempfile.TemporaryFile() as log:
            status, reason = self.run_process(log)
            log.seek(0)
            output = log.read().decode("utf-8", "replace")
        if reason is None and (status != 0 or self.running):
            reason = f"{process.describe_status(status)} in the middle of it"
        if reason is None:
            return
        if self.running is None:
            self.results.add(f"integration/{self.name}", FAIL, reason, output)
            return
        self.results.add(self.full(self.running), FAIL, reason, output)
        self.run_rest()

    def run_process(self, log):
        """One process until its end: (status, None), or (None, why it was ended)."""
        read_fd, write_fd = os.pipe()
        command = [
            sys.executable,
            CHILD,
            self.path,
            str(write_fd),
            json.dumps(self.seen),
            self.pattern or "",
        ]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.env,
            pass_fds=[write_fd],
            start_new_session=True,
        ) as child:
            os.close(write_fd)
            try:
                reason = self.follow(read_fd)
                if reason is None:
                    child.wait(timeout=START_S)
            except subprocess.TimeoutExpired:
                reason = "the module's process does not end"
            finally:
                os.close(read_fd)
                process.end_group(child.pid)
        return child.returncode, reason

    def follow(self, fd):
        """Take the child's announcements until it closes the pipe; why to end it, or None."""
        pending, limit = b"", START_S
        deadline = time.monotonic() + limit
        while True:
            readable, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                return f"no end within {limit} s"
            data = os.read(fd, 65536)
            if not data:
                return None
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                limit = self.take(json.loads(line))
                deadline = time.monotonic() + limit

    def take(self, event):
        """One announcement; how long the next may take to come."""
        if event["event"] == "start":
            self.running = event["test"]
            self.seen.append(self.running)
            return event["timeout_s"]
        if event["event"] == "end":
            self.running = None
            self.take_end(event)
        return START_S

    def take_end(self, event):
        name, reason = self.full(event["test"]), event["reason"]
        if event["outcome"] == FAIL and event.get("clocks") and self.tries < TRIES:
            self.failed.append(event["test"])
            self.results.again(name, reason)
            return
        self.results.add(name, event["outcome"], reason, event["output"], event["seconds"])


def run(tests, build, results, pause_s=PAUSE_S):
    """Run each tests/integration/test_*.py, tests that compare clocks up to TRIES times until they pass."""
    directory = os.path.join(tests, "integration")
    env = dict(
        os.environ,
        HOLDUP_BUILD=build,
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH=os.path.dirname(os.path.abspath(__file__)),
    )
    modules = [
        Module(os.path.join(directory, file), results, results.pattern, env)
        for file in sorted(os.listdir(directory))
        if file.startswith("test_") and file.endswith(".py")
    ]
    for module in modules:
        module.run_rest()
    for tries in range(2, TRIES + 1):
        again = [module for module in modules if module.failed]
        if again and tries > 2:
            time.sleep(pause_s)
        for module in again:
            module.run_again()
