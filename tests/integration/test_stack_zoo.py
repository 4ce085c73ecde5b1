# SPDX-License-Identifier: GPL-2.0-only
"""The call stacks of blocked threads, function by function, where they are hard to follow.

Each case of tests/workload/stackzoo.c blocks one thread; here stands the chain that has to be found, by
`holdup stacks` and, where the thread sleeps on a lock, by `holdup locks`, whose stacks are walked in the
kernel. The C library's debug files are hidden: it is stripped, as it is where nobody debugs.
"""

import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import hang
import holdup

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 1 << 14, 1 << 18  # linux/sched.h, linux/mount.h
DEBUG_FILES = "/usr/lib/debug"
# The first waits of a process come with a copy of its stack, until the kernel side has its unwind rows.
WARM_WAITS = 30
MAX_FRAMES = 127  # HU_MAX_FRAMES
LOCK = ("pthread_mutex_lock", "take_mutex")
VISIT = (("visit", r"animal->run\(\);"), ("main", r"\bvisit\("))
SPIN = ("spin", r"for \(;;\)|spins here")
# glibc 2.36 goes from these to functions of its own by a jump: nothing of them is on the stack.
JUMPS = ("pthread_join", "sem_wait")
ELSEWHERE = object()  # one or more frames of another module, whose names are its own affair


