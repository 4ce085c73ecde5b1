# SPDX-License-Identifier: GPL-2.0-only
"""Unit tests: cmocka programs, which report each test in TAP."""

import os
import re
import time

import process
from results import FAIL, PASS, SKIP

TIMEOUT_S = 300

# cmocka 1.1.5 writes "not ok 3 # SKIP name" for a skipped test and "not ok 4 - name reason" for a
# failed set-up.
PLAN = re.compile(r"1\.\.(\d+)$")
SKIPPED = re.compile(r"(?:not )?ok \d+ # SKIP (\S+)")
TEST = re.compile(r"(not ok|ok) \d+ - (\S+)(.*)")


class Report:
    """The tests that one program reported, as far as it got."""

    def __init__(self, output):
        self.planned = 0
        self.tests = []  # [name, outcome, reason, details]
        for line in output.splitlines():
            if match := PLAN.match(line):
                self.planned += int(match[1])
            elif match := SKIPPED.match(line):
                self.tests.append([match[1], SKIP, "skip() in a unit test", ""])
            elif match := TEST.match(line):
                self.tests.append(
                    [match[2], PASS if match[1] == "ok" else FAIL, match[3].strip(), ""]
                )
            elif self.tests:
                self.tests[-1][3] += line + "\n"

    def failed(self):
        return any(outcome == FAIL for _, outcome, _, _ in self.tests)


def whole_program_failure(report, status, timed_out):
    """Why the program as a whole counts as a failure beyond what its tests reported, or None."""
    if timed_out:
        return f"no end within {TIMEOUT_S} s"
    if len(report.tests) != report.planned:
        return (
            f"{process.describe_status(status)} after {len(report.tests)} of {report.planned} tests"
        )
    if not report.tests:
        return f"{process.describe_status(status)}, and no tests"
    if status < 0 or (
        status != 0 and not report.failed()
    ):  # a sanitizer's report at exit, for example
        return process.describe_status(status)
    return None


def run_program(program, name, results):
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    start = time.monotonic()
    status, output, timed_out = process.run_bounded([program], TIMEOUT_S, env=env)
    report = Report(output)
    concerned = results.wanted(f"unit/{name}")
    for test, outcome, reason, details in report.tests:
        full = f"unit/{name}:{test}"
        if results.wanted(full):
            concerned = True
            results.add(full, outcome, reason, details)
    reason = whole_program_failure(report, status, timed_out)
    if reason and concerned:
        results.add(f"unit/{name}", FAIL, reason, output, time.monotonic() - start)


def run(tests, build, results):
    """Run the program of each tests/unit/test_*.c; one that was not built is a failure."""
    source_dir = os.path.join(tests, "unit")
    for source in sorted(os.listdir(source_dir)):
        name, extension = os.path.splitext(source)
        if not name.startswith("test_") or extension != ".c":
            continue
        program = os.path.join(build, "tests", "unit", name)
        short = name.removeprefix("test_")
        if os.access(program, os.X_OK):
            run_program(program, short, results)
        elif results.wanted(f"unit/{short}"):
            results.add(f"unit/{short}", FAIL, f"not built: {program}")
