# SPDX-License-Identifier: GPL-2.0-only
"""--debuginfod: names from a server, and servers that do not answer, lie, or are not there."""

import contextlib
import http.server
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import holdup

# Each file may take 5 s and all together 30 s; beyond that this is a hang.
BOUND_S = 60
FUNCTION = "update_ledger"  # where the workload mutex waits


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True)
    return notes.stdout.partition("Build ID:")[2].split()[0]


class Server:
    """Answers /buildid/ID/debuginfo by `answer`, which gets the handler and the ID."""

    def __init__(self, answer):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                part = self.path.split("/")
                asked.append(part[2] if len(part) > 2 else self.path)
                with contextlib.suppress(OSError):
                    answer(self, asked[-1])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


def send(handler, content):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


class Debuginfod(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp()
        full = os.path.join(cls.directory, "full")
        cls.program = os.path.join(cls.directory, "program")
        cls.debug = os.path.join(cls.directory, "elsewhere.debug")
        shutil.copy(holdup.workload("mutex"), full)
        subprocess.run(["objcopy", "--only-keep-debug", full, cls.debug], check=True)
        subprocess.run(["strip", "-o", cls.program, full], check=True)
        cls.id = build_id(cls.program)
        with open(cls.debug, "rb") as file:
            cls.content = file.read()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def locks(self, url, *more, option=True, statuses=(0,)):
        """The report on the stripped program, with DEBUGINFOD_URLS set."""
        work = subprocess.Popen(
            [self.program, "--threads", "4", "--until-told"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            args = ["locks", "-p", work.pid, "-d", "500ms", *more]
            env = {"DEBUGINFOD_URLS": url, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
            full = [*args, "--debuginfod"] if option else args
            before = self.leftovers()
            report = holdup.run_json(full, timeout=BOUND_S, statuses=statuses, env=env)
            self.assertEqual(self.leftovers(), before)
            return report
        finally:
            work.kill()
            work.wait()

    @staticmethod
    def leftovers():
        return sorted(name for name in os.listdir("/tmp") if name.startswith("holdup-debuginfod."))

    def frames(self, report):
        """Of the program itself: [(function, file)]."""
        found = [
            (frame["function"], os.path.basename(frame["file"] or ""))
            for lock in report["locks"]
            for site in lock["sites"]
            for frame in site["stack"]
            if frame["module"] == "program"
        ]
        self.assertTrue(found, report)
        return found

    def assert_nameless(self, report):
        self.assertEqual({function for function, _ in self.frames(report)} - {"_start"}, {""})

    def test_served(self):
        def answer(handler, wanted):
            if wanted == self.id:
                send(handler, self.content)
            else:
                handler.send_error(404)

        with Server(answer) as server:
            frames = self.frames(self.locks(server.url))
            self.assertIn(self.id, server.asked)
            # one question a file, however many frames it has
            self.assertEqual(len(server.asked), len(set(server.asked)))
        self.assertIn("mutex.c", {file for _, file in frames})
        self.assertNotIn("", {function for function, _ in frames})
        self.assertIn(FUNCTION, {function for function, _ in frames})

    def test_not_asked_without_the_option(self):
        with Server(lambda handler, _: send(handler, self.content)) as server:
            self.assert_nameless(self.locks(server.url, option=False))
            self.assertEqual(server.asked, [])

    def test_no_such_file(self):
        with Server(lambda handler, _: handler.send_error(404)) as server:
            self.assert_nameless(self.locks(server.url))
            self.assertIn(self.id, server.asked)

    def test_garbage(self):
        noise = random.Random(1).randbytes(1 << 20)
        for content in (noise, b"", b"\x7fELF" + noise, self.content[: len(self.content) // 3]):
            with self.subTest(content=content[:8]), Server(
                lambda handler, _, content=content: send(handler, content)
            ) as server:
                report = self.locks(server.url)
                self.assertIn(self.id, server.asked)
                self.frames(report)  # named or not: it was written, and is well-formed

    def test_other_file(self):
        """A debug file of another program: its build-id is not the one asked for."""
        other = os.path.join(self.directory, "other.debug")
        subprocess.run(
            ["objcopy", "--only-keep-debug", holdup.workload("rwlock"), other], check=True
        )
        with open(other, "rb") as file, Server(
            lambda handler, _, content=file.read(): send(handler, content)
        ) as server:
            self.assert_nameless(self.locks(server.url))
            self.assertIn(self.id, server.asked)

    def test_silent(self):
        """A server that takes connections and says nothing: the bound of locks() holds."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            self.assert_nameless(self.locks(url))

    def test_endless(self):
        """A server that sends one byte after the other."""
        done = threading.Event()

        def answer(handler, _):
            handler.send_response(200)
            handler.end_headers()
            while not done.wait(0.05):
                handler.wfile.write(b"\x7f")

        with Server(answer) as server:
            try:
                self.assert_nameless(self.locks(server.url))
            finally:
                done.set()

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            url = f"http://127.0.0.1:{gone.getsockname()[1]}"
        self.assert_nameless(self.locks(url))

    def test_no_server_known(self):
        if any(name.endswith(".urls") for name in self.configured()):
            self.skipTest("gap: this machine has a server configured")
        status, out, err = holdup.run(
            ["locks", "--debuginfod", "-d", "1s"], env={"DEBUGINFOD_URLS": " "}
        )
        self.assertEqual((status, out), (3, ""), err)
        self.assertIn("DEBUGINFOD_URLS", err)

    @staticmethod
    def configured():
        return os.listdir("/etc/debuginfod") if os.path.isdir("/etc/debuginfod") else []


if __name__ == "__main__":
    unittest.main()
