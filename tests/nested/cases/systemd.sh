# shellcheck shell=bash
# systemd.sh - dom0's systemd, for cases that want a unit to be what it is on any other dom0. Process 1 of this dom0 is
# the test-bed's, so it runs in process and mount namespaces of its own, and has no units but those it is asked for: all
# else that it sees, folders, sockets, Xen, is dom0's. Sourced after lib.sh.
systemd_pid=''
# (It takes no orders from processes that have no number in its namespace.)
systemctl() { beside_systemd systemctl "$@"; }
# beside_systemd COMMAND...: in systemd's namespaces, so that its units see the processes that come of it, as they do
# see all on another dom0.
beside_systemd() { nsenter -t "$(pgrep -P "$systemd_pid")" -m -p -- "$@"; }
systemd_start() { # systemd_start UNIT...: as the packages have them, and what they want of messages in $T/dm.log
    local units=$T/units unit
    mkdir -p "$units/multi-user.target.wants"
    for unit in multi-user.target basic.target sysinit.target shutdown.target; do
        cp "/usr/lib/systemd/system/$unit" "$units/"
    done
    for unit; do
        ln -s "/usr/lib/systemd/system/$unit" "$units/$unit"
        ln -s "../$unit" "$units/multi-user.target.wants/$unit"
        mkdir "$units/$unit.d"
        printf '[Service]\nStandardOutput=null\nStandardError=append:%s/dm.log\n' "$T" >"$units/$unit.d/log.conf"
    done
    # (A new /proc hides what is mounted in the old one.)
    setsid unshare --mount --propagation private --uts --pid --fork --kill-child --mount-proc sh -c '
        mount -t xenfs xenfs /proc/xen &&
        exec env -i PATH=/usr/sbin:/usr/bin container=test-bed SYSTEMD_UNIT_PATH="$1" SYSTEMD_GENERATOR_PATH=/nowhere \
            /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=warning \
            --show-status=false' sh "$units" </dev/null >"$T/systemd.log" 2>&1 &
    systemd_pid=$!
    until_true 120 "systemd to have started all, see $T/systemd.log" systemd_started
}
systemd_started() {
    kill -0 "$systemd_pid" || fail "systemd has ended: $(tail -n 5 "$T/systemd.log")"
    systemctl is-active -q multi-user.target >>"$T/systemd.log" 2>&1
}
systemd_end() { # with all processes that it has
    [ -n "$systemd_pid" ] || return 0
    kill -KILL "$systemd_pid"
    wait "$systemd_pid" 2>/dev/null || true
    systemd_pid=''
    rm -rf /run/systemd
}
