# Guests: hvm pvh
# vhost-dm is killed outright under load and started again with the same arguments, several times: the guest
# sees a pause and nothing else. No write that it was told of is lost, from its side and from the back-end's.
. cases/lib.sh
. cases/confined.sh
disk_make disk 64
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
disktool load /dev/vda 7 8 || fail "load: status $?"
dmesg >/tmp/dmesg
! grep -i -E 'vda.*error|I/O error|virtio.*(reset|broken|not ready)' /tmp/dmesg || fail "the guest saw errors"
[ $(($(cat /sys/bus/virtio/devices/virtio0/status) & 0x40)) = 0 ] || fail "the device needs a reset"
GUEST
# too_few_files NR: a vhost-dm that may have no more descriptors than that ends with the reason, and leaves all to the next.
too_few_files() {
    local status=0
    timeout $((60 * SLOW)) prlimit --nofile="$1" vhost-dm --domain "$GUEST" "${DM_OPTIONS[@]}" "${DM_ARGS[@]}" >"$T/few.log" 2>&1 </dev/null || status=$?
    [ $status = 1 ] && grep -q 'error: ' "$T/few.log" || { cat "$T/few.log"; fail "vhost-dm with $1 descriptors: status $status"; }
    note "with $1 descriptors: $(grep -m 1 'error: ' "$T/few.log")"
}
guest_start --device "$(blk disk)"
guest_says '^DISK-LOAD [0-9]+ reads, [1-9]' 200 >/dev/null
for ((round = 1; round <= ROUNDS; round++)); do
    guest_progress 60
    kill -KILL "$dm_pid"
    dm_end 10 137
    [ $round != 2 ] || for nr in 6 8 10 12 14; do too_few_files $nr; done
    dm_start "${DM_ARGS[@]}"
    note "killed and started again: round $round, the load went on after $(grep -a '^DISK-LOAD ' "$(guest_console)" | tail -n 1 | cut -d' ' -f2-)"
done
guest_progress 60
guest_tell stop
guest_end 120
backend_kill disk TERM
guest=$(grep -a -o '[0-9]* blocks written, generations [0-9]*' "$(guest_console)")
image=$(disktool check "$T/disk.img" 7) || fail "back-end's side: $image"
[ "DISK-CHECKED $guest" = "$image" ] || fail "the guest knows of $guest; the back-end's side: $image"
note "both sides: $guest"
