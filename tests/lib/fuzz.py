# SPDX-License-Identifier: GPL-2.0-only
"""Fuzz targets (tests/fuzz, libFuzzer), each for a bounded time from seeds of this machine."""

import os
import re
import tempfile
import time

import process
from results import FAIL, PASS

HANG_S = 10  # for one input
MEMORY_MB = 2048
DONE = re.compile(r"^Done (\d+) runs in", re.MULTILINE)
PROBLEM = re.compile(r"^(?:SUMMARY: |.*runtime error: )(.*)$", re.MULTILINE)


def describe(status, output):
    if match := PROBLEM.search(output):
        return match[1]
    return process.describe_status(status)


def run_target(build, name, seconds, results):
    """The finds of a run are kept out of the tree; an input that fails is in the output (-v)."""
    full = f"fuzz/{name}"
    if not results.wanted(full):
        return
    program = os.path.join(build, "fuzz", name)
    seeds = os.path.join(build, "fuzz", "seeds", name)
    if not os.access(program, os.X_OK) or not os.path.isdir(seeds):
        results.add(full, FAIL, f"not built: {program} and {seeds} (make fuzz)")
        return
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as corpus:
        command = [
            program,
            f"-max_total_time={seconds}",
            f"-timeout={HANG_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={os.path.join(build, 'fuzz')}/found-{name}-",
            corpus,
            seeds,
        ]
        status, output, timed_out = process.run_bounded(command, seconds + 60)
    done = DONE.search(output)
    if timed_out:
        outcome, reason = FAIL, f"no end within {seconds + 60} s"
    elif status != 0 or not done or not int(done[1]):
        outcome, reason = FAIL, describe(status, output)
    else:
        outcome, reason = PASS, f"{int(done[1]):,} inputs"
    results.add(full, outcome, reason, output, time.monotonic() - start)


def run(tests, build, seconds, results):
    """Run each tests/fuzz/fuzz_*.c for so many seconds."""
    directory = os.path.join(tests, "fuzz")
    for source in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        name, extension = os.path.splitext(source)
        if name.startswith("fuzz_") and extension == ".c":
            run_target(build, name.removeprefix("fuzz_"), seconds, results)
