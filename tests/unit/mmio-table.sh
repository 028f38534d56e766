#!/bin/sh
# mmio-table.sh - the ACPI table for virtio-mmio says, compiled, what its users are told to give to vhost-dm: in the
# documents and in the case on nested Xen. Run by make check in the build folder, with IASL and srcdir set.
set -eu
top=${srcdir:-.} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp examples/virtio-mmio.aml "$work/table.aml"
"$IASL" -d "$work/table.aml" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
tr -s ' \t\n' ' ' <"$work/table.dsl" >"$work/table"
has() { grep -q -F -e "$1" "$work/table" || { echo "the table does not have: $1"; cat "$work/table.dsl"; exit 1; }; }
has 'Name (_HID, "LNRO0005")'
has 'Memory32Fixed (ReadWrite, 0xFE800000, // Address Base 0x00000200, // Address Length )'
has 'Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive, ,, ) { 0x00000003, }'
for user in docs/virtio-mmio.md tests/nested/cases/mmio.sh examples/virtio-mmio.asl; do
    grep -q 'transport=mmio,base=0xfe800000,irq=3' "$top/$user" || { echo "$user names other numbers"; exit 1; }
done
