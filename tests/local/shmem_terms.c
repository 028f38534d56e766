// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_terms.c - what is agreed when a back-end connects, and what holds when it is not: features without
 * which there are no shared memory regions, answers that nobody may expect, sizes that are none; and what is
 * said when a limit is reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include "common/log.h"
#include "tests/local/shmem_test.h"

#define FILE_TAG          5
#define PROTOCOL_BIT(bit) ((uint64_t)1 << (bit))

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

/* ---- features ----------------------------------------------------------------------------------------- */

static bool was_asked(uint32_t request)
{
    for (unsigned i = 0; i < fake.nr_log; i++)
        if (fake.log[i] == request)
            return true;
    return false;
}

/* Each of them is needed. What remains are bits 20 and 21, which were SHMEM_MAP to some once and mean other
 * things now; the disk that has no regions goes on without. */
static const unsigned needed[] = {
    VHOST_USER_PROTOCOL_F_SHMEM_MAP,
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ,
};

START_TEST(not_negotiated)
{
    const uint64_t not_shmem =
        PROTOCOL_BIT(VHOST_USER_PROTOCOL_F_SHMEM_MAP) | PROTOCOL_BIT(20) | PROTOCOL_BIT(21);

    fake.protocol_features &= ~PROTOCOL_BIT(needed[_i]);
    fake.config_len = sizeof(struct virtio_blk_config);
    options.devices[0].type = device_type_find("blk");
    shmem_test_boot();
    ck_assert_uint_eq(fake.acked_protocol & not_shmem, 0);
    ck_assert(!was_asked(VHOST_USER_GET_SHMEM_CONFIG));
    ck_assert_ptr_null(device_shmem(rig.devices[0]));
    if (needed[_i] == VHOST_USER_PROTOCOL_F_BACKEND_REQ) {
        ck_assert_ptr_null(fake.backend);
        return;
    }
    backend_is_refused(map_request(0, file, 0, 0, PAGES(1), RW));
    backend_is_refused(unmap_request(0, 0, PAGES(1)));
    backend_is_refused(map_request(0, file, 0, 0, PAGES(1), RW)); /* the connection is there still */
}
END_TEST

/* Where all is negotiated, and the device has no regions at all. */
START_TEST(no_regions)
{
    fake.shmem_sizes[0] = 0;
    fake.config_len = sizeof(struct virtio_blk_config);
    options.devices[0].type = device_type_find("blk");
    shmem_test_boot();
    ck_assert(was_asked(VHOST_USER_GET_SHMEM_CONFIG));
    backend_is_refused(map_request(0, file, 0, 0, PAGES(1), RW));
    backend_is_refused(unmap_request(0, 0, PAGES(1)));
}
END_TEST

/* ---- answers ------------------------------------------------------------------------------------------ */

static int unasked; /* what is to be read from the back-end's channel: 0, nothing */

/* A request that wants an answer, which is not waited for. */
static void send_one(struct fake_backend *f)
{
    struct vhost_user_msg msg;

    vhost_user_msg_init(&msg, VHOST_USER_BACKEND_SHMEM_MAP, sizeof(msg.payload.mmap));
    msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
    msg.payload.mmap = map_request(0, file, 0, 0, PAGES(4), RW).mmap;
    msg.nr_fds = 1;
    msg.fds[0] = file;
    if (vhost_user_channel_send(f->backend, &msg) != 0)
        abort();
}

static void look_for_one(struct fake_backend *f)
{
    struct vhost_user_msg msg;

    unasked = vhost_user_channel_receive(f->backend, &msg);
}

static bool all_are_mapped(void *ctx)
{
    return stats().nr_mappings == *(unsigned *)ctx;
}

static bool backend_is_done(void *ctx)
{
    (void)ctx;
    return fake.done;
}

/* The flag means nothing unless REPLY_ACK was negotiated. What is mapped has been answered or never will be:
 * both happen in one go. */
START_TEST(no_answer_without_reply_ack)
{
    unsigned one = 1;

    fake.protocol_features &= ~PROTOCOL_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    shmem_test_boot();
    fake_backend_do(&fake, send_one);
    ck_assert(guest_os_wait(&os, all_are_mapped, &one, PATIENCE));
    guest_sees(0, 0, 4, FILE_TAG, 0);
    ck_assert(guest_os_wait(&os, backend_is_done, NULL, PATIENCE));
    fake_backend_do(&fake, look_for_one);
    ck_assert(guest_os_wait(&os, backend_is_done, NULL, PATIENCE));
    ck_assert_int_eq(unasked, 0);
}
END_TEST

/* ---- sizes -------------------------------------------------------------------------------------------- */

