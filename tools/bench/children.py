# SPDX-License-Identifier: GPL-2.0-only
"""Child processes of the benchmark: none outlives it, none runs longer than it is allowed to."""

import atexit
import ctypes
import glob
import os
import select
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
LIBC = ctypes.CDLL(None, use_errno=True)
STOP_S = 20  # for what writes its report when told to stop

running = set()


class Failed(Exception):
    """A measurement that could not be made; the message says why."""


def clean_up():
    for process in list(running):
        end(process, signal.SIGTERM, 3)


atexit.register(clean_up)


def start(argv, cpus=None, ends_by=signal.SIGKILL, **options):
    """Starts a program on these CPUs; it gets the signal should the benchmark itself be killed."""
    parent = os.getpid()

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, ends_by, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    try:
        process = subprocess.Popen(
            [str(arg) for arg in argv],
            preexec_fn=prepare,
            start_new_session=True,  # Ctrl-C is the benchmark's to pass on
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options},
        )
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}") from None
    running.add(process)
    return process


def end(process, by=signal.SIGINT, within_s=STOP_S):
    """Stops a program in order, or else outright; returns its exit status."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    running.discard(process)
    return process.returncode


def end_with_usage(process, by=signal.SIGINT):
    """Stops a program in order; returns what it used in all its life (struct rusage)."""
    process.send_signal(by)
    deadline = time.monotonic() + STOP_S
    pid = 0
    while not pid:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(status)
    end(process)
    return usage


def output(argv, within_s=60, **options):
    """What a program prints; Failed if it fails or takes longer."""
    process = start(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        text, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} took longer than {within_s} s") from None
    finally:
        status = end(process, signal.SIGKILL)
    if status:
        last = text.strip().splitlines()[-1:] or ["no message"]
        raise Failed(f"{argv[0]} failed ({status}): {last[0]}")
    return text


def line_of(process, within_s):
    """The next line that a program prints; Failed if there is none within that time. Nobody else may
    read from it, as Python's own buffers would hold back what came with the line."""
    deadline, data = time.monotonic() + within_s, b""
    out = process.stdout.fileno()
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([out], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise Failed(f"{process.args[0]} said nothing within {within_s} s")
        more = os.read(out, 1 << 16)
        if not more:
            raise Failed(f"{process.args[0]} ended before it had said all")
        data += more
    return data.decode("utf-8", "replace").strip()


def descriptors(pid, kind):
    """What the kernel tells of a process's descriptors of a kind: each's fdinfo, as a dict."""
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            if kind in os.readlink(fd):
                with open(fd.replace("/fd/", "/fdinfo/"), encoding="ascii") as info:
                    yield dict(line.split(None, 1) for line in info if line.strip())
        except (OSError, ValueError):
            continue  # closed, or gone, since


def links(pid):
    """The places in the kernel that a process has BPF programs attached to, one a link."""
    found = [info.get("tp_name:", "another").strip() for info in descriptors(pid, "bpf_link")]
    return found + ["perf_event" for _ in descriptors(pid, "[perf_event]")]


def strangers():
    """Processes other than ours that have BPF programs on the hooks measured here."""
    ours = {process.pid for process in running}
    pids = {int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/fd")} - ours
    return [pid for pid in pids if any(link.startswith("sched_") for link in links(pid))]


def cpu_ns(pid):
    """CPU time of all threads that a process has now (the first number of each schedstat)."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def wait_until(condition, within_s, what, step_s=0.02):
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {within_s} s")
        time.sleep(step_s)
