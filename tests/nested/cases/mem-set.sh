# Guests: pvh
# A guest gets more memory than it began with (xl mem-max, xl mem-set; Linux adds it as hotplugged memory): its driver
# may put its buffers there, and vhost-dm, which did not know that memory, finds it.
. cases/lib.sh
disk_stream disk 320 37
backend_start disk
GUEST_CMDLINE+=' memhp_default_state=online'
guest_script <<'GUEST'
disk_wait vda 30
memory() { awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo; }
before=$(memory)
echo "GUEST-MEMORY $before MiB"
told 60
n=$((600 * SLOW))
until [ "$(memory)" -ge $((before + 100)) ]; do [ $n -gt 0 ] || fail "it has $(memory) MiB still"; n=$((n - 1)); sleep 0.1; done
echo "GUEST-MEMORY $(memory) MiB"
# The page cache takes all memory that there is.
disktool stream $((320 << 20)) 37 | cmp - /dev/vda || fail "other contents"
echo "GUEST-CACHE $(awk '/^(Cached|Buffers):/ { n += $2 } END { print int(n / 1024) }' /proc/meminfo) MiB"
kernel_quiet vda
GUEST
guest_start --debug debug --device "$(blk disk)"
guest_says '^GUEST-MEMORY' 200 >/dev/null
xl mem-max "$GUEST" $((GUEST_MEMORY + 128))
xl mem-set "$GUEST" $((GUEST_MEMORY + 128))
guest_tell "there is more"
guest_end 150
dm_said 'it has got memory at'
note "$(grep -a -h -o 'GUEST-MEMORY .*' "$(guest_console)" | tail -n 1), $(grep -a -o 'GUEST-CACHE .*' "$(guest_console)"); $(grep -o 'it has got memory at .*' "$T/dm.log" | head -n 1)"
