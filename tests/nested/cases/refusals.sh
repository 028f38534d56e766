# Guests: pvh
# What cannot work is refused with one line that says what and what to do, and a status other than 0; nothing
# is left of the try.
. cases/lib.sh
disk_make disk 16
guest_script <<'GUEST'
disk_wait vda 30
GUEST
guest_create -p
domain=$(xl domid "$GUEST")

refused() { # refused WHAT PATTERN COMMAND...
    local what=$1 pattern=$2 status=0; shift 2
    timeout 30 "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
    [ $status != 0 ] && [ $status -lt 124 ] || fail "$what: status $status"
    [ ! -s "$T/out" ] || fail "$what: standard output: $(cat "$T/out")"
    # (Before it there may be a line that says how far it came.)
    [ "$(grep -c 'error: ' "$T/err")" = 1 ] || fail "$what: not one error: $(cat "$T/err")"
    tail -n 1 "$T/err" | grep -q -i -E -- "error: .*$pattern" ||
        fail "$what: the last line does not say '$pattern': $(cat "$T/err")"
    note "$what: $(tail -n 1 "$T/err")"
}
ok="type=blk,socket=$T/disk.sock"
refused 'no --domain' '--domain' vhost-dm --device "$ok"
refused 'no --device' '--device' vhost-dm --domain "$GUEST"
refused 'unknown option' '--help' vhost-dm --domain "$GUEST" --device "$ok" --frobnicate
refused 'unknown key' 'colour' vhost-dm --domain "$GUEST" --device "$ok,colour=red"
refused 'unknown type' 'type=' vhost-dm --domain "$GUEST" --device "type=floppy,socket=$T/disk.sock"
refused 'bad slot' 'slot=' vhost-dm --domain "$GUEST" --device "$ok,slot=0x20"
refused 'no socket key' 'socket' vhost-dm --domain "$GUEST" --device type=blk
refused 'bad --ready-fd' 'ready-fd' vhost-dm --domain "$GUEST" --device "$ok" --ready-fd 77
refused 'bad level' 'debug' vhost-dm --domain "$GUEST" --device "$ok" -d shout
refused 'missing socket' "$T/disk.sock.*No such file.*qemu-storage-daemon" vhost-dm --domain "$GUEST" --device "$ok"
refused 'domain number that does not exist' '999' vhost-dm --domain 999 --device "$ok"
refused 'domain name that does not exist' 'nobody-here' vhost-dm --domain nobody-here --device "$ok"
refused 'dom0' 'domain 0' vhost-dm --domain 0 --device "$ok"
# (Copied to where everybody may run it.)
install -m 755 "$(command -v vhost-dm)" /run/vhost-dm-for-all
refused 'no privilege' 'root|privilege|permission' setpriv --reuid 65534 --regid 65534 --clear-groups \
    /run/vhost-dm-for-all --domain "$GUEST" --device "$ok"
rm /run/vhost-dm-for-all
# A file that is no socket.
touch "$T/file.sock"
refused 'no socket but a file' 'file.sock' vhost-dm --domain "$GUEST" --device "type=blk,socket=$T/file.sock"
disk_make two 16
backend_start disk
backend_start two
refused 'one slot twice' 'slot' vhost-dm --domain "$GUEST" --device "$ok,slot=3" --device "type=blk,socket=$T/two.sock,slot=3"
dm_start --device "$ok"
refused 'a second vhost-dm for the guest' "process $dm_pid" vhost-dm --domain "$domain" --device "$ok"
for file in ctl grant state; do [ -e "$STATE/$(xl domid "$GUEST").$file" ] || fail "the second one has removed the first one's .$file"; done
# All that did no harm: the guest boots and works.
xl unpause "$GUEST"
guest_end 150
