#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compare the call stacks of `holdup stacks` with those of eu-stack: compare_eu_stack.py PID…

Thread by thread, frame by frame: the module, and the function's name. Threads have to be blocked
and stay so; one that ran in between (its switches are counted) is left out. Tolerated is:
  - a name that eu-stack does not have; holdup's has to be none either, or another one of this place;
  - two names of one place (pthread_mutex_lock, ___pthread_mutex_lock): the symbol tables say so;
  - versions (@@GLIBC_2.34), and what compilers append to parts of functions (.isra.0, .cold);
  - demangled names that differ in parameters and blanks;
  - frames beyond generated code, through which eu-stack has no way, or a guessed one.
holdup's inlined frames are left out. Exit status: 0 alike, 1 not.
"""

import functools
import os
import re
import subprocess
import sys

import hang
import holdup

EU_FRAME = re.compile(r"#(\d+) +0x([0-9a-f]+)(?: +- 1)?(?: +(\S.*?))?(?: +- (\S.*))?$")
EU_PLACE = re.compile(r"\[([0-9a-f]+)\]@0x([0-9a-f]+)\+0x([0-9a-f]+)")
APPENDED = re.compile(r"(\.(isra|part|cold|constprop|lto_priv|localalias|llvm)(\.\d+)*)+$")
RETRIES = 3
SYMBOLS = {}  # by build id
TIMEOUT_S = 110  # for eu-stack, which takes a millisecond or more a thread


class Frame:
    """A call, as one of the two sees it: name and module are "" when it has none."""

    def __init__(self, name, module, build_id="", place=None):
        self.name, self.module = name, module
        self.build_id, self.place = build_id, place

    def __str__(self):
        return f"{self.name or '?'} ({self.module or 'no module'})"


def switches_of(pid):
    """How often each thread has left a CPU: {tid: number}, None for one that is gone."""
    found = {}
    for tid in map(int, os.listdir(f"/proc/{pid}/task")):
        try:
            found[tid] = hang.switches(pid, tid)
        except (FileNotFoundError, ProcessLookupError):
            found[tid] = None
    return found


def module_name(path):
    """As holdup names modules: the file's name; the vdso's has no PID."""
    name = os.path.basename(path.removesuffix(" (deleted)"))
    return "[vdso]" if name.startswith("[vdso") else name


def eu_stacks(pid):
    """{tid: frames} by eu-stack, leaf first, names mangled."""
    done = subprocess.run(
        ["eu-stack", "-n", "0", "-r", "-m", "-b", "-p", str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="surrogateescape",
        timeout=TIMEOUT_S,
        check=False,
        # Debug files of this machine only: holdup asks no network either.
        env={key: value for key, value in os.environ.items() if key != "DEBUGINFOD_URLS"},
    )
    stacks, frames = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("TID "):
            frames = stacks.setdefault(int(line[4:].rstrip(":")), [])
        elif match := EU_FRAME.match(line):
            name, module = match[3] or "", match[4] or ""
            if name.startswith("- "):  # no name, but a module
                name, module = "", name[2:]
            frames.append(Frame(name, module_name(module)))
        elif frames and (match := EU_PLACE.search(line)):
            frames[-1].build_id, frames[-1].place = match[1], int(match[3], 16)
    return stacks


def holdup_stacks(pid):
    """{tid: frames} by holdup, of the blocked threads."""
    document = holdup.run_json(["stacks", "-p", pid, "--all", "-v"], timeout=60)
    stacks = {}
    for row in document["threads"]:
        stacks[row["tid"]] = [
            Frame(unnamed(frame), frame["module"])
            for frame in row["stack"]
            if not frame.get("inlined")
        ]
    return stacks


def unnamed(frame):
    """A frame's function; "" for one that is called by module and number."""
    name = frame.get("function") or ""
    return "" if name.startswith(f"{frame['module']}+0x") else name


def first_address(path):
    """What a module's addresses begin with: eu-stack's places are counted from there."""
    headers = subprocess.run(
        ["readelf", "-lW", path], capture_output=True, text=True, timeout=60, check=False
    )
    loads = [line.split() for line in headers.stdout.splitlines() if line.startswith("  LOAD")]
    return min((int(words[2], 16) & ~0xFFF for words in loads), default=0)


def symbols_of(build_id, path):
    """[(start, size, names)] of a module's functions, from all its symbol tables; path tells where it
    can be read now.
    """
    if build_id not in SYMBOLS:
        SYMBOLS[build_id] = read_symbols(build_id, path)
    return SYMBOLS[build_id]


def read_symbols(build_id, path):
    """The same, from files."""
    assert os.path.exists(path), path
    found, base = {}, first_address(path)
    debug = f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    for file, options in ((path, ["-D"]), (path, []), (debug, [])):
        if not os.path.exists(file):
            continue
        listing = subprocess.run(
            ["nm", "-S", "--defined-only", *options, file],
            capture_output=True, text=True, errors="replace", timeout=60, check=False,
        )  # fmt: skip
        for line in listing.stdout.splitlines():
            words = line.split()
            if len(words) == 4 and words[2] in "tTwWiI":
                start, size = int(words[0], 16) - base, int(words[1], 16)
                found.setdefault((start, size), set()).add(words[3])
    return [(start, size, names) for (start, size), names in sorted(found.items())]


