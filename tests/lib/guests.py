# SPDX-License-Identifier: GPL-2.0-only
"""Tests on other kernels: shell scripts that run as root in a qemu guest (tools/vm/run)."""

import os
import shlex
import subprocess
import time

import process
from results import FAIL, PASS, SKIP

FETCH_S = 600
GUEST_S = 300
SKIPPED = (
    77  # exit status of a script, and of fetch-kernel; the last line of its output is the reason
)


def fetch(top, series):
    """The newest kernel of a series: (packages, None, ""), or (None, outcome, reason)."""
    command = [os.path.join(top, "tools", "vm", "fetch-kernel"), series]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, FAIL, f"no {series} kernel: no download within {FETCH_S} s"
    if done.returncode == 0:
        return done.stdout.strip(), None, ""
    return (
        None,
        SKIP if done.returncode == SKIPPED else FAIL,
        f"no {series} kernel: {last_line(done.stderr)}",
    )


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def run_script(top, build, packages, script, name, results):
    command = [
        os.path.join(top, "tools", "vm", "run"),
        "--timeout",
        str(GUEST_S),
        "--share",
        top,
        "--share",
        build,
        packages,
        f"HOLDUP_BUILD={shlex.quote(build)} sh {shlex.quote(script)}",
    ]
    start = time.monotonic()
    status, output, timed_out = process.run_bounded(command, GUEST_S + 60)
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
        packages, outcome, reason = fetch(top, series)
        for script in wanted:
            name = f"vm-{series}/{short[script]}"
            if packages is None:
                results.add(name, outcome, reason)
            else:
                run_script(top, build, packages, os.path.join(directory, script), name, results)
