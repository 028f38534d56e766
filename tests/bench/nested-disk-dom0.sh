# nested-disk-dom0.sh - the part of the benchmark that runs in dom0: boots guests that have the same image as
# disks of several kinds at once, lets them measure, prints the table.
set -euo pipefail
# shellcheck source=/dev/null
. ./settings

measure() { # measure KIND LABEL XL-DISK COMMAND-LINE DISK=NAME...: results to /tmp/results
    CASE=bench-$2 KIND=$1
    # shellcheck source=nested/cases/lib.sh
    . cases/lib.sh
    disk_make disk 256
    disktool stream $((256 << 20)) 1 >"$T/disk.img"
    # All open one file for writing; nobody writes.
    BACKEND_FILE=locking=off
    backend_start disk
    GUEST_MEMORY=384
    GUEST_EXTRA="disk = [ \"$3\" ]"
    GUEST_CMDLINE+=" $4"
    guest_script <<GUEST
ROUNDS=$ROUNDS BENCH_SECONDS=$BENCH_SECONDS DISKS='${*:5}'
$(cat nested-disk-guest.sh)
GUEST
    guest_start --device "$(blk disk)"
    echo "  $1 guest, $2: measuring" >&2
    guest_says GUEST-RESULT $((400 + 20 * ROUNDS * BENCH_SECONDS)) >/dev/null
    sed -n "s/\r*\$//; s/^RESULT /RESULT $1 /p" "$(guest_console)" >>/tmp/results
    guest_end 10
}
rm -f /tmp/results
qdisk='format=raw,access=rw,backendtype=qdisk,target=/tmp/case/disk.img'
(measure pvh qdisk "vdev=xvda,$qdisk" '' vda=vhost-dm xvda=qdisk)
(measure hvm qdisk "vdev=xvda,$qdisk" '' vda=vhost-dm xvda=qdisk)
# Without unplugging, and so without blkfront: the emulated controller.
(measure hvm ide "vdev=hda,$qdisk" 'xen_emul_unplug=never' vda=vhost-dm sda=ide)

cp /tmp/results out/
# RESULT KIND DISK TEST VALUE: the median of the rounds, and how many times that of vhost-dm's disk in the same guest.
sort -k2,4 -k5,5n /tmp/results | awk '
{ if ($2 " " $3 " " $4 != key) flush(); key = $2 " " $3 " " $4; value[++n] = $5 }
function flush() { if (n) { m[key] = (value[int((n + 1) / 2)] + value[int(n / 2) + 1]) / 2; keys[++nr] = key } n = 0 }
END { flush(); for (i = 1; i <= nr; i++) print keys[i], m[keys[i]] }' >/tmp/medians
awk '
{ v[$1 " " $2 " " $3] = $4 }
function row(kind, other, test, text, ours, theirs) {
    ours = v[kind " vhost-dm-beside-" other " " test]; theirs = v[kind " " other " " test]
    printf "| %-4s | %-34s | %-6s | %10.1f | %10.1f | %5.2f |\n", kind, text, other, ours, theirs, theirs ? ours / theirs : 0
    if (!ours || !theirs) bad = 1
}
END {
    print "| guest | reads | other | vhost-dm | other | vhost-dm / other |"
    print "| --- | --- | --- | ---: | ---: | ---: |"
    split("random-1 random-8 sequential", tests, " ")
    text["random-1"] = "4 KiB, random, 1 at a time, reads/s"; text["random-8"] = "4 KiB, random, 8 at a time, reads/s"
    text["sequential"] = "256 KiB, in order, MiB/s"
    split("pvh:qdisk hvm:qdisk hvm:ide", pairs, " ")
    for (p = 1; p in pairs; p++) { split(pairs[p], kind, ":"); for (t = 1; t in tests; t++) row(kind[1], kind[2], tests[t], text[tests[t]]) }
    exit bad
}' /tmp/medians | tee out/table.md
