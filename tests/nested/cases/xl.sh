# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # used by those who source this; set by lib.sh
# xl.sh - for cases in which xl starts everything: vhost-dmd runs, and what a case does is to write files and to
# type xl commands. Sourced after lib.sh.
CONF=/etc/vhost-dm
dmd_pid=''

# What `make install` puts into place.
dmd_install() {
    rm -rf /usr/share/vhost-dm "$CONF"
    cp -r "$JOB/share" /usr/share/vhost-dm
    mkdir -p "$CONF"
    ln -sf "$JOB/bin/vhost-dm" /usr/sbin/vhost-dm
    mkdir -p /usr/libexec/vhost-dm
    ln -sf "$JOB/bin/vhost-user-pmem" /usr/libexec/vhost-dm/vhost-user-pmem
    ln -sf "$JOB/lib/libvhost-dm-shm.so.0" /usr/lib/
    # Nothing of a case's shell; its folder goes away.
    export -n LD_LIBRARY_PATH
    cat >"$CONF/vhost-dmd.conf" <<SETTINGS
[vhost-dmd]
start-timeout=$((60 * SLOW))
SETTINGS
}
dmd_start() { # dmd_start [OPTION...]: starts it, waits until it is ready
    local said
    said=$(dmd_said_times '^vhost-dmd: ready$')
    (cd / && exec setsid vhost-dmd "$@") >>"$T/dm.log" 2>&1 </dev/null &
    dmd_pid=$!
    until_true 30 'vhost-dmd to be ready' dmd_ready_again "$said"
}
dmd_ready_again() { kill -0 "$dmd_pid" || fail "vhost-dmd has ended"; [ "$(dmd_said_times '^vhost-dmd: ready$')" -gt "$1" ]; }
dmd_said_times() { touch "$T/dm.log"; grep -c -E -- "$1" "$T/dm.log" || true; }
another() { local now; now=$(pgrep -x "$1") && [ "$now" != "$2" ]; } # another NAME PROCESS: one of that name runs, and is not that one
dm_says() { grep -q -E -- "$1" "$T/dm.log"; }
dmd_gone() { ! kill -0 "$dmd_pid" 2>/dev/null; }
dmd_end() { # dmd_end SIGNAL STATUS
    local status=0
    kill "-$1" "$dmd_pid"
    until_true 10 'the end of vhost-dmd' dmd_gone
    wait "$dmd_pid" || status=$?
    dmd_pid=''
    [ "$status" = "$2" ] || fail "vhost-dmd ended with status $status instead of $2"
}
guest_conf() { cat >"$CONF/$GUEST.conf"; } # guest_conf <<FILE
# All that a guest's run needs: from nothing but `xl create` to its script's end.
xl_create() { guest_config >"$T/guest.cfg"; xl create -q "$T/guest.cfg" >"$T/create.log" 2>&1 || fail "xl create: $(tail -n 3 "$T/create.log")"; }
other_domain() { local now; now=$(xl domid "$GUEST" 2>/dev/null) && [ "$now" != "$1" ]; }   # other_domain DOMID
script_ends() { # script_ends SECONDS: with 0, and then the guest is gone
    local line
    line=$(guest_says 'GUEST-RESULT' "$1")
    case $line in *'GUEST-RESULT 0'*) ;; *) fail "the guest's script: $line";; esac
    until_true 60 'the end of the guest' guest_gone
}
# Nothing of any guest is left: processes, files, sockets, nodes, domains.
nothing_left() {
    [ -z "$(pgrep -x 'vhost-dm|qemu-storage-da|vhost-dm-keeper|vhost-dm-broker')" ] &&
        [ "$(ls -A "$STATE")" = vhost-dmd.lock ] &&
        ! xenstore-ls /local/domain/0/backend 2>/dev/null | grep -q virtio &&
        [ "$(xl list | wc -l)" = 2 ]
}
left_over() { pgrep -a 'vhost-dm|qemu|xl' || true; ls -A "$STATE"; xenstore-ls /local/domain/0/backend || true; xl list; }
nothing_is_left() { # nothing_is_left SECONDS
    local end=$((SECONDS + $1 * SLOW))
    until nothing_left; do
        [ $SECONDS -lt $end ] || { left_over; fail "something is left"; }
        sleep 0.2
    done
}
xl_case_exit() { # xl_case_exit [STATUS]
    local status=${1:-$?}
    [ -z "$dmd_pid" ] || kill "$dmd_pid" 2>/dev/null || true
    rm -rf "$CONF" "$STATE/vhost-dmd.lock"
    case_exit "$status"
}
trap xl_case_exit EXIT
