# nested-shmem-dom0.sh - the part of the benchmark that runs in dom0: a guest with a device for each placement,
# which measures; prints the table.
set -euo pipefail
# shellcheck source=/dev/null
. ./settings
CASE=bench-shmem
# shellcheck source=nested/cases/lib.sh
. cases/lib.sh
GUEST_CMDLINE+=' iomem=relaxed nopat'     # what a driver has can be mapped, too, whichever way it caches it
guest_script <<GUEST
BENCH_SECONDS=$BENCH_SECONDS
$(cat <<'SCRIPT'
speed() { # speed PLACEMENT SLOT LEN
    shmtool /sys/bus/pci/devices/0000:00:$2.0 speed $3 $BENCH_SECONDS >/tmp/speed || fail "$1"
    sed "s/^SHM-SPEED/RESULT $1/" /tmp/speed
}
speed foreign 10 $((4 << 20))
speed device 11 $((4 << 20))
speed copy 12 $((4 << 20))
speed trap 13 4096
SCRIPT
)
GUEST
framebuffer=$(framebuffer_find)
guest_create -p
devices=() slot=10
for name in foreign device copy trap; do devices+=(--device "$(pmem $name slot=0x$slot,placement=$name)"); slot=$((slot + 1)); done
dm_spawn "${devices[@]}"
pmem_start foreign linked --size 16M
pmem_start device memfd --file "$framebuffer"
pmem_start copy memfd --size 16M --read-only
pmem_start trap memfd --size 16M
dm_ready 60
xl unpause "$GUEST"
guest_says GUEST-RESULT $((400 + 120 * BENCH_SECONDS)) >/dev/null
# RESULT PLACEMENT read|write shared N own N MiB/s
sed -n 's/\r*$//; s/^RESULT //p' "$(guest_console)" | tee out/results | awk '
BEGIN {
    print "| placement | | shared, MiB/s | own memory, MiB/s | shared / own |"
    print "| --- | --- | ---: | ---: | ---: |"
}
# The guest cannot write to a copy: what it tries is an exit that does nothing.
!($1 == "copy" && $2 == "write") { printf "| %s | %s | %.4f | %.1f | %.6f |\n", $1, $2, $4, $6, $4 / $6; n++ }
END { exit n != 7 }' | tee out/table.md
guest_end 10
