# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # used by those who source this; set by them
# lib.sh - what the cases, the demo and the benchmark do in dom0: disks, back-ends, a guest, its vhost-dm. One
# guest and one vhost-dm at a time. Sourced first by a script that runs in dom0 in /job, with CASE and KIND (hvm, pvh) set and a
# shell of its own, whose end is the end of all that it started; see ../README.md, "A case". All waiting is for an event, with a bound; what is late fails the case.

JOB=/job
T=/tmp/case                     # all files of the case
STATE=/run/vhost-dm             # vhost-dm's own default
PATH=$JOB/bin:$PATH
export LD_LIBRARY_PATH=$JOB/lib # libvhost-dm-shm
GUEST=$CASE-$KIND               # name of the domain
GUEST_MEMORY=256                # MiB
GUEST_CMDLINE='console=hvc0 quiet nokaslr mitigations=off cryptomgr.notests'
GUEST_EXTRA=''                  # more lines for its configuration
ON_REBOOT=destroy               # one that reboots without being told to is lost: nobody waits for what the new one says
BACKEND_FILE=''                 # more options for the back-end's file, as locking=off
DM_ARGS=()                      # what vhost-dm was started with
DM_OPTIONS=("${DM_OPTIONS[@]}")  # and with what besides: a case that is another in a certain mode sets it before
declare -gA backend_pid=()        # (-g: some source this in a function; case_exit, which ends them, is called outside of it)
dm_pid='' dm_ready_fd=''
: "${ROUNDS:=3}"                # how often a case kills
: "${SLOW:=1}"                  # times all limits, for a busy machine

fail() { echo "FAILED: $*" >&2; exit 1; }      # (standard output may be elsewhere)
note() { echo "  $*"; }

# until_true SECONDS WHAT COMMAND...: waits until COMMAND succeeds.
until_true() {
    local end=$((SECONDS + $1 * SLOW)) what=$2; shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $what"
        sleep 0.1
    done
}

# ---- disks and their back-ends ---------------------------------------------------------------------------
disk_make() { truncate -s "$2M" "$T/$1.img"; }                     # disk_make DISK MIB: all zeros
disk_stream() { disktool stream $(($2 << 20)) "$3" >"$T/$1.img"; } # disk_stream DISK MIB SEED: what "disktool stream" says
disk_over() { qemu-img create -q -f qcow2 -b "$2" -F raw "$T/$1.img"; } # disk_over DISK BASE: keeps only changes
blk() { echo "type=blk,socket=$T/$1.sock${2:+,$2}"; }              # blk DISK [KEY=VALUE,...]: for --device

backend_start() { # backend_start DISK [FORMAT]
    local disk=$1 format=${2:-raw}
    rm -f "$T/$disk.sock" "$T/$disk.pid"
    qemu-storage-daemon --pidfile "$T/$disk.pid" \
        --blockdev "driver=file,filename=$T/$disk.img,node-name=file${BACKEND_FILE:+,$BACKEND_FILE}" \
        --blockdev "driver=$format,file=file,node-name=disk" \
        --export "type=vhost-user-blk,id=$disk,node-name=disk,addr.type=unix,addr.path=$T/$disk.sock,writable=on" \
        >>"$T/$disk.backend.log" 2>&1 </dev/null &
    backend_pid[$disk]=$!
    # It writes the file when its sockets are there.
    until_true 60 "back-end of $disk" test -s "$T/$disk.pid"
}
backend_alive() { kill -0 "${backend_pid[$1]}" 2>/dev/null; }
backend_kill() { # backend_kill DISK SIGNAL
    kill "-$2" "${backend_pid[$1]}"
    wait "${backend_pid[$1]}" 2>/dev/null || true
    unset "backend_pid[$1]"
}

# ---- other devices' back-ends ---------------------------------------------------------------------------------
device_start() { # device_start NAME COMMAND...: a back-end that listens at $T/NAME.sock
    local name=$1; shift
    rm -f "$T/$name.sock"
    "$@" >>"$T/$name.backend.log" 2>&1 </dev/null &
    backend_pid[$name]=$!
    until_true 60 "back-end $name" test -S "$T/$name.sock"
}
virtiofsd_start() { # virtiofsd_start NAME DIR
    device_start "$1" /usr/libexec/virtiofsd --socket-path "$T/$1.sock" --shared-dir "$2" --sandbox none
}

