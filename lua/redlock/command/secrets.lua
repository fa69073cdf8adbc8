--- Keeps passwords off the screen, whatever they were typed into.
-- @module redlock.command.secrets
-- @local

local secrets = {}

-- Whatever stands before the last @ of a word may be a user and a password.
local function hide_word(word)
    if word:find "://" then
        return nil
    end
    local host = word:match "^.*(@.*)$"
    return host and "***" .. host
end

--- A text without the credentials of the URLs in it.
-- @tparam string text
-- @treturn string
function secrets.hide(text)
    -- A password may hold blanks and quotes: rather too much of a line is hidden.
    return (text:gsub("://[^\n]*@", "://***@"):gsub("[^%s\"']+", hide_word))
end

--- Whether a URL holds a password.
-- @tparam string url
-- @treturn boolean
function secrets.has_password(url)
    return url:match "^[^@]*:([^@/][^@]*)@" ~= nil or url:match "://[^@]*:([^@]+)@" ~= nil
end

return secrets
