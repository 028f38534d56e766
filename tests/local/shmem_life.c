// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_life.c - when mappings come and go: before a driver, during the messages of the front-end, at resets,
 * with the connection; and where the guest sees them when it moves the BAR.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>

#include "tests/local/shmem_test.h"

#define FILE_TAG 3

static int file;

static void setup(void)
{
    shmem_test_setup();
    file = file_new(MIB(1), FILE_TAG);
}

static void teardown(void)
{
    close(file);
    shmem_test_teardown();
}

/* ---- while the front-end waits for us ----------------------------------------------------------- */

/* Two requests with an answer each, sent before the front-end gets its own: at a given message. */
static struct {
    uint32_t at;
    bool sent;
    struct request requests[2];
} meanwhile;

static void send_meanwhile(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (msg->header.request != meanwhile.at || meanwhile.sent)
        return;
    meanwhile.sent = true;
    backend_requests_now(f, meanwhile.requests, 2);
}

static void meanwhile_set(uint32_t at)
{
    meanwhile.at = at;
    meanwhile.requests[0] = map_request(0, file, PAGES(10), 0, PAGES(4), RW);
    meanwhile.requests[1] = map_request(0, file, PAGES(20), PAGES(200), PAGES(8), 0);
    fake.hook = send_meanwhile;
}

static void expect_meanwhile(void)
{
    ck_assert(meanwhile.sent);
    ck_assert_uint_eq(meanwhile.requests[0].answer, 0);
    ck_assert_uint_eq(meanwhile.requests[1].answer, 0);
    guest_sees(0, 0, 4, FILE_TAG, 10);
    guest_sees_nothing(0, PAGES(4), 196);
    guest_sees(0, PAGES(200), 8, FILE_TAG, 20);
}

/* Every message after SET_BACKEND_REQ_FD. */
static const uint32_t handshake_messages[] = {VHOST_USER_SET_OWNER, VHOST_USER_GET_CONFIG};
static const uint32_t start_messages[] = {
    VHOST_USER_SET_FEATURES,   VHOST_USER_SET_MEM_TABLE,    VHOST_USER_SET_VRING_NUM,
    VHOST_USER_SET_VRING_BASE, VHOST_USER_SET_VRING_ADDR,   VHOST_USER_SET_VRING_CALL,
    VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_ENABLE, VHOST_USER_SET_STATUS,
};

START_TEST(before_a_driver)
{
    meanwhile_set(handshake_messages[_i]);
    shmem_test_boot();
    expect_meanwhile();
    /* A driver comes, and begins with a reset, as all do. */
    shmem_test_start_driver();
    expect_meanwhile();
}
END_TEST

START_TEST(before_driver_ok)
{
    shmem_test_by(_i);
    shmem_test_boot();
    backend_does(map_request(0, file, 0, 0, PAGES(1), RW));
    guest_sees(0, 0, 1, FILE_TAG, 0);
    virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    backend_does(map_request(0, file, PAGES(1), PAGES(1), PAGES(1), RW));
    virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_DRIVER);
    backend_does(map_request(0, file, PAGES(2), PAGES(2), PAGES(1), RW));
    guest_sees(0, 0, 3, FILE_TAG, 0);
}
END_TEST

START_TEST(while_the_queues_start)
{
    shmem_test_boot();
    meanwhile_set(start_messages[_i]);
    shmem_test_start_driver();
    expect_meanwhile();
}
END_TEST

/* ---- resets ------------------------------------------------------------------------------------- */

static void map_some(void)
{
    backend_does(map_request(0, file, 0, 0, PAGES(64), RW));
    backend_does(map_request(0, file, PAGES(100), PAGES(64), PAGES(1), 0));
    guest_sees(0, 0, 64, FILE_TAG, 0);
    guest_sees(0, PAGES(64), 1, FILE_TAG, 100);
}

START_TEST(a_reset_unmaps)
{
    shmem_test_by(_i);
    shmem_test_boot();
    for (unsigned i = 0; i < 20; i++) {
        shmem_test_start_driver();
        map_some();
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        guest_sees_nothing(0, 0, 256);
        ck_assert_uint_eq(stats().nr_mappings, 0);
        ck_assert_uint_eq(stats().bytes, 0);
    }
}
END_TEST

/* The back-end has heard of no driver, so of no reset either. */
START_TEST(a_reset_without_a_driver_changes_nothing)
{
    shmem_test_by(_i);
    shmem_test_boot();
    map_some();
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
        if (i > 1)
            virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_DRIVER);
        if (i > 2)
            virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_FAILED);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        guest_sees(0, 0, 64, FILE_TAG, 0);
        guest_sees(0, PAGES(64), 1, FILE_TAG, 100);
    }
}
END_TEST

