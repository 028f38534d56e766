// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * direct.c - see direct.h.
 */
#include "dm/direct.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_ring.h>

#include "dm/guest.h"
#include "dm/guest_ring.h"
#include "dm/memory_table.h"
#include "dm/shared_eventfd.h"

/* How often a stopped back-end's rings are looked at for what it still owes (seconds). It need not tell of
 * that: the driver may have asked for no interrupt. */
#define DRAIN_LOOK 0.01

enum direct_state {
    DIRECT_STOPPED,  /* the driver is not up */
    DIRECT_WAITING,  /* the driver is up, the back-end is being connected again */
    DIRECT_STARTING, /* the back-end is being told of memory and rings */
    DIRECT_RUNNING,
    DIRECT_HALTED, /* nothing works until the driver resets the device */
};

struct direct_queue {
    struct direct *direct;
    unsigned index;
    bool active;      /* enabled by the driver, and set up */
    bool call_missed; /* a predecessor may have been killed between a call and its interrupt */
    struct guest_ring ring;
    uint16_t base;        /* avail index at which the back-end begins */
    int kick_fd, call_fd; /* owned; -1: none */
    ev_io call_io;
};

struct direct {
    struct virtio_device *dev;
    struct frontend *fe;
    struct direct_options options;
    struct memory_table table;
    struct guest_memory_watch watch;
    enum direct_state state;
    bool resume, retired;
    bool backend_busy; /* frontend_start was called, stopped() not seen */
    bool backend_stopping;
    bool loss_untold; /* the connection was lost before the driver started, and lost() has not said so yet */
    bool stop_wanted; /* virtio_device_stopped is owed */
    bool untold_logged;
    size_t nr_regions;
    ev_timer drain_timer; /* runs while a stopped back-end has requests still */
    double drain_left;    /* seconds */
    struct log_limit limit;
    struct direct_queue queues[VIRTIO_MAX_QUEUES];
};

static struct ev_loop *direct_loop(const struct direct *direct)
{
    return direct->dev->guest->loop;
}

#define for_each_active(q, direct)                                                                           \
    for (struct direct_queue *q = (direct)->queues; q < (direct)->queues + (direct)->options.nr_queues; q++) \
        if (q->active)

/* ---- queues ------------------------------------------------------------------------------------------- */

static void queues_close(struct direct *direct)
{
    for_each_active(q, direct)
    {
        ev_io_stop(direct_loop(direct), &q->call_io);
        if (q->kick_fd >= 0)
            close(q->kick_fd);
        if (q->call_fd >= 0)
            close(q->call_fd);
        q->kick_fd = q->call_fd = -1;
        q->active = false;
    }
}

static void backend_stop(struct direct *direct)
{
    if (!direct->backend_busy || direct->backend_stopping)
        return;
    direct->backend_stopping = frontend_stop(direct->fe) == 0;
    direct->backend_busy = direct->backend_stopping;
}

/* The driver cannot go on as it is; and the back-end is to let go of its rings. */
static void halt(struct direct *direct, const char *why)
{
    direct->state = DIRECT_HALTED;
    backend_stop(direct);
    virtio_device_broken(direct->dev, why);
}

static void backend_error(struct direct_queue *q, const char *what)
{
    char text[96];

    ev_io_stop(direct_loop(q->direct), &q->call_io);
    snprintf(text, sizeof(text), "queue %u: its %s eventfd blocks", q->index, what);
    frontend_drop(q->direct->fe, -EPROTO, text);
}

static void call_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    struct direct_queue *q = io->data;

    (void)loop;
    (void)revents;
    if (shared_eventfd_clear(q->call_fd) == 0)
        virtio_device_queue_interrupt(q->direct->dev, q->index);
    else
        backend_error(q, "call");
}

/* The ring areas are the back-end's to find: each in one region of RAM, or it would give us up. */
static bool area_is_ram(const struct direct *direct, uint64_t gpa, uint64_t len)
{
    for (size_t i = 0; i < direct->table.nr_ram; i++) {
        const struct frontend_region *r = &direct->table.ram[i];

        if (gpa >= r->gpa && range_within(gpa - r->gpa, len, r->len))
            return true;
    }
    return false;
}

