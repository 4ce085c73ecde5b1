# SPDX-License-Identifier: GPL-2.0-only
"""`holdup threads -p` of a Go program: its scheduler as the program itself counts it."""

import unittest

import golang
import holdup


class Sched(unittest.TestCase):
    def watched(self, name, *args):
        """(the program, what holdup says of it) for each form that there is."""
        for _, path in golang.builds(name):
            with golang.Program(path, *args) as program:
                command = ["threads", "-p", str(program.pid), "-d", "2s"]
                yield program, holdup.run_json(command, timeout=100)

    def check_sums(self, document):
        (go,) = document["golang"]
        self.assertEqual(go["why"], "")
        self.assertEqual(sum(go["statuses"].values()), go["goroutines"], go)
        self.assertEqual([p["id"] for p in go["ps"]], list(range(len(go["ps"]))))
        self.assertLessEqual(go["idle_ps"], len(go["ps"]))
        return go

    def test_at_rest(self):
        for program, document in self.watched("pool"):
            go = self.check_sums(document)
            waiting = sum(wait["count"] for wait in program.truth["waits"])
            self.assertEqual(go["version"], program.truth["go"])
            self.assertGreaterEqual(go["statuses"]["waiting"], waiting)
            self.assertLessEqual(go["exited"], go["created_in_all"])

    def test_births(self):
        """One goroutine is born every 50 ms, and none ends."""
        for program, document in self.watched("unbounded", "-every", "50ms"):
            go = self.check_sums(document)
            self.assertGreater(go["created"], 0)
            self.assertGreaterEqual(go["goroutines"] + go["exited"], go["created"])

    def test_other_programs(self):
        document = holdup.run_json(["threads", "-p", "1", "-d", "1s"], timeout=100)
        self.assertEqual(document["golang"], [])


if __name__ == "__main__":
    unittest.main()
