// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pmem_queue.c - the queue of the example back-end vhost-user-pmem, with a driver that breaks the rules.
 * (The device model checks a driver's chains before such a back-end sees them, so no test of the whole gets
 * this far.)
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_pmem.h>
#include <linux/virtio_ring.h>

#include "common/util.h"
#include "examples/pmem_queue.h"
#include "tests/unit/unit.h"

#define SIZE       16u /* entries */
#define GPA        MIB(16)
#define USER       MIB(512)
#define LEN        (16 * GUEST_PAGE_SIZE)
#define AVAIL      0x1000
#define USED       0x2000
#define REQUESTS   0x3000 /* 8 bytes each: request, answer */
#define UNANSWERED 0x55555555u
#define FAILED     UINT32_MAX

static struct pmem_queue queue;
static uint8_t *mem; /* as the driver sees it */
static int mem_fd;

static struct vring_desc *descs(void)
{
    return (struct vring_desc *)mem;
}

static struct vring_avail *avail(void)
{
    return (struct vring_avail *)(mem + AVAIL);
}

static struct vring_used *used(void)
{
    return (struct vring_used *)(mem + USED);
}

static void setup(void)
{
    const struct vhost_user_region region = {.gpa = GPA, .size = LEN, .user_addr = USER};

    mem_fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert(mem_fd >= 0 && ftruncate(mem_fd, LEN) == 0);
    mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
    ck_assert_ptr_ne(mem, MAP_FAILED);
    pmem_queue_init(&queue);
    ck_assert_int_eq(pmem_queue_add_memory(&queue, &region, mem_fd), 0);
    queue.size = SIZE;
    queue.desc = USER;
    queue.avail = USER + AVAIL;
    queue.used = USER + USED;
    queue.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue.err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue.started = queue.enabled = true;
}

static void teardown(void)
{
    pmem_queue_fini(&queue);
    munmap(mem, LEN);
    close(mem_fd);
}

static void desc_set(unsigned i, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
    descs()[i] = (struct vring_desc){htole64(gpa), htole32(len), htole16(flags), htole16(next)};
}

static uint32_t *words_of(unsigned n)
{
    return (uint32_t *)(mem + REQUESTS + 8 * n);
}

/* Request n in descriptors 2n and 2n + 1. */
static void request_make(unsigned n, uint32_t type)
{
    words_of(n)[0] = htole32(type);
    words_of(n)[1] = UNANSWERED;
    desc_set(2 * n, GPA + REQUESTS + 8 * n, 4, VRING_DESC_F_NEXT, (uint16_t)(2 * n + 1));
    desc_set(2 * n + 1, GPA + REQUESTS + 8 * n + 4, 4, VRING_DESC_F_WRITE, 0);
}

static void make_available(uint16_t head)
{
    uint16_t idx = le16toh(avail()->idx);

    avail()->ring[idx % SIZE] = htole16(head);
    avail()->idx = htole16((uint16_t)(idx + 1));
}

static uint64_t event_count(int fd)
{
    eventfd_t value = 0;

    return eventfd_read(fd, &value) == 0 ? value : 0;
}

static void expect_broken(void)
{
    ck_assert_uint_eq(pmem_queue_take(&queue), 0);
    ck_assert(queue.broken);
    ck_assert_uint_eq(event_count(queue.err_fd), 1);
    pmem_queue_answer(&queue, true);
    ck_assert_uint_eq(used()->idx, 0);
    ck_assert_uint_eq(event_count(queue.call_fd), 0);
}

START_TEST(requests)
{
    for (unsigned round = 0; round < 1000; round++) {
        unsigned nr = 1 + round % (SIZE / 2);
        bool ok = round % 3 != 0;

        for (unsigned n = 0; n < nr; n++) {
            request_make(n, n == 2 ? 77 : VIRTIO_PMEM_REQ_TYPE_FLUSH);
            make_available((uint16_t)(2 * n));
        }
        avail()->flags = htole16(round % 2 != 0 ? VRING_AVAIL_F_NO_INTERRUPT : 0);
        ck_assert_uint_eq(pmem_queue_take(&queue), nr);
        ck_assert_uint_eq(words_of(0)[1], UNANSWERED);
        pmem_queue_answer(&queue, ok);
        for (unsigned n = 0; n < nr; n++)
            ck_assert_uint_eq(le32toh(words_of(n)[1]), ok && n != 2 ? 0 : FAILED);
        ck_assert_uint_eq(used()->idx, avail()->idx);
        ck_assert_uint_eq(le32toh(used()->ring[(uint16_t)(le16toh(used()->idx) - 1) % SIZE].id),
                          2 * (nr - 1));
        ck_assert_uint_eq(le32toh(used()->ring[(uint16_t)(le16toh(used()->idx) - 1) % SIZE].len), 4);
        ck_assert_uint_eq(event_count(queue.call_fd), round % 2 == 0);
    }
}
END_TEST

