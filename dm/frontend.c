// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend.c - the life of a connection to a back-end: connecting, events, time limits, the end; see
 * frontend.h. What is said on the connection is in frontend_jobs.c, frontend_steps.c and frontend_requests.c.
 *
 * Every path that finds the connection unusable returns a negative errno up to the event handler it came
 * from, which calls frontend_end, once. Callbacks are called from work_event alone, as the last thing it
 * does: an owner may free the front-end inside any of them.
 */
#include "dm/frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "dm/frontend_internal.h"

/* The kernel does not tell when a listener with a full queue has room again: it is asked so often (seconds).
 */
#define CONNECT_RETRY 0.05

int frontend_fail(struct frontend *fe, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(fe->why, sizeof(fe->why), fmt, ap);
    va_end(ap);
    return err;
}

void frontend_schedule(struct frontend *fe)
{
    ev_idle_start(fe->loop, &fe->work);
}

bool frontend_has(const struct frontend *fe, enum vhost_user_protocol_feature bit)
{
    return (fe->protocol_features >> bit & 1) != 0;
}

void frontend_setup_free(struct frontend *fe)
{
    struct frontend_setup *setup = fe->setup;

    if (setup == NULL)
        return;
    for (size_t i = 0; i < setup->nr_regions; i++)
        close(setup->regions[i].fd);
    for (size_t i = 0; i < ARRAY_SIZE(setup->queues); i++) {
        if (setup->queues[i].kick_fd >= 0)
            close(setup->queues[i].kick_fd);
        if (setup->queues[i].call_fd >= 0)
            close(setup->queues[i].call_fd);
    }
    free(setup);
    fe->setup = NULL;
}

void frontend_config_write_free(struct frontend *fe, struct frontend_config_write *w)
{
    list_remove(&w->link);
    free(w);
    fe->nr_config_writes--;
}

/* ---- the end of a connection ------------------------------------------------------------------- */

/* Closes the connection and forgets all that was under way on it. What was negotiated is kept: after a
 * reconnection the back-end must offer it again. */
static void connection_close(struct frontend *fe)
{
    struct frontend_config_write *w, *next;

    frontend_backend_close(fe);
    if (fe->main != NULL) {
        ev_io_stop(fe->loop, &fe->main_read);
        ev_io_stop(fe->loop, &fe->main_write);
        vhost_user_channel_free(fe->main);
        fe->main = NULL;
    }
    ev_timer_stop(fe->loop, &fe->reply_timer);
    ev_timer_stop(fe->loop, &fe->connect_timer);
    frontend_setup_free(fe);
    frontend_plan_free(fe);
    fe->nr_told = 0;
    list_for_each_safe (w, next, &fe->config_writes, link)
        frontend_config_write_free(fe, w);
    fe->todo = 0;
    fe->job = FRONTEND_NO_JOB;
    fe->awaiting = 0;
    fe->live_queues = 0;
    fe->base_known = 0;
    fe->config_report = fe->config_written = false;
    fe->report = FRONTEND_REPORT_NONE;
}

/* Gives the connection up for the reason that frontend_fail noted; lost() follows from the loop. */
static void frontend_end(struct frontend *fe, int err)
{
    log_debug("%s: connection to the back-end ends: %s", fe->name, fe->why);
    connection_close(fe);
    fe->state = FRONTEND_LOST;
    fe->lost_err = err;
    fe->report = FRONTEND_REPORT_LOST;
    frontend_schedule(fe);
}

/* ---- events ------------------------------------------------------------------------------------ */

/* After anything that may have sent messages or taken replies: watches for what can happen next. The time
 * limit runs while a reply is outstanding or messages wait to be sent, and begins anew with every progress.
 */
static void main_watch(struct frontend *fe, bool progress)
{
    bool pending = vhost_user_channel_pending(fe->main) > 0;

    if (pending)
        ev_io_start(fe->loop, &fe->main_write);
    else
        ev_io_stop(fe->loop, &fe->main_write);
    if (!pending && fe->awaiting == 0) {
        ev_timer_stop(fe->loop, &fe->reply_timer);
    } else if (progress || !ev_is_active(&fe->reply_timer)) {
        /* The loop's idea of the time may be old when a callback took long. */
        ev_now_update(fe->loop);
        fe->reply_timer.repeat = fe->reply_limit + frontend_mapping_seconds(fe);
        ev_timer_again(fe->loop, &fe->reply_timer);
    }
}

