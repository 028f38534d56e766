# shellcheck shell=bash
# run-in-dom0.sh - runs cases in dom0, one after the other: the lines "NAME KIND SECONDS" of /job/cases.list.
# After each looks for what it left, ends that, and counts it as a failure of that case.
cd /job || exit 125
# shellcheck source=emulator.sh
. cases/emulator.sh
failed=0
SLOW=$(cat slow); export SLOW       # lib.sh multiplies every limit by it
ROUNDS=$(cat rounds); export ROUNDS # how often a case kills

# Complaints of a kernel or of Xen that no case may cause; what is known to be harmless is named in known.list.
complaints() { # complaints FILE SKIP-LINES
    tail -n "+$(($2 + 1))" "$1" | grep -a -i -E 'warn|bug|oops|panic|error|fail|segfault|hung|stall|denied|invalid|bad ' |
        grep -a -v -E -f <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' cases/known.list) || true
}
domains() { xl list | awk 'NR > 1 && $1 != "Domain-0" { print $1 }'; }
gone() { [ -z "$(domains)" ]; }

leftovers() { # says what is left after a case, and ends it
    local found='' d p n=100
    # xl's own process for a guest that ended takes a moment to clean up.
    until gone || [ $n = 0 ]; do sleep 0.1; n=$((n - 1)); done
    for p in $(pgrep -x 'vhost-dmd?'); do found+=" vhost-dm (process $p)"; kill -KILL "$p"; done
    for p in $(pgrep -x 'qemu-storage-da|vhost-user-pmem|vhost-dm-keeper|vhost-dm-broker|virtiofsd|passt.*|vhost-device-vs'); do found+=" $(cat "/proc/$p/comm") (process $p)"; kill -KILL "$p"; done
    # What xl.sh puts where an installation has it.
    [ ! -L /usr/sbin/vhost-dm ] || rm -rf /usr/sbin/vhost-dm /usr/share/vhost-dm /usr/libexec/vhost-dm /usr/lib/libvhost-dm-shm.so.0 /etc/vhost-dm
    for d in $(domains); do found+=" domain $d"; xl destroy "$d" >/dev/null 2>&1; done
    if [ -n "$(ls -A /run/vhost-dm 2>/dev/null)" ]; then found+=" $(ls /run/vhost-dm/*)"; rm -rf /run/vhost-dm; fi
    [ -z "$found" ] || echo "FAILED: left behind:$found"
    dmesg >/tmp/dmesg; d=$(complaints /tmp/dmesg "$dmesg_seen")
    [ -z "$d" ] || printf 'FAILED: dom0 kernel:\n%s\n' "$d"
    xl dmesg >/tmp/xldmesg; d=$(complaints /tmp/xldmesg "$xen_seen")
    [ -z "$d" ] || printf 'FAILED: Xen:\n%s\n' "$d"
}

case_run() { # case_run NAME KIND LIMIT: 0, or 1 with all that was said
    local log=out/$1-$2.log status=0
    dmesg_seen=$(dmesg | wc -l) xen_seen=$(xl dmesg | wc -l)
    CASE=$1 KIND=$2 timeout -k 10 "$3" bash -euo pipefail "cases/$1.sh" >"$log" 2>&1 </dev/null || status=$?
    [ $status != 124 ] || echo "FAILED: took longer than $3 s" >>"$log"
    leftovers >>"$log"
    xl dmesg | tail -n "+$((xen_seen + 1))" >/tmp/xen.lines
    cp "/var/log/xen/guest-$1-$2.log" "out/$1-$2.console.log" 2>/dev/null
    cp /tmp/case/dm.log "out/$1-$2.dm.log" 2>/dev/null
    rm -rf /tmp/case
    [ $status = 0 ] && ! grep -q '^FAILED' "$log"
}

while read -r name kind limit; do
    start=$(date +%s)
    echo "---- $name ($kind) ..."
    status=0
    case_run "$name" "$kind" "$limit" || status=1
    if [ $status != 0 ] && emulator_fault "/var/log/xen/guest-$name-$kind.log" /tmp/xen.lines; then
        echo "  the emulated processor has lost the guest: once more"
        rm -f "/var/log/xen/guest-$name-$kind.log"
        status=0
        case_run "$name" "$kind" "$limit" || status=1
    fi
    if [ $status = 0 ]; then
        sed -n '/^  /p' "out/$name-$kind.log"
        echo "PASS $name ($kind) $(($(date +%s) - start)) s"
    else
        cat "out/$name-$kind.log"
        echo "--- Xen said then:"
        grep -a -v -E 'HVM d[0-9]+v[0-9]+ save|HVM (save|restore) d' /tmp/xen.lines | tail -n 40
        echo "FAIL $name ($kind) $(($(date +%s) - start)) s"
        failed=1
    fi
done <cases.list
dmesg >out/dmesg.log; xl dmesg >out/xen.log
exit $failed
