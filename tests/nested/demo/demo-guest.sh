disk_wait vda 30
say() { echo; echo "# $*"; }
say lspci -v
lspci -v -s "$(ours)"
say lsblk
lsblk
say mkfs.ext4 and mount
/usr/sbin/mkfs.ext4 -q -F /dev/vda
modprobe ext4
mount -t ext4 /dev/vda /mnt
grep ' /mnt ' /proc/mounts
say "write $MIB MiB, read them again (in emulation: far from what a real machine does)"
dd if=/dev/zero of=/dev/null bs=1M count=1 2>/dev/null
start=$(cut -d' ' -f1 /proc/uptime)
disktool stream $((MIB << 20)) 2026 >/mnt/data
sync
written=$(cut -d' ' -f1 /proc/uptime)
umount /mnt                     # so that nothing comes from the page cache
mount -t ext4 -o ro /dev/vda /mnt
again=$(cut -d' ' -f1 /proc/uptime)
cat /mnt/data >/dev/null
read=$(cut -d' ' -f1 /proc/uptime)
awk -v n="$MIB" -v a="$start" -v b="$written" -v c="$again" -v d="$read" 'BEGIN {
    printf "written %.1f MiB/s, read %.1f MiB/s\n", n / (b - a), n / (d - c) }'
echo "sha256 $(sha256sum </mnt/data | cut -d' ' -f1)"
umount /mnt
