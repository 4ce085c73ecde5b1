# SPDX-License-Identifier: GPL-2.0-only
"""In a guest: `holdup locks --hold` beside a crowd of threads that lock as fast as they can.

Probes' programs are interrupted in the midst of their work there, where the kernel preempts itself: every hold counts
once all the same, and none is longer than the run.
"""

import json
import os
import subprocess
import sys
import unittest
from subprocess import PIPE

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import holdup  # noqa: E402
from oracle import locks_of  # noqa: E402

REPORT = "/tmp/crowd.json"
LIMIT_S = 100


class Crowd(unittest.TestCase):
    def check(self, workload, *args):
        command = [holdup.HOLDUP, "locks", "--hold", "--json", "-n", "1000", "-o", REPORT]
        command += ["-d", str(LIMIT_S), "--", holdup.workload(workload), "--hold", "0", *args]
        run = subprocess.run(command, stdout=PIPE, text=True, timeout=2 * LIMIT_S, check=True)
        with open(REPORT, encoding="utf-8") as file:
            document = json.load(file)
        for lock in locks_of(json.loads(run.stdout)):
            (row,) = [row for row in lock.rows_of(document) if "hold" in row]
            hold = row["hold"]
            self.assertEqual(hold["acquisitions"], lock.attempts, lock)
            self.assertEqual(sum(site["acquisitions"] for site in hold["sites"]), lock.attempts)
            self.assertEqual((hold["unreleased"], hold["held_now"]), (0, 0), lock)
            self.assertLessEqual(hold["ns"], document["interval_ns"], lock)
            self.assertLessEqual(hold["max_ns"], hold["ns"], lock)

    def test_one_lock(self):
        self.check("mutex", "--threads", "8", "--count", "500")

    def test_many_locks(self):
        self.check("many", "--threads", "8", "--count", "1000")


if __name__ == "__main__":
    unittest.main()
