--- What the command needs of the system: terminals, signals, processes. It is C, csrc/lua/command.c.
-- @module redlock.command.system
-- @local

return require("redlock.core").command()