def setUpModule():
    """Of this process and all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "a mount namespace")
    if os.path.isdir(DEBUG_FILES) and libc.mount(b"none", DEBUG_FILES.encode(), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), DEBUG_FILES)


class Zoo(hang.Hang):
    """A program of the zoo, from when its thread is blocked; command: how it is to be started."""

    def __init__(self, *command):
        super().__init__("stackzoo")
        self.command = list(map(str, command))

    def visitor(self):
        (found,) = [thread for thread in self.threads if thread.role != "keeper"]
        return found


class WatchedZoo(Zoo):
    """The same with `holdup locks`, which watches from before the thread goes to sleep."""

    def __init__(self, *command):
        super().__init__(*command, "--on-usr1")
        self.stack = contextlib.ExitStack()

    def _read_line(self):
        pid = self.process.pid

        def waits():  # by then the signal no longer ends it
            return (hang.syscall_of(pid, pid) or [None])[0] == hang.NUMBERS["futex"]

        holdup.wait_until(waits, hang.READY_S, "the program to wait for its signal")
        watch = ["locks", "--json", "--idle", "-p", pid]
        self.watcher = self.stack.enter_context(holdup.Running(watch)).attached()
        enough = hang.switches(pid, pid) + WARM_WAITS
        holdup.wait_until(lambda: hang.switches(pid, pid) > enough, hang.READY_S, "it to wait often")
        os.kill(pid, signal.SIGUSR1)
        super()._read_line()

    def document(self):
        status, out, err = self.watcher.stop()
        assert status == 0, err
        return json.loads(out)

    def __exit__(self, *exception):
        self.stack.close()
        super().__exit__(*exception)


@functools.lru_cache(maxsize=None)
def source_lines(file):
    with open(os.path.join(ROOT, file), encoding="utf-8") as source:
        return source.read().splitlines()


def name_of(frame):
    """Without parameters; the cold part of a function is of it."""
    return frame["function"].split("(")[0].removesuffix(" [cold]")


class Case(unittest.TestCase):
    maxDiff = None
    program = "stackzoo"  # a workload's name

    def stack_of(self, program):
        """The row of the one thread, which slept all along."""
        thread = program.visitor()
        document = hang.stacks(program.pids(), "--all")
        self.assertTrue(program.still_asleep())
        row = hang.thread_of(document, thread)
        self.assertIn(row["wait"]["call"], [*thread.calls, "ppoll"])
        return row

    def site_of(self, how, *args, workload=None, lock="zoo_mutex"):
        """The site of the one wait, as `holdup locks` has it."""
        with WatchedZoo(holdup.workload(workload or self.program), "--how", how, *args) as program:
            document = program.document()
        rows = [row for row in document["locks"] if row["name"] == lock]
        self.assertEqual([len(row["sites"]) for row in rows], [1], document["locks"])
        (site,) = rows[0]["sites"]
        self.assertEqual((site["ongoing"], site["began_before"]), (1, 0))
        return site

    def flags(self, row, complete=True, guessed=False, derived=False):
        found = {name: row[name] for name in ("complete", "guessed", "derived")}
        self.assertEqual(found, {"complete": complete, "guessed": guessed, "derived": derived})
        if not guessed:
            self.assertEqual([frame for frame in row["stack"] if frame["guessed"]], [])

    def chain(self, stack, chain, lines=True):
        """The stack has these frames next to each other, leaf first. An item is a name, or a name
        and what stands on its line; by itself, a call of the one before.
        """
        frames = [frame for frame in stack if not frame["inlined"]]
        names = [name_of(frame) for frame in frames]
        shown = "\n".join(f"{name_of(f)} {f['module']} {f['file']}:{f['line']}" for f in stack)
        chain = [item if isinstance(item, tuple) else (item, None) for item in chain]
        known = [name for name, _ in chain]
        self.assertIn(known[1], names, shown)
        at = names.index(known[1]) - 1
        # Nothing else of ours stands further in: the next frame is the C library's.
        self.assertGreaterEqual(at, 0, shown)
        inner = names[at].lstrip("_")
        self.assertIn(inner, ("",) if known[0] in JUMPS else (known[0],), shown)
        for i, (name, text) in enumerate(chain[1:], 1):
            at += 1
            if name is ELSEWHERE:
                self.assertNotEqual(frames[at]["module"], frames[at - 1]["module"], shown)
                while at + 1 < len(names) and names[at + 1] != known[i + 1]:
                    self.assertIn(frames[at]["module"], ("libc.so.6", ""), shown)
                    at += 1
                continue
            self.assertLess(at, len(names), f"{name} is missing in\n{shown}")
            self.assertEqual(names[at], name, shown)
            if lines and not frames[at]["function"].endswith(" [cold]"):
                self.line(frames[at], text or rf"\b{re.escape(known[i - 1].split('::')[-1])}\(")
        return frames[at + 1 :]

    def line(self, frame, text):
        lines = source_lines(frame["file"])
        self.assertGreater(frame["line"], 0, frame)
        self.assertRegex(lines[frame["line"] - 1], text, frame)

    def outermost(self, frames, program_names=("_start", "_start_c")):
        """Above main: how programs start, and nothing else."""
        for frame in frames:
            self.assertTrue(
                frame["module"].startswith(("libc.so", "ld-musl"))
                or name_of(frame) in program_names
                or name_of(frame).lstrip("_").startswith("libc_start"),
                frame,
            )
        self.assertTrue(frames)

    def both(self, how, chain, workload=None, lock="zoo_mutex", **flags):
        """By `stacks` in the main thread, and by `locks`."""
        with Zoo(holdup.workload(workload or self.program), "--how", how) as program:
            self.check(self.stack_of(program), chain, **flags)
        self.check(self.site_of(how, workload=workload, lock=lock), chain, **flags)

    def check(self, row, chain, **flags):
        self.flags(row, **flags)
        self.outermost(self.chain(row["stack"], chain))


class Calls(Case):
    """Every sort of call that blocks, in the main thread and in another."""

    def call(self, how, api, function, lock=None):
        chain = (api, function)
        with Zoo(holdup.workload(self.program), "--how", how) as program:
            self.check(self.stack_of(program), (*chain, *VISIT))
        work = (*chain, VISIT[0], ("work", r"\bvisit\("))
        with Zoo(holdup.workload(self.program), "--how", how, "--in-thread") as program:
            self.in_thread(self.stack_of(program), work)
        if lock:
            self.check(self.site_of(how, lock=lock), (*chain, *VISIT))
            self.in_thread(self.site_of(how, "--in-thread", lock=lock), work)

    def in_thread(self, row, chain):
        self.flags(row)
        above = self.chain(row["stack"], chain)
        self.assertEqual([frame["module"] for frame in above], ["libc.so.6"] * 2, above)

    def test_mutex(self):
        self.call("mutex", "pthread_mutex_lock", "take_mutex", "zoo_mutex")

    def test_rwlock(self):
        self.call("rwlock", "pthread_rwlock_rdlock", "read_rwlock", "zoo_rwlock")

    def test_condvar(self):
        self.call("condvar", "pthread_cond_wait", "wait_opened", "zoo_opened")

    def test_semaphore(self):
        self.call("semaphore", "sem_wait", "take_place", "zoo_places")

    def test_join(self):
        self.call("join", "pthread_join", "join_keeper", "join in join_keeper")

    def test_read(self):
        self.call("read", "read", "read_pipe")

    def test_poll(self):
        self.call("poll", "poll", "poll_pipe")

    def test_nanosleep(self):
        self.call("nanosleep", "nanosleep", "nap")

    def test_vfork(self):
        """The child sleeps on its parent's stack."""
        self.call("vfork", "vfork", "wait_for_child")


