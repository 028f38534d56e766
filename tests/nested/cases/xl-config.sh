# Guests: pvh
# Guests by name only: hvm
# Devices that only a configuration file names; a virtio disk in xl.cfg, with the back-end that vhost-dmd.conf says;
# a back-end that somebody else starts. What is wrong is said with file and line, and the guest runs without, or is
# kept until that is mended. A guest without devices is let alone.
. cases/lib.sh
. cases/xl.sh
dmd_install
echo 'virtio-disk=qemu-storage-daemon' >>"$CONF/vhost-dmd.conf"
dmd_start --debug info
for disk in one two three; do
    disk_make $disk 16
    mke2fs -q -t ext4 -L $disk "$T/$disk.img"
done
guest_conf <<FILE
# Two devices; the second has its own name, a socket, and a back-end that is started by hand.
[blk1]
back-end=qemu-storage-daemon file=$T/two.img
queues=1

[data]
type=blk
socket=$T/three.sock
FILE
# (The first four disks of an HVM guest its QEMU opens too, to emulate them.)
GUEST_EXTRA="disk = [ 'vdev=xvde,format=raw,backendtype=standalone,specification=virtio,target=$T/one.img' ]"
guest_script <<'GUEST'
for d in vda vdb vdc; do
    disk_wait $d 60
    mount -t ext4 /dev/$d /mnt || fail "no file system on $d"
    umount /mnt
    echo "DISK-LABEL $(dd if=/dev/$d bs=1 skip=1144 count=16 2>/dev/null | tr -d '\0')"     # (of ext4's superblock)
done
kernel_quiet vd
GUEST
backend_start three
xl_create
script_ends 200
for disk in one two three; do
    grep -a -q "DISK-LABEL $disk" "$(guest_console)" || fail "the guest has not seen the disk $disk"
done
note "a virtio disk, one of the file, one of somebody else's"
backend_kill three TERM
nothing_is_left 30

# A mistake: the guest runs without, and it is said.
rm "$(guest_console)"
GUEST_EXTRA=''
guest_script <<'GUEST'
[ -z "$(ours)" ] || fail "a device is there: $(ours)"
GUEST
printf '[blk0]\nsocket=%s/one.sock\nslot=77\n' "$T" | guest_conf
xl_create
script_ends 200
dm_said "error: dom [0-9]+ \($GUEST\): $CONF/$GUEST.conf:3: slot=77: must be .* 1 to 31"
nothing_is_left 30
note "a mistake is named: $(grep -o "$GUEST.conf:3.*" "$T/dm.log" | cut -c1-70)"

# Kept until it is mended.
rm "$(guest_console)"
guest_script <<'GUEST'
disk_wait vda 30
GUEST
printf '[guest]\non-failure=keep\n[blk0]\nback-end=nothing\n' | guest_conf
xl_create
until_true 30 'the guest to be kept' dm_says 'it stays paused \(on-failure=keep\)'
[ "$(xl list "$GUEST" | awk 'NR == 2 { print $5 }')" = --p--- ] || fail "the guest is not paused"
printf '[blk0]\nback-end=qemu-storage-daemon file=%s/one.img\n' "$T" | guest_conf
kill -HUP "$dmd_pid"
script_ends 200
nothing_is_left 30
note "kept, mended, and it has its disk"

# A guest with nothing of ours.
rm "$(guest_console)" "$CONF/$GUEST.conf"
guest_script <<'GUEST'
[ -z "$(ours)" ] || fail "a device is there: $(ours)"
GUEST
xl_create
script_ends 200
nothing_is_left 30
dmd_end TERM 0
