#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: a deadlock of two threads is found, and a program without one has none; before 5.15, whose
# iterator gives no registers, by /proc, which does not tell times.
set -eu

echo "kernel $(uname -rm)"
hang=$HOLDUP_BUILD/tests/workload/hang
holdup=$HOLDUP_BUILD/holdup

"$hang/cycle" --how recursive >/tmp/near &
near=$!
"$hang/cycle" --how two >/tmp/cycle &
cycle=$!
trap 'kill $near $cycle' EXIT
# Each says when it hangs; the guest is slow.
for _ in $(seq 600); do
	[ -s /tmp/near ] && [ -s /tmp/cycle ] && break
	sleep 0.1
done

found=0
for _ in $(seq 50); do
	status=0
	"$holdup" check -p "$cycle" >/tmp/found || status=$?
	[ "$status" = 10 ] && found=1 && break
	[ "$status" = 0 ]
	sleep 0.1
done
cat /tmp/found
[ "$found" = 1 ]
grep -q "^deadlock: $cycle cycle: .*ledger_lock" /tmp/found
grep -q audit_lock /tmp/found

"$holdup" stacks -p "$cycle" | tee /tmp/report
grep -q 'take_second' /tmp/report
grep -q -e 'nothing missed' -e '· times not known' -e '| times not known' /tmp/report
"$holdup" check -p "$near"
