-- Included by the scripts that can find the lock free: tell the waiter who came first.
--
-- The head leaves the queue and has a second to come; while that claim stands, a fair acquire by
-- anyone else is refused. PUBLISH answers how many heard it: nobody means that the waiter's process
-- is gone. A queue that is something else counts as empty. Of the fence the ballot is told. Returns
-- the waiter that was told, or false.
local function wake(lock, fence, queue, claim)
    fence = string.match(fence, '^(%d+) ') or fence
    while true do
        local popped = redis.pcall('ZPOPMIN', queue)
        if popped.err and not string.find(popped.err, 'WRONGTYPE', 1, true) then
            error(popped.err)
        end
        local head = popped[1]
        if not head then
            return false
        end
        local inbox, waiter = string.match(head, '^(.*)/(.*)$')
        if inbox and redis.call('PUBLISH', inbox, waiter .. ' ' .. fence .. ' ' .. lock) > 0 then
            redis.call('SET', claim, head, 'PX', 1000)
            return head
        end
    end
end
