// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend_requests.c - the back-end channel: requests that the back-end sends to us over the socket of
 * SET_BACKEND_REQ_FD. They are served from the moment that socket is given away, whatever the main channel is
 * waiting for: a back-end may block on our answer before it gives its own.
 *
 * A request that cannot be served is refused and the connection stays; broken framing ends it. No request is
 * read while an answer waits to be sent, so a back-end that does not read its answers only stops itself.
 */
#include "dm/frontend_internal.h"

#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bursts of requests that are served in one go: more than a socket holds of them. */
#define DRAIN_BURSTS 1024

struct request_handler {
    uint32_t size;   /* bytes of payload */
    unsigned nr_fds; /* that must come with it */
    /* 0, or a negative errno and *why: the request is refused. msg's fds are closed afterwards. */
    int (*serve)(struct frontend *fe, struct vhost_user_msg *msg, const char **why);
};

/* New contents are read later, on the main channel. Any number of these asks for one reading. */
static int serve_config_change(struct frontend *fe, struct vhost_user_msg *msg, const char **why)
{
    (void)msg;
    if (!frontend_has(fe, VHOST_USER_PROTOCOL_F_CONFIG)) {
        *why = "config space was not negotiated";
        return -EOPNOTSUPP;
    }
    fe->todo |= 1u << FRONTEND_JOB_CONFIG_READ;
    frontend_schedule(fe);
    return 0;
}

#define SHMEM_FLAG_WRITABLE 1u /* VhostUserMMap.flags: 0 read-only, 1 read-write; no other bit is defined */

static int serve_shmem(struct frontend *fe, const struct vhost_user_msg *msg, bool map, const char **why)
{
    struct vhost_user_mmap m;
    struct shmem_request request;

    memcpy(&m, &msg->payload.mmap, sizeof(m));
    if (!frontend_has_shmem(fe)) {
        *why = "SHMEM_MAP was not negotiated";
        return -EOPNOTSUPP;
    }
    if (map && (m.flags & ~(uint64_t)SHMEM_FLAG_WRITABLE) != 0) {
        *why = "flags: unknown bits";
        return -EINVAL;
    }
    request = (struct shmem_request){
        .shmid = m.shmid,
        .writable = (m.flags & SHMEM_FLAG_WRITABLE) != 0,
        .fd = map ? msg->fds[0] : -1,
        .fd_offset = map ? m.fd_offset : 0, /* an UNMAP is known by what it names of the region */
        .shm_offset = m.shm_offset,
        .len = m.len,
    };
    return map ? fe->callbacks->shmem_map(fe->ctx, &request, why)
               : fe->callbacks->shmem_unmap(fe->ctx, &request, why);
}

static int serve_shmem_map(struct frontend *fe, struct vhost_user_msg *msg, const char **why)
{
    return serve_shmem(fe, msg, true, why);
}

static int serve_shmem_unmap(struct frontend *fe, struct vhost_user_msg *msg, const char **why)
{
    return serve_shmem(fe, msg, false, why);
}

static const struct request_handler handlers[] = {
    [VHOST_USER_BACKEND_SHMEM_MAP] = {sizeof(struct vhost_user_mmap), 1, .serve = serve_shmem_map},
    [VHOST_USER_BACKEND_SHMEM_UNMAP] = {sizeof(struct vhost_user_mmap), 0, .serve = serve_shmem_unmap},
    [VHOST_USER_BACKEND_CONFIG_CHANGE] = {.serve = serve_config_change},
};

static const struct request_handler *request_handler(uint32_t request)
{
    return request < ARRAY_SIZE(handlers) && handlers[request].serve != NULL ? &handlers[request] : NULL;
}

/* 0, or a negative errno and *why. */
static int request_serve(struct frontend *fe, struct vhost_user_msg *msg, const char **why)
{
    const struct request_handler *h = request_handler(msg->header.request);
    *why = "";
    if (h == NULL) {
        *why = "it is not supported";
        return -EOPNOTSUPP;
    }
    if (msg->header.size != h->size) {
        *why = "its payload has the wrong size";
        return -EINVAL;
    }
    if (msg->fds_lost) {
        *why = "this process can open no more files";
        return -EMFILE;
    }
    if (msg->nr_fds != h->nr_fds) {
        *why = "it has the wrong number of fds";
        return -EINVAL;
    }
    return h->serve(fe, msg, why);
}

