# SPDX-License-Identifier: GPL-2.0-only
"""`holdup stacks` and `holdup check` beside programs that change while they are looked at, that lie, or that
have very many threads; and how both commands end.
"""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import findings
import hang
import holdup
from hang import Hang
from holdup import Running

LONG_RUN = os.environ.get("HOLDUP_LONG_TESTS") == "1"
SNAPSHOTS, SNAPSHOTS_S = (1000, 600) if LONG_RUN else (200, 20)
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\udc80-\udcff]")  # all but the line's end


class Hostile(findings.Case):
    """Programs that change while they are looked at, or whose words lie."""

    def snapshots(self, program, look):
        """Look again and again; each look has to come to its end, and to be well-formed."""
        end = time.monotonic() + SNAPSHOTS_S
        for count in itertools.count(1):
            look()
            self.assertIsNone(program.process.poll())
            if count == SNAPSHOTS or time.monotonic() > end:
                break

    @holdup.timeout(SNAPSHOTS_S + 120)
    def test_words(self):
        """What is in the words is the liar's; that eight threads wait is true."""
        with Hang("hostile", "--how", "words", "--seconds", SNAPSHOTS_S + 100) as program:
            victims = {thread.tid for thread in program.threads if thread.lock}

            def look():
                document = hang.stacks(program.pids(), "--all")
                listed = {row["tid"] for row in document["threads"] if row.get("wait")}
                self.assertLessEqual(victims, listed)
                hang.check(program.pids())

            self.snapshots(program, look)
            self.assertTrue(program.still_asleep())

    @holdup.timeout(SNAPSHOTS_S + 120)
    def test_stacks(self):
        with Hang("hostile", "--how", "stacks", "--seconds", SNAPSHOTS_S + 100) as program:
            victims = {thread.tid for thread in program.threads if thread.lock}

            def look():
                document = hang.stacks(program.pids(), "--all")
                for row in document["threads"]:
                    if row["tid"] in victims:
                        self.assertLess(len(row["stack"]), 10000)

            self.snapshots(program, look)

    @holdup.timeout(240)
    def test_names(self):
        """Escapes for terminals, ends of lines and bytes that are no text: none comes through."""
        with Hang("hostile", "--how", "comm", "--seconds", 200) as program:
            again = program["again"]
            for _ in range(20):
                document = hang.stacks(program.pids(), "--all")
                self.assertEqual([set(c) for c in hang.deadlocks_of(document)], [{again.tid}])
                for args in (["stacks"], ["stacks", "--all"], ["stacks", "--dot"], ["check"]):
                    status, out, err = holdup.run([*args, *hang.choose(program.pids())])
                    self.assertEqual(status, 10 if args == ["check"] else 0, err)
                    self.assertIsNone(CONTROLS.search(out), repr(out))
                self.assertEqual(len(out.splitlines()), 1)

    def test_owner_that_is_gone(self):
        with Hang("hostile", "--how", "dead") as program:
            self.orphan(program, program.lock("lock"), [program["believer"]])

    def test_owner_is_who_waits(self):
        with Hang("hostile", "--how", "own") as program:
            believer = program["believer"]
            self.deadlock(program, [(believer, program.lock("lock"), believer)])

    def test_owner_in_another_process(self):
        """A lock that is this process's own can't be that one's."""
        with Hang("hostile", "--how", "foreign") as program:
            self.orphan(program, program.lock("lock"), [program["believer"]])

    def test_deep(self):
        with Hang("hostile", "--how", "deep") as program:
            document = self.silent(program)
            row = self.blocked(document, program["diver"])
            self.assertTrue(hang.has_functions(row["stack"], ["go_deeper"] * 10))
            self.assertEqual(row["wait"]["owner_tid"], program["keeper"].tid)

    @holdup.timeout(SNAPSHOTS_S + 120)
    def test_churn(self):
        """5,000 threads at a time begin and end: nothing is found, as nothing is stuck."""
        with Hang("hostile", "--how", "churn", "--seconds", SNAPSHOTS_S + 100) as program:

            def look():
                document = hang.stacks([program.pid], "--all")
                self.assertEqual((document["deadlocks"], document["orphaned_locks"]), ([], []))

            self.snapshots(program, look)
            self.assertEqual(hang.check([program.pid], "--for", "2s"), (0, []))


