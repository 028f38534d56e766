// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holder_keeper.c - see holder_keeper.h. It is started with fork and exec of our own program, so that it
 * holds none of vhost-dm's memory, files and locks; its arguments are the guest's domid and UUID. Fd 3 is a
 * socket to vhost-dm, for as long as the holder is being made.
 */
#include "xen/holder_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "common/process.h"
#include "xen/domain.h"
#include "xen/holder.h"
#include "xen/xen_hypervisor.h"
#include "xen/xenstore_open.h"

#define CONTROL_FD 3
/* How long a keeper may take to answer: it only starts, and writes to xenstore. */
#define TELL_MS 60000
/* Without xenstored it looks for itself, so often. */
#define LOOK_MS 5000

/* ---- vhost-dm's side ------------------------------------------------------------------------------- */

/* In the child: makes it a keeper. */
static void keeper_exec(int control, char *const argv[])
{
    int null;

    setsid();
    null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        _exit(127);
    if (control == CONTROL_FD)
        fcntl(control, F_SETFD, 0);
    else if (dup2(control, CONTROL_FD) < 0)
        _exit(127);
    if (syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 0) != 0)
        for (long fd = sysconf(_SC_OPEN_MAX); fd > CONTROL_FD; fd--)
            close((int)fd);
    execv("/proc/self/exe", argv);
    _exit(127);
}

