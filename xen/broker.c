// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * broker.c - see broker.h. It is started with fork and exec, so that it holds none of vhost-dm's memory,
 * files and locks; its arguments are its scope. Two sockets join the two: CALLS_FD has one request and its
 * reply at a time, EVENTS_FD tells of the guest's end one way, and to look for it the other way.
 */
#include "xen/broker.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <xenctrl.h>

#include "common/device_grant.h"
#include "common/fd_message.h"
#include "common/log.h"
#include "common/process.h"
#include "common/unix_listen.h"
#include "common/util.h"
#include "xen/device_grants.h"
#include "xen/domain_watch.h"
#include "xen/xen_hypervisor.h"
#include "xen/xen_logger.h"

#define CALLS_FD  3
#define EVENTS_FD 4
/* How long it may take to be ready, and for one request: the longest are of 64 GiB, page by page. */
#define START_MS 60000
#define CALL_MS  600000

/* Its arguments: name, domid, uuid, name of the guest, shared pages, paths of the grants, the list, the
 * socket and the record, the number of files, files, devices. */
enum {
    ARG_DOMID = 1,
    ARG_UUID,
    ARG_NAME,
    ARG_PAGES,
    ARG_GRANTS,
    ARG_LIST,
    ARG_SOCKET,
    ARG_KEPT,
    ARG_NR_FILES,
    ARG_FILES
};
#define MAX_FILES   8
#define MAX_DEVICES 64
/* One who tells of a device takes no time for it. */
#define GRANT_SECONDS 1
/* For the end of vhost-dm after its guest's: it takes a few seconds of a busy machine. */
#define LAST_SECONDS 60

/* ---- messages ------------------------------------------------------------------------------------------ */

