#!/usr/bin/env bash
# Gets the servers to compare with, and the load generator, from Debian packages, once, into a cache
# outside the tree, and prints the folder. Nothing is installed on this machine. Needs apt-get.
set -euo pipefail
programs="nginx caddy haproxy wrk"
# What they link beyond a minimal Debian.
libraries="libluajit-5.1-2 liblua5.3-0 liblua5.4-0 libopentracing1 libopentracing-c-wrapper0 libpcre2-8-0 libssl3 libsystemd0"
command -v apt-get >/dev/null || { echo "test/bench/server needs apt-get (Debian, Ubuntu)" >&2; exit 1; }

key=$(cksum "$0" | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/debian-servers-$key
[ -d "$out" ] && { echo "$out"; exit 0; }

partial=$out.partial.$$ # renamed when complete
mkdir -p "$partial"
trap 'rm -rf "$partial"' EXIT
echo "getting Debian packages: $programs" >&2
cd "$partial"
# Releases name some libraries differently; what a program then misses it says itself when it starts.
for package in $programs $libraries; do
  apt-get download -qq -o APT::Sandbox::User=root "$package" >&2 || echo "no Debian package $package" >&2
done
for deb in *.deb; do dpkg -x "$deb" .; done
rm -f -- *.deb
for program in usr/sbin/nginx usr/bin/caddy usr/sbin/haproxy usr/bin/wrk; do
  [ -x "$program" ] || { echo "missing after unpacking: $program" >&2; exit 1; }
done
apt-cache show --no-all-versions $programs | awk '/^Package:/ {p=$2} /^Version:/ {print p, $2}' >versions.txt
cd /
mv "$partial" "$out"
echo "$out"
