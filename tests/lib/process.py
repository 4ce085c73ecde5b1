# SPDX-License-Identifier: GPL-2.0-only
"""Running a test program with a bound on its time, and nothing of it left behind."""

import os
import signal
import subprocess
import time

TERM_GRACE_S = 5


def end_group(pid):
    """End all processes of a group: asked first (qemu and holdup clean up), then killed."""
    for number, grace in ((signal.SIGTERM, TERM_GRACE_S), (signal.SIGKILL, 1)):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            try:
                os.killpg(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)


def run_bounded(command, timeout_s, env=None, cwd=None):
    """Run to the end or for timeout_s: (status, output, timed_out), stdout and stderr together.

    The program gets a process group of its own; whatever of it still runs afterwards is ended.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    ) as process:
        timed_out = False
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
            end_group(process.pid)
            output, _ = process.communicate()
        except BaseException:
            end_group(process.pid)
            raise
        finally:
            if process.returncode is not None:
                end_group(process.pid)
    return process.returncode, output.decode("utf-8", "replace"), timed_out


def describe_status(status):
    """An exit status in words."""
    if status is not None and status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"
