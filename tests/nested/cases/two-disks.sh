# Guests: hvm
# Guests by name only: pvh
# Two disks of one vhost-dm: each at the slot that was asked for, with its own size and contents, both written
# at the same time.
. cases/lib.sh
disk_stream one 32 1
disk_stream two 48 2
backend_start one
backend_start two
guest_script <<'GUEST'
disk_wait vda 30; disk_wait vdb 30
[ "$(ours | tr '\n' ' ')" = "0000:00:0a.0 0000:00:1e.0 " ] || fail "not at the slots asked for: $(ours)"
disk_at() { basename /sys/bus/pci/devices/0000:00:$1.0/virtio*/block/*; }
one=$(disk_at 0a) two=$(disk_at 1e)
[ "$(cat /sys/block/$one/size) $(cat /sys/block/$two/size)" = "65536 98304" ] || fail "wrong sizes"
disktool stream $((32 << 20)) 1 | cmp - /dev/$one || fail "first disk: other contents"
disktool stream $((48 << 20)) 2 | cmp - /dev/$two || fail "second disk: other contents"
mkfifo /tmp/stop
disktool load /dev/$one 21 2 </tmp/stop >/tmp/load.log & load=$!
exec 5>/tmp/stop
disktool stream $((48 << 20)) 3 | dd of=/dev/$two bs=64k 2>/dev/null
sync
echo stop >&5
wait $load || fail "load on the first disk: $(tail -n 3 /tmp/load.log)"
tail -n 1 /tmp/load.log
GUEST
guest_start --device "$(blk one slot=0x0a)" --device "$(blk two slot=0x1e)"
guest_end 200
disktool stream $((48 << 20)) 3 | cmp - "$T/two.img" || fail "second disk: other contents on the back-end's side"
