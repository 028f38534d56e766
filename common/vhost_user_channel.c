// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vhost_user_channel.c - see vhost_user_channel.h.
 *
 * Receiving: a message is read in two parts, the header and then as much payload as it announces, never more,
 * so that the bytes of two messages are not mixed. The kernel delivers fds with the byte they were sent with,
 * which for a message is the first of its header: fds at any other place break the framing. All fds that the
 * kernel hands over are put into the incomplete message at once, which is the one place that closes them.
 *
 * Sending: straight from the caller's message as long as nothing waits; what the socket does not take is
 * copied to a queue.
 */
#include "common/vhost_user_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

#define TRACE_LEN 768

/* A message, or the rest of one, that waits to be sent. */
struct outgoing {
    struct list_link link;
    size_t len, sent;
    unsigned nr_fds;
    int fds[VHOST_USER_MAX_FDS]; /* owned */
    uint8_t bytes[];
};

struct vhost_user_channel {
    int fd;
    enum vhost_user_side requester;
    char name[96];
    struct list_link out;
    unsigned nr_out;
    struct vhost_user_msg in; /* incomplete: the first in_len bytes of header and payload, and all fds */
    size_t in_len;
    int error; /* final: a negative errno, or 0 */
    char why[128];
};

/* Ends the channel: closes what an incomplete message had. Returns err. */
__attribute__((format(printf, 3, 4))) static int channel_fail(struct vhost_user_channel *channel, int err,
                                                              const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(channel->why, sizeof(channel->why), fmt, ap);
    va_end(ap);
    channel->error = err;
    vhost_user_msg_close_fds(&channel->in);
    return err;
}

static void channel_trace(const struct vhost_user_channel *channel, const char *arrow,
                          const struct vhost_user_msg *msg)
{
    char line[TRACE_LEN];

    if (log_level < LOG_LEVEL_TRACE)
        return;
    vhost_user_msg_format(line, sizeof(line), msg, channel->requester);
    log_trace("%s: %s %s", channel->name, arrow, line);
}

int vhost_user_channel_new(struct vhost_user_channel **out, int fd, enum vhost_user_side requester,
                           const char *name)
{
    struct vhost_user_channel *channel;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        return -ENOMEM;
    channel->fd = fd;
    channel->requester = requester;
    snprintf(channel->name, sizeof(channel->name), "%s", name);
    list_init(&channel->out);
    *out = channel;
    return 0;
}

