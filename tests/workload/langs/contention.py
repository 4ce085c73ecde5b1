# SPDX-License-Identifier: GPL-2.0-only
"""Python threads that wait for a lock and for the interpreter; ends by itself after two seconds.

A call that blocks lets go of the interpreter first and waits for it again afterwards, so that the
sleeps of both can only be counted together.
"""

import json
import os
import resource
import sys
import threading
import time

LOCK = threading.Lock()
STOPPED = threading.Event()
TOTALS = {"lock": [0, 0, 0], "interpreter": [0, 0, 0]}  # calls, slept, sleeps
COUNTING = threading.Lock()


def voluntary():
    """This thread's voluntary context switches."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def count(what, sleeps, calls=1):
    """Adds the thread's own sums, once in its life."""
    with COUNTING:
        for i, value in enumerate((calls, sleeps[0], sleeps[1])):
            TOTALS[what][i] += value


def update_ledger():
    """Holds the lock asleep for a millisecond; how often it slept to get it."""
    before = voluntary()
    LOCK.acquire()
    sleeps = voluntary() - before
    time.sleep(0.001)
    LOCK.release()
    return sleeps


def worker():
    calls = slept = sleeps = 0
    while not STOPPED.is_set():
        got = update_ledger()
        calls, slept, sleeps = calls + 1, slept + (got > 0), sleeps + got
        time.sleep(0.001)
    count("lock", (slept, sleeps), calls)


def computer():
    """Keeps the interpreter busy: the switches of this thread are waits for it alone."""
    before, calls, total = voluntary(), 0, 0
    while not STOPPED.is_set():
        calls, total = calls + 1, sum(range(2000)) + total
    sleeps = voluntary() - before
    count("interpreter", (sleeps, sleeps), calls)


def main():
    threads = [threading.Thread(target=worker) for _ in range(4)]
    if "--compute" in sys.argv:
        threads += [threading.Thread(target=computer) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    STOPPED.set()
    for thread in threads:
        thread.join()
    totals = {
        what: dict(zip(("attempts", "slept", "sleeps"), values)) for what, values in TOTALS.items()
    }
    print(json.dumps({"workload": "contention.py", "pid": os.getpid(), "totals": totals}))


main()
