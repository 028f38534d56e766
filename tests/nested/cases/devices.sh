# Guests: pvh
# Guests by name only: hvm
# Devices other than disks in one guest, by Linux's own drivers, each with the back-end that people use: a file
# system (virtiofsd), a network card (passt), a socket (vhost-device-vsock), and a generic device, which is a file
# system too. What goes through each is compared on both sides. Then the back-ends die: nothing hangs, and with
# new ones, and drivers that are bound again, all works again.
. cases/lib.sh
LEN=$((1 << 20))
stream() { disktool stream $LEN "$1"; }
stream_tool() { timeout $((300 * SLOW)) streamtool "$@"; }
mkdir "$T/share" "$T/other"
stream 1 >"$T/share/from-dom0"; stream 1 >"$T/other/from-dom0"
passt_start() {
    device_start net passt --vhost-user --foreground --runas 0 -s "$T/net.sock" -4 -a 10.9.0.2 -n 24 -g 10.9.0.1 --map-host-loopback 10.9.0.1 \
        -t 5002 -u none
}
vsock_start() { device_start vsock vhost-device-vsock --vm "guest-cid=42,uds-path=$T/vsock,socket=$T/vsock.sock"; }
start_all() {
    virtiofsd_start fs "$T/share"
    virtiofsd_start generic "$T/other"
    passt_start
    vsock_start
}
start_all
# A tag of 36 bytes and one request queue: struct virtio_fs_config.
config=$(printf '%s' other | od -An -v -tx1 | tr -d ' \n')
while [ ${#config} -lt 72 ]; do config+=00; done
config+=01000000

guest_script <<SCRIPT
LEN=$LEN
$(cat <<'GUEST'
stream() { disktool stream $LEN "$1"; }
stream_tool() { timeout $((300 * SLOW)) streamtool "$@"; }
file_system() { # file_system TAG DIR
    mkdir -p "$2"
    mount -t virtiofs "$1" "$2" || fail "no mount of $1"
    stream 1 | cmp - "$2/from-dom0" || fail "$1: other contents than dom0 has"
    stream 2 >"$2/new"; mkdir -p "$2/dir"; mv "$2/new" "$2/dir/from-guest"
    ln -sf from-guest "$2/dir/link"
    i=0; while [ $i -lt 60 ]; do echo $i >"$2/dir/$i"; i=$((i + 1)); done
    [ "$(ls "$2/dir" | wc -l)" = 62 ] || fail "$1: files are missing"
    sync; drop_caches
    stream 2 | cmp - "$2/dir/link" || fail "$1: other contents than were written"
}
network() { # network PORT SEED
    ip link set eth0 up
    ip addr add 10.9.0.2/24 dev eth0 2>/dev/null || true
    stream_tool receive tcp-listen:5002 $LEN >/tmp/tcp 2>/tmp/tcp.log & listener=$!
    n=$((100 * SLOW)); until grep -q -s listening /tmp/tcp.log; do [ $n -gt 0 ] || fail "no listener"; n=$((n - 1)); sleep 0.1; done
    stream $2 | stream_tool send tcp:10.9.0.1:$1 || fail "no stream to dom0"
    echo "GUEST-SENT tcp $1"
    wait $listener || fail "no stream from dom0"
    stream $(($2 + 1)) | cmp - /tmp/tcp || fail "tcp: other contents than dom0 sent"
}
# One after the other: vhost-device-vsock may take a new connection for the one that is just being closed.
sockets() { # sockets SEED
    stream_tool receive vsock-listen:1235 $LEN >/tmp/vsock 2>/tmp/vsock.log & listener=$!
    n=$((100 * SLOW)); until grep -q -s listening /tmp/vsock.log; do [ $n -gt 0 ] || fail "no listener"; n=$((n - 1)); sleep 0.1; done
    echo "GUEST-LISTENS vsock $1"
    wait $listener || fail "no vsock from dom0"
    stream $(($1 + 1)) | cmp - /tmp/vsock || fail "vsock: other contents than dom0 sent"
    stream $1 | stream_tool send vsock:2:1234 || fail "no vsock to dom0"
}
[ "$(cat /sys/class/net/eth0/address)" = 02:12:34:56:78:9a ] || fail "MAC $(cat /sys/class/net/eth0/address)"
[ "$(cat /sys/class/net/eth0/mtu)" = 1400 ] || fail "MTU $(cat /sys/class/net/eth0/mtu)"
[ "$(cat /sys/class/net/eth0/carrier 2>/dev/null || { ip link set eth0 up; cat /sys/class/net/eth0/carrier; })" = 1 ] || fail "no carrier"
file_system share /mnt/share
file_system other /mnt/other
network 5001 3
sockets 5
kernel_quiet 'fuse|eth0|vsock|rng'
router=$(awk '$1 == "10.9.0.1" { print $4 }' /proc/net/arp)
echo GUEST-DONE
told 60
# The back-ends are gone.
stat_fails() { ! timeout $((20 * SLOW)) sh -c "stat /mnt/share/dir/$1" >/tmp/stat 2>&1; }
echo 3 >/proc/sys/vm/drop_caches
stat_fails 7 || fail "a file is there without a back-end"
grep -q -i 'Input/output error' /tmp/stat || fail "not an I/O error: $(cat /tmp/stat)"
# More packets than the queue has room for. (Nobody answers any more who has the address.)
arp -s 10.9.0.1 "$router"
sent=$(cat /sys/class/net/eth0/statistics/tx_packets)
timeout $((20 * SLOW)) streamtool packets tcp:10.9.0.1:9 600 || fail "sending waits"
sent=$(($(cat /sys/class/net/eth0/statistics/tx_packets) - sent))
[ $sent -gt 500 ] || fail "only $sent packets were sent off"
umount /mnt/share || fail "no umount without a back-end"
echo GUEST-FAILED-WELL
told 60
for slot in 14 16 17; do
    device=$(basename /sys/bus/pci/devices/0000:00:$slot.0/virtio*)
    driver=$(readlink /sys/bus/virtio/devices/$device/driver)
    echo $device >/sys/bus/virtio/drivers/${driver##*/}/unbind
    echo $device >/sys/bus/virtio/drivers/${driver##*/}/bind
done
file_system share /mnt/share
network 5003 7
sockets 9
kernel_quiet 'fuse|eth0|vsock|rng'
GUEST
)
SCRIPT
tcp_and_vsock() { # tcp_and_vsock PORT SEED SEED
    stream $(($2 + 1)) >"$T/tcp.send"; stream $(($3 + 1)) >"$T/vsock.send"
    stream_tool receive tcp-listen:"$1" $LEN >"$T/tcp.got" 2>"$T/tcp.backend.log" & tcp=$!
    rm -f "$T/vsock_1234"
    stream_tool receive unix-listen:"$T/vsock_1234" $LEN >"$T/vsock.got" 2>"$T/streams.backend.log" & vsock=$!
}
tcp_and_vsock_compare() { # the same
    guest_says "GUEST-SENT tcp $1" 200 >/dev/null
    stream_tool send tcp:127.0.0.1:5002 <"$T/tcp.send" || fail "no stream to the guest"
    wait $tcp || fail "no stream from the guest"
    stream "$2" | cmp - "$T/tcp.got" || fail "tcp: other contents than the guest sent"
    guest_says "GUEST-LISTENS vsock $3" 200 >/dev/null
    stream_tool send unix:"$T/vsock" 'connect 1235' <"$T/vsock.send" || fail "no vsock to the guest"
    wait $vsock || fail "no vsock from the guest"
    stream "$3" | cmp - "$T/vsock.got" || fail "vsock: other contents than the guest sent"
}
ip link set lo up
tcp_and_vsock 5001 3 5
guest_start --device "type=fs,slot=0x14,socket=$T/fs.sock,tag=share" \
    --device "type=generic,slot=0x15,virtio-id=26,queues=2,config-size=40,config=$config,socket=$T/generic.sock" \
    --device "type=net,slot=0x16,socket=$T/net.sock,mac=02:12:34:56:78:9a,mtu=1400" \
    --device "type=vsock,slot=0x17,socket=$T/vsock.sock"
tcp_and_vsock_compare 5001 3 5
guest_says GUEST-DONE 200 >/dev/null
for dir in share other; do
    stream 2 | cmp - "$T/$dir/dir/from-guest" || fail "$dir: other contents than the guest wrote"
    [ "$(readlink "$T/$dir/dir/link")" = from-guest ] && [ "$(cat "$T/$dir/dir/59")" = 59 ] || fail "$dir: files"
done
for name in fs net vsock; do backend_kill $name KILL; done
guest_tell dead
guest_says GUEST-FAILED-WELL 100 >/dev/null
virtiofsd_start fs "$T/share"
passt_start
vsock_start
tcp_and_vsock 5003 7 9
guest_tell 'alive again'
tcp_and_vsock_compare 5003 7 9
guest_end 100