/* What is asked for before the rings are stopped is gone after the reset, what is asked for when the back-end
 * hears of the reset is there when the driver does. */
START_TEST(what_comes_during_a_reset)
{
    static const struct {
        uint32_t at;
        bool stays;
    } cases[] = {
        {VHOST_USER_SET_VRING_ENABLE, false},
        {VHOST_USER_GET_VRING_BASE, false},
        {VHOST_USER_SET_STATUS, true},
        {VHOST_USER_RESET_DEVICE, true},
    };

    shmem_test_boot();
    shmem_test_start_driver();
    backend_does(map_request(0, file, 0, PAGES(100), PAGES(64), RW));
    meanwhile_set(cases[_i].at);
    if (cases[_i].stays)
        meanwhile.requests[1] = map_request(0, file, PAGES(20), PAGES(120), PAGES(8), 0);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    ck_assert(meanwhile.sent);
    ck_assert_uint_eq(meanwhile.requests[0].answer, 0);
    ck_assert_uint_eq(meanwhile.requests[1].answer, 0);
    if (cases[_i].stays) {
        guest_sees(0, 0, 4, FILE_TAG, 10);
        guest_sees(0, PAGES(120), 8, FILE_TAG, 20);
        guest_sees_nothing(0, PAGES(100), 20);
        guest_sees_nothing(0, PAGES(128), 128);
    } else {
        guest_sees_nothing(0, 0, 256);
    }
}
END_TEST

/* The same without waiting for answers: the front-end has all of it when it has the last of its own. */
START_TEST(unanswered_requests_during_a_reset)
{
    bool stays = _i != 0;

    shmem_test_boot();
    shmem_test_start_driver();
    for (unsigned i = 0; i < 50; i++) {
        meanwhile_set(stays ? VHOST_USER_RESET_DEVICE : VHOST_USER_GET_VRING_BASE);
        meanwhile.requests[0].silent = meanwhile.requests[1].silent = true;
        meanwhile.sent = false;
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        if (stays) {
            guest_sees(0, 0, 4, FILE_TAG, 10);
            guest_sees(0, PAGES(200), 8, FILE_TAG, 20);
        } else {
            guest_sees_nothing(0, 0, 256);
            guest_os_idle(&os, 0.01);
            guest_sees_nothing(0, 0, 256);
        }
        shmem_test_start_driver();
        fake.hook = NULL;
    }
}
END_TEST

/* ---- the connection ----------------------------------------------------------------------------- */

static void close_connection(struct fake_backend *f)
{
    shutdown(vhost_user_channel_fd(f->main), SHUT_RDWR);
}

static void close_own_channel(struct fake_backend *f)
{
    vhost_user_channel_free(f->backend);
    f->backend = NULL;
}

static bool nothing_is_mapped(void *ctx)
{
    (void)ctx;
    return stats().nr_mappings == 0;
}

static bool connections_are_closed(void *ctx)
{
    return fake.nr_closed == *(unsigned *)ctx;
}

START_TEST(a_lost_back_end_unmaps)
{
    shmem_test_by(_i);
    shmem_test_boot();
    for (unsigned i = 1; i <= 5; i++) {
        shmem_test_start_driver();
        map_some();
        fake_backend_do(&fake, close_connection);
        ck_assert(guest_os_wait(&os, nothing_is_mapped, NULL, PATIENCE));
        /* Its side too, or the rings of this connection would be taken for those of the next. */
        ck_assert(guest_os_wait(&os, connections_are_closed, &i, PATIENCE));
        guest_sees_nothing(0, 0, 256);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    }
}
END_TEST

/* Its mappings are the connection's, not the channel's. */
START_TEST(a_lost_channel_does_not)
{
    shmem_test_boot();
    shmem_test_start_driver();
    map_some();
    fake_backend_do(&fake, close_own_channel);
    guest_os_idle(&os, 0.2);
    guest_sees(0, 0, 64, FILE_TAG, 0);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    guest_sees_nothing(0, 0, 256);
}
END_TEST

/* The guest has been told of the sizes: a successor with others is not taken. */
START_TEST(sizes_stay)
{
    const struct driver_options wanted = {.features = 1, .nr_queues = 1, .msix = true};
    unsigned closed = 1;

    shmem_test_boot();
    shmem_test_start_driver();
    fake.shmem_sizes[0] = MIB(2);
    fake_backend_do(&fake, close_connection);
    ck_assert(guest_os_wait(&os, connections_are_closed, &closed, PATIENCE));
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    ck_assert_int_eq(virtio_driver_start(&driver, &wanted), 0);
    closed = 2;
    ck_assert(guest_os_wait(&os, connections_are_closed, &closed, PATIENCE));
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    fake.shmem_sizes[0] = MIB(1);
    shmem_test_start_driver();
    map_some();
}
END_TEST

