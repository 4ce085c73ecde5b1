#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: every BPF program loads there, and the counts of a contended mutex are exact.
# A guest is slow and its clock uneven, so no time is compared.
set -eu

echo "kernel $(uname -r)"
"$HOLDUP_BUILD/holdup" doctor

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The workload prints what it knows on stdout; the report goes to a file.
"$HOLDUP_BUILD/holdup" locks --json -o "$out/report" -- \
	"$HOLDUP_BUILD/tests/workload/mutex" --threads 3 --count 200 --hold 500 >"$out/truth"

/usr/bin/python3 -B - "$out/truth" "$out/report" <<'PYTHON'
import json, sys

truth, report = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
known = [site for site in truth["locks"] if site["name"] == "ledger_lock"]
seen = [lock for lock in report["locks"] if lock["name"] == "ledger_lock"]
counts = {name: sum(site[name] for site in known) for name in ("slept", "sleeps")}
print("truth", counts)
print("report", [(lock["waits"], lock["sleeps"]) for lock in seen], report["coverage"])

assert counts["sleeps"] >= 100, "the workload hardly waited: nothing is tested"
assert len(seen) == 1, f"{len(seen)} locks named ledger_lock in the report"
assert report["coverage"]["lost"] == 0, "events were lost"
assert seen[0]["kind"] == "mutex", seen[0]["kind"]
assert seen[0]["sleeps"] == counts["sleeps"], "sleeps differ"
if report["coverage"]["futex_calls"]:
    # Wake calls that woke nobody were seen as well: they tell one attempt from the next.
    spare = 2 + counts["slept"] * 0.02
    assert abs(seen[0]["waits"] - counts["slept"]) <= spare, "waits are not the attempts"
else:
    # Told by CPU time, of which a slow guest needs more: bounds.
    assert 0 < seen[0]["waits"] <= counts["sleeps"], "more waits than sleeps, or none"
PYTHON
