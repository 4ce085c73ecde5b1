# SPDX-License-Identifier: GPL-2.0-only
"""usage: guest_offcpu.py REPORT TRUTH | --sched REPORT

Compares a report of time off the CPU with what the threads of tests/workload/offcpu.c say of themselves."""

import json
import sys

SLACK_NS = 20_000_000
REASONS = {
    "sleep": "sleep", "pipe": "pipe", "fault": "fault", "spin": "preempted",
    "lock": "lock", "poll": "poll",
}  # fmt: skip


# Without a steady TSC the scheduler's clock, by which CPU time is accounted, is not that of events: sums differ.
with open("/sys/devices/system/clocksource/clocksource0/current_clocksource", encoding="ascii") as file:
    ONE_CLOCK = file.read().strip() in ("tsc", "kvm-clock")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def check_thread(row, thread, interval_ns):
    off_ns = thread["life_ns"] - thread["run_ns"]
    print(
        thread["kind"], f"{row['wait_ns'] / 1e6:.1f} of {off_ns / 1e6:.1f} ms off the CPU,",
        f"{row['runqueue_ns'] / 1e6:.1f} of {thread['delay_ns'] / 1e6:.1f} on a run queue:",
        ", ".join(f"{s['why']} {s['waits']}+{s['ongoing']} {s['wait_ns'] / 1e6:.1f}" for s in row["sites"][:4]),
        flush=True,
    )  # fmt: skip
    # A thread's own clock does not see its first and its last moment.
    unseen_ns = max(interval_ns - thread["life_ns"], 0)
    # On the host 1 % is asserted (test_offcpu.py). Here, where everything is emulated, a switch takes long, and page
    # faults have come out 2 % short for a reason that is not known.
    slack_ns = thread["life_ns"] / 20 + SLACK_NS
    for what, seen, true in (
        ("off the CPU", row["wait_ns"], off_ns),
        ("on a run queue", row["runqueue_ns"], thread["delay_ns"]),
    ):
        if not ONE_CLOCK:
            continue
        assert true - slack_ns <= seen <= true + slack_ns + unseen_ns, f"{thread}: {what} {seen}"
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
        check_thread(rows[one["tid"]], one, report["interval_ns"])
if sys.argv[1] == "--sched" or ONE_CLOCK:
    print("agrees")
else:
    print("reasons agree; sums are not compared: the clock source is neither tsc nor kvm-clock")