class Surroundings(Case):
    """A mutex, below code of all sorts."""

    def test_inlined(self):
        chain = (*LOCK, ("call_inlined", r"inlined_outer\("), *VISIT)
        with Zoo(holdup.workload(self.program), "--how", "inlined") as program:
            rows = [self.stack_of(program), self.site_of("inlined")]
        for row in rows:
            self.check(row, chain)
            inlined = [frame for frame in row["stack"] if frame["inlined"] and frame["file"]]
            ours = [frame for frame in inlined if frame["module"] == self.program]
            self.assertEqual([name_of(f) for f in ours], ["inlined_inner", "inlined_outer"])
            self.line(ours[0], r"take_mutex\(")
            self.line(ours[1], r"inlined_inner\(")
            place = [name_of(frame) for frame in row["stack"]].index("inlined_inner")
            self.assertEqual(name_of(row["stack"][place - 1]), "take_mutex")
            self.assertEqual(name_of(row["stack"][place + 2]), "call_inlined")

    def test_handler(self):
        interrupted = ("be_interrupted", r"\bspin\(")
        self.both("handler", (*LOCK, "handle", (ELSEWHERE, None), SPIN, interrupted, *VISIT))

    def test_handler_on_a_stack_of_its_own(self):
        interrupted = ("be_interrupted_on_altstack", r"\bspin\(")
        self.both("altstack", (*LOCK, "handle", (ELSEWHERE, None), SPIN, interrupted, *VISIT))

    def test_handler_of_a_functions_first_instruction(self):
        """Its place is that of the instruction itself: the one before is another function's."""
        with Zoo(holdup.workload(self.program), "--how", "trap") as program:
            rows = [self.stack_of(program), self.site_of("trap")]
        for row in rows:
            self.flags(row)
            names = [name_of(frame) for frame in row["stack"] if not frame["inlined"]]
            at = names.index("handle")
            self.assertEqual(names[at + 2 : at + 6], ["zoo_trap", "trap", "visit", "main"])

    def test_coroutine(self):
        """Its stack ends where it starts; what switched to it does not call it."""
        with Zoo(holdup.workload(self.program), "--how", "coroutine") as program:
            rows = [self.stack_of(program), self.site_of("coroutine")]
        for row in rows:
            self.flags(row)
            above = self.chain(row["stack"], (*LOCK, "coroutine"))
            self.assertEqual([frame["module"] for frame in above], ["libc.so.6"], above)

    def test_qsort(self):
        self.both("qsort", (*LOCK, "compare", (ELSEWHERE, None), ("sort", r"\bqsort\("), *VISIT))

    def test_deep_recursion(self):
        """Deeper than what is kept: the innermost frames, and that there are more."""
        with Zoo(holdup.workload(self.program), "--how", "deep") as program:
            rows = [self.stack_of(program), self.site_of("deep")]
            _, text, _ = holdup.run(["stacks", "--all", "-v", "-p", program.pid])
        for row in rows:
            self.flags(row, complete=False)
            frames = [frame for frame in row["stack"] if not frame["inlined"]]
            self.assertEqual(len(frames), MAX_FRAMES)
            names = [name_of(frame) for frame in frames]
            at = names.index("take_mutex") + 1
            self.assertEqual(set(names[at:]), {"descend"})
            self.line(frames[at], r"take_mutex\(")
            for frame in frames[at + 1 :]:
                self.line(frame, r"\bdescend\(left - 1\)")
        (shown,) = [part for part in text.split("\n\n") if "descend" in part and " of " in part]
        self.assertRegex(shown, r"\?|more")

    def test_alloca(self):
        self.both("alloca", (*LOCK, "in_alloca", "call_alloca", *VISIT))

    def test_array_of_variable_length(self):
        self.both("array", (*LOCK, "in_array", "call_array", *VISIT))

    def test_realigned(self):
        self.both("realigned", (*LOCK, "realigned", "call_realigned", *VISIT))

    def test_realigned_with_arguments(self):
        chain = (*LOCK, "realigned_array", "call_realigned_array", *VISIT)
        self.both("realigned-array", chain)

    def generated(self, how, function):
        """Up to code that no file has all is certain, and from there on nothing."""
        with Zoo(holdup.workload(self.program), "--how", how) as program:
            rows = [self.stack_of(program), self.site_of(how)]
        for row in rows:
            certain = [frame for frame in row["stack"] if not frame["guessed"]]
            names = [name_of(frame) for frame in certain if not frame["inlined"]]
            self.assertEqual(names[-2], "take_mutex", names)
            self.assertEqual((certain[-1]["function"], certain[-1]["module"]), ("", ""))
            self.assertEqual(row["stack"][: len(certain)], certain)
            if len(row["stack"]) > len(certain):
                self.assertTrue(row["guessed"])
            else:
                self.assertFalse(row["complete"])
        return rows

    def test_generated_code(self):
        """It keeps frame pointers: the guess is right."""
        chain = (("call_generated", r"generated\("), *VISIT)
        for row in self.generated("generated", "call_generated"):
            self.assertTrue(row["guessed"])
            guessed = [frame for frame in row["stack"] if frame["guessed"]]
            for frame, (name, text) in zip(guessed, chain):
                self.assertEqual(name_of(frame), name)
                self.line(frame, text)

    def test_generated_code_without_frame_pointers(self):
        self.generated("generated-bare", "call_generated_bare")


