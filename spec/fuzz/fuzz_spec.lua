--- What fuzzers' inputs reached, and what once failed, stays as it is claimed to be: each corpus is
-- replayed without a fuzzer.

local BUILD = assert(os.getenv("REDLOCK_BUILD"), "run by make, or after `make env`")

local function lines_of(command)
    local lines = {}
    local pipe = assert(io.popen(command, "r"))
    for line in pipe:lines() do
        lines[#lines + 1] = line
    end
    pipe:close()
    return lines
end

describe("a fuzzer's corpus is replayed:", function()
    for _, source in ipairs(lines_of("ls spec/fuzz/*.c | grep -v replay")) do
        local target = source:match("([%w_]+)%.c$")
        it(target, function()
            local folder = "spec/fuzz/corpus/" .. target
            local inputs = #lines_of("ls " .. folder)
            local output = lines_of(("%s/replay-%s %s/* 2>&1"):format(BUILD, target, folder))
            assert.is_true(inputs > 0)
            assert.equal(inputs .. " inputs", output[#output], table.concat(output, "\n"))
        end)
    end
end)
