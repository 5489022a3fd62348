# SPDX-License-Identifier: MIT
"""What the figures were measured on, and of what."""

import os
import platform
import re
import subprocess

PACKAGES = ["libc6", "libjemalloc2", "libtcmalloc-minimal4", "libmimalloc2.0",
            "python3", "redis-server", "sqlite3", "z3", "g++-12", "luajit",
            "memcached", "valgrind"]


def read(path):
    """A file's text, or nothing."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def first(pattern, text, otherwise="unknown"):
    """What is matched first."""
    found = re.search(pattern, text, re.M)
    return found[1].strip() if found else otherwise


def output(*words, cwd=None):
    """Of a command, or nothing."""
    try:
        return subprocess.run(words, text=True, capture_output=True, check=True,
                              cwd=cwd).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def packages():
    """Name to version of those that are installed."""
    listing = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n")
    versions = dict(line.split() for line in listing.splitlines() if " " in line)
    return {name: versions[name] for name in PACKAGES if name in versions}


def description(root):
    """All that a reader needs to judge the figures."""
    commit = output("git", "describe", "--always", "--dirty", cwd=root)
    return {
        "processor": first(r"^model name\s*: (.*)", read("/proc/cpuinfo")),
        "processors": os.cpu_count(),
        "memory_mib": int(first(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"),
                                "0")) // 1024,
        "kernel": platform.release(),
        "distribution": first(r'^PRETTY_NAME="(.*)"', read("/etc/os-release")),
        "huge_pages": first(r"\[(\w+)\]", read(
            "/sys/kernel/mm/transparent_hugepage/enabled")),
        "module": os.path.exists("/dev/tract"),
        "compiler": output("gcc", "-dumpfullversion"),
        "commit": commit or "unknown",
        "packages": packages(),
    }
