# SPDX-License-Identifier: GPL-2.0-only
"""What holdup can still do once it watches: few capabilities, in every thread, and a filter of system calls."""

import os
import platform
import re
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import holdup  # noqa: E402
from holdup import Running  # noqa: E402

# include/uapi/linux/capability.h
KEPT = {
    "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7, "SYS_PTRACE": 19, "SYS_NICE": 23, "SYSLOG": 34,
    "PERFMON": 38, "BPF": 39, "CHECKPOINT_RESTORE": 40,
}  # fmt: skip
MASK = sum(1 << number for number in KEPT.values())
SECCOMP_MODE_FILTER = "2"  # include/uapi/linux/seccomp.h
KERNEL = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
ATTACH_S = 100  # a guest is slow, and verifies much
ENDS_S = 60
HEADLINE = re.compile(r" process(?:es)? with threads · ")  # of a report: one process, or another number


def status_of(pid, tid):
    """The fields of a thread's status; None: it has ended."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return None


def threads_of(pid):
    """The status of each thread that lives."""
    return [
        status
        for tid in os.listdir(f"/proc/{pid}/task")
        if (status := status_of(pid, tid)) and status["State"][0] not in "ZX"
    ]


def capabilities(status, which):
    return int(status[which], 16)


class Privileges(unittest.TestCase):
    maxDiff = None

    def given_up(self, args, attached=None):
        """While it runs with these arguments: what every thread of it may."""
        with Running(args) as tool:

            def dropped():
                self.assertIsNone(tool.process.poll(), "it ended by itself")
                threads = threads_of(tool.pid)
                return threads and all(t["Seccomp"] == SECCOMP_MODE_FILTER for t in threads)

            holdup.wait_until(dropped, ATTACH_S, "a filter in every thread")
            # The capabilities go right after the filter has come.
            holdup.wait_until(
                lambda: all(
                    not capabilities(t, "CapPrm") & ~MASK for t in threads_of(tool.pid)
                ),
                ATTACH_S,
                f"few capabilities in every thread of {args}",
            )
            if attached:
                attached(tool)
            threads = threads_of(tool.pid)
            out_of = tool.stop(signal.SIGINT, timeout=ENDS_S)
        self.assertEqual(out_of[0], 0, out_of[2])
        for thread in threads:
            for which in ("CapEff", "CapPrm"):
                self.assertEqual(capabilities(thread, which) & ~MASK, 0, thread)
            self.assertEqual(capabilities(thread, "CapInh"), 0, thread)
            self.assertEqual(capabilities(thread, "CapAmb"), 0, thread)
            self.assertEqual(thread["Seccomp"], SECCOMP_MODE_FILTER, thread)
            self.assertEqual(thread["NoNewPrivs"], "1", thread)
        return out_of[1], out_of[2]

    def test_locks(self):
        _, err = self.given_up(["locks", "-d", "600s"])
        self.assertNotIn("privileges", err)

    def test_threads(self):
        """It goes first while lives are watched, and gives that up and takes it again for each report."""
        with tempfile.TemporaryDirectory() as place:
            report = os.path.join(place, "report")

            def reported(tool):
                def twice():
                    self.assertIsNone(tool.process.poll(), "it ended by itself")
                    with open(report, encoding="utf-8") as file:
                        return len(HEADLINE.findall(file.read())) >= 2

                holdup.wait_until(twice, ATTACH_S, "two reports")
                holdup.wait_until(
                    lambda: os.getpriority(os.PRIO_PROCESS, tool.pid) == -20, ATTACH_S, "to go first"
                )

            args = ["threads", "-v", "-i", "200ms", "-d", "600s", "-o", report]
            _, err = self.given_up(args, reported)
        self.assertNotIn("priority", err)
        self.assertNotIn("privileges", err)

    def test_stacks_watch(self):
        """Also in the threads that come later, one for each look."""

        def longer(tool):
            looks = set()

            def several():
                looks.update(os.listdir(f"/proc/{tool.pid}/task"))
                return len(looks) > 3  # its own, the watchdog, and two that looked

            holdup.wait_until(several, ATTACH_S, "some looks")

        options = ["--watch", "--longer-than", "1ms", "-i", "100ms", "--idle", "-o", os.devnull]
        if KERNEL >= (5, 15):  # before that --watch says that it can't
            self.given_up(["stacks", *options], longer)

    def test_check(self):
        """It goes by /proc where there is no iterator, with no more privileges."""
        with Running(["check", "-p", str(os.getpid()), "--for", "600s"]) as tool:
            holdup.wait_until(
                lambda: all(
                    not capabilities(t, "CapPrm") & ~MASK and t["Seccomp"] == SECCOMP_MODE_FILTER
                    for t in threads_of(tool.pid)
                ),
                ATTACH_S,
                "few capabilities in every thread of check",
            )
            status, _, err = tool.stop(signal.SIGINT, timeout=ENDS_S)
        self.assertEqual(status, 0, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
