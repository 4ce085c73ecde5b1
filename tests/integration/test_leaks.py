# SPDX-License-Identifier: GPL-2.0-only
"""`holdup leaks` beside programs that leak threads, each in a way that it knows, and healthy ones."""

import json
import os
import signal
import tempfile
import unittest

import holdup
import jsonschema
import leak
import oracle
from leak import Leak

ENDED_BY_ALARM = 128 + signal.SIGALRM
SHORT = ("--min-age", "1s", "--for", "4s")


def without_start(name):
    """The start routine is the library's own, which has no name in stripped files."""
    return "leaks_cxx" in name or "leaks_rust" in name


class Case(unittest.TestCase):
    maxDiff = None

    def valid(self, document):
        jsonschema.validate(document, oracle.schema())
        return document

    def suspects(self, document, reason):
        found = [row for row in document["suspects"] if row["reason"] == reason]
        for row in found:
            self.assertTrue(row["evidence"])
            if row["created_by"]:  # a process that grows in all has none
                self.assertGreater(row["oldest_ns"], 0)
        return found

    def one(self, document, reason):
        found = self.suspects(document, reason)
        self.assertEqual(len(found), 1, [(r["reason"], r["evidence"]) for r in document["suspects"]])
        return found[0]

    def created(self, row, told):
        """Where its threads are created is what the program says."""
        self.assertEqual(leak.place(row["created_by"]), (told["function"], told["file"], told["line"]))


