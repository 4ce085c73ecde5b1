# SPDX-License-Identifier: GPL-2.0-only
"""Programs that hang, each with the finding that `holdup stacks` and `holdup check` must have; busy
ones that look like it, about which both must be silent; and hostile ones, which must do no harm.
"""

import itertools
import os
import re
import time
import unittest

import hang
import holdup
import jsonschema
import oracle
from hang import Hang

LONG_RUN = os.environ.get("HOLDUP_LONG_TESTS") == "1"
SNAPSHOTS, SNAPSHOTS_S = (1000, 600) if LONG_RUN else (200, 20)
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\udc80-\udcff]")  # all but the line's end


def address(lock):
    return int(lock["address"], 16)


class Zoo(unittest.TestCase):
    """What tests of findings have in common."""

    maxDiff = None

    def silent(self, program, *options):
        """Neither command finds anything; the document."""
        document = hang.stacks(program.pids(), "--all")
        self.assertEqual((document["deadlocks"], document["orphaned_locks"]), ([], []))
        self.assertEqual(hang.check(program.pids(), *options), (0, []))
        return document

    def line_of(self, program, begins):
        """`holdup check` says one thing, which begins like that, and the process; the line."""
        status, lines = hang.check(program.pids())
        self.assertEqual((status, len(lines)), (10, 1), lines)
        (line,) = lines
        self.assertRegex(line, rf"^{begins}: ({'|'.join(map(str, program.pids()))}) ")
        return line

    def blocked(self, document, thread):
        """A thread is listed as its workload says; its row."""
        row = hang.thread_of(document, thread)
        self.assertEqual(row["comm"], thread.role)
        wait = row["wait"]
        self.assertIn(wait["call"], thread.calls + ["ppoll"] * ("poll" in thread.calls))
        known_ns = wait.get("blocked_ns") or wait.get("blocked_at_least_ns")
        self.assertGreater(known_ns, 0, wait)
        self.assertTrue(hang.has_functions(row["stack"], thread.functions), row["stack"])
        if thread.lock and "futex" in thread.calls:
            self.assertTrue(thread.covers(int(wait["address"], 16)), wait)
            self.assertEqual(wait["name"], thread.lock["name"])
            self.assertEqual(wait["kind"], thread.lock["kind"])
        return row

    def deadlock(self, program, edges, named=True):
        """One cycle and nothing else.  edges: (thread, lock or None: it joins, who holds it)."""
        document = hang.stacks(program.pids(), "--all")
        self.assertEqual(document["orphaned_locks"], [])
        (found,) = document["deadlocks"]
        rows = {row["tid"]: row for row in found["threads"]}
        self.assertEqual(len(rows), len(found["threads"]))
        self.assertEqual(set(rows), {thread.tid for thread, _, _ in edges})
        for thread, lock, holder in edges:
            row = rows[thread.tid]
            self.assertEqual((row["pid"], row["held_by"]), (thread.pid, holder.tid), str(thread))
            if lock:
                self.assertEqual(int(row["waits_for"]["address"], 16), address(lock), str(thread))
            if lock and named:
                self.assertEqual(row["waits_for"]["name"], lock["name"])
                wait = self.blocked(document, thread)["wait"]
                self.assertEqual(wait["owner_tid"], holder.tid)
        line = self.line_of(program, "self-deadlock" if len(edges) == 1 else "deadlock")
        for thread, lock, holder in edges:
            self.assertIn(str(thread.tid), line)
            if len(edges) > 1:
                name = lock["name"] if lock and named else ""
                self.assertRegex(
                    line, rf"tid {thread.tid} waits for [^;]*{re.escape(name)}.* {holder.tid}\b"
                )
            elif named:
                self.assertIn(lock["name"], line)
        return document

    def orphan(self, program, lock, waiters, named=True):
        """One lock of the dead and nothing else."""
        document = hang.stacks(program.pids(), "--all")
        self.assertEqual(document["deadlocks"], [])
        (found,) = document["orphaned_locks"]
        places = {(lock["pid"], address(lock))}
        places |= {(t.pid, address(t.lock)) for t in waiters if t.lock}
        self.assertIn((found["pid"], int(found["address"], 16)), places)
        self.assertEqual(found["owner_tid"], lock["owner_tid"])
        tids = {row["tid"] if isinstance(row, dict) else row for row in found["waiters"]}
        self.assertEqual(tids, {thread.tid for thread in waiters})
        line = self.line_of(program, "orphaned lock")
        self.assertRegex(line, rf"\b{lock['owner_tid']}\b")
        if named:
            self.assertEqual(found["name"], lock["name"])
            self.assertIn(lock["name"], line)
        return document

    def chain(self, program, root, locks, waiters):
        """One chain of threads behind the root, which is named with what it does and what it has of
        the locks; each waiter's own row names the next one in the chain.
        """
        document = self.silent(program)
        (found,) = document["chains"]
        self.assertEqual(found["waiters"], len(waiters))
        by_name = {lock["name"]: lock for lock in locks}
        roots = {lock["name"] for lock in locks if lock["owner_tid"] == root.tid}
        self.assertLessEqual(roots, {lock["name"] for lock in found["locks"]})
        for lock in found["locks"]:
            known = by_name[lock["name"]]
            self.assertEqual(
                (lock["pid"], int(lock["address"], 16), lock["owner_tid"]),
                (known["pid"], address(known), known["owner_tid"]),
            )
        end = found["root"]
        self.assertEqual((end["pid"], end["tid"], end["comm"]), (root.pid, root.tid, root.role))
        if root.calls:
            self.assertIn(end["call"], root.calls + ["ppoll"])
        self.assertTrue(hang.has_functions(end["stack"], root.functions), end["stack"])
        for thread in waiters:
            wait = self.blocked(document, thread)["wait"]
            self.assertEqual(wait["owner_tid"], thread.lock["owner_tid"], str(thread))
        return document, end


