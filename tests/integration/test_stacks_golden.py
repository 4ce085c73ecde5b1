# SPDX-License-Identifier: GPL-2.0-only
"""What unit tests hold the views of `holdup stacks` to is as its readers want it: the schema, and Graphviz."""

import json
import os
import shutil
import subprocess
import unittest

import jsonschema

import oracle

GOLDEN = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden"
)


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
