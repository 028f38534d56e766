# nested-start-dom0.sh - the part of the benchmark that runs in dom0: creates guests, paused, in turn with and without
# our disk, and prints how long each took until it could have run.
set -euo pipefail
# shellcheck source=/dev/null
. ./settings
CASE=start KIND=hvm
# shellcheck source=nested/cases/lib.sh
. cases/lib.sh
# shellcheck source=nested/cases/xl.sh
. cases/xl.sh
dmd_install
disk_make disk 16
backend_start disk
guest_script <<'GUEST'
GUEST
# Each line of vhost-dmd's with the time at which it came.
stamp() { local line; while read -r line; do echo "${EPOCHREALTIME/./} $line"; done; }
dmd_start() {
    : >"$T/dm.log"
    (cd / && exec setsid vhost-dmd --debug info 2> >(stamp >>"$T/dm.log")) </dev/null &
    dmd_pid=$!
    until_true 30 'vhost-dmd to be ready' dm_says ' vhost-dmd: ready$'
}
is_ready() { dm_says "dom $domid .*its devices are ready"; }
now() { echo "${EPOCHREALTIME/./}"; }

declare -A disk_of=([plain]=none [daemon]=none [virtio]=xl [file]=file [wrapper]=args [pvh-plain]=none [pvh-file]=file)
one_start() { # one_start WHAT: a line "WHAT MILLISECONDS" to the results
    local what=$1 begin end ready
    KIND=hvm; case $what in pvh-*) KIND=pvh;; esac
    GUEST_EXTRA=''
    rm -f "$CONF/$GUEST.conf"
    case ${disk_of[$what]} in
    xl) GUEST_EXTRA='virtio = [ "type=virtio,device2,transport=mmio" ]'; printf '[blk0]\nsocket=%s\n' "$T/disk.sock" | guest_conf;;
    file) printf '[blk0]\nsocket=%s\n' "$T/disk.sock" | guest_conf;;
    args) GUEST_EXTRA="device_model_override = \"$JOB/bin/vhost-dm-qemu\"
device_model_args = [ \"-vhost-dm\", \"type=blk,socket=$T/disk.sock\", \"-vhost-dm-program\", \"$JOB/bin/vhost-dm\" ]";;
    esac
    guest_config >"$T/guest.cfg"
    begin=$(now)
    xl create -q -p "$T/guest.cfg" >"$T/create.log" 2>&1 || fail "xl create: $(tail -n 3 "$T/create.log")"
    end=$(now)
    domid=$(xl domid "$GUEST")
    case ${disk_of[$what]} in xl|file)
        until_true 60 'the devices to be ready' is_ready
        ready=$(sed -n "s/ .*dom $domid .*its devices are ready.*//p" "$T/dm.log")
        [ "$ready" -lt "$end" ] || end=$ready;;
    esac
    echo "$what $(((end - begin) / 1000))" >>"$T/results"
    xl destroy "$GUEST"
    until_true 60 'the end of the guest' guest_gone
    until_true 60 'the end of its vhost-dm' dm_none
}
dm_none() { ! pgrep -x vhost-dm >/dev/null; }

for ((round = 0; round <= ROUNDS; round++)); do
    # (The first round has all files read, and does not count.)
    [ $round != 1 ] || rm "$T/results"
    for what in plain pvh-plain wrapper; do one_start $what; done
    # shellcheck disable=SC2119 # (it has no arguments)
    dmd_start
    for what in daemon virtio file pvh-file; do one_start $what; done
    dmd_end TERM 0
done
cp "$T/results" out/
# WHAT MS: the median, the range, and how many times the plain start.
sort -k1,1 -k2,2n "$T/results" | awk '
function flush() { if (n) { median[key] = (v[int((n + 1) / 2)] + v[int(n / 2) + 1]) / 2; low[key] = v[1]; high[key] = v[n] } n = 0 }
{ if ($1 != key) flush(); key = $1; v[++n] = $2 }
function row(what, text) {
    if (!median[what]) bad = 1
    printf "| %s | %d (%d to %d) | %.2f |\n", text, median[what], low[what], high[what], median["plain"] ? median[what] / median["plain"] : 0
}
END {
    flush()
    print "| guest | ms | / plain HVM |"
    print "| --- | ---: | ---: |"
    row("plain", "HVM, no disk of ours: its QEMU runs")
    row("daemon", "the same, beside vhost-dmd")
    row("virtio", "HVM, disk by virtio=")
    row("file", "HVM, disk by a file")
    row("wrapper", "HVM, disk by the wrapper")
    row("pvh-plain", "PVH, no disk of ours, no QEMU")
    row("pvh-file", "PVH, disk by a file")
    exit bad
}' | tee out/table.md
