// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_frontend.c - the front-end against a back-end that does everything right: what it says and in which
 * order, connecting and reconnecting. Back-ends that do not are in test_frontend_faults.c, a real one is in
 * test_frontend_real.c.
 */
#include <errno.h>
#include <ev.h>
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

static void expect_log(const uint32_t *want, unsigned n)
{
    frontend_events_until(&events, fake.nr_log >= n);
    for (unsigned i = 0; i < n; i++)
        if (fake.log[i] != want[i])
            ck_abort_msg("message %u is %s instead of %s", i,
                         vhost_user_request_name(VHOST_USER_FRONTEND, fake.log[i]),
                         vhost_user_request_name(VHOST_USER_FRONTEND, want[i]));
    ck_assert_uint_eq(fake.nr_log, n);
}

/* ---- what goes well ---- */

START_TEST(test_handshake)
{
    static const uint32_t want[] = {
        VHOST_USER_GET_FEATURES,  VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_SET_PROTOCOL_FEATURES,
        VHOST_USER_GET_QUEUE_NUM, VHOST_USER_SET_BACKEND_REQ_FD,    VHOST_USER_SET_OWNER,
        VHOST_USER_GET_CONFIG};
    uint8_t config[256];

    rig_begin();
    ck_assert_str_eq(frontend_state_name(fe), "connecting");
    ck_assert_int_eq(rig_start(), -EBUSY);
    ck_assert_int_eq(rig_stop(), -EINVAL);
    ck_assert_int_eq(frontend_reconnect(fe), -EBUSY);
    expect_event(&events, EVENT_READY);
    ck_assert_str_eq(frontend_state_name(fe), "idle");
    expect_log(want, ARRAY_SIZE(want));
    ck_assert_uint_eq(frontend_features(fe), VERSION_1 | 0x0f);
    ck_assert_uint_eq(frontend_protocol_features(fe), PROTOCOL(MQ) | PROTOCOL(REPLY_ACK) |
                                                          PROTOCOL(BACKEND_REQ) | PROTOCOL(CONFIG) |
                                                          PROTOCOL(RESET_DEVICE) | PROTOCOL(STATUS));
    ck_assert_uint_eq(fake.acked_protocol, frontend_protocol_features(fe));
    ck_assert_uint_eq(frontend_nr_queues(fe), NR_QUEUES);
    ck_assert_uint_eq(frontend_config(fe, config, sizeof(config)), 60);
    ck_assert_mem_eq(config, fake.config, 60);
    ck_assert_uint_eq(frontend_config(fe, config, 7), 7);
}
END_TEST

