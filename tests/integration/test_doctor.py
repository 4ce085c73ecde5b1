# SPDX-License-Identifier: GPL-2.0-only
"""`holdup doctor`: every feature with a verdict, and an exit status that scripts can trust."""

import os
import platform
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import holdup  # noqa: E402
from holdup import HOLDUP, run  # noqa: E402

KERNEL = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
SLOW_S = 120  # a guest verifies and attaches slowly

LINE = re.compile(r"(yes|NO|no) {2,3}(\S.*?) {2,}(\S.*)")
FEATURES = (
    "privileges",
    "BTF",
    "ring buffer",
    "task iterator",
    "task storage",
    "user registers",
    "state at switch",
    "tracefs",
    "tp_btf",
    "raw tracepoints",
    "fentry, fexit",
    "uprobes",
    "holdup locks",
    "locks --hold",
    "locks --go-probes",
    "holdup stacks, check",
    "holdup threads, leaks",
    "holdup offcpu",
    "offcpu --sched",
)


def parse(out):
    """The head, and {feature: (verdict, meaning)}."""
    head, _, rest = out.partition("\n\n")
    features = {}
    for line in rest.splitlines():
        match = LINE.fullmatch(line)
        assert match, f"not a feature: {line!r}"
        assert match[2] not in features, f"twice: {match[2]}"
        features[match[2]] = (match[1], match[3])
    return head, features


class Doctor(unittest.TestCase):
    def test_it_works_here(self):
        status, out, err = run(["doctor"], timeout=SLOW_S)
        self.assertEqual((status, err), (0, ""), out)
        head, features = parse(out)
        self.assertRegex(head, r"\Aholdup \d+\.\d+\.\d+ on Linux ")
        self.assertIn(platform.release(), head)
        self.assertIn(platform.machine(), head)
        self.assertGreaterEqual(features.keys(), set(FEATURES))
        self.assertEqual(features["holdup locks"][0], "yes")
        self.assertEqual(features["privileges"][0], "yes")

    def test_what_is_needed_is_there(self):
        """Status 0 and a NO would contradict each other."""
        _, features = parse(run(["doctor"], timeout=SLOW_S)[1])
        self.assertEqual([name for name, (verdict, _) in features.items() if verdict == "NO"], [])

    def test_it_says_what_locks_does(self):
        """What doctor claims of futex calls is what a report says."""
        _, features = parse(run(["doctor"], timeout=SLOW_S)[1])
        document = holdup.run_json(["locks", "-d", "100ms"], timeout=SLOW_S)
        self.assertEqual(
            features["fentry, fexit"][0] == "yes", document["coverage"]["futex_calls"]
        )

    def test_it_says_what_commands_do(self):
        """A command that it says yes to works, and one that it says no to does not."""
        _, features = parse(run(["doctor"], timeout=SLOW_S)[1])
        for name, args in (
            ("holdup locks", ["locks"]),
            ("locks --hold", ["locks", "--hold", "-p", os.getpid()]),
            ("holdup threads, leaks", ["threads"]),
            ("holdup offcpu", ["offcpu"]),
            ("offcpu --sched", ["offcpu", "--sched"]),
        ):
            with self.subTest(name=name):
                status, _, err = run([*args, "-d", "100ms"], timeout=SLOW_S)
                self.assertEqual(status, 0 if features[name][0] == "yes" else 3, err)
        # Without an iterator they go by /proc.
        stacks = "yes" if KERNEL >= (5, 15) else "no"
        self.assertEqual(features["holdup stacks, check"][0], stacks)
        self.assertEqual(run(["stacks", "-p", os.getpid()], timeout=SLOW_S)[0], 0)

    def test_what_is_missing_is_said(self):
        """Of each thing that this kernel has not: since when others have it."""
        for name, (verdict, meaning) in parse(run(["doctor"], timeout=SLOW_S)[1])[1].items():
            if verdict != "yes" and name != "tracefs":
                self.assertRegex(meaning, r"\d\.\d+|refuse|not permitted", name)

    def test_locks_is_all_of_it(self):
        """What is tried is what locks loads by default."""
        _, features = parse(run(["doctor"], timeout=SLOW_S)[1])
        document = holdup.run_json(["locks", "-d", "100ms"], timeout=SLOW_S)
        known = "what holders do is known" in features["holdup locks"][1]
        self.assertEqual(known, document["coverage"]["blame"])

    def test_it_leaves_nothing(self):
        with holdup.Running(["doctor"]) as doctor:
            doctor.process.communicate(timeout=SLOW_S)
            pid = doctor.pid
        self.assertEqual(holdup.programs_of(pid), set())

    def test_unprivileged(self):
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            os.chmod(directory, 0o755)
            program = os.path.join(directory, "holdup")
            subprocess.run(["install", "-m", "0755", HOLDUP, program], check=True)
            user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
            status, out, _ = run([*user, program, "doctor"], program="setpriv", timeout=SLOW_S)
        self.assertEqual(status, 3, out)
        _, features = parse(out)
        verdict, meaning = features["privileges"]
        self.assertEqual(verdict, "NO")
        self.assertRegex(meaning, r"root|sudo|CAP_")

    def test_without_bpf_alone(self):
        """Root, but not with the capability that matters: what a container often is."""
        drop = ["--bounding-set", "-sys_admin,-bpf,-perfmon", "--inh-caps", "-all"]
        status, out, _ = run([*drop, HOLDUP, "doctor"], program="setpriv", timeout=SLOW_S)
        self.assertEqual(status, 3, out)
        self.assertEqual(parse(out)[1]["privileges"][0], "NO")

    def test_argument(self):
        for args in (["-x"], ["now"], ["--json"]):
            with self.subTest(args=args):
                status, out, err = run(["doctor", *args])
                self.assertEqual((status, out), (2, ""))
                self.assertEqual(len(err.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
