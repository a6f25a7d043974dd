#!/usr/bin/env bash
# Installs what package-lock.json pins, once, into a cache outside the tree, and prints where. Needs npm.
set -euo pipefail
cd "$(dirname "$0")"
command -v npm >/dev/null || { echo "test/e2e needs npm and node for the parsers of others" >&2; exit 1; }
key=$(cat package.json package-lock.json mailauth.js | cksum | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/oracles-$key
[ -d "$out" ] && { echo "$out"; exit 0; }
partial=$out.partial.$$ # renamed when complete
trap 'rm -rf "$partial"' EXIT
mkdir -p "$partial"
cp package.json package-lock.json mailauth.js "$partial/"
(cd "$partial" && npm ci --no-audit --no-fund --ignore-scripts >&2)
mv "$partial" "$out"
echo "$out"
