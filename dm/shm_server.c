// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shm_server.c - see shm_server.h. A process has connections (more than one when the library is both linked
 * and preloaded) and uses; its uses are its own, not its connections'. Who cannot be told by a pid, being in
 * a name space that we do not see, is gone with its connection.
 */
#include "dm/shm_server.h"

#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd_keep.h"
#include "common/fd_message.h"
#include "common/log.h"
#include "common/process.h"
#include "common/unix_listen.h"
#include "common/util.h"
#include "dm/host.h"
#include "dm/hypervisor.h"
#include "dm/shm_pool.h"
#include "lib/shm_protocol.h"

/* Without a free fd a connection is not accepted but stays pending: later we look again. */
#define ACCEPT_AGAIN_SECONDS 1.0

struct process {
    struct list_link link; /* in server->processes */
    struct shm_server *server;
    pid_t pid; /* 0: not known to us */
    uint64_t start_time;
    int pidfd; /* owned; readable when it has ended; -1: none */
    ev_io ended;
    unsigned nr_connections;
    struct list_link uses; /* of struct process_use */
};

struct process_use {
    struct list_link link;
    uint64_t id;
    struct shm_use use;
};

struct connection {
    struct list_link link; /* in server->connections */
    struct shm_server *server;
    struct process *process;
    int fd; /* owned */
    ev_io io;
};

struct shm_server {
    struct ev_loop *loop;
    struct shm_pool *pool;
    const char *name;
    char path[108]; /* of a socket: sun_path has no more */
    int fd;         /* owned: listens */
    ev_io io;
    ev_timer again;
    unsigned nr_connections, nr_processes;
    struct list_link connections, processes;
    struct log_limit limit;
};

/* ---- processes ------------------------------------------------------------------------------------- */

static void use_free(struct process_use *use)
{
    list_remove(&use->link);
    free(use);
}

static void use_drop(struct process_use *use)
{
    shm_use_drop(&use->use);
    use_free(use);
}

/* Forgets the process; gone: what it used is given back. */
static void process_free(struct process *process, bool gone)
{
    struct process_use *use, *tmp;

    list_for_each_safe (use, tmp, &process->uses, link) {
        if (gone)
            use_drop(use);
        else
            use_free(use);
    }
    if (process->pidfd >= 0) {
        ev_io_stop(process->server->loop, &process->ended);
        close(process->pidfd);
    }
    list_remove(&process->link);
    process->server->nr_processes--;
    free(process);
}

static void connection_free(struct connection *c)
{
    struct shm_server *server = c->server;
    struct process *process = c->process;

    ev_io_stop(server->loop, &c->io);
    close(c->fd);
    list_remove(&c->link);
    server->nr_connections--;
    free(c);
    if (--process->nr_connections == 0 && (process->pidfd < 0 || list_is_empty(&process->uses)))
        process_free(process, true);
}

static void on_process_ended(struct ev_loop *loop, ev_io *io, int revents)
{
    struct process *process = io->data;
    struct connection *c, *tmp;

    (void)loop;
    (void)revents;
    log_debug("%s: process %d, which had shared pages, has ended", process->server->name, (int)process->pid);
    /* A child may hold its connection still. */
    process->nr_connections++;
    list_for_each_safe (c, tmp, &process->server->connections, link)
        if (c->process == process)
            connection_free(c);
    process_free(process, true);
}

static struct process *process_find(struct shm_server *server, pid_t pid, uint64_t start_time)
{
    struct process *process;

    list_for_each (process, &server->processes, link)
        if (pid > 0 && process->pid == pid && process->start_time == start_time)
            return process;
    return NULL;
}

static struct process *process_new(struct shm_server *server, pid_t pid, uint64_t start_time)
{
    struct process *process = calloc(1, sizeof(*process));

    if (process == NULL)
        return NULL;
    process->server = server;
    process->pid = pid;
    process->start_time = start_time;
    list_init(&process->uses);
    list_append(&server->processes, &process->link);
    server->nr_processes++;
    process->pidfd = pid > 0 ? fd_keep_own((int)syscall(SYS_pidfd_open, pid, 0)) : -1;
    if (process->pidfd >= 0) {
        ev_io_init(&process->ended, on_process_ended, process->pidfd, EV_READ);
        process->ended.data = process;
        ev_io_start(server->loop, &process->ended);
    }
    return process;
}

/* ---- requests -------------------------------------------------------------------------------------- */

static int op_attach(struct connection *c, const struct shm_request *q, int fd, struct shm_reply *reply,
                     int *reply_fd)
{
    struct hypervisor *hv = shm_pool_hypervisor(c->server->pool);
    struct shared_export export;
    int rc = hv->ops->pages->shared_export(hv, &export);

    (void)q;
    (void)fd;
    if (rc != 0)
        return rc;
    reply->access = export.access == SHARED_BY_MMAP ? SHM_ACCESS_MMAP : SHM_ACCESS_DOMAIN;
    reply->domid = export.domid;
    reply->first_gfn = export.first_gfn;
    *reply_fd = export.fd;
    return 0;
}