static int request_answer(struct frontend *fe, const struct vhost_user_msg *msg, int result)
{
    struct vhost_user_msg reply;

    bool shmem = msg->header.request == VHOST_USER_BACKEND_SHMEM_MAP ||
                 msg->header.request == VHOST_USER_BACKEND_SHMEM_UNMAP;
    bool asked = (msg->header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0 &&
                 frontend_has(fe, VHOST_USER_PROTOCOL_F_REPLY_ACK);

    if (!asked && !(shmem && fe->shmem_ack_always))
        return 0;
    vhost_user_msg_init_reply(&reply, msg->header.request, sizeof(reply.payload.u64));
    reply.payload.u64 = (uint64_t)-result;
    return vhost_user_channel_send(fe->backend, &reply);
}

static int request_handle(struct frontend *fe, struct vhost_user_msg *msg)
{
    const char *name = vhost_user_request_name(VHOST_USER_BACKEND, msg->header.request);
    const char *why;
    int result;

    if ((msg->header.flags & VHOST_USER_FLAG_REPLY) != 0)
        return frontend_fail(fe, -EPROTO, "it sent a reply on its own channel, where nothing is asked");
    result = request_serve(fe, msg, &why);
    if (result < 0) {
        log_limited(&fe->request_limit, LOG_LEVEL_WARNING, "%s: request %s (%u) of the back-end refused: %s",
                    fe->name, name != NULL ? name : "unknown", msg->header.request, why);
        if (fe->callbacks->refused != NULL)
            fe->callbacks->refused(fe->ctx, msg->header.request, result, why);
    }
    return request_answer(fe, msg, result);
}

static void backend_watch(struct frontend *fe)
{
    if (vhost_user_channel_pending(fe->backend) > 0) {
        ev_io_stop(fe->loop, &fe->backend_read);
        ev_io_start(fe->loop, &fe->backend_write);
    } else {
        ev_io_stop(fe->loop, &fe->backend_write);
        ev_io_start(fe->loop, &fe->backend_read);
    }
}

/* The channel failed. A back-end may close its end and live on; breaking the framing is another matter. */
static int backend_failed(struct frontend *fe, int err)
{
    const char *why = vhost_user_channel_error(fe->backend);

    if (err != -ECONNRESET)
        return frontend_fail(fe, err, "on its own channel: %s", why[0] != '\0' ? why : strerror(-err));
    log_debug("%s: the back-end has closed its own channel", fe->name);
    frontend_backend_close(fe);
    return 0;
}

int frontend_backend_serve(struct frontend *fe)
{
    struct vhost_user_msg msg;
    int err = vhost_user_channel_flush(fe->backend);

    for (unsigned i = 0; err == 0 && i < FRONTEND_BURST && vhost_user_channel_pending(fe->backend) == 0;
         i++) {
        err = vhost_user_channel_receive(fe->backend, &msg);
        if (err == 0)
            break;
        if (err < 0)
            return backend_failed(fe, err);
        err = request_handle(fe, &msg);
        vhost_user_msg_close_fds(&msg);
        if (err == -EPROTO)
            return err;
    }
    if (err < 0 && err != -EAGAIN)
        return backend_failed(fe, err);
    backend_watch(fe);
    return 0;
}

int frontend_backend_drain(struct frontend *fe)
{
    int len, err = 0;

    for (unsigned i = 0; err == 0 && i < DRAIN_BURSTS && fe->backend != NULL; i++) {
        /* Where an answer cannot be sent nothing more is read: the back-end holds itself up. */
        if (vhost_user_channel_pending(fe->backend) > 0 ||
            ioctl(vhost_user_channel_fd(fe->backend), FIONREAD, &len) < 0 || len == 0)
            break;
        err = frontend_backend_serve(fe);
    }
    return err;
}

int frontend_backend_open(struct frontend *fe)
{
    char name[128];
    int pair[2], err;

    if (fe->backend != NULL)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return frontend_fail(fe, -errno, "no socket for its own channel: %s", strerror(errno));
    snprintf(name, sizeof(name), "%s: back-end channel", fe->name);
    err = vhost_user_channel_new(&fe->backend, pair[0], VHOST_USER_BACKEND, name);
    if (err < 0) {
        close(pair[0]);
        close(pair[1]);
        return frontend_fail(fe, err, "no memory for its own channel: %s", strerror(-err));
    }
    fe->backend_peer = pair[1];
    ev_io_set(&fe->backend_read, pair[0], EV_READ);
    ev_io_set(&fe->backend_write, pair[0], EV_WRITE);
    backend_watch(fe);
    return 0;
}

void frontend_backend_close(struct frontend *fe)
{
    if (fe->backend_peer >= 0)
        close(fe->backend_peer);
    fe->backend_peer = -1;
    if (fe->backend == NULL)
        return;
    ev_io_stop(fe->loop, &fe->backend_read);
    ev_io_stop(fe->loop, &fe->backend_write);
    vhost_user_channel_free(fe->backend);
    fe->backend = NULL;
}
