// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_ioreq_access.c - requests of Xen become the accesses that they are (xen/ioreq_access.h): chosen ones,
 * and random ones against a model that moves one unit at a time, as the instruction does.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "dm/hypervisor.h"
#include "tests/unit/unit.h"
#include "xen/ioreq_access.h"

/* The device: addresses [DEVICE, DEVICE + DEVICE_LEN) are memory of it, others nobody's. */
#define DEVICE     0xf0000000u
#define DEVICE_LEN 0x4000u
/* The guest: memory at [MEMORY, MEMORY + MEMORY_LEN) but for one page, mapped in pieces that end anywhere. */
#define MEMORY     0x10000u
#define MEMORY_LEN 0x8000u
#define HOLE       (MEMORY + 0x3000u)
#define HOLE_END   (HOLE + 0x1000u)

struct world {
    uint8_t device[DEVICE_LEN], memory[MEMORY_LEN];
    uint64_t ports_written; /* a hash of what was written to ports, in order */
    uint64_t ports_read;    /* how many times */
};

static struct world real, model;
static unsigned nr_accesses;
static struct guest_access last;

static bool in_memory(uint64_t gpa)
{
    return gpa >= MEMORY && gpa < MEMORY + MEMORY_LEN && !(gpa >= HOLE && gpa < HOLE_END);
}

static void world_access(struct world *world, enum access_space space, bool write, uint64_t addr,
                         uint8_t *data, size_t len)
{
    if (space != ACCESS_MMIO) {
        if (write) {
            for (size_t i = 0; i < len; i++)
                world->ports_written = (world->ports_written ^ data[i]) * 0x100000001b3u;
        } else {
            memset(data, (int)(++world->ports_read & 0xff), len);
        }
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (addr + i < DEVICE || addr + i >= DEVICE + DEVICE_LEN)
            continue;
        if (write)
            world->device[addr + i - DEVICE] = data[i];
        else
            data[i] = world->device[addr + i - DEVICE];
    }
}

static void on_access(void *ctx, struct guest_access *access)
{
    uint8_t *bytes = access->data;

    nr_accesses++;
    last = *access;
    unit_expect(access->len > 0 && access->len % access->size == 0 && access->len <= IOREQ_BOUNCE_SIZE);
    if (!access->write)
        for (size_t i = 0; i < access->len; i++)
            unit_expect_eq(bytes[i], 0xff);
    world_access(ctx, access->space, access->write, access->addr, access->data, access->len);
}

/* A page of a back-end among those of the guest. */
static bool in_window(uint64_t gpa)
{
    return gpa >= MEMORY + 0x1000 && gpa < MEMORY + 0x2000;
}

static size_t on_window_copy(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    uint8_t *at = ((struct world *)ctx)->memory + (gpa - MEMORY);

    if (!in_window(gpa))
        return 0;
    unit_expect(in_window(gpa + len - 1));
    if (to_guest)
        memcpy(at, buf, len);
    else
        memcpy(buf, at, len);
    return len;
}

static void *on_map(void *ctx, uint64_t gpa, size_t *len)
{
    struct world *world = ctx;
    size_t n = 0, most = 1 + unit_random_below(5000);

    unit_expect(!in_window(gpa));
    if (!in_memory(gpa))
        return NULL;
    while (n < *len && n < most && in_memory(gpa + n))
        n++;
    *len = n;
    return world->memory + (gpa - MEMORY);
}

static const struct ioreq_target target = {
    .access = on_access,
    .access_ctx = &real,
    .map = on_map,
    .map_ctx = &real,
    .window_copy = on_window_copy,
    .window_ctx = &real,
};

static void worlds_start(void)
{
    unit_random_start();
    for (size_t i = 0; i < sizeof(real); i++)
        ((uint8_t *)&real)[i] = (uint8_t)unit_random();
    model = real;
    nr_accesses = 0;
}

