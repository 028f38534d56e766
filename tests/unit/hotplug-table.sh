#!/bin/sh
# hotplug-table.sh - the ACPI table for devices that come and go has, compiled, what vhost-dm has: place, numbers and
# order of the registers; and notifies each slot by its bit. Run by make check in the build folder, with IASL and
# srcdir set.
set -eu
top=${srcdir:-.} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp examples/hotplug.aml "$work/table.aml"
"$IASL" -d "$work/table.aml" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
tr -s ' \t\n' ' ' <"$work/table.dsl" >"$work/table"
has() { grep -q -F -e "$1" "$work/table" || { echo "the table does not have: $1"; cat "$work/table.dsl"; exit 1; }; }
# number NAME FILE: what the source has as that constant, in decimal
number() { printf '%d\n' "$(grep -o -E "\b$1( =)? +0x[0-9a-f]+" "$top/$2" | grep -o '0x.*')"; }
base=$(number HVM_HOTPLUG_GPA xen/xen_hypervisor.c)
magic=$(number HOTPLUG_MAGIC dm/hotplug.h)
has "$(printf 'OperationRegion (REGS, SystemMemory, 0x%X, 0x14)' "$base")"
has "$(printf 'MAGC == 0x%X' "$magic")"
has 'MAGC, 32, VERS, 32, INUM, 32, INSR, 32, EJCT, 32'
at=0
for reg in MAGIC VERSION IRQ INSERTED EJECT; do
    [ "$(number "HOTPLUG_REG_$reg" dm/hotplug.h)" = $at ] || { echo "HOTPLUG_REG_$reg is not at $at"; exit 1; }
    at=$((at + 4))
done
# It asks for the interrupt that it has.
has 'Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive, ,, ) { 0x00000007, }'
has 'INUM = 0x07'
slot=1
while [ $slot -le 31 ]; do
    digits=$((slot < 8 ? 2 : slot < 16 ? 4 : 8))
    has "$(printf 'If ((Arg0 & 0x%0*X)) { Notify (\\_SB.PCI0.S%d, Arg1) }' $digits $((1 << slot)) $slot)"
    slot=$((slot + 1))
done
