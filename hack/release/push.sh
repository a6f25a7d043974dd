#!/usr/bin/env bash
# Pushes image and chart of a made release and prints the digest of each, as REFERENCE@sha256:… in a line. What
# the registry then has must be what was made.
#
#   hack/release/push.sh DIR [REGISTRY]     REGISTRY is ghcr.io/mta-sts-operator unless given
set -euo pipefail
tools=$(cd "$(dirname "$0")/../tools" && pwd)
dir=${1:?the folder of the release}
made=$(cat "$dir/image.txt")
registry=${2:-$(dirname "${made%@*}")}

crane=$("$tools/build.sh" crane)
helm=$("$tools/build.sh" helm)
plain=
case $registry in 127.0.0.1:* | localhost:*) plain=--plain-http ;; esac

tag=$(sed -n 's/.*"org.opencontainers.image.ref.name":"\([^"]*\)".*/\1/p' "$dir/image/index.json")
name=$(basename "${made%@*}")
image=$("$crane" push "$dir/image" "$registry/$name:$tag")
if [ "${image#*@}" != "${made#*@}" ]; then
  echo "push: the registry has $image, and $made was made" >&2
  exit 1
fi
echo "$image"

pushed=$("$helm" push $plain "$dir/$name"-*.tgz "oci://$registry/charts" 2>&1)
digest=$(sed -n 's/^Digest: //p' <<<"$pushed")
[ -n "$digest" ] || { echo "$pushed" >&2; exit 1; }
echo "$registry/charts/$name@$digest"
