# shellcheck shell=bash
# Guests: pvh
# Guests by name only: hvm
# A vhost-dm that somebody else has taken over (../../takeover): its process tries what it can, in files, in other
# processes, at another guest and dom0, at the privileged process. Confined it comes to nothing, and the other guest
# does not notice; with all rights the same tries succeed. Its guest goes on with another vhost-dm.
. cases/lib.sh
# What starts the program of that name from now on.
mkdir "$T/taken"; ln -s "$JOB/bin/vhost-dm-taken-over" "$T/taken/vhost-dm"
disk_make disk 16
backend_start disk
guest_script <<'GUEST'
disk_wait vda 30
dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null || fail "reading the disk"
GUEST
# Another guest, with a vhost-dm and a holder of its own; it stays paused.
other=$GUEST-other
guest_config | sed "s/^name = .*/name = \"$other\"/; s/^memory = .*/memory = 160/" >"$T/other.cfg"
disk_make other 16
backend_start other
xl create -q -p "$T/other.cfg" || fail "xl create $other"
vhost-dm --domain "$other" --device "$(blk other)" --confine=on >"$T/other.log" 2>&1 </dev/null & other_dm=$!
other_domain=$(xl domid "$other")
until_true 60 "vhost-dm of the other guest" grep -q 'ready: ' "$T/other.log"
paused() { xl list "$1" | awk 'NR == 2 { print $5 }'; }
before=$(paused "$other")
other_files() { (cd "$STATE" && for f in "$other_domain".*; do [ -S "$f" ] || md5sum "$f"; stat -c '%n %a %U' "$f"; done) | md5sum; }
files_before=$(other_files)

guest_create -p
domain=$(xl domid "$GUEST")
sleep 100000 & somebody=$!
export TAKEOVER_DOMAIN=$domain TAKEOVER_OTHERS="$other_domain 0" TAKEOVER_PROCESS=$somebody TAKEOVER_SOCKET=$STATE/$other_domain.ctl
taken_over() { # taken_over FILE OPTION...: runs it to its end, says with which status
    local file=$1 status=0; shift
    PATH=$T/taken:$PATH timeout $((120 * SLOW)) vhost-dm --domain "$GUEST" --device "$(blk disk)" "$@" >"$T/$file" 2>&1 </dev/null || status=$?
    grep -a TAKEOVER "$T/$file" >>"$T/dm.log"
    grep -q -E '^TAKEOVER (end|flood begins)' "$T/$file" || { tail -n 5 "$T/$file"; fail "$file: it did not come to its end (status $status)"; }
    echo $status
}

# With all rights: what is tried does succeed.
status=$(taken_over free --confine=off)
[ "$status" = 0 ] || fail "with all rights: status $status"
for name in read write grant-table new-port device-model raw-map raw-port raw-hypercall; do
    grep -q "^TAKEOVER xen-$name-$other_domain done" "$T/free" || fail "with all rights: $(grep "xen-$name-$other_domain" "$T/free")"
done
! grep '^TAKEOVER call-.* refused' "$T/free" || fail "refused to a process with all rights"
[ "$(grep -c '^TAKEOVER call-.* done' "$T/free")" -ge 35 ] || fail "with all rights only $(grep -c ' done' "$T/free") tries succeeded"
rm -f /tmp/taken-over

# Confined: nothing does, but what is its own.
confined() { # confined FILE STATUS [OPTION...]
    local file=$1 expected=$2 status; shift 2
    status=$(taken_over "$file" --confine=on "$@")
    ! grep '^TAKEOVER .* done' "$T/$file" | grep -v '^TAKEOVER own-' || fail "$file: what must be refused was done"
    ! grep '^TAKEOVER own-.* refused' "$T/$file" || fail "$file: it cannot do what is its own"
    # Of the list of system calls, not by chance.
    ! grep '^TAKEOVER call-.* refused' "$T/$file" | grep -v ' refused 1$' || fail "$file: refused for another reason"
    # shellcheck disable=SC2053
    [[ $status == $expected ]] || fail "$file: status $status instead of $expected"
    until_true 30 'the end of the privileged process' broker_gone
}
broker_gone() { [ "$(pgrep -c -x vhost-dm-broker)" = 1 ]; }     # (the other guest's is there)
confined confined '1[35]9'             # ended by SIGSYS, for a system call of 32-bit programs; or there are none
note "$(grep -c '^TAKEOVER call-.* refused' "$T/confined") system calls, $(grep -c '^TAKEOVER xen-.* refused' "$T/confined") requests to Xen and $(grep -c '^TAKEOVER broker-.* refused' "$T/confined") to the privileged process are refused"
TAKEOVER_FLOOD=1 confined flood 137    # ended by the privileged process

# Nobody else has noticed.
kill -0 $somebody || fail "somebody else's process has ended"
kill $somebody
kill -0 $other_dm || fail "the other guest's vhost-dm has ended: $(cat "$T/other.log")"
[ "$(paused "$other")" = "$before" ] || fail "the other guest is $(paused "$other")"
[ "$(other_files)" = "$files_before" ] || fail "the other guest's files have changed: $(ls -l "$STATE")"
[ "$(paused "$GUEST")" = "$before" ] || fail "its own guest is no longer paused as it was: $(paused "$GUEST")"
[ ! -e /tmp/taken-over ] || fail "it has made a file"

# Its guest has a vhost-dm again (one with all rights: it removes what privileged processes have left), and its device.
dm_start --device "$(blk disk)" --confine=off
xl unpause "$GUEST"
guest_end 200
xl destroy "$other"
until_true 60 "the end of the other guest's vhost-dm" eval '! kill -0 $other_dm 2>/dev/null'
wait $other_dm || fail "the other guest's vhost-dm ended with status $?"
