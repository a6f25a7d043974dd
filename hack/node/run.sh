#!/usr/bin/env bash
# Runs a command beside a Kubernetes node of its own, after building what that needs, once, into the cache
# outside the tree. main.go says what the command finds. Needs root on Linux, Go and apt-get.
#
#   hack/node/run.sh [-image TAR]... COMMAND ARGUMENT...
#   hack/node/run.sh bash              a shell with a cluster
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}
assets=$("$here/../controlplane/build.sh")
kubernetes=$("$here/build.sh" kubernetes)
coredns=$("$here/build.sh" coredns)
debian=$("$here/debian.sh" node)

mkdir -p "$cache/node" "$cache/images"
CGO_ENABLED=0 go build -C "$here" -trimpath -buildvcs=false -ldflags '-s -w' -o "$cache/node/" . ./image ./pause
key=$(cat "$cache/node/image" "$cache/node/pause" | cksum | cut -d' ' -f1)
dns=$cache/images/coredns-$(basename "$coredns")-$key.tar
pause=$cache/images/pause-$key.tar
[ -e "$dns" ] || "$cache/node/image" -name node.local/coredns:1 -o "$dns" -file "$coredns/coredns=/coredns" /coredns
[ -e "$pause" ] || "$cache/node/image" -name node.local/pause:1 -o "$pause" -file "$cache/node/pause=/pause" /pause
exec "$cache/node/node" -assets "$assets" -kubernetes "$kubernetes" -debian "$debian" -image "$dns" -image "$pause" "$@"
