// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bounce.c - see bounce.h: when a device in bounce mode starts, stops and fails. The movement of chains is in
 * bounce_queue.c.
 */
#include "dm/bounce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/bounce_queue.h"
#include "dm/frontend.h"

#define TRIM_SECONDS 10.0   /* how often pages of an idle pool are given back */
#define TRIM_KEEP    MIB(1) /* which an idle device keeps, so that it need not get them anew */

static struct ev_loop *bounce_loop(struct bounce *bounce)
{
    return bounce->dev->guest->loop;
}

#define for_each_active(q, bounce)                                                                           \
    for (struct bounce_queue *q = (bounce)->queues; q < (bounce)->queues + (bounce)->options.nr_queues; q++) \
        if (q->active)

/* ---- the back-end's view ---------------------------------------------------------------------------- */

static void backend_view_drop(struct bounce *bounce)
{
    bounce->draining = false;
    ev_timer_stop(bounce_loop(bounce), &bounce->drain_timer);
    ev_timer_stop(bounce_loop(bounce), &bounce->trim_timer);
    for_each_active(q, bounce) bounce_queue_unshadow(q);
    bounce_pool_fini(&bounce->pool);
}

/* Half of the pool is for what the driver lends, in equal parts for the queues. */
static void pool_divide(struct bounce *bounce)
{
    size_t first = 0, nr = bounce->pool.nr_units, nr_active = 0;

    for_each_active(q, bounce) nr_active++;
    if (bounce->options.lends && nr_active > 0)
        first = nr / 2;
    bounce->common = bounce_arena_make(0, nr - first);
    for_each_active(q, bounce)
    {
        q->lent = bounce_arena_make(nr - first, first / nr_active);
        first -= first / nr_active--;
    }
}

static int backend_view_make(struct bounce *bounce)
{
    size_t rings_len = 0, offset = 0;
    int rc;

    for_each_active(q, bounce) rings_len += bounce_queue_ring_len(q->guest.size);
    rc = bounce_pool_init(&bounce->pool, rings_len, bounce->options.pool_len);
    if (rc == 0)
        pool_divide(bounce);
    for_each_active(q, bounce)
    {
        if (rc == 0)
            rc = bounce_queue_shadow(q, offset);
        offset += bounce_queue_ring_len(q->guest.size);
    }
    if (rc != 0)
        backend_view_drop(bounce);
    else
        ev_timer_again(bounce_loop(bounce), &bounce->trim_timer);
    return rc;
}

static int backend_tell(struct bounce *bounce)
{
    struct frontend_region region = {
        .gpa = BOUNCE_BACKEND_BASE,
        .user_addr = BOUNCE_BACKEND_BASE,
        .len = bounce->pool.len,
        .fd = bounce->pool.fd,
    };
    struct frontend_queue queues[VIRTIO_MAX_QUEUES] = {0};
    struct frontend_start start = {
        .features = (bounce->dev->state->driver_features & bounce->options.backend_features) |
                    bounce->shadow_features,
        .nr_regions = 1,
        .regions = &region,
        .nr_queues = bounce->options.nr_queues,
        .queues = queues,
    };

    for_each_active(q, bounce) queues[q->index] = (struct frontend_queue){
        .enabled = true,
        .size = q->guest.size,
        .desc = BOUNCE_BACKEND_BASE + q->desc_offset,
        .avail = BOUNCE_BACKEND_BASE + q->avail_offset,
        .used = BOUNCE_BACKEND_BASE + q->used_offset,
        .kick_fd = q->kick_fd,
        .call_fd = q->call_fd,
    };
    return frontend_start(bounce->fe, &start);
}

/*
 * What was used last the driver may not have been told of: by us when the back-end broke a rule, by a
 * predecessor that was killed between a completion and its interrupt. With the event index it would not be
 * told of what follows either. Since a start nothing was used if no chain was taken.
 */
static void interrupt_missed(struct bounce_queue *q)
{
    if (q->saved->sequence != 0)
        virtio_device_queue_interrupt(q->bounce->dev, q->index);
}

/* Refuses what the back-end had and what comes, and tells the driver. */
static void fail_begin(struct bounce *bounce, const char *why)
{
    char text[256];

    backend_view_drop(bounce);
    bounce->state = BOUNCE_FAILING;
    for_each_active(q, bounce)
    {
        interrupt_missed(q);
        if (bounce_queue_relist(q) == 0 && bounce->options.refusal.how != REFUSE_NOT)
            guest_work_queue(bounce->dev->guest, &q->kick_work);
    }
    snprintf(text, sizeof(text),
             bounce->retired
                 ? "%s"
                 : "the back-end is gone (%s); start it again, then let the guest rebind the driver",
             why);
    virtio_device_broken(bounce->dev, text);
}

