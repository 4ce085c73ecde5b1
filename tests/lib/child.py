# SPDX-License-Identifier: GPL-2.0-only
"""One test module in a process of its own: child.py MODULE FD SEEN PATTERN (started by
integration.py).

Writes a JSON line to FD before and after each test; runs the tests that are not in SEEN and whose
name fits.
"""

import faulthandler
import fnmatch
import importlib.util
import json
import os
import sys
import time
import unittest

import holdup

TIMEOUT_S = 120  # a test that needs more says so: @holdup.timeout(300)


class Announcer(unittest.TestResult):
    """Tells the runner what starts and what came of it; a test with several failing parts is one
    failure.
    """

    def __init__(self, fd):
        super().__init__()
        self.buffer = True  # what a test prints becomes part of its output
        self.pipe = os.fdopen(fd, "w", encoding="utf-8")
        self.outcome, self.reason, self.output, self.begun = "PASS", "", "", 0.0
        self.clocks = True  # whether all that failed are clocks that differ

    def announce(self, event, test, **values):
        print(
            json.dumps({"event": event, "test": test_name(test), **values}),
            file=self.pipe,
            flush=True,
        )

    def startTest(self, test):
        super().startTest(test)
        timeout_s = getattr(getattr(test, test._testMethodName), "timeout_s", TIMEOUT_S)
        self.outcome, self.reason, self.output, self.begun = "PASS", "", "", time.monotonic()
        self.clocks = True
        # Shows where it hangs, just before the runner ends it.
        faulthandler.dump_traceback_later(max(timeout_s - 2, 1), file=sys.__stderr__)
        self.announce("start", test, timeout_s=timeout_s)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        self.announce(
            "end",
            test,
            outcome=self.outcome,
            reason=self.reason,
            output=self.output,
            seconds=time.monotonic() - self.begun,
            clocks=self.clocks,
        )

    def fail(self, test, reason, output):
        if isinstance(test, unittest.TestCase) or hasattr(test, "test_case"):
            self.outcome, self.reason = "FAIL", self.reason if self.outcome == "FAIL" else reason
            self.output += output
        else:  # a class's or module's set-up or tear-down: no test was started
            self.announce("end", test, outcome="FAIL", reason=reason, output=output, seconds=0)

    def addError(self, test, err):
        self.clocks &= issubclass(err[0], holdup.ClocksDiffer)
        self.fail(test, last_line(err), self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.clocks &= issubclass(err[0], holdup.ClocksDiffer)
            text = f"{subtest}\n{self._exc_info_to_string(err, test)}"
            self.fail(subtest, f"{subtest._subDescription()} {last_line(err)}", text)

    def addSkip(self, test, reason):
        if isinstance(test, unittest.TestCase) and self.outcome == "PASS":
            self.outcome, self.reason = "SKIP", reason
        elif not isinstance(test, unittest.TestCase):
            self.announce("end", test, outcome="SKIP", reason=reason, output="", seconds=0)

    def addExpectedFailure(self, test, err):
        self.outcome, self.reason = "SKIP", "expected failure: " + last_line(err)

    def addUnexpectedSuccess(self, test):
        self.clocks = False
        self.outcome, self.reason = "FAIL", "passed, but is marked as an expected failure"


def last_line(err):
    lines = str(err[1]).strip().splitlines()
    return f"{err[0].__name__}: {lines[0] if lines else ''}"[:200]


def test_name(test):
    """Class.method for a test; for a set-up that failed what unittest calls it."""
    if hasattr(test, "_testMethodName"):
        return f"{type(test).__name__}.{test._testMethodName}"
    return str(test)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main():
    path, fd, seen, pattern = sys.argv[1:5]
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    os.set_inheritable(int(fd), False)
    spec.loader.exec_module(module)
    seen = set(json.loads(seen))
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    if not tests:
        sys.exit(f"{path} has no tests")
    short = f"integration/{name.removeprefix('test_')}:"

    def wanted(test):
        full = short + test_name(test)
        return test_name(test) not in seen and (
            not pattern or pattern in full or fnmatch.fnmatchcase(full, pattern)
        )

    try:
        unittest.TestSuite(filter(wanted, tests)).run(Announcer(int(fd)))
    finally:  # an error in here must not end up in a test's captured output
        sys.stderr = sys.__stderr__


if __name__ == "__main__":
    main()
