#!/bin/bash
# run.sh - boot Xen and its dom0 in QEMU (no KVM needed), run a folder's autorun.sh in dom0, bring back what
# it made, and end with its status.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

still=240    # seconds: dom0 gives a sign of life every 5
usage() { cat <<USAGE
usage: run.sh [options] DIR
  Copies DIR (less DIR/out) to /job in dom0 and runs /job/autorun.sh there, in /job. Its output comes to stdout; what it
  leaves in /job/out comes back. Ends with its status; 124: time is over; 125: the kit itself failed; 123: the machine
  stood still (no sign of life from dom0 for $still s; what its CPUs did then is in OUT/still.txt); 122: it ended (Xen or
  dom0 has crashed).
  --dom0 pv|pvh     kind of dom0 (pv)
  --mem SIZE        memory of the machine (4G), of which dom0 has 2G
  --smp N           its CPUs (1); dom0 has 1 virtual one
  --timeout SECONDS for the whole run (600)
  --out DIR         where out/, job.log and console.log go (CACHE/last, or one beside it while another run has that)
  --snapshot NAME   a snapshot of its own, made after DIR/presnap.sh has run in dom0 (it is given DIR/presnap.sh
                    and DIR/presnap/); made again when these change
  --cold            boot, use no snapshot, make none
  --cache CACHE     where build.sh put things ($CACHE)
  --xen "ARGS"      added to Xen's command line (the last of a kind wins: dom0_mem=2G)
  --linux "ARGS"    added to dom0's kernel command line
  --verbose         the console of Xen and dom0 also comes to stderr
  environment: NESTED_CACHE (as --cache), NESTED_QEMU (the QEMU to run, as it is; default: this machine's,
  or a newer one of the build root, less a fault that mend-qemu.py tells of)
USAGE
}
dom0=pv mem=4G smp=1 timeout=600 out='' name='' cold='' xen_args='' linux_args='' verbose=''
while [ $# -gt 0 ]; do
    case $1 in
    --dom0|--mem|--smp|--timeout|--out|--snapshot|--cache|--xen|--linux) [ $# -ge 2 ] || die "$1 needs a value";;
    esac
    case $1 in
    --dom0) dom0=$2; shift;;      --mem) mem=$2; shift;;         --smp) smp=$2; shift;;
    --timeout) timeout=$2; shift;; --out) out=$2; shift;;         --snapshot) name=$2; shift;;
    --cache) CACHE=$2; shift;;    --xen) xen_args=$2; shift;;    --linux) linux_args=$2; shift;;
    --cold) cold=1;;              --verbose) verbose=1;;
    -h|--help) usage; exit 0;;
    -*) usage >&2; die "unknown option $1";;
    *) break;;
    esac
    shift