/* Shows rings and buffers to the back-end, or waits for it to be there. */
static void backend_begin(struct bounce *bounce)
{
    uint64_t shadow_wanted =
        1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_RING_F_EVENT_IDX;
    int rc;

    bounce->shadow_features = frontend_features(bounce->fe) & shadow_wanted;
    rc = backend_view_make(bounce);
    if (rc == 0) {
        rc = backend_tell(bounce);
        if (rc == 0) {
            bounce->state = BOUNCE_STARTING;
            bounce->backend_busy = true;
            return;
        }
        backend_view_drop(bounce);
    }
    bounce->loss_untold = false;
    if (bounce->retired) {
        fail_begin(bounce, "the device has been removed");
        return;
    }
    if (rc == -ENOTCONN) {
        rc = frontend_reconnect(bounce->fe);
        bounce->loss_untold = rc == -EBUSY;
    }
    if (rc == 0 || rc == -EBUSY)
        bounce->state = BOUNCE_WAITING;
    else
        fail_begin(bounce, strerror(-rc));
}

void bounce_backend_ready(struct bounce *bounce)
{
    if (bounce->state == BOUNCE_WAITING)
        backend_begin(bounce);
}

void bounce_backend_started(struct bounce *bounce)
{
    if (bounce->state != BOUNCE_STARTING)
        return;
    bounce->state = BOUNCE_RUNNING;
    log_debug("%s: the back-end serves the queues", bounce->dev->name);
    for_each_active(q, bounce)
    {
        guest_work_queue(bounce->dev->guest, &q->kick_work);
        interrupt_missed(q);
    }
}

/* ---- start and stop, by the device ------------------------------------------------------------------ */

static void queues_close(struct bounce *bounce)
{
    backend_view_drop(bounce);
    for_each_active(q, bounce) bounce_queue_close(q);
}

static bool queues_open(struct bounce *bounce)
{
    struct virtio_device *dev = bounce->dev;
    uint64_t features = dev->state->driver_features;

    for (unsigned i = 0; i < bounce->options.nr_queues; i++) {
        struct bounce_queue *q = &bounce->queues[i];
        const struct virtio_queue_state *s = &dev->state->queues[i];
        const char *why = "no memory";

        if (!s->enabled)
            continue;
        q->guest = (struct guest_ring){
            .guest = dev->guest,
            .size = s->size,
            .desc = s->desc,
            .avail = s->avail,
            .used = s->used,
            .indirect = features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
            .event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
            .chain_max = align_up(bounce->options.pool_len, BOUNCE_POOL_UNIT),
        };
        if (bounce_queue_open(q, bounce->resume, &why) != 0) {
            bounce_guest_error(q, why);
            return false;
        }
    }
    return true;
}

static void session_begin(struct bounce *bounce)
{
    bounce->state = BOUNCE_WAITING;
    if (queues_open(bounce))
        backend_begin(bounce);
}

static void bounce_start(void *datapath)
{
    struct bounce *bounce = datapath;

    if (bounce->state == BOUNCE_STOPPING)
        bounce->state = BOUNCE_RESTARTING;
    else
        session_begin(bounce);
}

static void stopped_tell(struct bounce *bounce)
{
    bool owed = bounce->stopped_owed;

    bounce->stopped_owed = false;
    if (owed)
        virtio_device_stopped(bounce->dev);
}

/* Neither the back-end nor we have anything left of what the driver reset. */
static void stop_finish(struct bounce *bounce)
{
    bool again = bounce->state == BOUNCE_RESTARTING;

    bounce->state = BOUNCE_STOPPED;
    queues_close(bounce);
    stopped_tell(bounce);
    if (again)
        session_begin(bounce);
}

static bool is_stopping(const struct bounce *bounce)
{
    return bounce->state == BOUNCE_STOPPING || bounce->state == BOUNCE_RESTARTING;
}

static void backend_stop_now(struct bounce *bounce)
{
    bounce->draining = false;
    ev_timer_stop(bounce_loop(bounce), &bounce->drain_timer);
    for_each_active(q, bounce) ev_io_stop(bounce_loop(bounce), &q->call_io);
    if (frontend_stop(bounce->fe) == 0)
        bounce->backend_stopping = true;
    else
        bounce->backend_busy = false;
}

static bool backend_is_drained(struct bounce *bounce)
{
    bool drained = true;

    for_each_active(q, bounce) drained &= bounce_queue_is_drained(q);
    return drained;
}

/*
 * The shadow rings are let go of once the back-end has answered, or is given up by a time limit. It is asked
 * only when it has finished the requests that it has: back-ends answer GET_VRING_BASE with requests still in
 * flight, and return those later into whatever ring is there then.
 */
