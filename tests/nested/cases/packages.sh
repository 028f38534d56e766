# Guests: hvm
# In a dom0 that has our Debian packages and nothing else of ours, with systemd running what they lay out: guests by
# virtio= in xl.cfg, by a configuration file, and by the wrapper, mount their disk by "xl create" alone; the first,
# under load, with a disk added meanwhile, sees nothing of "systemctl restart vhost-dmd", nor of its being killed. They
# leave nothing when they are removed.
. cases/lib.sh
. cases/xl.sh
. cases/systemd.sh
unset LD_LIBRARY_PATH
PATH=${PATH#"$JOB/bin:"}
trap 'status=$?; [ $status = 0 ] || show "$T/systemd.log"; systemd_end; xl_case_exit $status' EXIT
! command -v vhost-dm || fail "there is a vhost-dm already"
snapshot() { find /etc /lib /usr /var/lib/dpkg/info -xdev | sort; }
snapshot >"$T/before"
dpkg -i "$JOB"/packages/*.deb >"$T/dpkg.log" 2>&1 || fail "dpkg -i: $(tail -n 20 "$T/dpkg.log")"
packages=$(dpkg-query -W -f '${Package} ${Version}\n' | grep -E '^(lib)?vhost-dm')
note "installed: ${packages//$'\n'/, }"
# (Documents are not unpacked in this dom0.)
bad=$(dpkg --verify vhost-dm libvhost-dm-shm0 libvhost-dm-shm-dev libvhost-dm-shm-preload | grep -v -E '/usr/share/(doc|man)/' || true)
[ -z "$bad" ] || fail "dpkg --verify: $bad"
vhost-dm --version
for program in /usr/sbin/vhost-dm* /usr/libexec/vhost-dm/*; do
    ! ldd "$program" | grep 'not found' || fail "$program has not all its libraries"
done
[ "$(LD_PRELOAD=$(echo /usr/lib/*/vhost-dm/libvhost-dm-shm-preload.so) sh -c 'echo works' 2>&1)" = works ] || fail "the library cannot be preloaded"
[ -L /etc/systemd/system/multi-user.target.wants/vhost-dmd.service ] || fail "vhost-dmd.service is not enabled"
systemd_start vhost-dmd.service
daemon_pid() { pgrep -x vhost-dmd; }
note "systemd runs $(systemctl show -P ExecStart vhost-dmd | grep -o 'path=[^ ]*')"

mkdir -p "$T/files" "$CONF"; echo 'from dom0' >"$T/files/file"
disk_new() { rm -f "$T/$1.img"; disk_make "$1" 16; mke2fs -q -t ext4 -d "$T/files" "$T/$1.img"; }
mounts='
disk_wait vda 30
modprobe ext4
mount -t ext4 /dev/vda /mnt
[ "$(cat /mnt/file)" = "from dom0" ] || fail "another file system than dom0 made"
umount /mnt'
# Of a busy machine's, no more than it needs.
printf '[vhost-dmd]\nstart-timeout=%d\n' $((60 * SLOW)) >"$CONF/vhost-dmd.conf"

# ---- virtio= in xl.cfg, under load -----------------------------------------------------------------------------
GUEST=packages-virtio KIND=pvh
disk_new virtio
disk_make load 16
guest_conf <<FILE
[blk0]
back-end=qemu-storage-daemon file=$T/virtio.img
[blk1]
back-end=qemu-storage-daemon file=$T/load.img
FILE
GUEST_EXTRA='virtio = [ "type=virtio,device2,transport=mmio", "type=virtio,device2,transport=mmio" ]'
guest_script <<GUEST
$mounts
echo GUEST-MOUNTED
disktool load /dev/vdb 7 8 || fail "load: status \$?"
dmesg >/tmp/dmesg
! grep -i -E 'vd.*error|I/O error|virtio.*(reset|broken|not ready)' /tmp/dmesg || fail "the guest saw errors"
GUEST
xl_create
guest_says '^GUEST-MOUNTED' 200 >/dev/null
note "virtio=: mounted"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
# One that is added while it runs, which the files say nothing of.
disk_make added 16
backend_start added
vhost-dmctl add "$GUEST" "$(blk added)" >"$T/add.log" 2>&1 || fail "vhost-dmctl add: $(cat "$T/add.log")"
serving=$(pgrep -x 'vhost-dm|qemu-storage-da' | sort)
is_another() { local now; now=$(daemon_pid) && [ "$now" != "$1" ] && [ "$(dmd_said_times '^vhost-dmd: ready$')" -gt "$2" ]; }
for ((round = 1; round <= ROUNDS; round++)); do
    before=$(daemon_pid) said=$(dmd_said_times '^vhost-dmd: ready$')
    if [ $((round % 2)) = 1 ]; then systemctl restart vhost-dmd; else kill -KILL "$before"; fi
    until_true 60 'another vhost-dmd' is_another "$before" "$said"
    guest_progress 60
