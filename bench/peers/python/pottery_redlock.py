"""pottery's Redlock."""
from pottery import Redlock

from converse import converse


def contestant(nodes):
    masters = set(nodes)

    def acquire(name):
        lock = Redlock(key=name, masters=masters)
        lock.acquire()
        return lock.release

    return acquire


converse(contestant)
