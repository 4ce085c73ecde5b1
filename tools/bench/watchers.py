# SPDX-License-Identifier: GPL-2.0-only
"""What can watch while a load runs: nothing, empty programs, holdup, and its peers."""

import json
import os
import shutil
import tempfile
import time

import children
from children import Failed

ATTACH_S = 30  # bcc and bpftrace compile first
LONGEST_S = 600  # no watcher lives longer
SETTLE_S = 0.15  # from the last hook to the measurement

# Where tracefs is not mounted bpftrace finds no tracepoint: it gets a mount of its own.
WITH_TRACEFS = (
    "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || exit 1;"
    ' exec "$@"'
)
# FUTEX_WAIT and FUTEX_WAIT_BITSET, private or not: what futexctn does, said in bpftrace
BPFTRACE_FUTEX = """
tracepoint:syscalls:sys_enter_futex /(args->op & 127) == 0 || (args->op & 127) == 9/ {
	@start[tid] = nsecs; @word[tid] = args->uaddr; }
tracepoint:syscalls:sys_exit_futex /@start[tid]/ {
	@wait[pid, @word[tid], ustack] = hist(nsecs - @start[tid]);
	delete(@start[tid]); delete(@word[tid]); }
"""


class Watcher:
    """One way to watch. missing says why it can't be had here, before anything was measured."""

    def __init__(self, name, argv, hooks=1, missing=None, chooses=False):
        self.name, self.argv, self.hooks, self.missing = name, argv, hooks, missing
        self.chooses = chooses
        self.process, self.log = None, None
        self.said = None  # the last line that it printed, once detached

    def attach(self, choice, cpus):
        """Returns when its programs are in place. choice: holdup's options that name the load."""
        if not self.argv:
            return
        with tempfile.TemporaryFile() as log:
            self.log = os.dup(log.fileno())
        argv = self.argv + (choice if self.chooses else [])
        self.process = children.start(argv, cpus, stdout=self.log, stderr=self.log)
        try:
            self.wait_for_hooks()
        except Failed:
            self.detach()
            raise
        time.sleep(SETTLE_S)

    def wait_for_hooks(self):
        """Its hooks are there, and become no more."""
        before, deadline = 0, time.monotonic() + ATTACH_S
        while True:
            now = len(children.links(self.process.pid))
            if now >= self.hooks and now == before:
                return
            if self.process.poll() is not None:
                raise Failed(f"{self.name}: {self.last_line()}")
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: not attached within {ATTACH_S} s")
            before = now
            time.sleep(0.05)

    def last_line(self):
        size = os.fstat(self.log).st_size
        text = os.pread(self.log, 4096, max(0, size - 4096)).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "ended without a word"

    def detach(self):
        """Stops it; Failed if it had ended by itself, as then it watched nothing."""
        if not self.process:
            return
        ended = self.process.poll()
        children.end(self.process)
        self.said = text = self.last_line()
        os.close(self.log)
        self.process = self.log = None
        if ended is not None:
            raise Failed(f"{self.name} ended too early ({ended}): {text}")


def program(*names):
    """The first of these programs that there is; Debian has some below other names."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    return None


def peer(name, found, argv, package, hooks=1):
    missing = None if found else f"not installed (Debian: {package})"
    return Watcher(name, argv, hooks, missing)


def missing_for_bcc(found):
    """bcc compiles against the running kernel's headers, which not every kernel has."""
    if not found:
        return "not installed (Debian: bpfcc-tools)"
    release = os.uname().release
    places = (f"/lib/modules/{release}/build", "/sys/kernel/kheaders.tar.xz")
    if any(os.path.exists(place) for place in places):
        return None
    return f"needs kernel headers, and {release} has none here"


def with_tracefs(*argv):
    return ["unshare", "-m", "sh", "-c", WITH_TRACEFS, "sh", *argv]


def until_end(text):
    return text + "interval:s:%d { exit(); }" % LONGEST_S


NO_BLAME = "holdup locks, no blame"


def holdup(build, output="/dev/null"):
    return [f"{build}/holdup", "locks", "-d", f"{LONGEST_S}s", "-o", output]


