// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control.c - see control.h. A connection has one request under way; the next line is looked at when the
 * answer to the one before has been sent.
 */
#include "dm/control_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/unix_listen.h"

#define STUCK_SECONDS        10.0    /* in which a client must take something of its answer */
#define ACCEPT_AGAIN_SECONDS 1.0     /* without a free fd a connection stays pending */
#define SEND_MAX             KIB(64) /* in one go: then other events have a turn */

static struct ev_loop *loop_of(const struct control_client *client)
{
    return client->control->guest->loop;
}

/* ---- a client ----------------------------------------------------------------------------------- */

static void client_free(struct control_client *client)
{
    struct ev_loop *loop = loop_of(client);

    devices_forget_caller(client->control->devices, client);
    control_trace_end(client);
    ev_io_stop(loop, &client->readable);
    ev_io_stop(loop, &client->writable);
    ev_timer_stop(loop, &client->stuck);
    close(client->fd);
    list_remove(&client->link);
    client->control->nr_clients--;
    free(client->out);
    free(client);
}

/* Looks for what can be waited for. */
static void client_watch(struct control_client *client)
{
    struct ev_loop *loop = loop_of(client);
    size_t len = 1;

    if (client->out != NULL) {
        if (!ev_is_active(&client->writable)) {
            ev_now_update(loop);
            ev_timer_again(loop, &client->stuck);
        }
        ev_io_start(loop, &client->writable);
    } else {
        ev_timer_stop(loop, &client->stuck);
        if (client->trace != NULL && control_trace_peek(client->trace, &len) != NULL)
            ev_io_start(loop, &client->writable);
        else
            ev_io_stop(loop, &client->writable);
    }
    if (client->ended || client->close || client->waiting || client->out != NULL)
        ev_io_stop(loop, &client->readable);
    else
        ev_io_start(loop, &client->readable);
}

void control_wake(struct control_client *client)
{
    if (client->out == NULL)
        ev_io_start(loop_of(client), &client->writable);
}

/* Serves the lines that are there, up to one whose answer takes time. */
static void lines_serve(struct control_client *client)
{
    char *end;

    while (client->out == NULL && !client->waiting && !client->close && client->trace == NULL &&
           (end = memchr(client->in, '\n', client->in_len)) != NULL) {
        size_t len = (size_t)(end - client->in);
        char line[CONTROL_MAX_LINE + 1];

        memcpy(line, client->in, len);
        line[len] = '\0';
        client->in_len -= len + 1;
        memmove(client->in, end + 1, client->in_len);
        control_command(client, line, len);
    }
    if (client->trace != NULL)
        client->in_len = 0;
    if (client->in_len == CONTROL_MAX_LINE && !client->waiting && !client->close && client->out == NULL) {
        client->close = true;
        control_refuse(client, "a request is one line of at most %d bytes", CONTROL_MAX_LINE);
    }
    client_watch(client);
}

/* Whether nothing more is to be done for it. */
static bool client_is_done(const struct control_client *client)
{
    return client->out == NULL && !client->waiting && (client->ended || client->close);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
    struct control_client *client = io->data;
    ssize_t n =
        recv(client->fd, client->in + client->in_len, CONTROL_MAX_LINE - client->in_len, MSG_DONTWAIT);

    (void)loop;
    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    client->ended = n <= 0;
    if (n > 0)
        client->in_len += (size_t)n;
    lines_serve(client);
    if (client_is_done(client))
        client_free(client);
}

/* The next piece to send. */
static const char *client_peek(struct control_client *client, size_t *len)
{
    *len = SEND_MAX;
    if (client->out != NULL) {
        *len = MIN(*len, client->out_len - client->out_done);
        return client->out + client->out_done;
    }
    return client->trace != NULL ? control_trace_peek(client->trace, len) : NULL;
}

static void on_writable(struct ev_loop *loop, ev_io *io, int revents)
{
    struct control_client *client = io->data;
    size_t len;
    const char *data = client_peek(client, &len);
    ssize_t n = data != NULL ? send(client->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    (void)revents;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        client_free(client);
        return;
    }
    if (n > 0 && client->out != NULL) {
        client->out_done += (size_t)n;
        ev_timer_again(loop, &client->stuck);
        if (client->out_done == client->out_len) {
            free(client->out);
            client->out = NULL;
        }
    } else if (n > 0) {
        control_trace_sent(client->trace, (size_t)n);
    }
    lines_serve(client);
    if (client_is_done(client))
        client_free(client);
}

