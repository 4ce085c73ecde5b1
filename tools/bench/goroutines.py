# SPDX-License-Identifier: GPL-2.0-only
"""Go programs (tests/workload/go/load). Reading the goroutines of one beside what stops it for that (delve, gdb): how
long it takes, and the worst tick of a 1 ms ticker in the program meanwhile (ticks). And goroutines that wait for one
lock all the time (waits).
"""

import glob
import json
import os
import subprocess
import tempfile
import time

import children
import dumps
import loads
import watchers
from children import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
GO = os.path.join(HERE, os.pardir, "go")
RELEASE = "1.19"  # that Debian 12's delve knows
BUILD_S, START_S, ANSWER_S = 600, 60, 30
NOTHING_S = 1
TICK_NS = 1_000_000


def build_program(build, name):
    """The program with its symbols and DWARF, which delve and gdb need."""
    command = [f"{GO}/build", f"{build}/go", RELEASE, "plain", name]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    path = f"{build}/go/{RELEASE}-plain/{name}"
    if done.returncode or not os.access(path, os.X_OK):
        raise Failed((done.stdout + done.stderr).strip() or f"{path} was not built")
    return path


class Ticker:
    """A Go program with so many parked goroutines and one that ticks."""

    def __init__(self, path, goroutines):
        self.process = children.start(
            [path, "-goroutines", goroutines], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            children.line_of(self.process, START_S)
            self.late_ms()
            time.sleep(NOTHING_S)
        except Failed:
            self.close()
            raise

    def late_ms(self):
        """How late its worst tick was since this was asked last."""
        self.process.stdin.write(b"worst\n")
        self.process.stdin.flush()
        try:
            worst = json.loads(children.line_of(self.process, ANSWER_S))["worst_ns"]
        except (ValueError, KeyError):
            raise Failed("the ticker's answer is none") from None
        return max(worst - TICK_NS, 0) / 1e6

    def close(self):
        children.end(self.process)


def find_delve():
    """Its path: installed, or Debian's package unpacked; None."""
    found = watchers.program("dlv")
    if found:
        return found
    done = subprocess.run(
        [f"{GO}/fetch", "bookworm/delve"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=BUILD_S, check=False,
    )  # fmt: skip
    return f"{done.stdout.strip()}/usr/bin/dlv" if done.returncode == 0 else None


def goroutines_of_report(text):
    """How many holdup's report has."""
    try:
        return json.loads(text)["goroutine_count"]
    except (ValueError, KeyError):
        raise Failed("holdup printed no report") from None


def number_in_first_line(text):
    """"… ms · 4 threads and 10,006 goroutines of 1 process: …"""
    words = text.split(b"\n")[0].decode().replace(",", "").split()
    return int(words[words.index("goroutines") - 1]) if "goroutines" in words else 0


def tools(build, path, scratch):
    delve, gdb = find_delve(), watchers.program("gdb")
    script = os.path.join(scratch, "delve.txt")
    with open(script, "w", encoding="ascii") as file:
        file.write("goroutines -t 8\nexit\n")
    # It asks whether to kill the process.
    delve_argv = ["sh", "-c", 'pid=$1; shift; echo n | "$0" attach "$pid" "$@"', delve, "PID", path,
                  "--allow-non-terminal-interactive=true", "--init", script]  # fmt: skip
    runtime = glob.glob(os.path.expanduser(f"~/.cache/holdup/go/go-{RELEASE}-*/usr/share/go-{RELEASE}/src/runtime"))
    runtime += glob.glob(f"/usr/share/go-{RELEASE}/src/runtime")
    gdb_argv = [gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", "PID",
                "-ex", f"source {runtime[0] if runtime else ''}/runtime-gdb.py", "-ex", "info goroutines"]  # fmt: skip
    stacks = [f"{build}/holdup", "stacks", "-p", "PID"]
    return [
        dumps.Tool(dumps.BUSY, ["sh", "-c", f"timeout {dumps.BUSY_S} sh -c 'while :; do :; done'; exit 0"],
                   lambda text: 0),
        dumps.Tool("holdup stacks", stacks, number_in_first_line),
        dumps.Tool("holdup stacks --all --json", [*stacks, "--all", "--json"], goroutines_of_report),
        dumps.Tool("delve, with stacks", delve_argv, lambda text: text.count(b"Goroutine "),
                   None if delve else "not installed (Debian: delve)"),
        dumps.Tool("gdb, info goroutines, without stacks", gdb_argv,
                   lambda text: sum(b" waiting " in line or b" running " in line for line in text.split(b"\n")),
                   None if gdb and runtime else "not installed (Debian: gdb), or no Go sources"),
    ]  # fmt: skip


def measure(build, goroutines, rounds, say):
    """(samples by tool's name, "nothing" among them; what is missing and why)"""
    path = build_program(build, "ticks")
    with tempfile.TemporaryDirectory() as scratch:
        known = tools(build, path, scratch)
        chosen = [tool for tool in known if not tool.missing]
        samples = {name: dumps.Samples() for name in ["nothing", *(tool.name for tool in chosen)]}
        for number in range(rounds):
            say(f"go: {goroutines} goroutines, round {number + 1} of {rounds}")
            ticker = Ticker(path, goroutines)
            try:
                dumps.one_round(ticker, chosen, samples)
            finally:
                ticker.close()
    return samples, [(tool.name, tool.missing) for tool in known if tool.missing]


class Fight(loads.Load):
    """Goroutines that want one lock, on one CPU: every turn of it sleeps, or wakes one that must sleep again."""

    operation = "a lock and its unlock"
    note = "8 goroutines want one Mutex, whose holder lets the others run: its turns sleep, on one CPU"

    def __init__(self, build, sample_s):
        self.path = build_program(build, "waits")
        super().__init__(build)
        self.argv, self.sample_s = [self.path, "-how", "yield", "-workers", 8], sample_s

    def prepare(self):
        self.process = children.start(
            self.argv, loads.last_cpu(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "GOMAXPROCS": "1"},
        )  # fmt: skip
        children.line_of(self.process, START_S)

    def now(self):
        """Operations so far, and the program's clock."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        said = json.loads(children.line_of(self.process, ANSWER_S))
        return said["waits"], said["now_ns"]

    def run(self):
        waits, since_ns = self.now()
        time.sleep(self.sample_s)
        more, now_ns = self.now()
        if more == waits:
            raise Failed("no goroutine got the lock")
        return (now_ns - since_ns) / (more - waits)
