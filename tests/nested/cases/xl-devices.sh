# Guests: pvh
# Guests by name only: hvm
# Devices other than disks by virtio= lines in xl.cfg, with the back-ends that vhost-dmd starts: a file system
# (virtiofsd), a network card (passt), a socket (vhost-device-vsock), persistent memory (vhost-user-pmem). Nothing is
# typed but `xl create`; each is used, and the contents compared in dom0. A back-end that dies is started again, and its
# device works when its driver is bound again. Nothing is left.
. cases/lib.sh
. cases/xl.sh
dmd_install
dmd_start --debug info
LEN=$((1 << 20))
stream() { disktool stream $LEN "$1"; }
page() { disktool stream 4096 "$1"; }
stream_tool() { timeout $((100 * SLOW)) streamtool "$@"; }
mkdir "$T/share"
stream 1 >"$T/share/from-dom0"
disk_make memory 16
page 8 | dd of="$T/memory.img" bs=4096 seek=1000 conv=notrunc status=none
ip link set lo up
guest_conf <<FILE
[fs0]
tag=home
back-end=virtiofsd dir=$T/share

[net0]
mac=02:12:34:56:78:9a
back-end=passt args="-4 -a 10.9.0.2 -n 24 -g 10.9.0.1 --map-host-loopback 10.9.0.1 -t none -u none"

[vsock0]
back-end=vhost-device-vsock cid=42 uds-path=$T/vsock

[pmem0]
back-end=vhost-user-pmem file=$T/memory.img
FILE
GUEST_EXTRA='virtio = [ "type=virtio,device1a,transport=mmio", "type=virtio,device1,transport=mmio",
           "type=virtio,device13,transport=mmio", "type=virtio,device1b,transport=mmio" ]'
guest_script <<GUEST
LEN=$LEN
$(declare -f stream page stream_tool)
$(cat <<'SCRIPT'
modprobe -a virtio_pmem nd_pmem
use() { # use SEED: the file system, the network card and the socket
    mkdir -p /mnt/home
    mount -t virtiofs home /mnt/home || fail "no mount of the file system"
    stream 1 | cmp - /mnt/home/from-dom0 || fail "other contents than dom0 has"
    stream $1 >/mnt/home/from-guest || fail "writing a file"
    umount /mnt/home
    ip link set eth0 up
    ip addr add 10.9.0.2/24 dev eth0 2>/dev/null || true
    stream $(($1 + 1)) | stream_tool send tcp:10.9.0.1:5001 || fail "no stream to dom0"
    stream $(($1 + 2)) | stream_tool send vsock:2:1234 || fail "no vsock to dom0"
}
[ "$(cat /sys/class/net/eth0/address)" = 02:12:34:56:78:9a ] || fail "MAC $(cat /sys/class/net/eth0/address)"
disk_wait pmem0 30
# (A page, as each access to a file's memory is an exit.)
page 8 >/tmp/page
dd if=/dev/pmem0 bs=4096 skip=1000 count=1 iflag=direct 2>/dev/null | cmp - /tmp/page || fail "memory: other contents than dom0 has"
page 9 | dd of=/dev/pmem0 bs=4096 seek=2000 oflag=direct conv=fsync 2>/dev/null || fail "writing to memory"
use 2
kernel_quiet 'fuse|eth0|vsock|pmem'
echo GUEST-USED
told 100
for device in /sys/bus/virtio/devices/*; do
    driver=$(basename "$(readlink "$device/driver")")
    case $driver in virtiofs|virtio_net|vmw_vsock_virtio_transport) ;; *) continue;; esac
    echo "${device##*/}" >/sys/bus/virtio/drivers/$driver/unbind
    echo "${device##*/}" >/sys/bus/virtio/drivers/$driver/bind
done
use 5
echo GUEST-USED-AGAIN
told 100
SCRIPT
)
GUEST
receive() {
    stream_tool receive tcp-listen:5001 $LEN >"$T/tcp.got" 2>"$T/tcp.backend.log" & tcp=$!
    rm -f "$T/vsock_1234"
    stream_tool receive unix-listen:"$T/vsock_1234" $LEN >"$T/vsock.got" 2>"$T/streams.backend.log" & vsock=$!
}
compare() { # compare SEED: what the guest's use of it has brought here
    wait $tcp || fail "no stream from the guest"
    wait $vsock || fail "no vsock from the guest"
    stream "$1" | cmp - "$T/share/from-guest" || fail "file system: other contents than the guest wrote"
    stream $(($1 + 1)) | cmp - "$T/tcp.got" || fail "tcp: other contents than the guest sent"
    stream $(($1 + 2)) | cmp - "$T/vsock.got" || fail "vsock: other contents than the guest sent"
}
backends() { pgrep -x 'virtiofsd|passt|passt.avx2|vhost-device-vs|vhost-user-pmem' | sort; }
receive
xl_create
guest_says '^GUEST-USED' 200 >/dev/null
compare 2
[ "$(backends | wc -l)" -ge 4 ] || fail "not all back-ends run: $(ps -e -o comm=)"
note "$(grep -c . "$T/guest.cfg") lines of xl.cfg, xl create: a file system, a network card, sockets, memory"
# They die, and are there again without a word of anybody.
declare -A before
for name in virtiofsd passt vhost-device-vs; do
    before[$name]=$(pgrep -o "^$name")
    kill -KILL "${before[$name]}"
done
others() {
    local name now
    for name in "${!before[@]}"; do
        now=$(pgrep -o "^$name") && [ "$now" != "${before[$name]}" ] || return 1
    done
}
until_true 30 'the back-ends to be started again' others
receive
guest_tell again
guest_says '^GUEST-USED-AGAIN' 200 >/dev/null
compare 5
note "killed, started again, used again"
guest_tell end
script_ends 100
[ -z "$(backends)" ] || fail "left: $(backends)"
dd if="$T/memory.img" bs=4096 skip=2000 count=1 status=none | cmp - <(page 9) || fail "memory: other contents than the guest wrote"
nothing_is_left 30
dmd_end TERM 0
