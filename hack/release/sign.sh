#!/usr/bin/env bash
# Signs a pushed release: image and chart by their digests, with the image's SBOM and provenance attached, and
# the checksums of all files. Without COSIGN_KEY it signs as the workflow that runs it (Sigstore, keyless).
#
#   hack/release/sign.sh DIR IMAGE@DIGEST CHART@DIGEST
set -euo pipefail
tools=$(cd "$(dirname "$0")/../tools" && pwd)
dir=${1:?the folder of the release} image=${2:?the image} chart=${3:?the chart}

cosign=$("$tools/build.sh" cosign)
crane=$("$tools/build.sh" crane)
sign() { "$cosign" "$1" --yes ${COSIGN_KEY:+--key "$COSIGN_KEY" ${COSIGN_FLAGS:-}} "${@:2}"; }

sign sign --recursive "$image"
sign sign "$chart"

predicate=$(mktemp)
trap 'rm -f "$predicate"' EXIT
jq .predicate "$dir/provenance.intoto.json" >"$predicate"
sign attest --type slsaprovenance1 --predicate "$predicate" "$image"
for sbom in "$dir"/*_linux_*.cdx.json; do
  platform=${sbom##*_linux_}
  digest=$("$crane" digest --platform "linux/${platform%.cdx.json}" "$image")
  sign attest --type cyclonedx --predicate "$sbom" "${image%@*}@$digest"
done

for file in checksums.txt provenance.intoto.json; do
  sign sign-blob --bundle "$dir/$file.sigstore.json" "$dir/$file"
done
