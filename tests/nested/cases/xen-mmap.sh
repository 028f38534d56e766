# Guests: hvm pvh
# A device whose back-end maps the guest's memory itself (memory=xen-mmap), virtio-pmem with our example, beside a
# disk that is copied for (bounce): what either side writes the other sees, flushes, data from one device to the
# other. Another back-end of that kind is told of the memory that the first one maps. The first is killed: the device
# asks for a reset and flushes fail; once it is there again and the driver bound anew, all is as before. Then vhost-dm
# is killed and started again, with nothing on its way.
. cases/lib.sh
. cases/confined.sh
disk_stream disk 16 77
disk_stream pmem 2 5
guest_script <<'GUEST'
block_at() { n=$((300 * SLOW)); until [ -d /sys/bus/pci/devices/0000:00:10.0/virtio*/ndbus*/region*/namespace*/block ]; do
    [ $n -gt 0 ] || fail "no /dev/pmem"; n=$((n - 1)); sleep 0.1; done
    basename /sys/bus/pci/devices/0000:00:10.0/virtio*/ndbus*/region*/namespace*/block/*; }
# (A page of trapped memory takes a second in emulation.)
page() { dd if=/dev/$pmem of=/tmp/seen bs=4096 skip=$1 count=1 iflag=direct 2>/dev/null || fail "reading page $1"; }
page_is() { page $1; disktool stream 4096 $2 | cmp - /tmp/seen || fail "page $1: $3"; }
# With a flush at the end.
page_put() { disktool stream 4096 $2 | dd of=/dev/$pmem bs=4096 seek=$1 oflag=direct conv=fsync 2>/dev/null; }

modprobe -a virtio_pmem nd_pmem
pmem=$(block_at)
disk_wait vda 30
page_is 0 5 'not what the file has'
page_put 3 31 || fail 'writing'
for n in 1 2 3 4 5 6 7 8 9 10; do page_put 4 $((40 + n)) || fail "write and flush $n"; done
page_is 4 50 'not what was written last'
# From the disk to the memory and back, each through its own way of the data.
dd if=/dev/vda of=/dev/$pmem bs=4096 count=1 seek=8 iflag=direct oflag=direct conv=fsync 2>/dev/null || fail 'from disk to pmem'
page_is 8 77 'not what the disk has'
dd if=/dev/$pmem of=/dev/vda bs=4096 skip=3 count=1 seek=100 iflag=direct oflag=direct conv=fsync 2>/dev/null || fail 'from pmem to disk'
echo GUEST-WROTE
told 60
page_is 16 61 'what dom0 wrote is not here'
echo GUEST-SAW
told 60
device=$(basename /sys/bus/pci/devices/0000:00:10.0/virtio*)
n=$((100 * SLOW)); until [ $(($(cat /sys/bus/virtio/devices/$device/status) & 0x40)) != 0 ]; do
    [ $n -gt 0 ] || fail "the device does not ask for a reset"; n=$((n - 1)); sleep 0.1; done
if page_put 4 60; then fail 'a flush without a back-end'; fi
dd if=/dev/vda of=/dev/null bs=4096 count=64 iflag=direct 2>/dev/null || fail 'the disk is in trouble with it'
echo GUEST-SAW-NEEDS-RESET
told 60
echo $device >/sys/bus/virtio/drivers/virtio_pmem/unbind
echo $device >/sys/bus/virtio/drivers/virtio_pmem/bind
pmem=$(block_at)
n=$((30 * SLOW)); until page 16; disktool stream 4096 61 | cmp -s - /tmp/seen; do
    [ $n -gt 0 ] || fail 'the memory has not come back'; n=$((n - 1)); sleep 1; done
page_is 3 31 'other contents after the driver was bound again'
page_put 5 32 || fail 'write and flush after the driver was bound again'
echo GUEST-GOES-ON
told 60
page_put 6 33 || fail 'write and flush with another vhost-dm'
page_is 5 32 'other contents with another vhost-dm'
echo GUEST-DONE
told 60
kernel_quiet 'ext4'
GUEST
backend_start disk
pmem_start pmem memfd --file "$T/pmem.img"
pmem_start other memfd --size 2M
# What the one maps into the guest the other has in its own memory, so that the guest's driver could name it a buffer.
told_of() { grep -q -F "$T/pmem.img" "/proc/${backend_pid[other]}/maps"; }
not_told_of() { ! told_of; }
guest_create -p
dm_start --device "$(blk disk slot=0x11)" --device "$(pmem pmem slot=0x10,memory=xen-mmap)" \
    --device "$(pmem other slot=0x12,memory=xen-mmap)"
dm_said 'pmem at 00:10.0: memory mode xen-mmap'
dm_said 'blk at 00:11.0: memory mode bounce'
xl unpause "$GUEST"
guest_says GUEST-WROTE 200 >/dev/null
vhost-dmctl list "$GUEST" >"$T/list" || fail "vhost-dmctl list"
grep -q 'xen-mmap (memory=xen-mmap asks for it); data path running' "$T/list" || { cat "$T/list"; fail "the list does not show the mode"; }
until_true 20 'the other back-end to be told of the memory' told_of
page_of() { dd if="$T/$1.img" bs=4096 skip="$2" count=1 2>/dev/null; }
disktool stream 4096 31 | cmp - <(page_of pmem 3) || fail "page 3: the file does not have what the guest wrote"
disktool stream 4096 50 | cmp - <(page_of pmem 4) || fail "page 4: the file does not have what the guest wrote"
disktool stream 4096 77 | cmp - <(page_of pmem 8) || fail "page 8: the file does not have what came from the disk"
disktool stream 4096 31 | cmp - <(page_of disk 100) || fail "the disk does not have what came from the memory"
disktool stream 4096 61 | dd of="$T/pmem.img" bs=4096 seek=16 conv=notrunc 2>/dev/null
guest_tell wrote
guest_says GUEST-SAW 60 >/dev/null
backend_kill pmem KILL
until_true 20 'the other back-end to be told that the memory has gone' not_told_of
guest_tell killed
guest_says GUEST-SAW-NEEDS-RESET 60 >/dev/null
dm_said 'pmem at 00:10.0: needs a reset by the guest: the back-end is gone'
pmem_start pmem memfd --file "$T/pmem.img"
guest_tell restarted
guest_says GUEST-GOES-ON 200 >/dev/null
dm_said 'the back-end is connected again'
until_true 20 'the other back-end to be told of the memory again' told_of
disktool stream 4096 32 | cmp - <(page_of pmem 5) || fail "page 5: the file does not have what the guest wrote"
kill -KILL "$dm_pid"
dm_end 30 137
dm_start "${DM_ARGS[@]}"
dm_said 'memory mode xen-mmap, 1 queue, .*goes on where its predecessor was'
guest_tell again
guest_says GUEST-DONE 100 >/dev/null
disktool stream 4096 33 | cmp - <(page_of pmem 6) || fail "page 6: the file does not have what the guest wrote"
guest_tell end
guest_end 60
