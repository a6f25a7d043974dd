#!/usr/bin/env bash
# Builds the programs of a real cluster from Go modules, once per version, into a cache outside the
# tree, and prints the folder that holds them. Needs Go only.
#
#   hack/node/build.sh kubernetes      kubelet, kube-proxy, kube-scheduler
#   hack/node/build.sh PART            what hack/node/parts/PART pins, with the CRDs that belong to it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "$*" >&2; }

part=${1:-}
case $part in
  kubernetes) module=$here/../controlplane/kubernetes packages="kubelet kube-proxy kube-scheduler" prefix=k8s.io/kubernetes/cmd/ ;;
  coredns) packages=github.com/coredns/coredns ;;
  external-dns) packages=sigs.k8s.io/external-dns ;;
  pebble) packages=github.com/letsencrypt/pebble/v2/cmd/pebble ;;
  traefik) packages=github.com/traefik/traefik/v3/cmd/traefik ;;
  cert-manager) packages="./controller ./acmesolver" ;;
  kind) packages=sigs.k8s.io/kind ;;
  *) say "usage: hack/node/build.sh kubernetes|coredns|external-dns|pebble|traefik|cert-manager|kind"; exit 2 ;;
esac
module=${module:-$here/parts/$part}

export CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false' GOGC=${GOGC:-off}
key=$(cat "$module"/go.{mod,sum} $(find "$module" -name '*.go') "$0" | cksum | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/$part-$(go env GOOS)-$(go env GOARCH)-$key
[ -d "$out" ] && { echo "$out"; exit 0; }

partial=$out.partial.$$ # renamed when complete
mkdir -p "$partial"
trap 'rm -rf "$partial"' EXIT
say "building $part (once)"

cd "$module"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes 2>/dev/null || true)
stamp='-s -w'
if [ "$part" = kubernetes ]; then
  minor=${version#v*.}
  for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp="$stamp -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=${minor%%.*} -X $pkg.gitTreeState=clean"
  done
fi
# shellcheck disable=SC2086 # packages is a list
go build -ldflags "$stamp" -o "$partial/" $(printf "${prefix:-}%s " $packages) >&2 &
build=$!
while sleep 1; kill -0 "$build" 2>/dev/null; do
  [ $((SECONDS % 20)) -ne 0 ] || say "  still building ($part, $SECONDS s)"
done
wait "$build"

# crds MODULE PATH: the CRDs as that version of the module has them.
crds() { mkdir "$partial/crds" && cp "$(go list -m -f '{{.Dir}}' "$1")/$2"/*.yaml "$partial/crds/" && chmod -R u+w "$partial/crds"; }
case $part in
  cert-manager) crds github.com/cert-manager/cert-manager deploy/crds ;;
  external-dns) crds sigs.k8s.io/external-dns config/crd/standard ;;
esac
mv "$partial" "$out"
say "built $part in $SECONDS s"
echo "$out"
