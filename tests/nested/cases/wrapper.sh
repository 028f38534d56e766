# Guests: hvm
# xl starts vhost-dm-qemu as the device model. Without options of ours, QEMU gets what it gets from xl itself:
# arguments, descriptors, environment, signals, limits; so too when the guest is saved and restored. With them
# (device_model_args) the guest has its disk, mounts it, and has it again when it reboots, by "xl create" alone.
# What cannot be made fails xl create or xl restore, with the reason in QEMU's log, and leaves nothing.
. cases/lib.sh
wrapper=$JOB/bin/vhost-dm-qemu
log=/var/log/xen/qemu-dm-$GUEST.log

# Says, in its place, what QEMU was started with, and becomes it. (A subshell, so that the redirections are none
# of the process that is looked at; its own 10 is the script.)
cat >"$T/recorder" <<'RECORDER'
#!/bin/sh
n=0; while ! mkdir "/tmp/case/recorded.$n" 2>/dev/null; do n=$((n + 1)); done
(
    cd "/tmp/case/recorded.$n" && exec >raw && tr '\0' '\n' <"/proc/$$/cmdline" && echo && tr '\0' '\n' <"/proc/$$/environ"
    for fd in /proc/$$/fd/*; do
        [ "${fd##*/}" = 10 ] || echo "${fd##*/} -> $(readlink "$fd") $(grep flags: "/proc/$$/fdinfo/${fd##*/}")"
    done
    grep -E '^(Umask|Uid|Gid|Groups|Sig|Cap|NoNewPrivs|Seccomp|Cpus_allowed_list)' "/proc/$$/status"
    cat "/proc/$$/limits"; readlink "/proc/$$/cwd"
    read -r _ _ _ _ group session _ <"/proc/$$/stat"; echo "group $(($$ - group)) session $(($$ - session))"
)
exec /usr/libexec/xen-qemu-system-i386 "$@"
RECORDER
chmod +x "$T/recorder"
export VHOST_DM_QEMU=$T/recorder

