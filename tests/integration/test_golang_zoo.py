# SPDX-License-Identifier: GPL-2.0-only
"""Go programs that hang or leak, each in a way of its own, and healthy ones like them: what `holdup stacks` says
of their goroutines. Function and line expected are those of the program's own source (workload/go/truth).
"""

import os
import unittest

import golang
import holdup

ZOO = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "go", "zoo"
)


class Zoo(unittest.TestCase):
    """Each program's goroutines are where its source says, wait for what it says, and are created there."""

    def check(self, name):
        for form, path in golang.builds(name):
            with self.subTest(form), golang.Program(path) as program:
                document = golang.stacks(program.pid)
                rows = golang.goroutines(document)
                for wait in program.truth["waits"]:
                    self.check_wait(wait, rows)
                    self.check_group(wait, document)
                (process,) = document["golang"]
                self.assertEqual(process["version"], program.truth["go"])
                self.assertEqual(process["goroutines"], len(rows))

    def check_wait(self, wait, rows):
        """The goroutines that the program says there are, and no others."""
        found = [row for row in rows if golang.is_at(row, wait)]
        self.assertEqual(
            sorted(row["goroutine"] for row in found), sorted(wait["goroutines"]), wait["role"]
        )
        for row in found:
            self.assertEqual(row["go_status"], "waiting")
            (created,) = [f for f in row["created_by"] if golang.shown(f)][-1:]
            self.assertEqual(
                (created["function"], created["line"]), (wait["created_by"], wait["created_line"])
            )
            if wait["kind"]:
                self.assertEqual(row["wait"]["kind"], wait["kind"])
            if wait["address"]:
                self.assertEqual(row["wait"]["address"], wait["address"])

    def check_group(self, wait, document):
        """Alike ones are one entry."""
        groups = [group for group in document["groups"] if golang.is_at(group, wait)]
        self.assertEqual([group["count"] for group in groups], [wait["count"]], wait["role"])


def add_tests():
    """One for each program; in `contended` goroutines never rest."""
    for name in sorted(set(os.listdir(ZOO)) - {"contended"}):
        method = holdup.timeout(300)(lambda self, name=name: self.check(name))
        setattr(Zoo, f"test_{name.replace('-', '_')}", method)


add_tests()