/* timeout_ms < 0: the socket does not wait at all. The fd, or a negative errno. */
static int socket_connect(const char *path, int timeout_ms)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int fd, err;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (timeout_ms < 0 ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    /* connect() of a local socket honours the send time limit. */
    if ((timeout_ms >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0) ||
        connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        err = -errno;
    else
        return fd;
    close(fd);
    return err;
}

static int channel_connect(struct vhost_user_channel **out, const char *path, const char *name,
                           int timeout_ms)
{
    int fd = socket_connect(path, timeout_ms);
    int err = fd < 0 ? fd : vhost_user_channel_new(out, fd, VHOST_USER_FRONTEND, name);

    if (fd >= 0 && err < 0)
        close(fd);
    return err;
}

int vhost_user_socket_connect(const char *path)
{
    return socket_connect(path, -1);
}

int vhost_user_channel_connect(struct vhost_user_channel **out, const char *path, const char *name)
{
    return channel_connect(out, path, name, -1);
}

int vhost_user_channel_connect_wait(struct vhost_user_channel **out, const char *path, const char *name,
                                    int timeout_ms)
{
    /* A time limit of 0 would mean none to the socket. */
    int err = channel_connect(out, path, name, MAX(timeout_ms, 1));

    return err == -EAGAIN ? -ETIMEDOUT : err;
}

static void outgoing_free(struct outgoing *o)
{
    for (unsigned i = 0; i < o->nr_fds; i++)
        close(o->fds[i]);
    list_remove(&o->link);
    free(o);
}

void vhost_user_channel_free(struct vhost_user_channel *channel)
{
    struct outgoing *o, *next;

    if (channel == NULL)
        return;
    list_for_each_safe (o, next, &channel->out, link)
        outgoing_free(o);
    vhost_user_msg_close_fds(&channel->in);
    close(channel->fd);
    free(channel);
}

int vhost_user_channel_fd(const struct vhost_user_channel *channel)
{
    return channel->fd;
}

unsigned vhost_user_channel_pending(const struct vhost_user_channel *channel)
{
    return channel->nr_out;
}

const char *vhost_user_channel_error(const struct vhost_user_channel *channel)
{
    return channel->why;
}

/* ---- sending ---------------------------------------------------------------------------------- */

/* One sendmsg of up to two pieces with fds. Returns the number of bytes taken, or a negative errno. */
static ssize_t socket_send(int fd, const struct iovec *iov, size_t nr_iov, const int *fds, unsigned nr_fds)
{
    union {
        char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr mh = {.msg_iov = (struct iovec *)iov, .msg_iovlen = nr_iov};
    struct cmsghdr *cmsg;
    ssize_t n;

    if (nr_fds > 0) {
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&mh);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
    }
    do
        n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int send_failed(struct vhost_user_channel *channel, int err)
{
    if (err == -EPIPE || err == -ECONNRESET)
        return channel_fail(channel, -ECONNRESET, "the peer has closed the connection");
    return channel_fail(channel, err, "sending failed: %s", strerror(-err));
}

/* A copy of what is left of msg after sent bytes, with duplicates of its fds if none has gone yet. */
static int outgoing_add(struct vhost_user_channel *channel, const struct vhost_user_msg *msg, size_t sent)
{
    size_t len = sizeof(msg->header) + msg->header.size;
    struct outgoing *o = calloc(1, sizeof(*o) + len);

    if (o == NULL)
        return -ENOMEM;
    list_init(&o->link);
    o->len = len;
    o->sent = sent;
    memcpy(o->bytes, &msg->header, sizeof(msg->header));
    memcpy(o->bytes + sizeof(msg->header), &msg->payload, msg->header.size);
    for (unsigned i = 0; sent == 0 && i < msg->nr_fds; i++) {
        int fd = fcntl(msg->fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            int err = -errno;

            outgoing_free(o);
            return err;
        }
        o->fds[o->nr_fds++] = fd;
    }
    list_append(&channel->out, &o->link);
    channel->nr_out++;
    return 0;
}

int vhost_user_channel_send(struct vhost_user_channel *channel, const struct vhost_user_msg *msg)
{
    const struct iovec iov[] = {
        {.iov_base = (void *)&msg->header, .iov_len = sizeof(msg->header)},
        {.iov_base = (void *)&msg->payload, .iov_len = msg->header.size},
    };
    ssize_t n = 0;
    int err = 0;

    if (channel->error != 0)
        return channel->error;
    if (msg->header.size > sizeof(msg->payload) || msg->nr_fds > VHOST_USER_MAX_FDS)
        return -EINVAL;
    if (channel->nr_out >= VHOST_USER_CHANNEL_MAX_QUEUED)
        return -ENOBUFS;
    if (channel->nr_out == 0) {
        n = socket_send(channel->fd, iov, ARRAY_SIZE(iov), msg->fds, msg->nr_fds);
        if (n == -EAGAIN)
            n = 0;
        else if (n < 0)
            return send_failed(channel, (int)n);
    }
    if ((size_t)n < sizeof(msg->header) + msg->header.size)
        err = outgoing_add(channel, msg, (size_t)n);
    /* Half a message is out and the rest cannot be kept: nothing sensible can follow. */
    if (err < 0 && n > 0)
        return channel_fail(channel, err, "the rest of a message could not be kept: %s", strerror(-err));
    if (err == 0)
        channel_trace(channel, "->", msg);
    return err;
}

int vhost_user_channel_flush(struct vhost_user_channel *channel)
{
    struct outgoing *o, *next;

    if (channel->error != 0)
        return channel->error;
    list_for_each_safe (o, next, &channel->out, link) {
        const struct iovec iov = {.iov_base = o->bytes + o->sent, .iov_len = o->len - o->sent};
        ssize_t n = socket_send(channel->fd, &iov, 1, o->fds, o->sent == 0 ? o->nr_fds : 0);

        if (n == -EAGAIN)
            return -EAGAIN;
        if (n < 0)
            return send_failed(channel, (int)n);
        o->sent += (size_t)n;
        if (o->sent < o->len)
            return -EAGAIN;
        outgoing_free(o);
        channel->nr_out--;
    }
    return 0;
}

/* ---- receiving -------------------------------------------------------------------------------- */

/* Moves all fds of a received control message into the incomplete message: none may be lost, whatever else is
 * wrong. The buffer has room for VHOST_USER_MAX_FDS, so in.fds cannot overflow; more are cut off (and closed)
 * by the kernel, which says MSG_CTRUNC. Returns how many there were. */
static unsigned take_fds(struct vhost_user_channel *channel, struct msghdr *mh)
{
    unsigned taken = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (channel->in.nr_fds < VHOST_USER_MAX_FDS)
                channel->in.fds[channel->in.nr_fds++] = fd;
            else
                close(fd);
            taken++;
        }
    }
    return taken;
}