static void on_stuck(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    client_free(timer->data);
}

void control_answer(struct control_client *client, struct json_object *answer)
{
    size_t len = 0;
    const char *text = json_object_to_json_string_length(
        answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

    client->waiting = false;
    client->out = text != NULL ? malloc(len + 1) : NULL;
    if (client->out == NULL) {
        client->close = true;
    } else {
        memcpy(client->out, text, len);
        client->out[len] = '\n';
        client->out_len = len + 1;
        client->out_done = 0;
    }
    json_object_put(answer);
    client_watch(client);
}

void control_refuse(struct control_client *client, const char *fmt, ...)
{
    struct json_object *answer = json_object_new_object();
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    control_add_bool(answer, "ok", false);
    control_add_string(answer, "error", text);
    control_answer(client, answer);
}

/* ---- connections -------------------------------------------------------------------------------- */

static bool peer_is_root(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    /* Or whoever we are ourselves: he could do the same without us. */
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void client_new(struct control *control, int fd)
{
    struct control_client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        close(fd);
        return;
    }
    client->control = control;
    client->fd = fd;
    list_append(&control->clients, &client->link);
    control->nr_clients++;
    ev_io_init(&client->readable, on_readable, fd, EV_READ);
    ev_io_init(&client->writable, on_writable, fd, EV_WRITE);
    ev_timer_init(&client->stuck, on_stuck, 0., STUCK_SECONDS);
    client->readable.data = client->writable.data = client->stuck.data = client;
    if (!peer_is_root(fd)) {
        client->close = true;
        control_refuse(client, "only root may ask");
    } else if (control->nr_clients > CONTROL_MAX_CLIENTS) {
        client->close = true;
        control_refuse(client, "there are %d connections already", CONTROL_MAX_CLIENTS);
    } else {
        client_watch(client);
    }
}

static void on_acceptable(struct ev_loop *loop, ev_io *io, int revents)
{
    struct control *control = io->data;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)revents;
    if (fd >= 0 && control->nr_clients >= 2 * CONTROL_MAX_CLIENTS) {
        close(fd);
    } else if (fd >= 0) {
        client_new(control, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_limited(&control->limit, LOG_LEVEL_WARNING, "%s: a connection to %s cannot be accepted: %s",
                    control->guest->hv->name, control->path, strerror(errno));
        ev_io_stop(loop, io);
        ev_timer_set(&control->again, ACCEPT_AGAIN_SECONDS, 0.);
        ev_timer_start(loop, &control->again);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct control *control = timer->data;

    (void)revents;
    ev_io_start(loop, &control->acceptable);
}

/* ---- life cycle --------------------------------------------------------------------------------- */

int control_new(struct control **out, struct guest *guest, struct devices *devices, const char *path)
{
    struct control *control = calloc(1, sizeof(*control));
    int fd;

    if (control == NULL)
        return -ENOMEM;
    control->guest = guest;
    control->devices = devices;
    control->fd = -1;
    list_init(&control->clients);
    ev_io_init(&control->acceptable, on_acceptable, -1, EV_READ);
    ev_timer_init(&control->again, on_again, ACCEPT_AGAIN_SECONDS, 0.);
    control->acceptable.data = control->again.data = control;
    /* A predecessor that was killed leaves its socket; one that lives has the lock of the guest's saved
     * state, and we would not be here. */
    fd = unix_listen(path, SOCK_STREAM, CONTROL_MAX_CLIENTS);
    if (fd < 0) {
        control_free(control);
        return fd;
    }
    control->fd = fd;
    snprintf(control->path, sizeof(control->path), "%s", path);
    ev_io_set(&control->acceptable, control->fd, EV_READ);
    ev_io_start(guest->loop, &control->acceptable);
    *out = control;
    return 0;
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    while (!list_is_empty(&control->clients))
        client_free(container_of(control->clients.next, struct control_client, link));
    ev_io_stop(control->guest->loop, &control->acceptable);
    ev_timer_stop(control->guest->loop, &control->again);
    if (control->fd >= 0) {
        unlink(control->path);
        close(control->fd);
    }
    free(control);
}
