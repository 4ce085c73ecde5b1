# SPDX-License-Identifier: GPL-2.0-only
"""Programs that hang, each with the finding that `holdup stacks` and `holdup check` must have, and busy
ones that look like it, about which both must be silent.
"""

import unittest

import findings
import hang
import holdup
import jsonschema
import oracle
from hang import Hang


class Deadlocks(findings.Case):
    def two(self, program):
        teller, auditor = program["teller"], program["auditor"]
        ledger, audit = program.lock("ledger_lock"), program.lock("audit_lock")
        return self.deadlock(program, [(teller, audit, auditor), (auditor, ledger, teller)])

    def test_two(self):
        with Hang("cycle", "--how", "two") as program:
            document = self.two(program)
            self.assertTrue(program.still_asleep())
        self.assertEqual(document["chains"], [])

    def test_others_behind_it_are_not_in_it(self):
        with Hang("cycle", "--how", "two", "--threads", 3) as program:
            document = self.two(program)
            teller = program["teller"]
            for thread in program.all_of("behind"):
                self.assertEqual(self.blocked(document, thread)["wait"]["owner_tid"], teller.tid)

    def test_text(self):
        """The text says it first, with both locks and threads."""
        with Hang("cycle", "--how", "two") as program:
            status, out, err = holdup.run(["stacks", *hang.choose(program.pids())])
            self.assertEqual(status, 0, err)
            head = out[: out.index("take_second")]
            for word in ("deadlock", "ledger_lock", "audit_lock", "teller", "auditor"):
                self.assertIn(word, head)

    def test_dot(self):
        """A graph that has the two threads and an edge each."""
        with Hang("cycle", "--how", "two") as program:
            status, out, err = holdup.run(["stacks", "--dot", *hang.choose(program.pids())])
            self.assertEqual(status, 0, err)
            self.assertRegex(out, r"^(strict )?digraph\b")
            self.assertGreaterEqual(out.count("->"), 2)
            for word in ("ledger_lock", "audit_lock", str(program["teller"].tid)):
                self.assertIn(word, out)

    def test_document(self):
        """It keeps to the schema."""
        with Hang("cycle", "--how", "two", "--threads", 3) as program:
            jsonschema.validate(hang.stacks(program.pids(), "--all"), oracle.schema())

    def test_whole_machine(self):
        with Hang("cycle", "--how", "two") as program:
            document = holdup.run_json(["stacks"])
            tids = {program["teller"].tid, program["auditor"].tid}
            self.assertIn(tids, [set(cycle) for cycle in hang.deadlocks_of(document)])
            status, out, err = holdup.run(["check"])
            self.assertEqual(status, 10, err)
            self.assertIn(f"deadlock: {program.pid} ", out)

    def test_five(self):
        with Hang("cycle", "--how", "five") as program:
            diners = [program[f"diner-{i}"] for i in range(5)]
            after = diners[1:] + diners[:1]
            self.deadlock(program, [(one, one.lock, two) for one, two in zip(diners, after)])

    def test_rwlock(self):
        with Hang("cycle", "--how", "rwlock") as program:
            writer, indexer = program["writer"], program["indexer"]
            edges = [(writer, writer.lock, indexer), (indexer, indexer.lock, writer)]
            self.deadlock(program, edges)

    def test_processes(self):
        """Each has the locks at addresses of its own, where they have no name."""
        with Hang("cycle", "--how", "processes") as program:
            left, right = program["left"], program["right"]
            self.assertNotEqual(left.pid, right.pid)
            self.assertNotEqual(left.lock["address"], program.lock("right", right.pid)["address"])
            edges = [(left, left.lock, right), (right, right.lock, left)]
            self.deadlock(program, edges, named=False)

    def test_one_process_of_two(self):
        """Who looks at one of them only can't see the cycle, and must not make one up."""
        with Hang("cycle", "--how", "processes") as program:
            left, right = program["left"], program["right"]
            for cycle in hang.deadlocks_of(hang.stacks([left.pid])):
                self.assertEqual(set(cycle), {left.tid, right.tid})
            self.assertEqual(hang.stacks([left.pid])["orphaned_locks"], [])

    def test_self(self):
        with Hang("cycle", "--how", "self") as program:
            again = program["again"]
            document = self.deadlock(program, [(again, program.lock("ledger_lock"), again)])
            behind = self.blocked(document, program["behind"])
            self.assertEqual(behind["wait"]["owner_tid"], again.tid)

    def test_priority_inheritance(self):
        """The kernel sees the cycle; glibc then has the last one sleep on a word of its stack."""
        with Hang("cycle", "--how", "pi", exact=False) as program:
            teller, auditor = program["teller"], program["auditor"]
            edges = [(teller, teller.lock, auditor), (auditor, auditor.lock, teller)]
            self.deadlock(program, edges, named=False)

    def test_join_circle(self):
        with Hang("lost", "--how", "joins") as program:
            joiners = [program[f"joiner-{i}"] for i in range(3)]
            after = joiners[1:] + joiners[:1]
            self.deadlock(program, [(one, None, two) for one, two in zip(joiners, after)])

    def test_join_with_a_lock(self):
        with Hang("lost", "--how", "mixed") as program:
            worker, stopper = program["worker"], program["stopper"]
            lock = program.lock("queue_lock")
            self.deadlock(program, [(worker, lock, stopper), (stopper, None, worker)])

    def test_cxx_mutex(self):
        with Hang("cxxlocks", "--how", "mutex") as program:
            teller, auditor = program["teller"], program["auditor"]
            edges = [(teller, teller.lock, auditor), (auditor, auditor.lock, teller)]
            self.deadlock(program, edges)

    def test_cxx_shared_mutex(self):
        with Hang("cxxlocks", "--how", "shared") as program:
            teller, auditor = program["teller"], program["auditor"]
            edges = [(teller, teller.lock, auditor), (auditor, auditor.lock, teller)]
            self.deadlock(program, edges)