/* Reads up to want bytes. 1: something came; 0: nothing there now; negative errno. */
static int socket_receive(struct vhost_user_channel *channel, void *buf, size_t want)
{
    union {
        char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = want};
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    unsigned nr_fds;
    ssize_t n;
    bool cut;

    do
        n = recvmsg(channel->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n < 0 && errno != ECONNRESET)
        return channel_fail(channel, -errno, "receiving failed: %s", strerror(errno));
    if (n <= 0)
        return channel_fail(channel, -ECONNRESET, "the peer has closed the connection%s",
                            channel->in_len > 0 ? " in the middle of a message" : "");
    nr_fds = take_fds(channel, &mh);
    cut = (mh.msg_flags & MSG_CTRUNC) != 0;
    if ((nr_fds > 0 || cut) && channel->in_len > 0)
        return channel_fail(channel, -EPROTO, "fds came in the middle of a message");
    if (cut && nr_fds == VHOST_USER_MAX_FDS)
        return channel_fail(channel, -EPROTO, "a message came with more than %d fds", VHOST_USER_MAX_FDS);
    if (cut) {
        /* The buffer was large enough: it is this process that can open no more. Some of the fds would be
         * taken for others, so none are kept, and whoever handles the message is told. */
        vhost_user_msg_close_fds(&channel->in);
        channel->in.fds_lost = true;
    }
    channel->in_len += (size_t)n;
    return 1;
}

static int header_check(struct vhost_user_channel *channel)
{
    const struct vhost_user_header *h = &channel->in.header;

    if ((h->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
        return channel_fail(channel, -EPROTO, "a message has flags 0x%x: not version %u of the protocol",
                            h->flags, VHOST_USER_VERSION);
    if (h->size > sizeof(channel->in.payload))
        return channel_fail(channel, -EPROTO, "a message announces %u bytes, more than any can have (%zu)",
                            h->size, sizeof(channel->in.payload));
    return 0;
}

/* Reads on until a message is complete: 1; or nothing more is there: 0; negative errno. */
static int message_assemble(struct vhost_user_channel *channel)
{
    struct vhost_user_msg *in = &channel->in;
    const size_t header_len = sizeof(in->header);
    int err;

    while (channel->in_len < header_len) {
        err = socket_receive(channel, (uint8_t *)&in->header + channel->in_len, header_len - channel->in_len);
        if (err <= 0)
            return err;
        if (channel->in_len == header_len) {
            err = header_check(channel);
            if (err < 0)
                return err;
        }
    }
    while (channel->in_len < header_len + in->header.size) {
        size_t at = channel->in_len - header_len;

        err = socket_receive(channel, in->payload.bytes + at, in->header.size - at);
        if (err <= 0)
            return err;
    }
    return 1;
}

int vhost_user_channel_receive(struct vhost_user_channel *channel, struct vhost_user_msg *msg)
{
    struct vhost_user_msg *in = &channel->in;
    int err;

    if (channel->error != 0)
        return channel->error;
    err = message_assemble(channel);
    if (err <= 0)
        return err;
    msg->header = in->header;
    msg->fds_lost = in->fds_lost;
    msg->nr_fds = in->nr_fds;
    memcpy(msg->fds, in->fds, in->nr_fds * sizeof(in->fds[0]));
    memcpy(&msg->payload, &in->payload, in->header.size);
    in->fds_lost = false;
    in->nr_fds = 0;
    channel->in_len = 0;
    channel_trace(channel, "<-", msg);
    return 1;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for events on the socket until the deadline (now_ms). 0, or -ETIMEDOUT. */
static int socket_wait(const struct vhost_user_channel *channel, short events, int64_t deadline)
{
    struct pollfd p = {.fd = channel->fd, .events = events};

    for (;;) {
        int64_t left = deadline - now_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

int vhost_user_channel_send_wait(struct vhost_user_channel *channel, const struct vhost_user_msg *msg,
                                 int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    int err = vhost_user_channel_send(channel, msg);

    if (err < 0)
        return err;
    for (;;) {
        err = vhost_user_channel_flush(channel);
        if (err != -EAGAIN)
            return err;
        err = socket_wait(channel, POLLOUT, deadline);
        if (err < 0)
            return err;
    }
}

int vhost_user_channel_receive_wait(struct vhost_user_channel *channel, struct vhost_user_msg *msg,
                                    int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;

    for (;;) {
        int err = vhost_user_channel_receive(channel, msg);

        if (err != 0)
            return err > 0 ? 0 : err;
        err = socket_wait(channel, POLLIN, deadline);
        if (err < 0)
            return err;
    }
}
