# guest.sh - stands before each script that a guest of a case runs (busybox's shell in an initramfs with some
# of Debian's programs, or Debian's own shell when the guest has a root file system).
set -eu
fail() { echo "GUEST-FAILED: $*"; exit 1; }
# ours: the PCI addresses of our devices, in order
ours() {
    for d in /sys/bus/pci/devices/*; do
        [ "$(cat "$d/vendor")" != 0x1af4 ] || echo "${d##*/}"
    done
}
# disk_wait DISK SECONDS: waits until a disk is there
disk_wait() {
    n=$(($2 * 10 * SLOW))
    until [ -b "/dev/$1" ]; do [ $n -gt 0 ] || fail "no disk $1"; n=$((n - 1)); sleep 0.1; done
}
drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }
# told SECONDS: waits for a line from dom0 (guest_tell)
told() { read -r -t $(($1 * SLOW)) line || fail "no word from dom0"; echo "GUEST-HEARD $line"; }
# kernel_quiet PATTERN: the kernel has no complaint about PCI, virtio or what the pattern names, and none that has a call
# trace since its programs run. (Before, some emulated processors make it doubt their registers.)
kernel_quiet() {
    dmesg | grep -v 'report a bug' >/tmp/dmesg     # (a hint that Linux gives in any case)
    ! grep -i -E "(pci|virtio|vda|irq|msi|$1).*(error|fail|warn|invalid|conflict|bug|nobody cared|magic)" /tmp/dmesg || fail "the kernel complains"
    ! sed -n '/ as init process/,$p' /tmp/dmesg | grep -i -B 12 -A 12 -E 'call trace|oops|hung task|soft lockup|machine check' ||
        fail "the kernel is in trouble"
}