class Crowd(findings.Case):
    """Very many threads, blocked in five places."""

    PLACES = ("pool_get", "next_job", "next_datagram", "hang_sleep", "next_event")

    def crowd(self, count):
        with Hang("crowd", "--threads", count) as program:
            document = hang.stacks(program.pids(), timeout=60)
            everyone = hang.stacks(program.pids(), "--all", timeout=60)
            self.assertTrue(program.still_asleep())
        for function in self.PLACES:
            groups = [
                group
                for group in document["groups"]
                if hang.has_functions(group["stack"], [function, "work"])
            ]
            self.assertEqual([group["count"] for group in groups], [count // 5], function)
        rows = {row["tid"]: row for row in everyone["threads"]}
        for thread in program.threads:
            row = rows[thread.tid]
            self.assertTrue(hang.has_functions(row["stack"], thread.functions), str(thread))
        (chain,) = everyone["chains"]
        self.assertEqual(chain["waiters"], count // 5)
        self.assertEqual(chain["root"]["tid"], program["keeper"].tid)

    def test_three_thousand(self):
        self.crowd(3000)

    @holdup.timeout(300)
    def test_ten_thousand(self):
        self.crowd(10000)


class Check(findings.Case):
    """How `holdup check` ends, and what it does with a program of its own."""

    def test_for_a_while(self):
        """It looks until it finds something: what hangs later is found, too."""
        with Running(["check", "--comm", "cycle", "--for", "100s"]) as tool:
            with Hang("cycle", "--how", "two") as program:
                out, err = tool.process.communicate(timeout=60)
        self.assertEqual(tool.process.returncode, 10, err)
        (line,) = out.splitlines()
        self.assertTrue(line.startswith(f"deadlock: {program.pid} cycle: "), line)

    def test_program_that_hangs(self):
        args = ["check", "--timeout", "3s", "--", holdup.workload("hang/cycle"), "--how", "self"]
        status, out, err = holdup.run(args, timeout=60)
        self.assertEqual(status, 10, err)
        self.assertIn("self-deadlock: ", out)
        said = next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
        self.assertFalse(os.path.exists(f"/proc/{said['pid']}"), "it still runs")

    def test_program_that_ends(self):
        for script, expected in (("exit 0", 0), ("exit 7", 7)):
            status, out, err = holdup.run(["check", "--", "sh", "-c", script])
            self.assertEqual((status, out), (expected, ""), err)

    def test_no_such_process(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        status, out, err = holdup.run(["check", "-p", ended.pid])
        self.assertEqual((status, out), (1, ""))
        self.assertIn(str(ended.pid), err)

    def test_not_permitted(self):
        for command in ("check", "stacks"):
            nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", holdup.HOLDUP]
            status, out, err = holdup.run([*nobody, command], program="setpriv")
            self.assertEqual((status, out), (3, ""))
            self.assertNotEqual(err, "")


class Watch(findings.Case):
    def test_longer_than(self):
        """Threads that have been blocked so long are printed, with their stacks, and once."""
        options = ["--watch", "--longer-than", "200ms", "--comm", "cycle"]
        with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as out:
            with open(out.name, "wb") as to:
                tool = subprocess.Popen([holdup.HOLDUP, "stacks", *options], stdout=to)
            try:
                with contextlib.ExitStack() as stack:
                    programs = [stack.enter_context(Hang("cycle")) for _ in range(2)]
                    first = [str(programs[0][role].tid) for role in ("teller", "auditor")]
                    self.printed(out, programs)
                    before = self.text_of(out)
                    self.printed(out, [stack.enter_context(Hang("cycle", "--how", "five"))])
                    after = self.text_of(out)
            finally:
                tool.send_signal(signal.SIGINT)
                self.assertEqual(tool.wait(20), 0)
        self.assertIn("take_second", before)
        self.assertIn("ledger_lock", before)
        for tid in first:
            found = [len(re.findall(rf"\b{tid}\b", text)) for text in (before, after)]
            self.assertEqual(*found)

    def test_longer_than_ever(self):
        """Nobody has been blocked since before the machine was started."""
        options = ["--watch", "--longer-than", "200000h", "-i", "100ms", "-d", "1s", "--idle"]
        with Hang("cycle") as program:
            args = ["stacks", *options, *hang.choose(program.pids())]
            self.assertEqual(holdup.run(args, timeout=60), (0, "", ""))

    @staticmethod
    def text_of(file):
        file.seek(0)
        return file.read()

    def printed(self, file, programs):
        """Wait until the threads with locks are in the file, the line of the last one whole."""
        tids = [t.tid for program in programs for t in program.threads if t.lock]

        def all_there():
            text = self.text_of(file)
            return text.endswith("\n") and all(re.search(rf"\b{tid}\b", text) for tid in tids)

        holdup.wait_until(all_there, 30, f"{tids} to be printed")


if __name__ == "__main__":
    unittest.main()