int holder_keeper_start(struct holder_keeper *keeper, uint16_t guest, const uint8_t guest_uuid[16])
{
    char name[] = XEN_KEEPER_NAME, domid[8], uuid[2 * HOLDER_UUID_LEN + 1];
    char *const argv[] = {name, domid, uuid, NULL};
    sigset_t none, old;
    int both[2];
    pid_t pid;

    snprintf(domid, sizeof(domid), "%u", guest);
    for (int i = 0; i < HOLDER_UUID_LEN; i++)
        snprintf(uuid + 2 * i, 3, "%02x", guest_uuid[i]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) != 0)
        return -errno;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, &old);
    pid = fork();
    if (pid == 0) {
        /* Twice, so that it is nobody's child. */
        pid = fork();
        if (pid == 0)
            keeper_exec(both[1], argv);
        _exit(pid < 0);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(both[1]);
    keeper->fd = both[0];
    if (pid < 0) {
        holder_keeper_drop(keeper);
        return -EAGAIN;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

int holder_keeper_tell(struct holder_keeper *keeper, uint16_t holder)
{
    struct pollfd answer = {.fd = keeper->fd, .events = POLLIN};
    char byte;
    int rc = -EPIPE, n;

    if (send(keeper->fd, &holder, sizeof(holder), MSG_NOSIGNAL) == sizeof(holder)) {
        do
            n = poll(&answer, 1, TELL_MS);
        while (n < 0 && errno == EINTR);
        if (n > 0 && recv(keeper->fd, &byte, 1, MSG_DONTWAIT) == 1)
            rc = 0;
    }
    holder_keeper_drop(keeper);
    return rc;
}

void holder_keeper_drop(struct holder_keeper *keeper)
{
    close(keeper->fd);
    keeper->fd = -1;
}

/* A process, told from others that have had or will have its pid: "PID START", as in /proc/PID/stat. */
static bool process_text(pid_t pid, char *text, size_t len)
{
    unsigned long long start = process_start_time(pid);

    snprintf(text, len, "%d %llu", (int)pid, start);
    return start != 0;
}

static void keeper_path(char path[64], uint16_t holder)
{
    snprintf(path, 64, "/local/domain/%u/vhost-dm/keeper", holder);
}

bool holder_keeper_alive(uint16_t holder)
{
    struct xs_handle *xs = xenstore_open(NULL);
    char path[64], now[64], *then;
    bool alive;

    keeper_path(path, holder);
    then = xs ? xs_read(xs, XBT_NULL, path, NULL) : NULL;
    alive = then && process_text(atoi(then), now, sizeof(now)) && strcmp(now, then) == 0;
    free(then);
    xs_close(xs);
    return alive;
}

/* ---- the keeper's side ----------------------------------------------------------------------------- */

struct keeper {
    xc_interface *xch;
    struct xs_handle *xs; /* NULL: none now */
    int alive;            /* readable when xenstored has ended; or -1 */
    uint16_t guest;
    uint8_t guest_uuid[HOLDER_UUID_LEN], uuid[HOLDER_UUID_LEN];
};

static bool arguments_read(struct keeper *keeper, int argc, char **argv)
{
    if (argc != 3 || strlen(argv[2]) != 2 * HOLDER_UUID_LEN)
        return false;
    keeper->guest = (uint16_t)strtoul(argv[1], NULL, 10);
    for (int i = 0; i < HOLDER_UUID_LEN; i++) {
        unsigned byte;

        if (sscanf(argv[2] + 2 * i, "%2x", &byte) != 1)
            return false;
        keeper->guest_uuid[i] = (uint8_t)byte;
    }
    holder_uuid(keeper->uuid, keeper->guest, keeper->guest_uuid);
    return true;
}

static void holder_end(struct keeper *keeper)
{
    xc_domaininfo_t info;
    char path[64];

    if (holder_find(keeper->xch, keeper->uuid, &info) < 0)
        return;
    if (!(info.flags & XEN_DOMINF_dying))
        xc_domain_destroy(keeper->xch, info.domain);
    if (!keeper->xs)
        keeper->xs = xenstore_open(NULL);
    snprintf(path, sizeof(path), "/local/domain/%u", info.domain);
    if (keeper->xs)
        xs_rm(keeper->xs, XBT_NULL, path);
}

static bool guest_is_gone(const struct keeper *keeper)
{
    struct domain_info info;
    int rc = domain_info_get(keeper->xch, keeper->guest, &info);

    return rc == -ESRCH ||
           (rc == 0 && (info.dying || memcmp(info.uuid, keeper->guest_uuid, sizeof(info.uuid)) != 0));
}

/* Learns which domain the holder is, and writes down who we are. False: vhost-dm ended before. */
static bool holder_take(struct keeper *keeper)
{
    char path[64], self[64];
    uint16_t holder;
    bool ok;

    if (recv(CONTROL_FD, &holder, sizeof(holder), 0) != sizeof(holder))
        return false;
    keeper_path(path, holder);
    ok = process_text(getpid(), self, sizeof(self)) && keeper->xs &&
         xs_write(keeper->xs, XBT_NULL, path, self, (unsigned)strlen(self));
    if (ok)
        send(CONTROL_FD, "", 1, MSG_NOSIGNAL); /* vhost-dm may be gone: we go on */
    close(CONTROL_FD);
    return ok;
}

static void wait_for_change(struct keeper *keeper)
{
    struct pollfd change[] = {{.fd = keeper->xs ? xs_fileno(keeper->xs) : -1, .events = POLLIN},
                              {.fd = keeper->xs ? keeper->alive : -1, .events = POLLIN}};
    char **event;

    if (poll(change, 2, keeper->xs ? -1 : LOOK_MS) <= 0 || !keeper->xs)
        return;
    errno = 0;
    while ((event = xs_check_watch(keeper->xs)))
        free(event);
    if ((errno != EAGAIN && errno != EINTR) || change[1].revents != 0) {
        xs_close(keeper->xs);
        keeper->xs = NULL;
    }
}

int xen_keeper_main(int argc, char **argv)
{
    struct keeper keeper = {.alive = -1};

    prctl(PR_SET_NAME, XEN_KEEPER_NAME);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (chdir("/") != 0 || !arguments_read(&keeper, argc, argv))
        return 2;
    keeper.xch = xc_interface_open(NULL, NULL, 0);
    keeper.xs = xenstore_open(&keeper.alive);
    if (!keeper.xch || !keeper.xs || !xs_watch(keeper.xs, "@releaseDomain", "release"))
        return 1; /* which vhost-dm sees by the socket, and makes no holder */
    if (holder_take(&keeper))
        while (!guest_is_gone(&keeper))
            wait_for_change(&keeper);
    holder_end(&keeper);
    return 0;
}
