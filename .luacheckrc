std = "max"
max_line_length = 100
max_comment_line_length = 120
codes = true

files["spec"].std = "max+busted"

-- What Redis runs. wake.lua is included into the scripts that call it.
files["csrc/core/scripts"] = {
    std = "lua51",
    read_globals = { "redis", "KEYS", "ARGV", "wake" },
}
files["csrc/core/scripts/wake.lua"].ignore = { "211/wake" }