class Verdicts(unittest.TestCase):
    """What is found wrong, in whom, and that nothing is found in the healthy ones."""

    HEALTHY = (
        "after-func", "cond-workers", "contended", "errgroup", "finalizer", "hidden-holders", "http-idle", "pool",
        "signals", "sql-pool",
    )  # fmt: skip
    RUNS = 3
    FINDINGS = ("deadlocks", "orphaned_locks", "stuck")

    def each(self, name):
        """(program, what holdup stacks says of it) in each form, once it has been so for long enough."""
        for form, path in golang.builds(name):
            with golang.Program(path) as program:
                yield program, golang.stacks(program.pid)

    @staticmethod
    def ids(program, role):
        """The goroutines that have a role."""
        (wait,) = [wait for wait in program.truth["waits"] if wait["role"] == role]
        return sorted(wait["goroutines"])

    def check_exit(self, program, status, *words):
        """The exit status of holdup check, and that its only line has these words."""
        found, out, err = holdup.run(["check", "-p", program.pid], timeout=60)
        self.assertEqual(found, status, out + err)
        self.assertEqual(len(out.splitlines()), 1 if words else 0, out)
        for word in words:
            self.assertIn(word, out)

    def check_nothing(self, name):
        for program, document in self.each(name):
            for finding in self.FINDINGS:
                self.assertEqual(document[finding], [], finding)
            self.check_exit(program, 0)

    def held(self, name, holder, waiters):
        """A lock that somebody has while he does something slow: probably, and who waits behind him."""
        for program, document in self.each(name):
            (chain,) = document["chains"]
            (root,) = self.ids(program, holder)
            self.assertEqual(chain["root"]["goroutine"], root)
            self.assertEqual(chain["waiters"], sum(len(self.ids(program, w)) for w in waiters))
            (lock,) = chain["locks"]
            self.assertEqual((lock["held_by"], lock["owner_goroutine"]), ("probable", root))
            self.assertEqual(chain["root"]["call"], "IO wait")
            self.assertEqual([document[finding] for finding in self.FINDINGS], [[], [], []])
            self.check_exit(program, 0)

    @holdup.timeout(300)
    def test_slow_io(self):
        self.held("slow-io", "holder", ["waiter"])

    @holdup.timeout(300)
    def test_hidden_apart(self):
        """Each of those that are seen has one lock, though others lie close by; the one far into its object among them."""
        for _, document in self.each("hidden-holders"):
            for chain in document["chains"]:
                self.assertEqual(len(chain["locks"]), 1, chain)
                self.assertLessEqual(chain["waiters"], 2, chain)
            at = [{f["function"] for f in chain["root"]["stack"]} for chain in document["chains"]]
            self.assertTrue(any("main.(*wide).fill" in functions for functions in at), at)

    @holdup.timeout(300)
    def test_rw_writer(self):
        self.held("rw-writer", "holder", ["writer", "reader"])

    @holdup.timeout(300)
    def test_double_lock(self):
        for program, document in self.each("double-lock"):
            (deadlock,) = document["deadlocks"]
            self.assertEqual(
                [t["goroutine"] for t in deadlock["threads"]], self.ids(program, "teller")
            )
            self.check_exit(program, 10, "self-deadlock", "probabl")

    @holdup.timeout(300)
    def test_lock_order(self):
        for program, document in self.each("lock-order"):
            (deadlock,) = document["deadlocks"]
            both = self.ids(program, "transfer") + self.ids(program, "refund")
            self.assertEqual(sorted(t["goroutine"] for t in deadlock["threads"]), sorted(both))
            waits = {t["goroutine"]: t["waits_for"]["address"] for t in deadlock["threads"]}
            for wait in program.truth["waits"]:
                self.assertEqual(waits[wait["goroutines"][0]], wait["address"])
            self.check_exit(program, 10, "deadlock", "probabl")

    @holdup.timeout(300)
    def test_panic_lock(self):
        """Whoever locked it has returned: certain it can't be, for a lock may be unlocked by anybody."""
        for program, document in self.each("panic-lock"):
            (stuck,) = document["stuck"]
            self.assertEqual(stuck["reason"], "abandoned-lock")
            self.assertEqual(sorted(stuck["goroutines"]), self.ids(program, "waiter"))
            self.assertFalse(stuck["certain"])

    def nobody_left(self, name, *roles):
        """What they wait for is known to them alone, as far as can be seen from outside. Any word is taken for a reference, so
        that a stale one hides a leak now and then: all are to be found in one of some runs, and others never.
        """
        for form, path in golang.builds(name):
            with self.subTest(form):
                missed = [self.missed(path, roles)]
                while missed[-1] and len(missed) < self.RUNS:
                    missed.append(self.missed(path, roles))
                self.assertEqual(missed[-1:], [set()], missed)

    def missed(self, path, roles):
        """Who should have been found and was not, in one run."""
        with golang.Program(path) as program:
            document = golang.stacks(program.pid)
            found = [s for s in document["stuck"] if s["reason"] == "nobody-left"]
            self.assertFalse(any(stuck["certain"] for stuck in found))
            expected = {g for role in roles for g in self.ids(program, role)}
            left = {g for stuck in found for g in stuck["goroutines"]}
            self.assertLessEqual(left, expected)
            self.assertEqual(document["coverage"]["go_unsearched"], 0)
        return expected - left

    @holdup.timeout(300)
    def test_circular(self):
        self.nobody_left("circular", "ping", "pong")

    @holdup.timeout(300)
    def test_missing_done(self):
        self.nobody_left("missing-done", "collector")

    @holdup.timeout(300)
    def test_wg_copied(self):
        self.nobody_left("wg-copied", "gatherer")

    @holdup.timeout(300)
    def test_ctx_ignored(self):
        self.nobody_left("ctx-ignored", "follower")

    @holdup.timeout(300)
    def test_sem_exhausted(self):
        self.nobody_left("sem-exhausted", "worker")

    @holdup.timeout(300)
    def test_first_wins(self):
        self.nobody_left("first-wins", "loser", "counter")

    @holdup.timeout(300)
    def test_send_timeout(self):
        self.nobody_left("send-timeout", "sender")

    @holdup.timeout(300)
    def test_select_stuck(self):
        self.nobody_left("select-stuck", "relay")

    @holdup.timeout(300)
    def test_nil_channel(self):
        for program, document in self.each("nil-channel"):
            found = {(s["reason"], s["certain"], *s["goroutines"]) for s in document["stuck"]}
            nil = ("nil-channel", True)
            self.assertEqual(
                found,
                {(*nil, *self.ids(program, "sender")), (*nil, *self.ids(program, "receiver"))},
            )
            self.check_exit(program, 10, "nil channel")


def add_healthy():
    """One for each healthy program."""
    for name in Verdicts.HEALTHY:
        method = holdup.timeout(300)(lambda self, name=name: self.check_nothing(name))
        setattr(Verdicts, f"test_{name.replace('-', '_')}", method)


add_healthy()


class Collector(unittest.TestCase):
    """What Go's own collector found when it was told to look (1.27 does; 1.26 only if built so)."""

    @holdup.timeout(300)
    def test_first_wins(self):
        for form, path in golang.builds("first-wins"):
            with self.subTest(form), golang.Program(path) as program:
                found = program.ask("leaks")
                self.assertEqual(found is not None, golang.release(program) >= 27)
                if found is not None:
                    self.check(program, found)

    def check(self, program, found):
        leaked = sorted(g for wait in program.truth["waits"] for g in wait["goroutines"])
        self.assertEqual(found, len(leaked))
        document = golang.stacks(program.pid)
        rows = golang.goroutines(document)
        self.assertEqual(
            sorted(row["goroutine"] for row in rows if row["go_status"] == "leaked"), leaked
        )
        self.assertEqual(
            {(stuck["reason"], stuck["certain"]) for stuck in document["stuck"]}, {("leaked", True)}
        )
        self.assertEqual(sorted(g for s in document["stuck"] for g in s["goroutines"]), leaked)
        self.assertEqual(document["golang"][0]["leaked"], found)
        for wait in program.truth["waits"]:
            (stuck,) = [s for s in document["stuck"] if golang.is_at(s, wait)]
            self.assertEqual(stuck["count"], wait["count"])
        status, out, err = holdup.run(["check", "-p", program.pid], timeout=60)
        self.assertEqual((status, out.count("garbage collector")), (10, 2), out + err)


class Skips(unittest.TestCase):
    """A release that could not be had is said to be missing."""

    def test_all_releases(self):
        reasons = golang.missing()
        if reasons:
            self.skipTest("Go: " + "; ".join(reasons))


if __name__ == "__main__":
    unittest.main()
