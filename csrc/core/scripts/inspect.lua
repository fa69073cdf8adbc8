-- Look at a lock and change nothing.
--
-- KEYS  lock, fence (whose name ends in "fence"; the queue is its neighbour)
-- Reply {token or false, remaining ms (-1: for ever, -2: absent), fence, number of waiters}

return {
    redis.call('GET', KEYS[1]),
    redis.call('PTTL', KEYS[1]),
    redis.call('GET', KEYS[2]) or '0',
    redis.call('ZCARD', string.sub(KEYS[2], 1, -6) .. 'queue'),
}
