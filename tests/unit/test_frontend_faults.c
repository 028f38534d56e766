// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_frontend_faults.c - the front-end against back-ends that do one thing wrong, at each message in turn,
 * on both channels; and against random bytes.
 */
#include <errno.h>
#include <ev.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "dm/frontend.h"
#include "tests/unit/fds.h"
#include "tests/unit/frontend_rig.h"
#include "tests/unit/unit.h"

/* ---- what goes wrong on the main channel ---- */

/* Runs a whole life, up to the fault. */
static void life(void)
{
    enum frontend_event event;

    rig_connect();
    event = frontend_events_next(&events, EVENTS_SECONDS);
    if (event == EVENT_READY) {
        ck_assert_int_eq(rig_start(), 0);
        event = frontend_events_next(&events, EVENTS_SECONDS);
    }
    if (event == EVENT_STARTED) {
        ck_assert_int_eq(rig_stop(), 0);
        event = frontend_events_next(&events, EVENTS_SECONDS);
    }
    if (event != EVENT_LOST)
        ck_abort_msg("%s in spite of the fault", frontend_event_name(event));
}

static const struct {
    uint32_t request;
    unsigned skip;
    bool answered, by_nature;
} messages[] = {
    {VHOST_USER_GET_FEATURES, 0, true, true},
    {VHOST_USER_GET_PROTOCOL_FEATURES, 0, true, true},
    {VHOST_USER_SET_PROTOCOL_FEATURES, 0, false, false},
    {VHOST_USER_GET_QUEUE_NUM, 0, true, true},
    {VHOST_USER_SET_BACKEND_REQ_FD, 0, true, false},
    {VHOST_USER_SET_OWNER, 0, false, false},
    {VHOST_USER_GET_CONFIG, 0, true, true},
    {VHOST_USER_SET_FEATURES, 0, true, false},
    {VHOST_USER_SET_STATUS, 0, true, false},
    {VHOST_USER_SET_MEM_TABLE, 0, true, false},
    {VHOST_USER_SET_VRING_NUM, 0, true, false},
    {VHOST_USER_SET_VRING_BASE, 1, true, false},
    {VHOST_USER_SET_VRING_ADDR, 0, true, false},
    {VHOST_USER_SET_VRING_CALL, 1, true, false},
    {VHOST_USER_SET_VRING_KICK, 1, true, false},
    {VHOST_USER_SET_VRING_ENABLE, 0, true, false},
    {VHOST_USER_SET_VRING_ENABLE, 2, true, false},
    {VHOST_USER_GET_VRING_BASE, 1, true, true},
    {VHOST_USER_SET_STATUS, 2, true, false},
    {VHOST_USER_RESET_DEVICE, 0, true, false},
};

/* Whether a fault can be had at a message. */
static bool fault_applies(enum fake_fault fault, unsigned i)
{
    if (fault == FAKE_REFUSE)
        return messages[i].answered && !messages[i].by_nature;
    /* After the last message, a second reply is too late for the life that is tested here. */
    if (fault == FAKE_TWICE)
        return messages[i].request != VHOST_USER_RESET_DEVICE;
    return fault == FAKE_CLOSE || messages[i].answered;
}

static int fault_errno(enum fake_fault fault)
{
    switch (fault) {
    case FAKE_CLOSE:
    case FAKE_HALF:
        return -ECONNRESET;
    case FAKE_SILENT:
        return -ETIMEDOUT;
    case FAKE_REFUSE:
        return -EREMOTEIO;
    default:
        return -EPROTO;
    }
}

/* One life that ends by a fault at a message. Returns whether the reason names the message. */
static bool fault_life(enum fake_fault fault, unsigned i)
{
    fake.fault = fault;
    fake.fault_at = messages[i].request;
    fake.fault_skip = messages[i].skip;
    life();
    ck_assert_str_eq(frontend_state_name(fe), "lost");
    frontend_free(fe);
    fe = NULL;
    if (fault == FAKE_SILENT) {
        /* It waits to be stopped. */
        fake_backend_stop(&fake);
        fake_backend_start(&fake);
    } else {
        frontend_events_until(&events, fake.nr_closed == fake.nr_connections);
    }
    return strstr(events.why, vhost_user_request_name(VHOST_USER_FRONTEND, messages[i].request)) != NULL;
}

