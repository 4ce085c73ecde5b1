# SPDX-License-Identifier: GPL-2.0-only
"""`holdup locks` on Go programs: what goroutines wait for, beside what the program's own clocks say
(tests/workload/go/load/waits).
"""

import json
import os
import platform
import time
import unittest

import golang
import holdup
import jsonschema
import oracle

SECONDS = 3
OFF = 0.2  # 130 looks at readers that wait all or none: three standard deviations of their share
READY = 0.2  # … which ends when it is made ready; until it runs, on a busy machine
EXACT = 0.05  # counted: the program's clock includes the way into and out of the call
SOURCE = os.path.join(
    os.path.dirname(__file__), "..", "workload", "go", "load", "waits", "main.go"
)
PROBES = platform.machine() == "x86_64"

# What -how makes them wait for: kind, the variable, the function and the call.
WAITS = {
    "mutex": ("go-mutex", "main.ledger", "main.update", "ledger.Lock()"),
    "short": ("go-mutex", "main.ledger", "main.addUp", "ledger.Lock()"),
    "rwmutex": ("go-rwmutex", "main.catalog", "main.lookUp", "catalog.RLock()"),
    "waitgroup": ("go-waitgroup", None, "main.runBatch", "wait.Wait()"),
    "chan": ("go-chan", None, "main.order", "orders <- 1"),
    "select": ("go-select", None, "main.choose", "select {"),
    "cond": ("go-cond", None, "main.listen", "bell.Wait()"),
}
CONTENTION = ("go-mutex", "go-rwmutex", "go-chan")
RELEASES = {
    "mutex": ("main.update", "ledger.Unlock()"),
    "short": ("main.addUp", "ledger.Unlock()"),
    "rwmutex": ("main.rewrite", "catalog.Unlock()"),
    "waitgroup": ("main.runBatch.func1", "wait.Done()"),
}


def line_of(function, call):
    """Of this call in that function of the workload (its closures are within it)."""
    within = False
    with open(SOURCE, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.startswith("func "):
                within = function.split(".")[1] in line.split("(")[0]
            if within and call in line:
                return number
    raise AssertionError(f"{call} is not in {function}")


def places(stack):
    return [(frame["function"], frame.get("line")) for frame in stack]


class Watching(unittest.TestCase):
    def watch(self, path, how, *options, args=()):
        """(wait time a second by the program itself, waits at most, the report, its one row of that kind)"""
        with golang.Program(path, "-how", how, *args) as program:
            command = ["locks", "--json", "-p", program.pid, "-d", "600s", "--idle", *options]
            with holdup.Running(command) as tool:
                tool.attached()
                before = program.ask("totals")
                time.sleep(SECONDS)  # that is what is measured
                after = program.ask("totals")
                status, out, err = tool.stop()
        self.assertEqual(status, 0, err)
        document = json.loads(out)
        jsonschema.validate(document, oracle.schema())
        took = after["now_ns"] - before["now_ns"]
        rate = (after["wait_ns"] - before["wait_ns"]) / took
        share = document["interval_ns"] / took  # the measurement takes a little longer
        most = (after["waits"] - before["waits"]) * max(share, 1) * 1.2 + 10
        rows = [row for row in document["locks"] if row["kind"] == WAITS[how][0]]
        self.assertEqual(len(rows), 1, document["locks"])
        return rate, most, document, rows[0]

    def check_place(self, how, row, named):
        kind, name, function, call = WAITS[how]
        self.assertEqual(row["runtime"], "go")
        self.assertEqual(row["idle"], kind not in CONTENTION)
        self.assertIn((function, line_of(function, call)), places(row["sites"][0]["stack"]))
        if name and named:
            self.assertEqual(row["name"], name)
        elif not name:
            self.assertIn(function, row["name"])


class Sampled(Watching):
    """Nothing is done to the program: it is looked at."""

    def check(self, how):
        for form, path in golang.builds("waits"):
            with self.subTest(form=form):
                rate, most, document, row = self.watch(path, how)
                self.check_place(how, row, "stripped" not in form)
                self.assertTrue(row["sampled"])
                share = row["wait_ns"] / document["interval_ns"] / rate
                with holdup.clocks():
                    self.assertLess(share, 1 + OFF, row)
                    self.assertGreater(share, 1 - OFF - READY, row)
                    self.assertLessEqual(row["waits"], most)
                (go,) = document["golang"]
                self.assertNotIn("error", go)
                self.assertEqual(go["beyond_ns"], 0)
                looks = go["looks_at_semaphores"] + go["looks_at_all"]
                with holdup.clocks():
                    self.assertGreater(looks, 5 * SECONDS)
                self.assertGreater(row["waits"], 10)

    def test_mutex(self):
        self.check("mutex")

    def test_short(self):
        self.check("short")

    def test_rwmutex(self):
        self.check("rwmutex")

    def test_waitgroup(self):
        self.check("waitgroup")

    def test_chan(self):
        self.check("chan")

    def test_select(self):
        self.check("select")

    def test_cond(self):
        self.check("cond")

    def test_whole_machine(self):
        """Go programs are found among all."""
        path = golang.builds("waits")[0][1]
        with golang.Program(path, "-how", "mutex") as program:
            document = holdup.run_json(["locks", "-d", "2s"], timeout=100)
            pids = {row["pid"] for row in document["locks"] if row["kind"] == "go-mutex"}
        self.assertIn(program.pid, pids)

    def test_intervals(self):
        """Each interval has its own waits."""
        path = golang.builds("waits")[0][1]
        with golang.Program(path, "-how", "mutex", "-workers", 3) as program:
            command = ["locks", "--json", "-p", program.pid, "-d", "3s", "-i", "1s"]
            status, out, err = holdup.run(command, timeout=100)
        self.assertEqual(status, 0, err)
        documents = [json.loads(line) for line in out.splitlines()]
        self.assertGreaterEqual(len(documents), 2)
        for document in documents[:-1]:
            (row,) = [row for row in document["locks"] if row["kind"] == "go-mutex"]
            with holdup.clocks():
                self.assertAlmostEqual(row["wait_ns"] / document["interval_ns"], 2, delta=0.5)

    def test_by_site_and_process(self):
        path = golang.builds("waits")[0][1]
        with golang.Program(path, "-how", "waitgroup") as program:
            command = ["locks", "-p", program.pid, "-d", "2s", "--idle", "--by"]
            by_site = holdup.run_json([*command, "site"], timeout=100)
            by_process = holdup.run_json([*command, "process"], timeout=100)
        jsonschema.validate(by_site, oracle.schema())
        jsonschema.validate(by_process, oracle.schema())
        (row,) = [row for row in by_site["locks"] if row["kind"] == "go-waitgroup"]
        self.assertGreater(row["locks"], 10)
        self.assertIn(True, [row["sampled"] for row in by_process["processes"]])

    def test_text(self):
        path = golang.builds("waits")[0][1]
        with golang.Program(path, "-how", "mutex") as program:
            status, out, err = holdup.run(
                ["locks", "-v", "-p", program.pid, "-d", "1s"], timeout=100
            )
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"(?m)^ +~\S+ m?s +100% +(≥|>)\d+ .* go-mutex +main\.ledger ")
        self.assertRegex(out, r"waits for locks seen \d+ times a second")
        self.assertIn("--go-probes", out)


