#!/usr/bin/env bash
# Runs the end-to-end tests. Where, in this order:
#   1. the cluster of $E2E_KUBECONFIG, else of $KUBECONFIG; $E2E_LOAD is a command that makes it know the
#      image archive whose path it is given, for example "k3s ctr images import"
#   2. a kind cluster, if docker has an engine
#   3. on Linux, as root, a node of its own (hack/node)
# Everything is built from Go modules, Debian packages and one of npm's on first use, into
# ~/.cache/mta-sts-operator.
# RUN selects tests by name. Logs of failures go to dist/e2e.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
cache=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}
say() { printf 'e2e: %s\n' "$*" >&2; }

where=node
if [ -n "${E2E_KUBECONFIG:-${KUBECONFIG:-}}" ]; then
  where=given
  export KUBECONFIG=${E2E_KUBECONFIG:-$KUBECONFIG}
  say "using the cluster of $KUBECONFIG, because it is given"
  [ -n "${E2E_LOAD:-}" ] || { say "set E2E_LOAD to a command that loads an image archive into it"; exit 2; }
elif docker info >/dev/null 2>&1; then
  where=kind
  say "using kind, because docker has an engine"
elif [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; then
  say "using a node of its own in namespaces of this machine: no KUBECONFIG, no container engine, but root on Linux"
else
  say "needs a cluster: set KUBECONFIG and E2E_LOAD, or start docker, or run as root on Linux"
  exit 2
fi

# --- programs, each built once
part() { hack/node/build.sh "$1"; }
pebble=$(part pebble)
cert_manager=$(part cert-manager)
external_dns=$(part external-dns)
traefik=$(part traefik)
debian_world=$(hack/node/debian.sh world)
helm=$(hack/tools/build.sh helm)
oracles=$(test/e2e/oracles/install.sh)
[ "$where" != kind ] || kind=$(part kind)/kind
if ! command -v kubectl >/dev/null; then
  assets=$(hack/controlplane/build.sh)
  export PATH=$PATH:$assets
fi

# --- images; those of parts that are in the cache already are taken from there
out=$root/dist/e2e
rm -rf "$out"
mkdir -p "$out" "$cache/images"
static() { CGO_ENABLED=0 go build "$@"; }
# The same from every commit and folder, or nothing would be found again.
static -trimpath -buildvcs=false -o "$out/image" ./hack/node/image
builder=$(cksum <"$out/image" | cut -d' ' -f1)
images=()
# image REF KEY ARGS...: one that changes only with KEY.
image() {
  local file ref=$1
  file=$cache/images/$(echo "$1" | tr '/:' '--')-$(basename "$2")-$builder.tar; shift 2
  [ -e "$file" ] || "$out/image" -name "$ref" -o "$file" "$@"
  images+=("$file")
}
certificates=/etc/ssl/certs/ca-certificates.crt
image e2e.local/pebble:1 "$pebble" -user 65532:65532 -file "$pebble/pebble=/pebble" /pebble
image e2e.local/cert-manager:1 "$cert_manager" -user 65532:65532 -file "$cert_manager/controller=/controller" /controller
image e2e.local/acmesolver:1 "$cert_manager" -user 65532:65532 -file "$cert_manager/acmesolver=/acmesolver" /acmesolver
image e2e.local/external-dns:1 "$external_dns" -user 65532:65532 -file "$external_dns/external-dns=/external-dns" /external-dns
image e2e.local/traefik:1 "$traefik" -user 65532:65532 -file "$traefik/traefik=/traefik" /traefik
image e2e.local/world:1 "$debian_world" -base "$debian_world/rootfs.tar"

# The operator as it is released, and once more, to upgrade to.
version=$(git describe --tags --always --dirty 2>/dev/null || echo dev)
for tag in e2e e2e-next; do
  static -trimpath -ldflags "-s -w -X main.version=$version${tag#e2e}" -o "$out/" . ./internal/policyserver/mta-sts-server
  "$out/image" -name "docker.io/library/mta-sts-operator:$tag" -o "$out/operator-$tag.tar" -user 65532:65532 \
    -file "$certificates=$certificates" -file "$out/mta-sts-operator=/mta-sts-operator" \
    -file "$out/mta-sts-server=/mta-sts-server" \
    -label "org.opencontainers.image.version=$version${tag#e2e}" /mta-sts-operator
  images+=("$out/operator-$tag.tar")
done
static -ldflags '-s -w' -o "$out/parts" ./test/e2e/world
"$out/image" -name e2e.local/parts:1 -o "$out/parts.tar" -user 65532:65532 -file "$out/parts=/parts" /parts
images+=("$out/parts.tar")

# --- the tests
go test -c -o "$out/e2e.test" ./test/e2e
export E2E=1 E2E_LOGS=$out E2E_HELM=$helm E2E_ORACLES=$oracles
export E2E_CERT_MANAGER_CRDS=$cert_manager/crds E2E_EXTERNAL_DNS_CRDS=$external_dns/crds
tests=("$out/e2e.test" -test.v -test.timeout=90m -test.parallel="${PARALLEL:-20}" -test.run="${RUN:-.}")
say "everything is built after $SECONDS s"
cd test/e2e
case $where in
  node) "$root/hack/node/run.sh" "${images[@]/#/-image=}" "${tests[@]}" ;;
  kind)
    export KUBECONFIG=$out/kubeconfig
    trap '"$kind" delete cluster --name mta-sts-e2e' EXIT
    "$kind" create cluster --name mta-sts-e2e --wait 120s
    for tar in "${images[@]}"; do "$kind" load image-archive --name mta-sts-e2e "$tar"; done
    "${tests[@]}"
    ;;
  given)
    # shellcheck disable=SC2086 # a command with arguments
    for tar in "${images[@]}"; do $E2E_LOAD "$tar"; done
    E2E_REMOVE=1 "${tests[@]}"
    ;;
esac
say "all in $SECONDS s"
