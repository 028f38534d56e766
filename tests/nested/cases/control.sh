# Guests: pvh
# Guests by name only: hvm
# vhost-dmctl and a running guest: what it shows grows while a disk is used; a second disk is added, used, survives
# a kill of vhost-dm, and is removed, in order and by force; the first one goes on all the time.
. cases/lib.sh
disk_make one 32
disk_make two 4
backend_start one
guest_script <<'GUEST'
disk_wait vda 30
mkfifo /tmp/stop
disktool load /dev/vda 7 8 </tmp/stop & load=$!
exec 5>/tmp/stop
slot() { readlink -f /sys/block/vdb/device/.. | sed 's|/virtio[0-9]*$||; s|.*/||'; }
second() { # second SEED: finds the second disk, fills it, reads it
    echo 1 >/sys/bus/pci/rescan
    disk_wait vdb 60
    disktool stream $((4 << 20)) "$1" | dd of=/dev/vdb bs=64k 2>/dev/null
    drop_caches
    disktool stream $((4 << 20)) "$1" | cmp - /dev/vdb || fail "second disk: other contents"
    echo "GUEST-SECOND $(slot)"
}
told 600; second 3
told 600                    # vhost-dm has been killed and started again
drop_caches
disktool stream $((4 << 20)) 3 | cmp - /dev/vdb || fail "second disk, after vhost-dm was killed: other contents"
echo "GUEST-AGAIN"
told 600
echo 1 >"/sys/bus/pci/devices/$(slot)/remove"
[ ! -e /sys/block/vdb ] || fail "the second disk is still there"
echo "GUEST-REMOVED"
told 600; second 4
gone=$(slot)
told 600                    # it has been taken away by force: requests fail until the driver lets go
! dd if=/dev/vdb of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || fail "a read of the lost disk was answered"
echo 1 >"/sys/bus/pci/devices/$gone/remove"
[ ! -e /sys/block/vdb ] || fail "the second disk is still there, after it was taken away by force"
echo "GUEST-FORCED"
told 600
echo stop >&5
wait $load || fail "load on the first disk: status $?"
dmesg >/tmp/dmesg
! grep -E 'vda.*error|I/O error.*vda' /tmp/dmesg || fail "the first disk had errors"
GUEST
ctl() { vhost-dmctl "$@" || fail "vhost-dmctl $*"; }
refused() { # refused PATTERN ARG...: with one line that says so
    local pattern=$1 status=0; shift
    vhost-dmctl "$@" >"$T/refused.out" 2>"$T/refused" || status=$?
    [ "$status:$(wc -l <"$T/refused")" = 1:1 ] || fail "vhost-dmctl $*: status $status: $(cat "$T/refused" "$T/refused.out")"
    grep -q -E -- "$pattern" "$T/refused" || fail "vhost-dmctl $*: $(cat "$T/refused")"
}
count() { ctl list "$GUEST" --json | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" | head -n 1; } # of the first device
more_than() { [ "$(count "$1")" -gt "$2" ]; }
names() { ctl list "$GUEST" --names | tr '\n' ' '; }

refused 'no vhost-dm serves' list "$GUEST"
[ -z "$(ctl list)" ] || fail "there is something to list"
guest_create -p
domid=$(xl domid "$GUEST")
mkdir -p "$STATE"
printf '# uuid of a test\n%s\n' "$(blk one)" >"$STATE/$domid.devices" # as whoever starts vhost-dm for good leaves it
dm_start --device "$(blk one)"
xl unpause "$GUEST"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null

# What is shown, and that it moves.
for number in requests bytes_from_guest bytes_to_guest notifications interrupts accesses; do
    before=$(count $number)
    until_true 60 "more $number than $before" more_than $number "$before"
done
note "$(ctl list "$GUEST" | sed -n 's/^ *0 /queue 0: /p')"
ctl list | grep -E -q "^$GUEST +$domid +blk0 +0000:00:[0-9a-f]{2}\.0 +up +qemu-storage-d[a-z]* ${backend_pid[one]} " || fail "list: $(ctl list)"
ctl list "$domid" >"$T/list"
grep -q -E "^$GUEST: dom $domid, $KIND;" "$T/list" && grep -q '^  status .*DRIVER_OK' "$T/list" &&
    grep -q '^  features .*VERSION_1' "$T/list" && grep -q '^  memory .*bounce' "$T/list" || fail "list: $(cat "$T/list")"
ctl regions "$GUEST" | grep -q -E ' registers +blk0' || fail "regions: $(ctl regions "$GUEST")"
ctl regions "$GUEST" --map >"$T/map"
grep -q 'RAM' "$T/map" && grep -q 'registers of blk0' "$T/map" || fail "map: $(cat "$T/map")"
sed 's/^/  /' "$T/map" >>"$T/dm.log"

# What is refused.
refused 'no back-end at .*start one first' add "$GUEST" "$(blk two)"
refused 'transport=mmio' add "$GUEST" "$(blk two transport=mmio,base=0xd0000000,irq=5)"
refused 'unknown key' add "$GUEST" "$(blk two size=5)"
refused 'has the device of that socket already: blk0' add "$GUEST" "$(blk one)"
refused "it has: blk0" remove "$GUEST" blk7
refused "driver uses blk0.*/remove" remove "$GUEST" blk0
guest_progress 60

# A second disk, seen in the trace.
vhost-dmctl trace "$GUEST" --level trace >"$T/trace" 2>&1 </dev/null & trace=$!
until_true 30 'an access in the trace' grep -q 'trace .*write memory' "$T/trace"
backend_start two
note "$(ctl add "$GUEST" "$(blk two)")"
until_true 30 'vhost-user messages in the trace' grep -q 'trace .*SET_OWNER' "$T/trace"
grep -q 'trace .*GET_CONFIG' "$T/trace" || fail "no message in the trace"
kill $trace; wait $trace || true
[ "$(names)" = "blk0 blk1 " ] || fail "names: $(names)"
[ "$(sed 1d "$STATE/$domid.devices" | tr '\n' ' ')" = "$(blk one) $(blk two) " ] && grep -q '^# uuid of a test' "$STATE/$domid.devices" || fail "the list of devices: $(cat "$STATE/$domid.devices")"
guest_tell added
guest_says '^GUEST-SECOND' 200
guest_progress 60

# A killed vhost-dm, started again as it was: the second disk is not on its command line.
kill -KILL "$dm_pid"; dm_end 10 137
refused 'has been killed' list "$domid"
dm_start "${DM_ARGS[@]}"
dm_said 'goes on with blk1, which was added'
[ "$(names)" = "blk0 blk1 " ] || fail "names after a restart: $(names)"
guest_progress 60
guest_tell restarted
guest_says '^GUEST-AGAIN' 200 >/dev/null

# Removed in order, and added again.
guest_tell remove
guest_says '^GUEST-REMOVED' 60 >/dev/null
ctl remove "$GUEST" blk1
[ "$(names)" = "blk0 " ] && [ "$(sed 1d "$STATE/$domid.devices")" = "$(blk one)" ] || fail "after the removal: $(names)"
disktool stream $((4 << 20)) 3 | cmp - "$T/two.img" || fail "second disk: other contents on the back-end's side"
guest_progress 60
backend_alive two || { wait "${backend_pid[two]}" || true; backend_start two; }
ctl add "$GUEST" "$(blk two)" | grep -q '^blk1 is at ' || fail "not added again"
guest_tell 'added again'
second_again() { [ "$(grep -a -c '^GUEST-SECOND' "$(guest_console)")" = 2 ]; }
until_true 200 'the second disk, added again' second_again

# Taken away under the driver.
refused "driver uses blk1.*--force" remove "$GUEST" blk1
note "$(ctl remove "$GUEST" blk1 --force)"
guest_tell 'taken away'
guest_says '^GUEST-FORCED' 120 >/dev/null
one_left() { [ "$(names)" = "blk0 " ]; }
until_true 30 'the end of the second disk' one_left
guest_progress 60
kill -KILL "$dm_pid"; dm_end 10 137
dm_start "${DM_ARGS[@]}"
[ "$(names)" = "blk0 " ] || fail "names at the end: $(names)"
guest_progress 60
guest_tell 'stop'
guest_end 120
[ ! -e "$STATE/$domid.devices" ] || fail "the list of devices is left"
guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
image=$(disktool check "$T/one.img" 7) || fail "back-end's side: $image"
[ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"
