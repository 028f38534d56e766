// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend_rig.c - see frontend_rig.h.
 */
#include "tests/unit/frontend_rig.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/fds.h"

static void event_add(struct frontend_events *e, enum frontend_event event)
{
    ck_assert_uint_lt(e->nr, EVENTS_MAX);
    ck_assert_msg(!e->in_call, "%s called back from inside a frontend_* call", frontend_event_name(event));
    e->queue[e->nr++] = event;
    if (e->free_at_event != NULL) {
        frontend_free(*e->free_at_event);
        *e->free_at_event = NULL;
        e->free_at_event = NULL;
    }
}

static void on_ready(void *ctx)
{
    event_add(ctx, EVENT_READY);
}

static void on_started(void *ctx)
{
    event_add(ctx, EVENT_STARTED);
}

static void on_stopped(void *ctx)
{
    event_add(ctx, EVENT_STOPPED);
}

static void on_lost(void *ctx, int err, const char *why)
{
    struct frontend_events *e = ctx;

    e->err = err;
    snprintf(e->why, sizeof(e->why), "%s", why);
    event_add(e, EVENT_LOST);
}

static void on_config(void *ctx)
{
    event_add(ctx, EVENT_CONFIG);
}

const struct frontend_callbacks frontend_events_callbacks = {
    .ready = on_ready,
    .started = on_started,
    .stopped = on_stopped,
    .lost = on_lost,
    .config_changed = on_config,
};

static void guard_event(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct frontend_events *e = w->data;

    (void)loop;
    (void)revents;
    e->expired = true;
}

void frontend_events_init(struct frontend_events *e)
{
    memset(e, 0, sizeof(*e));
    e->loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(e->loop);
    ev_timer_init(&e->guard, guard_event, 0.0, 0.0);
    e->guard.data = e;
}

void frontend_events_fini(struct frontend_events *e)
{
    ev_timer_stop(e->loop, &e->guard);
    ev_loop_destroy(e->loop);
}

void frontend_events_guard(struct frontend_events *e, double seconds)
{
    e->expired = false;
    ev_timer_stop(e->loop, &e->guard);
    ev_now_update(e->loop);
    ev_timer_set(&e->guard, seconds, 0.0);
    ev_timer_start(e->loop, &e->guard);
}

enum frontend_event frontend_events_next(struct frontend_events *e, double seconds)
{
    frontend_events_guard(e, seconds);
    while (e->taken == e->nr && !e->expired)
        ev_run(e->loop, EVRUN_ONCE);
    ev_timer_stop(e->loop, &e->guard);
    if (e->taken == e->nr)
        return EVENT_NONE;
    if (e->taken + 1 == e->nr) {
        enum frontend_event event = e->queue[e->taken];

        e->taken = e->nr = 0;
        return event;
    }
    return e->queue[e->taken++];
}

const char *frontend_event_name(enum frontend_event event)
{
    static const char *const names[] = {
        [EVENT_NONE] = "nothing",    [EVENT_READY] = "ready", [EVENT_STARTED] = "started",
        [EVENT_STOPPED] = "stopped", [EVENT_LOST] = "lost",   [EVENT_CONFIG] = "config_changed",
    };

    return names[event];
}

/* ---- a front-end and a fake back-end ---- */

struct fake_backend fake;
struct frontend_events events;
struct frontend_options options;
struct frontend *fe;
const struct frontend_callbacks *rig_callbacks;
static ev_async async;
static int fds_before;
int memfd, kicks[NR_QUEUES], calls[NR_QUEUES];

static void async_event(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

static void fake_wakes(void *ctx)
{
    ev_async_send(events.loop, ctx);
}

void rig_setup(void)
{
    log_level = LOG_LEVEL_ERROR;
    rig_callbacks = &frontend_events_callbacks;
    fds_before = fds_count();
    frontend_events_init(&events);
    ev_async_init(&async, async_event);
    ev_async_start(events.loop, &async);
    fake_backend_defaults(&fake);
    /* Which form a memory table has is for test_frontend_memory.c. */
    fake.protocol_features &= ~((uint64_t)1 << VHOST_USER_PROTOCOL_F_XEN_MMAP);
    fake.wake = fake_wakes;
    fake.ctx = &async;
    memfd = memfd_create("test", MFD_CLOEXEC);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        kicks[i] = eventfd(0, EFD_CLOEXEC);
        calls[i] = eventfd(0, EFD_CLOEXEC);
    }
    options = (struct frontend_options){
        .name = "test", .config_len = 60, .nr_queues = NR_QUEUES, .features_mask = VERSION_1 | 0x0f};
}

void rig_teardown(void)
{
    frontend_free(fe);
    fe = NULL;
    if (fake.path[0] != '\0')
        fake_backend_stop(&fake);
    ev_async_stop(events.loop, &async);
    frontend_events_fini(&events);
    close(memfd);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        close(kicks[i]);
        close(calls[i]);
    }
    ck_assert_int_eq(fds_count(), fds_before);
}

void rig_connect(void)
{
    options.socket = fake.path;
    events.in_call = true;
    ck_assert_int_eq(frontend_new(&fe, events.loop, &options, rig_callbacks, &events), 0);
    events.in_call = false;
}

void rig_begin(void)
{
    fake_backend_start(&fake);
    rig_connect();
}

/* Queue 1 is left alone. */
int rig_start(void)
{
    struct frontend_region regions[] = {
        {.gpa = 0x1000, .len = 0x2000, .user_addr = 0x100000, .mmap_offset = 0x3000, .fd = memfd},
        {.gpa = 0x8000, .len = 0x1000, .user_addr = 0x200000, .mmap_offset = 0, .fd = memfd},
    };
    struct frontend_queue queues[NR_QUEUES] = {0};
    struct frontend_start s = {.features = VERSION_1 | 0x3,
                               .nr_regions = ARRAY_SIZE(regions),
                               .regions = regions,
                               .nr_queues = NR_QUEUES,
                               .queues = queues};
    int err;

    for (unsigned i = 0; i < NR_QUEUES; i++)
        queues[i] = (struct frontend_queue){.enabled = i != 1,
                                            .size = (uint16_t)(64 << i),
                                            .base = (uint16_t)(i * 10),
                                            .desc = 0x100000 + i,
                                            .avail = 0x100100 + i,
                                            .used = 0x100200 + i,
                                            .kick_fd = kicks[i],
                                            .call_fd = calls[i]};
    events.in_call = true;
    err = frontend_start(fe, &s);
    events.in_call = false;
    return err;
}

int rig_stop(void)
{
    int err;

    events.in_call = true;
    err = frontend_stop(fe);
    events.in_call = false;
    return err;
}

void rig_expect_lost(int err, const char *why)
{
    expect_event(&events, EVENT_LOST);
    if (events.err != err || strstr(events.why, why) == NULL)
        ck_abort_msg("lost with %d, %s instead of %d, %s", events.err, events.why, err, why);
    ck_assert_str_eq(frontend_state_name(fe), "lost");
    ck_assert_int_eq(rig_start(), -ENOTCONN);
    ck_assert_int_eq(rig_stop(), -ENOTCONN);
    ck_assert_int_eq(frontend_set_config(fe, 0, "", 1), -ENOTCONN);
}

void rig_do_close(struct fake_backend *f)
{
    shutdown(vhost_user_channel_fd(f->main), SHUT_RDWR);
}

void rig_lose(void)
{
    fake_backend_do(&fake, rig_do_close);
    rig_expect_lost(-ECONNRESET, "closed");
    frontend_events_until(&events, fake.nr_closed == fake.nr_connections);
}
