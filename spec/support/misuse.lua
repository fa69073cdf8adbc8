--- Runs lines of Lua that are meant to raise, as a program's author would write them.

local misuse = {}

local LINE = 3

local function compile(code, variables)
    local text = ("\n"):rep(LINE - 1) .. code
    setmetatable(variables, { __index = _G })
    if setfenv then
        return setfenv(assert(loadstring(text, "@program.lua")), variables)
    end
    return assert(load(text, "@program.lua", "t", variables))
end

--- What a line of Lua raises.
-- @tparam string code one line
-- @tparam[opt] table variables that it uses besides the globals
-- @treturn string the message, without the place, which must be that line
function misuse.message(code, variables)
    local ok, message = pcall(compile(code, variables or {}))
    if ok then
        error("this raised nothing: " .. code, 2)
    end
    local place = ("program.lua:%d: "):format(LINE)
    message = tostring(message)
    if message:sub(1, #place) ~= place then
        error(("raised, but not at the caller's line: %s: %s"):format(code, message), 2)
    end
    return message:sub(#place + 1)
end

return misuse
