# SPDX-License-Identifier: GPL-2.0-only
"""`holdup stacks` beside what stops a program for the same answer: how long it takes, and how late the
program's own heartbeat comes meanwhile (tests/workload/hang/crowd)."""

import json
import os
import random
import signal
import subprocess
import tempfile
import time

import children
import watchers
from children import Failed

START_S = 60  # for 10,000 threads on a machine with other things to do
ANSWER_S = 20
DUMP_S = 45  # the crowd ends by itself after two minutes
NOTHING_S = 1
BUSY_S = 0.5
WINDOW_S = 3  # 3,000 beats
BUSY = f"a CPU busy for {BUSY_S} s"


class Crowd:
    """A process with so many blocked threads, and one that wakes up each millisecond."""

    def __init__(self, build, threads, how="blocked"):
        program = f"{build}/tests/workload/hang/crowd"
        if not os.access(program, os.X_OK):
            raise Failed(f"there is no {program}: run 'make bench'")
        command = [program, "--threads", threads, "--how", how]
        self.process = children.start(command, stdout=subprocess.PIPE)
        try:
            children.line_of(self.process, START_S)
            self.late_ms()
            time.sleep(NOTHING_S)  # the last threads get to their sleeps
        except Failed:
            self.close()
            raise

    def beats(self):
        """What the heartbeat says of itself since this was asked last."""
        self.process.send_signal(signal.SIGUSR1)
        try:
            return json.loads(children.line_of(self.process, ANSWER_S))
        except ValueError:
            raise Failed("the crowd's answer is none") from None

    def late_ms(self):
        """How late the heartbeat was at most since this was asked last."""
        return self.beats()["late_max_ns"] / 1e6

    def close(self):
        children.end(self.process, signal.SIGKILL)


class Tool:
    """argv takes the PID where it says PID. threads: how many stacks its output has."""

    def __init__(self, name, argv, threads, missing=None):
        self.name, self.argv, self.threads, self.missing = name, argv, threads, missing

    def dump(self, pid):
        """Seconds, and the threads in what it printed; Failed when it takes too long."""
        argv = [str(pid) if arg == "PID" else arg for arg in self.argv]
        with tempfile.TemporaryFile() as out:
            started = time.monotonic()
            process = children.start(argv, stdout=out, stderr=subprocess.DEVNULL)
            try:
                process.wait(DUMP_S)
            except subprocess.TimeoutExpired:
                raise Failed(f"not done within {DUMP_S} s") from None
            finally:
                seconds = time.monotonic() - started
                status = children.end(process, signal.SIGKILL)
            if status:
                raise Failed(f"failed ({status})")
            out.seek(0)
            return seconds, self.threads(out.read())


def lines_with(start):
    return lambda text: sum(line.startswith(start) for line in text.split(b"\n"))


def threads_of_report(text):
    try:
        return json.loads(text)["coverage"]["events"]
    except (ValueError, KeyError):
        raise Failed("holdup printed no report") from None


def number_in_first_line(text):
    """"… ms · 10,004 threads of 1 process: …"""
    words = text.split(b"\n")[0].decode().replace(",", "").split()
    return int(words[words.index("threads") - 1]) if "threads" in words else 0


def tools(build):
    eu, gdb = watchers.program("eu-stack"), watchers.program("gdb")
    gdb_argv = ["-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", "PID",
                "-ex", "thread apply all backtrace"]  # fmt: skip
    stacks = [f"{build}/holdup", "stacks", "-p", "PID"]
    # As much of a CPU without a look at the target: what the scheduler alone makes late.
    busy = ["sh", "-c", f"timeout {BUSY_S} sh -c 'while :; do :; done'; exit 0"]
    return [
        Tool(BUSY, busy, lambda text: 0),
        Tool("holdup stacks", stacks, number_in_first_line),
        Tool("holdup stacks --all --json", [*stacks, "--all", "--json"], threads_of_report),
        Tool("eu-stack", [eu, "-p", "PID"], lines_with(b"TID "),
             None if eu else "not installed (Debian: elfutils)"),
        Tool("gdb", [gdb, *gdb_argv], lines_with(b"Thread "),
             None if gdb else "not installed (Debian: gdb)"),
    ]  # fmt: skip


class Samples:
    """Of one tool at one size."""

    def __init__(self):
        self.seconds, self.late_ms, self.threads, self.failed = [], [], [], None


def one_round(crowd, chosen, samples):
    crowd.late_ms()
    time.sleep(NOTHING_S)
    samples["nothing"].late_ms.append(crowd.late_ms())
    for tool in chosen:
        found = samples[tool.name]
        if found.failed:
            continue
        crowd.late_ms()
        try:
            seconds, threads = tool.dump(crowd.process.pid)
            found.seconds.append(seconds)
            found.threads.append(threads)
        except Failed as error:
            found.failed = str(error)
            # A tracer that ends early leaves the stop behind with which it attached.
            crowd.process.send_signal(signal.SIGCONT)
        found.late_ms.append(crowd.late_ms())


def measure(build, threads, rounds, say):
    """Samples by tool's name, "nothing" among them; a new crowd each round."""
    chosen = [tool for tool in tools(build) if not tool.missing]
    samples = {name: Samples() for name in ["nothing", *(tool.name for tool in chosen)]}
    for number in range(rounds):
        say(f"stacks: {threads} threads, round {number + 1} of {rounds}")
        crowd = Crowd(build, threads)
        try:
            one_round(crowd, chosen, samples)
        finally:
            crowd.close()
    return samples


# ---- the heartbeat alone, in many short windows next to each other


class Window:
    """How late the beats of a window were (microseconds), and how often its tool looked meanwhile."""

    def __init__(self, beats, looks):
        self.median, self.p999, self.worst = (
            beats[f"late_{name}_ns"] / 1000 for name in ("p50", "p999", "max")
        )
        self.looks = looks


def look_on(crowd, tool, seconds):
    """The window of a tool that looks again and again; without one, nobody does."""
    crowd.beats()
    end, looks = time.monotonic() + seconds, 0
    if not tool:
        time.sleep(seconds)
    while tool and time.monotonic() < end:
        tool.dump(crowd.process.pid)
        looks += 1
    return Window(crowd.beats(), looks)


def heartbeat(build, threads, how, rounds, say):
    """{who looks: its windows}, in groups of one each, in an order of chance.

    The tools that stop the target look once in each group.
    """
    known = {tool.name: tool for tool in tools(build) if not tool.missing}
    names = ["nobody", BUSY, "holdup stacks", "eu-stack", "gdb"]
    windows = {name: [] for name in names if name == "nobody" or name in known}
    for number in range(rounds):
        say(f"heartbeat, {how}: {threads} threads, round {number + 1} of {rounds}")
        crowd = Crowd(build, threads, how)
        try:
            order = list(windows)
            random.shuffle(order)
            for name in order:
                once = name in ("eu-stack", "gdb")
                window = look_on(crowd, known.get(name), 0.001 if once else WINDOW_S)
                windows[name].append(window)
        finally:
            crowd.close()
    return windows
