# SPDX-License-Identifier: GPL-2.0-only
"""Comparing what `holdup locks` says with what a workload knows about itself.

tests/workload/README.md tells what the truth's numbers mean and how far they can be trusted.
"""

import json
import os
import tempfile

import holdup

# What the workload's own clock reads add to each attempt that slept.
CLOCKS_NS = 15_000
# In an attempt with a preemption the thread may have waited for a CPU while it was not asleep: up
# to a few slices of the others.
PREEMPTED_NS = 10_000_000
# A virtual CPU can be taken away from a thread that has just been woken, or is about to sleep,
# without a switch: seen where a lock or a wait stands alone.
STOLEN_NS = 2_000_000
# How far waits may differ from the workload's attempts.  Where one attempt ends and the next begins
# is guessed from CPU time at present, which errs on a busy machine.  The aim is 2 %: the issue on
# attempts tightens this.
ATTEMPTS_PERCENT = 10
SPARE_ATTEMPTS = 2  # for counts so small that a per cent is less than one
# Workloads of processes that live for milliseconds, and what says that one was gone too soon.
SHORT_LIVED = ("shorty", "ended")
UNSEEN = ("processes_unnamed", "processes_unreadable")


class Lock:
    """One lock object of a truth: the sum of the call chains that lead to it."""

    def __init__(self, sites):
        first = sites[0]
        self.pid, self.kind, self.name = first["pid"], first["kind"], first["name"]
        self.idle = first["idle"]
        self.start = int(first["address"], 16)
        self.end = self.start + first["size"]
        self.sites = sites
        self.includes = {site["includes"] for site in sites if "includes" in site}
        for key in ("attempts", "slept", "sleeps", "preempted", "wait_ns"):
            setattr(self, key, sum(site[key] for site in sites))
        self.max_ns = max(site["max_ns"] for site in sites)

    def __str__(self):
        return f"{self.name} ({self.pid}, {self.start:#x})"

    def rows_of(self, document):
        """The rows whose futex word or object lies in this lock."""
        return [
            row
            for row in document["locks"]
            if row["pid"] == self.pid and self.start <= int(row["address"], 16) < self.end
        ]


def locks_of(truth):
    """The lock objects of a truth."""
    sites = {}
    for site in truth["locks"]:
        sites.setdefault((site["pid"], site["address"]), []).append(site)
    return [Lock(of_one) for of_one in sites.values()]


def groups_of(locks):
    """Locks whose counts can be told apart stand alone, a condvar stands with its mutex."""
    groups = []
    for lock in locks:
        group = [lock]
        for other in list(groups):
            if any(
                lock.pid == one.pid and (lock.name in one.includes or one.name in lock.includes)
                for one in other
            ):
                groups.remove(other)
                group = other + group
        groups.append(group)
    return groups


def total(items, key):
    """The sum of a member over rows, sites or documents."""
    return sum(item[key] for item in items)


def functions_of(site):
    """The functions of a site's stack, leaf first, without parameters."""
    return [frame["function"].split("(")[0] for frame in site["stack"]]


def has_chain(site, functions):
    """Does the stack have these functions in this order, whatever lies between?"""
    rest = iter(functions_of(site))
    return all(function in rest for function in functions)


def is_of_threads(row):
    """Is it a lock of the C library's own, which threads take where they begin and end? The truth knows none of it:
    glibc's of the stacks that it keeps (nptl/allocatestack.c), musl's of the list of threads (__tl_lock() in
    src/thread/pthread_create.c).
    """
    if row["label"] == "thread stack cache":
        return True
    return row["kind"] == "futex" and all(
        {"pthread_create", "pthread_exit"} & set(functions_of(site))
        and "pthread_mutex_lock" not in functions_of(site)
        for site in row["sites"]
    )


def without_threads(document):
    """The locks of a report that are the program's own."""
    return [row for row in document["locks"] if not is_of_threads(row)]


def read_documents(path):
    """All JSON documents of a file."""
    with open(path, encoding="utf-8") as file:
        text, documents, decoder = file.read().strip(), [], json.JSONDecoder()
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].lstrip()
    return documents


def watch(command, *options, statuses=(0,), timeout=60, **popen):
    """Run a command under `holdup locks --json`: what it printed, the documents, stderr."""
    with tempfile.TemporaryDirectory(prefix="holdup-test-") as directory:
        path = os.path.join(directory, "report")
        args = ["locks", "--json", "--idle", "-n", 1000, "-o", path, *options, "--", *command]
        status, out, err = holdup.run(args, timeout=timeout, **popen)
        assert status in statuses, f"{args}: status {status}, stderr: {err}"
        return out, read_documents(path), err


