#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# On another kernel: what leaks while it runs, and what a program leaves behind at its end.
set -eu

exec /usr/bin/python3 -B "$(dirname "$0")/guest_leaks.py"