/* Goes on with jobs; ends the connection where that is impossible. */
static void main_continue(struct frontend *fe, int err)
{
    uint64_t before = fe->progress;

    if (err == 0)
        err = frontend_run(fe);
    if (err < 0)
        frontend_end(fe, err);
    else
        main_watch(fe, fe->progress != before);
}

static void main_read_event(struct ev_loop *loop, ev_io *w, int revents)
{
    struct frontend *fe = w->data;
    uint64_t before = fe->progress;
    int err = frontend_main_readable(fe);

    (void)loop;
    (void)revents;
    if (err < 0)
        frontend_end(fe, err);
    else
        main_watch(fe, fe->progress != before);
}

static void main_write_event(struct ev_loop *loop, ev_io *w, int revents)
{
    struct frontend *fe = w->data;
    unsigned before = vhost_user_channel_pending(fe->main);
    int err = vhost_user_channel_flush(fe->main);

    (void)loop;
    (void)revents;
    if (vhost_user_channel_pending(fe->main) != before)
        fe->progress++;
    if (err < 0 && err != -EAGAIN)
        err = frontend_fail(fe, err, "%s", vhost_user_channel_error(fe->main));
    else
        err = 0;
    main_continue(fe, err);
}

static void reply_timer_event(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct frontend *fe = w->data;
    uint64_t before = fe->progress;
    const char *name;
    int err;

    (void)loop;
    (void)revents;
    /* The reply may have come in time while this process was kept from running. */
    err = frontend_main_readable(fe);
    if (err == 0 && fe->progress == before) {
        name = vhost_user_request_name(VHOST_USER_FRONTEND, fe->awaiting);
        if (fe->awaiting != 0)
            err = frontend_fail(fe, -ETIMEDOUT, "it did not answer %s within %g seconds", name,
                                fe->reply_limit + frontend_mapping_seconds(fe));
        else
            err = frontend_fail(fe, -ETIMEDOUT, "it read no messages for %g seconds", fe->reply_limit);
    }
    if (err < 0)
        frontend_end(fe, err);
    else
        main_watch(fe, true);
}

static void backend_event(struct ev_loop *loop, ev_io *w, int revents)
{
    struct frontend *fe = w->data;
    int err = frontend_backend_serve(fe);

    (void)loop;
    (void)revents;
    if (err < 0)
        frontend_end(fe, err);
}

/* ---- connecting -------------------------------------------------------------------------------- */

static int channel_connect(struct frontend *fe)
{
    int fd, err;

    if (fe->connect == NULL)
        return vhost_user_channel_connect(&fe->main, fe->socket, fe->name);
    fd = fe->connect(fe->ctx, fe->socket);
    if (fd < 0)
        return fd;
    err = vhost_user_channel_new(&fe->main, fd, VHOST_USER_FRONTEND, fe->name);
    if (err < 0)
        close(fd);
    return err;
}

static void connect_try(struct frontend *fe)
{
    int err = channel_connect(fe);
    bool absent = err == -ENOENT || err == -ECONNREFUSED;

    if ((err == -EAGAIN && ev_now(fe->loop) < fe->connect_deadline) ||
        (absent && ev_now(fe->loop) < fe->wait_deadline)) {
        ev_timer_set(&fe->connect_timer, CONNECT_RETRY, 0.0);
        ev_timer_start(fe->loop, &fe->connect_timer);
        return;
    }
    if (err < 0) {
        if (err == -EAGAIN)
            err = frontend_fail(fe, -ETIMEDOUT, "nobody accepted the connection to %s within %g seconds",
                                fe->socket, fe->reply_limit);
        else
            frontend_fail(fe, err, "connecting to %s: %s", fe->socket, strerror(-err));
        frontend_end(fe, err);
        return;
    }
    ev_io_set(&fe->main_read, vhost_user_channel_fd(fe->main), EV_READ);
    ev_io_set(&fe->main_write, vhost_user_channel_fd(fe->main), EV_WRITE);
    ev_io_start(fe->loop, &fe->main_read);
    fe->state = FRONTEND_HANDSHAKE;
    fe->todo |= 1u << FRONTEND_JOB_HANDSHAKE;
    main_continue(fe, 0);
}