/* One fault (_i) at each message: lost, with a reason that names the message, and nothing leaked. */
START_TEST(test_fault)
{
    enum fake_fault fault = (enum fake_fault)_i;
    int fds;

    fake_backend_start(&fake);
    fds = fds_count();
    for (unsigned i = 0; i < ARRAY_SIZE(messages); i++) {
        const char *name = vhost_user_request_name(VHOST_USER_FRONTEND, messages[i].request);
        bool named;

        if (!fault_applies(fault, i))
            continue;
        /* On a busy machine a right answer can come later than so short a limit. */
        options.reply_limit = fault == FAKE_SILENT ? 0.05 : 0.0;
        do
            named = fault_life(fault, i);
        while (fault == FAKE_SILENT && !named && (options.reply_limit *= 2) < EVENTS_SECONDS);
        if (events.err != fault_errno(fault) || (!named && fault != FAKE_TWICE && messages[i].answered))
            ck_abort_msg("fault %d at %s: lost with %d, %s", _i, name, events.err, events.why);
        ck_assert_int_eq(fds_count(), fds);
    }
}
END_TEST

static void do_unsolicited(struct fake_backend *f)
{
    struct vhost_user_msg msg;

    vhost_user_msg_init_reply(&msg, VHOST_USER_GET_FEATURES, 8);
    msg.payload.u64 = 0;
    vhost_user_channel_send_wait(f->main, &msg, 1000);
}

START_TEST(test_unsolicited)
{
    rig_begin();
    expect_event(&events, EVENT_READY);
    if (_i > 0) {
        ck_assert_int_eq(rig_start(), 0);
        expect_event(&events, EVENT_STARTED);
    }
    fake_backend_do(&fake, do_unsolicited);
    rig_expect_lost(-EPROTO, "nothing had asked for");
}
END_TEST

START_TEST(test_closed_later)
{
    rig_begin();
    expect_event(&events, EVENT_READY);
    if (_i > 0) {
        ck_assert_int_eq(rig_start(), 0);
        expect_event(&events, EVENT_STARTED);
    }
    fake_backend_do(&fake, rig_do_close);
    rig_expect_lost(-ECONNRESET, "closed");
}
END_TEST

static void hook_wrong_ring(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (msg->header.request == VHOST_USER_GET_VRING_BASE)
        f->rings[msg->payload.state.index].base = 65536;
}

START_TEST(test_wrong_base)
{
    fake.hook = hook_wrong_ring;
    fake_backend_start(&fake);
    life();
    ck_assert_int_eq(events.err, -EPROTO);
    ck_assert_ptr_nonnull(strstr(events.why, "65536"));
}
END_TEST

/* ---- a back-end that does not read ---- */

static sem_t reads;

static void hook_stall(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (msg->header.request == VHOST_USER_SET_FEATURES)
        while (sem_wait(&reads) < 0)
            ;
    (void)f;
}

static int start_many(void)
{
    struct frontend_queue queues[FRONTEND_MAX_QUEUES];
    struct frontend_start s = {.nr_queues = FRONTEND_MAX_QUEUES, .queues = queues};

    for (unsigned i = 0; i < FRONTEND_MAX_QUEUES; i++)
        queues[i] =
            (struct frontend_queue){.enabled = true, .size = 256, .kick_fd = kicks[0], .call_fd = calls[0]};
    return frontend_start(fe, &s);
}

/* Without REPLY_ACK nothing but the socket's size stops the front-end: what does not fit waits, with its fds,
 * and the time limit holds although no reply is outstanding. */
START_TEST(test_stalled)
{
    sem_init(&reads, 0, 0);
    fake.hook = hook_stall;
    fake.protocol_features &= ~PROTOCOL(REPLY_ACK);
    fake.nr_queues = FRONTEND_MAX_QUEUES;
    options.nr_queues = FRONTEND_MAX_QUEUES;
    if (_i > 0)
        options.reply_limit = 0.3;
    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(start_many(), 0);
    if (_i > 0) {
        rig_expect_lost(-ETIMEDOUT, "read no messages");
        sem_post(&reads);
    } else {
        ck_assert_int_eq(frontend_events_next(&events, 0.2), EVENT_NONE);
        sem_post(&reads);
        expect_event(&events, EVENT_STARTED);
        for (unsigned i = 0; i < FRONTEND_MAX_QUEUES; i++)
            ck_assert(fake.rings[i].started && fake.rings[i].enabled && fake.rings[i].kick >= 0 &&
                      fake.rings[i].call >= 0);
        ck_assert_int_eq(rig_stop(), 0);
        expect_event(&events, EVENT_STOPPED);
    }
}
END_TEST

