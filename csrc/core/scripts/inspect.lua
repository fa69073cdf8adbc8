-- Look at a lock and change nothing.
--
-- KEYS  lock, fence (whose name ends in "fence"; the queue is its neighbour)
-- Reply {token or false, remaining ms (-1: for ever, -2: absent), fence as it stands (see acquire.lua;
--       cut short where it is none), number of waiters}

return {
    redis.call('GET', KEYS[1]),
    redis.call('PTTL', KEYS[1]),
    string.sub(redis.call('GET', KEYS[2]) or '0', 1, 300),
    redis.call('ZCARD', string.sub(KEYS[2], 1, -6) .. 'queue'),
}
