-- Look at a lock and change nothing.
--
-- KEYS  lock, fence, queue
-- Reply {token or false, remaining ms (-1: for ever, -2: absent), fence, number of waiters}

return {
    redis.call('GET', KEYS[1]),
    redis.call('PTTL', KEYS[1]),
    redis.call('GET', KEYS[2]) or '0',
    redis.call('ZCARD', KEYS[3]),
}
