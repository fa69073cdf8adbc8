"""Speaks the benchmark's protocol (bench/peers/README.md) for a contestant: a function that makes, of the
nodes' clients, a function acquire(name) -> a function that releases. Callers are threads of one process."""
import sys
import threading
import time

import redis

now = time.monotonic_ns


def run_pairs(acquire, seconds):
    acquire_ns = []
    start = before = now()
    while before < start + seconds * 1e9:
        release = acquire("peer")
        acquire_ns.append(now() - before)
        release()
        before = now()
    acquire_ns.sort()
    count = len(acquire_ns)
    p50, p99 = (acquire_ns[int(count * share)] / 1000 for share in (0.5, 0.99))
    return f"{count} {(before - start) / 1e9} {p50:.1f} {p99:.1f}"


def run_callers(count, caller):
    threads = [threading.Thread(target=caller, args=(index + 1,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_many(acquire, count, seconds):
    counts = [0] * (count + 1)
    start = now()

    def caller(index):
        while now() < start + seconds * 1e9:
            acquire(f"peer:{index}")()
            counts[index] += 1

    run_callers(count, caller)
    return f"{sum(counts)} {(now() - start) / 1e9}"


def run_contest(make, acquire, count, until, apart):
    grants = []

    def caller(index):
        mine = make() if apart else acquire
        asked = now()
        while asked < until:
            release = mine("peer")
            acquired = now()
            grants.append(f"{index} {asked} {acquired} {now()}")
            release()
            asked = now()

    run_callers(count, caller)
    return " ".join(grants)


def answer(make, acquire, verb, words):
    if verb == "pairs":
        return run_pairs(acquire, float(words[0]))
    if verb == "many":
        return run_many(acquire, int(words[0]), float(words[1]))
    if verb == "contend":
        return run_contest(make, acquire, int(words[0]), int(words[1]), words[2:] == ["apart"])
    if verb == "hold":
        return "no: renews nothing by itself"
    acquire("peer")
    return "held"


def converse(contestant):
    ports = [int(port) for port in sys.argv[1:]]

    def make():
        return contestant([redis.Redis(port=port) for port in ports])

    try:
        acquire = make()
    except NotImplementedError as reason:
        acquire = None
        refusal = f"no: {reason}"
    for line in sys.stdin:
        verb, *words = line.split()
        print(answer(make, acquire, verb, words) if acquire else refusal, flush=True)
