#!/bin/bash
# build-product.sh - compile this project, as it stands in the work tree, in the build root, and leave what
# dom0 gets in CACHE/product: bin/ and lib/, with disktool and shmtool for dom0 and the guests, and an ACPI table.
# Compiles only what has changed.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { cat <<USAGE
usage: build-product.sh [--sanitizers] [--cache CACHE]
  Compiles the project in the build root (Debian $SUITE, Xen $XEN); the result is in CACHE/product (default
  CACHE: $CACHE). --sanitizers: with the address and undefined behaviour sanitizers.
USAGE
}
configure=()
while [ $# -gt 0 ]; do
    case $1 in
    --sanitizers) configure+=(--enable-sanitizers);;
    --cache) [ $# -ge 2 ] || die "--cache needs a value"; CACHE=$2; shift;;
    -h|--help) usage; exit 0;;
    *) usage >&2; exit 125;;
    esac
    shift
done
need_root
need_built buildroot.stamp
top=$(cd "$KIT/../.." && pwd)
src=$CACHE/src
exec 8>"$CACHE/product.lock"; flock 8

# With their times, so that make finds what has changed.
new=$(tree_files "$top" | sort)
mkdir -p "$src"
if [ -f "$src/.list" ] && [ "$(cat "$src/.list")" != "$new" ]; then    # files that are gone stay otherwise
    comm -23 "$src/.list" <(printf '%s\n' "$new") | while read -r f; do rm -f "${src:?}/$f"; done
fi
tar cf - -C "$top" --files-from=<(printf '%s\n' "$new") | tar xf - -C "$src"
printf '%s\n' "$new" >"$src/.list"

# shellcheck disable=SC2016 # expanded in the build root
if ! "$KIT/build-exec.sh" --cache "$CACHE" "$src" bash -euc '
    if [ ! -f configure ] || [ configure.ac -nt configure ]; then autoreconf -fi; fi
    mkdir -p build-nested; cd build-nested
    wanted="--enable-werror --prefix=/usr --sysconfdir=/etc $*"
    if [ ! -f Makefile ] || [ "$(cat configured 2>/dev/null)" != "$wanted" ]; then
        ../configure -q $wanted
        printf "%s\n" "$wanted" >configured
        make -s clean
    fi
    make -s -j"$(nproc)"
    make -s vhost-dm-taken-over
    rm -rf root; make -s install DESTDIR="$PWD/root"
    tool="gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -pthread"
    $tool -static -o root/disktool ../tests/nested/guest/disktool.c
    $tool -o root/shmtool ../tests/nested/guest/shmtool.c
    $tool -static -o root/streamtool ../tests/nested/guest/streamtool.c
' build "${configure[@]}" >"$CACHE/product.log" 2>&1 </dev/null; then
    tail -n 40 "$CACHE/product.log" >&2
    die "the project cannot be compiled in the build root: the whole log is $CACHE/product.log"
fi
rm -rf "$CACHE/product.tmp"; mkdir -p "$CACHE/product.tmp"/{bin,lib}
root=$src/build-nested/root
cp "$root/usr/sbin/"vhost-dm* "$root/usr/libexec/vhost-dm/"{vhost-user-pmem,vhost-dm-qemu} "$root"/{disktool,shmtool,streamtool} "$CACHE/product.tmp/bin/"
cp "$src/build-nested/vhost-dm-taken-over" "$CACHE/product.tmp/bin/"
cp -P "$root"/usr/lib/{libvhost-dm-shm.so*,vhost-dm/libvhost-dm-shm-preload.so} "$CACHE/product.tmp/lib/"
cp "$root/usr/share/vhost-dm/"{hotplug,virtio-mmio}.aml "$CACHE/product.tmp/"
cp -r "$root/usr/share/vhost-dm" "$CACHE/product.tmp/share"
rm -rf "$CACHE/product"; mv "$CACHE/product.tmp" "$CACHE/product"
