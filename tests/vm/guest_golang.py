# SPDX-License-Identifier: GPL-2.0-only
"""usage: guest_golang.py sampled|counted REPORT TRUTH

Compares what holdup says of a Go program's waits with what the program says itself (tests/workload/go/load/waits)."""

import json
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


how, report, truth = sys.argv[1], load(sys.argv[2]), load(sys.argv[3])
print(how, truth, report["golang"], [(row["kind"], row["name"]) for row in report["locks"]], flush=True)
if how == "sampled":
    (row,) = [row for row in report["locks"] if row["kind"] == "go-mutex" and not row["label"]]
    functions = [frame["function"] for frame in row["sites"][0]["stack"]]
    assert "main.update" in functions, functions
    # A guest is slow, and looks are few.
    assert 0 < row["waits"] <= truth["waits"], row
    assert 0.5 < row["wait_ns"] / truth["wait_ns"] < 1.5, (row["wait_ns"], truth)
else:
    rows = [row for row in report["locks"] if row["kind"] == "go-waitgroup"]
    (row,) = [row for row in rows if row["name"].endswith(" main.runBatch")]
    assert row["waits"] == truth["slept"], (row["waits"], truth)
    assert 0.9 < row["wait_ns"] / truth["wait_ns"] < 1.02, (row["wait_ns"], truth)
    functions = [frame["function"] for frame in row["holders"][0]["stack"]]
    assert "main.runBatch.func1" in functions, functions
print("agrees")