done
[ $# = 1 ] || { usage >&2; die "one DIR is wanted"; }
[ -f "$1/autorun.sh" ] || die "$1 has no autorun.sh"
job=$(cd "$1" && pwd)
case $name in *[!A-Za-z0-9_-]*) die "--snapshot: letters, digits, _ and - only";; esac
[ -z "$name" ] || [ -f "$job/presnap.sh" ] || die "--snapshot $name: $job has no presnap.sh"
need_built {dom0,kernel,guest,initrd}.made
qemu_cmd=${NESTED_QEMU:-qemu-system-x86_64}
command -v "$qemu_cmd" >/dev/null || die "no $qemu_cmd here: run $KIT/build.sh $CACHE first"
CACHE=$(cd "$CACHE" && pwd)
qemu=("$qemu_cmd")
# The QEMU that runs: the build root's where this machine's is older (7.2 loses guests), and a copy of that with one
# fault less (see mend-qemu.py).
qemu_choose() {
    local root='' program copy
    case $("$qemu_cmd" --version) in *' version '[1-7].*) root=$CACHE/buildroot;; esac
    [ -x "$root/usr/bin/qemu-system-x86_64" ] || root=''
    program=$(readlink -f "$root/usr/bin/qemu-system-x86_64")
    copy=$CACHE/qemu/qemu-$(sha256sum "$KIT/mend-qemu.py" "$program" | sha256sum | cut -c 1-16)
    if [ ! -x "$copy" ]; then
        mkdir -p "$CACHE/qemu"; rm -f "$CACHE"/qemu/qemu-*
        if ! python3 "$KIT/mend-qemu.py" "$program" "$copy" >&2; then
            say "warning: guests may be lost to a fault of this QEMU on a busy machine"
            copy=$program
        fi
    fi
    # (Neither is where it would find its modules and firmware by itself.)
    QEMU_MODULE_DIR=$(echo "$root"/usr/lib/*-linux-gnu/qemu); export QEMU_MODULE_DIR
    qemu=("$copy" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu")
    [ -z "$root" ] || qemu=("$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" "${qemu[@]}")
}
[ -n "${NESTED_QEMU:-}" ] || qemu_choose
out_choose; mkdir -p "$out"; out=$(cd "$out" && pwd)
mkdir -p "$CACHE/snapshots"

# ---- the machine (see README.md, "Flags") -------------------------------------------------------------
case $dom0 in
pv)  xen_mode='dom0=pv' iommu=() cpu=,-cx16;;
# (Xen has no use for an IOMMU without cmpxchg16b.)
pvh) xen_mode='dom0=pvh iommu=no-sharept dom0-cpuid=no-cx16' iommu=(-device intel-iommu) cpu='';;
*)   die "--dom0 $dom0: pv or pvh";;
esac
# (A ring that holds all that Xen says in a run: cases look for what was added.)
xen_line="console=com1 com1=115200,8n1 loglvl=info guest_loglvl=all conring_size=4M bootscrub=0 dom0_mem=2G,max:2G"
xen_line+=" dom0_max_vcpus=1 sched=credit spec-ctrl=eager-fpu cpuidle=0 cpufreq=none $xen_mode $xen_args"
linux_line="console=hvc0 quiet panic=1 nokaslr mitigations=off tsc=reliable cryptomgr.notests"
linux_line+=" memmap=16M!0xfd000000 memmap=32M!1G $linux_args"    # (see the device for it below)
virtio=disable-legacy=on,iommu_platform=on
# shellcheck disable=SC2054 # the commas are QEMU's
machine=(
    -machine q35 -accel tcg,thread=multi -cpu EPYC,-monitor,-rdtscp,-smap"$cpu" -smp "$smp" -m "$mem"
    -nodefaults -nographic -no-reboot -global migration.store-global-state=off
    -kernel xen -append "$xen_line" -initrd "vmlinux ${linux_line//,/,,},dom0.cpio"
    -drive file=dom0.ext4,format=raw,if=none,id=dom0,readonly=on,file.locking=off
    -device "virtio-blk-pci,$virtio,drive=dom0,serial=dom0"
    -drive file=guest.ext4,format=raw,if=none,id=guest,readonly=on,file.locking=off
    -device "virtio-blk-pci,$virtio,drive=guest,serial=guest"
    # The ports between run.sh and dom0's init; plain files and a FIFO, so that nothing has to be served.
    -device "virtio-serial-pci,$virtio"
    # (Not stdio: at the end of its standard input it is closed, and what dom0 writes waits for ever.)
    -chardev file,id=log,path=log -device virtserialport,chardev=log,name=log
    -chardev pipe,id=job,path=job -device virtserialport,chardev=job,name=job
    -chardev file,id=result,path=result -device virtserialport,chardev=result,name=result
    -chardev file,id=alive,path=alive -device virtserialport,chardev=alive,name=alive
    # A device with memory that dom0 has no driver for (16 MiB); and one with as much that can be a device-dax:
    # the kernel is told that its BAR, which the firmware puts at 0xfd000000, is persistent memory, and 32 MiB of
    # its own memory, too (cases/device-dax.sh has a use for both).
    -device bochs-display
    -object memory-backend-ram,id=dax,size=16M -device ivshmem-plain,memdev=dax,master=on
    -serial file:console -qmp unix:qmp,server=on,wait=off
    "${iommu[@]}"
)

# ---- its snapshot: good for this very machine, QEMU, set of images, host CPU (the guests see its TSC) ----
presnap=()
if [ -n "$name" ]; then presnap=(presnap.sh); [ -e "$job/presnap" ] && presnap+=(presnap); fi
tar_of() { tar cf - --sort=name --owner=0 --group=0 --exclude=./out -C "$job" "$@"; }
family=$dom0.$mem.$smp.${name:-plain}
key=$({ echo "${qemu[@]}"; "${qemu[@]}" --version; printf '%s\n' "${machine[@]}"; cat "$CACHE"/{dom0,kernel,guest,initrd}.made
        grep -m 2 -E '^(model name|bogomips)' /proc/cpuinfo
        [ ${#presnap[@]} = 0 ] || tar_of --mtime=@0 "${presnap[@]}"; } | sha256sum | cut -c 1-16)
snapshot=$CACHE/snapshots/$family.$key

# ---- one folder for the run, removed with all that runs, however it ends --------------------------------
for run in "$CACHE"/run.*; do    # of one that was killed outright
    pid=${run#"$CACHE"/run.}; [ ! -d "$run" ] || kill -0 "${pid%%.*}" 2>/dev/null || rm -rf "$run"
done
run=$(mktemp -d "$CACHE/run.$$.XXXXXX")
pids=()
# shellcheck disable=SC2317 # a trap
cleanup() {
    trap '' INT TERM HUP
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait || true
    [ ! -f "$run/console" ] || cp "$run/console" "$out/console.log"
    rm -rf "$run"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$run"                       # names without a path: no quoting in QEMU's options, which know no quotes
ln -s "$CACHE"/{xen,vmlinux,dom0.cpio,dom0.ext4,guest.ext4} .
mkfifo job.in job.out log
rm -rf "$out/out" "$out/job.log" "$out/console.log" "$out/still.txt"

tee "$out/job.log" <log & tee=$!; pids+=("$tee")
boot=()
if [ -z "$cold" ] && [ -f "$snapshot" ]; then
    ln -s "$snapshot" snapshot; boot=(-incoming 'exec:cat snapshot')
fi
# setpriv: should this script be killed outright, the machine still dies with it.
: >console; : >alive
setpriv --pdeathsig TERM timeout -k 5 "$timeout" setpriv --pdeathsig KILL \
    "${qemu[@]}" "${machine[@]}" "${boot[@]}" </dev/null >qemu.err 2>&1 & machine_pid=$!; pids+=("$machine_pid")
[ -z "$verbose" ] || { tail -f -n +1 --pid=$machine_pid console >&2 & pids+=($!); }

ended() { # QEMU ended before the job did: says why, exits
    local status=0; wait "$machine_pid" || status=$?
    [ "$status" != 124 ] || { say "time is over ($timeout s); the console ends:"; tail -n 15 console >&2; exit 124; }
    { grep -v 'TCG doesn.t support requested feature' qemu.err || true; tail -n 60 console | grep -v '^[[:space:]]*$' || true; } >&2
    [ "$status" = 0 ] || [ -s console ] || die "QEMU did not start (status $status)"
    say "the machine ended (status $status) before the job did; its console ends as above, where this is said of why:"
    grep -a -E 'BUG:|Oops|RIP: |Kernel panic|general protection|Xen BUG|Panic on CPU|Assertion' console | tail -n 8 | cut -c 1-160 >&2 || true
    exit 122
}
# A machine that does nothing any more would only end with its time: says what its CPUs did, exits.
check_alive() {
    [ $(($(date +%s) - $(stat -c %Y alive))) -gt $still ] || return 0
    timeout 20 python3 "$KIT/snapshot.py" registers qmp >"$out/still.txt" 2>&1 || true
    tail -n 15 console >&2
    say "the machine stands still: nothing from dom0 for $still s; its console ends as above, its CPUs are in $out/still.txt"
    exit 123
}
pause() { # a moment between two looks at the machine
    sleep 0.1
    looks=$((looks + 1))
    [ $((looks % 100)) != 0 ] || check_alive
}
looks=0
await() { # await N: until the console has said KIT-READY N times
    until [ "$(grep -a -c '^KIT-READY' console)" -ge "$1" ]; do
        ! grep -a '^KIT-PRESNAP-FAILED' console >&2 || die "presnap.sh failed: see $out/job.log and $out/console.log"
        kill -0 "$machine_pid" 2>/dev/null || ended
        pause
    done
}
send() { # send KIND FILE...: gives dom0 a header and a tar
    local kind=$1; shift
    tar_of "$@" >send.tar
    { echo "$kind $(stat -c %s send.tar) $(date +%s)"; cat send.tar; } >job.in & pids+=($!)
}

if [ ${#boot[@]} = 0 ]; then
    start=$SECONDS
    await 1
    [ ${#presnap[@]} = 0 ] || { send presnap "${presnap[@]}"; await 2; }
    say "dom0 ($dom0) ready after $((SECONDS - start)) s"
    if [ -z "$cold" ]; then
        if python3 "$KIT/snapshot.py" save qmp state; then
            rm -f "$CACHE/snapshots/$family".*
            mv state "$snapshot"
        else
            say "warning: no snapshot made"
        fi
    fi
fi
send job .
while kill -0 "$machine_pid" 2>/dev/null && ! grep -a -q '^KIT-END' console; do pause; done
grep -a -q '^KIT-END' console || ended
wait "$machine_pid" || true
wait "$tee" || true
tar xf result -C "$run" 2>/dev/null && [ -s status ] || die "no result came back from dom0; see $out/console.log"
mv "$run/out" "$out/out"
exit "$(cat status)"
