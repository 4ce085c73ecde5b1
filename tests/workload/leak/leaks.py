# SPDX-License-Identifier: GPL-2.0-only
"""Threads of Python; prints the line of leak.h, and ends by itself after five minutes.

leaks.py growing: one more thread for each request, which waits for an answer that does not come.
leaks.py same-line N: N threads that want a lock which nobody will release.
leaks.py pool N: an executor whose threads have work now and then (healthy).
leaks.py idle N: an executor whose threads have had their work (healthy).
leaks.py end N: an executor that has done its work, and the end (healthy).
leaks.py daemons N: daemon threads, and the end (healthy: their mark says that they may be left).
"""

import concurrent.futures
import ctypes
import json
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1

ready = threading.Semaphore(0)
ledger = threading.Lock()


def wait_for_answer():
    ready.release()
    threading.Event().wait()


def write_ledger():
    ready.release()
    ledger.acquire()


def serve_request(what=wait_for_answer):
    threading.Thread(target=what, daemon=True).start()
    ready.acquire()


def tell(how, *suspects):
    line = {"workload": "leaks.py", "how": how, "pid": os.getpid(), "suspects": suspects}
    print(json.dumps(line), flush=True)


def suspect(reason, count):
    return {"reason": reason, "count": count, "function": "", "file": "", "line": 0, "start": ""}


def main():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(300)
    how, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if how == "growing":
        serve_request()
        tell(how, suspect("growing", 0))
        while True:
            serve_request()
            time.sleep(0.1)
    if how in ("same-line", "daemons"):
        ledger.acquire()
        for _ in range(count):
            serve_request(write_ledger)
        tell(how)
    else:
        pool = concurrent.futures.ThreadPoolExecutor(count)
        list(pool.map(lambda _: time.sleep(0.05), range(4 * count)))
        tell(how)
        while how == "pool":
            list(pool.map(lambda _: time.sleep(0.01), range(count)))
            time.sleep(0.1)
    if how not in ("end", "daemons"):
        signal.pause()


main()
