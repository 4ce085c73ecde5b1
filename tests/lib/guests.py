# SPDX-License-Identifier: GPL-2.0-only
"""Tests on other kernels: shell scripts that run as root in a qemu guest (tools/vm/run).

A series is a kernel's version or "newest", for this machine's architecture; "arm64-6.12" is one of
another architecture, for which holdup is built and a root file system made (tools/vm/fetch-root).
"""

import os
import shlex
import shutil
import subprocess
import time

import process
from results import FAIL, PASS, SKIP

FETCH_S = 600
GUEST_S = 450  # a bound for what hangs: on a busy machine one script takes up to 300
SKIPPED = (
    77  # exit status of a script, and of fetch-kernel; the last line of its output is the reason
)


# What an architecture's guests need on this machine besides tools/vm's own needs.
FOREIGN = {
    "arm64": ("qemu-system-aarch64", "aarch64-linux-gnu-ld", "clang"),
}
BUILD_S = 600


class Unavailable(Exception):
    """No such guest: (outcome, reason)."""


def ask(command, seconds, what):
    """The output of one of tools/vm's programs; Unavailable with its last words."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(FAIL, f"no {what}: no end within {seconds} s") from None
    if done.returncode != 0:
        outcome = SKIP if done.returncode == SKIPPED else FAIL
        raise Unavailable(outcome, f"no {what}: {last_line(done.stderr)}")
    return done.stdout.strip()


class Guest:
    """What it takes to boot a series: the kernel, and for another architecture a root and a build."""

    def __init__(self, top, build, series):
        self.options, self.build = [], build
        vm = os.path.join(top, "tools", "vm")
        arch, _, version = series.rpartition("-")
        fetch = [os.path.join(vm, "fetch-kernel")]
        if arch:
            self._foreign(top, vm, arch)
            fetch += ["--arch", arch]
        self.packages = ask([*fetch, version], FETCH_S, f"{series} kernel")

    def _foreign(self, top, vm, arch):
        for program in FOREIGN.get(arch, ()):
            if not shutil.which(program):
                raise Unavailable(
                    SKIP, f"no {arch} guest: {program} is not installed: tools/deps installs it"
                )
        if arch not in FOREIGN:
            raise Unavailable(FAIL, f"no {arch} guest: not an architecture that holdup knows")
        root = ask([os.path.join(vm, "fetch-root"), arch], FETCH_S, f"{arch} guest")
        make = ["make", "-C", top, f"O={self.build}", f"SYSROOT={root}", arch]
        ask(make, BUILD_S, f"{arch} build")
        self.build = os.path.join(self.build, arch)
        busybox = os.path.join(root, "bin", "busybox")
        self.options = ["--arch", arch, "--root", root, "--busybox", busybox]


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


NO_RESULT = 125  # of tools/vm/run
MORE = 2  # times, where a guest died
TOO_LONG = 124  # likewise: it did not end in time, as one does that hangs in emulation


def run_script(top, guest, script, name, results):
    command = [
        os.path.join(top, "tools", "vm", "run"),
        *guest.options,
        "--timeout",
        str(GUEST_S),
        "--share",
        top,
        "--share",
        guest.build,
        guest.packages,
        f"HOLDUP_BUILD={shlex.quote(guest.build)} sh {shlex.quote(script)}",
    ]
    start = time.monotonic()
    status, output, timed_out = process.run_bounded(command, GUEST_S + 60)
    for _ in range(MORE):
        if status not in (NO_RESULT, TOO_LONG) or timed_out:
            break
        # qemu's emulation loses a race against the kernel's changes of its own code (an int3 that nobody owns, where a
        # tracepoint is switched on): of a hundred guests two or three die of it, before their script has ended.
        print(f"{name}: the guest died or hung; once more: {last_line(output)}", flush=True)
        status, again, timed_out = process.run_bounded(command, GUEST_S + 60)
        output = f"{output}\n--- once more\n{again}"
    if timed_out:
        outcome, reason = FAIL, f"no end within {GUEST_S + 60} s"
    elif status == 0:
        outcome, reason = PASS, ""
    elif status == SKIPPED:
        outcome, reason = SKIP, last_line(output)
    else:
        outcome, reason = FAIL, process.describe_status(status)
    results.add(name, outcome, reason, output, time.monotonic() - start)


def run(tests, build, all_series, results):
    """Run each tests/vm/test_*.sh on the newest kernel of each series."""
    directory = os.path.join(tests, "vm")
    top = os.path.dirname(os.path.abspath(tests))
    scripts = [
        file
        for file in sorted(os.listdir(directory))
        if file.startswith("test_") and file.endswith(".sh")
    ]
    for series in all_series:
        short = {script: script[len("test_") : -len(".sh")] for script in scripts}
        wanted = [script for script in scripts if results.wanted(f"vm-{series}/{short[script]}")]
        if not wanted:
            continue
        guest = missing = None
        try:
            guest = Guest(top, build, series)
        except Unavailable as why:
            missing = why.args
        for script in wanted:
            name = f"vm-{series}/{short[script]}"
            if missing:
                results.add(name, *missing)
            else:
                run_script(top, guest, os.path.join(directory, script), name, results)
