# SPDX-License-Identifier: GPL-2.0-only
"""The short version of `make test-leaks-healthy`: each program for some seconds."""

import os
import subprocess
import sys
import unittest

import holdup

RUN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "healthy", "run")


class Healthy(unittest.TestCase):
    def silent(self, program):
        done = subprocess.run(
            [sys.executable, RUN, "--build", holdup.BUILD, "--seconds", "12", "--min-age", "3", program],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, rf"^{program}: 0 suspects in 1\d s, .* growth known")

    def test_nginx(self):
        self.silent("nginx")

    def test_redis(self):
        self.silent("redis")

    def test_postgres(self):
        self.silent("postgres")

    def test_java(self):
        self.silent("java")

    def test_node(self):
        self.silent("node")

    def test_python(self):
        self.silent("python")


if __name__ == "__main__":
    unittest.main()
