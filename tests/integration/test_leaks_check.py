# SPDX-License-Identifier: GPL-2.0-only
"""`holdup check -- PROGRAM`: what is left when a program ends."""

import os
import signal
import subprocess
import tempfile
import unittest

import holdup
import leak


def content(path):
    """Of a file that may not be there yet."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="ascii") as file:
        return file.read().strip()


class AtTheEnd(unittest.TestCase):
    maxDiff = None

    def left(self, name, *args, options=(), kind=None, count=None):
        """Something is left: exit status 10, and this line among others; it."""
        status, truth, lines = leak.check(name, *args, "--end", "--status", 3, options=options)
        self.assertEqual(status, 10, lines)
        told = truth["suspects"][0]
        begin = f"{kind}: {truth['pid']} "
        (line,) = [line for line in lines if line.startswith(begin)]
        if count:
            self.assertRegex(line, rf": {count} threads? ")
        return line, told, lines

    def created(self, line, told):
        place = f"{told['function']} {told['file']}:{told['line']}"
        self.assertIn(f"; created at {place}", line)

    @holdup.timeout(240)
    def test_unjoined(self):
        for name in ("leaks", "static/leaks", "musl/leaks", "musl-static/leaks"):
            with self.subTest(name):
                args = ("--how", "unjoined", "--count", 4)
                line, told, lines = self.left(name, *args, kind="unjoined", count=4)
                self.created(line, told)
                self.assertIn("started in work_once leaks.c:", line)
                self.assertEqual(len(lines), 1, lines)
                if "musl" not in name:
                    self.assertRegex(line, r"stacks hold \d+\.\d MiB")

    @holdup.timeout(240)
    def test_cxx(self):
        for how in ("thread", "jthread", "async"):
            with self.subTest(how):
                line, told, _ = self.left(
                    "leaks_cxx", "--how", how, "--count", 3, kind="unjoined", count=3
                )
                self.created(line, told)

    def test_rust(self):
        status, truth, lines = leak.check("leaks_rust", "forgotten", 3, "end")
        self.assertEqual((status, len(lines)), (10, 1), lines)
        told = truth["suspects"][0]
        self.assertRegex(lines[0], rf"^unjoined: {truth['pid']} leaks_rust: 3 threads ")
        self.assertIn(f"{told['function']} {told['file']}:{told['line']}", lines[0])

    def test_running(self):
        for how in ("running", "timed"):
            with self.subTest(how):
                line, told, lines = self.left(
                    "leaks", "--how", how, "--count", 4, kind="still running", count=4
                )
                self.created(line, told)
                self.assertEqual(len(lines), 1, lines)

    def test_blocked(self):
        for name in ("leaks", "musl-static/leaks"):
            with self.subTest(name):
                args = ("--how", "blocked", "--count", 4)
                line, told, lines = self.left(name, *args, kind="blocked", count=4)
                self.created(line, told)
                self.assertRegex(line, r"waits for semaphore .* at wait_for_answer leaks\.c:\d+")
                self.assertEqual(len(lines), 1, lines)

    def test_orphaned(self):
        line, told, lines = self.left("leaks", "--how", "orphaned", kind="blocked", count=2)
        self.created(line, told)
        self.assertRegex("\n".join(lines), r"(?m)^orphaned lock: .* mutex ledger_lock held by tid \d+")

    def test_died_with_a_lock(self):
        for name in ("leaks", "static/leaks"):
            with self.subTest(name):
                line, _, lines = self.left(name, "--how", "died", kind="died holding a lock")
                self.assertRegex(line, r"mutex ledger_lock held by tid \d+, which is gone$")
                self.assertEqual(len(lines), 1, lines)

    def test_ignore(self):
        """By the start routine, by where it is, by where it was created."""
        args = ("leaks", "--how", "blocked", "--end", "--status", 3)
        for pattern in ("handle_request", "wait_for_*", "serve_request", "*"):
            with self.subTest(pattern):
                status, _, lines = leak.check(*args, options=("--ignore", pattern))
                self.assertEqual((status, lines), (3, []))
        status, _, lines = leak.check(*args, options=("--ignore", "handle", "--ignore", "x*"))
        self.assertEqual(status, 10, lines)

    def test_own_status(self):
        """Nothing is left: the program's own status, and silence."""
        for status in (0, 3):
            with self.subTest(status):
                args = ("--how", "idle-pool", "--end", "--status", status)
                found, _, lines = leak.check("healthy", *args)
                self.assertEqual((found, lines), (status, []))

    def test_python(self):
        """Executors are joined; daemon threads may be left, that is what they are for."""
        for how in ("end", "daemons"):
            with self.subTest(how):
                status, _, lines = leak.check("leaks.py", how, 4)
                self.assertEqual((status, lines), (0, []))

    def test_runtimes(self):
        """What runtimes keep for themselves is none of the program's."""
        for command in (
            ["node", "-e", "require('fs').readFile('/etc/passwd', () => process.exit(4))"],
            ["java", "-Xmx64m", "-version"],
        ):
            with self.subTest(command[0]):
                _, out, err = holdup.run(["check", "--", *command], timeout=100)
                for kind in ("unjoined", "still running", "blocked", "died holding"):
                    self.assertNotRegex(out, f"(?m)^{kind}", err)

    def test_without_a_look(self):
        """Where the program's end can't be waited for: by births and deaths, if with less. Where threads were
        created is known if the program lived long enough to be looked at.
        """
        options = ("--assume", "no-last-look")
        for how, kind in (("unjoined", "unjoined"), ("timed", "still running")):
            with self.subTest(how):
                args = ("leaks", "--how", how, "--count", 4, "--linger", 1000)
                line, told, lines = self.left(*args, options=options, kind=kind, count=4)
                self.assertEqual(len(lines), 1, lines)
                self.assertIn("started in ", line)
                self.created(line, told)
        args = ("healthy", "--how", "idle-pool", "--end", "--status", 3)
        status, _, lines = leak.check(*args, options=options)
        self.assertEqual((status, lines), (3, []))

    def test_killed(self):
        """There is no end to look at: its status says it."""
        command = ["sh", "-c", "kill -9 $$"]
        self.assertEqual(holdup.run(["check", "--", *command])[0], 128 + signal.SIGKILL)

    def test_children(self):
        """Each process of the program is looked at; this one's parent has nothing left."""
        command = leak.command_of("leaks", ["--how", "unjoined", "--count", "2", "--end"])
        script = " ".join(command) + "; for i in 1 2 3 4 5 6; do /bin/true; done; exit 6"
        status, out, err = holdup.run(["check", "--", "sh", "-c", script], timeout=60)
        self.assertEqual(status, 10, err)
        self.assertRegex(out, r"(?m)^unjoined: \d+ leaks: 2 threads ")

    def test_not_there(self):
        self.assertEqual(holdup.run(["check", "--", "/nonexistent"])[0], 127)

    def test_usage(self):
        for options in (["--ignore", "x"], ["--ignore", "", "--", "true"]):
            status, _, err = holdup.run(["check", *options])
            self.assertEqual(status, 2)
            self.assertIn("--ignore", err)


