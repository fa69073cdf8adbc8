#!/bin/sh
# Installs the benchmark's peers under build/peers, each folder of manifests for itself, with the ordinary clients of
# npm, PyPI, the Go module proxy and Maven. What cannot be installed leaves its reason in build/peers/NAME.absent.
set -u
cd "$(dirname "$0")/../.." || exit
peers=bench/peers build=$PWD/build/peers
mkdir -p "$build"

need() {
    command -v "$1" >/dev/null || { echo "no $1 here"; return 1; }
}

node() {
    need npm && mkdir -p "$build/node" && cp $peers/node/package.json "$build/node" &&
        npm install --prefix "$build/node" --no-package-lock --no-audit --no-fund
}

python() {
    need python3 && python3 -m venv "$build/python" &&
        "$build/python/bin/pip" install -q --disable-pip-version-check -r $peers/python/requirements.txt
}

# The checksums in go.sum pin what the versions name.
go_build() {
    need go && cd "$peers/$1" && GOPATH=$build/gopath GOFLAGS="-modcacherw ${GOFLAGS-}" command go build -o "$build/$1/peer" .
}
go() { go_build go; }

# Its checksums are not known yet: they are noted outside the checkout.
rueidislock() (
    GOFLAGS=-mod=mod\ -modfile=$build/rueidislock.mod
    export GOFLAGS
    cp $peers/rueidislock/go.mod "$build/rueidislock.mod" && go_build rueidislock
)

maven() {
    need mvn && need javac &&
        mvn -q -B -U -f "$peers/$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -Dmaven.repo.local="$build/maven" -DoutputDirectory="$build/$1" &&
        javac -d "$build/$1" -cp "$build/$1/*" "$peers/$1"/*.java
}
redisson() { maven redisson; }
redlock4j() { maven redlock4j; }

# In words, without the addresses of registries.
reason() {
    grep -iE 'error|missing|cannot|no .* here|not |forbidden' "$1" | head -n 1 |
        sed -E 's/\x1b\[[0-9;]*m//g; s#https?://[^ ,)]*##g; s/^\[?ERROR\]? *//
            s/.*(Could not find artifact [^ ]*).*/\1/; s/^go: *//; s#^[^ ]*\.go:[0-9]+:[0-9]+: ##; s/ +/ /g' | cut -c1-160
}

for peer in node python go rueidislock redisson redlock4j; do
    stamp=$build/$peer.installed
    if [ -f "$stamp" ] && [ -z "$(find $peers/$peer -newer "$stamp")" ]; then
        continue
    fi
    echo "installing $peer"
    rm -f "$stamp" "$build/$peer.absent"
    if ($peer) >"$build/$peer.log" 2>&1; then
        touch "$stamp"
    else
        reason "$build/$peer.log" >"$build/$peer.absent"
        echo "  cannot be installed: $(cat "$build/$peer.absent")"
    fi
done
