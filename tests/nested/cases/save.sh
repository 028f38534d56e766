# Guests: pvh
# Guests by name only: hvm
# A guest with our devices is neither saved nor migrated: xl fails before it asks the guest for anything, vhost-dmd
# says why, and the guest's load goes on; so too when the wrapper gave it its devices. A guest that was saved without
# devices and is to have some when it is restored stays paused, and goes on without them when told to.
. cases/lib.sh
. cases/xl.sh
dmd_install
dmd_start --debug info
disk_make disk 16
devices() { guest_conf <<FILE
[blk0]
back-end=qemu-storage-daemon file=$T/disk.img
FILE
}
is_paused() { [ "$(xl list "$GUEST" | awk 'NR == 2 { print $5 }')" = --p--- ]; }

# ---- without devices: saved; with devices: not restored ------------------------------------------------------
guest_script <<'GUEST'
echo GUEST-WAITS
told 900
GUEST
xl_create
guest_says '^GUEST-WAITS' 200 >/dev/null
xl save "$GUEST" "$T/saved" >"$T/save.log" 2>&1 || fail "xl save of a guest without devices: $(tail -n 3 "$T/save.log")"
devices
xl restore "$T/saved" >"$T/restore.log" 2>&1 || fail "xl restore: $(tail -n 3 "$T/restore.log")"
until_true 60 'the restored guest to be kept' dm_says 'was saved or comes from another host.*it stays paused'
is_paused || fail "the restored guest is not paused"
note "$(grep -o 'it was saved.*' "$T/dm.log" | cut -c1-80)"
rm "$CONF/$GUEST.conf"
kill -HUP "$dmd_pid"
guest_tell on
guest_says '^GUEST-HEARD on' 60 >/dev/null
script_ends 60
nothing_is_left 60

# ---- with devices: neither saved nor migrated ----------------------------------------------------------------
rm "$(guest_console)"
guest_script <<'GUEST'
disk_wait vda 60
disktool load /dev/vda 7 8 || fail "load: status $?"
dmesg >/tmp/dmesg
! grep -i -E 'vda.*error|I/O error|virtio.*(reset|broken|not ready)|suspend|freez' /tmp/dmesg || fail "the guest has noticed"
GUEST
refused() { # refused COMMAND...: xl says no, and the guest is as it was
    local before domid
    before=$(guest_state) domid=$(xl domid "$GUEST")
    ! "$@" >"$T/refused.log" 2>&1 || fail "works: $*"
    grep -q 'Suspend event channel initialization failed' "$T/refused.log" || fail "$*: $(cat "$T/refused.log")"
    [ "$(xl domid "$GUEST")" = "$domid" ] || fail "$*: it is another domain"
    [ "$(guest_state)" = "$before" ] || fail "$*: xenstore had '$before', has '$(guest_state)'"
    guest_progress 60
}
guest_state() { xenstore-read "/local/domain/$(xl domid "$GUEST")/control/shutdown" 2>/dev/null || echo none; }
load_runs() { guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null; }
load_stops() {
    guest_tell stop
    script_ends 120
    local guest image
    guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
    image=$(disktool check "$T/disk.img" 7) || fail "back-end's side: $image"
    [ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"
}
said_why() { [ "$(dmd_said_times "$GUEST\\): it cannot be saved, migrated or suspended")" -ge "$1" ]; }
devices
xl_create
load_runs
refused xl save "$GUEST" "$T/no"
until_true 30 'vhost-dmd to say why' said_why 1
refused xl save -c "$GUEST" "$T/no"
until_true 30 'vhost-dmd to say why' said_why 2
# (xl's own receiver crashes when a sender has nothing to send, whatever the reason, and leaves an empty domain.)
refused xl migrate -s '' "$GUEST" "echo 'xl migration receiver ready, send binary domain data.'; cat >/dev/null"
until_true 30 'vhost-dmd to say why' said_why 3
note "xl: $(grep -v -E '^(Saving|xc: info)' "$T/refused.log" | grep -m 1 'event channel' | cut -c1-100)"
load_stops
nothing_is_left 60
if [ "$KIND" = hvm ]; then
    rm "$(guest_console)" "$CONF/$GUEST.conf"
    GUEST_EXTRA="device_model_override = \"$JOB/bin/vhost-dm-qemu\"
device_model_args = [ \"-vhost-dm\", \"type=blk,socket=$T/disk.sock\", \"-vhost-dm-program\", \"$JOB/bin/vhost-dm\" ]"
    rm "$T/disk.img"
    disk_make disk 16
    backend_start disk
    xl_create
    load_runs
    refused xl save "$GUEST" "$T/no"
    load_stops
    backend_kill disk TERM
    nothing_is_left 60
    note "the wrapper's guest, too"
fi
dmd_end TERM 0
