#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: every BPF program loads there, counts of lock waits are exact, and stacks whole.
set -eu

echo "kernel $(uname -rm)"
"$HOLDUP_BUILD/holdup" doctor
exec /usr/bin/python3 -B "$(dirname "$0")/guest_locks.py"
