# SPDX-License-Identifier: GPL-2.0-only
"""What the tests came to: a line each while they run, at the end failures' output and the count."""

import fnmatch
import sys

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


class Allowed:
    """The reasons that a skip may have: patterns, one a line, of tests/allowed-skips."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as lines:
            stripped = (line.strip() for line in lines)
            self.patterns = [line for line in stripped if line and not line.startswith("#")]

    def __contains__(self, reason):
        return any(fnmatch.fnmatchcase(reason, pattern) for pattern in self.patterns)


class Results:
    """Collects outcomes.  Names have the form suite/module:test."""

    def __init__(self, allowed, pattern=None, verbose=False):
        self.allowed = allowed
        self.pattern = pattern
        self.verbose = verbose
        self.count = {PASS: 0, FAIL: 0, SKIP: 0}
        self.failures = []
        self.repeated = []

    def wanted(self, name):
        """Is this test asked for: by a part of its name, or a shell pattern of all of it?"""
        return (
            self.pattern is None or self.pattern in name or fnmatch.fnmatchcase(name, self.pattern)
        )

    def add(self, name, outcome, reason="", output="", seconds=None):
        """Count and show one test.  A skip that no line of the allow-list covers is a failure."""
        reason = " ".join(reason.split())
        if outcome == SKIP and reason not in self.allowed:
            outcome, reason = (
                FAIL,
                f"skipped, for a reason that tests/allowed-skips does not have: {reason or 'none'}",
            )
        self.count[outcome] += 1
        if outcome == FAIL:
            self.failures.append((name, reason, output))
        took = f" ({seconds:.1f} s)" if self.verbose and seconds is not None else ""
        print(f"{outcome} {name}{took}{' ' + reason if reason else ''}", flush=True)
        if self.verbose and outcome != FAIL:
            print(indent(output), end="", flush=True)

    def again(self, name, reason):
        """A test that failed, and whose clocks are compared once more: it counts when it comes back."""
        self.repeated.append(name)
        print(f"AGAIN {name} {' '.join(reason.split())}", flush=True)

    def finish(self):
        """Print the failures again with their output, the skips' number, the count; the exit
        status.
        """
        for name, reason, output in self.failures:
            print(f"\n--- FAIL {name} {reason}\n{indent(output)}", end="")
        if self.repeated:
            print(f"\n!!! {len(self.repeated)} measured again: see the AGAIN lines above")
        if self.count[SKIP]:
            print(f"\n!!! {self.count[SKIP]} skipped: see the SKIP lines above")
        print(
            f"\n{self.count[PASS]} passed, {self.count[FAIL]} failed, {self.count[SKIP]} skipped",
            flush=True,
        )
        sys.stdout.flush()
        return 0 if self.count[FAIL] == 0 and self.count[PASS] > 0 else 1


def indent(text, limit=200):
    """The text with a margin, shortened in the middle to `limit` lines; never a line that looks
    like ours.
    """
    lines = text.splitlines()
    if len(lines) > limit:
        half = limit // 2
        lines = lines[:half] + [f"[… {len(lines) - 2 * half} lines left out …]"] + lines[-half:]
    return "".join(f"    {line}\n" for line in lines)
