# Guests: hvm pvh
# SIGTERM: vhost-dm ends with status 0 at once and takes the device with it; another vhost-dm can be attached. A
# guest that let go of the device before finds a new one when it looks for it; one that did not reads all ones
# where its device was, and runs on.
. cases/lib.sh
disk_make disk 16
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
config=/sys/bus/pci/devices/$(ours)/config
id() { od -A n -t x2 -N 4 "$config" | tr -d ' '; }
[ "$(id)" = 1af41042 ] || fail "device id $(id)"
echo 1 >"${config%config}remove"
echo GUEST-LET-GO
told 60
echo 1 >/sys/bus/pci/rescan
[ -z "$(ours)" ] || fail "the device is still there"
echo GUEST-WITHOUT
told 60
echo 1 >/sys/bus/pci/rescan
disk_wait vda 30
dd if=/dev/vda of=/dev/null bs=4096 count=16 iflag=direct 2>/dev/null || fail "the new device does not work"
echo GUEST-AGAIN
told 60
[ "$(id)" = ffffffff ] || fail "the device is still there: $(id)"
echo GUEST-LIVES
told 60
GUEST
end_dm() {
    kill -TERM "$dm_pid"
    dm_end 10 0
    [ -z "$(ls -A "$STATE" 2>/dev/null)" ] || fail "state is left: $(ls "$STATE")"
}
guest_start --device "$(blk disk)"
guest_says GUEST-LET-GO 200 >/dev/null
end_dm
guest_tell ended
guest_says GUEST-WITHOUT 60 >/dev/null
dm_start --device "$(blk disk)"
guest_tell again
guest_says GUEST-AGAIN 60 >/dev/null
end_dm
guest_tell 'ended once more'
guest_says GUEST-LIVES 60 >/dev/null
xl destroy "$GUEST"
