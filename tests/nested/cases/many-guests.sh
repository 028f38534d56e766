# Guests: pvh
# Guests come and go: one after the other, and several at once, each destroyed at some moment of its start, or
# rebooted, or let live. Nothing is left of them: no node, process, domain, file, socket, fd or memory. (With
# --rounds 50: fifty in a row, and eight at once. Not HVM guests: of one that is destroyed while xl makes it, libxl may
# leave QEMU, and that the domain, whoever serves its devices.)
. cases/lib.sh
. cases/xl.sh
dmd_install
dmd_start --debug info
disk_make disk 4
cat >"$CONF/back-ends.conf" <<FILE
[shared]
command=qemu-storage-daemon --blockdev driver=file,filename={,file},node-name=disk,read-only=on,locking=off
  --export type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,addr.path={,socket}
FILE
GUEST_MEMORY=128
ON_REBOOT=restart
GUEST_EXTRA='virtio = [ "type=virtio,device2,transport=mmio" ]'
guest_script <<'GUEST'
disk_wait vda 60
echo "GUEST-HAS-DISK"
told 300
GUEST
guest_config >"$T/guest.cfg"
make() { # make N: the configuration of guest number N
    printf '[blk0]\nback-end=shared file=%s\n' "$T/disk.img" >"$CONF/many$1.conf"
    sed "s/^name = .*/name = \"many$1\"/" "$T/guest.cfg" >"$T/many$1.cfg"
}
# Pseudo-random. (That the moments differ is what is tested, so they pass without an event.)
RANDOM=4711
moment() { local tenths=$((RANDOM % 10 * SLOW)); sleep "$((tenths / 10)).$((tenths % 10))"; }
dmd_fds() { find "/proc/$dmd_pid/fd" -mindepth 1 | wc -l; }
dmd_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$dmd_pid/status"; }
free_pages() { xl info free_memory; }
# All of xenstore's nodes, and all files where Xen's tools and ours keep them while guests run. Less what libxl itself
# leaves of a guest that one xl destroys while another has just begun to make it: nothing of any virtio device.
libxls='^/(libxl/[0-9]+(/dm-version)?|local/domain/[0-9]+(/(cpu|domid|memory|store)(/.*)?)?|local/domain/0/backend(/console(/.*)?)?)$'
nodes() { xenstore-ls -f / | sed -n 's/^\(\/[^ ]*\) = .*/\1/p'; }
traces() { { nodes | grep -v -E "$libxls"; find /run /var/lib/xen -xdev; } | sort; }
created() { xl domid "many$1" >/dev/null 2>&1 || ! kill -0 "$2" 2>/dev/null; }
life() { # life N WHAT: one guest from its creation to its end
    local n=$1 what=$2 create
    # In the foreground, so that this process is there as long as somebody makes the guest anew.
    xl create -q -F "$T/many$n.cfg" >"$T/many$n.log" 2>&1 & create=$!
    case $what in
    early) moment; moment;;
    late)
        until_true 60 "many$n to be there" created "$n" $create
        moment; moment
        xl reboot -F "many$n" >/dev/null 2>&1 || true
        moment;;
    full) guest-wait "many$n" 'GUEST-HAS-DISK' $((200 * SLOW)) >/dev/null || { echo "many$n: no disk" >>"$T/failed"; };;
    esac
    while kill -0 $create 2>/dev/null; do
        xl destroy "many$n" >/dev/null 2>&1 || true
        moment
    done
    wait $create || true
}
if [ "$KIND" = hvm ]; then at_once=2; else at_once=4; fi
[ "$ROUNDS" -lt 10 ] || at_once=8
for ((n = 0; n < at_once; n++)); do make $n; done
# The first one, after which nothing may grow.
life 0 full
nothing_is_left 60
fds=$(dmd_fds) kib=$(dmd_kib) pages=$(free_pages)
traces >"$T/traces"
whats=(early late none)
for ((round = 0; round < ROUNDS; round++)); do
    life 0 "${whats[round % 3]}"
done
nothing_is_left 60
note "$ROUNDS in a row"
for ((n = 0; n < at_once; n++)); do (RANDOM=$n; life $n "${whats[n % 3]}") & lives[n]=$!; done
wait "${lives[@]}"
nothing_is_left 120
note "$at_once at once"
traces | diff "$T/traces" - >"$T/left" || fail "left: $(cat "$T/left")"
[ ! -e "$T/failed" ] || fail "$(cat "$T/failed")"
[ "$(dmd_fds)" = "$fds" ] || fail "vhost-dmd has $(dmd_fds) fds, and had $fds: $(ls -l "/proc/$dmd_pid/fd")"
[ "$(dmd_kib)" -le $((kib + 512)) ] || fail "vhost-dmd has $(dmd_kib) KiB, and had $kib"
[ "$(free_pages)" -ge "$pages" ] || fail "Xen has $(free_pages) MiB free, and had $pages"
# That it still works.
life 0 full
nothing_is_left 60
[ ! -e "$T/failed" ] || fail "$(cat "$T/failed")"
note "nodes that libxl has left: $(nodes | grep -E -c "^/local/domain/[1-9][0-9]*$" || true) guests'"
note "vhost-dmd: $fds fds, $kib KiB, and $(dmd_kib) in the end; Xen: $pages MiB free, and $(free_pages)"
dmd_end TERM 0
