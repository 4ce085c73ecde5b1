# SPDX-License-Identifier: GPL-2.0-only
"""The command line: usage errors, exit statuses, privileges, outputs, and that nothing stays behind
in the kernel.
"""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import tempfile
import unittest

import jsonschema

import holdup
from holdup import HOLDUP, Running, Workload, run, run_json

ESCAPE = re.compile(r"[\x1b\x9b]")
UNPRIVILEGED = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
COMMANDS = ("locks", "doctor")
SHORT = ["-d", "0.3s"]


def unused_pid():
    """A number that is no process's: that of one that has just ended and been collected."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


class Case(unittest.TestCase):
    """Every test also checks that it left no BPF program loaded."""

    def setUp(self):
        self.addCleanup(self.check_nothing_loaded, holdup.bpf_programs())

    def check_nothing_loaded(self, before):
        # The kernel frees a program some time after the last descriptor is closed (a RCU grace
        # period).
        holdup.wait_until(
            lambda: holdup.bpf_programs() <= before, 10, "holdup's BPF programs to be unloaded"
        )

    def assert_one_line(self, err):
        self.assertEqual(len(err.splitlines()), 1, f"not one line: {err!r}")
        self.assertTrue(err.startswith("holdup"), err)


class Usage(Case):
    def check(self, args, *named):
        """Status 2, nothing on stdout, one line that has all of `named`."""
        status, out, err = run(args)
        self.assertEqual(status, 2, f"{args}: {err}")
        self.assertEqual(out, "")
        self.assert_one_line(err)
        for text in named:
            self.assertIn(text, err)

    def test_unknown_command(self):
        self.check(["lokcs"], "lokcs")

    def test_unknown_long_option(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                self.check([command, "--no-such-option"], "--no-such-option")

    def test_unknown_short_option(self):
        self.check(["locks", "-Z"], "-Z")

    def test_no_argument_where_one_is_needed(self):
        self.check(["locks", "-d"], "-d")

    def test_bad_duration(self):
        for text in ("10x", "-1", "", "s", "1e9999", "nan", "99999999999999999999s", "1s2"):
            with self.subTest(text=text):
                self.check(["locks", "-d", text], "-d")

    def test_bad_pid(self):
        for text in ("abc", "", "-1", "0", "12x", "4294967297", "1,,2", "1,"):
            with self.subTest(text=text):
                self.check(["locks", "-p", text], "-p")

    def test_bad_tid(self):
        self.check(["locks", "-t", "x"], "-t")

    def test_bad_count(self):
        for text in ("x", "-3", "1.5"):
            with self.subTest(text=text):
                self.check(["locks", "-n", text], "-n")

    def test_hostile_argument_is_escaped(self):
        status, _, err = run(["\x1b[31mred\nsecond line"])
        self.assertEqual(status, 2)
        self.assert_one_line(err)
        self.assertNotRegex(err, ESCAPE)

    def test_no_command(self):
        status, out, err = run([])
        self.assertEqual(status, 2)
        self.assertEqual(out, "")
        self.assertIn("locks", err)


class Help(Case):
    def test_help(self):
        for option in ("--help", "-h"):
            with self.subTest(option=option):
                status, out, err = run([option])
                self.assertEqual((status, err), (0, ""))
                for command in COMMANDS:
                    self.assertIn(command, out)

    def test_help_of_a_command(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                status, out, err = run([command, "--help"])
                self.assertEqual((status, err), (0, ""))
                self.assertIn(f"holdup {command}", out)

    def test_help_fits_a_terminal(self):
        for args in ([], ["locks"], ["doctor"]):
            for line in run([*args, "--help"])[1].splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_version(self):
        status, out, err = run(["--version"])
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"\Aholdup \d+\.\d+\.\d+\n\Z")


class Targets(Case):
    def test_process_that_does_not_exist(self):
        pid = unused_pid()
        status, out, err = run(["locks", "-p", pid, *SHORT])
        self.assertEqual((status, out), (1, ""), err)
        self.assert_one_line(err)
        self.assertIn(str(pid), err)

    def test_program_that_does_not_exist(self):
        status, out, err = run(["locks", *SHORT, "--", "/nonexistent/program"])
        self.assertEqual((status, out), (127, ""), err)  # as shells say it
        self.assertIn("/nonexistent/program", err)

    def test_own_options_end_at_the_program(self):
        document = run_json(["locks", "--", "sh", "-c", "exit 0"])
        self.assertIn("locks", document)

    def test_output_of_the_program_is_kept_apart(self):
        status, out, err = run(
            ["locks", "-o", "/dev/null", "--", "sh", "-c", "echo to-out; echo to-err >&2"]
        )
        self.assertEqual(status, 0, err)
        self.assertEqual(out, "to-out\n")
        self.assertIn("to-err", err)


class Privileges(Case):
    """Without root: in a place that the unprivileged user may enter, since the build directory may
    be closed to it.
    """

    def run_unprivileged(self, args):
        with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
            os.chmod(directory, 0o755)
            program = os.path.join(directory, "holdup")
            subprocess.run(["install", "-m", "0755", HOLDUP, program], check=True)
            return run([*UNPRIVILEGED, program, *args], program="setpriv")

    def test_locks(self):
        status, out, err = self.run_unprivileged(["locks", *SHORT])
        self.assertEqual((status, out), (3, ""), err)
        self.assertRegex(err, r"root|sudo|CAP_")

    def test_help_needs_none(self):
        self.assertEqual(self.run_unprivileged(["--help"])[0], 0)

    def test_usage_comes_first(self):
        status, _, err = self.run_unprivileged(["locks", "-d", "10x"])
        self.assertEqual(status, 2, err)


class Output(Case):
    def test_no_escape_codes_in_a_pipe(self):
        for env in ({"TERM": "xterm-256color"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}):
            with self.subTest(env=env):
                status, out, err = run(["locks", *SHORT], env=env)
                self.assertEqual(status, 0, err)
                self.assertNotRegex(out + err, ESCAPE)
                self.assertNotEqual(out, "")

    def test_no_color_on_a_terminal(self):
        master, slave = pty.openpty()
        try:
            # A report fits into the terminal's buffer: it is read when the program has ended.
            status, _, err = run(
                ["locks", *SHORT], stdout=slave, env={"TERM": "xterm-256color", "NO_COLOR": "1"}
            )
            os.close(slave)
            out = os.read(master, 65536).decode()
        finally:
            os.close(master)
        self.assertEqual(status, 0, err)
        self.assertNotEqual(out, "")
        self.assertNotRegex(out, r"\x1b\[[0-9;]*m")

    def test_closed_stdout(self):
        for args in (["locks", *SHORT], ["doctor"], ["--help"], ["--version"], ["--json-schema"]):
            with self.subTest(args=args):
                status, _, err = run(["-c", 'exec "$0" "$@" >&-', HOLDUP, *args], program="sh")
                self.assertEqual(status, 1, err)
                self.assert_one_line(err)

    def test_full_disk(self):
        for args in (
            ["locks", *SHORT],
            ["locks", "--json", *SHORT],
            ["doctor"],
            ["--help"],
            ["--version"],
            ["--json-schema"],
        ):
            with self.subTest(args=args), open("/dev/full", "wb") as full:
                status, _, err = run(args, stdout=full)
                self.assertEqual(status, 1, err)
                self.assertIn(os.strerror(28), err)

    def test_reader_that_goes_away(self):
        read_fd, write_fd = os.pipe()
        os.close(read_fd)
        with open(write_fd, "wb") as closed:
            status, _, err = run(["locks", *SHORT], stdout=closed)
        self.assertIn(status, (1, -signal.SIGPIPE), err)

    def test_output_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "report")
            status, out, err = run(["locks", "--json", "-o", path, *SHORT])
            self.assertEqual((status, out), (0, ""), err)
            with open(path, encoding="utf-8") as report:
                self.assertIn("locks", json.load(report))

    def test_output_file_that_can_not_be_written(self):
        status, _, err = run(["locks", "-o", "/nonexistent/report", *SHORT])
        self.assertEqual(status, 1, err)
        self.assert_one_line(err)
        self.assertIn("/nonexistent/report", err)

    def test_output_file_on_a_full_disk(self):
        status, _, err = run(["locks", "-o", "/dev/full", *SHORT])
        self.assertEqual(status, 1, err)
        self.assertIn("/dev/full", err)


class Schema(Case):
    def schema(self):
        status, out, err = run(["--json-schema"])
        self.assertEqual((status, err), (0, ""))
        return json.loads(out)

    def test_schema_is_one(self):
        schema = self.schema()
        jsonschema.validators.validator_for(schema).check_schema(schema)

    def test_schema_is_strict(self):
        """A schema that anything fits would make the next test worthless."""
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate({}, self.schema())

    def test_locks_fit(self):
        schema = self.schema()
        document = self.locks_of_a_workload()
        jsonschema.validate(document, schema)
        self.assertGreater(len(document["locks"]), 0)
        broken = json.loads(json.dumps(document))
        broken["locks"][0]["waits"] = "many"
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)

    def locks_of_a_workload(self):
        with Workload("mutex") as work:
            return run_json(["locks", "-p", work.pid, "-d", "0.5s"])

    def test_names_that_must_stay(self):
        document = self.locks_of_a_workload()
        for name in ("schema", "interval_ns", "coverage", "locks", "idle_wait_ns"):
            self.assertIn(name, document)
        for name in ("events", "lost", "summarized", "stacks_incomplete"):
            self.assertIn(name, document["coverage"])
        lock = holdup.lock_named(document["locks"], "ledger_lock")
        for name in (
            "pid",
            "comm",
            "exe",
            "address",
            "kind",
            "waits",
            "sleeps",
            "wait_ns",
            "p50_ns",
            "p95_ns",
            "p99_ns",
            "max_ns",
            "waiters_now",
            "sites",
            "holders",
        ):
            self.assertIn(name, lock)


class Interrupt(Case):
    def interrupt(self, number, args=()):
        """Start, wait until it is attached, send a signal: (status, stdout, stderr)."""
        with Workload("mutex") as work, Running(
            ["locks", "-p", work.pid, "-d", "600s", *args]
        ) as tool:
            tool.attached()
            first = self.voluntary_switches(work.pid)
            holdup.wait_until(
                lambda: self.voluntary_switches(work.pid) > first + 200, 20, "the workload to wait"
            )
            return tool.stop(number)

    @staticmethod
    def voluntary_switches(pid):
        total = 0
        for tid in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError), open(
                f"/proc/{pid}/task/{tid}/status", encoding="ascii"
            ) as file:
                total += next(
                    int(line.split()[1])
                    for line in file
                    if line.startswith("voluntary_ctxt_switches")
                )
        return total

    def test_once_gives_the_report(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                status, out, err = self.interrupt(number, ["--json"])
                self.assertEqual(status, 0, err)
                lock = holdup.lock_named(json.loads(out)["locks"], "ledger_lock")
                self.assertGreater(lock["waits"], 0)

    def test_killed_leaves_nothing(self):
        status, _, _ = self.interrupt(signal.SIGKILL)
        self.assertEqual(status, -signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
