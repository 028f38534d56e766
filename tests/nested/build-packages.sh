#!/bin/bash
# build-packages.sh - make the Debian packages of the work tree in the build root (with that Debian's Xen): the
# result is in CACHE/packages.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { cat <<USAGE
usage: build-packages.sh [--cache CACHE]
  Makes the Debian packages (Debian $SUITE, Xen $XEN) in CACHE/packages (default CACHE: $CACHE).
USAGE
}
while [ $# -gt 0 ]; do
    case $1 in
    --cache) [ $# -ge 2 ] || die "--cache needs a value"; CACHE=$2; shift;;
    -h|--help) usage; exit 0;;
    *) usage >&2; exit 125;;
    esac
    shift
done
need_root
need_built buildroot.stamp
top=$(cd "$KIT/../.." && pwd)
CACHE=$(cd "$CACHE" && pwd)
exec 8>"$CACHE/packages.lock"; flock 8
rm -rf "$CACHE/packages.tmp"; mkdir -p "$CACHE/packages.tmp"/{src,out}
tree_files "$top" | tar cf - -C "$top" --files-from=- | tar xf - -C "$CACHE/packages.tmp/src"
# (-d: what build-essential has and C needs not is not there.)
"$KIT/build-exec.sh" --cache "$CACHE" "$CACHE/packages.tmp" src/tests/packages -d out >"$CACHE/packages.log" 2>&1 </dev/null || {
    tail -n 40 "$CACHE/packages.log" >&2
    die "the packages cannot be made: the whole log is $CACHE/packages.log"; }
rm -rf "$CACHE/packages"; mv "$CACHE/packages.tmp/out" "$CACHE/packages"; rm -rf "$CACHE/packages.tmp"
