#!/usr/bin/env bash
# Prints a folder with etcd, kube-apiserver and kubectl: a value for KUBEBUILDER_ASSETS. Takes the
# first of these that has all of them, and says on stderr which one and why:
#   1. $KUBEBUILDER_ASSETS   2. setup-envtest, if it is on PATH   3. hack/controlplane/build.sh
# --with-controller-manager also asks for kube-controller-manager, whose garbage collector the
# deletion tests need. The archives of setup-envtest do not hold it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
needed="etcd kube-apiserver kubectl"
download=yes
case ${1:-} in
  "") ;;
  --with-controller-manager) needed="$needed kube-controller-manager" download=no ;;
  *) echo "usage: hack/assets.sh [--with-controller-manager]" >&2; exit 2 ;;
esac

say() { printf 'assets: %s\n' "$*" >&2; }
missing() { # missing DIR: the first needed binary that DIR lacks, or nothing
  local binary
  for binary in $needed; do [ -x "$1/$binary" ] || { echo "$binary"; return; }; done
}
# offer DIR ORIGIN ends the script with DIR if nothing is missing there.
offer() {
  local lacks; lacks=$(missing "$1")
  if [ -z "$lacks" ]; then
    say "using $2"
    cd "$1" && pwd # absolute: go test runs each package in its own folder
    exit 0
  fi
  say "not using $2: it has no $lacks"
}

[ -z "${KUBEBUILDER_ASSETS:-}" ] || offer "$KUBEBUILDER_ASSETS" "\$KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS)"

if command -v setup-envtest >/dev/null; then
  # The Kubernetes minor version that go.mod's client-go belongs to: v0.37.2 -> 1.37.x
  minor=$(cd "$here/.." && go list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
  dir=$(setup-envtest use -i -p path "1.$minor.x" 2>/dev/null) || dir=
  if [ -z "$dir" ] && [ "$download" = yes ]; then
    say "setup-envtest has no 1.$minor.x yet, letting it download"
    dir=$(setup-envtest use -p path "1.$minor.x" </dev/null) || dir=
  fi
  if [ -n "$dir" ]; then offer "$dir" "setup-envtest ($dir)"; else say "not using setup-envtest: no 1.$minor.x is installed"; fi
fi

say "using hack/controlplane/build.sh (built from Go modules; at once when in the cache)"
exec "$here/controlplane/build.sh"