static const char *ring_check(const struct direct *direct, const struct guest_ring *ring)
{
    const uint64_t event = sizeof(__virtio16);
    const char *why = guest_ring_check(ring);

    if (why != NULL)
        return why;
    if (area_is_ram(direct, ring->desc, sizeof(struct vring_desc) * ring->size) &&
        area_is_ram(direct, ring->avail,
                    sizeof(struct vring_avail) + sizeof(__virtio16) * ring->size + event) &&
        area_is_ram(direct, ring->used,
                    sizeof(struct vring_used) + sizeof(struct vring_used_elem) * ring->size + event))
        return NULL;
    return "it does not lie in the guest's memory";
}

/* Where a predecessor's back-end was. It has closed that connection, having answered on ours, and what it had
 * taken is not to be seen: only a ring in which all that is available is used is known to have none of it. */
static const char *ring_resume(struct direct_queue *q)
{
    uint16_t avail;

    if (guest_ring_used_idx(&q->ring, &q->base) != 0 || guest_ring_avail_idx(&q->ring, &avail) != 0)
        return "its indexes are not in memory";
    return avail == q->base ? NULL : "requests may have been on their way while vhost-dm was replaced";
}

static int queue_open(struct direct_queue *q, const char **why)
{
    struct direct *direct = q->direct;
    const struct virtio_queue_state *s = &direct->dev->state->queues[q->index];

    q->active = true;
    q->call_missed = direct->resume;
    q->base = 0;
    q->ring = (struct guest_ring){
        .guest = direct->dev->guest, .size = s->size, .desc = s->desc, .avail = s->avail, .used = s->used};
    *why = ring_check(direct, &q->ring);
    if (*why == NULL && direct->resume)
        *why = ring_resume(q);
    if (*why != NULL)
        return -EINVAL;
    q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *why = "no more files can be opened";
    if (q->kick_fd < 0 || q->call_fd < 0)
        return -EMFILE;
    ev_io_set(&q->call_io, q->call_fd, EV_READ);
    ev_io_start(direct_loop(direct), &q->call_io);
    return 0;
}

static bool queues_open(struct direct *direct)
{
    for (unsigned i = 0; i < direct->options.nr_queues; i++) {
        const char *why = NULL;
        char text[160];

        if (!direct->dev->state->queues[i].enabled || queue_open(&direct->queues[i], &why) == 0)
            continue;
        snprintf(text, sizeof(text), "queue %u: %s", i, why);
        halt(direct, text);
        return false;
    }
    return true;
}

/* ---- start, by the device ----------------------------------------------------------------------------- */

size_t direct_memory(struct direct *direct, const struct frontend_region *told, size_t nr_told,
                     struct frontend_region *now, size_t max)
{
    direct->nr_regions = memory_table_fill(&direct->table, told, nr_told, now, max);
    if (direct->table.nr_untold > 0 && !direct->untold_logged) {
        direct->untold_logged = true;
        log_warning("%s: of other devices' shared memory its back-end is not told of all: it has no room for "
                    "more, or it is memory that it cannot map",
                    direct->dev->name);
    }
    return direct->nr_regions;
}

static void memory_changes(struct guest_memory_watch *watch)
{
    frontend_memory_changed(container_of(watch, struct direct, watch)->fe);
}

static int backend_tell(struct direct *direct)
{
    struct frontend_region *regions = calloc(FRONTEND_MAX_SLOTS, sizeof(*regions));
    struct frontend_queue queues[VIRTIO_MAX_QUEUES] = {0};
    struct frontend_start start = {
        .features = direct->dev->state->driver_features & direct->options.backend_features,
        .regions = regions,
        .nr_queues = direct->options.nr_queues,
        .queues = queues,
    };
    int rc;

    if (regions == NULL)
        return -ENOMEM;
    start.nr_regions = direct_memory(direct, NULL, 0, regions, frontend_nr_slots(direct->fe));
    for_each_active(q, direct) queues[q->index] = (struct frontend_queue){
        .enabled = true,
        .size = q->ring.size,
        .base = q->base,
        .desc = q->ring.desc,
        .avail = q->ring.avail,
        .used = q->ring.used,
        .kick_fd = q->kick_fd,
        .call_fd = q->call_fd,
    };
    rc = frontend_start(direct->fe, &start);
    free(regions);
    return rc;
}

