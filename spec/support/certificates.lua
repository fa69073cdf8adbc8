--- Certificates for TLS, made by the `openssl` command in a directory of their own.

local keeper = require "keeper"

local certificates = {}

local Authority = {}
Authority.__index = Authority

local directories = {} -- of every authority that was not removed

local function run(script, variables)
    local text = script:gsub("$(%l+)", variables)
    local pipe = assert(io.popen(("{ %s\n} 2>&1 && echo done"):format(text), "r"))
    local output = pipe:read("*a")
    pipe:close()
    assert(output:find "done\n$", output)
end

local NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

local NEW_AUTHORITY = [[
    umask 077 && mkdir $dir && cd $dir &&
    openssl req -x509 $new -days 400 -subj '/CN=An authority' -keyout ca.key -out ca.pem &&
    mkdir hashed && cp ca.pem hashed && openssl rehash hashed
]]

local ISSUE = [[
    cd $dir && openssl req $new -subj /CN=$name -keyout $name.key -out $name.csr &&
    echo subjectAltName=$subjects >$name.ext &&
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days $days \
        -extfile $name.ext -out $name.pem &&
    cat $name.pem $name.key >$name.both
]]

--- Makes an authority that nobody knows yet.
-- @treturn Authority with `ca`, the path of its certificate, and `ca_dir`, a directory of hashed
-- certificates with this one in it
function certificates.new_authority()
    local parent = os.getenv "TMPDIR" or "/tmp"
    local directory = ("%s/redlock-%s"):format(parent, keeper.random_name())
    directories[directory] = true
    run(NEW_AUTHORITY, { dir = keeper.quote(directory), new = NEW_KEY })
    local self = { directory = directory }
    self.ca, self.ca_dir = directory .. "/ca.pem", directory .. "/hashed"
    return setmetatable(self, Authority)
end

--- Issues a certificate.
-- @tparam string name of the files
-- @tparam string subjects such as "DNS:localhost,IP:127.0.0.1"
-- @tparam[opt=2] number days for which it is good; below 0: it ended
-- @treturn table `cert`, `key` and `ca`: paths, as a server's `tls` option takes them; and
-- `both`, a file with certificate and key
function Authority:issue(name, subjects, days)
    run(ISSUE, {
        dir = keeper.quote(self.directory), new = NEW_KEY, name = name, subjects = subjects,
        days = days or 2,
    })
    local path = self.directory .. "/" .. name
    return { cert = path .. ".pem", key = path .. ".key", both = path .. ".both", ca = self.ca }
end

--- Removes the files of every authority.
function certificates.remove_all()
    for directory in pairs(directories) do
        run("rm -rf $dir", { dir = keeper.quote(directory) })
        directories[directory] = nil
    end
end

return certificates
