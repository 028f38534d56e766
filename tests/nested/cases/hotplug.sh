# Guests: hvm
# By an ACPI table of ours the guest finds a disk that is added while it runs, and lets go of one that is to be
# removed, by itself: nothing is typed there. So it does when vhost-dm is killed before the guest could look, with a
# device whose window of shared memory is a BAR of its own, and with a disk that is taken away by force. The first
# disk goes on all the time, and the guest's kernel has nothing to complain of. Without a vhost-dm the table is nothing.
. cases/lib.sh
GUEST_EXTRA="acpi_firmware = \"$JOB/hotplug.aml\""
disk_make one 32
disk_make two 4
backend_start one
guest_script <<'GUEST'
disk_wait vda 30
modprobe -a virtio_pmem nd_pmem
mkfifo /tmp/stop
disktool load /dev/vda 7 8 </tmp/stop & load=$!
exec 5>/tmp/stop
second() { # second SEED: waits for the second disk, fills it, reads it
    disk_wait vdb 90
    disktool stream $((4 << 20)) "$1" | dd of=/dev/vdb bs=64k 2>/dev/null
    drop_caches
    disktool stream $((4 << 20)) "$1" | cmp - /dev/vdb || fail "second disk: other contents"
    echo "GUEST-SECOND $1"
}
gone() { # gone DISK: waits until it has gone, and its function
    n=$((900 * SLOW))
    until [ ! -e "/sys/block/$1" ] && [ "$(ours 2>/dev/null | wc -l)" = 1 ]; do   # (one may go while it looks)
        [ $n -gt 0 ] || fail "$1 is still there: $(ours)"; n=$((n - 1)); sleep 0.1
    done
    echo "GUEST-GONE $1"
}
interrupts() { awk '/ACPI:Ged/ { n = $2 } END { print n + 0 }' /proc/interrupts; }
grep ACPI:Ged /proc/interrupts | grep -q -E 'level|fasteoi' || fail "no level interrupt of the table: $(cat /proc/interrupts)"
[ "$(interrupts)" = 0 ] || fail "interrupts before there is anything new"
[ "$(ours | wc -l)" = 1 ] || fail "not one device: $(ours)"
told 600; second 3
told 600; gone vdb
told 600; second 4          # vhost-dm was killed meanwhile
told 600; gone vdb
told 600; disk_wait pmem0 90; grep -A 1 -i virtio /proc/iomem; echo "GUEST-PMEM"
told 600; gone pmem0
n=$(interrupts); echo "interrupts: $n"
[ "$n" -ge 6 ] && [ "$n" -le 30 ] || fail "$n interrupts for 3 devices that came and went"
kernel_quiet ACPI
told 600; second 5
told 600; gone vdb
told 600
echo stop >&5
wait $load || fail "load on the first disk: status $?"
dmesg >/tmp/dmesg
! grep -E 'vda.*error|I/O error.*vda|call trace' /tmp/dmesg || fail "the first disk had errors, or the kernel is in trouble"
GUEST
ctl() { vhost-dmctl "$@" || fail "vhost-dmctl $*"; }
names() { ctl list "$GUEST" --names | tr '\n' ' '; }
add() { # add DEVICE NAME: the answer says that the guest is told
    local said
    said=$(ctl add "$GUEST" "$1")
    note "$said"
    grep -q "^$2 is at .*the guest is told" <<<"$said" || fail "$said"
}
remove() { # remove NAME: the guest lets go
    local said
    said=$(ctl remove "$GUEST" "$1")
    note "$said"
    [ "$said" = "$1 is removed" ] || fail "$said"
    [ "$(names)" = "blk0 " ] || fail "names: $(names)"
}
two_there() { backend_alive two || { wait "${backend_pid[two]}" || true; backend_start two; }; }
image() { # image SEED: what the second disk has on this side
    disktool stream $((4 << 20)) "$1" | cmp - "$T/two.img" || fail "second disk: other contents on the back-end's side"
}

guest_start --device "$(blk one)"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
dm_said 'is told of devices that come and go, by interrupt 7'
ctl regions "$GUEST" | grep -q -E '^0x0000febff000 .* hot-plug' || fail "regions: $(ctl regions "$GUEST")"

backend_start two
guest_tell 'a disk comes'
add "$(blk two)" blk1
guest_says '^GUEST-SECOND 3' 200
guest_progress 60
guest_tell 'it goes'
remove blk1
guest_says '^GUEST-GONE vdb' 100
image 3

# The guest is told after its vhost-dm has been killed, and asked by the next one.
two_there
guest_tell 'it comes again'
xl pause "$GUEST"
add "$(blk two)" blk1
kill -KILL "$dm_pid"; dm_end 10 137
dm_start "${DM_ARGS[@]}"
dm_said 'goes on with blk1, which was added'
xl unpause "$GUEST"
guest_says '^GUEST-SECOND 4' 200
kill -KILL "$dm_pid"; dm_end 10 137
dm_start "${DM_ARGS[@]}"
guest_tell 'it goes again'
remove blk1
twice_gone() { [ "$(grep -a -c '^GUEST-GONE vdb' "$(guest_console)")" = "$1" ]; }
until_true 100 'the end of the second disk in the guest' twice_gone 2
image 4
guest_progress 60

pmem_start memory memfd --size 16M
guest_tell 'memory comes'
add "$(pmem memory)" pmem0
guest_says '^GUEST-PMEM' 200
guest_tell 'it goes'
remove pmem0
guest_says '^GUEST-GONE pmem0' 100

two_there
guest_tell 'a disk comes'
add "$(blk two)" blk1
guest_says '^GUEST-SECOND 5' 300
guest_tell 'it is taken away'
note "$(ctl remove "$GUEST" blk1 --force)"
until_true 100 'the end of the disk that was taken away' twice_gone 3
one_left() { [ "$(names)" = "blk0 " ]; }
until_true 30 'the end of the second disk' one_left
guest_progress 60
guest_tell 'stop'
guest_end 120
guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
image=$(disktool check "$T/one.img" 7) || fail "back-end's side: $image"
[ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"

# The same table, and nobody behind it.
guest_script <<'GUEST'
! grep ACPI:Ged /proc/interrupts || fail "the table has its interrupt, and there is no vhost-dm"
kernel_quiet ACPI
echo "GUEST-ALONE"
GUEST
guest_create
guest_says '^GUEST-ALONE|^GUEST-FAILED' 200 | grep -q ALONE || fail "the guest without vhost-dm"
until_true 60 'the end of the guest without vhost-dm' guest_gone