/* Shares the guest's memory with the back-end, or waits for it to be there. */
static void backend_begin(struct direct *direct)
{
    int rc = direct->table.nr_ram <= frontend_nr_slots(direct->fe) ? backend_tell(direct) : -E2BIG;

    direct->loss_untold = false;
    if (rc == 0) {
        direct->state = DIRECT_STARTING;
        direct->backend_busy = true;
        return;
    }
    if (rc == -ENOTCONN && !direct->retired) {
        rc = frontend_reconnect(direct->fe);
        direct->loss_untold = rc == -EBUSY;
    }
    if (rc == 0 || rc == -EBUSY)
        direct->state = DIRECT_WAITING;
    else
        halt(direct, direct->retired ? "the device has been removed"
                     : rc == -E2BIG  ? "the back-end takes fewer pieces of memory than the guest's is in"
                                     : strerror(-rc));
}

static void direct_start(void *datapath)
{
    struct direct *direct = datapath;
    char text[96];
    int rc;

    /* A predecessor's driver may have been told so already. */
    if (direct->dev->state->status & VIRTIO_CONFIG_S_NEEDS_RESET) {
        direct->state = DIRECT_HALTED;
        return;
    }
    rc = memory_table_open(&direct->table);
    direct->state = DIRECT_WAITING;
    if (rc != 0) {
        snprintf(text, sizeof(text), "the guest's memory cannot be opened for the back-end: %s",
                 strerror(-rc));
        halt(direct, text);
    } else if (queues_open(direct)) {
        backend_begin(direct);
    }
}

void direct_backend_ready(struct direct *direct)
{
    if (direct->state == DIRECT_WAITING)
        backend_begin(direct);
}

static void queue_kick(struct direct_queue *q)
{
    if (shared_eventfd_signal(q->kick_fd) != 0)
        backend_error(q, "kick");
}

void direct_backend_started(struct direct *direct)
{
    if (direct->state != DIRECT_STARTING)
        return;
    direct->state = DIRECT_RUNNING;
    log_debug("%s: the back-end serves the queues", direct->dev->name);
    for_each_active(q, direct)
    {
        /* What came before anybody could hear of it. (A kick that fails ends it all, from the loop.) */
        queue_kick(q);
        if (q->call_missed)
            virtio_device_queue_interrupt(direct->dev, q->index);
        q->call_missed = false;
    }
}

static void direct_kick(void *datapath, unsigned queue)
{
    struct direct *direct = datapath;

    if (direct->state == DIRECT_RUNNING && direct->queues[queue].active)
        queue_kick(&direct->queues[queue]);
}

/* ---- stop --------------------------------------------------------------------------------------------- */

static void stop_finish(struct direct *direct)
{
    direct->stop_wanted = false;
    direct->state = DIRECT_STOPPED;
    ev_timer_stop(direct_loop(direct), &direct->drain_timer);
    queues_close(direct);
    memory_table_close(&direct->table);
    virtio_device_stopped(direct->dev);
}

static void direct_stop(void *datapath)
{
    struct direct *direct = datapath;

    direct->stop_wanted = true;
    direct->state = DIRECT_STOPPED;
    backend_stop(direct);
    if (!direct->backend_busy)
        stop_finish(direct);
}

/* Whether the back-end has given back all that it took, up to where it says that it stopped. */
static bool is_drained(struct direct *direct)
{
    uint16_t base, used;

    for_each_active(q, direct)
    {
        if (frontend_queue_base(direct->fe, q->index, &base) == 0 &&
            guest_ring_used_idx(&q->ring, &used) == 0 && used != base)
            return false;
    }
    return true;
}

/*
 * There are back-ends that stop a ring with requests still in flight, and give them back later, into the
 * guest's memory. The driver, which may use that for something else once its reset has ended, waits for them.
 */
static void drain_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct direct *direct = timer->data;

    (void)revents;
    direct->drain_left -= DRAIN_LOOK;
    if (is_drained(direct)) {
        stop_finish(direct);
    } else if (direct->drain_left <= 0) {
        ev_timer_stop(loop, timer);
        frontend_drop(direct->fe, -ETIMEDOUT,
                      "it did not finish its requests in time for the driver's reset");
    }
}

