# SPDX-License-Identifier: GPL-2.0-only
"""The goroutines of Go programs as they are read from outside: what Go's own tracebacks print, in every
release and form, and never a wrong stack, however fast goroutines come and go.
"""

import os
import re
import unittest

import golang
import holdup

ZOO = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), os.pardir, "workload", "go", "zoo"
)
TRIES = 20  # a goroutine can move between both looks


class Tracebacks(unittest.TestCase):
    """Every goroutine with every frame, its line, what was inlined, and where it was created."""

    def check(self, name):
        for form, path in golang.builds(name):
            with self.subTest(form), golang.Program(path) as program:
                with golang.Look(program.pid) as look:
                    for _ in range(TRIES):
                        truth, seen = program.ask("goroutines"), look.again()
                        wrong = golang.compare(seen["goroutines"], truth)
                        if not wrong:
                            break
                    self.assertFalse(wrong, "\n".join(wrong))
                    self.assertTrue(truth)
                    self.assertEqual(seen["broken"], 0)


def add_tests():
    """One for each program."""
    for name in sorted(os.listdir(ZOO)):
        # In `contended` goroutines never rest.
        if name != "contended":
            method = lambda self, name=name: self.check(name)  # noqa: E731
            setattr(Tracebacks, f"test_{name.replace('-', '_')}", method)


add_tests()


class Churn(unittest.TestCase):
    """Goroutines that are born and end, as many as the machine can, whose stacks grow meanwhile."""

    LOOKS = 60
    FAMILY = re.compile(r"main\.(red|green|blue)(Wait|[0-7])$")

    def check_stack(self, row):
        """Functions of one family, each called by the one before."""
        names = [f["function"] for f in row["stack"] if f["function"].startswith("main.")]
        found = [self.FAMILY.match(name) for name in names]
        if not names or not found[-1]:
            return False  # the program's other goroutines
        self.assertTrue(all(found), names)
        self.assertEqual(len({match[1] for match in found}), 1, names)
        steps = [8 if match[2] == "Wait" else int(match[2]) for match in found]
        self.assertEqual(steps, list(range(len(steps)))[::-1], names)
        (created,) = [f["function"] for f in row["created_by"]]
        self.assertEqual(created, f"main.{found[0][1]}Make")
        if row["state"] == "waiting" and "chan receive" in row["reason"]:
            self.assertEqual(steps[0], 8, names)
        return True

    @holdup.timeout(300)
    def test_churn(self):
        for form, path in golang.builds("churn"):
            with self.subTest(form), golang.Program(path) as program:
                with golang.Look(program.pid) as look:
                    self.look_at(program, look)

    def look_at(self, program, look):
        before, checked, rejected, retried = program.ask("rate"), 0, 0, 0
        for _ in range(self.LOOKS):
            seen = look.again()
            checked += sum(
                self.check_stack(row) for row in seen["goroutines"] if row["stack"]
            )
            rejected, retried = rejected + seen["rejected"], retried + seen["retried"]
            self.assertEqual(seen["broken"], 0)
        after = program.ask("rate")
        born, seconds = after["born"] - before["born"], after["seconds"] - before["seconds"]
        print(
            f"{born / seconds:,.0f} born a second, {checked} stacks right, {retried} read again, "
            f"{rejected} rejected"
        )
        # It did churn, and what was read while it did was looked at.
        self.assertGreater(born, 20 * self.LOOKS)
        self.assertGreater(checked, 10 * self.LOOKS)
        self.assertGreater(retried, 0)


if __name__ == "__main__":
    unittest.main()