/* ---- regions and the BAR ------------------------------------------------------------------------ */

START_TEST(several_regions_in_one_window)
{
    static const uint8_t shmids[] = {0, 1, 255};
    struct driver_shm shm[ARRAY_SIZE(shmids)];

    fake.shmem_sizes[0] = PAGES(3);
    fake.shmem_sizes[1] = MIB(2);
    fake.shmem_sizes[255] = PAGES(1);
    shmem_test_by(_i);
    shmem_test_boot();
    for (unsigned i = 0; i < ARRAY_SIZE(shmids); i++) {
        ck_assert(driver_shm_find(&driver, shmids[i], &shm[i]));
        ck_assert_uint_eq(shm[i].len, fake.shmem_sizes[shmids[i]]);
        backend_does(map_request(shmids[i], file, PAGES(10 * i), 0, PAGES(1), RW));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(shmids); i++)
        guest_sees(shmids[i], 0, 1, FILE_TAG, 10 * i);
    guest_sees_nothing(0, PAGES(1), 2);
    guest_sees_nothing(1, PAGES(1), 511);
    ck_assert_uint_eq(shm[1].gpa % MIB(2), 0);
    shm[0] = (struct driver_shm){.gpa = ALL_ONES};
    for (unsigned shmid = 2; shmid < 255; shmid++)
        ck_assert(!driver_shm_find(&driver, (uint8_t)shmid, &shm[0]));
    ck_assert_uint_eq(shm[0].gpa, ALL_ONES);
    backend_is_refused(map_request(255, file, 0, PAGES(1), PAGES(1), RW));
    backend_is_refused(map_request(0, file, 0, PAGES(2), PAGES(2), RW));
}
END_TEST

/* By virtio-mmio the window is where we are told to put it, or the device is not there at all. */
START_TEST(bad_places_for_the_window)
{
    static const struct {
        uint64_t gpa;
        const char *why;
    } places[] = {
        {0, "say where the guest is to see it with shm-base="},
        {GIB(4) + 1, "shm-base= is no multiple of 4K"},
        {UINT64_MAX - GUEST_PAGE_SIZE + 1, "leaves no room"},
        {MIB(1), "something else is where its shared memory is to be"}, /* RAM */
        {0xd0000000 - MIB(1) + GUEST_PAGE_SIZE, "something else is where its shared memory is to be"},
    };

    fake_backend_start(&fake);
    shmem_test_by(TRANSPORT_MMIO);
    ck_assert_uint_eq(options.devices[0].place.base, 0xd0000000);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    options.devices[0].place.shm_base = places[_i].gpa;
    guest_os_init(&os, &options.local);
    ck_assert_int_ne(rig_open(&rig, &options, &os), 0);
    ck_assert_msg(strstr(rig.error, places[_i].why) != NULL, "%s", rig.error);
    for (unsigned i = 0; i < GUEST_OS_NR_LINES; i++)
        ck_assert(!os.irq_line[i]);
}
END_TEST

START_TEST(the_bar_moves)
{
    struct driver_shm shm;
    uint64_t first;

    shmem_test_boot();
    shmem_test_start_driver();
    map_some();
    ck_assert(driver_shm_find(&driver, 0, &shm));
    first = driver.bars[shm.bar];
    for (unsigned i = 1; i <= 8; i++) {
        uint64_t old = driver.bars[shm.bar];

        virtio_driver_move_bar(&driver, shm.bar, first + i * GIB(1));
        ck_assert_uint_eq(mmio_read(&os, old, 8), ALL_ONES);
        guest_sees(0, 0, 64, FILE_TAG, 0);
        guest_sees(0, PAGES(64), 1, FILE_TAG, 100);
        guest_sees_nothing(0, PAGES(65), 191);
        backend_does(unmap_request(0, PAGES(64), PAGES(1)));
        backend_does(map_request(0, file, PAGES(100), PAGES(64), PAGES(1), 0));
    }
}
END_TEST

