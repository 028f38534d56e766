# shellcheck shell=sh disable=SC2154
# The part of the benchmark that runs in a guest. DISKS: pairs DEVICE=NAME, the first is vhost-dm's.
for pair in $DISKS; do disk_wait "${pair%%=*}" 60; done
for pair in $DISKS; do other=${pair#*=}; done
result() { # result NAME TEST FIELD COMMAND...
    name=$1 test=$2 field=$3; shift 3
    out=$("$@") || fail "$name: $*: $out"
    echo "RESULT $name $test $(echo "$out" | sed -n "s|.* \([0-9.]*\) $field.*|\1|p")"
}
round=0
while [ $round -lt "$ROUNDS" ]; do
    for pair in $DISKS; do
        disk=/dev/${pair%%=*} name=${pair#*=}
        [ "$name" != vhost-dm ] || name=vhost-dm-beside-$other
        result "$name" random-1 reads/s disktool randread "$disk" 4096 "$BENCH_SECONDS" 1
        result "$name" random-8 reads/s disktool randread "$disk" 4096 "$BENCH_SECONDS" 8
        result "$name" sequential MiB/s disktool seqread "$disk" 262144 "$BENCH_SECONDS" 1
    done
    round=$((round + 1))
done
