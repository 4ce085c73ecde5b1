# SPDX-License-Identifier: GPL-2.0-only
"""usage: guest_offcpu.py REPORT TRUTH | --sched REPORT

Compares a report of time off the CPU with what the threads of tests/workload/offcpu.c say of themselves."""

import json
import sys

SLACK_NS = 20_000_000  # a thread's begin and end, which its own clock does not see; guests are slow
REASONS = {
    "sleep": "sleep", "pipe": "pipe", "sync": "file", "fault": "fault", "spin": "preempted",
    "lock": "lock", "poll": "poll",
}  # fmt: skip


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def check_thread(row, thread):
    off_ns = thread["life_ns"] - thread["run_ns"]
    for what, seen, true in (
        ("off the CPU", row["wait_ns"], off_ns),
        ("on a run queue", row["runqueue_ns"], thread["delay_ns"]),
    ):
        off = abs(seen - true)
        assert off <= thread["life_ns"] / 100 + SLACK_NS, f"{thread}: {what} {seen}, not {true}"
    reasons = {site["reason"] for site in row["sites"]}
    wanted = REASONS.get(thread["kind"])
    assert wanted is None or wanted in reasons, f"{thread}: {reasons}"


def check_sched(report):
    assert report["cpus"] and report["processes"], report
    for cpu in report["cpus"]:
        assert 0 <= cpu["more_than_one"] <= cpu["busy"] <= 1.001, cpu
        assert abs(sum(cpu["length_ns"]) - report["interval_ns"]) < report["interval_ns"] / 10, cpu


if sys.argv[1] == "--sched":
    check_sched(load(sys.argv[2]))
else:
    report = load(sys.argv[1])
    assert report["coverage"]["lost"] == 0, report["coverage"]
    rows = {row["tid"]: row for row in report["threads"]}
    for one in load(sys.argv[2])["threads"]:
        check_thread(rows[one["tid"]], one)
print("agrees")