static void connect_timer_event(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    connect_try(w->data);
}

static void connect_begin(struct frontend *fe)
{
    fe->state = FRONTEND_CONNECTING;
    fe->report = FRONTEND_REPORT_NONE;
    ev_now_update(fe->loop);
    fe->connect_deadline = ev_now(fe->loop) + fe->reply_limit;
    fe->wait_deadline = ev_now(fe->loop) + fe->wait_limit;
    frontend_schedule(fe);
}

/* ---- reports ----------------------------------------------------------------------------------- */

/* Tells the owner of one change. fe may be gone when this returns. */
static void report_deliver(struct frontend *fe)
{
    const struct frontend_callbacks *cb = fe->callbacks;
    enum frontend_report report = fe->report;
    char why[FRONTEND_WHY_LEN];

    fe->report = FRONTEND_REPORT_NONE;
    if (report == FRONTEND_REPORT_NONE && fe->config_report) {
        fe->config_report = false;
        if (!fe->config_written) {
            cb->config_changed(fe->ctx);
            return;
        }
        /* The driver's value is newer than what was read. */
        fe->todo |= 1u << FRONTEND_JOB_CONFIG_READ;
        frontend_schedule(fe);
        return;
    }
    if (fe->config_report)
        frontend_schedule(fe);
    switch (report) {
    case FRONTEND_REPORT_NONE:
        break;
    case FRONTEND_REPORT_READY:
        fe->state = FRONTEND_IDLE;
        fe->was_ready = true;
        cb->ready(fe->ctx);
        break;
    case FRONTEND_REPORT_STARTED:
        fe->state = FRONTEND_RUNNING;
        cb->started(fe->ctx);
        break;
    case FRONTEND_REPORT_STOPPED:
        fe->state = FRONTEND_IDLE;
        cb->stopped(fe->ctx);
        break;
    case FRONTEND_REPORT_LOST:
        memcpy(why, fe->why, sizeof(why));
        cb->lost(fe->ctx, fe->lost_err, why);
        break;
    }
}

static void work_event(struct ev_loop *loop, ev_idle *w, int revents)
{
    struct frontend *fe = w->data;

    (void)revents;
    ev_idle_stop(loop, &fe->work);
    if (fe->state == FRONTEND_CONNECTING) {
        if (!ev_is_active(&fe->connect_timer))
            connect_try(fe);
        return;
    }
    if (fe->main != NULL)
        main_continue(fe, 0);
    report_deliver(fe);
}

/* ---- public ------------------------------------------------------------------------------------ */

static void watchers_init(struct frontend *fe)
{
    ev_io_init(&fe->main_read, main_read_event, -1, EV_READ);
    ev_io_init(&fe->main_write, main_write_event, -1, EV_WRITE);
    ev_io_init(&fe->backend_read, backend_event, -1, EV_READ);
    ev_io_init(&fe->backend_write, backend_event, -1, EV_WRITE);
    ev_timer_init(&fe->reply_timer, reply_timer_event, 0.0, fe->reply_limit);
    ev_timer_init(&fe->connect_timer, connect_timer_event, 0.0, 0.0);
    ev_idle_init(&fe->work, work_event);
    /* Before whatever else happens in the same turn of the loop: no other watcher can starve it. */
    ev_set_priority(&fe->work, EV_MAXPRI);
    fe->main_read.data = fe->main_write.data = fe->backend_read.data = fe->backend_write.data = fe;
    fe->reply_timer.data = fe->connect_timer.data = fe->work.data = fe;
}

