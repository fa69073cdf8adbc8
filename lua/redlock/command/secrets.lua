--- Keeps passwords off the screen, whatever they were typed into.
-- @module redlock.command.secrets
-- @local

local secrets = {}

-- Whatever stands before the last @ of a word may be a user and a password.
local function hide_word(word)
    local scheme, rest = word:match "^(.-://)(.*)$"
    local host = (rest or word):match "^.*(@.*)$"
    return host and (scheme or "") .. "***" .. host or word
end

--- A text without the credentials of the URLs in it.
-- @tparam string text
-- @treturn string
function secrets.hide(text)
    return (text:gsub("[^%s\"']+", hide_word))
end

--- Whether a URL holds a password.
-- @tparam string url
-- @treturn boolean
function secrets.has_password(url)
    return url:match "^[^@]*:([^@/][^@]*)@" ~= nil or url:match "://[^@]*:([^@]+)@" ~= nil
end

return secrets
