# SPDX-License-Identifier: GPL-2.0-only
"""`holdup leaks` on Go programs: each suspect with the line where it was created and the one where it waits, and
none in healthy programs, nor in real servers at rest.
"""

import contextlib
import re
import unittest

import golang
import holdup

FOR, MIN_AGE = "25s", "3s"
GROW = ("-every", "200ms")


def line_of(program, role):
    """(where it waits, where it was created), as the program says: function and line each."""
    (wait,) = [wait for wait in program.truth["waits"] if wait["role"] == role]
    return (wait["function"], wait["line"]), (wait["created_by"], wait["created_line"])


def place_of(suspect):
    """The same of a suspect."""
    frame = golang.own_frame(suspect["stack"])
    created = [f for f in suspect["created_by"] if golang.shown(f)]
    at = (golang.plain(frame["function"]), frame["line"])
    return at, (created[0]["function"], created[0]["line"]) if created else None


class Leaks(unittest.TestCase):
    """All programs of a form are looked at together, in one run."""

    # program: (arguments, what is suspected: reason, role, and how many of it at least)
    EXPECTED = {
        "ctx-ignored": ((), ("blocked-forever", "follower", 5)),
        "double-lock": ((), ("blocked-forever", "teller", 1)),
        "lock-order": ((), ("blocked-forever", "transfer", 2)),
        "missing-done": ((), ("blocked-forever", "collector", 1)),
        "nil-channel": ((), ("blocked-forever", "sender", 1)),
        "panic-lock": ((), ("orphaned", "waiter", 3)),
        "rw-writer": ((), ("same-line", "reader", 4)),
        "select-stuck": ((), ("blocked-forever", "relay", 4)),
        "sem-exhausted": ((), ("blocked-forever", "worker", 3)),
        "send-timeout": ((), ("blocked-forever", "sender", 7)),
        "ticker-leak": (GROW, ("growing", "ticker", 20)),
        "unbounded": (GROW, ("growing", "item", 500)),
        "wg-copied": ((), ("blocked-forever", "gatherer", 1)),
    }
    HEALTHY = (
        "after-func", "cond-workers", "contended", "errgroup", "finalizer", "http-idle", "pool", "signals",
        "sql-pool",
    )  # fmt: skip

    def run_all(self, form):
        """(programs by name, the report)"""
        with contextlib.ExitStack() as stack:
            programs = {}
            for name in [*self.EXPECTED, *self.HEALTHY]:
                path = dict(golang.builds(name)).get(form)
                if path is None:
                    self.skipTest("Go: " + "; ".join(golang.missing()))
                args = self.EXPECTED[name][0] if name in self.EXPECTED else ()
                programs[name] = stack.enter_context(golang.Program(path, *args))
            pids = ",".join(str(program.pid) for program in programs.values())
            command = ["leaks", "-p", pids, "--for", FOR, "--min-age", MIN_AGE, "-n", "100"]
            return programs, holdup.run_json(command, timeout=150)

    def check(self, form):
        """A stale word in memory can hide a leak that only the search for references tells: then once more."""
        if self.check_once(form, False):
            self.check_once(form, True)

    def check_once(self, form, last):
        """The programs in which nothing was suspected; none may be where it is the last time."""
        programs, document = self.run_all(form)
        by_pid = {program.pid: name for name, program in programs.items()}
        found = {}
        for suspect in document["suspects"]:
            self.assertTrue(suspect["goroutines"], suspect)
            self.assertTrue(suspect["evidence"])
            found.setdefault(by_pid[suspect["pid"]], []).append(suspect)
        rest = {key: value for key, value in document.items() if key != "suspects"}
        self.assertLessEqual(set(found), set(self.EXPECTED), f"{rest}, {by_pid}")
        if last:
            self.assertEqual(set(found), set(self.EXPECTED), f"{rest}, {by_pid}")
        for name, suspects in found.items():
            with self.subTest(name):
                self.check_suspects(programs[name], suspects, *self.EXPECTED[name][1])
        return set(self.EXPECTED) - set(found)

    def check_suspects(self, program, suspects, reason, role, least):
        (suspect,) = [suspect for suspect in suspects if suspect["reason"] == reason]
        # Of a circle each of its goroutines is as good as the other.
        roles = ("transfer", "refund") if role == "transfer" else (role,)
        self.assertIn(place_of(suspect), [line_of(program, role) for role in roles])
        if "nobody else refers" in suspect["evidence"]:
            self.assertIn(suspect["count"], range(1, least + 1))
        else:
            self.assertGreaterEqual(suspect["count"], least)
        if reason == "growing":
            self.assertGreater(suspect["growth_per_min"], 0)
            self.assertRegex(suspect["evidence"], r"from \d+ to \d+ live goroutines")
        elif "nobody else refers" not in suspect["evidence"]:
            self.assertEqual(suspect["count"], least)
        # unbounded's goroutines wait at one line besides
        others = {other["reason"] for other in suspects} - {reason}
        self.assertLessEqual(others, {"same-line"} if reason == "growing" else set())

    @holdup.timeout(240)
    def test_oldest(self):
        self.check("1.19-plain")

    @holdup.timeout(240)
    def test_newest(self):
        self.check("newest-stripped")

    @holdup.timeout(100)
    def test_collector(self):
        """What Go's own collector found, however short it waits; who found nothing himself is told what holdup finds."""
        tries = 2
        for form, path in golang.builds("first-wins"):
            if not form.endswith("stripped"):
                continue
            with self.subTest(form):
                asked, told, expected = self.ask_collector(path)
                while not asked and told != expected and tries:  # a stale word may hide one of them
                    tries -= 1
                    asked, told, expected = self.ask_collector(path)
                self.assertEqual(told, expected)

    def ask_collector(self, path):
        """(whether Go's collector looks for them, how many are told by place, how many there are)"""
        with golang.Program(path) as program:
            asked = program.ask("leaks") is not None
            command = ["leaks", "-p", program.pid, "--for", "3s", "--min-age", "100ms"]
            suspects = holdup.run_json(command, timeout=50)["suspects"]
            expected = {line_of(program, role): n for role, n in (("loser", 3), ("counter", 1))}
        for suspect in suspects:
            self.assertEqual(suspect["reason"], "blocked-forever")
            self.assertEqual("garbage collector" in suspect["evidence"], asked)
        return asked, {place_of(suspect): suspect["count"] for suspect in suspects}, expected

    @holdup.timeout(60)
    def test_text(self):
        """What it looks like."""
        path = golang.builds("send-timeout")[0][1]
        with golang.Program(path) as program:
            args = ["leaks", "-p", program.pid, "--for", "3s", "--min-age", "500ms"]
            status, out, err = holdup.run(args, timeout=50)
        self.assertEqual(status, 0, err)
        # A stale word may hide one of the seven.
        self.assertRegex(out, r"(?m)^BLOCKED-FOREVER +[1-7] goroutines? of send-timeout \(\d+\)")
        self.assertRegex(out, r"(?m)^ +created at +main\.ask main\.go:\d+$")
        self.assertTrue(re.search(r"(?m)^ +at +main\.ask\.func1 main\.go:\d+$", out), out)


if __name__ == "__main__":
    unittest.main()