nr_recorded() { find "$T" -maxdepth 1 -name 'recorded.*' | wc -l; }
# What differs from domain to domain: its number, the numbers of sockets, of signals that are queued.
recording() { # recording N
    sed -E -e "/^-xen-domid\$/{n;s/.*/DOMID/}" -e 's/(qmp-libx[a-z]+-|XEN_DOMAIN_ID=|qemu-resume\.)[0-9]+/\1DOMID/' \
        -e 's/(socket|pipe):\[[0-9]+\]/\1/' -e '/^SigQ/d' "$T/recorded.$1/raw"
}
same() { # same N M WHAT: two recordings
    recording "$1" >"$T/one"; recording "$2" >"$T/other"
    [ "$(wc -l <"$T/one")" -gt 40 ] || fail "nothing was recorded"
    diff -u "$T/one" "$T/other" || fail "$3: not what xl gives to QEMU itself"
}
ON_REBOOT=restart
override() { GUEST_EXTRA="device_model_override = \"$1\"
device_model_args = [ \"-name\", \"a  'b'\", ${2:-} \"-global\", \"no-such.x=y z\" ]"; }
config() { override "$@"; guest_config; }
dm_none() { ! pgrep -x vhost-dm >/dev/null; }
nothing_left() {
    guest_gone || fail "the guest is there"
    until_true 30 'the end of vhost-dm' dm_none
    [ -z "$(ls -A "$STATE" 2>/dev/null)" ] || fail "left: $(ls "$STATE")"
}
destroy() { xl destroy "$GUEST"; until_true 60 'the end of the guest' guest_gone; }

guest_script <<'GUEST'
if [ ! -b /dev/vda ]; then
    echo GUEST-WITHOUT; read -r line; echo "GUEST-READ $line"
    exit 0
fi
modprobe ext4
mount -t ext4 /dev/vda /mnt
if [ -f /mnt/boots ]; then
    [ "$(cat /mnt/file)" = 'from dom0' ] || fail "another file system than dom0 made"
    echo GUEST-SECOND-BOOT
    umount /mnt
else
    echo first >/mnt/boots
    umount /mnt
    reboot -f
fi
GUEST

# ---- QEMU's own: recordings 0 (the probe of its capabilities) and 1; through the wrapper 2 and 3 --------------
override "$T/recorder"; guest_create -p
destroy
override "$wrapper"; guest_create
[ "$(nr_recorded)" = 4 ] || fail "QEMU was started $(nr_recorded) times, not 4"
same 0 2 'the probe'
same 1 3 'the device model'
grep -q -x -e '-xen-domid' "$T/recorded.3/raw" || fail "xl has no -xen-domid any more"

# ---- saved and restored: 4 and 5 by xl itself, 6 and 7 through the wrapper -------------------------------------
guest_says GUEST-WITHOUT 200
xl save "$GUEST" "$T/saved" >"$T/save.log" 2>&1 || fail "xl save: $(tail -n 3 "$T/save.log")"
config "$T/recorder" >"$T/direct.cfg"
xl restore -p "$T/direct.cfg" "$T/saved" >"$T/save.log" 2>&1 || fail "xl restore without wrapper: $(tail -n 3 "$T/save.log")"
destroy
xl restore "$T/saved" >"$T/save.log" 2>&1 || fail "xl restore: $(tail -n 3 "$T/save.log")"
same 4 6 'the probe'
same 5 7 'a restored device model'
grep -q -x -e '-incoming' "$T/recorded.7/raw" || fail "xl has no -incoming any more"
guest_tell after
guest_says 'GUEST-READ after' 60
until_true 60 'the end of the guest' guest_gone

# ---- with a disk ---------------------------------------------------------------------------------------------
disk_make disk 32
mkdir "$T/files"; echo 'from dom0' >"$T/files/file"
mke2fs -q -t ext4 -d "$T/files" "$T/disk.img"
mkdir -p "$STATE/$GUEST"
ours="\"-vhost-dm\", \"type=blk,queues=1\", \"-vhost-dm-program\", \"$JOB/bin/vhost-dm\","
backend_start disk
ln -s "$T/disk.sock" "$STATE/$GUEST/blk0.sock"      # where it is by default
override "$wrapper" "$ours"; guest_create
same 1 9 'the device model with a disk'
first=$(xl domid "$GUEST")
printf '# uuid %s\ntype=blk,queues=1,socket=%s\n' "$(xl list -v "$GUEST" | awk 'NR == 2 { print $7 }')" \
    "$STATE/$GUEST/blk0.sock" | cmp - "$STATE/$first.devices" || fail "$(cat "$STATE/$first.devices")"
grep -q 'ready: the guest may be unpaused' "$log" || fail "no word of vhost-dm in QEMU's log: $(cat "$log")"
dm=$(pgrep -x vhost-dm)
[ "$(ps -o sid= -p "$dm")" != "$(ps -o sid= -p "$(xenstore-read "/local/domain/$first/image/device-model-pid")")" ] ||
    fail "vhost-dm is in QEMU's session"
[ "$(readlink "/proc/$dm/fd/2")" = "$log" ] || fail "vhost-dm logs to $(readlink "/proc/$dm/fd/2")"
guest_says GUEST-SECOND-BOOT 400
[ "$(find "$STATE" -name '*.devices')" != "$STATE/$first.devices" ] || fail "it is the same domain"
guest_says 'GUEST-RESULT 0' 60
until_true 60 'the end of the guest' guest_gone
backend_kill disk TERM
rm -r "${STATE:?}/$GUEST"
nothing_left

# ---- what cannot be ------------------------------------------------------------------------------------------
refused() { # refused WHY COMMAND...: it fails, for that reason, and there is no guest
    local why=$1; shift
    rm -f "$log"
    ! "$@" >"$T/refused.log" 2>&1 || fail "works: $*"
    grep -q -E -- "$why" "$log" || fail "'$why' is not in QEMU's log: $(cat "$log" "$T/refused.log")"
    nothing_left
}
config "$wrapper" "$ours" >"$T/no.cfg"
refused 'no such back-end|vhost-dm has ended' xl create "$T/no.cfg"
refused 'neither restored nor migrated' xl restore "$T/no.cfg" "$T/saved"
config "$wrapper" "${ours/queues/quues}" >"$T/no.cfg"
refused "unknown key 'quues'" xl create "$T/no.cfg"