/* The same after a restart: the process goes on with it. */
static uint64_t use_id(const struct shm_use *use)
{
    return use->slot + 1u;
}

/* Notes that the process uses a; the reply tells which pages it is. */
static int process_uses(struct process *process, struct shm_allocation *a, struct shm_reply *reply)
{
    struct process_use *use = malloc(sizeof(*use));
    int rc;

    if (use == NULL)
        return -ENOMEM;
    rc = shm_use_add(a, process->pid, process->start_time, &use->use);
    if (rc != 0) {
        free(use);
        return rc;
    }
    use->id = use_id(&use->use);
    list_append(&process->uses, &use->link);
    reply->id = use->id;
    reply->page = shm_allocation_page(a);
    reply->nr_pages = shm_allocation_nr_pages(a);
    return 0;
}

static int op_allocate(struct connection *c, const struct shm_request *q, int fd, struct shm_reply *reply,
                       int *reply_fd)
{
    struct shm_allocation *a;
    int rc = shm_pool_allocate(c->server->pool, fd, &a);

    (void)q;
    (void)reply_fd;
    if (rc != 0) {
        log_limited(&c->server->limit, LOG_LEVEL_WARNING, "%s: no shared pages for process %d: %s",
                    c->server->name, (int)c->process->pid,
                    rc == -EDQUOT ? "the limit of this guest (--shm-limit) is reached"
                    : rc == -EPERM
                        ? "this host does not let this guest have them, or the file cannot be sealed"
                        : strerror(-rc));
        return rc;
    }
    rc = process_uses(c->process, a, reply);
    shm_allocation_put(a);
    return rc;
}

static int op_open(struct connection *c, const struct shm_request *q, int fd, struct shm_reply *reply,
                   int *reply_fd)
{
    struct shm_allocation *a;
    struct stat st;

    (void)q;
    (void)reply_fd;
    if (fstat(fd, &st) != 0)
        return -EBADF;
    a = shm_pool_find(c->server->pool, fd, &st);
    return a != NULL ? process_uses(c->process, a, reply) : -ENOENT;
}

static int op_close(struct connection *c, const struct shm_request *q, int fd, struct shm_reply *reply,
                    int *reply_fd)
{
    struct process_use *use;

    (void)fd;
    (void)reply;
    (void)reply_fd;
    list_for_each (use, &c->process->uses, link)
        if (use->id == q->id) {
            use_drop(use);
            return 0;
        }
    return -ENOENT;
}

static const struct {
    bool wants_fd;
    int (*fn)(struct connection *c, const struct shm_request *q, int fd, struct shm_reply *reply,
              int *reply_fd);
} ops[] = {
    [SHM_ATTACH] = {false, op_attach},
    [SHM_ALLOCATE] = {true, op_allocate},
    [SHM_OPEN] = {true, op_open},
    [SHM_CLOSE] = {false, op_close},
};

/* ---- messages -------------------------------------------------------------------------------------- */

static bool request_serve(struct connection *c, const struct shm_request *q, int fd)
{
    struct shm_reply reply = {.version = SHM_PROTOCOL_VERSION};
    int reply_fd = -1;
    bool sent;

    if (q->version != SHM_PROTOCOL_VERSION)
        reply.error = -EPROTONOSUPPORT;
    else if (q->op >= ARRAY_SIZE(ops))
        reply.error = -EOPNOTSUPP;
    else if (ops[q->op].wants_fd != (fd >= 0))
        reply.error = -EBADF;
    else
        reply.error = ops[q->op].fn(c, q, fd, &reply, &reply_fd);
    /* One who does not take its replies is not worth waiting for. */
    sent = fd_message_send(c->fd, &reply, sizeof(reply), reply_fd, MSG_DONTWAIT) == 0;
    if (reply_fd >= 0)
        close(reply_fd);
    return sent;
}

static void on_request(struct ev_loop *loop, ev_io *io, int revents)
{
    struct connection *c = io->data;
    struct shm_request q = {0};
    bool ok;
    int fd, rc;

    (void)loop;
    (void)revents;
    rc = fd_message_receive(c->fd, &q, sizeof(q), &fd, MSG_DONTWAIT);
    if (rc == -EAGAIN)
        return;
    /* (Without the fd that was sent, for want of a place, it is refused as any other that lacks one.) */
    ok = (rc == 0 || rc == -EMFILE) && request_serve(c, &q, fd);
    if (fd >= 0)
        close(fd);
    if (!ok)
        connection_free(c);
}

/* ---- connections ----------------------------------------------------------------------------------- */