def of_offcpu(build):
    """Those that tell where threads are off the CPU; the one that also tells who woke them is offwaketime."""
    offcputime = program("offcputime-libbpf", "offcputime")
    offwaketime, bcc = program("offwaketime-bpfcc"), program("offcputime-bpfcc")
    own = [f"{build}/holdup", "offcpu", "-d", f"{LONGEST_S}s", "-o", "/dev/null", "--unwind-mem", "64M"]
    return [
        Watcher("empty programs", [f"{build}/bench/empty"], 2),
        Watcher("holdup offcpu", own, 5),
        Watcher("holdup offcpu, no stacks", [*own, "--assume", "no-stacks"], 5),
        Watcher("holdup offcpu, all stacks walked", [*own, "--assume", "no-memo"], 5),
        Watcher("holdup offcpu --sched", [*own, "--sched"], 7),
        peer("offcputime", offcputime, [offcputime, str(LONGEST_S)], "libbpf-tools"),
        Watcher("bcc offcputime", [bcc, str(LONGEST_S)], 1, missing_for_bcc(bcc)),
        Watcher("bcc offwaketime", [offwaketime, str(LONGEST_S)], 1, missing_for_bcc(offwaketime)),
    ]  # fmt: skip


def report(path):
    """The JSON document that holdup left in a file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise Failed(f"holdup left no report: {error}") from None


def all_of(build, futexctn):
    """Every watcher by name. The price of each is that of its hooks plus what it does in them."""
    offcputime = program("offcputime-libbpf", "offcputime")
    futexctn = futexctn or program("futexctn-libbpf", "futexctn")
    trace, bcc, perf = program("bpftrace"), program("offcputime-bpfcc"), program("perf")
    watchers = [
        Watcher("empty programs", [f"{build}/bench/empty"], 2),
        Watcher("holdup locks", holdup(build), 5),
        Watcher("holdup locks -p", holdup(build), 5, chooses=True),
        Watcher(NO_BLAME, [*holdup(build), "--assume", "no-blame"], 5),
        peer("offcputime", offcputime, [offcputime, str(LONGEST_S)], "libbpf-tools"),
        peer("futexctn", futexctn, [futexctn, str(LONGEST_S), "1"],
             "libbpf-tools from 13 on; --futexctn names one", 2),
        peer("bpftrace futex", trace,
             with_tracefs(trace, "-e", until_end(BPFTRACE_FUTEX)), "bpftrace", 2),
        Watcher("bcc offcputime", [bcc, str(LONGEST_S)], 1, missing_for_bcc(bcc)),
        peer("perf trace -s", perf,
             with_tracefs(perf, "trace", "-s", "-a", "-e", "futex"), "linux-perf", 2),
    ]  # fmt: skip
    return {watcher.name: watcher for watcher in watchers}


# What threadsnoop tells, and from where.
BPFTRACE_THREADS = """
uprobe:%s:pthread_create { @[comm, pid, usym(arg2), ustack] = count(); }
"""


def of_threads(build):
    """Those that watch threads being created. Where bcc can't compile, bpftrace's one probe stands
    for threadsnoop: it sees births alone, neither joins nor ends."""
    trace, bcc = program("bpftrace"), program("threadsnoop-bpfcc")
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        libc = [line.split()[-1] for line in maps if "/libc.so.6" in line or "/libc-2" in line]
    tool = [f"{build}/holdup", "threads", "-d", f"{LONGEST_S}s", "-o", "/dev/null"]
    watchers = [
        Watcher("holdup threads", tool, 5),
        Watcher("holdup threads -p", tool, 5, chooses=True),
        peer("bpftrace pthread_create", trace,
             [trace, "-e", until_end(BPFTRACE_THREADS % libc[0] if libc else "")], "bpftrace"),
        Watcher("threadsnoop", [bcc], 1, missing_for_bcc(bcc)),
    ]  # fmt: skip
    return {watcher.name: watcher for watcher in watchers}


# Counts what holdup's probes see.
BPFTRACE_GO = """
uprobe:%s:runtime.semacquire1 { @acquired = count(); }
uprobe:%s:runtime.semrelease1 { @released = count(); }
"""


def of_go(build, path):
    """Those that watch goroutines wait: from outside, by probes; and a program that only counts in the same places."""
    trace = program("bpftrace")
    return [
        Watcher("holdup locks -p", holdup(build), 5, chooses=True),
        Watcher("holdup locks -p --go-probes", [*holdup(build), "--go-probes"], 6, chooses=True),
        peer("bpftrace, counting", trace,
             [trace, "-e", until_end(BPFTRACE_GO % (path, path))], "bpftrace", 2),
    ]  # fmt: skip


def bpf_stats():
    """Makes the kernel measure programs' run time as long as the returned file descriptor is open
    (no setting that would stay behind)."""
    try:
        fd = children.ctypes.CDLL("libbpf.so.1").bpf_enable_stats(0)  # BPF_STATS_RUN_TIME
    except (OSError, AttributeError) as error:
        raise Failed(f"BPF statistics: {error}") from None
    if fd < 0:
        raise Failed(f"BPF statistics: {os.strerror(-fd)}")
    return fd