def observe(name, *args, options=()):
    """Run a workload under holdup: its truth and the one report. Processes that live for milliseconds can be gone before
    holdup, if it does not get to run, has read their names: that is said, and such a run is done again.
    """
    for _ in range(5):
        out, documents, _ = watch([holdup.workload(name), *map(str, args)], *options)
        assert len(documents) == 1, f"{len(documents)} reports"
        coverage = documents[0]["coverage"]
        if name not in SHORT_LIVED or not any(coverage[key] for key in UNSEEN):
            break
    return json.loads(out), documents[0]


def schema():
    """What holdup says its documents look like."""
    status, out, err = holdup.run(["--json-schema"])
    assert status == 0, err
    return json.loads(out)


FAST_CLOCK_NS = 50_000


def check_sleeps(test, locks, documents):
    """Exact: the kernel counts the same switches for the workload."""
    for group in groups_of(locks):
        rows = [row for lock in group for doc in documents for row in lock.rows_of(doc)]
        test.assertEqual(
            total(rows, "sleeps"), sum(lock.sleeps for lock in group), " + ".join(map(str, group))
        )


def check_wait_time(test, locks, documents, ahead_ns=0):
    """Off-CPU time lies within the call that the workload measures: never more than that, and less
    only by what is known: for each lock that can be told apart, and closer for all together.
    """
    groups = groups_of(locks)
    for group in groups:
        check_time_of(test, group, documents, STOLEN_NS if len(groups) > 1 else 0, ahead_ns)
    check_time_of(test, locks, documents, 0, ahead_ns)


@holdup.clocks()
def check_time_of(test, locks, documents, spare_ns, ahead_ns):
    """The time of locks in sum; ahead_ns: how much more than the workload's clock a sleep may have."""
    rows = [row for lock in locks for doc in documents for row in lock.rows_of(doc)]
    what = " + ".join(map(str, locks))
    waited, truth = total(rows, "wait_ns"), sum(lock.wait_ns for lock in locks)
    spare_ns += sum(CLOCKS_NS * lock.slept + PREEMPTED_NS * lock.preempted for lock in locks)
    # BPF's clock may be slewed a little against the workload's, and has been seen 30 us ahead of it.
    ahead_ns = FAST_CLOCK_NS + sum(ahead_ns * lock.slept for lock in locks)
    test.assertLessEqual(waited, truth * 1.001 + ahead_ns, what)
    test.assertGreaterEqual(waited, truth * 0.99 - spare_ns, what)


def check_coverage(test, documents, reasons=()):
    """Nothing lost, by any name, but for the given reasons."""
    for document in documents:
        for name in (
            "lost",
            "lost_ns",
            "summarized",
            "summarized_ns",
            "records_lost",
            "stacks_lost",
            "depth_unknown",
            "malformed",
            "below_min",
            "below_min_ns",
            "processes_unreadable",
        ):
            if name not in reasons:
                test.assertEqual(document["coverage"][name], 0, name)


