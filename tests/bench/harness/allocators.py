# SPDX-License-Identifier: MIT
"""Which allocators there are, and how a program is given one."""

import dataclasses
import os
import subprocess
import sys

# Name and soname, looked up in the linker's cache; glibc is no preload at all.
PEERS = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2",
}
GLIBC = "libc.so.6"


@dataclasses.dataclass
class Allocator:
    """A library to preload, or None, and what else the environment says."""

    name: str
    library: str | None
    environment: dict = dataclasses.field(default_factory=dict)

    def variables(self, preload=True):
        """The environment of a program; the preload is left out on request."""
        variables = {k: v for k, v in os.environ.items()
                     if k not in ("LD_PRELOAD", "TRACT_OPTIONS", "PEERS")}
        # The distribution's own programs, not somebody's wrappers of them.
        variables |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        variables |= self.environment
        if preload and self.library:
            variables["LD_PRELOAD"] = self.library
        return variables


def linker_cache():
    """Sonames the dynamic linker knows, to their paths."""
    known = {}
    listing = subprocess.run(["/sbin/ldconfig", "-p"], text=True,
                             capture_output=True, check=False).stdout
    for line in listing.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow:
            known.setdefault(name.split()[0], path)
    return known


def glibc_itself():
    """For a program that is linked with another malloc: the C library first."""
    return Allocator("glibc", linker_cache()[GLIBC])


def find(shim):
    """All of them: the C library's, ours, the distribution's, and PEERS."""
    found = [Allocator("glibc", None), Allocator("tract", shim)]
    known = linker_cache()
    for name, soname in PEERS.items():
        if soname in known:
            found.append(Allocator(name, known[soname]))
        else:
            print(f"{name}: {soname} is not installed, left out")
    for pair in filter(None, os.environ.get("PEERS", "").split(",")):
        name, _, path = pair.partition("=")
        if not os.path.exists(path):
            sys.exit(f"report: PEERS names {path}, which is not there")
        if any(name == a.name for a in found):
            sys.exit(f"report: there are two allocators of the name {name}")
        found.append(Allocator(name, os.path.abspath(path)))
    return found


def same_code(one, other):
    """Do two libraries have the same instructions?"""
    def text(path):
        return subprocess.run(["objcopy", "-O", "binary", "--only-section=.text",
                               path, "/dev/stdout"], capture_output=True,
                              check=True).stdout
    return text(one) == text(other)


def variants(shim, unchecked):
    """Ours with something else: beside the allocators, not among them."""
    found, missing = [], []
    if not os.path.exists(unchecked):
        missing.append("unchecked: " + os.path.basename(unchecked)
                       + " is not built")
    elif same_code(shim, unchecked):
        missing.append("unchecked: TRACT_UNCHECKED changes no instruction of the "
                       "library")
    else:
        found.append(Allocator("unchecked", unchecked))
    # It says on stderr when it does not know an option.
    said = subprocess.run(["/bin/true"], env={"LD_PRELOAD": shim,
                          "TRACT_OPTIONS": "hardened=1"}, text=True,
                          capture_output=True, check=False).stderr
    if said:
        missing.append("hardened: the library knows no such option")
    else:
        found.append(Allocator("hardened", shim, {"TRACT_OPTIONS": "hardened=1"}))
    return found, missing
