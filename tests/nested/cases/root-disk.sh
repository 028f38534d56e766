# Guests: hvm pvh
# Debian with systemd boots with our disk as its root file system, runs from it, writes to it, shuts down; what
# it wrote is in the image. (The image is qcow2: what is written stays apart from the shared base.)
. cases/lib.sh
disk_over disk /guest/root.ext4
backend_start disk qcow2
GUEST_CMDLINE+=' root=/dev/vda'
GUEST_MEMORY=384
guest_script <<'GUEST'
findmnt -n -o SOURCE,FSTYPE /
[ "$(findmnt -n -o SOURCE /)" = /dev/vda ] || fail "the root file system is not on our disk"
[ "$(cat /proc/1/comm)" = systemd ] || fail "no systemd"
lsblk /dev/vda
lspci -v -s "$(ours)"
find /usr -xdev -type f | sort | xargs sha256sum >/root/hashes
tail -n +1 /etc/debian_version >/root/mark
sync
GUEST
guest_start --device "$(blk disk)"
guest_end 280
backend_kill disk TERM
qemu-img convert -O raw "$T/disk.img" "$T/raw.img"
e2fsck -f -n "$T/raw.img" >"$T/fsck.log" 2>&1 || { cat "$T/fsck.log"; fail "the file system is not clean"; }
mkdir "$T/mnt"
modprobe loop
mount -o ro,noload,loop "$T/raw.img" "$T/mnt"
cp "$T/mnt/root/hashes" "$T/hashes"; cmp "$T/mnt/root/mark" "$T/mnt/etc/debian_version"
umount "$T/mnt"
# Every file as the guest read it through our disk, against the base image itself.
mount -o ro,noload,loop /guest/root.ext4 "$T/mnt"
bad=$(chroot "$T/mnt" sha256sum -c --quiet - <"$T/hashes" 2>&1 || true)
umount "$T/mnt"
[ -z "$bad" ] || fail "the guest read other contents: $bad"
note "$(wc -l <"$T/hashes") files of the root file system read by the guest as they are"
