# Guests: pvh
# Mappings of a page each, 4096 for each round (--rounds 256: a million): of one large memfd (trap), and of the guest's
# own memory, up to 512 MiB of it (foreign). The guest finds each page where it belongs, and nothing after UNMAP.
. cases/lib.sh
NR=$((ROUNDS * 4096))
NR_OWN=$((NR < 131072 ? NR : 131072))
guest_script <<GUEST
NR=$NR NR_OWN=$NR_OWN
$(cat <<'SCRIPT'
modprobe -a virtio_pmem nd_pmem
block_at() { basename /sys/bus/pci/devices/0000:00:$1.0/virtio*/ndbus*/region*/namespace*/block/*; }
echo GUEST-UP
page() { # page SLOT PAGE VALUE
    dd if=/dev/$(block_at $1) of=/tmp/seen bs=4096 skip=$2 count=1 iflag=direct 2>/dev/null || fail "reading $1"
    shmtool /tmp/seen are 0 4096 $3 || fail "slot $1, page $2"
}
told 600
for page in 0 1 $((NR / 3)) $((NR / 2)) $((NR - 1)); do page 10 $page $((page + 1000000)); done
for page in 0 1 $((NR_OWN / 3)) $((NR_OWN / 2)) $((NR_OWN - 1)); do page 11 $page $((page + 2000000)); done
echo GUEST-SAW
told $((600 + NR / 100))
for page in 0 $((NR / 2)) $((NR - 1)); do page 10 $page 0xffffffffffffffff; done
for page in 0 $((NR_OWN / 2)) $((NR_OWN - 1)); do page 11 $page 0xffffffffffffffff; done
kernel_quiet pmem
SCRIPT
)
GUEST
mark() { # mark NAME KIND FIRST NR: some of its pages have their number, and FIRST, in every word
    local page
    for page in 0 1 $(($4 / 3)) $(($4 / 2)) $(($4 - 1)); do pmem_tool "$1" "$2" fill $((page * 4096)) 4096 $((page + $3)); done
}
now() { date +%s.%N; }
rate() { awk -v n="$3" -v a="$1" -v b="$2" 'BEGIN { printf "%.0f a second, in emulation", n / (b - a) }'; }
areas_and_fds() { echo "$(wc -l <"/proc/$dm_pid/maps") areas of memory, $(find "/proc/$dm_pid/fd" -mindepth 1 | wc -l) fds"; }

guest_create -p
dm_spawn --device "$(pmem trap slot=0x10)" --device "$(pmem own slot=0x11)"
start=$(now)
pmem_start trap memfd --size $((NR * 4096)) --pieces 4K
pmem_start own linked --size $((NR_OWN * 4096)) --pieces 4K
dm_ready 60
until_true $((60 + NR / 200)) "$NR mappings" pmem_said trap 'the guest sees the memory' 1
note "$NR mappings, trap: $(rate "$start" "$(now)" "$NR")"
until_true $((60 + NR_OWN / 200)) "$NR_OWN mappings" pmem_said own 'the guest sees the memory' 1
note "$NR_OWN mappings, foreign: $(rate "$start" "$(now)" "$NR_OWN")"
note "vhost-dm has $(areas_and_fds), and $(awk '/^Private/ { n += $2 } END { print n }' "/proc/$dm_pid/smaps_rollup") KiB of its own"
mark trap memfd 1000000 $NR
mark own linked 2000000 $NR_OWN
xl unpause "$GUEST"
guest_says GUEST-UP 200 >/dev/null
guest_tell marked
guest_says GUEST-SAW 100 >/dev/null
start=$(now)
for name in trap own; do kill -USR1 "${backend_pid[$name]}"; done
for name in trap own; do until_true $((60 + NR / 200)) "UNMAP of $name" pmem_said $name 'out of the guest' 1; done
note "unmapped: $(rate "$start" "$(now)" $((NR + NR_OWN)))"
guest_tell unmapped
guest_end 100
