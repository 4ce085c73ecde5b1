# SPDX-License-Identifier: GPL-2.0-only
"""What each watcher makes each load slower by.

A sample of a watcher stands between two of the bare load, and counts as its ratio to their mean:
what changes slowly on the machine drops out. Medians of the ratios, with their quartiles, are what
is told.
"""

import random
import statistics
import time

import children
import loads
from children import Failed

TRIES = 3


class Series:
    """All samples of one load: times of the bare load, and pairs (time, ratio) of each watcher."""

    def __init__(self, load):
        self.load, self.bare, self.watched, self.failed = load, [], {}, {}
        self.disturbed = 0

    def times(self, name):
        return [ns for ns, _ in self.watched.get(name, [])]

    def ratios(self, name):
        return [ratio for _, ratio in self.watched.get(name, [])]

    def ratio(self, name):
        return statistics.median(self.ratios(name)) if self.ratios(name) else None

    def added_ns(self, name):
        """What it adds to an operation: in terms of ratios, which drifts do not distort."""
        ratio = self.ratio(name)
        return None if ratio is None else (ratio - 1) * statistics.median(self.bare)


class Patience:
    """How long the benchmark waits in all for other people's BPF programs to go away."""

    def __init__(self, left_s):
        self.left_s = left_s

    def alone(self):
        """Are the hooks ours? Waits for that as long as there is patience left."""
        while children.strangers():
            if self.left_s <= 0:
                return False
            time.sleep(0.1)
            self.left_s -= 0.1
        return True


def sample(series, watcher, patience):
    """One run of the load; again when somebody else's programs came along meanwhile."""
    load = series.load
    for _ in range(TRIES if patience.left_s > 0 else 1):
        alone = patience.alone()
        load.prepare()
        try:
            if watcher:
                watcher.attach(load.choice(), loads.other_cpus() if load.pinned else None)
            ns = load.run()
            alone = alone and not children.strangers()
        finally:
            try:
                if watcher:
                    watcher.detach()
            finally:
                load.done()
        if alone:
            return ns
    series.disturbed += 1
    return ns


def measure(load, watchers, rounds, patience, say):
    """The series of a load. A watcher that fails is out of it from then on, and told."""
    series = Series(load)
    try:
        before = sample(series, None, patience)  # warms up as well
        for number in range(rounds):
            say(f"{load.operation}: round {number + 1} of {rounds}")
            for watcher in random.sample(watchers, len(watchers)):
                if watcher.name in series.failed:
                    continue
                try:
                    ns = sample(series, watcher, patience)
                except Failed as error:
                    series.failed[watcher.name] = str(error)
                    continue
                after = sample(series, None, patience)
                pair = (ns, ns / ((before + after) / 2))
                series.watched.setdefault(watcher.name, []).append(pair)
                series.bare.append(after)
                before = after
    finally:
        load.close()
    return series


def quartiles(values):
    if len(values) < 4:
        return f"{min(values):.3f}–{max(values):.3f}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.3f}–{high:.3f}"


def print_series(name, series, chosen, comments):
    """One table: a row for each watcher."""
    bare = statistics.median(series.bare)
    print(f"\n### {name}: {series.load.note}\n")
    switches = series.load.switches
    what = "adds ns a context switch" if switches else "adds ns"
    print(f"| watched by | µs | × bare | quartiles | {what} | budget |")
    print("|---|---:|---:|---:|---:|---|")
    spread = quartiles([ns / bare for ns in series.bare])
    print(f"| nothing | {bare / 1000:.3f} | 1 | {spread} | | |")
    for watcher in chosen:
        why = watcher.missing or series.failed.get(watcher.name)
        if series.ratio(watcher.name) is None:
            print(f"| {watcher.name} | | | | | not measured: {why} |")
            continue
        note = comments.get(watcher.name, "") + (f"; then failed: {why}" if why else "")
        print(
            f"| {watcher.name} | {statistics.median(series.times(watcher.name)) / 1000:.3f}"
            f" | {series.ratio(watcher.name):.3f} | {quartiles(series.ratios(watcher.name))}"
            f" | {series.added_ns(watcher.name) / (switches or 1):.0f} | {note} |"
        )
    if series.disturbed:
        print(
            f"\nOthers' programs were attached during {series.disturbed} of"
            f" {2 * len(series.bare) + 1} samples."
        )
