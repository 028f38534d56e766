# Guests: hvm
# Guests by name only: pvh
# A file system is made, a few hundred MiB are copied to it, it is unmounted; then the back-end's image has
# the same contents. Also the memory that vhost-dm takes for one disk and a guest of 1 GiB.
. cases/lib.sh
MIB=200
GUEST_MEMORY=1024
disk_make disk 512
backend_start disk
guest_script <<GUEST
MIB=$MIB
$(cat <<'SCRIPT'
disk_wait vda 30
/usr/sbin/mkfs.ext4 -q -F /dev/vda
modprobe ext4
mount -t ext4 /dev/vda /mnt
disktool stream $((MIB << 20)) 42 >/tmp/big
cp /tmp/big /mnt/big
cp -r /usr /lib /mnt/
umount /mnt                         # all is on the disk now, and nothing of it in the page cache
mount -t ext4 -o ro /dev/vda /mnt
cmp /tmp/big /mnt/big || fail "the guest reads other contents than it wrote"
umount /mnt
echo GUEST-COPIED
told 60
SCRIPT
)
GUEST
guest_start --device "$(blk disk)"
guest_says GUEST-COPIED 700 >/dev/null
memory=$(awk '/^Private_(Clean|Dirty|Hugetlb)/ { n += $2 } END { print n }' "/proc/$dm_pid/smaps_rollup")
shared=$(awk '/^Pss_Shmem/ { print $2 }' "/proc/$dm_pid/smaps_rollup")
note "memory of vhost-dm with one disk and a guest of $GUEST_MEMORY MiB, after $MIB MiB were copied:" \
    "$memory KiB private, $shared KiB of what it shares with the back-end"
[ "$memory" -lt 8192 ] || fail "that is more than 8 MiB"
guest_tell end
guest_end 60
backend_kill disk TERM
e2fsck -f -n "$T/disk.img" >"$T/fsck.log" 2>&1 || { cat "$T/fsck.log"; fail "the file system is not clean"; }
mkdir "$T/mnt" "$T/tree"
modprobe loop
mount -o ro,noload,loop "$T/disk.img" "$T/mnt"
want=$(disktool stream $((MIB << 20)) 42 | sha256sum)
got=$(sha256sum <"$T/mnt/big")
note "sha256 of the $MIB MiB: wanted ${want%% *}, on the back-end's side ${got%% *}"
same=yes; [ "$want" = "$got" ] || same=no
(cd "$T/tree" && busybox cpio -i <"/guest/guest.cpio" 2>/dev/null)
diff -r --no-dereference "$T/tree/usr" "$T/mnt/usr" && diff -r --no-dereference "$T/tree/lib" "$T/mnt/lib" || same=no
umount "$T/mnt"
[ $same = yes ] || fail "the back-end's side has other contents"