/* ---- the back-end channel ---- */

/* Runs fn in the back-end while the loop runs. */
static void do_and_wait(void (*fn)(struct fake_backend *f))
{
    fake_backend_do(&fake, fn);
    frontend_events_until(&events, fake.done);
}

/* The next event must be this one, or changes of config space before it. */
static void expect_event_after_config(enum frontend_event want)
{
    enum frontend_event event;

    do
        event = frontend_events_next(&events, EVENTS_SECONDS);
    while (event == EVENT_CONFIG);
    if (event != want)
        ck_abort_msg("%s instead of %s", frontend_event_name(event), frontend_event_name(want));
}

static uint64_t answers[16];

static void do_config_change(struct fake_backend *f)
{
    f->config[5] = 0x55;
    answers[0] = fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 0, true);
    f->config[6] = 0x66;
    fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 0, false);
}

START_TEST(test_config_change)
{
    uint8_t config[60];

    rig_begin();
    expect_event(&events, EVENT_READY);
    if (_i > 0) {
        ck_assert_int_eq(rig_start(), 0);
        expect_event(&events, EVENT_STARTED);
    }
    do_and_wait(do_config_change);
    ck_assert_uint_eq(answers[0], 0);
    do {
        expect_event(&events, EVENT_CONFIG);
        ck_assert_uint_eq(frontend_config(fe, config, sizeof(config)), sizeof(config));
        ck_assert_uint_eq(config[5], 0x55);
    } while (config[6] != 0x66);
    ck_assert_mem_eq(config, fake.config, sizeof(config));
}
END_TEST

static sem_t reading, read_on;

static void hook_slow_read(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    (void)f;
    if (msg->header.request != VHOST_USER_GET_CONFIG)
        return;
    sem_post(&reading);
    while (sem_wait(&read_on) < 0)
        ;
}

/* What the driver writes while it is read is not undone by what was read. */
START_TEST(test_config_change_and_write)
{
    uint8_t config[60];

    rig_begin();
    expect_event(&events, EVENT_READY);
    sem_init(&reading, 0, 0);
    sem_init(&read_on, 0, 0);
    fake.hook = hook_slow_read;
    fake_backend_do(&fake, do_config_change);
    while (sem_trywait(&reading) < 0)
        frontend_events_next(&events, 0.01);
    /* (The fake answers with what it has after the hook: as it was before the write.) */
    ck_assert_int_eq(frontend_set_config(fe, 1, "x", 1), 0);
    /* (A second read, as that one is older than the write, is not held.) */
    fake.hook = NULL;
    sem_post(&read_on);
    expect_event(&events, EVENT_CONFIG);
    ck_assert_uint_eq(frontend_config(fe, config, sizeof(config)), sizeof(config));
    ck_assert_uint_eq(config[1], 'x');
    ck_assert_uint_eq(config[5], 0x55);
}
END_TEST

static void do_config_gone(struct fake_backend *f)
{
    f->config_len = 0;
    fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 0, true);
}

/* The back-end announces a change and then does not show it: what was known is kept. */
START_TEST(test_config_change_refused)
{
    uint8_t config[60];
    unsigned log;

    rig_begin();
    expect_event(&events, EVENT_READY);
    log = fake.nr_log;
    do_and_wait(do_config_gone);
    frontend_events_until(&events, fake.nr_log > log);
    ck_assert_int_eq(frontend_events_next(&events, 0.05), EVENT_NONE);
    ck_assert_uint_eq(frontend_config(fe, config, sizeof(config)), sizeof(config));
    ck_assert_mem_eq(config, fake.config, sizeof(config));
}
END_TEST

static void do_refused(struct fake_backend *f)
{
    unsigned n = 0;

    /* Unknown, not negotiated, of the wrong size, with fds that do not belong. */
    answers[n++] = fake_backend_request(f, 99, 0, 0, true);
    answers[n++] = fake_backend_request(f, 0, 4096, 8, true);
    answers[n++] = fake_backend_request(f, UINT32_MAX, 3, 1, true);
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_IOTLB_MSG, 32, 0, true);
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_VRING_HOST_NOTIFIER, 24, 1, true);
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP, 16, 0, true);
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 8, 0, true);
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 1, true);
    fake_backend_request(f, 99, 8, 8, false);
    /* And the channel still works. */
    answers[n++] = fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 0, true);
}

