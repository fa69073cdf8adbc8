"""redis-py's Lock. Its default is no lease at all: 30 s, as others have. It works on one node."""
from converse import converse

LEASE = 30


def contestant(nodes):
    if len(nodes) > 1:
        raise NotImplementedError("works on one node")

    def acquire(name):
        lock = nodes[0].lock(name, timeout=LEASE)
        lock.acquire()
        return lock.release

    return acquire


converse(contestant)
