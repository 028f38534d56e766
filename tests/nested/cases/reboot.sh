# Guests: hvm pvh
# The guest reboots: xl makes a new domain of the same name, the vhost-dm of the old one ends, and another,
# started with --wait, holds the new one until its disk is there.
. cases/lib.sh
disk_make disk 64
backend_start disk
ON_REBOOT=restart
guest_script <<'GUEST'
disk_wait vda 30
modprobe ext4
if mount -t ext4 /dev/vda /mnt 2>/dev/null; then
    [ "$(cat /mnt/boots)" = first ] || fail "the disk has lost what the first boot wrote"
    umount /mnt
    echo GUEST-SECOND-BOOT
else
    /usr/sbin/mkfs.ext4 -q -F /dev/vda
    mount -t ext4 /dev/vda /mnt
    echo first >/mnt/boots
    umount /mnt
    reboot -f
fi
GUEST
dm_spawn --wait --device "$(blk disk)"
guest_create
dm_ready 60
first=$(xl domid "$GUEST")
dm_end 200 0
dm_spawn --wait --device "$(blk disk)"
dm_ready 60
[ "$(xl domid "$GUEST")" != "$first" ] || fail "it is the same domain"
guest_end 200
grep -q GUEST-SECOND-BOOT "$(guest_console)" || fail "no second boot"
