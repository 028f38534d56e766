#!/bin/sh
# transport-options.sh - what the command line takes of transport=, base=, irq= and shm-base=, and what it says of the
# rest; and that a device is asked for. Run by make check in the build folder.
set -u
failed=0 nobody=vhost-dm-no-such-domain
says() { # says MESSAGE KEYS [KEYS-OF-ANOTHER-DEVICE]
    said=$(./vhost-dm --domain "$nobody" --device "type=blk,socket=/s,$2" ${3:+--device "type=blk,socket=/s,$3"} 2>&1)
    status=$?
    case $said in
    *"$1"*) [ $status = 2 ] && return ;;
    esac
    echo "FAILED: $2 $3: status $status, '$said', not '$1'"
    failed=1
}
takes() { # takes KEYS [KEYS-OF-ANOTHER-DEVICE]: what goes wrong then is something else, as there is no such domain
    ./vhost-dm --domain "$nobody" --device "type=blk,socket=/s,$1" ${2:+--device "type=blk,socket=/s,$2"} >/dev/null 2>&1
    [ $? = 1 ] || { echo "FAILED: $1 ${2-} is refused"; failed=1; }
}
mmio=transport=mmio,base=0xfe800000
says 'must be pci or mmio' transport=ccw ''
says 'needs base= and irq=' transport=mmio ''
says 'needs base= and irq=' $mmio ''
says 'needs base= and irq=' transport=mmio,irq=3 ''
says 'are for transport=mmio' base=0xfe800000 ''
says 'are for transport=mmio' transport=pci,irq=3 ''
says 'are for transport=mmio' shm-base=0x1000000000 ''
says 'slot= is for transport=pci' $mmio,irq=3,slot=4 ''
says 'multiple of 0x200' transport=mmio,irq=3,base=0 ''
says 'multiple of 0x200' transport=mmio,irq=3,base=0xfe800100 ''
says 'multiple of 0x200' transport=mmio,irq=3,base=0x10000000000000 ''
says 'multiple of 0x200' transport=mmio,irq=3,base=0xfffffffffffffe00 ''
says 'multiple of 4K' $mmio,irq=3,shm-base=0x200 ''
says 'multiple of 4K' $mmio,irq=3,shm-base=0 ''
says '1 to 1019' $mmio,irq=0 ''
says '1 to 1019' $mmio,irq=1020 ''
says '1 to 1019' $mmio,irq=-3 ''
says 'cannot share an interrupt line' $mmio,irq=3 transport=mmio,base=0xfe800200,irq=3
takes transport=pci
takes transport=pci,slot=4 $mmio,irq=3
takes $mmio,irq=3,shm-base=64G transport=mmio,base=0xfe800200,irq=4

# Without a device, only where a predecessor may have left some.
dir=$(mktemp -d)
said=$(./vhost-dm --domain 32000 --state-dir "$dir" 2>&1)
[ $? = 2 ] || { echo "FAILED: no device: '$said'"; failed=1; }
touch "$dir/32000.state"
said=$(./vhost-dm --domain 32000 --state-dir "$dir" 2>&1)
[ $? = 1 ] || { echo "FAILED: no device, started again: '$said'"; failed=1; }
rm -r "$dir"
exit $failed