class Builds(Case):
    """The same program built in other ways."""

    CASES = {
        "mutex": (*LOCK, *VISIT),
        "alloca": (*LOCK, "in_alloca", "call_alloca", *VISIT),
        "realigned-array": (*LOCK, "realigned_array", "call_realigned_array", *VISIT),
    }

    def build(self, directory, cases=tuple(CASES), **flags):
        for how in cases:
            with self.subTest(how):
                self.both(how, self.CASES[how], workload=f"{directory}/stackzoo", **flags)

    def test_unoptimized(self):
        self.build("o0")

    def test_frame_pointers(self):
        self.build("fp")

    def test_static(self):
        self.build("static")

    def test_static_pie(self):
        self.build("static-pie")

    def test_without_unwind_tables(self):
        """Rows are derived from the machine code, and it is said."""
        self.build("nounwind", ("mutex", "alloca"), derived=True)

    def test_without_unwind_tables_and_realigned(self):
        """What machine code does not tell is not made up."""
        chain = self.CASES["realigned-array"][:3]
        with Zoo(holdup.workload("nounwind/stackzoo"), "--how", "realigned-array") as program:
            row = self.stack_of(program)
        self.assertTrue(row["guessed"] or not row["complete"])
        certain = [frame for frame in row["stack"] if not frame["guessed"]]
        self.assertEqual(self.chain(certain, chain), [])


class Musl(Builds):
    """Debian's musl has no call frame information; its functions have no symbols but the public."""

    def chain(self, stack, chain, lines=True):
        """The lock function is inlined into its caller, or calls others of its sort."""
        frames = [frame for frame in stack if not frame["inlined"]]
        at = [name_of(frame) for frame in frames].index("take_mutex")
        self.assertGreater(at, 0, stack)
        inner = name_of(frames[at - 1])
        self.assertRegex(inner, r"mutex_(timed)?lock|^$")
        known = [(inner.lstrip("_"), None), ("take_mutex", r"pthread_mutex_lock\("), *chain[2:]]
        return super().chain(stack, known, lines)

    def outermost(self, frames, program_names=("_start", "_start_c", "")):
        """Its _start is a label of no type."""
        super().outermost(frames, program_names)

    def test_dynamic(self):
        self.build("musl", derived=True)

    def test_static(self):
        self.build("musl-static", derived=True)

    test_unoptimized = test_frame_pointers = test_static_pie = None
    test_without_unwind_tables = test_without_unwind_tables_and_realigned = None