class Deadlocks(Zoo):
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


class Orphans(Zoo):
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


class Holders(Zoo):
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


class Lost(Zoo):
    """Waits for what never comes, which only people can know: shown, and no finding."""

    def test_signal(self):
        with Hang("lost", "--how", "signal") as program:
            row = self.blocked(self.silent(program), program["worker"])
            self.assertEqual(row["wait"]["kind"], "condvar")

    def test_join(self):
        with Hang("lost", "--how", "join") as program:
            wait = self.blocked(self.silent(program), program["joiner"])["wait"]
            self.assertEqual((wait["kind"], wait["owner_tid"]), ("join", program["endless"].tid))


class Runtimes(Zoo):
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


class NearMisses(Zoo):
    """Nothing of this is stuck: silence, however often and long one looks."""

    def near(self, how, workload="near"):
        with Hang(workload, "--how", how) as program:
            for _ in range(5):
                self.silent(program)
            self.assertEqual(hang.check(program.pids(), "--for", "2s"), (0, []))
            self.assertIsNone(program.process.poll())

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


class Hostile(Zoo):
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
        with Hang("hostile", "--how", "words") as program:
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
        with Hang("hostile", "--how", "stacks") as program:
            victims = {thread.tid for thread in program.threads if thread.lock}

            def look():
                document = hang.stacks(program.pids(), "--all")
                for row in document["threads"]:
                    if row["tid"] in victims:
                        self.assertLess(len(row["stack"]), 10000)

            self.snapshots(program, look)

    def test_names(self):
        """Escapes for terminals, ends of lines and bytes that are no text: none comes through."""
        with Hang("hostile", "--how", "comm") as program:
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
        with Hang("hostile", "--how", "churn") as program:

            def look():
                document = hang.stacks([program.pid], "--all")
                self.assertEqual((document["deadlocks"], document["orphaned_locks"]), ([], []))

            self.snapshots(program, look)
            self.assertEqual(hang.check([program.pid], "--for", "2s"), (0, []))


class Crowd(Zoo):
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


if __name__ == "__main__":
    unittest.main()
