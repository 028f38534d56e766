# shellcheck shell=bash
# The part of the demo that runs in dom0: for an HVM and then a PVH guest, a disk served by qemu-storage-daemon
# through vhost-dm, what the guest sees of it and does with it, and the same contents on the back-end's side.
set -euo pipefail
cd /job
MIB=64

no_qemu() { ! pgrep -f 'qemu-system' >/dev/null; }

demo() { # demo KIND
    CASE=demo KIND=$1
    # shellcheck source=cases/lib.sh
    . cases/lib.sh
    echo
    echo "=== ${KIND^^} guest ======================================================================"
    disk_make disk 256
    backend_start disk
    echo "started: $(ps -o args= -p "${backend_pid[disk]}")"
    guest_script <<GUEST
MIB=$MIB
$(cat demo-guest.sh)
GUEST
    guest_create -p
    echo "started: xl create -p (domain $(xl domid "$GUEST"): $KIND, $GUEST_MEMORY MiB, Debian's kernel, unmodified)"
    dm_start --device "$(blk disk)"
    echo "started: $(ps -o args= -p "$dm_pid")"
    sed 's/^/    /' "$T/dm.log"
    [ "$KIND" = hvm ] || { no_qemu || fail "there is a QEMU"; echo "QEMU processes beside the back-end: none"; }
    xl unpause "$GUEST"
    echo "started: xl unpause; what the guest says:"
    follow GUEST-RESULT 240
    guest_end 10
    until_true 30 "the end of the guest's QEMU" no_qemu
    backend_kill disk TERM
    modprobe loop
    mkdir "$T/mnt"
    mount -o ro,noload,loop "$T/disk.img" "$T/mnt"
    local known guest image
    known=$(disktool stream $((MIB << 20)) 2026 | sha256sum | cut -d' ' -f1)
    guest=$(grep -a -o 'sha256 [0-9a-f]*' "$(guest_console)" | cut -d' ' -f2)
    image=$(sha256sum <"$T/mnt/data" | cut -d' ' -f1)
    umount "$T/mnt"
    echo "the file's sha256:  known in advance    $known"
    echo "                    in the guest        $guest"
    echo "                    on the back-end's   $image"
    [ "$known" = "$guest" ] && [ "$known" = "$image" ] || fail "the hashes differ"
    echo "the $KIND guest, its vhost-dm and its back-end have ended; the hashes are the same"
}

# Prints the guest's console as it comes, until a line with the pattern; a sign of life when it is silent.
follow() { # follow PATTERN SECONDS
    local line log end=$((SECONDS + $2))
    log=$(guest_console)
    until_true 30 "the guest's console" test -e "$log"
    exec {console}< <(exec tail -n +1 -F "$log" 2>/dev/null)
    local tail=$!
    while [ $SECONDS -lt $end ]; do
        if read -r -t 10 -u "$console" line; then
            line=${line%$'\r'}
            case $line in
            *"$1"*) kill "$tail"; exec {console}<&-; return;;
            *GUEST-USERLAND*) echo "    (its kernel is up)";;
            *) printf '    %s\n' "$line";;
            esac
        else
            echo "    ... $((SECONDS - end + $2)) s"
        fi
    done
    kill "$tail"
    fail "the guest did not finish in $2 s"
}

# shellcheck source=../cases/emulator.sh
. cases/emulator.sh
for kind in hvm pvh; do
    # (Not "(demo) || ...", where a failing command would be passed over.)
    demo $kind & wait $! && continue
    xl dmesg >/tmp/xen.lines
    emulator_fault "/var/log/xen/guest-demo-$kind.log" /tmp/xen.lines || exit 1
    for domain in $(xl list | awk 'NR > 1 && $1 != "Domain-0" { print $1 }'); do xl destroy "$domain" || true; done
    echo "the emulated processor has lost the guest: once more"
    rm -f "/var/log/xen/guest-demo-$kind.log"
    demo $kind & wait $!
done
