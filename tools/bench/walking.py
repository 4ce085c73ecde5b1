# SPDX-License-Identifier: GPL-2.0-only
"""What call stacks cost: walking one, making the tables for it, keeping those of many modules; and how
many of the stacks are complete."""

import glob
import os
import shutil
import statistics
import tempfile

import children
import loads
import own
import price
import watchers
from children import Failed

DEPTHS = (0, 6, 14, 30)  # calls deeper than the load's shallowest stack
OFTEN = 100  # waits that tell a place of the load from those of its start and end
MODULES, PROCESSES, EACH = 500, 200, 50
MODULE = """
static int step(int (*wait)(void), int n) { int got = n ? step(wait, n - 1) : wait(); __asm__ volatile(""); return got + 1; }
int module_wait(int (*wait)(void)) { return step(wait, 3); }
"""
FILLER = "int filler_{0}(int *a, int n) {{ int s = 0, b[8]; for (int i = 0; i < n; i++) s += b[i & 7] = module_wait(0) + a[i]; return s + b[n & 7]; }}\n"
FUNCTIONS = 60  # of a module that is never called: a module of one function would be none
BUILD_ID = bytes(range(0x51, 0x51 + 20))


# --- one stack


class Way:
    """A way to take the stacks of a load's sleeps. frame_pointers: the load is built with them, as the
    kernel's own walk needs them."""

    def __init__(self, name, program, argv, frame_pointers=False, reports=True):
        self.name, self.program, self.argv = name, program, argv
        self.frame_pointers, self.reports = frame_pointers, reports

    def cost(self, build, depth, sample_s):
        """(ns of the program a wait, frames of the stacks that it took) in one run."""
        load = loads.Waits(build, sample_s, depth, frame_pointers=self.frame_pointers)
        with tempfile.TemporaryDirectory(prefix="holdup-bench-") as folder:
            output = ["-o", f"{folder}/report"] if self.reports else []
            watcher = watchers.Watcher(self.name, self.argv + output, 1, chooses=True)
            counted, (_, _, sleeps) = own.run_counted(watcher, load, load.numbers)
            if self.program not in counted:
                raise Failed(f"{self.name}: {self.program} did not run")
            frames = self.frames_told(folder, watcher.said)
        return counted[self.program][0] / sleeps, frames

    def frames_told(self, folder, said):
        """The frames of the load's stacks; Failed where not nearly all are what they should be."""
        if not self.reports:
            return int(said) if said.isdigit() else 0
        document = watchers.report(f"{folder}/report")
        seen = document["coverage"]
        if self.program == "hu_switch" and seen["stacks_incomplete"] > seen["events"] / 100:
            raise Incomplete(f"{seen['stacks_incomplete']} of {seen['events']} stacks incomplete")
        return statistics.median(frames_in(document) or [0])


class Incomplete(Failed):
    """A run whose stacks were not walked as they should have been: no sample."""


def frames_in(document):
    """Frames of each place where the load's locks were waited for, inlined ones not counted: nobody
    walks them."""
    return [
        sum(not frame["inlined"] for frame in site["stack"])
        for lock in document["locks"]
        if lock["waits"] >= OFTEN
        for site in lock["sites"]
        if site["waits"] >= OFTEN
    ]


def ways(build):
    def holdup(name, *assume, program="hu_switch", frame_pointers=False):
        argv = [f"{build}/holdup", "locks", "-d", f"{watchers.LONGEST_S}s", "--json"]
        for what in assume:
            argv += ["--assume", what]
        return Way(name, program, argv, frame_pointers)

    def plain(mode):
        return Way(mode, "stackid_switch", [f"{build}/bench/empty", mode], True, False)

    return {
        "none": holdup("no stacks", "no-stacks", program="hu_switch_fp"),
        "memo": holdup("rows, remembered"),
        "rows": holdup("rows, walked", "no-memo"),
        "fp_none": holdup("no stacks, fp", "no-stacks", program="hu_switch_fp", frame_pointers=True),
        "fp": holdup("bpf_get_stack", "frame-pointers", program="hu_switch_fp", frame_pointers=True),
        "filter": plain("filter"),
        "stackid": plain("stackid"),
    }


