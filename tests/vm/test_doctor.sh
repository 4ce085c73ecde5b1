#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: commands that doctor says yes to work there, and those that it says no to say what they need.
set -eu

echo "kernel $(uname -rm)"
"$HOLDUP_BUILD/holdup" doctor || echo "status $?"
exec /usr/bin/python3 -B "$(dirname "$0")/../integration/test_doctor.py"
