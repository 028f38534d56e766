# Guests: hvm
# vhost-dm attaches to a guest that runs already; the guest finds the device when it rescans the bus.
. cases/lib.sh
disk_stream disk 16 31
backend_start disk
guest_script <<'GUEST'
[ -z "$(ours)" ] || fail "a device too early"
echo GUEST-RUNS
told 60
echo 1 >/sys/bus/pci/rescan
modprobe virtio_blk
disk_wait vda 30
disktool stream $((16 << 20)) 31 | cmp - /dev/vda || fail "other contents"
GUEST
guest_create
guest_says GUEST-RUNS 200 >/dev/null
dm_start --device "$(blk disk)"
guest_tell attached
guest_end 90
