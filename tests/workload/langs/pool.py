# SPDX-License-Identifier: GPL-2.0-only
"""Threads of a pool that have nothing to do for a second."""

import concurrent.futures
import json
import os
import threading
import time

THREADS = 3
ALL_THERE = threading.Barrier(THREADS)


def main():
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for started in [pool.submit(ALL_THERE.wait) for _ in range(THREADS)]:
            started.result()
        begin = time.monotonic_ns()
        time.sleep(1)
        idle_ns = (time.monotonic_ns() - begin) * THREADS
    print(json.dumps({"workload": "pool.py", "pid": os.getpid(), "idle_ns": idle_ns}))


main()
