--- What the machines of this example have in common: the nodes, and a redlock client of them.

local redlock = require "redlock"

local nodes = {}
for url in (os.getenv "REDLOCK_NODES" or "redis://127.0.0.1:6379"):gmatch "%S+" do
    nodes[#nodes + 1] = url
end

return {
    nodes = nodes,
    client = redlock.new { nodes = nodes },
}
