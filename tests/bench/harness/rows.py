# SPDX-License-Identifier: MIT
"""The rows of the tables: each a function of a place and an allocator."""

import functools
import hashlib
import os
import pwd
import socket
import subprocess
import sys
import time

from harness import allocators, measure

# A program of ours and its arguments.
OWN = {
    "larson": ["0", "4", "8", "128", "1024", "200"],
    "xmalloc": ["2", "40000", "512"],
    "mstress": ["4", "40", "100000"],
    "threadchurn": ["16000", "400"],
    "ladder": ["60", "4000"],
    "cachescratch": ["4", "80000", "8", "500"],
    "large": ["1200", "16"],
    "realloc": ["6"],
    "remotefree": ["400000", "5"],
    "fragment": ["20", "400000"],
    "callocs": ["240000"],
}


def digest(text):
    """A short one."""
    data = text if isinstance(text, bytes) else text.encode()
    return hashlib.sha256(data).hexdigest()[:16]


def python(place, allocator):
    """Each object is a malloc."""
    result, said = measure.command(
        place, allocator, ["/usr/bin/python3", "-s", "-S", place.real("python.py"), "16"],
        variables={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"})
    result["checksum"] = digest(measure.rested(result, said))
    return result


def luajit(place, allocator):
    """Buffers of malloc; Lua's own objects lie elsewhere."""
    result, said = measure.command(
        place, allocator, ["luajit", place.real("luajit.lua"), "1500000"])
    result["checksum"] = digest(measure.rested(result, said))
    return result


def sqlite(place, allocator):
    """A database in memory; a shell it starts reads its RSS a second later."""
    with open(place.real("sqlite.sql"), encoding="utf-8") as file:
        script = file.read()
    path = os.path.join(place.work, "input.sql")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{script}.shell {place.real('rest.sh')}\n")
    with open(path, encoding="utf-8") as stdin:
        result, said = measure.command(
            place, allocator, ["sqlite3", "-batch", "-bail", ":memory:"], stdin)
    result["checksum"] = digest(measure.rested(result, said))
    return result


def generated(place, script, *arguments):
    """A file that is made once."""
    path = os.path.join(place.work, arguments[0])
    if not os.path.exists(path):
        subprocess.run([sys.executable, place.real(script), path]
                       + list(arguments[1:]), check=True)
    return path


def z3(place, allocator):
    """Answers, and the values that only one model has."""
    path = generated(place, "smt2.py", "problem.smt2")
    result, said = measure.command(place, allocator, ["z3", path], times=2)
    result["checksum"] = digest(said)
    return result


def cplusplus(place, allocator):
    """The compiler proper is a child of the one that is called."""
    generated(place, "cplusplus.py", "program.cc", "10")
    result, _ = measure.command(place, allocator, [
        "g++", "-std=c++17", "-O1", "-frandom-seed=1", "-c", "program.cc",
        "-o", "program.o"])
    with open(os.path.join(place.work, "program.o"), "rb") as file:
        result["checksum"] = digest(file.read())
    return result


class Redis:
    """A connection, and the protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        """A command."""
        data = [word if isinstance(word, bytes) else str(word).encode()
                for word in words]
        self.socket.sendall(b"*%d\r\n" % len(data) + b"".join(
            b"$%d\r\n%s\r\n" % (len(d), d) for d in data))

    def answer(self):
        """Of a command that has a simple one."""
        line = self.file.readline().strip()
        if line.startswith(b"-") or not line:
            raise measure.Failure(f"redis answers {line!r}")
        if line.startswith(b"$") and line != b"$-1":
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def fill(self, count):
        """Many keys of mixed kinds and sizes, some of them deleted again."""
        for first in range(0, count, 200):
            many = range(first, first + 200)
            for i in many:
                self.send("SET", f"key:{i}", b"%d" % i * (1 + i % 97))
                self.send("HSET", f"hash:{i % 500}", f"field:{i}", i * i)
                self.send("ZADD", f"zset:{i % 20}", i % 999, f"member:{i}")
                self.send("DEL", f"key:{i // 2}")
            for _ in range(4 * len(many)):
                self.answer()


def redis(place, allocator):
    """The server's CPU time and memory; the client has the C library's malloc."""
    # The distribution's is linked with jemalloc, but asks for malloc by name.
    if not allocator.library:
        allocator = allocators.glibc_itself()
    path = os.path.join(place.work, "redis.socket")
    words = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
             "--enable-debug-command", "yes", "--activedefrag", "no"]
    neutral = allocators.Allocator("client", None)
    with measure.server(place, allocator, words, path) as server:
        ask = Redis(path)
        ask.fill(40000)
        measure.finish(["redis-benchmark", "-s", path, "-q", "-n", "250000", "-c",
                        "50", "-P", "16", "-r", "50000", "-d", "400", "--dbnum", "1",
                        "-t", "set,get,lpush,lpop,hset,sadd,spop"],
                       neutral.variables(), place.timeout)
        # What the benchmark wrote, in random order, is its own affair.
        ask("SELECT", 1)
        ask("FLUSHDB", "SYNC")
        wall = time.monotonic() - server.begin
        begin = time.monotonic()
        while time.monotonic() - begin < 1:
            ask("PING")
            time.sleep(0.1)
        checksum = ask("DEBUG", "DIGEST").decode()
        result = server.memory()
        result |= {"wall": wall, "checksum": checksum, "cpu": server.end([0])}
    return result


def memcached(place, allocator):
    """Four threads, and a client that holds every answer against its own."""
    path = os.path.join(place.work, "memcached.socket")
    words = ["memcached", "-t", "4", "-m", "512", "-s", path, "-u",
             pwd.getpwuid(os.getuid()).pw_name]
    neutral = allocators.Allocator("client", None)
    with measure.server(place, allocator, words, path) as server:
        checksum = measure.finish(
            [place.program("memload"), path, "16", "40000", "2048"],
            neutral.variables(), place.timeout).strip()
        wall = time.monotonic() - server.begin
        time.sleep(1)
        result = server.memory()
        result |= {"wall": wall, "checksum": checksum, "cpu": server.end([0, -15])}
    return result


REAL = {"python3": python, "redis": redis, "sqlite3": sqlite, "z3": z3,
        "g++": cplusplus, "luajit": luajit, "memcached": memcached}

# Programs that are not there everywhere.
NEEDS = {"python3": ["python3"], "redis": ["redis-server", "redis-benchmark"],
         "sqlite3": ["sqlite3"], "z3": ["z3"], "g++": ["g++"], "luajit": ["luajit"],
         "memcached": ["memcached"], "instructions": ["valgrind", "objdump"]}

ROWS = {name: functools.partial(measure.own, name=name, arguments=arguments)
        for name, arguments in OWN.items()} | REAL


def start_up(place, allocator):
    """A thousand processes that allocate little, and one that says its RSS."""
    result, _ = measure.command(place, allocator, [place.program("shortlived")],
                                times=1000)
    one = measure.own(place, allocator, "shortlived", [])
    return one | {"cpu": result["cpu"], "wall": result["wall"]}
