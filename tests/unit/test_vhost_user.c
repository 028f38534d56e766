// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_vhost_user.c - every message can be printed, whatever it contains: exact lines for some, bounds for
 * all.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vhost_types.h>

#include "common/util.h"
#include "common/vhost_user.h"
#include "tests/unit/unit.h"

static struct vhost_user_msg msg;
static char line[1024];

/* The line of msg; also checks what format promises of its result. */
static const char *format(enum vhost_user_side requester)
{
    int n = vhost_user_msg_format(line, sizeof(line), &msg, requester);

    ck_assert_uint_eq((size_t)n, strlen(line));
    return line;
}

START_TEST(test_lines)
{
    vhost_user_msg_init(&msg, VHOST_USER_GET_FEATURES, 0);
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "GET_FEATURES");

    vhost_user_msg_init_reply(&msg, VHOST_USER_GET_FEATURES, 8);
    msg.payload.u64 = 0x140000000;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "GET_FEATURES reply 0x140000000");

    vhost_user_msg_init(&msg, VHOST_USER_SET_PROTOCOL_FEATURES, 8);
    msg.payload.u64 =
        1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_SHMEM_MAP | (uint64_t)1 << 40;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "SET_PROTOCOL_FEATURES MQ|SHMEM_MAP|bit 40");

    vhost_user_msg_init(&msg, VHOST_USER_SET_VRING_KICK, 8);
    msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
    msg.payload.u64 = 3;
    msg.nr_fds = 1;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "SET_VRING_KICK need-reply ring 3 +1 fd");

    /* An acknowledgement of a message that has no reply of its own. */
    vhost_user_msg_init_reply(&msg, VHOST_USER_SET_VRING_ENABLE, 8);
    msg.payload.u64 = 1;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "SET_VRING_ENABLE reply 0x1");

    vhost_user_msg_init(&msg, VHOST_USER_SET_VRING_ADDR, 40);
    msg.payload.addr =
        (struct vhost_user_vring_addr){.index = 1, .desc = 0x1000, .avail = 0x2000, .used = 0x3000};
    ck_assert_str_eq(format(VHOST_USER_FRONTEND),
                     "SET_VRING_ADDR ring 1 desc 0x1000 avail 0x2000 used 0x3000");

    vhost_user_msg_init(&msg, VHOST_USER_GET_CONFIG, 12 + 3);
    msg.payload.config = (struct vhost_user_config){.offset = 1, .size = 3, .data = {1, 2, 0xab}};
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "GET_CONFIG offset 1 size 3 flags 0x0 data 0102ab");

    vhost_user_msg_init(&msg, VHOST_USER_BACKEND_SHMEM_MAP, 40);
    msg.payload.mmap = (struct vhost_user_mmap){
        .shmid = 2, .fd_offset = 0x1000, .shm_offset = 0x2000, .len = 0x3000, .flags = 1};
    msg.nr_fds = 1;
    ck_assert_str_eq(format(VHOST_USER_BACKEND),
                     "BACKEND_SHMEM_MAP shmid 2 fd offset 0x1000 shm offset 0x2000 len 0x3000 rw +1 fd");
}
END_TEST

START_TEST(test_tables)
{
    struct vhost_user_mem_table *t = &msg.payload.table;

    vhost_user_msg_init(&msg, VHOST_USER_SET_MEM_TABLE, 8 + 32);
    *t = (struct vhost_user_mem_table){.nr_regions = 1};
    t->regions.plain[0] = (struct vhost_user_region){.gpa = 0x1000, .size = 0x2000, .user_addr = 0x3000};
    msg.nr_fds = 1;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND),
                     "SET_MEM_TABLE 1 regions [ gpa 0x1000 len 0x2000 user 0x3000 mmap offset 0x0 ] +1 fd");

    msg.header.size = 8 + 40;
    t->regions.xen[0].xen_flags = VHOST_USER_XEN_FOREIGN;
    t->regions.xen[0].domid = 7;
    ck_assert_str_eq(
        format(VHOST_USER_FRONTEND),
        "SET_MEM_TABLE 1 regions [ gpa 0x1000 len 0x2000 user 0x3000 mmap offset 0x0 xen flags 0x1 domid "
        "7 ] +1 fd");

    /* A count that does not fit the size is not believed. */
    t->nr_regions = 0x20000000;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "SET_MEM_TABLE 536870912 regions (in 48 bytes) +1 fd");

    vhost_user_msg_init_reply(&msg, VHOST_USER_GET_SHMEM_CONFIG, sizeof(msg.payload.shmem_config));
    memset(&msg.payload.shmem_config, 0, sizeof(msg.payload.shmem_config));
    msg.payload.shmem_config.nr_regions = 2;
    msg.payload.shmem_config.sizes[0] = 0x1000;
    msg.payload.shmem_config.sizes[255] = 0x2000;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND),
                     "GET_SHMEM_CONFIG reply 2 regions [ shmid 0 len 0x1000 ] [ shmid 255 len 0x2000 ]");
}
END_TEST

START_TEST(test_odd)
{
    vhost_user_msg_init(&msg, 99, 2);
    msg.payload.bytes[0] = 0xab;
    msg.payload.bytes[1] = 0xcd;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "unknown request 99 2 bytes: ab cd");
    vhost_user_msg_init(&msg, 0, 0);
    ck_assert_str_eq(format(VHOST_USER_BACKEND), "unknown request 0");

    /* Too short for what the request carries; a wrong version; fds that could not be received. */
    vhost_user_msg_init(&msg, VHOST_USER_SET_VRING_NUM, 2);
    msg.header.flags = 0x2;
    msg.fds_lost = true;
    ck_assert_str_eq(format(VHOST_USER_FRONTEND), "SET_VRING_NUM (flags 0x2) 2 bytes: ab cd (fds lost)");

    /* More bytes than there can be. */
    vhost_user_msg_init(&msg, VHOST_USER_SET_VRING_NUM, 0xffffffff);
    memset(&msg.payload, 0, sizeof(msg.payload));
    ck_assert_str_eq(format(VHOST_USER_FRONTEND),
                     "SET_VRING_NUM 4294967295 bytes: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ...");
}
END_TEST

