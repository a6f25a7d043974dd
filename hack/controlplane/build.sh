#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager and kubectl from Go modules, once per
# version, into a cache outside the tree, and prints that folder: a value for KUBEBUILDER_ASSETS.
# Needs Go only. A cold build takes about ten minutes on two cores; later calls return at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries="kube-apiserver kube-controller-manager kubectl"

# The key covers every module version and the flags below: a change of either builds anew.
key=$(cat "$here"/kubernetes/go.{mod,sum} "$here"/etcd/go.{mod,sum} "$0" | cksum | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/controlplane-$(go env GOOS)-$(go env GOARCH)-$key
[ -x "$out/etcd" ] && [ -x "$out/kubectl" ] && { echo "$out"; exit 0; }

say() { printf '%s\n' "$*" >&2; }
partial=$out.partial.$$
mkdir -p "$partial"
trap 'rm -rf "$partial"' EXIT

# GOGC=off saves a tenth of the time and needs about 3 GiB.
export CGO_ENABLED=0 GOFLAGS='-trimpath -buildvcs=false' GOGC=${GOGC:-off}

# progress PID: a line every 20 s, so that a first run does not look stuck.
progress() {
  local start=$SECONDS
  while sleep 20 && kill -0 "$1" 2>/dev/null; do say "  still building (${2}, $((SECONDS - start)) s)"; done
}
build() { # build NAME MODULE_DIR ARGS...
  local name=$1 dir=$2; shift 2
  say "building $name"
  (cd "$dir" && exec go build "$@") >&2 &
  local pid=$!
  progress "$pid" "$name" & local watcher=$!
  local rc=0; wait "$pid" || rc=$?
  kill "$watcher" 2>/dev/null || true
  return "$rc"
}

say "No control plane binaries found: building them from Go modules (once; about 10 minutes on two cores)."
build etcd "$here/etcd" -ldflags '-s -w' -o "$partial/etcd" go.etcd.io/etcd/server/v3

version=$(cd "$here/kubernetes" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
stamp='-s -w'
for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  minor=${version#v*.}
  stamp="$stamp -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=${minor%%.*} -X $pkg.gitTreeState=clean"
done
build "Kubernetes $version" "$here/kubernetes" -ldflags "$stamp" -o "$partial/" $(printf 'k8s.io/kubernetes/cmd/%s ' $binaries)

mv "$partial" "$out"
say "control plane binaries are in $out"
echo "$out"
