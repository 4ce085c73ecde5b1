#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Time off the CPU on another kernel: every reason that a guest can bring about is told, sums are those of the
# threads' own clocks; where the kernel lacks what that takes, holdup says so.
set -eu

echo "kernel $(uname -rm)"
here=$(cd "$(dirname "$0")" && pwd)
holdup=$HOLDUP_BUILD/holdup
offcpu=$HOLDUP_BUILD/tests/workload/offcpu
cd /tmp

status=0
"$holdup" offcpu --by thread --idle --json -n 100 -o /tmp/report -- \
	"$offcpu" --for 5 sleep pipe fault spin spin lock poll >/tmp/truth 2>/tmp/said || status=$?
if [ "$status" = 3 ]; then
	cat /tmp/said
	grep -q 'from Linux 5.17 on' /tmp/said
	case $(uname -r) in 5.*) exit 0 ;; esac
fi
cat /tmp/said
[ "$status" = 0 ]
python3 "$here/guest_offcpu.py" /tmp/report /tmp/truth

# Of a CPU on which nothing happens nothing is known: something does on each.
sleepers=
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
	taskset -c "${cpu##*/cpu}" "$offcpu" --for 60 sleep >/dev/null &
	sleepers="$sleepers $!"
done
"$holdup" offcpu --sched -d 1s --json -o /tmp/sched
kill $sleepers
python3 "$here/guest_offcpu.py" --sched /tmp/sched

# A cgroup that may use a tenth of a CPU (v2).
group=/sys/fs/cgroup/holdup-test
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p $group
	echo '10000 100000' >$group/cpu.max
	sh -c 'echo $$ >/sys/fs/cgroup/holdup-test/cgroup.procs; exec "$0" --for 300 spin' "$offcpu" >/dev/null &
	until [ "$(cat /proc/$!/comm)" = offcpu ]; do sleep 0.1; done
	"$holdup" offcpu -p $! -d 2s --by reason | tee /tmp/throttled
	grep -q 'throttled by its cgroup' /tmp/throttled
	kill $!
fi

"$holdup" offcpu -d 1s --assume check-memo >/dev/null 2>/tmp/said
cat /tmp/said
grep -q 'remembered kernel stacks 0 were wrong' /tmp/said
