# Guests by name only: pvh
# xenstored is updated while it runs, and a guest under load sees nothing of it. Then it is killed: the guest is served
# on, without a vhost-dmd that hangs. With another xenstored, whose store is empty, the old guest still ends well, and a
# new one gets its disk. (By name only, or as the last of some: a machine that has lost its xenstored is no place for another
# case, as watches of dom0's kernel are lost, too.)
. cases/lib.sh
. cases/xl.sh
# Whatever looks for what this case has left needs a xenstored.
store_case_exit() {
    local status=$?
    [ -z "$dmd_pid" ] || { kill -KILL "$dmd_pid"; dmd_pid=''; }
    pgrep -x xenstored >/dev/null || { xenstored --pid-file /run/xenstored.pid; xen-init-dom0; }
    xl_case_exit $status
}
trap store_case_exit EXIT
dmd_install
dmd_start --debug debug
disk_make disk 64
# (The second one's memory is of a domain that is there for that, which a process of its own ends with the guest.)
cat >"$CONF/back-ends.conf" <<FILE
[own-memory]
command=$JOB/bin/vhost-user-pmem --socket {socket} --memory shm --size 8M
FILE
guest_conf <<FILE
[blk0]
back-end=qemu-storage-daemon file=$T/disk.img
[pmem0]
back-end=own-memory
FILE
holder() { pgrep -x vhost-dm-keeper >/dev/null && [ "$(xl list | wc -l)" = 4 ]; }
guest_script <<'GUEST'
disk_wait vda 60
status=0; disktool load /dev/vda 7 8 || status=$?
[ $status = 0 ] || fail "load: status $status"
dmesg >/tmp/dmesg
! grep -i -E 'vda.*error|I/O error|virtio.*(reset|broken|not ready)' /tmp/dmesg || fail "the guest saw errors"
GUEST
xl_create
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
# Its console needs xenstored; its disk does not.
disk_written() { [ "$(stat -c %y "$T/disk.img")" != "$1" ]; }
disk_progress() { local i; for i in 1 2 3; do until_true 30 "writes of the guest ($i)" disk_written "$(stat -c %y "$T/disk.img")"; done; }
store_pid() { pgrep -x xenstored; }
holder || fail "no domain holds its memory: $(xl list; vhost-dmctl regions)"
xenstore-write /tool/case-mark there
before=$(store_pid)
xenstore-control live-update "$(command -v xenstored)" || fail "live-update"
[ "$(xenstore-read /tool/case-mark)" = there ] || fail "the store is not what it was"
guest_progress 60
! dm_says 'xenstored is lost' || fail "the update was taken for a loss"
note "updated (process $before, then $(store_pid)): the load went on"
domid=$(xl domid "$GUEST")
kill -KILL "$(store_pid)"
until_true 30 'vhost-dmd to notice' dm_says 'vhost-dmd: error: the connection to xenstored is lost'
until_true 30 'vhost-dm to notice' dm_says 'end of the domain is noticed'
disk_progress
# vhost-dmd looks for it in vain, and does not wait there.
looked_twice() { [ "$(dmd_said_times 'xenstored is not there yet')" -ge 2 ]; }
until_true 30 'vhost-dmd to look for xenstored' looked_twice
vhost-dmctl list | grep -q "$GUEST" || fail "vhost-dmctl list"
disk_progress
note "killed: the guest is served"
vhost_dm=$(pgrep -x vhost-dm)
xenstored --pid-file /run/xenstored.pid
until_true 30 'the new xenstored' xenstore-read -s / >/dev/null
until_true 60 'vhost-dmd to find it' dm_says 'xenstored is there again'
xen-init-dom0
# (It does not notice that its xenstored has gone, and keeps the console's page of a guest that has.)
pkill -x xenconsoled
xenconsoled --log=all --log-dir=/var/log/xen --pid-file=/run/xenconsoled.pid
disk_progress
[ "$(pgrep -x vhost-dm)" = "$vhost_dm" ] || fail "vhost-dm has been started again"
holder || fail "the domain that holds its memory has gone: $(xl list)"
note "another xenstored: the guest is served"
xl destroy "$domid" || true
until_true 60 'the end of vhost-dm' eval '! pgrep -x vhost-dm >/dev/null'
nothing_is_left 60
mv "$(guest_console)" "$(guest_console).1"
cp /dev/null "$(guest_console)"
xl_create
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
holder || fail "no domain holds the new guest's memory: $(xl list)"
note "a new guest has its disk"
guest_tell stop
script_ends 120
nothing_is_left 60
dmd_end TERM 0
