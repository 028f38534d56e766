# Guests: hvm pvh
# The guest finds the device as a PCI function with every capability, its driver uses it with MSI-X, a block
# read arrives, and its kernel has nothing to complain of.
. cases/lib.sh
disk_make disk 16
disktool stream 4096 11 | dd of="$T/disk.img" conv=notrunc status=none
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
device=$(ours)
[ "$(echo "$device" | wc -l)" = 1 ] || fail "not one device of ours: $device"
lspci -vv -s "$device" >/tmp/lspci
cat /tmp/lspci
for what in 'Virtio' 'VirtIO: CommonCfg' 'VirtIO: Notify' 'VirtIO: ISR' 'VirtIO: DeviceCfg' \
    'MSI-X: Enable+' 'Kernel driver in use: virtio-pci' 'BusMaster+'; do
    grep -q -F "$what" /tmp/lspci || fail "lspci does not show '$what'"
done
dd if=/dev/vda of=/tmp/block bs=4096 count=1 iflag=direct 2>/dev/null
disktool stream 4096 11 | cmp - /tmp/block || fail "other contents than the back-end has"
grep virtio /proc/interrupts
awk '/virtio0-req/ { n = $2 } END { exit !(n > 0) }' /proc/interrupts || fail "no interrupt of the queue arrived"
grep virtio0-req /proc/interrupts | grep -q -i msi-\\?x || fail "the queue's interrupt is not MSI-X"
[ "$(cat /sys/block/vda/size)" = 32768 ] || fail "wrong size"
kernel_quiet vda
GUEST
guest_start --device "$(blk disk)"
guest_end 200
dm_said 'ready: the guest may be unpaused'