static struct ioreq request(uint8_t type, bool write, uint64_t addr, uint32_t size, uint64_t data)
{
    return (struct ioreq){
        .type = type,
        .dir = write ? IOREQ_WRITE : IOREQ_READ,
        .addr = addr,
        .size = size,
        .count = 1,
        .data = data,
        .state = STATE_IOREQ_INPROCESS,
    };
}

/* The request as its instruction works: unit after unit. */
static uint64_t model_perform(const struct ioreq *req)
{
    enum access_space space = req->type == IOREQ_TYPE_COPY  ? ACCESS_MMIO
                              : req->type == IOREQ_TYPE_PIO ? ACCESS_PIO
                                                            : ACCESS_PCI_CONFIG;
    uint64_t addr = req->addr, gpa = req->data, result = req->data, step = req->size;

    if (req->df)
        step = -step;
    for (uint32_t n = 0; n < req->count; n++) {
        uint8_t unit[8];

        memset(unit, 0xff, sizeof(unit));
        if (req->dir == IOREQ_WRITE) {
            if (!req->data_is_ptr)
                memcpy(unit, &req->data, sizeof(unit));
            for (uint32_t i = 0; req->data_is_ptr && i < req->size; i++)
                if (in_memory(gpa + i))
                    unit[i] = model.memory[gpa + i - MEMORY];
        }
        world_access(&model, space, req->dir == IOREQ_WRITE, addr, unit, req->size);
        if (req->dir == IOREQ_READ) {
            if (!req->data_is_ptr) {
                result = 0;
                memcpy(&result, unit, req->size);
            }
            for (uint32_t i = 0; req->data_is_ptr && i < req->size; i++)
                if (in_memory(gpa + i))
                    model.memory[gpa + i - MEMORY] = unit[i];
        }
        if (space == ACCESS_MMIO)
            addr += step;
        gpa += step;
    }
    return result;
}

START_TEST(test_single)
{
    struct ioreq req;

    worlds_start();
    req = request(IOREQ_TYPE_COPY, true, DEVICE + 8, 4, 0x1122334455667788);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_int_eq(memcmp(real.device + 8, "\x88\x77\x66\x55", 4), 0);
    ck_assert_uint_eq(real.device[12], model.device[12]);
    ck_assert_uint_eq(last.size, 4);
    ck_assert_uint_eq(last.space, ACCESS_MMIO);

    req = request(IOREQ_TYPE_COPY, false, DEVICE + 9, 2, 0xdead);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(req.data, 0x6677);

    /* nobody there */
    req = request(IOREQ_TYPE_COPY, false, DEVICE - 0x1000, 8, 0);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(req.data, UINT64_MAX);
    req = request(IOREQ_TYPE_COPY, false, DEVICE - 0x1000, 1, 0);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(req.data, 0xff);

    req = request(IOREQ_TYPE_PIO, false, 0xcf8, 1, 0);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(last.space, ACCESS_PIO);
    ck_assert_uint_eq(last.addr, 0xcf8);
    req = request(IOREQ_TYPE_PCI_CONFIG, true, 0x8000000010, 4, 1);
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(last.space, ACCESS_PCI_CONFIG);
    ck_assert_uint_eq(last.addr, 0x8000000010);
    ck_assert(last.write);
}
END_TEST

/* rep movsb of a page is one access, not 4096; more is cut into pieces. */
START_TEST(test_block)
{
    struct ioreq req;

    worlds_start();
    req = request(IOREQ_TYPE_COPY, true, DEVICE + 3, 1, MEMORY + 5);
    req.count = 4096;
    req.data_is_ptr = 1;
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(nr_accesses, 1);
    ck_assert_uint_eq(last.len, 4096);
    ck_assert_uint_eq(last.size, 1);
    ck_assert_uint_eq(last.addr, DEVICE + 3);
    ck_assert_mem_eq(real.device + 3, real.memory + 5, 4096);
    ck_assert_uint_eq(req.data, MEMORY + 5);

    req.size = 4;
    req.count = 2048;
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(nr_accesses, 3);
    ck_assert_mem_eq(real.device + 3, real.memory + 5, 8192);
}
END_TEST

