# SPDX-License-Identifier: GPL-2.0-only
"""Real Go servers as Debian packages them (stripped, with C in them), old and new: at rest every goroutine is read
as the server itself prints it, nothing is found wrong, and nothing is suspected to be a leak, before they have worked and
after; under load no stack is broken.
"""

import contextlib
import http.client
import json
import os
import platform
import socket
import subprocess
import tempfile
import threading
import unittest
import urllib.request

import golang
import holdup

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
FETCH = os.path.join(TOP, "tools", "go", "fetch")
READY_S = 60
TRIES = 30
LOOKS = 40
CLIENTS = 6
REQUESTS = 600


def fetch(package):
    """Where a package of another suite is unpacked; skips the test when it can't be had."""
    done = subprocess.run(
        [FETCH, package], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    if done.returncode == 77:
        raise unittest.SkipTest("no Go: " + done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def get(port, path, data=None):
    """What a server on this machine answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=20) as reply:
        return reply.read().decode()


def free_ports():
    """The first of two ports in a row that nobody listens on."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


class Prometheus:
    package, program = "prometheus", "prometheus"
    ready, request, body = "/-/ready", "/api/v1/query?query=up", None

    def __init__(self, port, directory):
        self.port = self.profile = port
        config = os.path.join(directory, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                "global: {scrape_interval: 1h}\nscrape_configs:\n- job_name: self\n"
                f'  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]\n'
            )
        self.args = ["--config.file", config, "--storage.tsdb.path", os.path.join(directory, "data"),
                     "--web.listen-address", f"127.0.0.1:{port}"]  # fmt: skip


class Etcd:
    package, program = "etcd-server", "etcd"
    ready, request = "/health", "/v3/kv/put"
    body = json.dumps({"key": "Zm9v", "value": "YmFy"}).encode()

    def __init__(self, port, directory):
        self.port = self.profile = port
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
        self.args = [
            "--data-dir", os.path.join(directory, "data"), "--enable-pprof",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        ]  # fmt: skip


class Caddy:
    package, program = "caddy", "caddy"
    ready, request, body = "/", "/", None

    def __init__(self, port, directory):
        self.port, self.profile = port, port + 1
        config = os.path.join(directory, "Caddyfile")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f"{{\n admin 127.0.0.1:{port + 1}\n auto_https off\n}}\n"
                f'http://127.0.0.1:{port} {{\n respond "hello"\n}}\n'
            )
        self.args = ["run", "--config", config, "--adapter", "caddyfile"]


class Server:
    """A server from when it answers until the end of the block."""

    def __init__(self, kind, suite):
        self.kind, self.suite = kind, suite

    def __enter__(self):
        root = fetch(f"{self.suite}/{self.kind.package}")
        self.directory = tempfile.TemporaryDirectory(prefix="holdup-test-")
        self.its = self.kind(free_ports(), self.directory.name)
        home = {"HOME": self.directory.name, "XDG_DATA_HOME": self.directory.name,
                "XDG_CONFIG_HOME": self.directory.name}  # fmt: skip
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [os.path.join(root, "usr", "bin", self.kind.program), *self.its.args],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**os.environ, **home},
            start_new_session=True,
        )  # fmt: skip
        self.pid = self.process.pid
        try:
            holdup.wait_until(self.answers, READY_S, f"{self.kind.program} to answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise AssertionError(self.log.read()[-2000:])
        try:
            return get(self.its.port, self.its.ready)
        except OSError:
            return None

    def tracebacks(self):
        """Its goroutines, as it prints them itself; without the one that reads on while such a question is answered."""
        rows = golang.parse_traceback(get(self.its.profile, "/debug/pprof/goroutine?debug=2"))
        reader = "net/http.(*connReader).backgroundRead"
        return [row for row in rows if reader not in [frame["function"] for frame in row["stack"]]]

    def load(self, over):
        """Requests over one connection, until enough have been answered and it is told to end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.its.port, timeout=30)
        done = 0
        while done < REQUESTS or not over.is_set():
            method = "POST" if self.its.body else "GET"
            connection.request(method, self.its.request, body=self.its.body)
            assert connection.getresponse().read()
            done += 1
        connection.close()

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.directory.cleanup()


class Servers(unittest.TestCase):
    """At rest, then under load, then at rest again."""

    def check(self, kind, suite):
        with Server(kind, suite) as server:
            self.at_rest(server)
            self.under_load(server)
            self.at_rest(server)

    def at_rest(self, server):
        with golang.Look(server.pid) as look:
            for _ in range(TRIES):
                truth, seen = server.tracebacks(), look.again()
                wrong = golang.compare(seen["goroutines"], truth)
                if not wrong:
                    break
            self.assertFalse(wrong, "\n".join(wrong))
            self.assertGreater(len(truth), 5)
        status, out, err = holdup.run(["check", "-p", server.pid], timeout=60)
        self.assertEqual((status, out), (0, ""), err)
        document = golang.stacks(server.pid)
        self.assertEqual(document["coverage"]["go_unread"], 0)
        self.assertEqual(document["coverage"]["go_unsearched"], 0)
        found = document["deadlocks"] + document["orphaned_locks"] + document["stuck"]
        self.assertEqual(found, [])
        self.assertGreater(len(golang.goroutines(document)), 5)
        command = ["leaks", "-p", server.pid, "--for", "5s", "--min-age", "1s"]
        self.assertEqual(holdup.run_json(command, timeout=60)["suspects"], [])

    def under_load(self, server):
        over, failed = threading.Event(), []

        def client():
            try:
                server.load(over)
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)

        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in clients:
            thread.start()
        try:
            self.look_many_times(server)
            document = golang.stacks(server.pid)
            found = document["deadlocks"] + document["orphaned_locks"] + document["stuck"]
            self.assertEqual(found, [])
            self.watch_locks(server)
        finally:
            over.set()
            for thread in clients:
                thread.join()
        self.assertFalse(failed)

    def watch_locks(self, server):
        """What its goroutines wait for, and that its idle threads are no contention."""
        command = ["locks", "-p", server.pid, "-d", "2s", "--idle", "-n", "1000"]
        for probes in ([], ["--go-probes"]) if platform.machine() == "x86_64" else ([],):
            document = holdup.run_json([*command, *probes], timeout=100)
            (go,) = document["golang"]
            self.assertNotIn("error", go)
            self.assertEqual(go["probed"], bool(probes))
            self.assertGreater(go["looks_at_all"], 0)
            self.assertEqual(document["coverage"]["go_sleeps_lost"], 0)
            rows = [row for row in document["locks"] if row["runtime"] == "go"]
            self.assertGreater(len(rows), 3)
            for row in rows:
                self.assertRegex(row["kind"], "^go-")
                stacks = [site["stack"] for site in row["sites"] if site["stack"]]
                self.assertTrue(stacks, row)
                for stack in stacks:
                    self.assertNotIn("", [frame["function"] for frame in stack])
            for row in document["locks"]:
                if row["runtime"] == "native" and not row["idle"]:
                    self.assertNotEqual(row["kind"], "futex", row)

    def look_many_times(self, server):
        """No stack ends anywhere but where its goroutine began."""
        with golang.Look(server.pid) as look:
            for _ in range(LOOKS):
                seen = look.again()
                self.assertEqual(seen["broken"], 0)
                for row in seen["goroutines"]:
                    if row["stack"]:
                        self.assertTrue(row["complete"], row)
                        self.assertIn(
                            row["stack"][-1]["function"], ("runtime.goexit", "runtime.main")
                        )

    @holdup.timeout(400)
    def test_prometheus_bookworm(self):
        self.check(Prometheus, "bookworm")

    @holdup.timeout(400)
    def test_prometheus_trixie(self):
        self.check(Prometheus, "trixie")

    @holdup.timeout(400)
    def test_etcd_bookworm(self):
        self.check(Etcd, "bookworm")

    @holdup.timeout(400)
    def test_etcd_trixie(self):
        self.check(Etcd, "trixie")

    @holdup.timeout(400)
    def test_caddy_bookworm(self):
        self.check(Caddy, "bookworm")

    @holdup.timeout(400)
    def test_caddy_trixie(self):
        self.check(Caddy, "trixie")


if __name__ == "__main__":
    unittest.main()