int frontend_new(struct frontend **out, struct ev_loop *loop, const struct frontend_options *options,
                 const struct frontend_callbacks *callbacks, void *ctx)
{
    struct frontend *fe;

    if (options->socket[0] == '\0' ||
        strlen(options->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path) ||
        options->config_len > FRONTEND_MAX_CONFIG || options->nr_queues > FRONTEND_MAX_QUEUES ||
        options->reply_limit < 0)
        return -EINVAL;
    fe = calloc(1, sizeof(*fe));
    if (fe == NULL)
        return -ENOMEM;
    fe->name = strdup(options->name);
    fe->socket = strdup(options->socket);
    if (fe->name == NULL || fe->socket == NULL) {
        free(fe->name);
        free(fe->socket);
        free(fe);
        return -ENOMEM;
    }
    fe->loop = loop;
    fe->config_wanted = options->config_len;
    fe->queues_wanted = options->nr_queues;
    fe->queue_unit = MAX(options->queue_unit, 1u);
    fe->queues_least = options->queues_least != 0 ? options->queues_least : fe->queue_unit;
    fe->features_mask = options->features_mask & ~((uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES);
    fe->wait_limit = options->wait_limit;
    fe->reply_limit = options->reply_limit > 0 ? options->reply_limit : FRONTEND_REPLY_LIMIT;
    fe->connect = options->connect;
    fe->callbacks = callbacks;
    fe->ctx = ctx;
    fe->backend_peer = -1;
    fe->shmem_bit = options->shmem_bit != 0 ? options->shmem_bit : VHOST_USER_PROTOCOL_F_SHMEM_MAP;
    fe->shmem_ack_always = options->shmem_ack_always;
    fe->memory_changes = options->memory_changes;
    fe->job = FRONTEND_NO_JOB;
    list_init(&fe->config_writes);
    watchers_init(fe);
    connect_begin(fe);
    *out = fe;
    return 0;
}

void frontend_free(struct frontend *fe)
{
    if (fe == NULL)
        return;
    connection_close(fe);
    ev_idle_stop(fe->loop, &fe->work);
    free(fe->name);
    free(fe->socket);
    free(fe);
}

uint64_t frontend_offered(const struct frontend *fe)
{
    return fe->offered;
}

uint64_t frontend_protocol_offered(const struct frontend *fe)
{
    return fe->protocol_offered;
}

uint64_t frontend_features(const struct frontend *fe)
{
    return fe->features;
}

uint64_t frontend_protocol_features(const struct frontend *fe)
{
    return fe->protocol_features;
}

unsigned frontend_nr_queues(const struct frontend *fe)
{
    return fe->nr_queues;
}

size_t frontend_nr_slots(const struct frontend *fe)
{
    return fe->nr_slots;
}

size_t frontend_config(const struct frontend *fe, void *buf, size_t len)
{
    len = MIN(len, fe->config_len);
    memcpy(buf, fe->config, len);
    return len;
}

static int fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    return copy < 0 ? -errno : copy;
}

/* Copies what was given to frontend_start into fe->setup. On an error what is there is left to be freed. */
static int setup_copy(struct frontend *fe, const struct frontend_start *start)
{
    struct frontend_setup *setup = fe->setup;

    for (size_t i = 0; i < ARRAY_SIZE(setup->queues); i++)
        setup->queues[i].kick_fd = setup->queues[i].call_fd = -1;
    setup->features = start->features;
    for (size_t i = 0; i < start->nr_regions; i++) {
        int fd = fd_dup(start->regions[i].fd);

        if (fd < 0)
            return fd;
        setup->regions[i] = start->regions[i];
        setup->regions[i].fd = fd;
        setup->nr_regions = i + 1;
    }
    for (unsigned i = 0; i < start->nr_queues; i++) {
        struct frontend_queue *q = &setup->queues[i];
        int kick, call;

        if (!start->queues[i].enabled)
            continue;
        kick = fd_dup(start->queues[i].kick_fd);
        call = fd_dup(start->queues[i].call_fd);
        *q = start->queues[i];
        q->kick_fd = kick;
        q->call_fd = call;
        if (kick < 0 || call < 0)
            return MIN(kick, call);
    }
    return 0;
}

