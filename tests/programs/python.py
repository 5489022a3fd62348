# SPDX-License-Identifier: MIT
# Work with a known result: the same output whichever allocator serves it.
# Started with PYTHONMALLOC=malloc, so that every object is a block of malloc.
import collections
import hashlib
import json
import multiprocessing
import random
import re
import threading
import zlib


def documents(seed, count):
    rng = random.Random(seed)
    return [
        {
            "id": i,
            "name": "".join(rng.choices("abcdefghij ", k=rng.randrange(5, 200))),
            "values": [rng.random() for _ in range(rng.randrange(40))],
            "nested": {str(k): [k] * (k % 7) for k in range(rng.randrange(20))},
        }
        for i in range(count)
    ]


def round_trips(seed):
    """Text, packed and unpacked again, must be what it was; its digest."""
    docs = documents(seed, 3000)
    text = json.dumps(docs, sort_keys=True)
    packed = zlib.compress(text.encode(), 6)
    back = json.loads(zlib.decompress(packed))
    assert back == docs
    words = collections.Counter(re.findall(r"[a-j]+", text))
    digest = hashlib.sha256(text.encode())
    digest.update(repr(sorted(words.items())).encode())
    return digest.hexdigest()


def grow_and_shrink():
    """Lists and byte strings that realloc to many megabytes and back."""
    buffer = bytearray()
    for i in range(2000):
        buffer += bytes([i % 251]) * (i * 7 % 9000)
    del buffer[1000:-1000]
    items = list(range(1_000_000))
    del items[10:]
    return hashlib.sha256(bytes(buffer) + repr(items).encode()).hexdigest()


def main():
    print("alone", round_trips(1))
    print("buffers", grow_and_shrink())

    results = [None] * 8

    def work(i):
        results[i] = round_trips(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("threads", *results)

    # Forked while the heap is in use; each child allocates and answers.
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        forked = pool.map(round_trips, range(8))
    assert forked == results
    print("forked", *forked)


main()