class FromTheStart(Case):
    """Watched from the first instruction on: where threads were created is known."""

    def watch(self, name, *args, seconds=9, options=("--min-age", "1s", "--for", "6s")):
        """The document, and what the program said of itself."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "report.json")
            command = leak.command_of(name, [*args, "--seconds", seconds])
            status, out, err = holdup.run(
                ["leaks", "--json", "-o", path, *options, "--", *command], timeout=100
            )
            self.assertEqual(status, ENDED_BY_ALARM, err)
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        return self.valid(document), json.loads(out.splitlines()[0])

    def unjoined(self, name, how):
        document, truth = self.watch(name, "--how", how, "--count", 7)
        (told,) = truth["suspects"]
        row = self.one(document, "unjoined")
        self.assertEqual((row["count"], row["pid"], row["exact"]), (7, truth["pid"], True))
        self.created(row, told)
        self.assertEqual(row["stack"], [])
        if "musl" not in name:
            self.assertGreaterEqual(row["stack_bytes"], 7 * 64 * 1024)
        if told["start"]:
            self.assertEqual([f["function"] for f in row["start"]], [told["start"]])

    @holdup.timeout(240)
    def test_unjoined(self):
        for name in ("leaks", "static/leaks", "musl/leaks", "musl-static/leaks"):
            with self.subTest(name):
                self.unjoined(name, "unjoined")

    @holdup.timeout(240)
    def test_unjoined_cxx(self):
        for how in ("thread", "jthread", "async"):
            with self.subTest(how):
                self.unjoined("leaks_cxx", how)

    def test_blocked(self):
        document, truth = self.watch("leaks", "--how", "blocked", "--count", 6)
        (told,) = truth["suspects"]
        row = self.one(document, "blocked-forever")
        self.assertEqual((row["count"], row["pid"]), (6, truth["pid"]))
        self.created(row, told)
        self.assertIn("wait_for_answer", [f["function"] for f in row["stack"]])
        self.assertIn("no waker left", row["evidence"])

    def test_blocked_cxx(self):
        document, truth = self.watch("leaks_cxx", "--how", "detached", "--count", 6)
        row = self.one(document, "blocked-forever")
        self.assertEqual(row["count"], 6)
        self.created(row, truth["suspects"][0])

    def test_same_line(self):
        document, truth = self.watch("leaks", "--how", "same-line", "--count", 9)
        row = self.one(document, "same-line")
        self.assertEqual((row["count"], row["lock"]), (9, "ledger_lock"))
        self.created(row, truth["suspects"][0])
        self.assertIn("append_entry", [f["function"] for f in row["stack"]])

    def test_orphaned(self):
        document, truth = self.watch("leaks", "--how", "orphaned")
        row = self.one(document, "orphaned")
        self.assertEqual((row["count"], row["lock"], row["exact"]), (2, "ledger_lock", True))
        self.created(row, truth["suspects"][0])


class Running(Case):
    """Programs that leaked before holdup looked."""

    def look(self, name, *args, reason):
        with Leak(name, *args) as program:
            document = self.valid(leak.leaks("-p", program.pid, *SHORT))
        return self.one(document, reason), program.truth["suspects"][0]

    def test_unjoined(self):
        row, told = self.look("leaks", "--how", "unjoined", "--count", 12, reason="unjoined")
        self.assertEqual((row["count"], row["created_by"]), (12, []))
        self.assertEqual([f["function"] for f in row["start"]], [told["start"]])

    def test_unjoined_rust(self):
        row, _ = self.look("leaks_rust", "forgotten", 12, reason="unjoined")
        self.assertEqual(row["count"], 12)

    def test_blocked(self):
        for name, args in (
            ("leaks", ("--how", "blocked", "--count", 6)),
            ("static/leaks", ("--how", "blocked", "--count", 6)),
            ("leaks_rust", ("blocked", 6)),
        ):
            with self.subTest(name):
                row, _ = self.look(name, *args, reason="blocked-forever")
                self.assertEqual(row["count"], 6)
                functions = " ".join(f["function"] for f in row["stack"])
                self.assertIn("wait_for_answer", functions)

    def test_thread(self):
        """-t: the process of a thread."""
        with Leak("leaks", "--how", "same-line") as program:
            tid = max(map(int, os.listdir(f"/proc/{program.pid}/task")))
            document = leak.leaks("-t", tid, *SHORT)
        self.assertEqual(self.one(document, "same-line")["pid"], program.pid)

    def test_deadlock(self):
        """The finding of `check` is one of threads that are blocked for ever, too."""
        import hang

        with hang.Hang("cycle", "--how", "two") as program:
            document = self.valid(leak.leaks("-p", program.pid, *SHORT))
        row = self.one(document, "blocked-forever")
        self.assertEqual((row["count"], row["exact"]), (2, True))

    def test_min_age(self):
        """Nothing is that old yet."""
        with Leak("leaks", "--how", "unjoined") as program:
            document = leak.leaks("-p", program.pid, "--for", "2s", "--min-age", "1h")
        self.assertEqual(document["suspects"], [])


class Growing(Case):
    def grows(self, name, *args, reason="growing"):
        """Found, though the machine may be busy for a while; where it is created is exact."""

        def look():
            document = self.valid(
                leak.leaks("-p", program.pid, "--for", "8s", "--min-age", "30s")
            )
            found = [r for r in self.suspects(document, reason) if r["created_by"]]
            return found

        with Leak(name, *args) as program:
            (row,) = holdup.wait_until(look, 60, f"{name} to grow")
        return row, program.truth["suspects"][0]

    @holdup.timeout(300)
    def test_c(self):
        for how in ("growing", "unbounded"):
            with self.subTest(how):
                row, told = self.grows("leaks", "--how", how)
                self.created(row, told)
                self.assertEqual([f["function"] for f in row["start"]], [told["start"]])
                self.assertGreater(row["growth_per_min"], 60)
                self.assertGreater(row["sure"], 0.99)

    @holdup.timeout(300)
    def test_others(self):
        for name, args in (("leaks_cxx", ("--how", "growing")), ("leaks_rust", ("growing",))):
            with self.subTest(name):
                row, told = self.grows(name, *args)
                self.created(row, told)

    def test_python(self):
        row, _ = self.grows("leaks.py", "growing")
        self.assertGreater(row["growth_per_min"], 60)

    def test_unjoined(self):
        """Threads that end, and pile up unjoined."""

        def look():
            document = leak.leaks("-p", program.pid, "--for", "6s", "--min-age", "1s")
            return [r for r in self.suspects(document, "unjoined") if r["created_by"]]

        with Leak("leaks", "--how", "growing-unjoined") as program:
            (row,) = holdup.wait_until(look, 60, "unjoined threads")
        self.created(row, program.truth["suspects"][0])
        self.assertGreater(row["growth_per_min"], 60)


class Healthy(Case):
    """False alarms are bugs."""

    WAYS = (
        "pool fill detach-before detach-after join-later join-all idle-pool workers watchdog "
        "connections fork exec timers load"
    ).split()

    def silent(self, name, *args):
        with Leak(name, *args) as program:
            # Whoever joins some time later does so within that, on a busy machine, too.
            options = ("--min-age", "3s", "--for", "5s")
            document = self.valid(leak.leaks("-p", program.pid, *options))
        self.assertEqual(document["suspects"], [], (name, args))
        self.assertGreater(document["threads"], 0)

    @holdup.timeout(400)
    def test_c(self):
        for how in self.WAYS:
            with self.subTest(how):
                self.silent("healthy", "--how", how, "--count", 8, "--every", 30)

    def test_python(self):
        for how in ("pool", "idle"):
            with self.subTest(how):
                self.silent("leaks.py", how, 6)


class Baseline(Case):
    def test_known(self):
        with Leak("leaks", "--how", "same-line", "--count", 6) as program, tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "report.json")
            options = ("-p", program.pid, *SHORT)
            status, _, err = holdup.run(["leaks", "--json", "-o", path, *options], timeout=60)
            self.assertEqual(status, 0, err)
            document = self.valid(leak.leaks("--baseline", path, *options))
            self.assertEqual((document["suspects"], document["in_baseline"]), ([], 1))
            # One less in the baseline than there is now: news, as far as it goes.
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
            report["suspects"][0]["count"] -= 1
            with open(path, "w", encoding="utf-8") as file:
                json.dump(report, file)
            row = self.one(leak.leaks("--baseline", path, *options), "same-line")
            self.assertEqual((row["count"], row["known"]), (6, 5))
            status, out, err = holdup.run(["leaks", "--baseline", path, *options], timeout=60)
            self.assertEqual(status, 0, err)
            self.assertIn("5 of them in the baseline", out)

    def test_hostile(self):
        """A bad file is told at once, whatever it is."""
        suspect = {"key": "0x1", "count": 1}
        report = {"schema": "holdup.leaks.v1", "suspects": [suspect]}
        files = [
            b"",
            b"{",
            b"[" * 100000,
            b"\xff\xfe\x00",
            b"{}",
            b'{"schema": "holdup.locks.v1", "suspects": []}',
            b'{"schema": "holdup.leaks.v1"}',
            json.dumps(dict(report, suspects=[1])).encode(),
            json.dumps(dict(report, suspects=[dict(suspect, key="1")])).encode(),
            json.dumps(dict(report, suspects=[dict(suspect, key="0x" + "f" * 17)])).encode(),
            json.dumps(dict(report, suspects=[dict(suspect, count=-1)])).encode(),
            json.dumps(dict(report, suspects=[dict(suspect, count=1.5)])).encode(),
        ]
        with tempfile.TemporaryDirectory() as directory:
            paths = [os.path.join(directory, "missing"), directory, os.path.join(directory, "fifo")]
            os.mkfifo(paths[-1])
            for number, content in enumerate(files):
                paths.append(os.path.join(directory, str(number)))
                with open(paths[-1], "wb") as file:
                    file.write(content)
            with open(os.path.join(directory, "huge"), "wb") as file:
                file.truncate(1 << 32)
                paths.append(file.name)
            for path in paths:
                with self.subTest(path):
                    status, out, err = holdup.run(["leaks", "--baseline", path, "--for", "1s"])
                    self.assertEqual((status, out), (2, ""))
                    self.assertIn("--baseline", err)


class Text(Case):
    def test_suspect(self):
        with Leak("leaks", "--how", "same-line", "--count", 6) as program:
            status, out, err = holdup.run(["leaks", "-p", program.pid, *SHORT], timeout=60)
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"(?m)^SAME-LINE  6 threads of leaks \(\d+\) .*oldest")
        self.assertIn("for mutex ledger_lock, held by leaks (", out)
        self.assertRegex(out, r"at +append_entry leaks\.c:\d+")
        self.assertRegex(out.splitlines()[0], r"\d+ threads of 1 process · .*suspect")

    def test_none(self):
        """What was looked at is said when nothing is found."""
        with Leak("healthy", "--how", "idle-pool", "--count", 6) as program:
            status, out, err = holdup.run(["leaks", "-p", program.pid, *SHORT], timeout=60)
        self.assertEqual(status, 0, err)
        self.assertIn("No thread is suspected: looked at what 7 threads wait for", out)


if __name__ == "__main__":
    unittest.main()