done
before=$(daemon_pid)
systemctl reload vhost-dmd || fail "vhost-dmd cannot be reloaded"
[ "$(daemon_pid)" = "$before" ] || fail "another vhost-dmd after a reload"
[ "$(pgrep -x 'vhost-dm|qemu-storage-da' | sort)" = "$serving" ] || fail "other processes than before serve the guest"
note "vhost-dmd restarted and killed, $ROUNDS times in turn: the load goes on, by the same processes"
guest_tell stop
script_ends 120
backend_kill added TERM
guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
image=$("$JOB/bin/disktool" check "$T/load.img" 7) || fail "back-end's side: $image"
[ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"
nothing_is_left 60

# ---- a configuration file alone --------------------------------------------------------------------------------
GUEST=packages-file GUEST_EXTRA=''
guest_script <<<"$mounts"
printf '[blk0]\nback-end=qemu-storage-daemon file=%s\n' "$T/virtio.img" | guest_conf
xl_create
script_ends 200
nothing_is_left 60
note "a file: mounted"

# ---- the wrapper, by the packages' example; its back-end is nobody's to start -------------------------------------
GUEST=wrapper-example KIND=hvm  # as the example says
guest_script <<GUEST
$mounts
echo GUEST-MOUNTED
told 300
n=0
while [ \$n -lt 10 ]; do
    dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || fail "no disk \$n s after vhost-dmd was started again"
    n=\$((n + 1)); sleep 1
done
GUEST
guest-initrd "$T/guest" "$T/guest.cpio"
disk_new wrapper
backend_start wrapper
mkdir -p "$STATE/$GUEST"; ln -s "$T/wrapper.sock" "$STATE/$GUEST/blk0.sock"
# The example, but for what it says of the guest's own system, and of what this machine has; and its vhost-dm is not
# confined, which the one after it is to be, too.
sed -E -e 's|^memory =.*|memory = 256|; s|^vcpus =.*|vcpus = 1|' -e 's|^kernel =.*|kernel = "/guest/vmlinuz"|' \
    -e "s|^ramdisk =.*|ramdisk = \"$T/guest.cpio\"|; s|^cmdline =.*|cmdline = \"$GUEST_CMDLINE\"|" \
    -e 's|^(device_model_args = .*) \]|\1, "-vhost-dm-confine", "off" ]|' /usr/share/vhost-dm/examples/xl-wrapper.cfg >"$T/guest.cfg"
printf '%s\n' 'tsc_mode = "native"' 'vga = "none"' 'nographic = 1' 'vnc = 0' 'serial = "none"' >>"$T/guest.cfg"
beside_systemd xl create -q "$T/guest.cfg" >"$T/create.log" 2>&1 || fail "xl create: $(tail -n 3 "$T/create.log"; cat "/var/log/xen/qemu-dm-$GUEST.log")"
guest_says '^GUEST-MOUNTED' 200 >/dev/null
kept() { dm_says "dom [0-9]+ \($GUEST\): its vhost-dm .*started by another program, is kept running"; }
until_true 30 'vhost-dmd to look after the guest' kept
before=$(daemon_pid) said=$(dmd_said_times '^vhost-dmd: ready$')
systemctl restart vhost-dmd
until_true 60 'another vhost-dmd' is_another "$before" "$said"
before=$(pgrep -x vhost-dm)
not_confined() { # not_confined: the vhost-dm that runs now
    local words
    words=$(tr '\0' ' ' <"/proc/$(pgrep -x vhost-dm)/cmdline")
    [[ $words = *'--confine off'* ]] || fail "vhost-dm is not what the wrapper was told: $words"
}
not_confined
kill -KILL "$before"
until_true 60 'another vhost-dm' another vhost-dm "$before"
not_confined
guest_tell 'go on'
script_ends 200
backend_kill wrapper TERM
rm -r "${STATE:?}/$GUEST"
nothing_is_left 60
note "the wrapper: mounted; its disk is there when vhost-dmd has been restarted, and vhost-dm killed"

# ---- away ------------------------------------------------------------------------------------------------------
systemctl stop vhost-dmd
! pgrep -x vhost-dmd || fail "vhost-dmd does not stop"
systemd_end
rm -r "$CONF"
dpkg -P vhost-dm libvhost-dm-shm-dev libvhost-dm-shm-preload libvhost-dm-shm0 >"$T/dpkg.log" 2>&1 || fail "dpkg -P: $(tail -n 20 "$T/dpkg.log")"
rm -rf "$STATE"
snapshot | diff "$T/before" - >"$T/left" || fail "not as before: $(cat "$T/left")"