class Oracle:
    """The checks of one workload under holdup; a test case derives from this and says which one."""

    workload = None
    args = ()
    options = ()
    ahead_ns = 0  # how much more than by the workload's clock a sleep may last

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth, cls.document = observe(cls.workload, *cls.args, options=cls.options)
        cls.locks = locks_of(cls.truth)
        cls.groups = groups_of(cls.locks)

    @classmethod
    def leave_out_inner(cls, function):
        """The truth counts what slept within its call; the library's own locks that are waited for in there have rows of
        their own, and such sleeps are taken from those of the truth that are missing otherwise.
        """
        own = [row for lock in cls.locks for row in lock.rows_of(cls.document)]
        rest = [row for row in cls.document["locks"] if row not in own]
        sites = [site for row in rest for site in row["sites"] if has_chain(site, [function])]
        inner = total(sites, "sleeps")
        for lock in cls.locks:
            more = lock.sleeps - total(lock.rows_of(cls.document), "sleeps")
            if 0 < more <= inner:
                lock.sites[0]["sleeps"] -= more
                inner -= more
        cls.locks = locks_of(cls.truth)
        cls.groups = groups_of(cls.locks)

    def slept(self):
        """The locks that can be told apart and were slept for."""
        found = [lock for lock in self.locks if lock.sleeps]
        self.assertTrue(found, "the workload did not wait at all")
        return found

    def group_of(self, lock):
        return next(group for group in self.groups if lock in group)

    def test_nothing_lost(self):
        check_coverage(self, [self.document])

    def test_every_stack_is_whole(self):
        self.assertEqual(self.document["coverage"]["stacks_incomplete"], 0)

    def test_each_sleep_counts(self):
        self.slept()
        check_sleeps(self, self.locks, [self.document])

    @holdup.clocks()
    def test_attempts(self):
        for group in self.groups:
            waits = sum(total(lock.rows_of(self.document), "waits") for lock in group)
            slept = sum(lock.slept for lock in group)
            most = slept
            if len(group) > 1:  # one attempt can wait for the condvar and for its mutex
                most = sum(lock.sleeps for lock in group)
            what = " + ".join(map(str, group))
            spare = slept * ATTEMPTS_PERCENT / 100 + SPARE_ATTEMPTS
            self.assertGreaterEqual(waits, slept - spare, what)
            self.assertLessEqual(waits, most + spare, what)

    def test_wait_time(self):
        check_wait_time(self, self.locks, [self.document], self.ahead_ns)

    @holdup.clocks()
    def test_longest_wait(self):
        for lock in self.slept():
            rows = lock.rows_of(self.document)
            longest = max((row["max_ns"] for row in rows), default=0)
            self.assertLessEqual(longest, total(rows, "wait_ns"))
            # Where each attempt slept once and each sleep is a wait the longest is the same one.
            alike = total(rows, "waits") == lock.slept == lock.sleeps
            if alike and not lock.preempted and len(self.group_of(lock)) == 1:
                most = lock.max_ns * 1.001 + FAST_CLOCK_NS + self.ahead_ns
                self.assertLessEqual(longest, most, str(lock))
                self.assertGreaterEqual(longest, lock.max_ns * 0.99 - STOLEN_NS, str(lock))

    def test_kind_and_name(self):
        for lock in self.locks:
            rows = lock.rows_of(self.document)
            alone = len(self.group_of(lock)) == 1
            if lock.sleeps and alone:
                self.assertTrue(rows, str(lock))
            rest = [row for row in rows if int(row["address"], 16) != lock.start]
            if lock.kind == "condvar":
                # pthread_cond_signal() can sleep for a lock inside of the object.
                inner = sum(site["sleeps"] for site in lock.sites if "includes" not in site)
                self.assertLessEqual(total(rest, "sleeps"), inner, str(lock))
            else:
                self.assertEqual([row["address"] for row in rest], [], str(lock))
            own = [row for row in rows if row not in rest]
            self.assertLessEqual(len(own), 1, str(lock))
            for row in own:
                self.assertEqual((row["kind"], row["name"]), (lock.kind, lock.name))

    def test_idle(self):
        for lock in self.locks:
            for row in lock.rows_of(self.document):
                if lock.idle is not None and int(row["address"], 16) == lock.start:
                    self.assertEqual(row["idle"], lock.idle, str(lock))

    def test_process(self):
        for lock in self.locks:
            for row in lock.rows_of(self.document):
                self.assertEqual(row["comm"], self.workload[:15])
                self.assertEqual(row["exe"], holdup.workload(self.workload))

    def test_sites(self):
        """Each site is one of the call chains, and each chain has its sleeps."""
        for group in self.groups:
            chains = [site for lock in group for site in lock.sites]
            sleeps = [0] * len(chains)
            for lock in group:
                for row in lock.rows_of(self.document):
                    for site in row["sites"]:
                        fit = [
                            i
                            for i, chain in enumerate(chains)
                            if has_chain(site, chain["functions"])
                        ]
                        self.assertTrue(fit, f"{lock}: no chain of it is {functions_of(site)}")
                        self.assertTrue(site["complete"], functions_of(site))
                        self.assertFalse(site["guessed"], functions_of(site))
                        sleeps[fit[0]] += site["sleeps"]
            if len(group) == 1:
                self.assertEqual(sleeps, [chain["sleeps"] for chain in chains], str(group[0]))

    def test_no_other_locks(self):
        known = [row for lock in self.locks for row in lock.rows_of(self.document)]
        rest = [row for row in without_threads(self.document) if row not in known]
        self.assertEqual([(row["name"], row["module"]) for row in rest], [])

    def test_it_adds_up(self):
        import jsonschema  # guests have none, and do not ask

        document = self.document
        jsonschema.validate(document, schema())
        for idle, waits, wait_ns in (
            (False, "waits", "wait_ns"),
            (True, "idle_waits", "idle_wait_ns"),
        ):
            rows = [row for row in document["locks"] if row["idle"] == idle]
            self.assertEqual(document[waits], total(rows, "waits"))
            self.assertEqual(document[wait_ns], total(rows, "wait_ns"))
        self.assertEqual(document["coverage"]["events"], total(document["locks"], "waits"))
        for row in document["locks"]:
            for stats in (row, *row["sites"]):
                self.assertEqual(stats["blocked_ns"] + stats["runqueue_ns"], stats["wait_ns"])
                order = [stats[f"{name}_ns"] for name in ("p50", "p95", "p99", "max")]
                self.assertEqual(order, sorted(order))
                self.assertGreaterEqual(stats["sleeps"], stats["waits"])
            for key in ("waits", "sleeps", "wait_ns"):
                self.assertEqual(row[key], total(row["sites"], key), key)
            self.assertEqual(row["waiters_now"], 0)
            self.assertEqual(row["ongoing"], 0)
