# Guests: hvm
# The guest finds its disk where an ACPI table says that it is, by Linux's own virtio_mmio: no PCI function, a
# level interrupt that arrives, the right contents under load, while vhost-dm is killed and started again, and
# after the driver was unbound and bound. Its kernel has nothing to complain of.
. cases/lib.sh
GUEST_EXTRA="acpi_firmware = \"$JOB/virtio-mmio.aml\""
disk_make disk 64
disktool stream 4096 11 | dd of="$T/disk.img" conv=notrunc status=none
backend_start disk
guest_script <<'GUEST'
modprobe -a virtio_mmio virtio_blk
disk_wait vda 60
[ -z "$(ours)" ] || fail "PCI functions of ours: $(ours)"
case $(readlink -f /sys/bus/virtio/devices/virtio0) in
*/LNRO0005:00/virtio0) ;;
*) fail "virtio0 is $(readlink -f /sys/bus/virtio/devices/virtio0)" ;;
esac
[ "$(cat /sys/block/vda/size)" = 131072 ] || fail "wrong size"
dd if=/dev/vda of=/tmp/block bs=4096 count=1 iflag=direct 2>/dev/null
disktool stream 4096 11 | cmp - /tmp/block || fail "other contents than the back-end has"
# The load leaves blocks alone, and in the end each is to be zeros or the load's.
dd if=/dev/zero of=/dev/vda bs=4096 count=1 oflag=direct 2>/dev/null || fail "the block cannot be written"
grep virtio0 /proc/interrupts
awk '$NF == "virtio0" { n = $2 } END { exit !(n > 0) }' /proc/interrupts || fail "no interrupt arrived"
grep virtio0 /proc/interrupts | grep -q -E 'level|fasteoi' || fail "it is not a level interrupt"
disktool load /dev/vda 7 8 || fail "load: status $?"
dd if=/dev/vda of=/tmp/block bs=4096 count=16 iflag=direct 2>/dev/null
driver=/sys/bus/virtio/drivers/virtio_blk
status=/sys/bus/virtio/devices/virtio0/status
echo virtio0 >$driver/unbind
[ ! -b /dev/vda ] || fail "the disk is still there"
[ $(($(cat $status) & 0xe)) = 0 ] || fail "no end of the reset"
# Linux's virtio_mmio does not wait for the end of a reset, and need not. (The name of a disk that has just gone may not be
# free yet.)
for round in 1 2 3 4 5; do
    echo virtio0 >$driver/bind
    disk=$(ls /sys/bus/virtio/devices/virtio0/block)
    disk_wait "$disk" 30
    [ $round = 5 ] || echo virtio0 >$driver/unbind
done
dd if="/dev/$disk" bs=4096 count=16 iflag=direct 2>/dev/null | cmp - /tmp/block || fail "other contents than before"
[ $(($(cat $status) & 0x40)) = 0 ] || fail "the device needs a reset"
kernel_quiet LNRO
GUEST
guest_start --device "$(blk disk transport=mmio,base=0xfe800000,irq=3)"
dm_said 'blk at 0xfe800000'
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
guest_progress 60
kill -KILL "$dm_pid"
dm_end 10 137
dm_start "${DM_ARGS[@]}"
guest_progress 60
guest_tell stop
guest_end 200
backend_kill disk TERM
disktool check "$T/disk.img" 7 || fail "the back-end's side has other contents"
