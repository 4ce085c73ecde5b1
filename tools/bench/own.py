# SPDX-License-Identifier: GPL-2.0-only
"""What holdup itself uses: CPU, memory, time to attach, and run time of its BPF programs."""

import glob
import json
import os
import signal
import statistics
import subprocess
import time

import children
import loads
import watchers
from children import Failed

RATE = 10000  # waits a second
CROWD = (100, 50)  # processes, threads each: 5,000 threads
ATTACHED_S = 2  # long after it has attached
CROWD_S = 6  # every thread waits anew each second


def attach_times(build, rounds):
    """Seconds from exec until no more hooks are added, and of a whole `holdup locks -d 1ms`."""
    attached, whole = [], []
    for _ in range(rounds):
        started = time.monotonic()
        process = children.start([f"{build}/holdup", "locks", "-d", "300ms", "-o", "/dev/null"])
        hooks = last = 0
        while process.poll() is None:
            now = len(children.links(process.pid))
            if now > hooks:
                hooks, last = now, time.monotonic()
            time.sleep(0.001)
        if children.end(process) or not hooks:
            raise Failed("holdup locks -d 300ms did not attach")
        attached.append(last - started)
        started = time.monotonic()
        children.output([f"{build}/holdup", "locks", "-d", "1ms", "-o", "/dev/null"])
        whole.append(time.monotonic() - started)
    return attached, whole


def loader_cpu(build, seconds, rate):
    """Shares of one CPU that holdup uses, scaled to 10,000 waits a second: while it watches, and
    from attached to its end, when it empties the ring, finds names and writes its report; and how
    many waits a second there were."""
    load = loads.Waits(build, seconds, rate=rate)
    load.prepare()
    process = None
    try:
        process = children.start(watchers.holdup(build) + load.choice(), loads.other_cpus())
        time.sleep(ATTACHED_S)
        before = children.cpu_ns(process.pid)
        _, ns, sleeps = load.numbers()
        watching = children.cpu_ns(process.pid) - before
        usage = children.end_with_usage(process)
    finally:
        if process:
            children.end(process)
        load.done()
    used = (usage.ru_utime + usage.ru_stime) * 1e9 - before
    waits_a_second = sleeps / ns * 1e9
    return watching / ns * RATE / waits_a_second, used / ns * RATE / waits_a_second, waits_a_second


def status_bytes(pid, *names):
    found = {}
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in names:
                found[name] = int(value.split()[0]) * 1024
    return [found.get(name, 0) for name in names]


def memory(build):
    """Memory of holdup with a crowd waiting: its peak, what of it was anonymous, files and shared
    with the kernel before the report, and what its BPF maps take in the kernel."""
    argv = [f"{build}/bench/load", "crowd", *CROWD]
    crowd = children.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = None
    try:
        if crowd.stdout.readline() != "ready\n":
            raise Failed("the crowd does not start")
        process = children.start(watchers.holdup(build))
        time.sleep(CROWD_S)
        if process.poll() is not None:
            raise Failed("holdup ended too early")
        parts = status_bytes(process.pid, "RssAnon", "RssFile", "RssShmem")
        maps = map_bytes(process.pid)
        peak = children.end_with_usage(process).ru_maxrss * 1024  # the report, with names, adds to it
    finally:
        if process:
            children.end(process)
        children.end(crowd, signal.SIGKILL)
    return peak, parts, maps


def map_bytes(pid):
    """Kernel memory charged to the BPF maps of a process."""
    total = 0
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        if os.readlink(fd) != "anon_inode:bpf-map":
            continue
        with open(fd.replace("/fd/", "/fdinfo/"), encoding="ascii") as info:
            total += sum(int(line.split()[1]) for line in info if line.startswith("memlock:"))
    return total


def programs():
    """Run time in ns and runs of every BPF program, by (id, name)."""
    listed = json.loads(children.output([watchers.program("bpftool"), "prog", "show", "-j"]))
    return {
        (prog["id"], prog.get("name", "?")): (prog.get("run_time_ns", 0), prog.get("run_cnt", 0))
        for prog in listed
    }


def run_times(build, watcher, load):
    """ns a run and runs of each program of the watcher while the load runs: name → (ns, runs)."""
    bystanders = set(programs())
    load.prepare()
    stats = watchers.bpf_stats()
    try:
        watcher.attach(load.choice(), loads.other_cpus())
        before = programs()
        load.run()
        after = programs()
    finally:
        os.close(stats)
        watcher.detach()
        load.done()
        load.close()
    found = {}
    for key, (ns, runs) in after.items():
        ns0, runs0 = before.get(key, (0, 0))
        if key not in bystanders and key in before and runs > runs0:
            found[key[1]] = ((ns - ns0) / (runs - runs0), runs - runs0)
    return found


def median_run_times(build, watcher, make_load, rounds):
    """The same over several runs, medians."""
    seen = {}
    for _ in range(rounds):
        for name, (ns, runs) in run_times(build, watcher, make_load()).items():
            seen.setdefault(name, []).append((ns, runs))
    return {
        name: (statistics.median(ns for ns, _ in runs), statistics.median(n for _, n in runs))
        for name, runs in seen.items()
    }