/* The process at the other end. */
static struct process *peer_process(struct shm_server *server, int fd)
{
    struct pollfd hangup = {.fd = fd};
    pid_t pid = process_of_peer(fd);
    uint64_t start_time = host_process_start(shm_pool_hypervisor(server->pool), fd);
    struct process *process = process_find(server, pid, start_time);

    if (process == NULL)
        process = process_new(server, pid, start_time);
    /* If it is connected still it has not ended, and its pid was its own all the time. */
    if (process != NULL && poll(&hangup, 1, 0) > 0 && hangup.revents & (POLLHUP | POLLERR)) {
        if (process->nr_connections == 0 && list_is_empty(&process->uses))
            process_free(process, true);
        process = NULL;
    }
    return process;
}

static void connection_new(struct shm_server *server, int fd)
{
    struct process *process =
        server->nr_connections < SHM_SERVER_MAX_CONNECTIONS ? peer_process(server, fd) : NULL;
    struct connection *c = process != NULL ? calloc(1, sizeof(*c)) : NULL;

    if (c == NULL) {
        if (process != NULL && process->nr_connections == 0 && list_is_empty(&process->uses))
            process_free(process, true);
        close(fd);
        return;
    }
    c->server = server;
    c->process = process;
    c->fd = fd;
    process->nr_connections++;
    server->nr_connections++;
    list_append(&server->connections, &c->link);
    ev_io_init(&c->io, on_request, fd, EV_READ);
    c->io.data = c;
    ev_io_start(server->loop, &c->io);
}

static void on_connect(struct ev_loop *loop, ev_io *io, int revents)
{
    struct shm_server *server = io->data;
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)revents;
    if (fd >= 0) {
        connection_new(server, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_limited(&server->limit, LOG_LEVEL_WARNING, "%s: a user of shared pages cannot be accepted: %s",
                    server->name, strerror(errno));
        ev_io_stop(loop, io);
        ev_timer_set(&server->again, ACCEPT_AGAIN_SECONDS, 0.);
        ev_timer_start(loop, &server->again);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct shm_server *server = timer->data;

    (void)revents;
    ev_io_start(loop, &server->io);
}

/* ---- life cycle ------------------------------------------------------------------------------------ */

static bool take_use(void *ctx, const struct shm_use *use, pid_t pid, uint64_t start_time)
{
    struct shm_server *server = ctx;
    struct process *process = process_find(server, pid, start_time);
    struct process_use *kept;

    if (process == NULL && pid > 0 && start_time != 0 &&
        process_start_time(pid) == start_time) /* (we are not confined yet) */
        process = process_new(server, pid, start_time);
    kept = process != NULL && process->pidfd >= 0 ? malloc(sizeof(*kept)) : NULL;
    if (kept == NULL) {
        if (process != NULL && list_is_empty(&process->uses))
            process_free(process, true);
        return false;
    }
    kept->id = use_id(use);
    kept->use = *use;
    list_append(&process->uses, &kept->link);
    return true;
}

int shm_server_new(struct shm_server **out, struct ev_loop *loop, struct shm_pool *pool, const char *path,
                   const char *name)
{
    struct shm_server *server = calloc(1, sizeof(*server));
    int fd;

    if (server == NULL)
        return -ENOMEM;
    server->loop = loop;
    server->pool = pool;
    server->name = name;
    server->fd = -1;
    list_init(&server->connections);
    list_init(&server->processes);
    ev_timer_init(&server->again, on_again, ACCEPT_AGAIN_SECONDS, 0.);
    server->again.data = server;
    fd = unix_listen(path, SOCK_SEQPACKET, SHM_SERVER_MAX_CONNECTIONS);
    if (fd < 0) {
        shm_server_free(server);
        return fd;
    }
    server->fd = fd;
    snprintf(server->path, sizeof(server->path), "%s", path);
    ev_io_init(&server->io, on_connect, server->fd, EV_READ);
    server->io.data = server;
    ev_io_start(loop, &server->io);
    shm_pool_take_uses(pool, take_use, server);
    *out = server;
    return 0;
}

void shm_server_free(struct shm_server *server)
{
    if (server == NULL)
        return;
    while (!list_is_empty(&server->connections)) {
        struct connection *c = container_of(server->connections.next, struct connection, link);

        c->process->nr_connections++; /* its process is for below */
        connection_free(c);
    }
    while (!list_is_empty(&server->processes))
        process_free(container_of(server->processes.next, struct process, link), false);
    if (server->fd >= 0) {
        ev_io_stop(server->loop, &server->io);
        unlink(server->path);
        close(server->fd);
    }
    ev_timer_stop(server->loop, &server->again);
    free(server);
}

unsigned shm_server_nr_processes(const struct shm_server *server)
{
    return server->nr_processes;
}
