# SPDX-License-Identifier: GPL-2.0-only
"""Looks at threads: what is no finding, whom they reach, what they cost; and what reads the documents they print."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import unittest

import hang
import holdup
import jsonschema
import oracle

GOLDEN = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden"
)


class Looks(unittest.TestCase):
    def test_musl(self):
        """Its mutexes hold EBUSY, not a TID: nobody is dead."""
        options = ("--threads", 4, "--hold", 50000, "--until-told")
        for name in ("musl/mutex", "musl-static/mutex"):
            with holdup.Workload(name, *options) as program:
                pid = program.pid

                def wait(pid=pid):
                    document = holdup.run_json(["stacks", "-p", pid])
                    self.assertEqual(document["orphaned_locks"], [])
                    self.assertEqual(document["deadlocks"], [])
                    kinds = [row["wait"]["kind"] for row in document["threads"] if "wait" in row]
                    return kinds.count("mutex") > 1

                holdup.wait_until(wait, 30, "threads that wait for the mutex")
                status, out, err = holdup.run(["check", "-p", pid, "--for", "2s"])
                self.assertEqual((status, out), (0, ""), err)

    def test_raw(self):
        """The number of the call, the futex word and the pc are those that /proc tells."""
        with hang.Hang("cycle", "--how", "two") as program:
            for role in ("teller", "auditor"):
                thread = program[role]
                with open(f"/proc/{thread.pid}/task/{thread.tid}/syscall", encoding="ascii") as file:
                    number, word, *_, pc = file.read().split()
                status, out, err = holdup.run(["stacks", "--raw", "-p", thread.pid])
                self.assertEqual(status, 0, err)
                self.assertRegex(out, rf"call {number}\({word}, .*\) . ip {pc} ")
                self.assertRegex(out, rf"pcs {pc} 0x")

    def test_zombie(self):
        """It has ended: it neither moves nor is there anything of it to be read."""
        with subprocess.Popen(["true"]) as program:
            os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
            document = holdup.run_json(["stacks", "--all", "-p", program.pid])
        (row,) = document["threads"]
        self.assertEqual((row["state"], row["moved"]), ("exiting", False))
        coverage = document["coverage"]
        for name in ("moved", "retried", "processes_unreadable", "stacks_incomplete"):
            self.assertEqual(coverage[name], 0, name)

    def test_children_of_any_thread(self):
        """A child belongs to the thread that made it, and both to the program."""
        script = (
            "import subprocess, sys, threading\n"
            "run = lambda: subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
            "thread = threading.Thread(target=run)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        command = [sys.executable, "-c", script, holdup.workload("hang/cycle"), "--how", "two"]
        status, out, err = holdup.run(["check", "--timeout", "60s", "--", *command], timeout=90)
        self.assertEqual(status, 10, err)
        self.assertRegex(out, r"(?m)^deadlock: \d+ cycle: ")
        found = int(out.split("deadlock: ")[1].split()[0])
        with contextlib.suppress(ProcessLookupError):  # check may have ended it as well
            os.kill(found, 9)


class Kernel(unittest.TestCase):
    """The kernel's part of a stack: as far as the call that the thread is in."""

    def test_stack(self):
        with hang.Hang("cycle", "--how", "two") as program:
            document = hang.stacks(program.pids(), "--all")
            _, text, _ = holdup.run(["stacks", "-v", *hang.choose(program.pids())])
        for role, function in (("teller", "futex"), ("auditor", "futex"), ("cycle", "pause")):
            stack = hang.thread_of(document, program[role])["kernel_stack"]
            self.assertTrue(any(function in name for name in stack), (role, stack))
        self.assertRegex(text, r"(?m)^ +\w*futex\w* \(kernel\)$")


class PidNamespaces(unittest.TestCase):
    """Words of locks hold numbers that mean somebody else outside."""

    def inside(self, *args):
        """The command in a namespace of its own."""
        command = ["unshare", "--pid", "--fork", "--kill-child", *args, "--seconds", "100"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

    @staticmethod
    def family(pid):
        """A process and all below it."""
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
        return [pid] + [one for child in children for one in PidNamespaces.family(child)]

    def found(self, program, begins):
        """What check says of the program's processes, once it says anything."""
        program.stdout.readline()
        pids = self.family(program.pid)

        def look():
            status, lines = hang.check(pids)
            return lines if status == 10 else None

        (line,) = holdup.wait_until(look, 60, "a finding")
        self.assertTrue(line.startswith(begins), line)
        document = hang.stacks(pids)
        return pids, document

    def test_deadlock_of_processes(self):
        command = (holdup.workload("hang/cycle"), "--how", "processes")
        with self.inside(*command) as program:
            pids, document = self.found(program, "deadlock: ")
            program.kill()
        (cycle,) = hang.deadlocks_of(document)
        self.assertEqual(len(cycle), 2)
        self.assertLessEqual(set(cycle), set(pids))
        self.assertEqual(document["orphaned_locks"], [])

    def test_process_that_is_gone(self):
        command = (holdup.workload("hang/orphan"), "--how", "process")
        with self.inside(*command) as program:
            _, document = self.found(program, "orphaned lock: ")
            program.kill()
        self.assertEqual((len(document["orphaned_locks"]), document["deadlocks"]), (1, []))

    def test_owner_in_another_one(self):
        """Nobody else is named: neither the one who has that number here, nor a dead one."""
        with hang.Hang("apart") as program:
            pids = self.family(program.pid)
            self.assertEqual(len(pids), 2)
            for chosen in (pids, pids[:1]):
                document = hang.stacks(chosen, "--all")
                wait = hang.thread_of(document, program["apart"])["wait"]
                self.assertEqual((wait["kind"], wait["held_by"]), ("mutex", "unknown"))
                self.assertEqual((document["deadlocks"], document["orphaned_locks"]), ([], []))
                self.assertEqual(hang.check(chosen), (0, []))


class Goldens(unittest.TestCase):
    def test_json(self):
        with open(os.path.join(GOLDEN, "stacks.json"), encoding="utf-8") as file:
            document = json.load(file)
        jsonschema.validate(document, oracle.schema())
        for name in ("threads", "groups", "deadlocks", "orphaned_locks", "chains"):
            self.assertTrue(document[name], name)
            broken = dict(document, **{name: [dict(document[name][0], unknown=1)]})
            with self.assertRaises(jsonschema.ValidationError, msg=name):
                jsonschema.validate(broken, oracle.schema())

    def test_dot(self):
        """Every node is declared, and hostile names are inside their quotes; Graphviz, where it is, agrees."""
        path = os.path.join(GOLDEN, "stacks.dot")
        with open(path, encoding="utf-8") as file:
            lines = [line.strip().rstrip(";") for line in file]
        nodes = {line.split(" [")[0] for line in lines if " [" in line and "->" not in line}
        edges = [line.split(" -> ") for line in lines if "->" in line]
        self.assertTrue(edges)
        self.assertEqual([edge for edge in edges if not set(edge) <= nodes], [])
        if shutil.which("dot"):
            run = subprocess.run(["dot", "-Tplain", path], capture_output=True, text=True, timeout=60)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            drawn = sum(line.startswith("node ") for line in run.stdout.splitlines())
            self.assertEqual(drawn, len(nodes))


if __name__ == "__main__":
    unittest.main()