START_TEST(test_refused)
{
    int fds;

    rig_begin();
    expect_event(&events, EVENT_READY);
    fds = fds_count();
    do_and_wait(do_refused);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_ne(answers[i], 0);
    ck_assert_uint_eq(answers[8], 0);
    expect_event(&events, EVENT_CONFIG);
    ck_assert_int_eq(fds_count(), fds);
    ck_assert_int_eq(rig_start(), 0);
    expect_event_after_config(EVENT_STARTED);
}
END_TEST

/* Requests in the middle of our own: the back-end answers no message of ours before it has its answer. Only
 * GET_CONFIG it answers at once, which is what each of its requests leads to. */
static void hook_request(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (f->backend != NULL && msg->header.request != VHOST_USER_GET_CONFIG)
        answers[0] |= fake_backend_request(f, VHOST_USER_BACKEND_CONFIG_CHANGE, 0, 0, true);
}

START_TEST(test_crossed)
{
    enum frontend_event event;

    answers[0] = 0;
    fake.hook = hook_request;
    rig_begin();
    expect_event(&events, EVENT_READY);
    expect_event(&events, EVENT_CONFIG);
    ck_assert_int_eq(rig_start(), 0);
    frontend_events_until(&events, fake.status == 0xf);
    ck_assert_int_eq(rig_stop(), 0);
    do {
        event = frontend_events_next(&events, EVENTS_SECONDS);
        ck_assert(event != EVENT_NONE && event != EVENT_LOST);
    } while (event != EVENT_STOPPED);
    ck_assert_uint_eq(answers[0], 0);
}
END_TEST

static int breakage;

static void do_break_channel(struct fake_backend *f)
{
    struct vhost_user_msg msg;
    int fd = vhost_user_channel_fd(f->backend);

    vhost_user_msg_init(&msg, VHOST_USER_BACKEND_CONFIG_CHANGE, 0);
    switch (breakage) {
    case 0:
        msg.header.size = 1u << 20;
        break;
    case 1:
        msg.header.flags = 0;
        break;
    case 2:
        msg.header.flags |= VHOST_USER_FLAG_REPLY;
        break;
    default:
        break;
    }
    send(fd, &msg.header, sizeof(msg.header), MSG_NOSIGNAL);
}

START_TEST(test_broken_channel)
{
    breakage = _i;
    rig_begin();
    expect_event(&events, EVENT_READY);
    fake_backend_do(&fake, do_break_channel);
    rig_expect_lost(-EPROTO, "its own channel");
}
END_TEST

static void do_close_channel(struct fake_backend *f)
{
    vhost_user_channel_free(f->backend);
    f->backend = NULL;
}