class Waiting(unittest.TestCase):
    """The program's processes wait in exit_group: nobody may be left waiting."""

    def keepers(self):
        """Processes that let others go."""
        found = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                    text = stat.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "(holdup-exits)" in text and text.rpartition(")")[2].split()[0] != "Z":
                found.add(int(pid))
        return found

    def test_holdup_is_killed(self):
        """The program ends well all the same, and nothing of holdup is left then."""
        before = self.keepers()
        with tempfile.TemporaryDirectory() as directory:
            begun, status = os.path.join(directory, "begun"), os.path.join(directory, "status")
            # cat ends when its standard input does, by exit_group().
            script = f"echo > {begun}; cat; echo $? > {status}"
            with subprocess.Popen(
                [holdup.HOLDUP, "check", "--", "sh", "-c", script], stdin=subprocess.PIPE
            ) as process:
                holdup.wait_until(lambda: os.path.exists(begun), 30, "the program")
                self.assertTrue(self.keepers() - before)
                process.kill()
                process.stdin.close()
                process.wait()
            self.assertEqual(holdup.wait_until(lambda: content(status), 30, "the end"), "0")
        holdup.wait_until(lambda: not self.keepers() - before, 30, "the keeper to end")

    def test_outlived(self):
        """A child that is left behind ends well, too."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "status")
            script = f"(sh -c 'sleep 1; exit 5' </dev/null >/dev/null 2>&1; echo $? > {path}) & exit 4"
            self.assertEqual(holdup.run(["check", "--", "sh", "-c", script])[0], 4)
            self.assertEqual(holdup.wait_until(lambda: content(path), 30, "the end"), "5")

    def test_within_another(self):
        """The inner one says that it can't look; the outer one looks."""
        command = leak.command_of("leaks", ["--how", "timed", "--count", "2", "--end"])
        inner = [holdup.HOLDUP, "check", "--", *command]
        status, out, err = holdup.run(["check", "--", *inner], timeout=90)
        self.assertEqual(status, 10, err)
        self.assertIn("looked at already", err)
        self.assertRegex(out, r"(?m)^still running: \d+ leaks: 2 threads ")


if __name__ == "__main__":
    unittest.main()
