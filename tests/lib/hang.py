# SPDX-License-Identifier: GPL-2.0-only
"""Programs that hang on purpose (tests/workload/hang), and what holdup says about them."""

import contextlib
import json
import os
import platform
import select
import signal
import subprocess
import time

import holdup

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workload/hang")
READY_S = 60  # 10,000 threads on a machine with other things to do

# Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
NUMBERS = {
    "x86_64": {
        "read": 0, "poll": 7, "pause": 34, "nanosleep": 35, "recvfrom": 45, "vfork": 58,
        "wait4": 61, "fsync": 74, "futex": 202, "clock_nanosleep": 230, "openat": 257, "ppoll": 271,
    },
    "aarch64": {
        "openat": 56, "read": 63, "ppoll": 73, "fsync": 82, "futex": 98, "nanosleep": 101,
        "clock_nanosleep": 115, "recvfrom": 207, "wait4": 260,
    },
}[platform.machine()]  # fmt: skip
# C libraries make some calls from others.
CALLED_AS = {"pause": ("pause", "ppoll"), "poll": ("poll", "ppoll")}


def command_of(name, args):
    """How a workload is started: a program, a script, or a Java class."""
    if name.endswith(".py"):
        return ["/usr/bin/python3", os.path.join(SOURCES, name), *args]
    if name.endswith(".js"):
        return ["node", os.path.join(SOURCES, name), *args]
    if name[0].isupper():
        directory = os.path.dirname(holdup.workload(f"hang/{name}.class"))
        heap = ["-Xmx256m", "-XX:+UseSerialGC"]
        return ["java", *heap, "-cp", directory, name, *args]
    return [holdup.workload(f"hang/{name}"), *args]


def syscall_of(pid, tid):
    """(number, arguments) of the system call in which a thread sleeps; None: it does not."""
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", encoding="ascii") as file:
            words = file.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not words or words[0] in ("running", "-1"):
        return None
    return int(words[0]), [int(word, 16) for word in words[1:7]]


def switches(pid, tid):
    """How often a thread has left a CPU."""
    with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii", errors="replace") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)


class Thread:
    """One thread of a workload: where it is to sleep, and for which lock."""

    def __init__(self, row, locks):
        self.role, self.pid, self.tid = row["role"], row["pid"], row["tid"]
        self.calls, self.functions = row["calls"], row["functions"]
        self.lock_name = row["lock"]
        self.lock = next(
            (lock for lock in locks if lock["name"] == row["lock"] and lock["pid"] == self.pid),
            None,
        )

    def __str__(self):
        return f"{self.role} ({self.pid}/{self.tid})"

    def covers(self, address):
        """Is this an address in the lock that it waits for?"""
        start = int(self.lock["address"], 16)
        return start <= address < start + self.lock["size"]

    def is_asleep(self, exact):
        """In its call, and in a futex call on a word of its lock; those that move always are."""
        if not self.calls:
            return True
        found = syscall_of(self.pid, self.tid)
        if found is None:
            return False
        number, args = found
        names = {other for name in self.calls for other in CALLED_AS.get(name, (name,))}
        if number not in {NUMBERS[name] for name in names if name in NUMBERS}:
            return False
        return not (exact and self.lock and "futex" in self.calls) or self.covers(args[0])


