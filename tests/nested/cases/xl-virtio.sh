# Guests: hvm pvh
# A disk by a virtio= line in xl.cfg and a file that says what serves it: nothing is typed but `xl create`, and the
# guest mounts its file system. Pausing, rebooting, destroying it are as with any guest; nothing is left.
. cases/lib.sh
. cases/xl.sh
dmd_install
dmd_start --debug info
disk_make disk 64
mke2fs -q -t ext4 "$T/disk.img"
guest_conf <<FILE
[blk0]
back-end=qemu-storage-daemon file=$T/disk.img
FILE
ON_REBOOT=restart
GUEST_EXTRA='virtio = [ "type=virtio,device2,transport=mmio" ]'
guest_script <<'GUEST'
disk_wait vda 30
mount -t ext4 /dev/vda /mnt || fail "no file system"
n=$(cat /mnt/starts 2>/dev/null || echo 0); n=$((n + 1))
echo $n >/mnt/starts; sync
echo "GUEST-STARTED $n"
kernel_quiet vda
told 300
umount /mnt
[ "$line" != reboot ] || reboot -f
GUEST
xl_create
guest_says '^GUEST-STARTED 1' 200 >/dev/null
note "$(grep -c . "$T/guest.cfg") lines of xl.cfg, xl create: a mounted file system"
[ "$(xenstore-read "/local/domain/0/backend/virtio/$(xl domid "$GUEST")/0/state")" = 4 ] || fail "the back-end's state is not 4"
xl pause "$GUEST"
xl unpause "$GUEST"
before=$(xl domid "$GUEST")
guest_tell reboot
until_true 60 'another domain' other_domain "$before"
guest_says '^GUEST-STARTED 2' 200 >/dev/null
note "rebooted: as domain $(xl domid "$GUEST"), with its disk"
begin=$(date +%s%N)
xl destroy "$GUEST" || fail "xl destroy"
ms=$((($(date +%s%N) - begin) / 1000000))
note "xl destroy: $ms ms"
[ $ms -lt $((8000 * SLOW)) ] || fail "xl destroy has waited for somebody"
nothing_is_left 30
xl_create
guest_says '^GUEST-STARTED 3' 200 >/dev/null
guest_tell end
script_ends 100
nothing_is_left 30
dmd_end TERM 0
