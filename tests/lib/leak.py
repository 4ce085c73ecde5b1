# SPDX-License-Identifier: GPL-2.0-only
"""Programs that leak threads on purpose (tests/workload/leak), and what holdup says about them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import holdup

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workload/leak")
READY_S = 60


def command_of(name, args):
    """How a workload is started."""
    if name.endswith(".py"):
        return [sys.executable, os.path.join(SOURCES, name), *map(str, args)]
    directory, _, base = name.rpartition("/")
    return [holdup.workload(os.path.join(directory, "leak", base)), *map(str, args)]


class Leak:
    """A program that has leaked, or does so, until the end of the block; truth: what it says of itself.

    with Leak("leaks", "--how", "unjoined") as leak:
        leak.truth["suspects"]
    """

    def __init__(self, name, *args):
        self.command = command_of(name, args)

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        # Who does not say in time that it is ready is killed, which ends the reading.
        timer = threading.Timer(READY_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            self.__exit__()
            raise AssertionError(f"{self.command} said nothing")
        self.truth = json.loads(line)
        self.pid = self.truth["pid"]
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdout.close()
        self.process.wait()


def leaks(*options, timeout=90, statuses=(0,)):
    """The document of `holdup leaks`."""
    return holdup.run_json(["leaks", *options], timeout=timeout, statuses=statuses)


def check(name, *args, options=(), timeout=90):
    """(status, truth, findings) of `holdup check -- PROGRAM`; findings are its lines."""
    command = command_of(name, args)
    status, out, err = holdup.run(["check", *options, "--", *command], timeout=timeout)
    lines = out.splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(told) == 1, f"{command}: {out} {err}"
    return status, told[0], [line for line in lines if not line.startswith("{")]


def place(frames):
    """function file:line of the first frame that is none of the C++ or Rust library's."""
    own = [f for f in frames if not f["function"].startswith(("std::", "core::", "alloc::", "<"))]
    frame = (own or frames)[0]
    function = frame["function"].split("(")[0].rpartition("::")[2]
    return function, os.path.basename(frame["file"]), frame["line"]