class Hang:
    """A program that hangs, from when it does until the end of the block.

        with Hang("cycle", "--how", "two") as hang:
            teller = hang["teller"]

    All threads that are to sleep are asleep in the system calls that they announced, and on the
    lock's own words unless exact is False.
    """

    def __init__(self, name, *args, exact=True, env=None):
        self.env = None if env is None else {**os.environ, **env}
        self.command = command_of(name, [str(arg) for arg in args])
        self.exact = exact

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=self.env,
        )
        try:
            self._read_line()
            self.wait_asleep()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _read_line(self):
        """The line that says that it hangs; it can be long."""
        deadline, data = time.monotonic() + READY_S, b""
        out = self.process.stdout.fileno()
        while not data.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([out], [], [], max(left, 0))
            assert ready, f"{self.command} did not say within {READY_S} s that it hangs"
            more = os.read(out, 1 << 20)
            assert more, f"{self.command} ended with {self.process.wait()}, and had said {data!r}"
            data += more
        self.line = json.loads(data)
        self.pid = self.line["pid"]
        self.locks = self.line["locks"]
        self.threads = [Thread(row, self.locks) for row in self.line["threads"]]

    def wait_asleep(self):
        """Until every thread sleeps where it said it would."""
        awake = list(self.threads)

        def all_asleep():
            assert self.process.poll() is None, f"{self.command} ended"
            awake[:] = [thread for thread in awake if not thread.is_asleep(self.exact)]
            return not awake

        try:
            holdup.wait_until(all_asleep, READY_S)
        except AssertionError as error:
            where = [f"{t}: {syscall_of(t.pid, t.tid)}" for t in awake[:10]]
            raise AssertionError(f"{self.command}: not asleep in {READY_S} s: {where}") from error

    def still_asleep(self):
        """Does every thread still sleep where it said it would?"""
        return self.process.poll() is None and all(t.is_asleep(self.exact) for t in self.threads)

    def __getitem__(self, role):
        """The one thread that has this role."""
        (found,) = self.all_of(role)
        return found

    def all_of(self, role):
        """The threads with a role."""
        return [thread for thread in self.threads if thread.role == role]

    def lock(self, name, pid=None):
        """A lock by its name, as a process has it."""
        pid = self.pid if pid is None else pid
        (found,) = [lock for lock in self.locks if (lock["name"], lock["pid"]) == (name, pid)]
        return found

    def pids(self):
        """All processes of it."""
        return sorted({self.pid} | {thread.pid for thread in self.threads})

    def ask(self, number):
        """Send a signal that it answers with a line: the document."""
        self.process.send_signal(number)
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdout.close()
        self.process.wait()


# --- holdup's answers


def choose(pids):
    """The option for some processes."""
    return ["-p", ",".join(map(str, pids))]


LOOKS = 3  # where a stalled machine makes a read take as long as if an address space were locked: that is said


def stacks(pids, *options, timeout=30):
    """The document of `holdup stacks` about some processes."""
    for _ in range(LOOKS):
        document = holdup.run_json(["stacks", *choose(pids), *options], timeout=timeout)
        if not document["coverage"]["processes_locked"]:
            break
    return document


def check(pids, *options, timeout=30):
    """(status, lines) of `holdup check`; what goes to stderr is none of its findings."""
    for _ in range(LOOKS):
        status, out, err = holdup.run(["check", *choose(pids), *options], timeout=timeout)
        if "could not be looked at" not in err:
            break
    assert status in (0, 10), f"holdup check: status {status}, stderr: {err}"
    return status, out.splitlines()


def thread_of(document, thread):
    """The row of a thread in a document."""
    found = [
        row for row in document["threads"] if (row["pid"], row["tid"]) == (thread.pid, thread.tid)
    ]
    assert len(found) == 1, f"{len(found)} rows of {thread}"
    return found[0]


def functions_of(stack):
    """Innermost first, without arguments; those that have no name are left out."""
    return [frame["function"].split("(")[0] for frame in stack if frame.get("function")]


def has_functions(stack, functions):
    """Do these stand in the stack in this order, maybe with others between?"""
    rest = iter(functions_of(stack))
    return all(function in rest for function in functions)


def deadlocks_of(document):
    """Each cycle as {tid: (the address that it waits for, the tid that holds it)}."""
    return [
        {
            row["tid"]: (int(row["waits_for"]["address"], 16), row["held_by"])
            for row in cycle["threads"]
        }
        for cycle in document["deadlocks"]
    ]