@unittest.skipUnless(PROBES, "probes on Go's semaphores are for x86-64")
class Probed(Watching):
    """Every wait is counted, and who ends it."""

    def check(self, how):
        for form, path in golang.builds("waits"):
            with self.subTest(form=form):
                rate, most, document, row = self.watch(path, how, "--go-probes")
                self.check_place(how, row, "stripped" not in form)
                self.assertFalse(row["sampled"])
                share = row["wait_ns"] / document["interval_ns"] / rate
                with holdup.clocks():
                    self.assertAlmostEqual(share, 1, delta=EXACT, msg=str(row))
                    self.assertLessEqual(row["waits"], most)
                self.assertGreaterEqual(row["sleeps"], row["waits"])
                self.assertLessEqual(row["p50_ns"], row["p99_ns"])
                self.assertLessEqual(row["p99_ns"], row["max_ns"])
                self.check_releaser(how, row)

    def check_releaser(self, how, row):
        function, call = RELEASES[how]
        first = row["holders"][0]
        self.assertEqual(first["known_by"], "waker")
        self.assertGreater(first["goroutine"], 0)
        self.assertIn((function, line_of(function, call)), places(first["stack"]))
        with holdup.clocks():
            self.assertLess(row["holder_unknown_ns"] / row["wait_ns"], 0.1)

    def test_mutex(self):
        self.check("mutex")

    def test_short(self):
        self.check("short")

    def test_rwmutex(self):
        self.check("rwmutex")

    def test_waitgroup(self):
        self.check("waitgroup")

    def test_exact(self):
        """From its first instruction to its last: each wait of a wait group, no more and no less."""
        for form, path in golang.builds("waits"):
            if "plain" not in form and "stripped" not in form:
                continue  # where the text begins is not known before others run
            command = [path, "-how", "waitgroup", "-rounds", "200", "-hold", "4ms"]
            with self.subTest(form=form):
                out, (document,), _ = oracle.watch(command, "--idle", "--go-probes")
                truth = json.loads(out)
                rows = [row for row in document["locks"] if row["kind"] == "go-waitgroup"]
                rows = [row for row in rows if row["name"].endswith(" main.runBatch")]
                self.assertEqual(len(rows), 1, document["locks"])
                (row,) = rows
                self.assertEqual(row["waits"], truth["slept"])
                self.assertEqual(row["ongoing"], 0)
                with holdup.clocks():
                    self.assertAlmostEqual(row["wait_ns"] / truth["wait_ns"], 1, delta=EXACT)

    def test_begun_before(self):
        """They wait already, and go on waiting: for as long as they were looked at."""
        for form, path in golang.builds("waits"):
            args = ("-hold", "1h", "-workers", 3)
            with self.subTest(form=form):
                _, _, document, row = self.watch(path, "waitgroup", "--go-probes", args=args)
                self.assertEqual((row["waits"], row["ongoing"]), (3, 3))
                self.assertEqual((row["waiters_now"], row["holders"]), (3, []))
                share = row["wait_ns"] / document["interval_ns"]
                with holdup.clocks():
                    self.assertAlmostEqual(share, 3, delta=3 * EXACT)

    def test_usage(self):
        status, _, err = holdup.run(["locks", "--go-probes", "-d", "1s"])
        self.assertEqual(status, 2)
        self.assertIn("-p", err)

    def test_no_go_program(self):
        status, _, err = holdup.run(["locks", "--go-probes", "-p", os.getpid(), "-d", "1s"])
        self.assertEqual(status, 3, err)
        self.assertIn("Go program", err)


if __name__ == "__main__":
    unittest.main()
