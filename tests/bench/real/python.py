# SPDX-License-Identifier: MIT
"""Objects of every kind and lifetime; prints a digest of what came of them.

Run with PYTHONMALLOC=malloc: each object is then one malloc().
"""

import hashlib
import json
import re
import sys
import time


class Node:
    """Of a tree that is balanced by chance."""

    def __init__(self, key, value):
        self.key, self.value = key, value
        self.left = self.right = None


def numbers(seed):
    """The same on every machine."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        yield seed >> 33


def tree(count, source):
    """Inserts, then walks in order."""
    root = Node(next(source), "root")
    for _ in range(count):
        key, node = next(source), root
        new = Node(key, str(key))
        while True:
            side = "left" if key < node.key else "right"
            below = getattr(node, side)
            if below is None:
                setattr(node, side, new)
                break
            node = below
    stack, node, text = [], root, []
    while stack or node:
        while node:
            stack.append(node)
            node = node.left
        node = stack.pop()
        text.append(node.value)
        node = node.right
    return "".join(text)


def documents(count, source):
    """JSON there and back, and words counted."""
    records = [{"id": i, "name": f"user {next(source) % 9999}",
                "tags": [f"t{next(source) % 50}" for _ in range(next(source) % 8)],
                "score": (next(source) % 10000) / 100} for i in range(count)]
    again = json.loads(json.dumps(records))
    words = {}
    for record in again:
        for word in re.findall(r"\w+", json.dumps(record)):
            words[word] = words.get(word, 0) + 1
    return json.dumps(sorted(words.items(), key=lambda w: (-w[1], w[0]))[:500])


def churn(count, source):
    """A table whose entries come and go."""
    table = {}
    for _ in range(count):
        key = next(source) % 20000
        if key in table:
            del table[key]
        else:
            table[key] = (key, bytes(key % 300), [key] * (key % 9))
    return repr(sorted((k, len(v[1]), len(v[2])) for k, v in table.items()))


def main():
    """Works, then rests for a second so that the RSS can come to rest too."""
    scale = int(sys.argv[1])
    source = numbers(1)
    digest = hashlib.sha256()
    for work, count in ((tree, 3000), (documents, 2000), (churn, 40000)):
        for _ in range(scale):
            digest.update(work(count, source).encode())
    print(digest.hexdigest())
    begin = time.monotonic()
    for _ in range(10):
        time.sleep(0.1)
    with open("/proc/self/status", encoding="ascii") as status:
        rss = re.search(r"VmRSS:\s*(\d+)", status.read())[1]
    print(f"rested {time.monotonic() - begin:.6f} rss {rss}")


main()
