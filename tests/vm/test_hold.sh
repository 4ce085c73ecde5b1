#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: probes on lock functions load, a lock order that contradicts is found with both functions, one
# that does not has none; before 5.17 the message says what is needed.
set -eu

echo "kernel $(uname -rm)"
order=$HOLDUP_BUILD/tests/workload/order
holdup=$HOLDUP_BUILD/holdup

release=$(uname -r)
major=${release%%.*}
minor=${release#*.}
minor=${minor%%[!0-9]*}
if [ "$major" -lt 5 ] || { [ "$major" -eq 5 ] && [ "$minor" -lt 17 ]; }; then
	status=0
	"$holdup" locks --hold -- "$order" inverted 2>/tmp/said || status=$?
	cat /tmp/said
	[ "$status" = 3 ]
	grep -q '5\.17' /tmp/said
	exit 0
fi

# Held back until the probes are in place: the guest is slow.
mkfifo /tmp/go
watch() {
	"$order" "$1" --wait </tmp/go &
	pid=$!
	exec 3>/tmp/go
	"$holdup" locks --hold -v -d 60 -p "$pid" >/tmp/report 2>/tmp/said &
	watcher=$!
	for _ in $(seq 600); do
		grep -q ' probes' /tmp/said && break
		kill -0 "$watcher"
		sleep 0.1
	done
	echo go >&3
	exec 3>&-
	wait "$pid"
	wait "$watcher"
	cat /tmp/said /tmp/report
}

watch inverted
grep -q 'POSSIBLE DEADLOCK' /tmp/report
grep -q 'ledger_then_audit' /tmp/report
grep -q 'audit_then_ledger' /tmp/report
watch ordered
grep -q 'acquisitions' /tmp/report
! grep -q 'POSSIBLE DEADLOCK' /tmp/report

/usr/bin/python3 -B "$(dirname "$0")/guest_hold.py"
