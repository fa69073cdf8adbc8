-- Included by the scripts that can free a lock: tell the waiter who came first.
--
-- The head leaves the queue and has claim_ms to come; while the claim stands, a fair acquire by anyone
-- else is refused. PUBLISH answers how many heard it: nobody means that the waiter's process is gone.
-- Returns the waiter that was told, or false.
local function wake(lock, fence, queue, claim, claim_ms)
    while true do
        local head = redis.call('ZPOPMIN', queue)[1]
        if not head then
            return false
        end
        local inbox, waiter = string.match(head, '^(.*)/(.*)$')
        local highest = redis.call('GET', fence) or '0'
        if inbox and redis.call('PUBLISH', inbox, waiter .. ' ' .. highest .. ' ' .. lock) > 0 then
            redis.call('SET', claim, head, 'PX', claim_ms)
            return head
        end
    end
end
