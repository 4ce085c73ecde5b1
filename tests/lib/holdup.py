# SPDX-License-Identifier: GPL-2.0-only
"""What integration tests share: running holdup, workloads that know the truth, waiting with a
bound.
"""

import contextlib
import json
import os
import signal
import subprocess
import time

BUILD = os.path.abspath(os.environ.get("HOLDUP_BUILD", "build"))
HOLDUP = os.path.join(BUILD, "holdup")
BPF_PREFIXES = ("hu_", "probe_")  # how the names of holdup's BPF programs begin


def workload(name):
    """The path of a workload."""
    return os.path.join(BUILD, "tests", "workload", name)


def timeout(seconds):
    """For a test method that may take longer than the usual 120 s."""

    def mark(method):
        method.timeout_s = seconds
        return method

    return mark


class ClocksDiffer(AssertionError):
    """Two clocks do not agree.  What else the machine does gets between them now and then, so such a test is measured
    anew, with its class set up anew, a few times: what is wrong is so each time.  The run says which were.
    """


@contextlib.contextmanager
def clocks():
    """For a test's comparisons of times, which ClocksDiffer then; never for what must be exact."""
    try:
        yield
    except AssertionError as error:
        raise ClocksDiffer(*error.args) from error


def run(args, timeout=30, stdin=None, program=HOLDUP, env=None, **popen):
    """Run holdup (or another program) to its end: (status, stdout, stderr), as text.

    stdin is a text or None.  One that takes longer than `timeout` seconds is killed, and the test
    fails.
    """
    full = env if env is None else {**os.environ, **env}
    done = subprocess.run(
        [program, *map(str, args)],
        input="" if stdin is None else stdin,
        env=full,
        timeout=timeout,
        check=False,
        **_pipes(popen),
    )
    return done.returncode, done.stdout, done.stderr


def _pipes(popen):
    return {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "errors": "surrogateescape",
        **popen,
    }


def run_json(args, timeout=30, statuses=(0,), **popen):
    """Run holdup with --json: the document.  Any status but the allowed ones fails with what it
    printed.
    """
    status, out, err = run([*args[:1], "--json", *args[1:]], timeout=timeout, **popen)
    assert status in statuses, f"holdup {' '.join(map(str, args))}: status {status}, stderr: {err}"
    return json.loads(out)


class Running:
    """holdup in the background: a context manager; stop() gives (status, stdout, stderr)."""

    def __init__(self, args, env=None, program=HOLDUP):
        self.args = [program, *map(str, args)]
        self.env = env if env is None else {**os.environ, **env}

    def __enter__(self):
        self.process = subprocess.Popen(
            self.args, stdin=subprocess.DEVNULL, env=self.env, **_pipes({})
        )
        self.pid = self.process.pid
        return self

    def attached(self):
        """Wait until it listens to the kernel: it polls the ring only when all is attached."""

        def polls():
            assert self.process.poll() is None, f"{self.args} ended by itself"
            with open(f"/proc/{self.pid}/wchan", encoding="ascii", errors="replace") as wchan:
                return "poll" in wchan.read()

        wait_until(polls, 20, f"{self.args} to attach")
        return self

    def stop(self, number=signal.SIGINT, timeout=30):
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        self.process.wait()


class Workload:
    """A workload in the background, which counts its own waits.

        with Workload("mutex", "--threads", 2) as work:
            …
            truth = work.stop()

    It runs until stop() (or --for or --count, if given), which returns the JSON document it prints.
    `ready`, if given, is the line to wait for on its standard output before going on.
    """

    def __init__(self, name, *args, ready=None):
        args = [str(arg) for arg in args]
        if not any(arg in ("--for", "--count", "--until-told") for arg in args):
            args.append("--until-told")
        self.args = [workload(name), *args]
        self.ready = ready
        self.truth = None

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, **_pipes({}))
        self.pid = self.process.pid
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_ready(self):
        if self.ready is not None:
            line = self.process.stdout.readline()
            assert (
                line.strip() == self.ready
            ), f"{self.args[0]} said {line!r} instead of {self.ready!r}"
        else:
            wait_until(
                lambda: self.process.poll() is not None or self._listens(),
                10,
                f"{self.args[0]} to start",
            )

    def _listens(self):
        """Can it be told to stop?  Workloads lock their memory right after they have blocked the
        signals they listen to.

        (The mask itself can't be looked at: sigtimedwait() unblocks for its own time what it waits
        for.)
        """
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            return any(line.startswith("VmLck:") and int(line.split()[1]) > 0 for line in status)

    def go(self):
        """Let a workload that was started with --wait-for-usr1 begin."""
        self.process.send_signal(signal.SIGUSR1)

    def wait(self, timeout=30):
        """Its end, without a signal: the document."""
        if self.truth is None:
            out, err = self.process.communicate(timeout=timeout)
            assert (
                self.process.returncode == 0
            ), f"{self.args}: status {self.process.returncode}, stderr: {err}"
            self.truth = json.loads(out)
        return self.truth

    def stop(self, timeout=30):
        """Tell it to end: the document."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        self.process.wait()


def wait_until(condition, bound_s, what="the condition"):
    """Wait until condition() is true, and return what it gave; fails after bound_s seconds."""
    deadline = time.monotonic() + bound_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {bound_s} s for {what}"
        time.sleep(0.01)


def assert_within(actual, expected, percent, what="value"):
    """Fails unless actual differs from expected by at most so many per cent of expected."""
    off = abs(actual - expected)
    assert off * 100 <= percent * abs(expected), (
        f"{what}: {actual} differs from {expected} by "
        f"{100 * off / abs(expected) if expected else float('inf'):.3g} %, more than {percent} %"
    )


def lock_named(locks, name):
    """The one lock of a list (of a report or a truth) that has this name."""
    found = [lock for lock in locks if lock["name"] == name]
    assert (
        len(found) == 1
    ), f"{len(found)} locks named {name} among {[lock['name'] for lock in locks]}"
    return found[0]


def truth_of(document, name):
    """Attempts, slept, sleeps and wait_ns of all the call chains in a truth that lead to the lock
    of a name.
    """
    sites = [site for site in document["locks"] if site["name"] == name]
    assert sites, f"the workload does not know {name}"
    return {
        key: sum(site[key] for site in sites) for key in ("attempts", "slept", "sleeps", "wait_ns")
    }


def programs_of(pid):
    """The ids of the BPF programs that a process has descriptors or links of."""
    found, directory = set(), f"/proc/{pid}/fdinfo"
    try:
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError), open(
                os.path.join(directory, name), encoding="ascii", errors="replace"
            ) as info:
                found |= {int(line.split()[1]) for line in info if line.startswith("prog_id:")}
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def _parents(pid):
    """A process and those above it."""
    while pid > 0:
        yield pid
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return


def _programs_of_others():
    """Those that holdups which this test did not start use: somebody works on the machine."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as comm:
                is_holdup = comm.read().strip() == os.path.basename(HOLDUP)
            if is_holdup and os.getpid() not in _parents(int(pid)):
                found |= programs_of(pid)
    return found


def bpf_programs():
    """The ids of the loaded BPF programs that have holdup's names, other users' left out."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    listing = subprocess.run(
        ["bpftool", "-j", "prog", "list"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PATH": path},
    )
    ids = {
        program["id"]
        for program in json.loads(listing.stdout or "[]")
        if program.get("name", "").startswith(BPF_PREFIXES)
    }
    return ids - _programs_of_others()
