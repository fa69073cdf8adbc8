--- C libraries that one Lua must not open twice. busted forgets between two files what was loaded
-- meanwhile, and opens it anew. With cqueues that fails under LuaJIT: objects of the first time that
-- are collected later are none of the second's types.
--
--     local cqueues = library "cqueues"

local registry = debug.getregistry()
local KEY = "libraries of the specs" -- there busted does not look

-- Each with what it, or what is under test, may load later.
local PARTS = {
    cqueues = { "cqueues", "cqueues.condition", "cqueues.auxlib" },
    luv = { "luv" },
}

local function is_part(module, name)
    return module:gsub("^_", ""):match "^[^.]+" == name
end

return function(name)
    local kept = registry[KEY] or {}
    registry[KEY] = kept
    for module, value in pairs(kept) do
        if is_part(module, name) then
            package.loaded[module] = value
        end
    end
    for _, part in ipairs(PARTS[name]) do
        require(part)
    end
    for module, value in pairs(package.loaded) do
        if is_part(module, name) then
            kept[module] = value
        end
    end
    return package.loaded[name]
end
