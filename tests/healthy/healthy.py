# SPDX-License-Identifier: GPL-2.0-only
"""A service on thread pools: executors of its life, and others that come and go; locks, events, queues."""

import concurrent.futures
import queue
import threading
import time

ledger = threading.Lock()
entries = 0
work = queue.Queue()


def add(count):
    global entries
    for _ in range(count):
        with ledger:
            entries += 1
    time.sleep(0.005)


def serve():
    while True:
        work.get()()


def main():
    for _ in range(4):
        threading.Thread(target=serve, daemon=True).start()
    with concurrent.futures.ThreadPoolExecutor(8) as lasting:
        while True:
            list(lasting.map(add, [200] * 16))
            work.put(lambda: add(10))
            with concurrent.futures.ThreadPoolExecutor(4) as passing:
                list(passing.map(add, [50] * 8))
            time.sleep(0.05)


main()