def stack_costs(build, depth, sample_s, rounds, patience, say):
    """Median ns a wait, and frames, of each way, and how many runs were thrown away:
    (name → (ns, frames), runs). The ways take turns, so that what others do on the machine meets
    all of them."""
    seen, frames, thrown_away = {}, {}, 0
    for number in range(rounds):
        for name, way in ways(build).items():
            say(f"unwind: {depth} calls deeper, round {number + 1} of {rounds}: {way.name}")
            patience.alone()
            for left in reversed(range(price.TRIES)):
                try:
                    ns, found = way.cost(build, depth, sample_s)
                    break
                except Incomplete:
                    thrown_away += 1
                    if not left:
                        raise
            seen.setdefault(name, []).append(ns)
            frames.setdefault(name, []).append(found)
    medians = {
        name: (statistics.median(ns), statistics.median(frames[name])) for name, ns in seen.items()
    }
    return medians, thrown_away


# --- the tables


def first(*patterns):
    found = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    return os.path.realpath(found[0]) if found else None


def known_files():
    """Name → path; None: not here."""
    triplet = os.uname().machine + "-linux-gnu"
    node = shutil.which("node")
    return {
        "libc": first(f"/lib/{triplet}/libc.so.6", "/lib64/libc.so.6"),
        "libjvm": first("/usr/lib/jvm/*/lib/server/libjvm.so"),
        "python3": first("/usr/bin/python3"),
        "postgres": first("/usr/lib/postgresql/*/bin/postgres", "/usr/bin/postgres"),
        "node": node and os.path.realpath(node),
        "libLLVM": first(f"/usr/lib/{triplet}/libLLVM*.so*", "/usr/lib64/libLLVM*.so*"),
    }


def table_costs(build, rounds):
    """(name, path, bytes of .eh_frame, bytes of code without it, rows, ns) of each; None: not here."""
    program, files = f"{build}/bench/tables", known_files()
    if not os.access(program, os.X_OK):
        raise Failed(f"there is no {program}: run 'make bench'")
    paths = [path for path in files.values() if path]
    measured = {}
    for line in children.output([program, rounds, *paths], within_s=120).splitlines():
        *numbers, path = line.split(None, 4)
        measured[path] = [int(number) for number in numbers]
    return [(name, path, *measured.get(path, [None] * 4)) for name, path in files.items()]


# --- many modules


def make_modules(folder):
    """Makes MODULES shared objects, alike but for their build-ids: that is what makes them differ."""
    source, made = f"{folder}/module.c", f"{folder}/module.so"
    with open(source, "w", encoding="ascii") as file:
        file.write(MODULE + "".join(FILLER.format(i) for i in range(FUNCTIONS)))
    children.output([os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-o", made, source,
                     f"-Wl,--build-id=0x{BUILD_ID.hex()}"])  # fmt: skip
    with open(made, "rb") as file:
        image = file.read()
    if image.count(BUILD_ID) != 1:
        raise Failed("the module's build-id is not found in it")
    for number in range(MODULES):
        with open(f"{folder}/m{number}.so", "wb") as file:
            file.write(image.replace(BUILD_ID, number.to_bytes(20, "big")))


def modules_memory(build):
    """own.memory() beside many processes with a part of many modules each."""
    with tempfile.TemporaryDirectory(dir=f"{build}/bench", prefix="modules-") as folder:
        make_modules(folder)
        load = [f"{build}/bench/load", "modules", folder, MODULES, PROCESSES, EACH]
        return own.memory(build, load, 2 * EACH / 10, ["--comm", "load"])


# --- complete?


def coverage(build, load, run_s):
    """What holdup's report says of itself after watching a load."""
    with tempfile.TemporaryDirectory(prefix="holdup-bench-") as folder:
        argv = watchers.holdup(build, f"{folder}/report") + ["--json"]
        watcher = watchers.Watcher("holdup locks", argv, 5, chooses=True)
        try:
            load.prepare()
            watcher.attach(load.choice(), loads.other_cpus() if load.pinned else None)
            load.run()
        finally:
            watcher.detach()
            load.close()
        return watchers.report(f"{folder}/report")["coverage"]
