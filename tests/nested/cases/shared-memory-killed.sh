# Guests: pvh
# Guests by name only: hvm
# vhost-dm, the back-ends, and both are killed outright at random moments, while the guest writes and reads shared
# memory that is trapped and shared memory that is its own (foreign). The guest runs on, and each time has memory
# again that keeps what it writes; what it reads meanwhile is what was written there, or ones. In the end all three are
# killed, and nothing is left: no holder, no process, no memory of Xen's.
. cases/lib.sh
LEN=$((8 << 20))
# Programs may map what a driver has, too, whichever way it caches it.
GUEST_CMDLINE+=' iomem=relaxed nopat'
guest_script <<GUEST
LEN=$LEN
$(cat <<'SCRIPT'
modprobe -a virtio_pmem nd_pmem
mkfifo /tmp/never; exec 5<>/tmp/never
for slot in 10 11; do
    (exec shmtool /sys/bus/pci/devices/0000:00:$slot.0 load $LEN $slot <&5) &
done
while told 600; do
    [ "$line" != end ] || break
    for slot in 10 11; do       # a driver that begins is what makes vhost-dm look for the back-end
        echo 0000:00:$slot.0 >/sys/bus/pci/drivers/virtio-pci/unbind
        echo 0000:00:$slot.0 >/sys/bus/pci/drivers/virtio-pci/bind
    done
    echo "GUEST-BOUND $line"
done
echo . >&5; echo . >&5
wait
kernel_quiet 'nothing more'
echo GUEST-QUIET
told 600        # never
SCRIPT
)
GUEST

# Waits until the guest has read again, in both, more of what it wrote than it had when this was called.
kept() { grep -a "^SHM-LOAD $1 " "$(guest_console)" | tail -n 1 | cut -d' ' -f5; }
kept_more() { local now; now=$(kept "$1"); [ "${now:-0}" -gt "$2" ]; }
memory_works() {
    local first second _
    for _ in 1 2; do        # not the first lines that come: they may be about what was before
        first=$(kept 10) second=$(kept 11)
        until_true 90 "the guest's memory 10" kept_more 10 "${first:-0}"
        until_true 90 "the guest's memory 11" kept_more 11 "${second:-0}"
    done
}
backends_start() {
    pmem_start trap memfd --size ${LEN} --pattern
    pmem_start own linked --size ${LEN} --pattern
}
dm_kill() { kill -KILL "$dm_pid"; dm_end 10 137; }
backends_kill() { backend_kill trap KILL; backend_kill own KILL; }
a_moment() { sleep "0.$(printf '%03d' $((RANDOM % 1000)))"; }   # not to let things settle: to kill at any point of them
free_memory() { xl info free_memory; }
all_free() { [ "$(free_memory)" -ge "$free" ]; }

guest_config >/dev/null     # (its files are in dom0's memory, not in Xen's)
free=$(free_memory)
guest_create -p
dm_spawn --device "$(pmem trap slot=0x10)" --device "$(pmem own slot=0x11)"
backends_start
dm_ready 60
dm_said 'placed as foreign'; dm_said 'placed as trap'
xl unpause "$GUEST"
guest_says '^SHM-LOAD 11' 250 >/dev/null
memory_works
for ((round = 1; round <= ROUNDS; round++)); do
    a_moment
    dm_kill
    a_moment
    dm_start "${DM_ARGS[@]}"
    memory_works
    a_moment
    backends_kill
    a_moment
    backends_start
    guest_tell "back-ends-$round"
    guest_says "GUEST-BOUND back-ends-$round" 120 >/dev/null
    memory_works
    a_moment
    dm_kill
    backends_kill
    a_moment
    backends_start
    dm_start "${DM_ARGS[@]}"
    memory_works
    [ $((round % 10)) != 0 ] || note "$round rounds"
done
note "killed $ROUNDS times each: vhost-dm, the back-ends, both; $(kept 10) and $(kept 11) words written and read again"
holder=$(xl domid "$GUEST-shm")
[ -n "$holder" ] || fail "no holder"
guest_tell end
guest_says GUEST-QUIET 60 >/dev/null
dm_kill
backends_kill
xl destroy "$GUEST"
until_true 30 "the holder's end" bash -c "! xl domid $GUEST-shm 2>/dev/null"
until_true 30 "Xen's memory: $(free_memory) MiB are free, $free were before" all_free
# What a killed vhost-dm leaves is a file for its successor, of which there is none.
rm "$STATE"/*