START_TEST(test_names)
{
    for (uint32_t i = VHOST_USER_GET_FEATURES; i <= VHOST_USER_GET_SHMEM_CONFIG; i++)
        ck_assert_ptr_nonnull(vhost_user_request_name(VHOST_USER_FRONTEND, i));
    for (uint32_t i = VHOST_USER_BACKEND_IOTLB_MSG; i <= VHOST_USER_BACKEND_SHMEM_UNMAP; i++)
        ck_assert_ptr_nonnull(vhost_user_request_name(VHOST_USER_BACKEND, i));
    for (unsigned i = 0; i <= VHOST_USER_PROTOCOL_F_SHMEM_MAP; i++)
        ck_assert_ptr_nonnull(vhost_user_protocol_feature_name(i));
    ck_assert_ptr_null(vhost_user_request_name(VHOST_USER_FRONTEND, 0));
    ck_assert_ptr_null(vhost_user_request_name(VHOST_USER_FRONTEND, VHOST_USER_GET_SHMEM_CONFIG + 1));
    ck_assert_ptr_null(vhost_user_request_name(VHOST_USER_BACKEND, VHOST_USER_BACKEND_SHMEM_UNMAP + 1));
    ck_assert_ptr_null(vhost_user_request_name(VHOST_USER_BACKEND, UINT32_MAX));
    ck_assert_ptr_null(vhost_user_protocol_feature_name(VHOST_USER_PROTOCOL_F_SHMEM_MAP + 1));
    ck_assert_ptr_null(vhost_user_protocol_feature_name(UINT32_MAX));
    ck_assert_str_eq(vhost_user_request_name(VHOST_USER_FRONTEND, 44), "GET_SHMEM_CONFIG");
    ck_assert_str_eq(vhost_user_request_name(VHOST_USER_BACKEND, 9), "BACKEND_SHMEM_MAP");
    ck_assert_str_eq(vhost_user_protocol_feature_name(15), "CONFIGURE_MEM_SLOTS");

    ck_assert_int_eq(vhost_user_protocol_features_format(line, sizeof(line), 0), 4);
    ck_assert_str_eq(line, "none");
    ck_assert_int_eq(vhost_user_protocol_features_format(line, 5, 0x9), 4);
    ck_assert_str_eq(line, "MQ|R");
}
END_TEST

/* Random messages, of every request, with sizes that fit and that lie, into buffers of every length that is
 * interesting. The buffer is of exactly that length, so that a sanitizer or valgrind sees an overrun; bytes
 * of the payload past its size are not to be read, and are left uninitialised for valgrind. */
START_TEST(test_random)
{
    static const uint32_t sizes[] = {0,  1,  7,  8,  12,  16,   20,   24,   26,
                                     32, 40, 48, 72, 268, 2056, 4096, 4097, UINT32_MAX};
    unsigned long n = unit_count(200000);

    unit_random_start();
    for (unsigned long i = 0; i < n; i++) {
        struct vhost_user_msg *m = malloc(sizeof(*m));
        size_t len = unit_random_below(4) == 0 ? unit_random_below(8) : unit_random_below(1200);
        char *buf = malloc(len > 0 ? len : 1);
        int written;

        m->header.request =
            unit_random_below(20) == 0 ? (uint32_t)unit_random() : (uint32_t)unit_random_below(50);
        m->header.flags = (uint32_t)unit_random_below(16);
        m->header.size = unit_random_below(4) == 0 ? (uint32_t)unit_random_below(5000)
                                                   : sizes[unit_random_below(ARRAY_SIZE(sizes))];
        m->nr_fds = (unsigned)unit_random_below(12);
        m->fds_lost = unit_random_below(2);
        for (size_t k = 0; k < MIN(m->header.size, sizeof(m->payload)); k += 8) {
            uint64_t r = unit_random_below(3) == 0 ? unit_random() : unit_random_below(10);

            memcpy(m->payload.bytes + k, &r, MIN((size_t)8, sizeof(m->payload) - k));
        }
        written = vhost_user_msg_format(buf, len, m,
                                        unit_random_below(2) ? VHOST_USER_BACKEND : VHOST_USER_FRONTEND);
        unit_expect(len == 0 ? written == 0 : written >= 0 && (size_t)written < len);
        if (len > 0) {
            unit_expect_eq(strnlen(buf, len), written);
            for (int k = 0; k < written; k++)
                unit_expect(buf[k] >= ' ' && buf[k] < 0x7f);
        }
        free(buf);
        free(m);
    }
}
END_TEST

START_TEST(test_close_fds)
{
    vhost_user_msg_init(&msg, VHOST_USER_SET_MEM_TABLE, 0);
    for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++)
        msg.fds[msg.nr_fds++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    vhost_user_msg_close_fds(&msg);
    ck_assert_uint_eq(msg.nr_fds, 0);
    for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++)
        ck_assert_int_eq(fcntl(msg.fds[i], F_GETFD), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost_user");
    TCase *tc = tcase_create("format");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_lines);
    tcase_add_test(tc, test_tables);
    tcase_add_test(tc, test_odd);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_random);
    tcase_add_test(tc, test_close_fds);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
