# Guests: hvm
# Without MSI-X the device works with its interrupt pin.
. cases/lib.sh
disk_stream disk 16 31
backend_start disk
GUEST_CMDLINE+=' pci=nomsi'
guest_script <<'GUEST'
disk_wait vda 30
lspci -vv -s "$(ours)" >/tmp/lspci
grep -q 'MSI-X: Enable-' /tmp/lspci || fail "MSI-X is on"
grep -q 'Interrupt: pin A' /tmp/lspci || fail "no interrupt pin"
disktool stream $((16 << 20)) 31 | cmp - /dev/vda || fail "other contents"
grep virtio /proc/interrupts
awk '/virtio/ && !/IO-APIC|ioapic/ { bad = 1 } /virtio/ { n += $2 } END { exit bad || !(n > 0) }' /proc/interrupts ||
    fail "no level interrupt arrived"
GUEST
guest_start --device "$(blk disk)"
guest_end 200
