# Guests: hvm pvh
# The back-end is killed outright under load: the guest does not hang, its requests end with errors and the
# device asks for a reset. After the back-end has been started again the guest binds the driver anew, and the
# disk works.
. cases/lib.sh
disk_make disk 64
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
device=$(ours)
status=0; disktool load /dev/vda 9 4 </dev/zero || status=$?
[ $status = 0 ] || fail "load before: status $status"
mkfifo /tmp/never; exec 5<>/tmp/never
status=0; disktool load /dev/vda 9 4 <&5 || status=$?
[ $status = 3 ] || fail "the load ended with status $status, which is no I/O error"
[ $(($(cat /sys/bus/virtio/devices/virtio0/status) & 0x40)) != 0 ] || fail "the device does not ask for a reset"
if dd if=/dev/vda of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null; then fail "a read worked without a back-end"; fi
echo GUEST-SAW-ERRORS
told 120
echo "$device" >/sys/bus/pci/drivers/virtio-pci/unbind
echo "$device" >/sys/bus/pci/drivers/virtio-pci/bind
disk_wait vda 60
echo GUEST-DRIVES-AGAIN
disktool load /dev/vda 10 4 || fail "load after: status $?"
GUEST
guest_start --device "$(blk disk)"
guest_says '^DISK-LOADED status 0' 200 >/dev/null
guest_progress 60
backend_kill disk KILL
guest_says GUEST-SAW-ERRORS 60 >/dev/null
dm_gone && fail "vhost-dm has ended with the back-end"
dm_said 'the back-end at .* is lost'
backend_start disk
guest_tell restarted
guest_says GUEST-DRIVES-AGAIN 100 >/dev/null
dm_said 'the back-end is connected again'
guest_progress 60
guest_tell stop
guest_end 120
