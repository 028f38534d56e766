# Guests by name only: pvh
# Memory of back-ends that is a device-dax of dom0: one is the BAR of a PCI device, which the guest has as it is
# (device); one is dom0's ordinary memory, whose frames are not what its kernel calls them: that is never given away
# by its address (trap). Either side sees what the other writes, and after UNMAP there is nothing.
. cases/lib.sh
modprobe -a nd_e820 device_dax dax_pmem
dax_make() { # dax_make RESOURCE: the persistent memory there becomes a device-dax; prints its name
    local dir seed
    for dir in /sys/bus/nd/devices/namespace*; do [ "$(cat "$dir/resource")" != "$1" ] || break; done
    [ "$(cat "$dir/resource")" = "$1" ] || fail "no persistent memory at $1: $(grep -s . /sys/bus/nd/devices/namespace*/resource)"
    seed=$(cat "$dir/../dax_seed")
    echo ram >"/sys/bus/nd/devices/$seed/mode"
    cat /proc/sys/kernel/random/uuid >"/sys/bus/nd/devices/$seed/uuid"
    echo "${dir##*/}" >"/sys/bus/nd/devices/$seed/namespace"
    echo "$seed" >/sys/bus/nd/drivers/dax_pmem/bind
    until_true 20 "/dev/$seed" test -c "/dev/$seed"
    echo "/dev/$seed"
}
ivshmem=$(grep -l '^0x1110$' /sys/bus/pci/devices/*/device)
grep -q '^0x00000000fd000000 ' "${ivshmem%/device}/resource" ||
    fail "the machine's firmware has not put the BAR at 0xfd000000: $(cat "${ivshmem%/device}/resource")"
bar=$(dax_make 0xfd000000) ordinary=$(dax_make 0x40000000)
LEN=$(cat "/sys/bus/dax/devices/${bar#/dev/}/size")     # the kernel has a part of the memory for itself
guest_script <<GUEST
LEN=$LEN
$(cat <<'SCRIPT'
block_at() { basename /sys/bus/pci/devices/0000:00:$1.0/virtio*/ndbus*/region*/namespace*/block/*; }
page() { dd if=/dev/$(block_at $1) of=/tmp/seen bs=4096 skip=$2 count=1 iflag=direct 2>/dev/null || fail "reading $1"; }
is() { shmtool /tmp/seen are 0 4096 $1 || fail "$2"; }
modprobe -a virtio_pmem nd_pmem
dd if=/dev/$(block_at 10) of=/tmp/all bs=1M iflag=direct 2>/dev/null
shmtool /tmp/all pattern 0 $LEN || fail "device: other contents than dom0 has"
page 11 0; shmtool /tmp/seen pattern 0 4096 || fail "trap: other contents than dom0 has"
for slot in 10 11; do
    disktool stream 4096 $slot | dd of=/dev/$(block_at $slot) bs=4096 seek=3 oflag=direct conv=fsync 2>/dev/null ||
        fail "writing $slot"
done
echo GUEST-WROTE
told 60
for slot in 10 11; do page $slot 16; is 0x1234 "$slot: what dom0 wrote is not here"; done
echo GUEST-SAW
told 60
for slot in 10 11; do page $slot 16; is 0xffffffffffffffff "$slot: after UNMAP there is something"; done
kernel_quiet 'pmem|nd_|dax'
SCRIPT
)
GUEST
shmtool "$bar" mark 0 "$LEN" || fail "$bar cannot be written"
shmtool "$ordinary" mark 0 4096 || fail "$ordinary cannot be written"
guest_create -p
dm_spawn --device "$(pmem bar slot=0x10)" --device "$(pmem ordinary slot=0x11)"
pmem_start bar memfd --file "$bar"
pmem_start ordinary memfd --file "$ordinary"
dm_ready 60
dm_said 'pmem 0: shared memory is placed as device'
dm_said 'pmem 1: shared memory is placed as trap'
xl unpause "$GUEST"
guest_says GUEST-WROTE 100 >/dev/null
slot=10
for dax in "$bar" "$ordinary"; do
    shmtool "$dax" dump $((3 * 4096)) 4096 >"$T/seen"
    disktool stream 4096 $slot | cmp - "$T/seen" || fail "$dax: dom0 does not see what the guest wrote"
    shmtool "$dax" fill 65536 4096 0x1234
    slot=$((slot + 1))
done
guest_tell wrote
guest_says GUEST-SAW 60 >/dev/null
for name in bar ordinary; do
    kill -USR1 "${backend_pid[$name]}"
    until_true 20 "UNMAP of $name" pmem_said $name 'out of the guest' 1
done
guest_tell unmapped
guest_end 60