class Orphans(findings.Case):
    def by_thread(self, how, **options):
        with Hang("orphan", "--how", how, **options) as program:
            lock = program.lock("ledger_lock")
            document = self.orphan(program, lock, program.all_of("waiter"))
            self.assertTrue(program.still_asleep())
        return document

    def test_exit(self):
        self.by_thread("exit")

    def test_cancel(self):
        self.by_thread("cancel")

    def test_priority_inheritance(self):
        """The kernel refuses it; glibc then has its waiters sleep on a word of their stack."""
        self.by_thread("pi", exact=False)

    def test_the_owners_number_is_another_processs(self):
        self.by_thread("reused")

    def test_process(self):
        with Hang("orphan", "--how", "process") as program:
            waiters = [program["parent's"], program["other"]]
            self.orphan(program, program.lock("lock"), waiters, named=False)

    def test_robust(self):
        """Its next owner was told: it has an owner, and is none of the dead's."""
        with Hang("orphan", "--how", "robust") as program:
            self.chain(
                program,
                program["heir"],
                [program.lock("ledger_lock")],
                program.all_of("waiter"),
            )


class Holders(findings.Case):
    """A thread asleep in a call, with a lock that others wait for."""

    def holder(self, how):
        with Hang("holder", "--how", how) as program:
            holder, waiters = program["keeper"], program.all_of("appender")
            document, root = self.chain(program, holder, [program.lock("wal_lock")], waiters)
            row = self.blocked(document, holder)
            self.assertTrue(program.still_asleep())
        return program, row["wait"], root

    def test_sleep(self):
        _, wait, _ = self.holder("sleep")
        self.assertEqual(wait["kind"], "timer")

    def test_fsync(self):
        _, wait, _ = self.holder("fsync")
        self.assertEqual(wait["kind"], "file")

    def test_recv(self):
        _, wait, root = self.holder("recv")
        self.assertEqual(wait["kind"], "socket")
        self.assertIn("127.0.0.1", root["what"])

    def test_poll(self):
        _, wait, _ = self.holder("poll")
        self.assertEqual(wait["kind"], "poll")

    def test_waitpid(self):
        program, wait, root = self.holder("waitpid")
        self.assertEqual(wait["kind"], "child")
        self.assertIn(str(program["child"].pid), root["what"])

    def test_pipe(self):
        program, wait, root = self.holder("pipe")
        self.assertEqual(wait["kind"], "pipe")
        self.assertIn(str(program["writer"].pid), root["what"])

    def test_chain_of_locks(self):
        with Hang("holder", "--how", "chain") as program:
            links = [program[f"link-{name}"] for name in "abcd"]
            locks = [program.lock(f"{name}_lock") for name in ("first", "second", "third")]
            self.chain(program, links[3], locks, links[:3])

    def test_herd(self):
        with Hang("holder", "--threads", 41) as program:
            waiters = program.all_of("appender")
            self.chain(program, program["keeper"], [program.lock("wal_lock")], waiters)
            status, out, err = holdup.run(["stacks", *hang.choose(program.pids())])
            self.assertEqual(status, 0, err)
            self.assertRegex(out, r"\b41 threads\b")
            self.assertIn("wal_lock", out)


class Lost(findings.Case):
    """Waits for what never comes, which only people can know: shown, and no finding."""

    def test_signal(self):
        with Hang("lost", "--how", "signal") as program:
            row = self.blocked(self.silent(program), program["worker"])
            self.assertEqual(row["wait"]["kind"], "condvar")

    def test_join(self):
        with Hang("lost", "--how", "join") as program:
            wait = self.blocked(self.silent(program), program["joiner"])["wait"]
            self.assertEqual((wait["kind"], wait["owner_tid"]), ("join", program["endless"].tid))


