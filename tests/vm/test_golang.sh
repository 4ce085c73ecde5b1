#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: what goroutines wait for is seen from outside, and counted by probes, exactly; before 5.15 and
# on other machines than x86-64 the message says what that needs.
set -eu

echo "kernel $(uname -rm)"
here=$(cd "$(dirname "$0")" && pwd)
holdup=$HOLDUP_BUILD/holdup
waits=
for each in "$HOLDUP_BUILD"/go/*-plain/waits "$HOLDUP_BUILD"/go/*-stripped/waits; do
	[ ! -x "$each" ] || waits=$each
done
if [ "$(uname -m)" != x86_64 ]; then
	echo "Go programs for $(uname -m) are not built"
	exit 77
fi
if [ -z "$waits" ]; then
	echo "no Go: its programs are not built"
	exit 77
fi

"$holdup" locks --json -o /tmp/sampled -- "$waits" -how mutex -rounds 60 -hold 20ms >/tmp/truth
python3 "$here/guest_golang.py" sampled /tmp/sampled /tmp/truth

status=0
"$holdup" locks --json --idle --go-probes -o /tmp/counted -- \
	"$waits" -how waitgroup -rounds 60 -workers 3 -hold 20ms >/tmp/truth 2>/tmp/said || status=$?
cat /tmp/said
case $(uname -r) in
5.10.*)
	[ "$status" = 3 ]
	grep -q '5\.15' /tmp/said
	exit 0
	;;
esac
[ "$status" = 0 ]
python3 "$here/guest_golang.py" counted /tmp/counted /tmp/truth