def names_at(build_id, path, place):
    """All names of the functions that a place in a module belongs to."""
    names = set()
    for start, size, own in symbols_of(build_id, path):
        if start <= place < start + size:
            names |= own
    return {spelling for name in names for spelling in spellings(name)}


@functools.lru_cache(maxsize=None)
def spellings(name):
    """How a symbol can be written: as it is, and demangled with and without parameters."""
    plain = name.split("@")[0]
    texts = {plain, APPENDED.sub("", plain)}
    if plain.startswith(("_Z", "_R")):
        for text in list(texts):
            for options in ([], ["-p"], ["-i"]):
                done = subprocess.run(
                    ["c++filt", *options, text], capture_output=True, text=True, check=True
                )
                texts.add(done.stdout.strip())
    return {without_parameters(text) for text in texts} | {bare(text) for text in texts}


def bare(text):
    """Without blanks, on which demanglers do not agree."""
    return "".join(text.split())


def without_parameters(text):
    """C++: f for f(int); Rust: without the hash at the end."""
    text = re.sub(r"::h[0-9a-f]{16}$", "", text)
    depth, end = 0, len(text)
    for i in range(len(text) - 1, 0, -1):
        depth += (text[i] == ")") - (text[i] == "(")
        if depth == 0 and text[i] == "(":
            end = i
        if depth == 0 and text[i] not in "() const":
            break
    return bare(text[:end])


def same_function(ours, theirs, path):
    """Do both frames name the same function?"""
    if ours.name == theirs.name:
        return True
    mine = {without_parameters(ours.name), bare(ours.name), bare(APPENDED.sub("", ours.name))}
    if theirs.name and mine & spellings(theirs.name):
        return True
    if theirs.place is None or not path:
        return not theirs.name and not ours.name
    names = names_at(theirs.build_id, path, theirs.place)
    if not ours.name:
        # A symbol without a size, or before the function that holdup knows to begin here.
        return not names
    return bool(mine & names)


def compare_stack(ours, theirs, paths):
    """What is not alike in two stacks; None: nothing."""
    for i, (mine, other) in enumerate(zip(ours, theirs)):
        if not other.module:
            return None  # generated code: eu-stack's way ends here
        path = paths.get(other.module)
        if mine.module != other.module or not same_function(mine, other, path):
            return f"frame {i}: {mine}, eu-stack: {other}"
    if len(ours) == len(theirs):
        return None
    longer = ours[len(theirs)] if len(ours) > len(theirs) else theirs[len(ours)]
    if len(ours) > len(theirs) and not longer.module:
        return None
    return f"{len(ours)} frames, eu-stack: {len(theirs)}; the first more: {longer}"


def paths_of(pid):
    """{module name: file} of what a process has mapped, if it is the file that it mapped."""
    paths = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            words = line.split(maxsplit=5)
            if len(words) == 6 and words[5].startswith("/") and "(deleted)" not in words[5]:
                path = f"/proc/{pid}/root{words[5].strip()}"
                paths.setdefault(module_name(words[5].strip()), path)
    return paths


def compare_once(pid, only):
    """(the threads compared, {tid: what was not alike}), of those threads, or all for None."""
    before = switches_of(pid)
    ours = holdup_stacks(pid)
    between = switches_of(pid)
    theirs = eu_stacks(pid)
    paths, wrong, compared = paths_of(pid), {}, set()
    for tid, count in sorted(before.items()):
        moved = count is None or between.get(tid) != count
        if moved or not theirs.get(tid) or (only is not None and tid not in only):
            continue
        compared.add(tid)
        if tid not in ours:
            wrong[tid] = "not among the blocked threads"
        elif difference := compare_stack(ours[tid], theirs[tid], paths):
            wrong[tid] = difference
    return compared, wrong


def compare(pid):
    """(how many threads were compared, [what was not alike]).

    A thread that wakes up now and then can have moved before eu-stack came, which its switches do
    not tell, as being stopped is one: those that were not alike are looked at again.
    """
    compared, wrong = compare_once(pid, None)
    for _ in range(RETRIES):
        if wrong:
            again, wrong_again = compare_once(pid, set(wrong))
            wrong = {tid: text for tid, text in wrong.items() if tid not in again} | wrong_again
    return len(compared), [f"{pid}/{tid}: {text}" for tid, text in wrong.items()]


def main():
    bad = False
    for pid in map(int, sys.argv[1:]):
        compared, wrong = compare(pid)
        print(f"{pid}: {compared} threads compared, {len(wrong)} not alike")
        for text in wrong:
            print(f"    {text}")
        bad = bad or bool(wrong) or not compared
    return 1 if bad or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