static const struct {
    uint64_t sizes[3]; /* of shmid 0, 7 and 255 */
    unsigned not_there;
    const char *why;
} bad_configs[] = {
    {{PAGES(1) + 1, 0, 0}, 0, "not a multiple of pages"},
    {{MIB(1), 0, 2048}, 0, "not a multiple of pages"},
    {{MIB(1), GIB(1024) + PAGES(1), 0}, 0, "more than 1 TiB"},
    {{GIB(512), GIB(512), PAGES(1)}, 0, "more than 1 TiB"},
    {{(uint64_t)1 << 63, (uint64_t)1 << 63, MIB(1)}, 0, "more than 1 TiB"},
    {{MIB(1), UINT64_MAX - PAGES(1) + 1, 0}, 0, "more than 1 TiB"},
    {{MIB(1), 0, 0}, 1, "announces 2 regions and has 1"},
    {{MIB(1), MIB(1), 0}, UINT32_MAX, "announces 1 regions and has 2"},
};

START_TEST(bad_config)
{
    fake.shmem_sizes[0] = bad_configs[_i].sizes[0];
    fake.shmem_sizes[7] = bad_configs[_i].sizes[1];
    fake.shmem_sizes[255] = bad_configs[_i].sizes[2];
    fake.shmem_not_there = bad_configs[_i].not_there;
    fake_backend_start(&fake);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    guest_os_init(&os, &options.local);
    ck_assert_int_lt(rig_open(&rig, &options, &os), 0);
    ck_assert_msg(strstr(rig.error, bad_configs[_i].why) != NULL, "it said: %s", rig.error);
}
END_TEST

/* ---- limits and counts -------------------------------------------------------------------------------- */

/* What is logged while a request is refused. The text is good until the next call. */
static const char *log_of_refusal(struct request request)
{
    static char text[1024];
    int log = memfd_create("log", MFD_CLOEXEC), standard_error = dup(STDERR_FILENO);
    enum log_level level = log_level;
    ssize_t len;

    ck_assert_int_eq(dup2(log, STDERR_FILENO), STDERR_FILENO);
    log_level = LOG_LEVEL_WARNING;
    backend_requests(&request, 1);
    log_level = level;
    ck_assert_int_eq(dup2(standard_error, STDERR_FILENO), STDERR_FILENO);
    len = pread(log, text, sizeof(text) - 1, 0);
    text[MAX(len, 0)] = '\0';
    close(log);
    close(standard_error);
    ck_assert_uint_ne(request.answer, 0);
    return text;
}

START_TEST(limits_are_named)
{
    options.devices[0].shmem.max_mappings = 2;
    options.devices[0].shmem.max_bytes = PAGES(10);
    shmem_test_boot();
    backend_does(map_request(0, file, 0, 0, PAGES(4), RW));
    ck_assert_ptr_nonnull(
        strstr(log_of_refusal(map_request(0, file, 0, PAGES(4), PAGES(7), RW)), "max-mapped="));
    backend_does(map_request(0, file, 0, PAGES(4), PAGES(4), RW));
    ck_assert_ptr_nonnull(
        strstr(log_of_refusal(map_request(0, file, 0, PAGES(8), PAGES(1), RW)), "max-mappings="));
    ck_assert_uint_eq(stats().nr_mappings, 2);
    guest_sees_nothing(0, PAGES(8), 8);
}
END_TEST

START_TEST(unmapped_accesses_are_counted)
{
    uint64_t gpa;

    shmem_test_boot();
    backend_does(map_request(0, file, 0, 0, PAGES(1), RW));
    gpa = shm_gpa(0);
    ck_assert_uint_eq(mmio_read(&os, gpa + PAGES(1), 8), ALL_ONES);
    mmio_write(&os, gpa + PAGES(1), 8, 12345);
    ck_assert_uint_eq(mmio_read(&os, gpa + MIB(1) - 1, 1), 0xff);
    ck_assert_uint_eq(stats().unmapped_accesses, 3);
    /* The write is nowhere. */
    backend_does(map_request(0, file, PAGES(1), PAGES(1), PAGES(1), RW));
    guest_sees(0, 0, 2, FILE_TAG, 0);
    ck_assert_uint_eq(stats().unmapped_accesses, 3);
}
END_TEST

void shmem_cases_terms(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, not_negotiated, 0, ARRAY_SIZE(needed));
    tcase_add_test(tcase, no_regions);
    tcase_add_test(tcase, no_answer_without_reply_ack);
    tcase_add_loop_test(tcase, bad_config, 0, ARRAY_SIZE(bad_configs));
    tcase_add_test(tcase, limits_are_named);
    tcase_add_test(tcase, unmapped_accesses_are_counted);
}