# ---- memory of back-ends that the guest sees ----------------------------------------------------------------
pmem() { echo "type=pmem,socket=$T/$1.sock,wait=$((60 * SLOW))${2:+,$2}"; }     # pmem NAME [KEY=VALUE,...]: for --device

# Sets "with" of its caller: what to begin a command with that the library is preloaded in.
shm_preload() { with=(env "LD_PRELOAD=$JOB/lib/libvhost-dm-shm-preload.so" "VHOST_DM_SHM=$(shm_socket)"); }
# The back-ends' own memory is the guest's by a library that is preloaded, or by one that they are linked with,
# both of which ask the guest's vhost-dm: it must have been started.
pmem_start() { # pmem_start NAME memfd|preload|linked [OPTION...]: --size or --file among them
    local name=$1 kind=$2 with=(); shift 2
    [ "$kind" = memfd ] || until_true 60 "vhost-dm's socket for shared memory" test -S "$(shm_socket)"
    case $kind in
    preload) shm_preload;;
    linked) with=(env "VHOST_DM_SHM=$(shm_socket)"); set -- --memory shm "$@";;
    esac
    "${with[@]}" vhost-user-pmem --socket "$T/$name.sock" "$@" >>"$T/$name.backend.log" 2>&1 </dev/null &
    backend_pid[$name]=$!
    until_true 60 "back-end $name" test -S "$T/$name.sock"
}
pmem_said() { # pmem_said NAME PATTERN N: whether it has said that N times
    [ "$(grep -c -E -- "$2" "$T/$1.backend.log")" -ge "$3" ]
}
# Memory of a device that dom0 has no driver for: its BAR is the one that can be mapped write-combined.
framebuffer_find() { local file; file=$(echo /sys/bus/pci/devices/*/resource0_wc); echo "${file%_wc}"; }
shm_socket() { echo "$STATE/$(xl domid "$GUEST").shm"; }
# In dom0, the memory of a back-end as another process sees it: its fd whose name has "memfd:".
pmem_fd() { # pmem_fd NAME
    local fd
    for fd in "/proc/${backend_pid[$1]}/fd/"*; do
        case $(readlink "$fd") in */memfd:*) echo "$fd"; return;; esac
    done
    fail "the back-end $1 has no memfd"
}
pmem_tool() { # pmem_tool NAME memfd|preload|linked COMMAND...: shmtool on it
    local fd with=()
    fd=$(pmem_fd "$1")
    [ "$2" = memfd ] || shm_preload
    shift 2
    "${with[@]}" shmtool "$fd" "$@"
}

# ---- vhost-dm --------------------------------------------------------------------------------------------
dm_spawn() { # dm_spawn ARG...: starts it for the guest, waits for nothing
    local both write
    DM_ARGS=("$@")
    rm -f "$T/ready"; mkfifo "$T/ready"
    # Through a descriptor for both, as opening one end alone would wait for the other; then a reader sees the
    # end when vhost-dm has gone, ready or not.
    exec {both}<>"$T/ready"
    # shellcheck disable=SC2094
    exec {dm_ready_fd}<"$T/ready" {write}>"$T/ready"
    exec {both}>&-
    vhost-dm --domain "$GUEST" --ready-fd 9 "${DM_OPTIONS[@]}" "$@" \
        9>&"$write" >>"$T/dm.log" 2>&1 </dev/null {write}>&- {dm_ready_fd}<&- &
    dm_pid=$!
    exec {write}>&-
}
dm_ready() { # dm_ready SECONDS: waits until it says that the guest may run
    local line=''
    read -r -t $(($1 * SLOW)) -u "$dm_ready_fd" line || fail "vhost-dm is not ready: $(tail -n 3 "$T/dm.log")"
    exec {dm_ready_fd}<&-
    [ "$line" = ready ] || fail "vhost-dm wrote '$line' to its --ready-fd"
    ! declare -F dm_is_ready >/dev/null || dm_is_ready
}
dm_start() { dm_spawn "$@"; dm_ready 60; }
dm_gone() { ! kill -0 "$dm_pid" 2>/dev/null; }
dm_end() { # dm_end SECONDS STATUS: waits until it has ended, with that status
    local status=0
    until_true "$1" 'the end of vhost-dm' dm_gone
    wait "$dm_pid" || status=$?
    dm_pid=''
    [ "$status" = "$2" ] || fail "vhost-dm ended with status $status instead of $2"
}
dm_said() { grep -q -E -- "$1" "$T/dm.log" || fail "vhost-dm did not say '$1'"; }

