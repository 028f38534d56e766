#!/bin/sh
# man-example.sh - the C example of libvhost-dm-shm(3) compiles without a warning, and runs where there is no
# vhost-dm. Run by make check in the build folder, with CC and srcdir set.
set -eu
top=${srcdir:-.} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^#include <stdio.h>/ { on = 1 } /^\.Ed/ { on = 0 } on { gsub(/\\e/, "\\"); print }' \
    "$top/docs/libvhost-dm-shm.3" >"$work/example.c"
grep -q 'int main' "$work/example.c"
# shellcheck disable=SC2086 # CC may be several words
${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -I"$top/lib" -o "$work/example" "$work/example.c" \
    .libs/libvhost-dm-shm.so -Wl,-rpath,"$PWD/.libs"
unset VHOST_DM_SHM
said=$("$work/example")
[ "$said" = 'fd 3, ordinary memory' ] || { echo "it said: $said"; exit 1; }