void direct_backend_stopped(struct direct *direct)
{
    direct->backend_busy = direct->backend_stopping = false;
    if (!direct->stop_wanted)
        return;
    if (is_drained(direct)) {
        stop_finish(direct);
        return;
    }
    direct->drain_left = direct->options.drain_limit;
    ev_timer_again(direct_loop(direct), &direct->drain_timer);
}

void direct_backend_lost(struct direct *direct, const char *why)
{
    char text[256];

    direct->backend_busy = direct->backend_stopping = false;
    if (direct->stop_wanted) {
        stop_finish(direct);
        return;
    }
    if (direct->state == DIRECT_WAITING && direct->loss_untold) {
        /* This is of the time before the driver started: only now can the back-end be looked for again. */
        backend_begin(direct);
        return;
    }
    if (direct->state == DIRECT_STOPPED || direct->state == DIRECT_HALTED)
        return;
    snprintf(text, sizeof(text),
             direct->retired
                 ? "%s"
                 : "the back-end is gone (%s), with whatever requests it had; start it again, then let the "
                   "guest rebind the driver",
             why);
    halt(direct, text);
}

static void direct_config_written(void *datapath, size_t offset, size_t len)
{
    struct direct *direct = datapath;
    int rc = frontend_set_config(direct->fe, (uint32_t)offset, direct->dev->config + offset, len);

    if (rc != 0)
        log_limited(&direct->limit, LOG_LEVEL_WARNING,
                    "%s: the back-end was not told of the driver's config write: %s", direct->dev->name,
                    strerror(-rc));
}

static const struct virtio_datapath_ops direct_ops = {
    .name = "xen-mmap",
    .start = direct_start,
    .stop = direct_stop,
    .kick = direct_kick,
    .config_written = direct_config_written,
};

/* ---- life cycle and status ---------------------------------------------------------------------------- */

int direct_new(struct direct **out, struct virtio_device *dev, struct frontend *fe,
               const struct direct_options *options)
{
    struct direct *direct;

    if (memory_table_count_ram(dev->guest) > MIN(frontend_nr_slots(fe), (size_t)MEMORY_TABLE_MAX_RAM))
        return -E2BIG;
    direct = calloc(1, sizeof(*direct));
    if (direct == NULL)
        return -ENOMEM;
    direct->dev = dev;
    direct->fe = fe;
    direct->options = *options;
    direct->table = (struct memory_table){.guest = dev->guest, .own = dev->shmem};
    ev_timer_init(&direct->drain_timer, drain_look, 0., DRAIN_LOOK);
    direct->drain_timer.data = direct;
    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        struct direct_queue *q = &direct->queues[i];

        *q = (struct direct_queue){.direct = direct, .index = i, .kick_fd = -1, .call_fd = -1};
        ev_io_init(&q->call_io, call_ready, -1, EV_READ);
        q->call_io.data = q;
    }
    direct->watch.changed = memory_changes;
    list_append(&dev->guest->memory_watches, &direct->watch.link);
    dev->datapath = direct;
    dev->datapath_ops = &direct_ops;
    *out = direct;
    return 0;
}

void direct_free(struct direct *direct)
{
    if (direct == NULL)
        return;
    list_remove(&direct->watch.link);
    ev_timer_stop(direct_loop(direct), &direct->drain_timer);
    queues_close(direct);
    memory_table_close(&direct->table);
    free(direct);
}

void direct_resume(struct direct *direct, bool resume)
{
    direct->resume = resume;
}

void direct_retire(struct direct *direct)
{
    direct->retired = true;
}

const char *direct_state_name(const struct direct *direct)
{
    static const char *const names[] = {
        [DIRECT_STOPPED] = "stopped", [DIRECT_WAITING] = "waiting", [DIRECT_STARTING] = "starting",
        [DIRECT_RUNNING] = "running", [DIRECT_HALTED] = "halted",
    };

    return names[direct->state];
}

struct direct_memory direct_memory_get(const struct direct *direct)
{
    bool told = direct->state == DIRECT_STARTING || direct->state == DIRECT_RUNNING;

    return told ? (struct direct_memory){direct->nr_regions, direct->table.nr_untold}
                : (struct direct_memory){0};
}