# ---- the guest -------------------------------------------------------------------------------------------
guest_script() { # guest_script <<SCRIPT: what the guest runs, after cases/guest.sh
    mkdir -p "$T/guest/bin"
    { echo "SLOW=$SLOW"; cat "$JOB/cases/guest.sh"; cat; } >"$T/guest/autorun.sh"
    cp "$JOB/bin/"{disktool,shmtool,streamtool} "$T/guest/bin/"
}
guest_config() {
    local kernel=/guest/vmlinux
    [ "$KIND" = pvh ] || kernel=/guest/vmlinuz
    guest-initrd "$T/guest" "$T/guest.cpio"
    cat <<CONFIG
type = "$KIND"
name = "$GUEST"
memory = $GUEST_MEMORY
vcpus = 1
kernel = "$kernel"
ramdisk = "$T/guest.cpio"
cmdline = "$GUEST_CMDLINE"
tsc_mode = "native"
on_poweroff = "destroy"
on_crash = "destroy"
on_reboot = "$ON_REBOOT"
$GUEST_EXTRA
CONFIG
    [ "$KIND" = pvh ] || printf '%s\n' 'vga = "none"' 'nographic = 1' 'vnc = 0' 'sdl = 0' 'serial = "none"'
}
guest_create() { # guest_create [XL-OPTION...]
    guest_config >"$T/guest.cfg"
    xl create -q "$@" "$T/guest.cfg" >"$T/create.log" 2>&1 || fail "xl create: $(tail -n 3 "$T/create.log")"
}
guest_start() { # guest_start VHOST-DM-ARG...: creates it paused, attaches, lets it run
    guest_create -p
    dm_start "$@"
    xl unpause "$GUEST"
}
guest_console() { echo "/var/log/xen/guest-$GUEST.log"; }
guest_says() { guest-wait "$GUEST" "$1" $(($2 * SLOW)) || fail "the guest did not say '$1'"; }   # guest_says PATTERN SECONDS
guest_tell() { echo "$1" >"$(xenstore-read "/local/domain/$(xl domid "$GUEST")/console/tty")"; } # a line for its script
guest_here() { xl domid "$GUEST" >/dev/null 2>&1; }
guest_gone() { ! guest_here; }
guest_progress() { # guest_progress SECONDS: waits until its load has gone on since now
    local seen
    seen=$(grep -a -c '^DISK-LOAD ' "$(guest_console)" || true)
    until_true "$1" 'progress of the load in the guest' load_lines_more "$seen"
}
# Two lines more, as the first may have been on its way; the load says a line each second, and only its last
# word counts: it must have done more than before.
load_lines_more() {
    local lines
    lines=$(grep -a -c '^DISK-LOAD ' "$(guest_console)" || true)
    [ "$lines" -ge $(($1 + 3)) ] || return 1
    [ "$(grep -a '^DISK-LOAD ' "$(guest_console)" | tail -n 1)" != "$(grep -a '^DISK-LOAD ' "$(guest_console)" | sed -n "$(($1 + 1))p")" ]
}
guest_end() { # guest_end SECONDS: its script must end with 0, then it is gone, and vhost-dm with it
    local line
    line=$(guest_says 'GUEST-RESULT' "$1")
    case $line in *'GUEST-RESULT 0'*) ;; *) fail "the guest's script: $line";; esac
    until_true 60 'the end of the guest' guest_gone
    dm_end 30 0
}

# ---- when something went wrong, and afterwards ------------------------------------------------------------
show() { [ ! -s "$1" ] || { echo "--- $1 ends:"; tail -n "${2:-40}" "$1"; }; }
case_exit() { # case_exit [STATUS]
    local status=${1:-$?} disk
    trap - EXIT
    set +e
    exec >&2
    if [ "$status" != 0 ]; then
        show "$(guest_console)" 60; show "$T/dm.log"; for disk in "$T"/*.backend.log; do show "$disk" 10; done
        show "/var/log/xen/xl-$GUEST.log" 10; xl list
    fi
    for disk in "${!backend_pid[@]}"; do kill -KILL "${backend_pid[$disk]}" 2>/dev/null; done
    wait "${backend_pid[@]}" 2>/dev/null
    exit "$status"
}
rm -rf "$T"; mkdir -p "$T"
trap case_exit EXIT
