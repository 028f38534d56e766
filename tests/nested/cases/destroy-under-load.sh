# Guests: hvm pvh
# `xl destroy` while requests are in flight: vhost-dm ends by itself with status 0, the back-end lives on and
# serves the same disk to another guest's vhost-dm.
. cases/lib.sh
disk_make disk 64
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
disktool load /dev/vda 5 4
GUEST
guest_start --device "$(blk disk)"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
guest_progress 60
xl destroy "$GUEST"
dm_end 30 0
backend_alive disk || fail "the back-end has ended"
disktool check "$T/disk.img" 5 || fail "a block is neither zeros nor what the guest wrote"
GUEST+=-again
guest_create -p
dm_start --device "$(blk disk)"
xl destroy "$GUEST"
dm_end 30 0