class Runtimes(findings.Case):
    """Locks without a word that names the owner: what is known is said, and nothing made up."""

    def listed(self, program, roles, runtime):
        """The threads are there, each with a stack; the document."""

        def look():
            # One that wakes up now and then, and goes to sleep again, can be met awake.
            document = self.silent(program)
            rows = [hang.thread_of(document, t) for role in roles for t in program.all_of(role)]
            return all(row.get("wait") for row in rows) and (document, rows)

        document, rows = holdup.wait_until(look, 20, "all to be asleep at once")
        for row in rows:
            self.assertIn(row["wait"]["call"], ("futex", "clock_nanosleep", "nanosleep"))
            self.assertGreater(len(row["stack"]), 2)
            self.assertIn(runtime, row["runtime"])
        return document

    def test_rust(self):
        with Hang("deadlock") as program:
            document = hang.stacks(program.pids(), "--all")
            self.assertEqual(document["orphaned_locks"], [])
            for role in ("teller", "auditor"):
                row = hang.thread_of(document, program[role])
                self.assertEqual(row["wait"]["call"], "futex")
                self.assertIn(row["wait"]["kind"], ("mutex", "futex"))
                functions = " ".join(hang.functions_of(row["stack"]))
                self.assertIn("take_both", functions)
            # Two looks can't tell more than that both wait: a cycle must be the right one.
            for cycle in hang.deadlocks_of(document):
                self.assertEqual(set(cycle), {program["teller"].tid, program["auditor"].tid})

    def test_python_lock(self):
        with Hang("stuck.py", "lock") as program:
            self.listed(program, ["again", "behind"], "python")

    def test_python_gil(self):
        """Two threads want the interpreter's lock, whose owner sleeps in a C function."""
        with Hang("stuck.py", "gil") as program:
            document = self.listed(program, ["wanter", "stuck.py"], "python")
            for thread in program.all_of("wanter"):
                functions = hang.functions_of(hang.thread_of(document, thread)["stack"])
                self.assertTrue(
                    any("gil" in f or "Py" in f for f in functions if f), functions
                )

    def test_java_monitors(self):
        with Hang("Stuck") as program:
            self.listed(program, ["teller", "auditor"], "java")


class NearMisses(findings.Case):
    """Nothing of this is stuck: silence, however often and long one looks."""

    def near(self, how, workload="near"):
        with Hang(workload, "--how", how) as program:
            busy = [thread for thread in program.threads if not thread.calls]
            before = [hang.switches(thread.pid, thread.tid) for thread in busy]
            for _ in range(5):
                self.silent(program)
            self.assertEqual(hang.check(program.pids(), "--for", "2s"), (0, []))
            for thread, count in zip(busy, before):
                now = hang.switches(thread.pid, thread.tid)
                self.assertGreater(now, count, f"{thread} did not move")

    def test_long_hold(self):
        with Hang("near", "--how", "hold") as program:
            waiters = program.all_of("waiter")
            locks = [program.lock("ledger_lock")]
            self.chain(program, program["computer"], locks, waiters)
            self.assertEqual(hang.check(program.pids(), "--for", "2s"), (0, []))

    def test_trylock(self):
        self.near("trylock")

    def test_queue(self):
        self.near("queue")

    def test_timed(self):
        self.near("timed")

    def test_handover(self):
        self.near("handover")

    def test_threads_that_end(self):
        self.near("exits")

    def test_recursive(self):
        self.near("recursive", "cycle")

    def test_errorcheck(self):
        self.near("errorcheck", "cycle")

class WithoutIterator(unittest.TestCase):
    """By /proc, as on kernels before 5.15: the same is found, and times are not known."""

    OPTIONS = ("--assume", "no-iterator")

    def test_deadlock(self):
        with Hang("cycle", "--how", "two") as program:
            status, (line,) = hang.check(program.pids(), *self.OPTIONS)
            self.assertEqual(status, 10)
            self.assertRegex(line, f"^deadlock: {program.pid} cycle: .*ledger_lock")
            document = hang.stacks(program.pids(), "--all", *self.OPTIONS)
            self.assertTrue(document["coverage"]["times_unknown"])
            row = hang.thread_of(document, program["teller"])
            self.assertTrue(hang.has_functions(row["stack"], program["teller"].functions))

    def test_orphan(self):
        with Hang("orphan", "--how", "exit") as program:
            status, (line,) = hang.check(program.pids(), *self.OPTIONS)
            self.assertEqual(status, 10)
            self.assertRegex(line, f"^orphaned lock: {program.pid} orphan: .*ledger_lock")

    def test_silent(self):
        for name, how in (("cycle", "recursive"), ("near", "handover"), ("near", "trylock")):
            with self.subTest(how), Hang(name, "--how", how) as program:
                self.assertEqual(hang.check(program.pids(), *self.OPTIONS), (0, []))

    def test_watch(self):
        """Needs the times."""
        status, _, err = holdup.run(["stacks", "--watch", *self.OPTIONS])
        self.assertEqual(status, 3)
        self.assertIn("Linux 5.15", err)


if __name__ == "__main__":
    unittest.main()
