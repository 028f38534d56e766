// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_guest_memory.c - dm/guest.c: memory that a guest has got since it was made is found where it is used,
 * and what is not memory stays so.
 */
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <string.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "dm/guest.h"
#include "dm/local.h"
#include "tests/unit/unit.h"

#define HIGH  LOCAL_RAM_HIGH_GPA
#define KNOWN MIB(4)  /* of high memory, that is there from the start */
#define LATE  MIB(32) /* behind it */
#define PAGE  GUEST_PAGE_SIZE

static struct ev_loop *loop;
static struct hypervisor *hv;
static struct hypervisor_ops ops;
static const struct hypervisor_ops *real;
static struct guest guest;
static unsigned nr_looks;

static int find_ram(struct hypervisor *its, uint64_t gpa, uint64_t from, uint64_t to, struct region *region)
{
    const struct region *r;

    nr_looks++;
    unit_expect(from <= gpa && gpa < to && to - from <= MIB(2));
    /* Nothing of what it may find is in the table. */
    r = region_table_find_from(guest.regions, from);
    unit_expect(r == NULL || r->gpa >= to);
    return real->find_ram(its, gpa, from, to, region);
}

static void setup(void)
{
    static const struct local_callbacks callbacks;
    const struct local_options options = {
        .ram_low = MIB(2), .ram_high = KNOWN + LATE, .ram_late = LATE, .ram_fd = -1};

    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_int_eq(local_new(&hv, &options, &callbacks, NULL), 0);
    ck_assert_int_eq(local_pages_set(hv, HIGH + KNOWN, LATE / PAGE, false), 0);
    real = hv->ops;
    ops = *real;
    ops.find_ram = find_ram;
    hv->ops = &ops;
    ck_assert_int_eq(guest_init(&guest, loop, hv, NULL), 0);
    nr_looks = 0;
}

static void teardown(void)
{
    guest_fini(&guest);
    hv->ops->detach(hv);
    ev_loop_destroy(loop);
}

/* As after the next event. */
static void later(double seconds)
{
    ev_sleep(seconds);
    ev_now_update(loop);
}

static void expect_region(uint64_t gpa, uint64_t first, uint64_t len)
{
    const struct region *r = region_table_find(guest.regions, gpa);

    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->gpa, first);
    ck_assert_uint_eq(r->len, len);
    ck_assert_int_eq(r->kind, REGION_RAM_FOREIGN);
}

START_TEST(found_when_used)
{
    uint64_t gpa = HIGH + KNOWN;
    char text[] = "new", got[sizeof(text)];
    size_t n = region_table_count(guest.regions);

    ck_assert_int_eq(guest_memory_read(&guest, gpa, got, sizeof(got)), -EFAULT);
    ck_assert_int_eq(local_pages_set(hv, gpa, LATE / PAGE, true), 0);
    later(0.02);
    ck_assert(guest_memory_covers(&guest, gpa - PAGE, LATE + PAGE, true));
    ck_assert_int_eq(guest_memory_write(&guest, gpa + LATE - 2, text, 2), 0);
    ck_assert_int_eq(guest_memory_write(&guest, gpa + MIB(3), text, sizeof(text)), 0);
    ck_assert_int_eq(guest_memory_read(&guest, gpa + MIB(3), got, sizeof(got)), 0);
    ck_assert_str_eq(got, text);
    /* It is one region with what was there, and is not looked for again. */
    ck_assert_uint_eq(region_table_count(guest.regions), n);
    expect_region(gpa, HIGH, KNOWN + LATE);
    ck_assert_uint_eq(nr_looks, 1 + LATE / MIB(2));
}
END_TEST

/* Pages alone, from behind, and what closes the gap between two. */
START_TEST(joined)
{
    uint64_t gpa = HIGH + KNOWN + MIB(8);
    size_t n = region_table_count(guest.regions);

    ck_assert_int_eq(local_pages_set(hv, gpa, 1, true), 0);
    ck_assert_int_eq(local_pages_set(hv, gpa + 2 * PAGE, 3, true), 0);
    ck_assert(guest_memory_covers(&guest, gpa + 10, 10, true));
    expect_region(gpa, gpa, PAGE);
    ck_assert(guest_memory_covers(&guest, gpa + 4 * PAGE, 10, true));
    expect_region(gpa + 3 * PAGE, gpa + 2 * PAGE, 3 * PAGE);
    ck_assert_uint_eq(region_table_count(guest.regions), n + 2);
    ck_assert(!guest_memory_covers(&guest, gpa + PAGE, 1, true));
    ck_assert_int_eq(local_pages_set(hv, gpa + PAGE, 1, true), 0);
    later(0.02);
    ck_assert(guest_memory_covers(&guest, gpa, 5 * PAGE, true));
    expect_region(gpa, gpa, 5 * PAGE);
    ck_assert_uint_eq(region_table_count(guest.regions), n + 1);
    ck_assert_uint_eq(guest.nr_found, 1);
}
END_TEST

/* Registers are there already: what is around them is found, they stay. */
START_TEST(beside_registers)
{
    uint64_t gpa = HIGH + KNOWN + MIB(8);
    size_t len = 3 * PAGE;

    ck_assert_int_eq(guest_mmio_add(&guest, gpa + PAGE, PAGE, NULL, NULL), 0);
    ck_assert_int_eq(guest_mmio_add(&guest, gpa + 4 * PAGE, PAGE, NULL, NULL), 0);
    ck_assert_int_eq(local_pages_set(hv, gpa, 8, true), 0);
    ck_assert_ptr_nonnull(guest_memory_at(&guest, gpa + 3 * PAGE, &len));
    ck_assert_uint_eq(len, PAGE);
    expect_region(gpa + 2 * PAGE, gpa + 2 * PAGE, 2 * PAGE);
    ck_assert(guest_memory_covers(&guest, gpa, PAGE, true));
    ck_assert(!guest_memory_covers(&guest, gpa, 2 * PAGE, true));
    ck_assert(!guest_memory_covers(&guest, gpa + 2 * PAGE, 3 * PAGE, true));
    guest_mmio_remove(&guest, gpa + PAGE, PAGE);
    guest_mmio_remove(&guest, gpa + 4 * PAGE, PAGE);
}
END_TEST

/* A driver that means no memory does not keep us busy. */
START_TEST(in_vain_not_often)
{
    double end;
    unsigned long nr_tries = 0;
    char byte;

    later(0.02);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(guest_memory_read(&guest, GIB(100) + (uint64_t)i * PAGE, &byte, 1), -EFAULT);
    ck_assert_uint_eq(nr_looks, 1);
    for (end = ev_time() + 0.2; ev_time() < end; nr_tries++) {
        ev_now_update(loop);
        ck_assert_int_eq(guest_memory_read(&guest, GIB(100), &byte, 1), -EFAULT);
    }
    ck_assert_uint_gt(nr_tries, nr_looks);
    ck_assert_uint_le(nr_looks, 2 + 20);
    ck_assert_int_eq(guest_memory_read(&guest, UINT64_MAX, &byte, 1), -EFAULT);
    ck_assert_int_eq(guest_memory_read(&guest, UINT64_MAX - MIB(1), &byte, 1), -EFAULT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guest memory");
    TCase *tcase = tcase_create("found later");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, found_when_used);
    tcase_add_test(tcase, joined);
    tcase_add_test(tcase, beside_registers);
    tcase_add_test(tcase, in_vain_not_often);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