static void backend_stop(struct bounce *bounce)
{
    if (!bounce->backend_busy || bounce->backend_stopping || bounce->draining)
        return;
    if (backend_is_drained(bounce)) {
        backend_stop_now(bounce);
        return;
    }
    bounce->draining = true;
    ev_timer_set(&bounce->drain_timer, bounce->options.drain_limit, 0.);
    ev_timer_start(bounce_loop(bounce), &bounce->drain_timer);
}

static void drain_late(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct bounce *bounce = timer->data;

    (void)loop;
    (void)revents;
    frontend_drop(bounce->fe, -ETIMEDOUT, "it did not finish its requests in time for the driver's reset");
}

void bounce_called(struct bounce_queue *q)
{
    struct bounce *bounce = q->bounce;

    if (bounce->state == BOUNCE_RUNNING) {
        bounce_queue_complete(q);
        return;
    }
    if (!bounce->draining || !backend_is_drained(bounce))
        return;
    backend_stop_now(bounce);
    if (!bounce->backend_busy && is_stopping(bounce))
        stop_finish(bounce);
}

/*
 * Not every driver waits for the end of a reset, and from now on nothing here touches the guest's memory: so
 * the reset ends at once, while the back-end goes on with what it has, in the shadow rings. A start that
 * comes meanwhile has to wait for it: however often a driver starts and resets the device, its back-end is
 * stopped and started one after the other.
 */
static void bounce_stop(void *datapath)
{
    struct bounce *bounce = datapath;

    /* What is in flight is nothing that a successor of this process may submit again. */
    for (unsigned i = 0; i < bounce->options.nr_queues && bounce->state != BOUNCE_RESTARTING; i++)
        bounce_queue_forget(&bounce->queues[i]);
    bounce->stopped_owed = true;
    bounce->state = BOUNCE_STOPPING;
    backend_stop(bounce);
    if (!bounce->backend_busy)
        stop_finish(bounce);
    else if (!bounce->options.reset_waits)
        stopped_tell(bounce);
}

void bounce_backend_stopped(struct bounce *bounce)
{
    bounce->backend_busy = bounce->backend_stopping = false;
    if (is_stopping(bounce))
        stop_finish(bounce);
    else
        backend_view_drop(bounce);
}

/* ---- trouble ------------------------------------------------------------------------------------------ */

void bounce_backend_lost(struct bounce *bounce, const char *why)
{
    bounce->backend_busy = bounce->backend_stopping = false;
    if (is_stopping(bounce)) {
        stop_finish(bounce);
        return;
    }
    if (bounce->state == BOUNCE_WAITING && bounce->loss_untold) {
        /* This is of the time before the driver started: only now can the back-end be looked for again. */
        backend_begin(bounce);
        return;
    }
    switch (bounce->state) {
    case BOUNCE_WAITING:
    case BOUNCE_STARTING:
    case BOUNCE_RUNNING:
        fail_begin(bounce, why);
        break;
    case BOUNCE_HALTED:
        backend_view_drop(bounce);
        break;
    case BOUNCE_STOPPED:
    case BOUNCE_STOPPING:
    case BOUNCE_RESTARTING:
    case BOUNCE_FAILING:
        break;
    }
}

void bounce_guest_error(struct bounce_queue *q, const char *what)
{
    struct bounce *bounce = q->bounce;
    char text[256];

    if (bounce->state == BOUNCE_HALTED)
        return;
    bounce->state = BOUNCE_HALTED;
    backend_stop(bounce);
    snprintf(text, sizeof(text), "the driver's queue %u is malformed: %s", q->index, what);
    virtio_device_broken(bounce->dev, text);
}

void bounce_backend_error(struct bounce_queue *q, const char *what)
{
    char text[160];

    if (q->bounce->state != BOUNCE_RUNNING)
        return;
    ev_io_stop(bounce_loop(q->bounce), &q->call_io);
    snprintf(text, sizeof(text), "queue %u: %s", q->index, what);
    frontend_drop(q->bounce->fe, -EPROTO, text);
}

void bounce_pool_freed(struct bounce *bounce)
{
    struct bounce_queue *q;

    list_for_each (q, &bounce->pool_waiters, waiting)
        guest_work_queue(bounce->dev->guest, &q->kick_work);
}

/* ---- kicks ------------------------------------------------------------------------------ */