START_TEST(test_handshake_plain)
{
    static const uint32_t want[] = {
        VHOST_USER_GET_FEATURES,   VHOST_USER_SET_OWNER,      VHOST_USER_SET_FEATURES,
        VHOST_USER_SET_MEM_TABLE,  VHOST_USER_SET_VRING_NUM,  VHOST_USER_SET_VRING_BASE,
        VHOST_USER_SET_VRING_ADDR, VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK,
        VHOST_USER_SET_VRING_NUM,  VHOST_USER_SET_VRING_BASE, VHOST_USER_SET_VRING_ADDR,
        VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK, VHOST_USER_GET_FEATURES,
        VHOST_USER_GET_VRING_BASE, VHOST_USER_GET_VRING_BASE};
    uint8_t byte;

    fake.features &= ~((uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES);
    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_uint_eq(frontend_protocol_features(fe), 0);
    ck_assert_uint_eq(frontend_nr_queues(fe), NR_QUEUES);
    ck_assert_uint_eq(frontend_config(fe, &byte, 1), 0);
    ck_assert_int_eq(frontend_set_config(fe, 0, &byte, 1), -ENOTSUP);
    ck_assert_int_eq(rig_start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert_uint_eq(fake.acked_features, VERSION_1 | 0x3);
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
    expect_log(want, ARRAY_SIZE(want));
}
END_TEST

/* The number of queues, by what the back-end says, what is wanted, and what a unit is. */
START_TEST(test_queues)
{
    static const struct {
        unsigned wanted, unit;
        uint64_t says; /* 0: no MQ */
        unsigned get;  /* 0: lost */
    } cases[] = {{0, 0, 5, 5},   {3, 0, 3, 3},   {4, 0, 3, 0},           {2, 2, 1, 2}, {3, 2, 1, 0},
                 {0, 2, 64, 64}, {0, 0, 99, 64}, {0, 0, UINT64_MAX, 64}, {3, 0, 0, 3}, {0, 2, 0, 2}};
    options.nr_queues = cases[_i].wanted;
    options.queue_unit = cases[_i].unit;
    fake.nr_queues = cases[_i].says;
    if (fake.nr_queues == 0)
        fake.protocol_features &= ~PROTOCOL(MQ);
    rig_begin();
    if (cases[_i].get == 0) {
        rig_expect_lost(-EPROTO, "are needed");
    } else {
        expect_event(&events, EVENT_READY);
        ck_assert_uint_eq(frontend_nr_queues(fe), cases[_i].get);
    }
}
END_TEST

START_TEST(test_no_queues)
{
    fake.nr_queues = 0;
    rig_begin();
    rig_expect_lost(-EPROTO, "no queues");
}
END_TEST

/* Config space that is shorter than wanted, down to none: as much as there is. */
START_TEST(test_config_length)
{
    uint8_t config[256];

    options.config_len = 256;
    fake.config_len = (size_t)_i * 15;
    fake.config_short_form = _i % 2;
    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_uint_eq(frontend_config(fe, config, sizeof(config)), fake.config_len);
    ck_assert_mem_eq(config, fake.config, fake.config_len);
    ck_assert_uint_le(fake.nr_log, 6 + 10);
    ck_assert_int_eq(frontend_set_config(fe, (uint32_t)fake.config_len, "x", 1),
                     fake.config_len == 0 ? -ENOTSUP : -EINVAL);
}
END_TEST

static const uint32_t start_log[] = {
    VHOST_USER_SET_FEATURES,   VHOST_USER_SET_STATUS,       VHOST_USER_SET_MEM_TABLE,
    VHOST_USER_SET_VRING_NUM,  VHOST_USER_SET_VRING_BASE,   VHOST_USER_SET_VRING_ADDR,
    VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK,   VHOST_USER_SET_VRING_NUM,
    VHOST_USER_SET_VRING_BASE, VHOST_USER_SET_VRING_ADDR,   VHOST_USER_SET_VRING_CALL,
    VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_ENABLE, VHOST_USER_SET_VRING_ENABLE,
    VHOST_USER_SET_STATUS};
static const uint32_t stop_log[] = {VHOST_USER_SET_VRING_ENABLE, VHOST_USER_SET_VRING_ENABLE,
                                    VHOST_USER_GET_VRING_BASE,   VHOST_USER_GET_VRING_BASE,
                                    VHOST_USER_SET_STATUS,       VHOST_USER_RESET_DEVICE};

static void check_started(void)
{
    const struct vhost_user_region *r = fake.table.regions.plain;
    struct stat ours, theirs;
    eventfd_t value;

    ck_assert_uint_eq(fake.acked_features, VERSION_1 | 0x3 | (uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES);
    ck_assert_uint_eq(fake.status, 0xf);
    ck_assert_uint_eq(fake.table.nr_regions, 2);
    ck_assert(r[0].gpa == 0x1000 && r[0].size == 0x2000 && r[0].user_addr == 0x100000 &&
              r[0].mmap_offset == 0x3000);
    ck_assert(r[1].gpa == 0x8000 && r[1].size == 0x1000 && r[1].user_addr == 0x200000 &&
              r[1].mmap_offset == 0);
    ck_assert_int_eq(fstat(memfd, &ours), 0);
    ck_assert_int_eq(fstat(fake.region_fds[1], &theirs), 0);
    ck_assert_uint_eq(ours.st_ino, theirs.st_ino);
    for (unsigned i = 0; i < NR_QUEUES; i++) {
        const struct fake_ring *ring = &fake.rings[i];

        ck_assert_uint_eq(ring->started, i != 1);
        ck_assert_uint_eq(ring->enabled, i != 1);
        if (i == 1)
            continue;
        ck_assert(ring->num == 64u << i && ring->base == i * 10);
        ck_assert(ring->addr.desc == 0x100000 + i && ring->addr.avail == 0x100100 + i &&
                  ring->addr.used == 0x100200 + i && ring->addr.flags == 0);
        ck_assert_int_eq(eventfd_write(kicks[i], 3 + i), 0);
        ck_assert_int_eq(eventfd_read(ring->kick, &value), 0);
        ck_assert_uint_eq(value, 3 + i);
        ck_assert_int_eq(eventfd_write(ring->call, 5 + i), 0);
        ck_assert_int_eq(eventfd_read(calls[i], &value), 0);
        ck_assert_uint_eq(value, 5 + i);
    }
}

/* Three times, as a driver that is loaded and unloaded does. */
START_TEST(test_start_stop)
{
    uint16_t base;
    int fds = 0;

    rig_begin();
    expect_event(&events, EVENT_READY);
    for (unsigned round = 0; round < 3; round++) {
        fake.nr_log = 0;
        ck_assert_int_eq(rig_start(), 0);
        ck_assert_int_eq(rig_start(), -EBUSY);
        ck_assert_str_eq(frontend_state_name(fe), "starting");
        expect_event(&events, EVENT_STARTED);
        ck_assert_str_eq(frontend_state_name(fe), "running");
        expect_log(start_log, ARRAY_SIZE(start_log));
        check_started();
        ck_assert_int_eq(frontend_queue_base(fe, 0, &base), -ENODATA);

        fake.nr_log = 0;
        fake.rings[2].base = 65535;
        ck_assert_int_eq(rig_stop(), 0);
        ck_assert_int_eq(rig_stop(), -EINVAL);
        ck_assert_str_eq(frontend_state_name(fe), "stopping");
        expect_event(&events, EVENT_STOPPED);
        expect_log(stop_log, ARRAY_SIZE(stop_log));
        ck_assert_uint_eq(fake.nr_resets, round + 1);
        ck_assert_uint_eq(fake.status, 0);
        ck_assert(!fake.rings[0].started && !fake.rings[2].started);
        ck_assert_int_eq(frontend_queue_base(fe, 0, &base), 0);
        ck_assert_uint_eq(base, 0);
        ck_assert_int_eq(frontend_queue_base(fe, 2, &base), 0);
        ck_assert_uint_eq(base, 65535);
        ck_assert_int_eq(frontend_queue_base(fe, 1, &base), -ENODATA);
        ck_assert_int_eq(frontend_queue_base(fe, UINT32_MAX, &base), -ENODATA);
        /* The front-end kept no fds of the start. */
        if (round > 0)
            ck_assert_int_eq(fds_count(), fds);
        fds = fds_count();
    }
}
END_TEST

/* The driver resets the device while it is being started: after each number of messages. */
START_TEST(test_stop_early)
{
    uint16_t base;

    rig_begin();
    expect_event(&events, EVENT_READY);
    fake.nr_log = 0;
    ck_assert_int_eq(rig_start(), 0);
    frontend_events_until(&events, fake.nr_log >= (unsigned)_i);
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
    ck_assert(!fake.rings[0].started && !fake.rings[2].started);
    if (_i == 0)
        ck_assert_int_eq(frontend_queue_base(fe, 0, &base), -ENODATA);
    ck_assert_int_eq(rig_start(), 0);
    expect_event(&events, EVENT_STARTED);
    check_started();
}
END_TEST

static sem_t go_on;

static void hook_wait(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (msg->header.request != VHOST_USER_SET_VRING_ADDR)
        return;
    f->wake(f->ctx);
    while (sem_wait(&go_on) < 0)
        ;
}

/* The start is cut short: a slow back-end is not sent the rest of it. */
START_TEST(test_stop_cuts_start)
{
    static const uint32_t want[] = {VHOST_USER_SET_FEATURES,   VHOST_USER_SET_STATUS,
                                    VHOST_USER_SET_MEM_TABLE,  VHOST_USER_SET_VRING_NUM,
                                    VHOST_USER_SET_VRING_BASE, VHOST_USER_SET_VRING_ADDR,
                                    VHOST_USER_SET_STATUS,     VHOST_USER_RESET_DEVICE};

    sem_init(&go_on, 0, 0);
    fake.hook = hook_wait;
    rig_begin();
    expect_event(&events, EVENT_READY);
    fake.nr_log = 0;
    ck_assert_int_eq(rig_start(), 0);
    frontend_events_until(&events, fake.nr_log >= 6);
    ck_assert_int_eq(rig_stop(), 0);
    sem_post(&go_on);
    expect_event(&events, EVENT_STOPPED);
    expect_log(want, ARRAY_SIZE(want));
}
END_TEST

START_TEST(test_bad_start)
{
    struct frontend_start s = {.nr_queues = NR_QUEUES + 1};
    struct frontend_region region = {.fd = -1};
    struct frontend_queue queue = {.enabled = true, .kick_fd = kicks[0], .call_fd = -1};

    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(frontend_start(fe, &s), -EINVAL);
    s = (struct frontend_start){.features = 0x10};
    ck_assert_int_eq(frontend_start(fe, &s), -EINVAL);
    ck_assert_uint_eq(frontend_nr_slots(fe), FRONTEND_MAX_REGIONS);
    s = (struct frontend_start){.nr_regions = FRONTEND_MAX_REGIONS + 1, .regions = &region};
    ck_assert_int_eq(frontend_start(fe, &s), -EINVAL);
    s = (struct frontend_start){.nr_regions = 1, .regions = &region};
    ck_assert_int_eq(frontend_start(fe, &s), -EBADF);
    s = (struct frontend_start){.nr_queues = 1, .queues = &queue};
    ck_assert_int_eq(frontend_start(fe, &s), -EBADF);
    ck_assert_int_eq(rig_start(), 0);
    expect_event(&events, EVENT_STARTED);
}
END_TEST

START_TEST(test_set_config)
{
    unsigned n = 0;

    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(frontend_set_config(fe, 57, "abcd", 4), -EINVAL);
    ck_assert_int_eq(frontend_set_config(fe, UINT32_MAX, "abcd", 4), -EINVAL);
    ck_assert_int_eq(frontend_set_config(fe, 56, "abcd", 4), 0);
    ck_assert_int_eq(frontend_set_config(fe, 0, "x", 1), 0);
    ck_assert_int_eq(rig_start(), 0);
    expect_event(&events, EVENT_STARTED);
    frontend_events_until(&events, fake.config[0] == 'x');
    ck_assert_mem_eq(fake.config + 56, "abcd", 4);
    while (frontend_set_config(fe, 1, "y", 1) == 0)
        n++;
    ck_assert_uint_ge(n, 8);
    ck_assert_uint_le(n, 64);
    fake.fault = FAKE_REFUSE;
    fake.fault_at = VHOST_USER_SET_CONFIG;
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
    frontend_events_until(&events, fake.config[1] == 'y');
    expect_event(&events, EVENT_CONFIG);
}
END_TEST

/* The owner frees the front-end inside a callback: each of them in turn. */
START_TEST(test_free_in_callback)
{
    static const enum frontend_event last[] = {EVENT_READY, EVENT_STARTED, EVENT_STOPPED, EVENT_LOST};

    rig_begin();
    for (unsigned i = 0;; i++) {
        if (i == (unsigned)_i)
            events.free_at_event = &fe;
        if (i == 3)
            fake_backend_do(&fake, rig_do_close);
        expect_event(&events, last[i]);
        if (fe == NULL)
            break;
        ck_assert_int_eq(i == 0 ? rig_start() : i == 1 ? rig_stop() : 0, 0);
    }
    ck_assert_int_eq(frontend_events_next(&events, 0.05), EVENT_NONE);
}
END_TEST

/* ---- connecting ---- */

START_TEST(test_no_listener)
{
    fake_backend_start(&fake);
    options.socket = "/nonexistent/sock";
    ck_assert_int_eq(frontend_new(&fe, events.loop, &options, &frontend_events_callbacks, &events), 0);
    rig_expect_lost(-ENOENT, "/nonexistent/sock");
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    rig_expect_lost(-ENOENT, "/nonexistent/sock");
}
END_TEST

START_TEST(test_bad_options)
{
    struct frontend_options bad = options;
    char path[200];

    fake_backend_start(&fake);
    bad.socket = "";
    ck_assert_int_eq(frontend_new(&fe, events.loop, &bad, &frontend_events_callbacks, &events), -EINVAL);
    memset(path, 'x', sizeof(path));
    path[108] = '\0';
    bad.socket = path;
    ck_assert_int_eq(frontend_new(&fe, events.loop, &bad, &frontend_events_callbacks, &events), -EINVAL);
    bad = options;
    bad.socket = fake.path;
    bad.config_len = FRONTEND_MAX_CONFIG + 1;
    ck_assert_int_eq(frontend_new(&fe, events.loop, &bad, &frontend_events_callbacks, &events), -EINVAL);
    frontend_free(NULL);
}
END_TEST

/* Somebody listens and never accepts: the place in the queue is taken by others, or ours is, and no answer
 * comes. */
START_TEST(test_no_accept)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others[4];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    fake_backend_start(&fake);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/other", fake.dir);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        others[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (_i > 0 && connect(others[i], (struct sockaddr *)&addr, sizeof(addr)) < 0)
            ck_assert_int_eq(errno, EAGAIN);
    }
    options.socket = addr.sun_path;
    options.reply_limit = 0.2;
    ck_assert_int_eq(frontend_new(&fe, events.loop, &options, &frontend_events_callbacks, &events), 0);
    rig_expect_lost(-ETIMEDOUT, _i > 0 ? "accepted" : "GET_FEATURES");
    /* The listener goes away while we try again. */
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        close(others[i]);
    close(fd);
    expect_event(&events, EVENT_LOST);
    unlink(addr.sun_path);
}
END_TEST

/* ---- reconnecting ---- */

START_TEST(test_reconnect)
{
    rig_begin();
    expect_event(&events, EVENT_READY);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(rig_start(), 0);
        expect_event(&events, EVENT_STARTED);
        check_started();
        rig_lose();
        ck_assert_int_eq(frontend_reconnect(fe), 0);
        ck_assert_int_eq(frontend_reconnect(fe), -EBUSY);
        ck_assert_str_eq(frontend_state_name(fe), "connecting");
        expect_event(&events, EVENT_READY);
        ck_assert_uint_eq(frontend_features(fe), VERSION_1 | 0x0f);
    }
    /* More than before is welcome, and changes nothing that the driver has seen. */
    rig_lose();
    fake.features |= 0xf00;
    fake.nr_queues = 9;
    fake.config_len = 256;
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    expect_event(&events, EVENT_READY);
    ck_assert_uint_eq(frontend_features(fe), VERSION_1 | 0x0f);
    ck_assert_uint_eq(frontend_nr_queues(fe), NR_QUEUES);
}
END_TEST

