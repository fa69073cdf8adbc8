--- What the system says: the output of programs, the content of files.

local shell = {}

--- Runs a command.
-- @tparam string command shell text
-- @treturn string all that it printed
function shell.output(command)
    local pipe = assert(io.popen(command .. " 2>&1", "r"))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

--- Reads a file.
-- @tparam string path
-- @treturn string its content; empty if there is no such file (any more)
function shell.read(path)
    local file = io.open(path)
    if not file then
        return ""
    end
    local text = file:read("*a") or ""
    file:close()
    return text
end

return shell