static void queue_look(struct bounce_queue *q)
{
    switch (q->bounce->state) {
    case BOUNCE_RUNNING:
        bounce_queue_submit(q);
        break;
    case BOUNCE_FAILING:
        if (q->bounce->options.refusal.how != REFUSE_NOT)
            bounce_queue_fail(q);
        break;
    case BOUNCE_STOPPED:
    case BOUNCE_STOPPING:
    case BOUNCE_RESTARTING:
    case BOUNCE_WAITING:
    case BOUNCE_STARTING:
    case BOUNCE_HALTED:
        break;
    }
}

static void bounce_kick(void *datapath, unsigned queue)
{
    struct bounce *bounce = datapath;

    if (bounce->queues[queue].active)
        queue_look(&bounce->queues[queue]);
}

static void kick_work(struct guest_work *work)
{
    queue_look(container_of(work, struct bounce_queue, kick_work));
}

static void call_work(struct guest_work *work)
{
    struct bounce_queue *q = container_of(work, struct bounce_queue, call_work);

    if (q->bounce->state == BOUNCE_RUNNING)
        bounce_queue_complete(q);
}

static void bounce_config_written(void *datapath, size_t offset, size_t len)
{
    struct bounce *bounce = datapath;
    int rc = frontend_set_config(bounce->fe, (uint32_t)offset, bounce->dev->config + offset, len);

    if (rc != 0)
        log_limited(&bounce->limit, LOG_LEVEL_WARNING,
                    "%s: the back-end was not told of the driver's config write: %s", bounce->dev->name,
                    strerror(-rc));
}

static const struct virtio_datapath_ops bounce_ops = {
    .name = "bounce",
    .start = bounce_start,
    .stop = bounce_stop,
    .kick = bounce_kick,
    .config_written = bounce_config_written,
};

static void trim(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct bounce *bounce = timer->data;

    (void)loop;
    (void)revents;
    bounce_pool_trim(&bounce->pool, &bounce->common, TRIM_KEEP);
}

/* ---- status ------------------------------------------------------------------------------------------- */

struct bounce_counts bounce_queue_counts(const struct bounce *bounce, unsigned queue)
{
    return queue < bounce->dev->nr_queues ? bounce->queues[queue].counts : (struct bounce_counts){0};
}

unsigned bounce_queue_in_flight(const struct bounce *bounce, unsigned queue)
{
    const struct bounce_queue *q = &bounce->queues[queue];
    unsigned nr = 0;

    if (queue >= bounce->dev->nr_queues || !q->active)
        return 0;
    for (unsigned i = 0; i < q->guest.size; i++)
        nr += q->saved->in_flight[i] != 0;
    return nr;
}

const char *bounce_state_name(const struct bounce *bounce)
{
    static const char *const names[] = {
        [BOUNCE_STOPPED] = "stopped", [BOUNCE_STOPPING] = "stopping", [BOUNCE_RESTARTING] = "restarting",
        [BOUNCE_WAITING] = "waiting", [BOUNCE_STARTING] = "starting", [BOUNCE_RUNNING] = "running",
        [BOUNCE_FAILING] = "failing", [BOUNCE_HALTED] = "halted",
    };

    return names[bounce->state];
}

/* ---- life cycle --------------------------------------------------------------------------------------- */

int bounce_new(struct bounce **out, struct virtio_device *dev, struct frontend *fe,
               const struct bounce_options *options, struct bounce_saved *saved)
{
    struct bounce *bounce = calloc(1, sizeof(*bounce));

    if (bounce == NULL)
        return -ENOMEM;
    bounce->dev = dev;
    bounce->fe = fe;
    bounce->options = *options;
    bounce->saved = saved;
    bounce->pool.fd = -1;
    list_init(&bounce->pool_waiters);
    ev_timer_init(&bounce->trim_timer, trim, 0., TRIM_SECONDS);
    bounce->trim_timer.data = bounce;
    ev_timer_init(&bounce->drain_timer, drain_late, 0., 0.);
    bounce->drain_timer.data = bounce;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        struct bounce_queue *q = &bounce->queues[i];

        q->bounce = bounce;
        q->index = i;
        q->saved = &saved->queues[i];
        q->kick_fd = q->call_fd = -1;
        q->kick_work.fn = kick_work;
        q->call_work.fn = call_work;
        list_init(&q->kick_work.link);
        list_init(&q->call_work.link);
        list_init(&q->waiting);
    }
    dev->datapath = bounce;
    dev->datapath_ops = &bounce_ops;
    *out = bounce;
    return 0;
}

void bounce_free(struct bounce *bounce)
{
    if (bounce == NULL)
        return;
    queues_close(bounce);
    free(bounce);
}

void bounce_retire(struct bounce *bounce)
{
    bounce->retired = true;
}

void bounce_resume(struct bounce *bounce, bool resume)
{
    bounce->resume = resume;
}
