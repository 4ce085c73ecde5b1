# SPDX-License-Identifier: GPL-2.0-only
"""Comparing what `holdup stacks` and `holdup check` find with what a program of tests/workload/hang
says of itself.
"""

import re
import unittest

import hang


def address(lock):
    return int(lock["address"], 16)


class Case(unittest.TestCase):
    """A test of what is found in a program that hangs, or only looks like it."""

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
