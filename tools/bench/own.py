# SPDX-License-Identifier: GPL-2.0-only
"""What holdup itself uses: CPU, memory, time to attach, and run time of its BPF programs."""

import glob
import json
import os
import resource
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
CROWD_S = 6  # every thread waits anew each second


def start_holdup(build, *options):
    watcher = watchers.Watcher("holdup", watchers.holdup(build) + list(options), 5)
    watcher.attach([], None)
    return watcher


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
    """Shares of one CPU that holdup uses per 10,000 waits a second: while it watches, and with its
    start (symbols, unwind tables) and report; and the waits a second."""
    load = loads.Waits(build, seconds, rate=rate)
    load.prepare()
    watcher = start_holdup(build, "-p", str(load.process.pid))
    try:
        before = children.cpu_ns(watcher.process.pid)
        _, ns, sleeps = load.numbers()
        used = children.cpu_ns(watcher.process.pid) - before
    finally:
        watcher.detach()
        load.done()
    waits_a_second = sleeps / ns * 1e9
    return used / ns * RATE / waits_a_second, waits_a_second


def status_bytes(pid, *names):
    found = {}
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in names:
                found[name] = int(value.split()[0]) * 1024
    return [found.get(name, 0) for name in names]


def memory(build):
    """Memory of holdup with a crowd waiting: peak and its parts (anonymous, files, shared with the
    kernel), and what its BPF maps take in the kernel."""
    argv = [f"{build}/bench/load", "crowd", *CROWD]
    crowd = children.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watcher = None
    try:
        if crowd.stdout.readline() != "ready\n":
            raise Failed("the crowd does not start")
        watcher = start_holdup(build)
        pid = watcher.process.pid
        time.sleep(CROWD_S)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        parts = status_bytes(pid, "VmHWM", "RssAnon", "RssFile", "RssShmem")
        maps = map_bytes(pid)
        watcher.detach()  # names everything in its report: its peak
        watcher = None
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    finally:
        if watcher:
            watcher.detach()
        children.end(crowd, signal.SIGKILL)
    # The largest child ever; larger ones before it hide it, then the peak until the report stands.
    if peak > before:
        parts[0] = peak * 1024
    return parts, maps


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