static int message_await(int sock, int limit_ms)
{
    struct pollfd pfd = {.fd = sock, .events = POLLIN};
    int n;

    do
        n = poll(&pfd, 1, limit_ms);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

/* ---- vhost-dm's side ----------------------------------------------------------------------------------- */

struct broker {
    struct privileged base;
    char name[80]; /* of the guest, for messages */
    int calls, events;
    pid_t pid;
    struct ev_loop *loop; /* NULL before broker_watch */
    ev_io io;
    void (*ended)(void *ctx, const char *why); /* NULL when told */
    void *ctx;
};

/* Without it nothing in the guest can be changed any more, and its end would not be noticed. What a killed
 * vhost-dm leaves is what its successor goes on with. */
static void broker_lost(const struct broker *broker, int rc) __attribute__((noreturn));

static void broker_lost(const struct broker *broker, int rc)
{
    log_error("%s: the process that acts for it with more rights (%d) has ended or does not answer (%s): "
              "ending as if "
              "killed; the guest goes on when vhost-dm is started again",
              broker->name, (int)broker->pid, strerror(-rc));
    _exit(EXIT_FAILURE);
}

static void broker_call(struct privileged *p, const struct privileged_request *request, int fd,
                        struct privileged_reply *reply, int *fd_out)
{
    struct broker *broker = container_of(p, struct broker, base);
    int rc = fd_message_send(broker->calls, request, sizeof(*request), fd, 0);

    /* An fd that cannot be sent is the asker's trouble (too many in flight). */
    if (rc == -ETOOMANYREFS || rc == -EBADF) {
        *reply = (struct privileged_reply){.rc = rc};
        *fd_out = -1;
        return;
    }
    if (rc == 0)
        rc = message_await(broker->calls, CALL_MS);
    if (rc == 0)
        rc = fd_message_receive(broker->calls, reply, sizeof(*reply), fd_out, 0);
    /* All but the fd has come, for which this process has no place: a refusal as any other. */
    if (rc == -EMFILE)
        reply->rc = rc;
    else if (rc < 0)
        broker_lost(broker, rc);
}

/* Who is going to be confined is not believed: root has told the broker before, or not. */
static int broker_grant(struct privileged *p, const char *text)
{
    char socket[DEVICE_GRANT_LEN];
    size_t len;
    const char *its = device_grants_socket(text, &len);

    if (!its || len >= sizeof(socket))
        return -EINVAL;
    snprintf(socket, sizeof(socket), "%.*s", (int)len, its);
    return privileged_socket_known(p, socket);
}

static void broker_free_base(struct privileged *p)
{
    broker_free(container_of(p, struct broker, base));
}

/* In the child: becomes it. */
static void broker_exec(int calls, int events, char *const argv[])
{
    /* Both out of the way of the numbers that they get. */
    calls = fcntl(calls, F_DUPFD, EVENTS_FD + 1);
    events = fcntl(events, F_DUPFD, EVENTS_FD + 1);
    if (calls < 0 || events < 0 || dup2(calls, CALLS_FD) < 0 || dup2(events, EVENTS_FD) < 0)
        _exit(127);
    if (syscall(SYS_close_range, EVENTS_FD + 1, ~0U, 0) != 0)
        for (long fd = sysconf(_SC_OPEN_MAX); fd > EVENTS_FD; fd--)
            close((int)fd);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static int broker_start(struct broker *broker, const struct privileged_scope *scope, int calls, int events)
{
    char name[] = XEN_BROKER_NAME, domid[8], uuid[2 * sizeof(scope->uuid) + 1], guest[sizeof(scope->name)],
         pages[24], nr_files[8];
    const char *argv[ARG_FILES + MAX_FILES + MAX_DEVICES + 1] = {name,
                                                                 domid,
                                                                 uuid,
                                                                 guest,
                                                                 pages,
                                                                 scope->grants_path,
                                                                 scope->list_path,
                                                                 scope->grant_socket,
                                                                 scope->kept_path,
                                                                 nr_files};
    sigset_t none, old;

    if (scope->nr_files > MAX_FILES || scope->nr_devices > MAX_DEVICES)
        return -EINVAL;
    for (unsigned i = 0; i < scope->nr_files; i++)
        argv[ARG_FILES + i] = scope->files[i];
    for (unsigned i = 0; i < scope->nr_devices; i++)
        argv[ARG_FILES + scope->nr_files + i] = scope->devices[i];
    snprintf(nr_files, sizeof(nr_files), "%u", scope->nr_files);
    snprintf(domid, sizeof(domid), "%u", scope->domid);
    snprintf(guest, sizeof(guest), "%s", scope->name);
    snprintf(pages, sizeof(pages), "%" PRIu64, scope->max_shared_pages);
    for (size_t i = 0; i < sizeof(scope->uuid); i++)
        snprintf(uuid + 2 * i, 3, "%02x", scope->uuid[i]);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, &old);
    broker->pid = fork();
    if (broker->pid == 0)
        broker_exec(calls, events, (char *const *)(uintptr_t)argv);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return broker->pid < 0 ? -errno : 0;
}

int broker_new(struct broker **out, const struct privileged_scope *scope)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    int calls[2] = {-1, -1}, events[2] = {-1, -1}, rc = 0, none;
    int32_t status = -EPIPE;

    if (!broker)
        return -ENOMEM;
    broker->base = (struct privileged){broker_call, broker_grant, broker_free_base};
    snprintf(broker->name, sizeof(broker->name), "dom %u (%s)", scope->domid, scope->name);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, calls) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events) != 0)
        rc = -errno;
    broker->calls = calls[0];
    broker->events = events[0];
    if (rc == 0)
        rc = broker_start(broker, scope, calls[1], events[1]);
    if (calls[1] >= 0)
        close(calls[1]);
    if (events[1] >= 0)
        close(events[1]);
    if (rc == 0)
        rc = message_await(broker->calls, START_MS);
    if (rc == 0)
        rc = fd_message_receive(broker->calls, &status, sizeof(status), &none, 0);
    if (rc == 0)
        rc = status;
    if (rc < 0) {
        broker_free(broker);
        return rc;
    }
    *out = broker;
    return 0;
}

void broker_free(struct broker *broker)
{
    if (!broker)
        return;
    if (broker->loop)
        ev_io_stop(broker->loop, &broker->io);
    if (broker->calls >= 0)
        close(broker->calls);
    if (broker->events >= 0)
        close(broker->events);
    free(broker);
}

struct privileged *broker_privileged(struct broker *broker)
{
    return &broker->base;
}

static void on_event(struct ev_loop *loop, ev_io *io, int revents)
{
    struct broker *broker = container_of(io, struct broker, io);
    char why[128] = "";
    int none, rc = fd_message_receive(broker->events, why, sizeof(why), &none, 0);

    (void)revents;
    if (rc < 0)
        broker_lost(broker, rc);
    why[sizeof(why) - 1] = '\0';
    ev_io_stop(loop, io);
    if (broker->ended) {
        void (*ended)(void *ctx, const char *why) = broker->ended;

        broker->ended = NULL;
        ended(broker->ctx, why);
    }
}

void broker_watch(struct broker *broker, struct ev_loop *loop, void (*ended)(void *ctx, const char *why),
                  void *ctx)
{
    broker->loop = loop;
    broker->ended = ended;
    broker->ctx = ctx;
    ev_io_init(&broker->io, on_event, broker->events, EV_READ);
    ev_io_start(loop, &broker->io);
}

