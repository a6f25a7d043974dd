#!/usr/bin/env bash
# Builds the developer tool pinned in hack/tools/NAME/go.mod, once per version, into a cache outside
# the tree, and prints the path of its binary. Needs Go only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "$*" >&2; }

name=${1:-}
module=$here/$name
if [ -z "$name" ] || [ ! -f "$module/go.mod" ]; then
  say "usage: hack/tools/build.sh NAME, NAME being one of:" "$(cd "$here" && printf ' %s' */)"
  exit 2
fi

# Built for this machine even when the caller cross-compiles; a go.work of the user is none of our business.
GOOS=$(go env GOHOSTOS) GOARCH=$(go env GOHOSTARCH)
export GOOS GOARCH CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false'

# The Go version is part of the key: golangci-lint refuses code newer than the Go it was built with.
key=$({ cat "$module"/go.{mod,sum} "$0"; go env GOVERSION; } | cksum | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/tools-$GOOS-$GOARCH-$key
if [ ! -x "$out/$name" ]; then
  say "building $name from hack/tools/$name/go.mod (once; up to three minutes on two cores)"
  mkdir -p "$out"
  partial=$out/$name.partial.$$ # renamed when complete, so that two builds at once do no harm
  trap 'rm -f "$partial"' EXIT
  (cd "$module" && go build -ldflags '-s -w' -o "$partial" tool) >&2
  mv -f "$partial" "$out/$name"
  say "built $name in $SECONDS s"
fi
echo "$out/$name"
