# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets it
# confined.sh - sourced by cases after lib.sh: vhost-dm, whenever it says that it is ready, has given up its rights: it is
# a user of its own, without capabilities, files and most system calls.
status_of() { awk -v key="$1:" '$1 == key { print $2; exit }' "/proc/$dm_pid/status"; }
dm_is_ready() {
    local key
    [ "$(status_of Uid)" = $((2000000000 + $(xl domid "$GUEST"))) ] || fail "its user is $(status_of Uid)"
    [ "$(status_of Gid)" = "$(status_of Uid)" ] || fail "its group is $(status_of Gid)"
    for key in CapInh CapPrm CapEff CapAmb; do
        [ "$(status_of $key)" = 0000000000000000 ] || fail "it has capabilities: $key $(status_of $key)"
    done
    [ "$(status_of NoNewPrivs)" = 1 ] || fail "it could get new privileges"
    [ "$(status_of Seccomp)" = 2 ] || fail "it may make any system call"
    [ -z "$(ls -A "/proc/$dm_pid/root")" ] || fail "it sees files: $(ls "/proc/$dm_pid/root")"
    [ "$(readlink "/proc/$dm_pid/ns/net")" != "$(readlink /proc/self/ns/net)" ] || fail "it sees the network"
}
