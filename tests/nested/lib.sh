# shellcheck shell=bash disable=SC2034 # used by those who source this
# lib.sh - what the scripts of this folder share. Sourced, never run.

KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SUITE=trixie            # the Debian release of dom0, of the guests and of the build root
XEN=4.20                # its Xen
CACHE=${NESTED_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhost-dm}

say() { printf '%s %s: %s\n' "$(date +%T)" "${0##*/}" "$*" >&2; }
# Status 125 is "the kit failed", so that it cannot be taken for a status of the job (as timeout(1) does).
die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 125; }

need_root() { [ "$(id -u)" = 0 ] || die "must be run as root (it makes Debian root file systems and mounts)"; }
need_built() { # need_built FILE...
    local f
    for f; do [ -e "$CACHE/$f" ] || die "$CACHE/$f is missing: run $KIT/build.sh${1:+ $CACHE} first"; done
}

# The files of the project and no others; from an unpacked release, which is no git repository, all files.
tree_files() { # tree_files TREE
    { git -C "$1" -c safe.directory="$1" ls-files -co --exclude-standard 2>/dev/null ||
        (cd "$1" && find . -name .git -prune -o -name 'build*' -type d -prune -o -type f -print); } |
        while read -r f; do [ ! -f "$1/$f" ] || printf '%s\n' "$f"; done
}

# Makes the job folder (see README.md, "A job") that run.sh gives to dom0: the cases' library and the programs
# for it; prints its name. The caller adds autorun.sh and removes it.
job_make() { # job_make [VHOST-DM]: with this one instead of the one that was compiled
    local job
    job=$(mktemp -d "$CACHE/job.XXXXXX")
    cp -rP "$CACHE/product/." "$KIT/cases" "$job/"
    [ -z "${1:-}" ] || cp "$1" "$job/bin/vhost-dm"
    printf '%s\n' "$job"
}

# A list file: one name a line, '#' starts a comment.
list() { sed -e 's/#.*//' "$@" | tr -s ' \t\n' '\n' | sed '/^$/d'; }

# Sets "out", where the logs of a run go, if nobody has: CACHE/last, or, while another run has that, one of its own.
out_choose() {
    [ -z "$out" ] || return 0
    out=$CACHE/last
    exec {out_lock}>"$CACHE/last.lock"
    flock -n "$out_lock" || { out=$CACHE/last.$$; say "another run has $CACHE/last: logs go to $out"; }
}