START_TEST(decoding_off)
{
    uint64_t gpa;

    shmem_test_boot();
    shmem_test_start_driver();
    map_some();
    gpa = shm_gpa(0);
    config_write(&os, driver.sbdf, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    ck_assert_uint_eq(mmio_read(&os, gpa, 8), ALL_ONES);
    /* Mapped while nobody can see it. */
    backend_does(map_request(0, file, PAGES(80), PAGES(80), PAGES(20), RW));
    backend_does(unmap_request(0, PAGES(64), PAGES(1)));
    config_write(&os, driver.sbdf, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
    guest_sees(0, 0, 64, FILE_TAG, 0);
    guest_sees_nothing(0, PAGES(64), 16);
    guest_sees(0, PAGES(80), 20, FILE_TAG, 80);
}
END_TEST

/* ---- options ------------------------------------------------------------------------------------ */

START_TEST(limits)
{
    options.devices[0].shmem.max_mappings = 3;
    options.devices[0].shmem.max_bytes = PAGES(10);
    shmem_test_boot();
    backend_does(map_request(0, file, 0, 0, PAGES(4), RW));
    backend_is_refused(map_request(0, file, 0, PAGES(4), PAGES(7), RW));
    backend_does(map_request(0, file, 0, PAGES(4), PAGES(4), RW));
    backend_does(map_request(0, file, 0, PAGES(8), PAGES(1), RW));
    backend_is_refused(map_request(0, file, 0, PAGES(9), PAGES(1), RW));
    backend_does(unmap_request(0, PAGES(4), PAGES(4)));
    backend_is_refused(map_request(0, file, 0, PAGES(20), PAGES(6), RW));
    backend_does(map_request(0, file, 0, PAGES(20), PAGES(5), RW));
    guest_sees(0, 0, 4, FILE_TAG, 0);
    guest_sees_nothing(0, PAGES(4), 4);
    guest_sees(0, PAGES(8), 1, FILE_TAG, 0);
    guest_sees(0, PAGES(20), 5, FILE_TAG, 0);
}
END_TEST

/* An old back-end: another number for the feature. Without being told so, the number means what it means. */
START_TEST(old_feature_bit)
{
    fake.protocol_features &= ~((uint64_t)1 << VHOST_USER_PROTOCOL_F_SHMEM_MAP);
    options.devices[0].shmem_bit = 20;
    shmem_test_boot();
    ck_assert_uint_ne(fake.acked_protocol & 1u << 20, 0);
    map_some();
}
END_TEST

static void expect_answer(struct fake_backend *f)
{
    struct vhost_user_msg msg;

    for (unsigned i = 0; i < 2; i++) {
        meanwhile.requests[i].answer = UINT64_MAX;
        if (vhost_user_channel_receive_wait(f->backend, &msg, 10000) == 0)
            meanwhile.requests[i].answer = msg.payload.u64;
    }
}

START_TEST(answers_that_nobody_asked_for)
{
    struct request requests[2];

    options.devices[0].shmem_ack_always = true;
    shmem_test_boot();
    requests[0] = map_request(0, file, 0, 0, PAGES(1), RW);
    requests[1] = unmap_request(0, PAGES(1), PAGES(1));
    requests[0].silent = requests[1].silent = true;
    backend_requests(requests, 2);
    fake_backend_do(&fake, expect_answer);
    while (!fake.done)
        guest_os_idle(&os, 0.1);
    ck_assert_uint_eq(meanwhile.requests[0].answer, 0);
    ck_assert_uint_ne(meanwhile.requests[1].answer, 0);
    ck_assert_uint_ne(meanwhile.requests[1].answer, UINT64_MAX);
}
END_TEST

void shmem_cases_life(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, before_a_driver, 0, ARRAY_SIZE(handshake_messages));
    shmem_test_add_by_transport(tcase, before_driver_ok);
    tcase_add_loop_test(tcase, while_the_queues_start, 0, ARRAY_SIZE(start_messages));
    shmem_test_add_by_transport(tcase, a_reset_unmaps);
    shmem_test_add_by_transport(tcase, a_reset_without_a_driver_changes_nothing);
    tcase_add_loop_test(tcase, what_comes_during_a_reset, 0, 4);
    tcase_add_loop_test(tcase, unanswered_requests_during_a_reset, 0, 2);
    shmem_test_add_by_transport(tcase, a_lost_back_end_unmaps);
    tcase_add_test(tcase, a_lost_channel_does_not);
    tcase_add_test(tcase, sizes_stay);
    shmem_test_add_by_transport(tcase, several_regions_in_one_window);
    tcase_add_loop_test(tcase, bad_places_for_the_window, 0, 5);
    tcase_add_test(tcase, the_bar_moves);
    tcase_add_test(tcase, decoding_off);
    tcase_add_test(tcase, limits);
    tcase_add_test(tcase, old_feature_bit);
    tcase_add_test(tcase, answers_that_nobody_asked_for);
}
