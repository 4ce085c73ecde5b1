# SPDX-License-Identifier: GPL-2.0-only
"""What holdup itself uses: CPU, memory, time to attach, and run time of its BPF programs."""

import json
import os
import signal
import statistics
import subprocess
import tempfile
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


def memory(build, crowd, runs_s=CROWD_S, choice=()):
    """Memory of holdup beside a load that says when it is ready: its peak, what of it was anonymous,
    files and shared with the kernel before the report, what its BPF maps take in the kernel, and
    its report's coverage."""
    load = children.start(crowd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process = None
    with tempfile.TemporaryDirectory(prefix="holdup-bench-") as folder:
        try:
            if children.line_of(load, 60) != "ready":
                raise Failed("the crowd does not start")
            argv = watchers.holdup(build, f"{folder}/report")
            process = children.start([*argv, "--json", *choice])
            time.sleep(runs_s)
            if process.poll() is not None:
                raise Failed("holdup ended too early")
            parts = status_bytes(process.pid, "RssAnon", "RssFile", "RssShmem")
            maps = map_bytes(process.pid)
            # To its end: the report, with its names, adds to it.
            peak = children.end_with_usage(process).ru_maxrss * 1024
            coverage = watchers.report(f"{folder}/report")["coverage"]
        finally:
            if process:
                children.end(process)
            children.end(load, signal.SIGKILL)
    return peak, parts, maps, coverage


def map_bytes(pid):
    """Kernel memory charged to the BPF maps of a process."""
    return sum(int(info["memlock:"]) for info in children.descriptors(pid, "bpf-map"))


def programs(pid):
    """Run time in ns and runs of the BPF programs of a process, by name (others' have the same)."""
    listed = json.loads(children.output([watchers.program("bpftool"), "prog", "show", "-j"]))
    by_id = {prog["id"]: prog for prog in listed}
    found = {}
    for info in children.descriptors(pid, "bpf-prog"):
        prog = by_id.get(int(info["prog_id:"]), {})
        found[prog.get("name")] = (prog.get("run_time_ns", 0), prog.get("run_cnt", 0))
    return found


def run_counted(watcher, load, run):
    """Run time in ns and runs of each program of the watcher during run(): name → (ns, runs); and
    what run() returned."""
    stats = watchers.bpf_stats()
    try:
        load.prepare()
        watcher.attach(load.choice(), loads.other_cpus())
        before = programs(watcher.process.pid)
        result = run()
        after = programs(watcher.process.pid)
    finally:
        os.close(stats)
        watcher.detach()
        load.close()
    counted = {
        name: (ns - before[name][0], runs - before[name][1])
        for name, (ns, runs) in after.items()
        if name in before and runs > before[name][1]
    }
    return counted, result


def run_times(watcher, load):
    """ns a run and runs of each program of the watcher while the load runs: name → (ns, runs)."""
    counted, _ = run_counted(watcher, load, load.run)
    return {name: (ns / runs, runs) for name, (ns, runs) in counted.items()}


def median_run_times(watcher, make_load, rounds):
    """The same over several runs, medians."""
    seen = {}
    for _ in range(rounds):
        for name, (ns, runs) in run_times(watcher, make_load()).items():
            seen.setdefault(name, []).append((ns, runs))
    return {
        name: (statistics.median(ns for ns, _ in runs), statistics.median(n for _, n in runs))
        for name, runs in seen.items()
    }
