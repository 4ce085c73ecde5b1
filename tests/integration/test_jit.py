# SPDX-License-Identifier: GPL-2.0-only
"""Code that a runtime generates: its functions have the names of the perf map that it writes."""

import os
import subprocess
import tempfile
import unittest

import holdup

NODE = "/usr/bin/node"
# Interpreted functions are code of their own, too, so that it does not matter when they are compiled.
OPTIONS = ("--perf-basic-prof", "--interpreted-frames-native-stack", f"--logfile={os.devnull}")
SCRIPT = """
const cell = new Int32Array(new SharedArrayBuffer(8));
function waitForBatch() { return Atomics.wait(cell, 0, 0, 2); }
function consume(n) { let r = 0; while (n--) r += waitForBatch().length; return r; }
function serve() { console.log('ready'); for (;;) consume(50); }
serve();
"""
CALLS = ["waitForBatch", "consume", "serve"]  # innermost first


class Node(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.script = os.path.join(directory.name, "wait.js")
        with open(self.script, "w", encoding="ascii") as file:
            file.write(SCRIPT)
        self.node = subprocess.Popen(
            [NODE, *OPTIONS, self.script], stdout=subprocess.PIPE, text=True, cwd=directory.name
        )
        self.addCleanup(self.end)
        self.assertEqual(self.node.stdout.readline(), "ready\n")

    def end(self):
        self.node.kill()
        self.node.stdout.close()
        self.node.wait()
        os.unlink(f"/tmp/perf-{self.node.pid}.map")

    def test_functions_are_named(self):
        report = holdup.run_json(["locks", "--idle", "-p", self.node.pid, "-d", "1s"])
        stacks = [site["stack"] for lock in report["locks"] for site in lock["sites"]]
        waiting = [s for s in stacks if any("Atomics" in frame["function"] for frame in s)]
        self.assertTrue(waiting, stacks)
        for stack in waiting:
            jitted = [frame for frame in stack if frame["module"] == "[jit]"]
            named = [frame["function"] for frame in jitted if self.script in frame["function"]]
            # "JS:~consume /tmp/…/wait.js:4:17", and last the file's own code, without a name
            functions = [name.split(" ")[0].lstrip("JS:~*^+") for name in named]
            self.assertEqual(functions[: len(CALLS)], CALLS, stack)


if __name__ == "__main__":
    unittest.main()