class Places(Case):
    """The program, or its library, is not where its path says."""

    CHAIN = (*LOCK, "in_alloca", "call_alloca", *VISIT)

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="holdup-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.copy = os.path.join(self.directory, "stackzoo")
        shutil.copy(holdup.workload("stackzoo"), self.copy)

    def test_deleted(self):
        with Zoo(self.copy, "--how", "alloca") as program:
            os.unlink(self.copy)
            self.check(self.stack_of(program), self.CHAIN)

    def test_memfd(self):
        fd = os.memfd_create("zoo")
        with os.fdopen(fd, "wb", closefd=True) as file, open(self.copy, "rb") as source:
            shutil.copyfileobj(source, file)
            file.flush()
            path = f"/proc/{os.getpid()}/fd/{fd}"
            # A file that is open for writing can't be executed: through one that only reads.
            with contextlib.closing(os.fdopen(os.open(path, os.O_RDONLY), "rb")) as reader:
                file.close()
                path = f"/proc/{os.getpid()}/fd/{reader.fileno()}"
                with Zoo(path, "--how", "alloca") as program:
                    self.assertIn("memfd:", os.readlink(f"/proc/{program.pid}/exe"))
                    self.check(self.stack_of(program), self.CHAIN)

    def test_container(self):
        """In a mount namespace of its own, in which program and library lie where nobody else sees them."""
        inside = os.path.join(self.directory, "inside")
        os.mkdir(inside)
        script = """set -e
            mount -t tmpfs none "$1"; cp "$2" "$1/stackzoo"; mkdir "$1/lib"
            touch "$1/lib/libc.so.6"; mount --bind "$3" "$1/lib/libc.so.6"
            export LD_LIBRARY_PATH="$1/lib"; shift 3; exec "$0" "$@" """
        libc = os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")
        program = os.path.join(inside, "stackzoo")
        command = ["unshare", "-m", "/bin/sh", "-c", script, program, inside, self.copy, libc]
        with Zoo(*command, "--how", "alloca") as zoo:
            self.assertFalse(os.path.exists(program))
            with open(f"/proc/{zoo.pid}/maps", encoding="ascii") as maps:
                self.assertIn(os.path.join(inside, "lib/libc.so.6"), maps.read())
            self.check(self.stack_of(zoo), self.CHAIN)

    def test_stripped(self):
        """Functions are called by where they start, which symbols of another copy tell."""
        listing = subprocess.run(["nm", self.copy], capture_output=True, text=True, check=True)
        rows = (line.split() for line in listing.stdout.splitlines())
        starts = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
        subprocess.run(["strip", self.copy], check=True)
        names = ["take_mutex", "in_alloca", "call_alloca", "visit", "main"]
        with Zoo(self.copy, "--how", "alloca") as program:
            row = self.stack_of(program)
        self.flags(row)
        ours = [frame for frame in row["stack"] if frame["module"] == "stackzoo"]
        self.assertEqual([int(f["offset"], 16) for f in ours[:5]], [starts[n] for n in names])
        for frame in ours[:5]:
            self.assertEqual((frame["function"], frame["file"]), ("", ""))


class Cxx(Case):
    program = "stackzoo_cxx"
    FEED = ("pthread_mutex_lock", ("zoo::Keeper::feed", r"zoo_mutex\.lock\("))
    MAIN = ("main", r"zoo::visit\(")

    def cxx(self, how, *chain):
        with Zoo(holdup.workload(self.program), "--how", how) as program:
            row = self.stack_of(program)
        self.check(row, (*self.FEED, *chain, self.MAIN))
        return [
            frame
            for frame in row["stack"]
            if frame["inlined"] and frame["file"].endswith("stackzoo_cxx.cc")
        ]

    def test_catch_handler(self):
        handle = ("zoo::Keeper::handle", r"\bfeed\(")
        self.cxx("catch", handle, ("zoo::visit", r"\.handle\("))

    def test_destructor_while_an_exception_passes(self):
        destructor = ("zoo::Guard::~Guard", r"\.feed\(")
        guarded = ("zoo::guarded", None)  # what GCC says of the line is wrong
        self.cxx("destructor", destructor, guarded, ("zoo::visit", r"\bguarded\("))

    def test_inlined(self):
        table = ("zoo::open_table", r"\.serve\(")
        inlined = self.cxx("inlined", table, ("zoo::visit", r"\bopen_table\("))
        names = [name_of(frame) for frame in inlined]
        self.assertEqual(names, ["zoo::Table<int>::serve_one", "zoo::Table<int>::serve"])
        self.line(inlined[0], r"\.feed\(")
        self.line(inlined[1], r"\bserve_one\(")


class Rust(Case):
    def test_mutex(self):
        with Zoo(holdup.workload("stackzoo_rust")) as program:
            row = self.stack_of(program)
        self.flags(row)
        ours = [f for f in row["stack"] if f["file"].endswith("stackzoo_rust.rs")]
        names = [(f["function"].replace("stackzoo_rust::", ""), f["inlined"]) for f in ours]
        expected = [
            ("Keeper::feed", r"MEALS\.lock\(\)"),
            ("Keeper::serve", r"\.feed\("),
            ("visit::{{closure}}", r"\.serve\("),
            ("each", r"give\("),
            ("visit", r"each\("),
            ("main", r"visit\("),
        ]
        self.assertEqual(len(ours), len(expected), names)
        for frame, (name, text) in zip(ours, expected):
            self.assertIn(name, frame["function"].replace("<impl>", ""), names)
            self.line(frame, text)
        inlined = [f["function"].split("::")[-1] for f in ours if f["inlined"]]
        self.assertEqual(inlined, ["serve"])


if __name__ == "__main__":
    unittest.main()
