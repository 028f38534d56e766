# Guests: hvm pvh
# Memory of back-ends in the guest, by Linux's own virtio-pmem driver: one device whose back-end has ordinary
# memory (trap), one under the preload library and one that is linked with libvhost-dm-shm (foreign), one whose
# memory cannot change any more (copy), one whose memory is a BAR of a device (device). Either side sees what
# the other writes while both run; UNMAP and MAP; a file system with DAX, and a disk's requests into it; drivers
# that are bound again.
. cases/lib.sh
. cases/confined.sh
MIB=16
LEN=$((MIB << 20))
disk_stream disk 16 77
backend_start disk
framebuffer=$(framebuffer_find)
guest_script <<'GUEST'
all='10 11 12 13 14' writable='10 11 12' foreign='11 12'    # writable: by dom0, too
block_at() { n=$((300 * SLOW)); until [ -d /sys/bus/pci/devices/0000:00:$1.0/virtio*/ndbus*/region*/namespace*/block ]; do
    [ $n -gt 0 ] || fail "no /dev/pmem at $1"; n=$((n - 1)); sleep 0.1; done
    basename /sys/bus/pci/devices/0000:00:$1.0/virtio*/ndbus*/region*/namespace*/block/*; }
# A page of the device, to /tmp/seen. (In 8 bytes at a time, the kernel's way on this processor, each of which is an
# exit where memory is trapped: that is a second for a page in emulation.)
page() { dd if=/dev/$(block_at $1) of=/tmp/seen bs=4096 skip=$2 count=1 iflag=direct 2>/dev/null || fail "reading $1"; }
is() { shmtool /tmp/seen are 0 4096 $1 || fail "$2"; }

modprobe -a virtio_pmem nd_pmem
for slot in $all; do
    echo "slot $slot: $(block_at $slot), $(($(cat /sys/block/$(block_at $slot)/size) / 2)) KiB"
    page $slot 0
    shmtool /tmp/seen pattern 0 4096 || fail "$slot: other contents than the back-end has"
done
for slot in $foreign 13 14; do
    dd if=/dev/$(block_at $slot) of=/tmp/all bs=1M iflag=direct 2>/dev/null
    shmtool /tmp/all pattern 0 $((16 << 20)) || fail "$slot: other contents than the back-end has"
    rm /tmp/all
done
for slot in $writable 14; do
    disktool stream 4096 $slot | dd of=/dev/$(block_at $slot) bs=4096 seek=3 oflag=direct conv=fsync 2>/dev/null ||
        fail "writing $slot"
done
echo GUEST-WROTE
told 60
for slot in $writable; do page $slot 16; is 0x1234 "$slot: what dom0 wrote is not here"; done
echo GUEST-SAW
told 60
for slot in $all; do page $slot 16; is 0xffffffffffffffff "$slot: after UNMAP there is something"; done
echo GUEST-SAW-NOTHING
told 60
for slot in $writable; do page $slot 16; is 0x1234 "$slot: after another MAP the contents are not here"; done
disk_wait vda 30
modprobe ext4
for slot in $writable; do
    if [ $slot != 10 ]; then
        pmem=$(block_at $slot)
        /usr/sbin/mkfs.ext4 -q -F -b 4096 /dev/$pmem
        mount -t ext4 -o dax=always /dev/$pmem /mnt || fail "$slot: no mount with DAX"
        grep ' /mnt .*dax=always' /proc/mounts || fail "$slot: it is not DAX"
        dd if=/dev/zero of=/mnt/file bs=1M count=2 2>/dev/null
        shmtool /mnt/file direct 0 $((2 << 20)) /dev/vda || fail "$slot: the disk cannot read into shared memory"
        disktool stream $((2 << 20)) 77 | cmp - /mnt/file || fail "$slot: other contents than the disk's"
        sync
        umount /mnt
    fi
    device=$(basename /sys/bus/pci/devices/0000:00:$slot.0/virtio*)
    echo $device >/sys/bus/virtio/drivers/virtio_pmem/unbind
    echo $device >/sys/bus/virtio/drivers/virtio_pmem/bind
    pmem=$(block_at $slot)
    page $slot 16
    if [ $slot != 10 ]; then
        mount -t ext4 -o dax=always /dev/$pmem /mnt || fail "$slot: no mount after the driver was bound again"
        disktool stream $((2 << 20)) 77 | cmp - /mnt/file || fail "$slot: other contents after the driver was bound again"
        umount /mnt
    else
        is 0x1234 "$slot: other contents after the driver was bound again"
    fi
done
# Accesses of all kinds, without a driver.
echo 0000:00:10.0 >/sys/bus/pci/drivers/virtio-pci/unbind
echo 1 >/sys/bus/pci/devices/0000:00:10.0/enable
shmtool /sys/bus/pci/devices/0000:00:10.0 mark 0 $((16 << 10))
shmtool /sys/bus/pci/devices/0000:00:10.0 mark $(((6 << 20) - 4096)) 4096
shmtool /sys/bus/pci/devices/0000:00:10.0 edges $((6 << 20)) || fail "trapped accesses"
echo GUEST-DONE
told 60
kernel_quiet 'pmem|nd_|dax|ext4'
GUEST
guest_create -p
devices=(--device "$(blk disk)")
slot=10
for name in trap preload linked copy device; do devices+=(--device "$(pmem $name slot=0x$slot)"); slot=$((slot + 1)); done
dm_spawn "${devices[@]}"
# Not a power of two: in its BAR there is nothing behind it.
pmem_start trap memfd --size 6M --pattern
pmem_start preload preload --size ${MIB}M --pattern
pmem_start linked linked --size ${MIB}M --pattern
pmem_start copy memfd --size ${MIB}M --pattern --read-only
shmtool "$framebuffer" mark 0 $LEN || fail "no framebuffer"
pmem_start device memfd --file "$framebuffer"
dm_ready 60
for placement in trap foreign copy device; do dm_said "shared memory is placed as $placement"; done
xl list | grep -q -- "$GUEST-shm" || fail "no holder in xl list"
xl unpause "$GUEST"
guest_says GUEST-WROTE 300 >/dev/null
kind=memfd seed=10
for name in trap preload linked; do
    [ $name = trap ] || kind=$name
    pmem_tool $name $kind dump $((3 * 4096)) 4096 >"$T/seen"
    disktool stream 4096 $seed | cmp - "$T/seen" || fail "$name: dom0 does not see what the guest wrote"
    pmem_tool $name $kind fill 65536 4096 0x1234
    seed=$((seed + 1))
done
shmtool "$framebuffer" dump $((3 * 4096)) 4096 >"$T/seen"
disktool stream 4096 14 | cmp - "$T/seen" || fail "device: the device does not have what the guest wrote"
guest_tell wrote
guest_says GUEST-SAW 60 >/dev/null
for name in trap preload linked copy device; do
    kill -USR1 "${backend_pid[$name]}"
    until_true 20 "UNMAP of $name" pmem_said $name 'out of the guest' 1
done
guest_tell unmapped
guest_says GUEST-SAW-NOTHING 60 >/dev/null
for name in trap preload linked copy device; do
    kill -USR2 "${backend_pid[$name]}"
    until_true 20 "MAP of $name" pmem_said $name 'the guest sees the memory' 2
done
guest_tell mapped
guest_says GUEST-DONE 200 >/dev/null
modprobe loop; mkdir "$T/mnt"
for name in preload linked; do
    pmem_tool $name $name dump 0 $LEN >"$T/pmem.img"
    e2fsck -f -n "$T/pmem.img" >"$T/fsck.log" 2>&1 || { cat "$T/fsck.log"; fail "$name: the file system is not clean"; }
    mount -o ro,noload,loop "$T/pmem.img" "$T/mnt"
    disktool stream $((2 << 20)) 77 | cmp - "$T/mnt/file" || fail "$name: the back-end's side has other contents"
    umount "$T/mnt"
done
guest_tell end
guest_end 60