/* A driver may cut its bytes as it likes, and offer too few or too many. */
START_TEST(odd_shapes)
{
    request_make(0, VIRTIO_PMEM_REQ_TYPE_FLUSH);
    desc_set(8, GPA + REQUESTS, 1, VRING_DESC_F_NEXT, 9);
    desc_set(9, GPA + REQUESTS + 1, 3, VRING_DESC_F_NEXT, 10);
    desc_set(10, GPA + REQUESTS + 4, 2, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 11);
    desc_set(11, GPA + REQUESTS + 6, 100, VRING_DESC_F_WRITE, 0);
    make_available(8);
    ck_assert_uint_eq(pmem_queue_take(&queue), 1);
    pmem_queue_answer(&queue, true);
    ck_assert_uint_eq(words_of(0)[1], 0);
    /* Three bytes of a request are none. */
    request_make(0, VIRTIO_PMEM_REQ_TYPE_FLUSH);
    desc_set(0, GPA + REQUESTS, 3, VRING_DESC_F_NEXT, 1);
    make_available(0);
    ck_assert_uint_eq(pmem_queue_take(&queue), 1);
    pmem_queue_answer(&queue, true);
    ck_assert_uint_eq(le32toh(words_of(0)[1]), FAILED);
    /* No room for an answer. */
    desc_set(0, GPA + REQUESTS, 4, 0, 0);
    make_available(0);
    ck_assert_uint_eq(pmem_queue_take(&queue), 1);
    pmem_queue_answer(&queue, true);
    ck_assert_uint_eq(le16toh(used()->idx), 3);
    ck_assert_uint_eq(used()->ring[2].len, 0);
    ck_assert(!queue.broken);
}
END_TEST

static const struct vring_desc wrong[] = {
    {GPA - 1, 4, VRING_DESC_F_NEXT, 1},
    {GPA + LEN, 4, VRING_DESC_F_NEXT, 1},
    {GPA + LEN - 3, 4, VRING_DESC_F_NEXT, 1},
    {0, 4, VRING_DESC_F_NEXT, 1},
    {UINT64_MAX - 1, 4, VRING_DESC_F_NEXT, 1},
    {USER, 4, VRING_DESC_F_NEXT, 1},
    {GPA + REQUESTS, 4, VRING_DESC_F_NEXT, SIZE},
    {GPA + REQUESTS, 4, VRING_DESC_F_NEXT, UINT16_MAX},
    {GPA + REQUESTS, 4, VRING_DESC_F_NEXT, 0},
    {GPA + REQUESTS, 16, VRING_DESC_F_INDIRECT, 0},
    {GPA + REQUESTS, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1},
};

START_TEST(wrong_descriptors)
{
    request_make(0, VIRTIO_PMEM_REQ_TYPE_FLUSH);
    desc_set(0, wrong[_i].addr, wrong[_i].len, wrong[_i].flags, wrong[_i].next);
    make_available(0);
    expect_broken();
}
END_TEST

START_TEST(wrong_indexes)
{
    if (_i == 0) {
        make_available(SIZE);
    } else if (_i == 1) {
        avail()->idx = htole16(SIZE + 1);
    } else if (_i == 2) {
        avail()->idx = htole16(UINT16_MAX);
    } else {
        uint64_t *areas[] = {&queue.desc, &queue.avail, &queue.used};

        *areas[_i % 3] = _i < 6 ? USER + LEN - 8 : _i < 9 ? USER - GUEST_PAGE_SIZE : USER + 0x5001;
    }
    expect_broken();
}
END_TEST

/* The answer's place goes away, or becomes something else, while the flush runs. */
START_TEST(changes_meanwhile)
{
    request_make(0, VIRTIO_PMEM_REQ_TYPE_FLUSH);
    make_available(0);
    ck_assert_uint_eq(pmem_queue_take(&queue), 1);
    if (_i == 0)
        pmem_queue_remove_all_memory(&queue);
    else
        desc_set(1, _i == 1 ? 0 : GPA + LEN - 1, 4, VRING_DESC_F_WRITE, 0);
    pmem_queue_answer(&queue, true);
    ck_assert(queue.broken);
    ck_assert_uint_eq(used()->idx, 0);
    ck_assert_uint_eq(words_of(0)[1], UNANSWERED);
}
END_TEST

START_TEST(memory)
{
    const struct vhost_user_region bad[] = {
        {GPA, LEN, USER + LEN, 0},
        {GPA + LEN, LEN, USER, 0},
        {GPA + LEN - 1, 2, USER + LEN, 0},
        {0, 0, 0, 0},
        {UINT64_MAX - 10, 20, USER + LEN, 0},
        {GPA + LEN, 20, UINT64_MAX - 10, 0},
        {GPA + LEN, 20, USER + LEN, UINT64_MAX - 10},
        {GPA + LEN, UINT64_MAX / 2 - 5, USER + LEN, 100},
    };
    struct vhost_user_region region = {.gpa = GPA, .size = LEN, .user_addr = USER};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_lt(pmem_queue_add_memory(&queue, &bad[i], mem_fd), 0);
    ck_assert_uint_eq(queue.nr_regions, 1);
    for (unsigned i = 1; i < PMEM_MAX_REGIONS; i++) {
        region.gpa += LEN;
        region.user_addr += LEN;
        ck_assert_int_eq(pmem_queue_add_memory(&queue, &region, mem_fd), 0);
    }
    region.gpa += LEN;
    region.user_addr += LEN;
    ck_assert_int_eq(pmem_queue_add_memory(&queue, &region, mem_fd), -ENOSPC);
    ck_assert_int_eq(pmem_queue_remove_memory(&queue, &region), -ENOENT);
    region.gpa -= LEN;
    region.user_addr -= LEN;
    ck_assert_int_eq(pmem_queue_remove_memory(&queue, &region), 0);
    ck_assert_int_eq(pmem_queue_add_memory(&queue, &region, mem_fd), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue of vhost-user-pmem");
    TCase *tcase = tcase_create("queue");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, requests);
    tcase_add_test(tcase, odd_shapes);
    tcase_add_loop_test(tcase, wrong_descriptors, 0, ARRAY_SIZE(wrong));
    tcase_add_loop_test(tcase, wrong_indexes, 0, 12);
    tcase_add_loop_test(tcase, changes_meanwhile, 0, 3);
    tcase_add_test(tcase, memory);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
