--- redlock run NAME -- COMMAND
-- @module redlock.command.run
-- @local

local exits = require "redlock.command.exits"

local run = {
    name = "run",
    summary = "run a command while holding a lock",
    synopsis = "NAME [OPTION...] [--] COMMAND [ARGUMENT...]",
    words = { least = 2, most = math.huge, stop = 2, command = true },
    about = [[
Acquires the lock NAME, waiting for its turn, and runs the command. The lease is renewed while the
command runs, and the lock is released when it has ended. Only one such command runs at a time, on
whatever machine, as long as all name the same nodes.

The command runs in a process group of its own, with our input and output. In its environment are
REDLOCK_NAME, REDLOCK_TOKEN, and REDLOCK_FENCE: a number that is higher than that of every earlier
owner, by which a store can refuse what comes too late from one of those.

If the lock is lost (its lease could not be renewed, or somebody deleted it), the command's group is
sent SIGTERM, and SIGKILL after the grace. Until it has ended it runs without the lock: where that
would do harm, use the fence. The same is done when redlock itself is stopped or killed, as soon
as the lease is over, by a second small process (redlock-warden).

TERM, INT, HUP, QUIT and WINCH are passed on to the command's group, USR1 and USR2 to the
command alone. Ctrl-Z stops both; when they go on, the command does only if the lock is still
held. What the command leaves running in the background when it ends is not waited for, and runs
without the lock.]],
    options = {
        {
            long = "wait", short = "w", value = "DURATION", kind = "wait",
            help = "how long to wait for the lock, and for nodes where no majority of them can be "
                .. "asked, since they may be about to start",
            default = "forever for the lock, but not for nodes",
        },
        {
            long = "try", short = "n",
            help = "wait for neither: end if another holds it, or no majority can be asked",
        },
        {
            long = "conflict-exit-code", short = "E", value = "CODE", kind = "exit_code",
            help = "the exit code if another holds the lock",
            default = "75; 0 with --once-per",
        },
        {
            long = "at-least", value = "DURATION", kind = "duration",
            help = "nobody else gets the lock until so long after the start, even if the command "
                .. "was quick or this machine has died: for cron on machines whose clocks "
                .. "differ by less",
        },
        {
            long = "once-per", value = "DURATION", kind = "duration",
            help = "--at-least DURATION --try, and it is no failure if another has run within "
                .. "that time",
        },
        {
            long = "at-most", value = "DURATION", kind = "duration",
            help = "end the command after that time: SIGTERM, and SIGKILL after the grace",
        },
        {
            long = "grace", value = "DURATION", kind = "duration",
            help = "how long after SIGTERM the command may go on",
            default = "10s",
        },
        {
            long = "ttl", value = "DURATION", kind = "duration",
            help = "the lease, renewed every third of it: so long after this machine has died, "
                .. "others get the lock",
            default = "30s",
        },
        { long = "fair", help = "come behind whoever waits already" },
        {
            long = "shell", short = "c",
            help = "COMMAND is one text for sh -c",
        },
        {
            long = "purpose", value = "TEXT", kind = "purpose",
            help = "what the lock is held for, for others to see",
        },
        { long = "verbose", short = "v", help = "say on stderr what happens" },
        {
            long = "quiet", short = "q",
            help = "only the exit code speaks, unless options or the configuration are wrong",
        },
    },
    connects = true,
    exits = {
        { "0-255", "the command's own exit code; 128 and the signal's number, if one killed it" },
        { exits.USAGE, "this command line is wrong" },
        { exits.UNAVAILABLE, "no majority of the nodes could be asked; the command was not run" },
        {
            exits.SYSTEM,
            "the system refused something, such as another process, or the warden was killed",
        },
        { exits.LOCKED, "another holds the lock; the command was not run" },
        { exits.LOST, "the lock was lost while the command ran" },
        { exits.CONFIGURATION, "no nodes were named, or the configuration file does not read" },
        { exits.TOO_LONG, "the command took longer than --at-most" },
        { exits.NOT_EXECUTABLE, "the command could not be run" },
        { exits.NOT_FOUND, "there is no such command" },
    },
    examples = {
        { "one backup at a time; the others wait", "redlock run backup -- rsync -a /home /backup" },
        { "or give up at once", "redlock run backup --try -- rsync -a /home /backup" },
        {
            "a line for cron on every machine, which one of them runs",
            "0 3 * * *  redlock run nightly --once-per 1h --at-most 2h -- /usr/local/bin/report",
        },
        {
            "several commands under one lock",
            "redlock run deploy --shell 'git pull && make install'",
        },
    },
}

function run.run(call)
    return require("redlock.command.run_command")(call)
end

return run
