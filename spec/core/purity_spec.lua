--- The core has no sockets, no clock, no threads, no Lua: shown by what its object files import.

local BUILD = assert(os.getenv("REDLOCK_BUILD"), "run by make, or after `make env`")
local SANITIZED = BUILD:find("-", 1, true) ~= nil -- such a build imports its sanitizer's runtime

local ALLOWED = {}
for name in ([[
    calloc realloc free memchr memcmp memcpy memmem memmove memrchr memset
    snprintf strcasecmp strchr strcmp strlen strncasecmp strpbrk strspn strstr
    redisFormatSdsCommandArgv redisFreeSdsCommand freeReplyObject
    redisReaderCreate redisReaderFeed redisReaderFree redisReaderGetReply
    __assert_fail __popcountdi2 _GLOBAL_OFFSET_TABLE_
]]):gmatch("%S+") do
    ALLOWED[name] = true
end

local HEADERS = {}
for name in ([[
    assert.h inttypes.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h strings.h
    hiredis/hiredis.h
]]):gmatch("%S+") do
    HEADERS[name] = true
end

local function lines_of(command)
    local lines = {}
    local pipe = assert(io.popen(command, "r"))
    for line in pipe:lines() do
        lines[#lines + 1] = line
    end
    pipe:close()
    return lines
end

local function objects()
    local found = lines_of("ls csrc/core/*.c")
    for index, source in ipairs(found) do
        found[index] = BUILD .. "/obj/core/" .. source:match("([%w_]+)%.c$") .. ".o"
    end
    assert.is_true(#found > 0)
    return found
end

-- Of all objects, what nm names with that option.
local function symbols(option)
    local names, all = {}, table.concat(objects(), " ")
    for _, line in ipairs(lines_of(("nm -A -P %s %s 2>&1"):format(option, all))) do
        local object, name = line:match("([%w_]+%.o): (%S+)")
        names[#names + 1] = { object = assert(object, line), name = name }
    end
    assert.is_true(#names > 0)
    return names
end

local function is_of_sanitizer(name)
    return SANITIZED and name:find("^__[atu]b?san_") ~= nil
end

describe("the core", function()
    it("imports nothing but memory, strings, hiredis' formatter and reader, and itself", function()
        local own, strangers = {}, {}
        for _, symbol in ipairs(symbols "--defined-only -g") do
            own[symbol.name] = true
        end
        for _, symbol in ipairs(symbols "-u") do
            local name = symbol.name
            if not (own[name] or ALLOWED[name] or is_of_sanitizer(name)) then
                strangers[#strangers + 1] = symbol.object .. ": " .. name
            end
        end
        assert.same({}, strangers)
    end)

    it("exports names of its own alone", function()
        for _, symbol in ipairs(symbols "--defined-only -g") do
            local name = symbol.name
            assert.is_true(name:find("^rlk_") ~= nil or is_of_sanitizer(name), name)
        end
    end)

    it("keeps no variable between calls", function()
        if SANITIZED then
            return -- whose runtime keeps tables of its own there
        end
        local sections = 0
        for _, line in ipairs(lines_of("size -A " .. table.concat(objects(), " "))) do
            local section, size = line:match("^(%.%S+)%s+(%d+)")
            if section == ".data" or section == ".bss" or section == ".tbss" then
                assert.equal("0", size, line)
                sections = sections + 1
            end
        end
        assert.is_true(sections >= 2 * #objects())
    end)

    it("includes no header of the system's that could do more, and none of other rooms", function()
        local sources = lines_of("ls csrc/core/*.[ch]")
        assert.is_true(#sources > 0)
        for _, source in ipairs(sources) do
            local file = assert(io.open(source))
            for header in file:read("*a"):gmatch("#include%s+[<\"]([^>\"]+)[>\"]") do
                assert.is_true(HEADERS[header] or header:find("^core/") ~= nil
                    or header == "scripts_text.h", source .. ": " .. header)
            end
            file:close()
        end
    end)
end)