START_TEST(test_reconnect_to_less)
{
    struct fake_backend good;

    rig_begin();
    expect_event(&events, EVENT_READY);
    good = fake;
    rig_lose();
    switch (_i) {
    case 0:
        fake.features &= ~(uint64_t)0x4;
        break;
    case 1:
        fake.nr_queues = 2;
        break;
    case 2:
        fake.config_len = 59;
        break;
    case 3:
        fake.protocol_features &= ~PROTOCOL(CONFIG);
        break;
    default:
        fake.features &= ~((uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES);
    }
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    rig_expect_lost(-EPROTO, _i == 1 ? "are needed" : "no longer");
    frontend_events_until(&events, fake.nr_closed == fake.nr_connections);
    /* And to the right one after all. */
    fake.features = good.features;
    fake.nr_queues = good.nr_queues;
    fake.config_len = good.config_len;
    fake.protocol_features = good.protocol_features;
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    expect_event(&events, EVENT_READY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frontend");
    TCase *tc = tcase_create("frontend");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
    tcase_add_test(tc, test_handshake);
    tcase_add_test(tc, test_handshake_plain);
    tcase_add_loop_test(tc, test_queues, 0, 10);
    tcase_add_test(tc, test_no_queues);
    tcase_add_loop_test(tc, test_config_length, 0, 18);
    tcase_add_test(tc, test_start_stop);
    tcase_add_loop_test(tc, test_stop_early, 0, (int)ARRAY_SIZE(start_log) + 1);
    tcase_add_test(tc, test_stop_cuts_start);
    tcase_add_test(tc, test_bad_start);
    tcase_add_test(tc, test_set_config);
    tcase_add_loop_test(tc, test_free_in_callback, 0, 4);
    tcase_add_test(tc, test_no_listener);
    tcase_add_test(tc, test_bad_options);
    tcase_add_loop_test(tc, test_no_accept, 0, 2);
    tcase_add_test(tc, test_reconnect);
    tcase_add_loop_test(tc, test_reconnect_to_less, 0, 5);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
