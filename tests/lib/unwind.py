# SPDX-License-Identifier: GPL-2.0-only
"""Our unwind rows beside libdw's answers, for the programs and libraries of this machine."""

import os
import random
import re
import time

import process
from results import FAIL, PASS

# With /usr merged these hold all that a distribution installs.
PLACES = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec")
SAMPLE_FILES = 60
SAMPLE_ROWS = 101  # every so many rows of a file are compared
SAMPLE_S, ALL_S = 300, 3600
TOTALS = re.compile(r"^files (\d+) .*?^pcs compared (\d+), mismatches (\d+)$", re.M | re.S)


def is_candidate(path):
    """Looked into only if it may be a program or a library: most files are neither."""
    name = os.path.basename(path)
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    return ".so" in name or os.access(path, os.X_OK)


def is_elf(path):
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def elf_files():
    """Programs and shared objects, each once; links to them are not followed."""
    found = []
    for place in PLACES:
        if os.path.islink(place):
            continue
        for directory, _, names in os.walk(place):
            paths = (os.path.join(directory, name) for name in names)
            found += [path for path in paths if is_candidate(path) and is_elf(path)]
    return sorted(found)


def is_of_interest(path):
    """What nearly every stack goes through: what is special of it is in a row or two, which a sample misses."""
    wanted = ("/libc.so.", "/ld-linux", "/libstdc++.so.", "/libpthread")
    return any(part in path for part in wanted)


def sample(files, seed):
    """By lot: the seed is shown to repeat a failure."""
    return random.Random(seed).sample(files, min(SAMPLE_FILES, len(files)))


def run(tests, build, everything, results):
    """The comparison of all rows of all files; or that of all rows of some, and the sampled one of others."""
    if not os.path.isdir(os.path.join(tests, "unwind")):
        return
    files = elf_files()
    if everything:
        compare(build, "all", files, 1, results)
        return
    compare(build, "libraries", [path for path in files if is_of_interest(path)], 1, results)
    seed = random.randrange(1 << 32)
    others = [path for path in files if not is_of_interest(path)]
    compare(build, "sample", sample(others, seed), SAMPLE_ROWS, results, f", seed {seed}")


def compare(build, test, files, rows, results, lot=""):
    """One test: every so many rows of some files."""
    name = f"unit/compare_cfi:{test}"
    if not results.wanted(name):
        return
    command = [os.path.join(build, "tests", "unwind", "compare_cfi"), "--sample", str(rows)]
    if not os.access(command[0], os.X_OK):
        results.add(name, FAIL, f"not built: {command[0]}")
        return
    start = time.monotonic()
    status, output, timed_out = process.run_bounded(
        command + files, ALL_S if test == "all" else SAMPLE_S
    )
    match = TOTALS.search(output)
    if timed_out:
        outcome, reason = FAIL, "no end in time"
    elif status != 0 or not match or not int(match[2]):
        outcome, reason = FAIL, f"{process.describe_status(status)}{lot}"
    else:
        outcome, reason = PASS, f"{int(match[1]):,} files, {int(match[2]):,} pcs"
    results.add(name, outcome, reason, output, time.monotonic() - start)