int frontend_start(struct frontend *fe, const struct frontend_start *start)
{
    int err;

    if (fe->state == FRONTEND_LOST)
        return -ENOTCONN;
    if (fe->state != FRONTEND_IDLE)
        return -EBUSY;
    if (start->nr_queues > fe->nr_queues || start->nr_regions > fe->nr_slots ||
        (start->features & ~fe->features) != 0)
        return -EINVAL;
    fe->setup = calloc(1, sizeof(*fe->setup));
    if (fe->setup == NULL)
        return -ENOMEM;
    err = setup_copy(fe, start);
    if (err < 0) {
        frontend_setup_free(fe);
        return err;
    }
    fe->base_known = 0;
    fe->state = FRONTEND_STARTING;
    fe->todo |= 1u << FRONTEND_JOB_START;
    frontend_schedule(fe);
    return 0;
}

int frontend_stop(struct frontend *fe)
{
    switch (fe->state) {
    case FRONTEND_LOST:
        return -ENOTCONN;
    case FRONTEND_STARTING:
    case FRONTEND_RUNNING:
        break;
    case FRONTEND_CONNECTING:
    case FRONTEND_HANDSHAKE:
    case FRONTEND_IDLE:
    case FRONTEND_STOPPING:
        return -EINVAL;
    }
    /* A start under way is cut short at its next step, as is what is said of memory; one not begun is not
     * begun. */
    fe->report = FRONTEND_REPORT_NONE;
    fe->todo &= ~(1u << FRONTEND_JOB_START | 1u << FRONTEND_JOB_MEMORY);
    fe->todo |= 1u << FRONTEND_JOB_STOP;
    fe->state = FRONTEND_STOPPING;
    frontend_schedule(fe);
    return 0;
}

void frontend_memory_changed(struct frontend *fe)
{
    if (fe->callbacks->memory == NULL || (fe->state != FRONTEND_STARTING && fe->state != FRONTEND_RUNNING))
        return;
    fe->todo |= 1u << FRONTEND_JOB_MEMORY;
    frontend_schedule(fe);
}

int frontend_queue_base(const struct frontend *fe, unsigned queue, uint16_t *base)
{
    if (queue >= FRONTEND_MAX_QUEUES || (fe->base_known >> queue & 1) == 0)
        return -ENODATA;
    *base = fe->bases[queue];
    return 0;
}

int frontend_set_config(struct frontend *fe, uint32_t offset, const void *buf, size_t len)
{
    struct frontend_config_write *w;

    if (fe->state == FRONTEND_LOST)
        return -ENOTCONN;
    if (fe->config_len == 0)
        return -ENOTSUP;
    if (!range_within(offset, len, fe->config_len))
        return -EINVAL;
    if (fe->nr_config_writes >= FRONTEND_MAX_CONFIG_WRITES)
        return -ENOBUFS;
    w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    w->offset = offset;
    w->len = (uint32_t)len;
    memcpy(w->data, buf, len);
    list_append(&fe->config_writes, &w->link);
    fe->nr_config_writes++;
    fe->config_written = true;
    fe->todo |= 1u << FRONTEND_JOB_CONFIG_WRITE;
    frontend_schedule(fe);
    return 0;
}

int frontend_reconnect(struct frontend *fe)
{
    if (fe->state != FRONTEND_LOST || fe->report != FRONTEND_REPORT_NONE)
        return -EBUSY;
    connect_begin(fe);
    return 0;
}

void frontend_drop(struct frontend *fe, int err, const char *why)
{
    if (fe->state != FRONTEND_LOST)
        frontend_end(fe, frontend_fail(fe, err, "%s", why));
}

int frontend_socket(const struct frontend *fe)
{
    return fe->main != NULL ? vhost_user_channel_fd(fe->main) : -1;
}

const char *frontend_why_lost(const struct frontend *fe)
{
    return fe->why;
}

const char *frontend_state_name(const struct frontend *fe)
{
    static const char *const names[] = {
        [FRONTEND_CONNECTING] = "connecting",
        [FRONTEND_HANDSHAKE] = "handshake",
        [FRONTEND_IDLE] = "idle",
        [FRONTEND_STARTING] = "starting",
        [FRONTEND_RUNNING] = "running",
        [FRONTEND_STOPPING] = "stopping",
        [FRONTEND_LOST] = "lost",
    };

    return names[fe->state];
}
