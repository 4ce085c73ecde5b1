# SPDX-License-Identifier: GPL-2.0-only
"""Python threads that hang; prints the line of hang.h, and ends by itself after two minutes.

stuck.py lock: a threading.Lock acquired twice by one thread, and another one behind it.
stuck.py gil: the main thread sleeps in a C function with the interpreter's lock; two others want it.
stuck.py crowd N: N threads that wait for a threading.Lock, and half as many for an Event.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1

ledger = threading.Lock()
event = threading.Event()
rows, ready = [], threading.Semaphore(0)


def enter(role, *calls):
    """A row for the calling thread, which is about to sleep in one of the calls."""
    rows.append(
        {
            "role": role,
            "pid": os.getpid(),
            "tid": threading.get_native_id(),
            "calls": calls,
            "lock": None,
            "functions": [],
        }
    )
    ready.release()


def lock_twice():
    ledger.acquire()
    enter("again", "futex")
    ledger.acquire()


def wait_behind():
    enter("behind", "futex")
    ledger.acquire()


def wait_for_event():
    enter("idle", "futex")
    event.wait()


def compute(go):
    """Until the interpreter's lock does not come back."""
    enter("wanter", "futex")
    go.wait()
    while True:
        pass


def start(functions):
    for function, *args in functions:
        threading.Thread(target=function, args=args, daemon=True).start()
    for _ in functions:
        ready.acquire()


def say():
    line = {"workload": "stuck", "how": sys.argv[1], "pid": os.getpid(), "threads": rows, "locks": []}
    print(json.dumps(line), flush=True)


def main():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(120)
    if sys.argv[1] == "lock":
        start([(lock_twice,)])
        start([(wait_behind,)])
    elif sys.argv[1] == "gil":
        go = threading.Event()
        start([(compute, go), (compute, go)])
        enter("stuck.py", "clock_nanosleep", "nanosleep")
        say()
        go.set()
        with_lock = ctypes.PyDLL(None)  # its functions are called without letting go of the lock
        while True:
            with_lock.sleep(100)
    else:
        count = int(sys.argv[2])
        threading.stack_size(256 * 1024)
        ledger.acquire()
        start([(wait_behind,)] * count + [(wait_for_event,)] * (count // 2))
    say()
    while True:
        time.sleep(100)


if __name__ == "__main__":
    main()
