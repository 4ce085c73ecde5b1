# SPDX-License-Identifier: GPL-2.0-only
"""Looks at threads: what is no finding, whom they reach, what they cost; and what reads the documents they print."""

import json
import os
import shutil
import subprocess
import sys
import unittest

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
        os.kill(found, 9)


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