/* Downwards each unit comes by itself, in the instruction's order. */
START_TEST(test_down)
{
    struct ioreq req;

    worlds_start();
    req = request(IOREQ_TYPE_COPY, true, DEVICE + 12, 4, MEMORY + 0x1002);
    req.count = 4;
    req.data_is_ptr = 1;
    req.df = 1;
    ck_assert(ioreq_perform(&req, &target));
    ck_assert_uint_eq(nr_accesses, 4);
    ck_assert_uint_eq(last.addr, DEVICE);
    ck_assert_uint_eq(last.len, 4);
    ck_assert_mem_eq(real.device, real.memory + 0x1002 - 12, 16);
}
END_TEST

START_TEST(test_malformed)
{
    static const uint32_t sizes[] = {0, 3, 5, 6, 7, 9, 16, 4096, UINT32_MAX};
    struct ioreq req;

    worlds_start();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        req = request(IOREQ_TYPE_COPY, false, DEVICE, sizes[i], 0);
        ck_assert(!ioreq_perform(&req, &target));
        ck_assert_uint_eq(req.data, UINT64_MAX);
        req = request(IOREQ_TYPE_PIO, true, 0x70, sizes[i], 7);
        ck_assert(!ioreq_perform(&req, &target));
    }
    req = request(IOREQ_TYPE_COPY, true, DEVICE, 8, MEMORY);
    req.data_is_ptr = 1;
    req.count = UINT32_MAX;
    ck_assert(!ioreq_perform(&req, &target));
    req = request(IOREQ_TYPE_COPY, true, DEVICE, 8, MEMORY);
    req.count = IOREQ_COUNT_MAX + 1;
    ck_assert(!ioreq_perform(&req, &target));
    ck_assert_uint_eq(nr_accesses, 0);
    ck_assert_mem_eq(&real, &model, sizeof(real));
}
END_TEST

START_TEST(test_random)
{
    static const uint8_t types[] = {IOREQ_TYPE_PIO, IOREQ_TYPE_COPY, IOREQ_TYPE_COPY, IOREQ_TYPE_PCI_CONFIG};

    worlds_start();
    for (unsigned long n = unit_count(200000); n > 0; n--) {
        struct ioreq req = request(types[unit_random_below(4)], unit_random_below(2),
                                   DEVICE - 64 + unit_random_below(DEVICE_LEN + 128),
                                   1u << unit_random_below(4), unit_random());
        uint64_t expected;

        req.count = (uint32_t)(unit_random_below(50) ? unit_random_below(20)
                                                     : unit_random_below(IOREQ_COUNT_MAX + 1));
        req.df = unit_random_below(4) == 0;
        req.data_is_ptr = unit_random_below(2);
        if (req.data_is_ptr)
            req.data = MEMORY - 64 + unit_random_below(MEMORY_LEN + 128);
        if (req.type != IOREQ_TYPE_COPY)
            req.addr = unit_random_below(0x10000);
        if (!req.count && !req.data_is_ptr)
            req.count = 1;
        expected = model_perform(&req);
        unit_expect(ioreq_perform(&req, &target));
        unit_expect_eq(req.data, expected);
        unit_expect_eq(real.ports_written, model.ports_written);
        unit_expect_eq(real.ports_read, model.ports_read);
        if (n % 16 == 0)
            unit_expect(memcmp(&real, &model, sizeof(real)) == 0);
    }
    ck_assert_mem_eq(&real, &model, sizeof(real));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ioreq_access");
    TCase *tcase = tcase_create("requests");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_single);
    tcase_add_test(tcase, test_block);
    tcase_add_test(tcase, test_down);
    tcase_add_test(tcase, test_malformed);
    tcase_add_test(tcase, test_random);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
