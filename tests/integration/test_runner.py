# SPDX-License-Identifier: GPL-2.0-only
"""The test runner itself: whatever goes wrong in a test must count as a failure, and never as a
pass.
"""

import os
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

import integration

LIB = os.environ["PYTHONPATH"].split(os.pathsep, maxsplit=1)[0]
RUN = os.path.join(os.path.dirname(LIB), "run")
COUNT = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


class Runner(unittest.TestCase):
    """Runs tests/run on a directory of made-up tests."""

    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        for name in ("unit", "integration", "vm", "build/tests/unit"):
            os.makedirs(os.path.join(self.directory, name))
        self.write("allowed-skips", "# a comment\nno such * here\n")

    def write(self, path, text, mode=0o644):
        full = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        os.chmod(full, mode)

    def unit(self, name, script):
        """A unit test program: a shell script that prints what cmocka would."""
        self.write(f"unit/test_{name}.c", "")
        self.write(f"build/tests/unit/test_{name}", "#!/bin/sh\n" + textwrap.dedent(script), 0o755)

    def module(self, name, body):
        self.write(
            f"integration/test_{name}.py",
            "import os, time, unittest\nclass T(unittest.TestCase):\n"
            + textwrap.indent(textwrap.dedent(body), "    "),
        )

    def check(self, passed, failed, skipped, *args):
        """Run; the counts must be these and the exit status must follow from them: the output."""
        command = [
            sys.executable,
            RUN,
            "--tests",
            self.directory,
            "--build",
            os.path.join(self.directory, "build"),
            "--vm-series",
            "none",
            "--pause-s",
            "0",
            *args,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        count = COUNT.fullmatch(done.stdout.splitlines()[-1])
        self.assertIsNotNone(count, done.stdout + done.stderr)
        self.assertEqual(
            tuple(map(int, count.groups())), (passed, failed, skipped), done.stdout + done.stderr
        )
        self.assertEqual(done.returncode, 0 if passed and not failed else 1)
        return done.stdout

    def test_no_tests_is_no_success(self):
        self.check(0, 0, 0)

    def fuzz(self, name, script):
        """A fuzz target: a shell script that prints what libFuzzer would, and its seeds."""
        self.write(f"fuzz/fuzz_{name}.c", "")
        self.write(f"build/fuzz/seeds/{name}/seed-00", "")
        self.write(f"build/fuzz/{name}", "#!/bin/sh\n" + textwrap.dedent(script), 0o755)

    def test_fuzz(self):
        self.fuzz("good", "echo Done 77 runs in 1 second")
        self.assertIn("77 inputs", self.check(1, 0, 0))
        self.check(1, 0, 0, "--fuzz-only", "-k", "fuzz/good")
        self.fuzz("crash", "echo SUMMARY: AddressSanitizer: heap-use-after-free; exit 77")
        self.assertIn("heap-use-after-free", self.check(1, 1, 0))
        self.fuzz("nothing", "echo Done 0 runs in 1 second")
        self.check(1, 2, 0)
        self.write("fuzz/fuzz_missing.c", "")
        self.assertIn("not built", self.check(1, 3, 0))

    def test_unit(self):
        self.unit("good", "echo 1..2; echo ok 1 - a; echo ok 2 - b")
        self.check(2, 0, 0)
        self.check(1, 0, 0, "-k", "good:b")
        self.check(0, 0, 0, "-k", "nothing")

    def test_unit_failures(self):
        self.unit("bad", "echo 1..2; echo ok 1 - a; echo not ok 2 - b; echo '# why it did'; exit 1")
        self.assertIn("# why it did", self.check(1, 1, 0))

    def test_unit_crash(self):
        self.unit("crash", "echo 1..2; echo ok 1 - a; kill -ABRT $$")
        self.assertIn("SIGABRT", self.check(1, 1, 0))

    def test_unit_crash_after_the_last_test(self):
        self.unit("late", "echo 1..1; echo ok 1 - a; exit 23")
        self.assertIn("exit status 23", self.check(1, 1, 0))

    def test_unit_says_nothing(self):
        self.unit("mute", "exit 0")
        self.check(0, 1, 0)

    def test_unit_ends_early(self):
        self.unit("early", "echo 1..3; echo ok 1 - a; exit 0")
        self.assertIn("1 of 3", self.check(1, 1, 0))

    def test_unit_not_built(self):
        self.write("unit/test_absent.c", "")
        self.assertIn("not built", self.check(0, 1, 0))

    def test_unit_skip_needs_a_reason(self):
        self.unit("skip", "echo 1..1; echo 'not ok 1 # SKIP a'")
        self.check(0, 1, 0)

    def test_integration(self):
        self.module(
            "some",
            """
            def test_good(self): pass
            def test_bad(self): self.assertEqual(1, 2)
            def test_broken(self): raise KeyError("nothing")
            def test_parts(self):
                for i in range(3):
                    with self.subTest(i=i): self.assertEqual(i, 1)
            """,
        )
        self.check(1, 3, 0)
        self.check(1, 0, 0, "-k", "T.test_good")

    def test_integration_skips(self):
        self.module(
            "skips",
            """
            def test_allowed(self): self.skipTest("no such thing here")
            def test_other(self): self.skipTest("did not feel like it")
            @unittest.expectedFailure
            def test_expected(self): self.fail()
            @unittest.expectedFailure
            def test_unexpected(self): pass
            """,
        )
        self.check(0, 3, 1)

    def test_integration_only_skips_is_no_success(self):
        self.module("skips", "def test_allowed(self): self.skipTest('no such thing here')")
        self.check(0, 0, 1)

    def test_integration_hang_and_crash(self):
        """The tests after them still run, each once."""
        self.module(
            "hang",
            """
            def test_a(self): pass
            def test_b(self): time.sleep(600)
            test_b.timeout_s = 3
            def test_c(self): os.abort()
            def test_d(self): os._exit(0)
            def test_e(self): pass
            """,
        )
        out = self.check(2, 3, 0)
        self.assertIn("no end within 3 s", out)
        self.assertIn("SIGABRT", out)

    def timed(self, then):
        """A module with a test that compares clocks, which fails the first time, and then does this."""
        file = os.path.join(self.directory, "tried")
        self.module(
            "timed",
            f"""
            @classmethod
            def setUpClass(cls):
                open({file!r}, "a").write("x")
                cls.tries = len(open({file!r}).read())
                if cls.tries > 1: {then.get("set_up", "pass")}
            def test_clock(self):
                import holdup
                with holdup.clocks():
                    self.assertGreater(self.tries, 1, "a clock is off")
                    {then.get("test", "pass")}
            def test_exact(self): pass
            """,
        )
        return lambda: len(open(file, encoding="ascii").read())

    def test_timed_passes_in_the_end(self):
        tries = self.timed({})
        out = self.check(2, 0, 0)
        self.assertIn("AGAIN integration/timed:T.test_clock", out)
        self.assertIn("1 measured again", out)
        self.assertEqual(tries(), 2)

    def test_timed_is_wrong_each_time(self):
        tries = self.timed({"test": "self.fail('it still is')"})
        self.assertIn("it still is", self.check(1, 1, 0))
        self.assertEqual(tries(), integration.TRIES)

    def test_timed_does_not_come_back(self):
        for then in ("raise unittest.SkipTest('no such thing here')", "os._exit(0)"):
            self.timed({"set_up": then})
            out = self.check(*((1, 1, 1) if "Skip" in then else (1, 1, 0)))
            self.assertIn("could not run once more", out)
            os.unlink(os.path.join(self.directory, "tried"))

    def test_only_what_is_timed_runs_again(self):
        self.timed({})
        self.module(
            "exact",
            """
            def test_a(self): self.fail()
            def test_b(self):
                import holdup
                with self.subTest("clock"), holdup.clocks(): self.fail()
                with self.subTest("exact"): self.fail()
            """,
        )
        self.assertNotIn("AGAIN integration/exact", self.check(2, 2, 0))

    def test_integration_set_up_fails(self):
        self.module(
            "setup",
            """
            @classmethod
            def setUpClass(cls): raise RuntimeError("no")
            def test_a(self): pass
            """,
        )
        self.check(0, 1, 0)

    def test_integration_tear_down_fails(self):
        self.module(
            "teardown",
            """
            def tearDown(self): raise RuntimeError("no")
            def test_a(self): pass
            """,
        )
        self.check(0, 1, 0)

    def test_integration_module_is_broken_or_empty(self):
        self.write("integration/test_broken.py", "import nothing_of_this_name\n")
        self.write("integration/test_empty.py", "pass\n")
        self.check(0, 2, 0)

    def test_nothing_is_left_running(self):
        self.module(
            "leaves",
            f"""
            def test_a(self):
                import subprocess
                child = subprocess.Popen(["sleep", "600"])
                open({os.path.join(self.directory, "pid")!r}, "w").write(str(child.pid))
            """,
        )
        self.check(1, 0, 0)
        with open(os.path.join(self.directory, "pid"), encoding="ascii") as file:
            pid = int(file.read())
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_output_can_not_pose_as_the_count(self):
        self.unit(
            "pose", "echo 1..1; echo not ok 1 - a; echo 9 passed, 0 failed, 0 skipped; exit 1"
        )
        lines = self.check(0, 1, 0).splitlines()
        self.assertEqual(
            [line for line in lines if COUNT.fullmatch(line)], ["0 passed, 1 failed, 0 skipped"]
        )


if __name__ == "__main__":
    unittest.main()
