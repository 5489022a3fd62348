# SPDX-License-Identifier: MIT
"""One run of one program: what it used, what it said, and whether it went wrong."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    """A run that gave no result; the text says why."""


@dataclasses.dataclass
class Place:
    """Where things are: built programs, sources, a directory to work in."""

    build: str
    sources: str
    work: str
    timeout: int
    # Is a second waited for, after the work, until the final RSS is taken?
    settle: bool = True

    def program(self, name):
        """A benchmark program of ours."""
        return os.path.join(self.build, "tests/bench", name)

    def real(self, name):
        """An input of a real program."""
        return os.path.join(self.sources, "real", name)


def check(status, errors):
    """Has it ended well, under the allocator that it was to have?"""
    # The dynamic linker says so when it could not preload, and goes on.
    if "cannot be preloaded" in errors:
        raise Failure("the library cannot be preloaded")
    if status:
        raise Failure(f"status {status}: {errors.strip()[-300:]}")


def outputs(words, variables, timeout, stdin=None, cwd=None):
    """Runs a command to its end, or ends it and all that it started."""
    with subprocess.Popen(words, env=variables, text=True, cwd=cwd,
                          stdin=stdin or subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          start_new_session=True) as process:
        try:
            said, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as late:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failure(f"no end within {timeout} s") from late
    check(process.returncode, errors)
    return said, errors


def finish(words, variables, timeout, stdin=None, cwd=None):
    """The same, if only what it says matters."""
    return outputs(words, variables, timeout, stdin, cwd)[0]


def own(place, allocator, name, arguments):
    """A program of ours prints all that is asked, itself."""
    said = finish([place.program(name), "--json"]
                  + (["--settle"] if place.settle else []) + arguments,
                  allocator.variables(), place.timeout)
    try:
        result = json.loads(said)
    except json.JSONDecodeError as wrong:
        raise Failure(f"no result line: {said[-200:]!r}") from wrong
    if not place.settle:
        del result["final_rss"]
    return result


def command(place, allocator, words, stdin=None, times=1, variables=None):
    """A command and its children: CPU and wall time, peak RSS, and its output."""
    with tempfile.NamedTemporaryFile("r", dir=place.work) as to:
        preload = [f"--preload={allocator.library}"] if allocator.library else []
        said = finish([place.program("launch")] + preload
                      + [f"--times={times}", f"--to={to.name}"] + words,
                      allocator.variables(preload=False) | (variables or {}),
                      place.timeout, stdin, place.work)
        result = json.load(to)
    return result, said


def rested(result, said):
    """Takes the last line, "rested SECONDS rss KIB", into account; the others."""
    lines = said.splitlines()
    words = re.fullmatch(r"rested ([\d.]+) rss (\d+)", lines[-1] if lines else "")
    if not words:
        raise Failure(f"no line of its rest: {said[-200:]!r}")
    result["wall"] -= float(words[1])
    result["final_rss"] = int(words[2])
    return "\n".join(lines[:-1])


def status_of(pid, field):
    """A "Name: 123 kB" line of the process's status, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(re.search(rf"^{field}:\s*(\d+)", file.read(), re.M)[1])


class Server:
    """A program that answers on a socket of the file system until it is ended."""

    def __init__(self, place, allocator, words, path):
        self.path, self.timeout = path, place.timeout
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.log = tempfile.TemporaryFile("w+", dir=place.work)
        self.process = subprocess.Popen(words, env=allocator.variables(),
                                        cwd=place.work, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.usage = None
        self.wait_for_socket()
        self.begin = time.monotonic()

    def wait_for_socket(self):
        """Until it listens."""
        for _ in range(500):
            with contextlib.suppress(OSError), socket.socket(
                    socket.AF_UNIX) as attempt:
                attempt.connect(self.path)
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.kill()
        raise Failure(f"the server does not listen: {self.said()}")

    def said(self):
        """The end of what it printed."""
        self.log.seek(0)
        return self.log.read().strip()[-300:]

    def memory(self):
        """Peak and present RSS."""
        return {"peak_rss": status_of(self.process.pid, "VmHWM"),
                "final_rss": status_of(self.process.pid, "VmRSS")}

    def kill(self):
        """Whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self, statuses):
        """Asks it to end; its CPU time."""
        if self.process.returncode is None:
            self.process.terminate()
        deadline = time.monotonic() + 20
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self.kill()
                raise Failure("the server does not end")
            time.sleep(0.01)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        check(0, self.said())
        if self.process.returncode not in statuses:
            raise Failure(f"the server ended with {self.process.returncode}: "
                          + self.said())
        return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def server(place, allocator, words, path):
    """A Server that does not outlive its use."""
    one = Server(place, allocator, words, path)
    try:
        yield one
    finally:
        one.kill()
        one.log.close()
