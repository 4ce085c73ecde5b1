# SPDX-License-Identifier: GPL-2.0-only
"""The budgets, and what was measured beside them: each judgement is said, and noted in a list of what was met."""

import statistics

import dumps
import watchers

# The budgets: ratios to the bare load or to empty programs, shares, bytes and seconds.
GETPPID_MOST = 1.02  # what a quiet machine repeats to; a system call tracepoint adds over 20 %
PIPE_MOST = 1.15
WAITS_MOST = 1.5
WAITS_PEERS_MOST = 0.5
BLAME_MOST = 1.2  # times what is the same without blame
OFFCPU_MOST = 0.5
CPU_MOST = 0.02
MEMORY_MOST = 100 << 20
START_MOST_S = 0.3
COMPLETE_LEAST = 0.999  # of stacks
DUMP_MOST_S, DUMP_THREADS = 1, 10000
TICK_MS = 4  # a thread that wakes up while others run may wait so long for a CPU (HZ=250)


def verdict(budgets, text, met):
    budgets.append(met)
    return f"{text}: {'met' if met else '**missed**'}"


def pipe(series, budgets):
    return {
        name: verdict(budgets, f"≤ {PIPE_MOST} × bare", series.ratio(name) <= PIPE_MOST)
        for name in ("holdup locks", "holdup locks -p")
        if series.ratio(name) is not None
    }


def getppid(series, budgets):
    """By the fastest runs: what others do on the machine only ever adds, a tax is in every run."""
    comments = {}
    for name in ("holdup locks", "holdup locks -p"):
        if series.times(name):
            ratio = min(series.times(name)) / min(series.bare)
            text = f"not measurable (fastest runs {ratio:.3f} ≤ {GETPPID_MOST})"
            comments[name] = verdict(budgets, text, ratio <= GETPPID_MOST)
    return comments


def waits(series, budgets):
    """Against empty programs, and against what two peers add that together see as much."""
    comments = {}
    for name in ("holdup locks", "holdup locks -p"):
        if series.ratio(name) is None:
            continue
        said = []
        if series.ratio("empty programs"):
            times = series.ratio(name) / series.ratio("empty programs")
            text = f"≤ {WAITS_MOST} × empty ({times:.2f})"
            said.append(verdict(budgets, text, times <= WAITS_MOST))
        futex = "futexctn" if series.ratio("futexctn") else "bpftrace futex"
        if series.ratio("offcputime") and series.ratio(futex):
            both = series.added_ns("offcputime") + series.added_ns(futex)
            part = series.added_ns(name) / both
            text = f"≤ {WAITS_PEERS_MOST} × what offcputime and {futex} add ({part:.2f})"
            said.append(verdict(budgets, text, part <= WAITS_PEERS_MOST))
        if name == "holdup locks" and series.ratio(watchers.NO_BLAME):
            times = series.ratio(name) / series.ratio(watchers.NO_BLAME)
            text = f"≤ {BLAME_MOST} × without blame ({times:.2f})"
            said.append(verdict(budgets, text, times <= BLAME_MOST))
        comments[name] = "; ".join(said)
    return comments


def dump(name, threads, samples, budgets):
    """Holdup's answer in time, and no later a heartbeat than when nobody looks at the target."""
    found = samples[name]
    if threads != DUMP_THREADS or name != "holdup stacks" or not found.seconds:
        return ""
    said = [verdict(budgets, f"< {DUMP_MOST_S} s", statistics.median(found.seconds) < DUMP_MOST_S)]
    late = statistics.median(found.late_ms)
    usual = max(samples["nothing"].late_ms + samples[dumps.BUSY].late_ms)
    text = f"not {TICK_MS} ms later than when nobody looks"
    said.append(verdict(budgets, text, late <= usual + TICK_MS))
    return "; ".join(said)


def offcpu(name, costs, budgets):
    """By the kernel's clock, against the cheaper of the peers that could be had."""
    peers = {
        peer: costs[peer]
        for peer in ("offcputime", "bcc offcputime", "bcc offwaketime")
        if costs.get(peer, 0) > 0
    }
    if name != "holdup offcpu" or not peers:
        return ""
    cheapest = min(peers, key=peers.get)
    part = costs[name] / peers[cheapest]
    return verdict(budgets, f"≤ {OFFCPU_MOST} × {cheapest} ({part:.2f})", part <= OFFCPU_MOST)