void broker_poke(struct broker *broker)
{
    /* If the socket is full it is going to look anyway. */
    if (send(broker->events, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return;
}

/* ---- the broker's side --------------------------------------------------------------------------------- */

struct half {
    struct privileged_scope scope;
    struct privileged *server;
    xc_interface *xch;
    struct domain_watch *watch;
    struct ev_loop *loop;
    ev_io calls, events;
    int asker; /* pidfd of vhost-dm */
    ev_io asker_end;
    ev_timer last; /* runs when the guest has ended */
    struct log_limit limit;
    char name[80];
    int grant_fd; /* listens; below 0: none */
    ev_io grants;
};

static bool arguments_read(struct half *half, int argc, char **argv)
{
    struct privileged_scope *scope = &half->scope;

    if (argc < ARG_FILES || strlen(argv[ARG_UUID]) != 2 * sizeof(scope->uuid))
        return false;
    scope->domid = (uint16_t)strtoul(argv[ARG_DOMID], NULL, 10);
    for (size_t i = 0; i < sizeof(scope->uuid); i++) {
        unsigned byte;

        if (sscanf(argv[ARG_UUID] + 2 * i, "%2x", &byte) != 1)
            return false;
        scope->uuid[i] = (uint8_t)byte;
    }
    snprintf(scope->name, sizeof(scope->name), "%s", argv[ARG_NAME]);
    scope->max_shared_pages = strtoull(argv[ARG_PAGES], NULL, 10);
    scope->grants_path = argv[ARG_GRANTS];
    scope->list_path = argv[ARG_LIST];
    scope->grant_socket = argv[ARG_SOCKET];
    scope->kept_path = argv[ARG_KEPT];
    scope->nr_files = (unsigned)strtoul(argv[ARG_NR_FILES], NULL, 10);
    if (scope->nr_files > (unsigned)(argc - ARG_FILES))
        return false;
    scope->files = (const char *const *)argv + ARG_FILES;
    scope->nr_devices = (unsigned)(argc - ARG_FILES) - scope->nr_files;
    scope->devices = scope->files + scope->nr_files;
    snprintf(half->name, sizeof(half->name), "dom %u (%s)", scope->domid, scope->name);
    return true;
}

static void asker_kill(const struct half *half)
{
    syscall(SYS_pidfd_send_signal, half->asker, SIGKILL, NULL, 0);
}

static void on_call(struct ev_loop *loop, ev_io *io, int revents)
{
    struct half *half = container_of(io, struct half, calls);
    struct privileged_request request = {0};
    struct privileged_reply reply;
    int fd, fd_out = -1, rc = fd_message_receive(CALLS_FD, &request, sizeof(request), &fd, MSG_DONTWAIT);

    (void)revents;
    if (rc == -EAGAIN)
        return;
    if (rc == 0) {
        half->server->call(half->server, &request, fd, &reply, &fd_out);
    } else if (rc == -EPROTO || rc == -EMFILE) {
        log_write_limited(&half->limit, LOG_LEVEL_WARNING,
                          "%s: a request to the privileged process that makes no sense is refused",
                          half->name);
        memset(&reply, 0, sizeof(reply));
        reply.rc = rc;
    } else { /* vhost-dm has ended */
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    /* vhost-dm takes each reply before it asks again. One that does not is not what it was, and we do not
     * wait for it. */
    rc = fd_message_send(CALLS_FD, &reply, sizeof(reply), fd_out, MSG_DONTWAIT);
    if (rc == -EAGAIN) {
        log_error("%s: its vhost-dm asks and does not take the answers: it is ended", half->name);
        asker_kill(half);
    }
    if (fd >= 0)
        close(fd);
    if (fd_out >= 0)
        close(fd_out);
    if (rc < 0)
        ev_break(loop, EVBREAK_ALL);
}

static void on_poke(struct ev_loop *loop, ev_io *io, int revents)
{
    struct half *half = container_of(io, struct half, events);
    char byte;
    ssize_t n = recv(EVENTS_FD, &byte, 1, MSG_DONTWAIT);

    (void)revents;
    if (n > 0)
        domain_watch_poke(half->watch);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        ev_break(loop, EVBREAK_ALL);
}

/* Whoever else has got our sockets is not to have us without it. */
static void on_asker_end(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)io, (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void on_last(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct half *half = container_of(timer, struct half, last);

    (void)revents;
    log_error("%s: its vhost-dm has not ended %d s after the guest: it is ended", half->name, LAST_SECONDS);
    asker_kill(half);
    ev_break(loop, EVBREAK_ALL);
}

/* We go before Xen gives the number of the domain to another one. */
static void on_ended(void *ctx, const char *why)
{
    struct half *half = ctx;
    char text[128] = "";

    snprintf(text, sizeof(text), "%s", why);
    ev_timer_init(&half->last, on_last, LAST_SECONDS, 0);
    ev_timer_start(half->loop, &half->last);
    fd_message_send(EVENTS_FD, text, sizeof(text), -1, MSG_DONTWAIT);
}

/* ---- the broker's side: devices that root gives to the guest ------------------------------------------- */

static bool peer_is_root(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == 0;
}

/* One message, one answer. */
static void on_grant(struct ev_loop *loop, ev_io *io, int revents)
{
    struct half *half = container_of(io, struct half, grants);
    struct timeval limit = {.tv_sec = GRANT_SECONDS};
    int fd = accept4(half->grant_fd, NULL, NULL, SOCK_CLOEXEC);
    char text[DEVICE_GRANT_LEN];
    ssize_t n;
    int32_t rc;

    (void)loop, (void)revents;
    if (fd < 0)
        return;
    if (peer_is_root(fd) && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        (n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
        text[n] = '\0';
        rc = strlen(text) == (size_t)n ? half->server->grant(half->server, text) : -EINVAL;
        if (rc == 0)
            log_info("%s: may be given the device %s", half->name, text);
        fd_message_send(fd, &rc, sizeof(rc), -1, MSG_DONTWAIT);
    }
    close(fd);
}

/* What a predecessor left there is of no use: its vhost-dm has ended. */
static void grants_listen(struct half *half)
{
    half->grant_fd = unix_listen(half->scope.grant_socket, SOCK_SEQPACKET, 4);
    if (half->grant_fd < 0) {
        log_warning("%s: vhost-dmctl add is going to be refused, as there is no socket %s: %s", half->name,
                    half->scope.grant_socket, strerror(-half->grant_fd));
        return;
    }
    ev_io_init(&half->grants, on_grant, half->grant_fd, EV_READ);
    ev_io_start(half->loop, &half->grants);
}

/* ---- the broker's side: its life ------------------------------------------------------------------------
 */

/* The process that made our sockets: its pidfd, or a negative errno. */
static int asker_open(void)
{
    pid_t pid = process_of_peer(CALLS_FD);

    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -ESRCH;
}

static int half_watch(struct half *half)
{
    half->xch = xc_interface_open(xen_logger(), xen_logger(), 0);
    if (!half->xch)
        return -errno;
    half->loop = ev_default_loop(EVFLAG_AUTO);
    if (!half->loop)
        return -ENOMEM;
    grants_listen(half);
    return domain_watch_new(&half->watch, half->xch, half->scope.domid, half->name);
}

/* 0 or negative errno. */
static int half_open(struct half *half)
{
    int rc = privileged_server_new(&half->server, &half->scope);

    if (rc < 0)
        return rc;
    rc = half_watch(half);
    if (rc < 0)
        privileged_unpause(half->server);
    return rc;
}

int xen_broker_main(int argc, char **argv)
{
    static struct half half;
    int32_t rc;

    prctl(PR_SET_NAME, XEN_BROKER_NAME);
    /* vhost-dm's end is ours; until then it may have requests. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    fcntl(CALLS_FD, F_SETFD, FD_CLOEXEC);
    fcntl(EVENTS_FD, F_SETFD, FD_CLOEXEC);
    /* It stays in vhost-dm's folder, from which the names of sockets may be. */
    if (!arguments_read(&half, argc, argv))
        return 2;
    half.asker = asker_open();
    /* Without it we would not know when others have our sockets and it has ended. */
    rc = half.asker < 0 ? -ENOSYS : half_open(&half);
    if (fd_message_send(CALLS_FD, &rc, sizeof(rc), -1, 0) < 0 || rc < 0) {
        /* Nobody is there to let the guest go. */
        if (rc == 0)
            privileged_unpause(half.server);
        privileged_free(half.server); /* NULL: it was not made */
        return 1;
    }
    domain_watch_start(half.watch, half.loop, on_ended, &half);
    ev_io_init(&half.calls, on_call, CALLS_FD, EV_READ);
    ev_io_start(half.loop, &half.calls);
    ev_io_init(&half.events, on_poke, EVENTS_FD, EV_READ);
    ev_io_start(half.loop, &half.events);
    ev_io_init(&half.asker_end, on_asker_end, half.asker, EV_READ);
    ev_io_start(half.loop, &half.asker_end);
    ev_run(half.loop, 0);
    domain_watch_free(half.watch);
    privileged_free(half.server);
    xc_interface_close(half.xch);
    return 0;
}
