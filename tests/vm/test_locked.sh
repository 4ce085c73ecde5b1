#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: a process whose address space stays locked does not keep holdup from ending. There a thread that is
# throttled keeps its locks meanwhile (until 6.18, where it is throttled as it leaves the kernel).
set -eu

echo "kernel $(uname -rm)"
HOLDUP_TEST_MIB=64 HOLDUP_TEST_LOOKS=2 exec /usr/bin/python3 -B "$(dirname "$0")/../integration/test_stacks_locked.py"
