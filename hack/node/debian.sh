#!/usr/bin/env bash
# Gets programs from Debian packages, once, into a cache outside the tree, and prints where they are.
# Nothing is installed on this machine. Needs apt-get, and perl and root for the second.
#
#   hack/node/debian.sh node     a folder with containerd, runc, CNI plugins and nft, unpacked
#   hack/node/debian.sh world    a root file system, rootfs.tar, with PowerDNS, unbound, Postfix and
#                                postfix-mta-sts-resolver, and versions.txt
set -euo pipefail
suite=bookworm
case ${1:-} in
  node) packages="containerd runc containernetworking-plugins nftables libnftables1 libnftnl11 libmnl0 libjansson4
    libedit2 libbsd0 libmd0 libxtables12 libseccomp2" ;;
  world) packages="pdns-server pdns-backend-sqlite3 sqlite3 unbound postfix postfix-mta-sts-resolver ca-certificates" ;;
  *) echo "usage: hack/node/debian.sh node|world" >&2; exit 2 ;;
esac
command -v apt-get >/dev/null || { echo "hack/node/debian.sh needs apt-get (Debian, Ubuntu)" >&2; exit 1; }

key=$(cksum "$0" | cut -d' ' -f1)
out=${MTASTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mta-sts-operator}/debian-$1-$suite-$key
[ -d "$out" ] && { echo "$out"; exit 0; }

partial=$out.partial.$$ # renamed when complete
mkdir -p "$partial"
trap 'rm -rf "$partial"' EXIT
echo "getting Debian packages: $(echo $packages)" >&2
apt-get update -qq >&2
cd "$partial"

# unpack PACKAGE...: downloads and unpacks into the current folder.
unpack() {
  apt-get download -qq -o APT::Sandbox::User=root "$@" >&2
  local deb
  for deb in *.deb; do dpkg -x "$deb" .; done
  rm -f -- *.deb
}
# shellcheck disable=SC2086 # packages is a list
if [ "$1" = node ]; then
  unpack $packages
  apt-cache show --no-all-versions $packages | awk '/^Package:/ {p=$2} /^Version:/ {print p, $2}' >versions.txt
else
  unpack mmdebstrap
  PATH=$PWD/usr/bin:$PATH perl usr/bin/mmdebstrap --quiet --variant=essential --include="$(echo $packages | tr ' ' ,)" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/pdns*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" dpkg-query -W >'"$PWD/versions.txt" "$suite" "$PWD/rootfs.tar" </dev/null >&2
  rm -rf usr
fi
cd /
mv "$partial" "$out"
echo "got them in $SECONDS s" >&2
echo "$out"