/* A back-end that wants its channel no more may live on. */
START_TEST(test_closed_channel)
{
    rig_begin();
    expect_event(&events, EVENT_READY);
    do_and_wait(do_close_channel);
    ck_assert_int_eq(rig_start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
    rig_lose();
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    expect_event(&events, EVENT_READY);
    do_and_wait(do_config_change);
    expect_event(&events, EVENT_CONFIG);
}
END_TEST

static atomic_bool flooding;
static unsigned ticks;

/* As many requests as the socket takes, until the test has seen enough. need_reply: without reading one. */
static void do_flood(struct fake_backend *f)
{
    struct vhost_user_header h = {.request = 99, .flags = VHOST_USER_VERSION};

    if (breakage > 0)
        h.flags |= VHOST_USER_FLAG_NEED_REPLY;
    while (flooding) {
        h.request = h.request == 99 ? VHOST_USER_BACKEND_CONFIG_CHANGE : 99;
        if (send(vhost_user_channel_fd(f->backend), &h, sizeof(h), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno != EAGAIN)
            break;
    }
}

static void tick_event(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    if (++ticks == 50)
        ev_timer_stop(loop, w);
}

/* A flood on its channel: others on the loop get their turn, and the front-end lives. */
START_TEST(test_flood)
{
    ev_timer tick;

    breakage = _i;
    rig_begin();
    expect_event(&events, EVENT_READY);
    flooding = true;
    ticks = 0;
    fake_backend_do(&fake, do_flood);
    ev_timer_init(&tick, tick_event, 0.002, 0.002);
    ev_timer_start(events.loop, &tick);
    frontend_events_until(&events, ticks == 50);
    flooding = false;
    frontend_events_until(&events, fake.done);
    ck_assert_str_eq(frontend_state_name(fe), "idle");
    if (_i == 0) {
        ck_assert_int_eq(rig_start(), 0);
        expect_event_after_config(EVENT_STARTED);
    }
}
END_TEST

#define STUFFED 100

static void do_stuff(struct fake_backend *f)
{
    struct vhost_user_header h = {.request = VHOST_USER_BACKEND_CONFIG_CHANGE,
                                  .flags = VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY};

    for (unsigned i = 0; i < STUFFED; i++)
        if (send(vhost_user_channel_fd(f->backend), &h, sizeof(h), MSG_NOSIGNAL) < 0)
            break;
}

/* How many answers have come; the back-end's thread is idle. */
static unsigned count_answers(void)
{
    struct vhost_user_msg msg;
    unsigned n = 0;

    while (vhost_user_channel_receive(fake.backend, &msg) > 0)
        n++;
    return n;
}

/* Requests that are all there at once: a turn of the loop serves some of them, and in the end all are. */
START_TEST(test_bounded)
{
    unsigned n, sum = 0;

    rig_begin();
    expect_event(&events, EVENT_READY);
    fake_backend_do(&fake, do_stuff);
    while (!fake.done)
        sched_yield();
    while (sum < STUFFED) {
        ev_run(events.loop, EVRUN_NOWAIT);
        n = count_answers();
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_le(n, 32);
        sum += n;
    }
    ck_assert_uint_eq(sum, STUFFED);
}
END_TEST

/* ---- random bytes ---- */

/* How seldom something is wrong in the present connection: often, and it ends early; seldom, and it comes
 * far. */
static unsigned fuzz_rate;

/* Sends what may be the right reply, or the same with one thing changed. */
static void fuzz_send(int fd, const struct vhost_user_msg *request)
{
    struct vhost_user_msg msg;
    struct vhost_user_channel *c;
    int copy = dup(fd);

    memset(&msg, 0, sizeof(msg));
    vhost_user_msg_init_reply(&msg, request->header.request, 8);
    msg.payload.u64 = unit_random_below(fuzz_rate) == 0 ? unit_random() : UINT64_MAX >> 16;
    if (request->header.request == VHOST_USER_GET_CONFIG ||
        request->header.request == VHOST_USER_GET_VRING_BASE) {
        memcpy(&msg.payload, &request->payload, request->header.size);
        msg.header.size = request->header.size;
    } else if ((request->header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0) {
        msg.payload.u64 = 0;
    }
    switch (unit_random_below(fuzz_rate)) {
    case 0:
        msg.header.request = (uint32_t)unit_random_below(50);
        break;
    case 1:
        msg.header.flags = (uint32_t)unit_random();
        break;
    case 2:
        msg.header.size = (uint32_t)unit_random_below(200);
        break;
    case 3:
        msg.fds[msg.nr_fds++] = fd;
        break;
    case 4:
        send(fd, &msg.header, unit_random_below(13), MSG_NOSIGNAL);
        break;
    case 5:
        memset(msg.payload.bytes, (int)unit_random(), 64);
        break;
    default:
        break;
    }
    ck_assert_int_eq(vhost_user_channel_new(&c, copy, VHOST_USER_FRONTEND, "fuzz"), 0);
    vhost_user_channel_send(c, &msg);
    vhost_user_channel_free(c);
}

/* Random requests on the back-end channel. */
static void fuzz_backend(int fd)
{
    uint8_t bytes[64];
    size_t len = unit_random_below(sizeof(bytes));
    struct vhost_user_header h = {.request = (uint32_t)unit_random_below(12),
                                  .flags = VHOST_USER_VERSION | (uint32_t)(unit_random_below(2) * 8),
                                  .size = (uint32_t)unit_random_below(45)};

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)unit_random();
    if (unit_random_below(fuzz_rate) == 0) {
        send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        send(fd, &h, sizeof(h), MSG_NOSIGNAL | MSG_DONTWAIT);
        send(fd, bytes, h.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

/* One connection, in this thread: the front-end and the peer take turns. Returns how far it came. */
static unsigned fuzz_connection(int listen_fd)
{
    struct vhost_user_channel *peer = NULL;
    struct vhost_user_msg msg;
    int backend = -1, fd;
    unsigned n = 0;

    fuzz_rate = 6u << unit_random_below(7);
    rig_connect();
    ev_run(events.loop, EVRUN_NOWAIT);
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(vhost_user_channel_new(&peer, fd, VHOST_USER_FRONTEND, "fuzz"), 0);
    for (unsigned turn = 0; turn < 300; turn++) {
        enum frontend_event event = EVENT_NONE;

        while (vhost_user_channel_receive(peer, &msg) > 0) {
            bool answer = (msg.header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0;

            n++;
            if (msg.header.request == VHOST_USER_SET_BACKEND_REQ_FD && backend < 0) {
                backend = msg.fds[0];
                msg.nr_fds = 0;
            }
            switch (msg.header.request) {
            case VHOST_USER_GET_FEATURES:
            case VHOST_USER_GET_PROTOCOL_FEATURES:
            case VHOST_USER_GET_QUEUE_NUM:
            case VHOST_USER_GET_CONFIG:
            case VHOST_USER_GET_VRING_BASE:
                answer = true;
                break;
            default:
                break;
            }
            vhost_user_msg_close_fds(&msg);
            if (answer || unit_random_below(2 * fuzz_rate) == 0)
                fuzz_send(fd, &msg);
        }
        if (backend >= 0 && unit_random_below(3) == 0)
            fuzz_backend(backend);
        ev_run(events.loop, EVRUN_NOWAIT);
        while (events.taken < events.nr) {
            event = frontend_events_next(&events, 0);
            if (event == EVENT_READY || event == EVENT_STOPPED)
                rig_start();
            else if (event == EVENT_CONFIG)
                frontend_set_config(fe, (uint32_t)unit_random_below(64), "xyz", unit_random_below(4));
            else if (event == EVENT_STARTED && unit_random_below(2) == 0)
                rig_stop();
            else if (event == EVENT_LOST)
                break;
        }
        if (event == EVENT_LOST)
            break;
        if (unit_random_below(50 * fuzz_rate) == 0)
            shutdown(fd, SHUT_WR);
    }
    frontend_free(fe);
    fe = NULL;
    events.nr = events.taken = 0;
    vhost_user_channel_free(peer);
    if (backend >= 0)
        close(backend);
    return n;
}

START_TEST(test_fuzz)
{
    unsigned long rounds = unit_count(4000);
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/vhost-dm-fuzz-XXXXXX";
    unsigned most = 0;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
    ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(listen_fd, 1), 0);
    strcpy(fake.path, addr.sun_path);
    unit_random_start();
    fds = fds_count();
    for (unsigned long i = 0; i < rounds; i++) {
        unsigned n = fuzz_connection(listen_fd);

        most = MAX(most, n);
        unit_expect_eq(fds_count(), fds);
    }
    /* Some must come through the handshake and beyond, or this tests little. */
    if (rounds >= 1000)
        ck_assert_uint_gt(most, 100);
    fake.path[0] = '\0';
    close(listen_fd);
    unlink(addr.sun_path);
    rmdir(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frontend_faults");
    TCase *tc = tcase_create("frontend_faults");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
    tcase_add_loop_test(tc, test_fault, FAKE_CLOSE, FAKE_NR_FAULTS);
    tcase_add_loop_test(tc, test_unsolicited, 0, 2);
    tcase_add_loop_test(tc, test_closed_later, 0, 2);
    tcase_add_test(tc, test_wrong_base);
    tcase_add_loop_test(tc, test_stalled, 0, 2);
    tcase_add_loop_test(tc, test_config_change, 0, 2);
    tcase_add_test(tc, test_config_change_and_write);
    tcase_add_test(tc, test_config_change_refused);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_crossed);
    tcase_add_loop_test(tc, test_broken_channel, 0, 3);
    tcase_add_test(tc, test_closed_channel);
    tcase_add_loop_test(tc, test_flood, 0, 2);
    tcase_add_test(tc, test_bounded);
    tcase_add_test(tc, test_fuzz);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
