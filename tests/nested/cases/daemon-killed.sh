# Guests: pvh
# Guests by name only: hvm
# vhost-dmd is killed and started again, is ended and started again, and vhost-dm is killed, all under load: the
# guest sees a pause at most, and no write is lost. A back-end that is killed is started again. Killed while a
# guest is held, vhost-dmd goes on where it was. A guest that ends while there is no vhost-dmd leaves nothing.
. cases/lib.sh
. cases/xl.sh
dmd_install
dmd_start --debug info
disk_make disk 64
guest_conf <<FILE
[blk0]
back-end=qemu-storage-daemon file=$T/disk.img
FILE
guest_script <<'GUEST'
disk_wait vda 60
status=0; disktool load /dev/vda 7 8 || status=$?
# (Its back-end was killed: it stays, to be ended from outside.)
[ $status != 3 ] || { echo GUEST-LOST-ITS-DISK; told 600; }
[ $status = 0 ] || fail "load: status $status"
dmesg >/tmp/dmesg
! grep -i -E 'vda.*error|I/O error|virtio.*(reset|broken|not ready)' /tmp/dmesg || fail "the guest saw errors"
GUEST
dm_process() { pgrep -x vhost-dm; }
new_dm() { another vhost-dm "$1" && grep -q ready "$STATE/$(xl domid "$GUEST").ready"; }
# Held: its back-end is not there yet, and vhost-dm waits for it.
mkdir -p "$T/bin"
cat >"$T/bin/late" <<'LATE'
#!/bin/sh
until [ -e "$1" ]; do sleep 0.1; done
shift
exec "$@"
LATE
chmod 755 "$T/bin/late"
cat >"$CONF/back-ends.conf" <<FILE
[late]
command=$T/bin/late $T/go qemu-storage-daemon
  --blockdev driver=file,filename={,file},node-name=disk
  --export type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,addr.path={,socket}
FILE
sed -i 's/qemu-storage-daemon/late/' "$CONF/$GUEST.conf"
xl_create
until_true 60 'vhost-dm to be started' dm_process >/dev/null
first=$(dm_process)
dmd_end KILL 137
dmd_start --debug info
[ "$(dm_process)" = "$first" ] || fail "another vhost-dm was started"
[ "$(xl list "$GUEST" | awk 'NR == 2 { print $5 }')" = --p--- ] || fail "the guest is not held: $(xl list "$GUEST")"
touch "$T/go"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
note "killed while the guest was held: it has its disk"
for ((round = 1; round <= ROUNDS; round++)); do
    guest_progress 60
    if [ $((round % 2)) = 1 ]; then dmd_end KILL 137; else dmd_end TERM 0; fi
    guest_progress 60
    dmd_start --debug info
    before=$(dm_process)
    kill -KILL "$before"
    until_true 60 'another vhost-dm' new_dm "$before"
    guest_progress 60
    note "round $round: the load went on after $(grep -a '^DISK-LOAD ' "$(guest_console)" | tail -n 1 | cut -d' ' -f2-)"
done
# Both at once.
before=$(dm_process)
dmd_end KILL 137
kill -KILL "$before"
dmd_start --debug info
until_true 60 'another vhost-dm' new_dm "$before"
guest_progress 60
note "killed both: the load went on"
guest_tell stop
script_ends 120
nothing_is_left 30
guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
image=$(disktool check "$T/disk.img" 7) || fail "back-end's side: $image"
[ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"
note "both sides: $guest"
# A guest that ends while no daemon is there; and a back-end that dies.
rm "$(guest_console)"
xl_create
guest_says 'DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
before=$(pgrep -x qemu-storage-da)
kill -KILL "$before"
until_true 60 'another back-end' another qemu-storage-da "$before"
dmd_end KILL 137
xl destroy "$GUEST" >/dev/null 2>&1 || true     # nobody answers, so it takes xl 10 s and a complaint
until_true 60 'the end of the guest' guest_gone
dmd_start --debug info
nothing_is_left 60
dmd_end TERM 0
