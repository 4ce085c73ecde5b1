# SPDX-License-Identifier: GPL-2.0-only
"""In a guest: `holdup threads` beside programs that know the lives of their threads.

A guest is slow, so the crowds are small. Kernels without bpf_loop() have no stacks by unwind tables: there the places
are told apart by what the threads run.
"""

import os
import platform
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "integration")]

from test_threads import Threads, lives, musl_returns, process_of, watch  # noqa: E402

UNWINDS = tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= (5, 17)
PREEMPTS = tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= (7, 0)
FEW = ("--count", 8)
WAYS = ("joined-late", "unjoined", "detached-anyhow", "exited", "cancelled", "tried", "left")


class Guest(Threads):
    def watch(self, *args):
        """A short program can be over before a guest that is slow has read its files, which holdup then says of its
        stacks: it is run again.
        """
        for _ in range(3):
            truth, document = watch(lives(*args))
            (process,) = [row for row in document["processes"] if row["pid"] == truth["pid"]]
            if all(site["complete"] for site in process["sites"]) or not UNWINDS:
                break
        return truth, document

    def check(self, library, way, *args):
        truth, document = self.watch(library, way, *FEW, *args)
        musl_returns(library, truth)
        process = process_of(document, truth["pid"])
        coverage = document["coverage"]
        for key in ("lost", "summarized", "calls_lost", "unmatched", "malformed", "probes_failed"):
            self.assertEqual(coverage[key], 0, (key, coverage))
        for key in ("created", "exited", "unjoined"):
            self.assertEqual(process[key], sum(site[key] for site in truth["sites"]), key)
        # Where threads are preempted within tracepoints, others pass by without the program before it can turn that
        # off (bpf/lifetimes.bpf.c), which emulation makes likely: then how they ended is not known, and told so.
        unseen = process["ended"]["unseen"] if PREEMPTS else 0
        for site in truth["sites"]:
            self.assertGreaterEqual(
                process["ended"][site["ended"]] + unseen, site["exited"], process
            )
        self.assertTrue(process["over"])
        if UNWINDS and not coverage["processes_unnamed"]:
            self.assert_sites(process, truth, over=not unseen)

    def test_c11(self):
        self.check("", "c11")

    def test_storm(self):
        self.check("", "storm", "--count", 2000)

    def test_storm_detached(self):
        self.check("", "storm-detached", "--count", 2000)


for library_ in ("", "musl/"):
    for way_ in WAYS:

        def method(self, library=library_, way=way_):
            self.check(library, way)

        setattr(Guest, "test_" + (library_ + way_).replace("/", "_").replace("-", "_"), method)

if __name__ == "__main__":
    del Threads  # it has no tests of its own
    unittest.main(verbosity=2)
