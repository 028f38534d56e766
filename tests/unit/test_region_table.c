// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_region_table.c - the region table against its header, against a model that is too simple to be wrong,
 * and against the rules of its own nodes. Built twice: with nodes as they are, and with the smallest ones.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/region_table.h"
#include "common/region_table_internal.h"
#include "common/util.h"
#include "tests/unit/region_table_check.h"
#include "tests/unit/unit.h"

#define TOP UINT64_MAX

static struct region_table *table;

/* ---- memory that runs out ---------------------------------------------------------------------------- */

/* Every node comes from aligned_alloc, which the linker sends here (-Wl,--wrap). */
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static int allocs_left = -1; /* before they fail; below 0: they do not */

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (allocs_left == 0)
        return NULL;
    if (allocs_left > 0)
        allocs_left--;
    return __real_aligned_alloc(alignment, size);
}

/* ---- helpers ----------------------------------------------------------------------------------------- */

static void setup(void)
{
    allocs_left = -1;
    unit_random_start();
    table = region_table_new();
    unit_expect(table != NULL);
}

static void teardown(void)
{
    region_table_free(table);
}

static int insert(uint64_t gpa, uint64_t len)
{
    struct region region = {.gpa = gpa, .len = len, .kind = REGION_MMIO};

    return region_table_insert(table, &region);
}

static void expect_region(const struct region *r, uint64_t gpa, uint64_t len)
{
    unit_expect(r != NULL);
    unit_expect_eq(r->gpa, gpa);
    unit_expect_eq(r->len, len);
}

/* ---- edges ------------------------------------------------------------------------------------------- */

START_TEST(empty_table)
{
    ck_assert_uint_eq(region_table_count(table), 0);
    ck_assert_ptr_null(region_table_find(table, 0));
    ck_assert_ptr_null(region_table_find(table, TOP));
    ck_assert_ptr_null(region_table_find_from(table, 0));
    ck_assert_ptr_null(region_table_find_from(table, TOP));
    ck_assert_int_eq(region_table_remove(table, 0, 1, REGION_MMIO), -ENOENT);
    region_table_check(table);
    region_table_free(NULL);
}
END_TEST

START_TEST(everything_of_a_region_is_kept)
{
    int token;
    struct region in = {.gpa = 0x1000, .len = 0x2000, .kind = REGION_SHMEM};
    in.shmem.file = (struct shmem_file *)&token;
    in.shmem.placement = 42;
    in.shmem.file_offset = 0x123456789abc;
    in.shmem.writable = true;
    ck_assert_int_eq(region_table_insert(table, &in), 0);
    in.len = 1; /* the table has a copy */

    const struct region *r = region_table_find(table, 0x2fff);
    expect_region(r, 0x1000, 0x2000);
    ck_assert_int_eq(r->kind, REGION_SHMEM);
    ck_assert_ptr_eq(r->shmem.file, &token);
    ck_assert_int_eq(r->shmem.placement, 42);
    ck_assert_uint_eq(r->shmem.file_offset, 0x123456789abc);
    ck_assert(r->shmem.writable);
}
END_TEST

START_TEST(empty_and_wrapping_are_refused)
{
    ck_assert_int_eq(insert(0, 0), -EINVAL);
    ck_assert_int_eq(insert(TOP, 0), -EINVAL);
    ck_assert_int_eq(insert(TOP, 2), -EINVAL);
    ck_assert_int_eq(insert(1, TOP), 0); /* up to the last byte: does not wrap */
    ck_assert_int_eq(region_table_remove(table, 1, TOP, REGION_MMIO), 0);
    ck_assert_int_eq(insert(2, TOP), -EINVAL);
    ck_assert_int_eq(insert(TOP - 0xfff, 0x1001), -EINVAL);
    ck_assert_int_eq(insert(TOP, TOP), -EINVAL);
    ck_assert_uint_eq(region_table_count(table), 0);
    region_table_check(table);
}
END_TEST

START_TEST(the_end_of_the_address_space)
{
    ck_assert_int_eq(insert(TOP - 0xfff, 0x1000), 0);
    ck_assert_int_eq(insert(TOP, 1), -EEXIST);
    ck_assert_int_eq(insert(TOP - 0x1000, 2), -EEXIST);
    ck_assert_int_eq(insert(0, TOP), -EEXIST);
    ck_assert_int_eq(insert(0, 1), 0); /* gpa + len of the region above is 0, too */
    ck_assert_ptr_null(region_table_find(table, TOP - 0x1000));
    expect_region(region_table_find(table, TOP - 0xfff), TOP - 0xfff, 0x1000);
    expect_region(region_table_find(table, TOP), TOP - 0xfff, 0x1000);
    expect_region(region_table_find_from(table, 1), TOP - 0xfff, 0x1000);
    expect_region(region_table_find_from(table, TOP), TOP - 0xfff, 0x1000);
    ck_assert_ptr_null(region_table_next(table, region_table_find(table, TOP)));
    expect_region(region_table_find(table, 0), 0, 1);
    region_table_check(table);
    ck_assert_int_eq(region_table_remove(table, TOP - 0xfff, 0x1000, REGION_MMIO), 0);
    ck_assert_ptr_null(region_table_find(table, TOP));
    ck_assert_int_eq(insert(TOP, 1), 0);
    expect_region(region_table_find(table, TOP), TOP, 1);
}
END_TEST

START_TEST(the_whole_address_space)
{
    ck_assert_int_eq(insert(0, TOP), 0);
    ck_assert_int_eq(insert(TOP, 1), 0);
    expect_region(region_table_find(table, 0), 0, TOP);
    expect_region(region_table_find(table, TOP - 1), 0, TOP);
    expect_region(region_table_find(table, TOP), TOP, 1);
    expect_region(region_table_next(table, region_table_find(table, 5)), TOP, 1);
    for (uint64_t gpa = 1; gpa != 0; gpa <<= 1) {
        ck_assert_int_eq(insert(gpa, 1), -EEXIST);
        ck_assert_int_eq(insert(gpa, TOP - gpa), -EEXIST);
    }
    region_table_check(table);
    ck_assert_int_eq(region_table_remove(table, 0, TOP, REGION_MMIO), 0);
    ck_assert_ptr_null(region_table_find(table, TOP - 1));
    expect_region(region_table_find_from(table, 0), TOP, 1);
}
END_TEST

START_TEST(adjacent_regions)
{
    ck_assert_int_eq(insert(0x2000, 0x1000), 0);
    ck_assert_int_eq(insert(0x1000, 0x1000), 0);
    ck_assert_int_eq(insert(0x3000, 0x1000), 0);
    expect_region(region_table_find(table, 0x1fff), 0x1000, 0x1000);
    expect_region(region_table_find(table, 0x2000), 0x2000, 0x1000);
    expect_region(region_table_find(table, 0x2fff), 0x2000, 0x1000);
    expect_region(region_table_find(table, 0x3000), 0x3000, 0x1000);
    ck_assert_ptr_null(region_table_find(table, 0xfff));
    ck_assert_ptr_null(region_table_find(table, 0x4000));
    ck_assert_ptr_null(region_table_find_from(table, 0x4000));
}
END_TEST

START_TEST(overlaps_are_refused)
{
    static const struct {
        uint64_t gpa, len;
    } bad[] = {{0x1000, 0x1000}, {0x1000, 1}, {0x1fff, 1},     {0x1800, 0x10},        {0xfff, 2},
               {0x1fff, 2},      {0, TOP},    {0xfff, 0x1002}, {0x1fff, TOP - 0x1fff}};

    ck_assert_int_eq(insert(0x1000, 0x1000), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(insert(bad[i].gpa, bad[i].len), -EEXIST);
    ck_assert_uint_eq(region_table_count(table), 1);
    expect_region(region_table_find(table, 0x1fff), 0x1000, 0x1000);
    ck_assert_int_eq(insert(0xfff, 1), 0);
    ck_assert_int_eq(insert(0x2000, 1), 0);
}
END_TEST

START_TEST(removal_is_exact)
{
    static const struct {
        uint64_t gpa, len;
    } bad[] = {{0x1000, 0xfff}, {0x1000, 0x1001}, {0xfff, 0x1000}, {0x1001, 0x1000}, {0x1001, 0xfff},
               {0x1000, 0},     {0x1000, TOP},    {0, 0x1000},     {0x2000, 0x1000}, {TOP, 1}};

    ck_assert_int_eq(insert(0x1000, 0x1000), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(region_table_remove(table, bad[i].gpa, bad[i].len, REGION_MMIO), -ENOENT);
    ck_assert_int_eq(region_table_remove(table, 0x1000, 0x1000, REGION_SHMEM), -ENOENT);
    ck_assert_uint_eq(region_table_count(table), 1);
    expect_region(region_table_find(table, 0x1fff), 0x1000, 0x1000);
    ck_assert_int_eq(region_table_remove(table, 0x1000, 0x1000, REGION_MMIO), 0);
    ck_assert_int_eq(region_table_remove(table, 0x1000, 0x1000, REGION_MMIO), -ENOENT);
    ck_assert_ptr_null(region_table_find(table, 0x1fff)); /* the last hit is forgotten */
}
END_TEST

/* A region that starts in one leaf and, after its neighbours are gone, reaches under the addresses of the
 * next. */
START_TEST(a_long_region_at_the_end_of_a_leaf)
{
    const uint64_t nr = 8 * REGION_TABLE_FANOUT, mid = nr / 2;

    for (uint64_t i = 0; i < nr; i++)
        unit_expect_eq(insert(i * 0x1000, 0x1000), 0);
    for (uint64_t i = mid - REGION_TABLE_FANOUT / 2; i < mid + REGION_TABLE_FANOUT / 2; i++) {
        for (uint64_t n = 0; n < 3; n++)
            unit_expect_eq(region_table_remove(table, (i + n) * 0x1000, 0x1000, REGION_MMIO), 0);
        unit_expect_eq(insert(i * 0x1000, 0x3000), 0);
        region_table_check(table);
        for (uint64_t n = 0; n < 3; n++) {
            expect_region(region_table_find(table, (nr - 1) * 0x1000), (nr - 1) * 0x1000, 0x1000);
            expect_region(region_table_find(table, (i + n) * 0x1000), i * 0x1000, 0x3000);
            unit_expect_eq(insert((i + n) * 0x1000, 1), -EEXIST);
            unit_expect_eq(insert((i + n) * 0x1000 + 0xfff, 1), -EEXIST);
        }
        unit_expect_eq(region_table_remove(table, i * 0x1000, 0x3000, REGION_MMIO), 0);
        for (uint64_t n = 0; n < 3; n++)
            unit_expect_eq(insert((i + n) * 0x1000, 0x1000), 0);
    }
}
END_TEST

/* Whatever was asked in between, next is about the region that it is given. */
START_TEST(next_of_an_older_result)
{
    for (uint64_t i = 0; i < 1000; i++)
        unit_expect_eq(insert(i * 16, 8), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        const struct region *r = region_table_find(table, i * 16 + 7);

        region_table_find_from(table, unit_random_below(16000));
        region_table_find(table, unit_random_below(16000));
        r = region_table_next(table, r);
        if (i == 999)
            unit_expect(r == NULL);
        else
            expect_region(r, (i + 1) * 16, 8);
    }
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
    const unsigned long nr = unit_count(20000);
    unsigned long failures = 0;
    struct region_table *none;

    for (allocs_left = 0; allocs_left < 1; allocs_left++) {
        none = region_table_new();
        unit_expect(none == NULL);
        unit_expect_eq(allocs_left, 0);
    }
    for (unsigned long i = 0; i < nr; i++) {
        uint64_t gpa = i % 2 ? i * 4096 : (nr * 2 - i) * 4096;
        int ret, fail_at = 0;

        do {
            allocs_left = fail_at++;
            ret = insert(gpa, 4096);
            unit_expect(ret == 0 || ret == -ENOMEM);
            unit_expect_eq(region_table_count(table), i + (ret == 0));
            if (ret < 0) {
                failures++;
                unit_expect(region_table_find(table, gpa) == NULL);
                if (failures % 16 == 0)
                    region_table_check(table);
            }
        } while (ret < 0);
        expect_region(region_table_find(table, gpa + 4095), gpa, 4096);
    }
    allocs_left = -1;
    if (nr > REGION_TABLE_FANOUT)
        unit_expect(failures > nr / REGION_TABLE_FANOUT / 2);
    region_table_check(table);
}
END_TEST

START_TEST(names_of_kinds)
{
    ck_assert_str_eq(region_kind_name(REGION_RAM_FOREIGN), "ram");
    ck_assert_str_eq(region_kind_name(REGION_RAM_GRANT), "grant");
    ck_assert_str_eq(region_kind_name(REGION_SHMEM), "shmem");
    ck_assert_str_eq(region_kind_name(REGION_WINDOW), "window");
    ck_assert_str_eq(region_kind_name(REGION_MMIO), "mmio");
    ck_assert_str_eq(region_kind_name((enum region_kind)99), "unknown");
}
END_TEST

/* ---- the model --------------------------------------------------------------------------------------- */

#define UNIVERSE 8192 /* addresses, from `base` on */
#define MAX_LEN  12

static struct {
    uint64_t base;
    uint32_t owner[UNIVERSE]; /* of each address: where its region starts, plus 1; 0: none */
    struct region by_start[UNIVERSE];
    size_t count;
} model;

static void expect_same(const struct region *r, uint64_t at)
{
    if (at >= UNIVERSE || model.owner[at] == 0) {
        unit_expect(r == NULL);
        return;
    }
    const struct region *want = &model.by_start[model.owner[at] - 1];
    expect_region(r, want->gpa, want->len);
    unit_expect_eq(r->kind, want->kind);
    unit_expect(r->mmio.opaque == want->mmio.opaque);
}

/* The first address from `at` on that is owned; UNIVERSE: none. */
static uint64_t model_find_from(uint64_t at)
{
    while (at < UNIVERSE && model.owner[at] == 0)
        at++;
    return at;
}

static void op_insert(void)
{
    uint64_t at = unit_random_below(UNIVERSE), len = unit_random_below(MAX_LEN);
    struct region region = {.gpa = model.base + at, .len = len};
    int want = 0;

    region.kind = (enum region_kind)unit_random_below(REGION_MMIO + 1);
    region.mmio.opaque = (void *)(uintptr_t)unit_random();
    if (len > UNIVERSE - at && model.base + UNIVERSE != 0)
        return; /* leaves the universe without wrapping: the model cannot tell */
    if (len == 0 || len > UNIVERSE - at)
        want = -EINVAL;
    for (uint64_t i = at; want == 0 && i < at + len; i++)
        if (model.owner[i])
            want = -EEXIST;

    bool may_fail = unit_random_below(8) == 0;
    allocs_left = may_fail ? (int)unit_random_below(3) : -1;
    int got = region_table_insert(table, &region);
    allocs_left = -1;
    if (want == 0 && may_fail && got == -ENOMEM)
        return;
    unit_expect_eq(got, want);
    if (got < 0)
        return;
    for (uint64_t i = at; i < at + len; i++)
        model.owner[i] = (uint32_t)at + 1;
    model.by_start[at] = region;
    model.count++;
}

static void op_remove(void)
{
    uint64_t at = model_find_from(unit_random_below(UNIVERSE));
    struct region region = {.gpa = model.base + at, .len = unit_random_below(MAX_LEN), .kind = REGION_MMIO};
    int want = 0;

    if (at < UNIVERSE)
        region = model.by_start[model.owner[at] - 1];
    switch (unit_random_below(16)) { /* mostly right */
    case 0:
        region.gpa += unit_random_below(3) - 1;
        break;
    case 1:
        region.len += unit_random_below(3) - 1;
        break;
    case 2:
        region.kind = (enum region_kind)unit_random_below(REGION_MMIO + 1);
        break;
    }
    uint64_t start = region.gpa - model.base;
    const struct region *have = &model.by_start[start % UNIVERSE];
    if (start >= UNIVERSE || model.owner[start] != start + 1 || have->len != region.len ||
        have->kind != region.kind)
        want = -ENOENT;
    unit_expect_eq(region_table_remove(table, region.gpa, region.len, region.kind), want);
    if (want < 0)
        return;
    memset(&model.owner[start], 0, region.len * sizeof(model.owner[0]));
    model.count--;
}

static void op_look(void)
{
    uint64_t at = unit_random_below(UNIVERSE);
    const struct region *r;

    expect_same(region_table_find(table, model.base + at), at);
    at = unit_random_below(4) ? at : unit_random_below(UNIVERSE);
    r = region_table_find_from(table, model.base + at);
    at = model_find_from(at);
    expect_same(r, at);
    for (unsigned i = 0; r && i < 3; i++) {
        if (unit_random_below(4) == 0)
            region_table_find(table, model.base + unit_random_below(UNIVERSE));
        at = model_find_from(model.by_start[model.owner[at] - 1].gpa - model.base + r->len);
        r = region_table_next(table, r);
        expect_same(r, at);
    }
}

static void walk_check(void)
{
    const struct region *r = region_table_find_from(table, 0);
    size_t n = 0;

    for (uint64_t at = model_find_from(0); at < UNIVERSE; n++) {
        expect_same(r, at);
        at = model_find_from(at + r->len);
        r = region_table_next(table, r);
    }
    unit_expect(r == NULL);
    unit_expect_eq(n, model.count);
    unit_expect_eq(region_table_count(table), model.count);
    region_table_check(table);
}

static const uint64_t model_bases[] = {0, GIB(4) - UNIVERSE / 2, -(uint64_t)UNIVERSE};

/* In turns there are more insertions and more removals, so that the tree grows and goes down to nothing. */
START_TEST(random_operations)
{
    const unsigned long nr = unit_count(700000);
    size_t most = 0, least = SIZE_MAX;
    bool filling = true;

    memset(&model, 0, sizeof(model));
    model.base = model_bases[_i];
    for (unsigned long i = 0; i < nr; i++) {
        uint64_t dice = unit_random_below(8);

        if (i % 20000 == 0)
            filling = i / 20000 % 2 == 0;
        if (dice < 3)
            op_look();
        else if ((dice < 7) == filling)
            op_insert();
        else
            op_remove();
        if (i % 512 == 0)
            walk_check();
        most = MAX(most, model.count);
        if (i > 20000)
            least = MIN(least, model.count);
    }
    walk_check();
    if (nr > 100000) {
        unit_expect(most > 1000);
        unit_expect(least < 100);
    }
}
END_TEST

/* ---- a million --------------------------------------------------------------------------------------- */

static void shuffle(uint32_t *array, size_t nr)
{
    for (size_t i = nr; i > 1; i--) {
        size_t j = unit_random_below(i);
        uint32_t tmp = array[i - 1];

        array[i - 1] = array[j];
        array[j] = tmp;
    }
}

/* Region n of the million: two pages, of which it uses a little more than one. */
#define MILLION_GPA(n) ((uint64_t)(n)*0x2000)
#define MILLION_LEN(n) ((uint64_t)0x1001 + (n) % 0x1000)

START_TEST(a_million_regions)
{
    const size_t nr = unit_count(1000000);
    uint32_t *order = malloc(nr * sizeof(*order));
    const struct region *r;

    unit_expect(order != NULL);
    for (size_t i = 0; i < nr; i++)
        order[i] = (uint32_t)i;
    shuffle(order, nr);
    for (size_t i = 0; i < nr; i++)
        unit_expect_eq(insert(MILLION_GPA(order[i]), MILLION_LEN(order[i])), 0);
    unit_expect_eq(region_table_count(table), nr);
    region_table_check(table);

    shuffle(order, nr);
    for (size_t i = 0; i < nr; i++) {
        uint64_t n = order[i], last = MILLION_GPA(n) + MILLION_LEN(n) - 1;

        expect_region(region_table_find(table, last), MILLION_GPA(n), MILLION_LEN(n));
        if (MILLION_LEN(n) != 0x2000)
            unit_expect(region_table_find(table, last + 1) == NULL);
        unit_expect_eq(insert(last, 1), -EEXIST);
    }
    r = region_table_find_from(table, 0);
    for (size_t n = 0; n < nr; n++, r = region_table_next(table, r))
        expect_region(r, MILLION_GPA(n), MILLION_LEN(n));
    unit_expect(r == NULL);

    shuffle(order, nr);
    for (size_t i = 0; i < nr; i++) {
        uint64_t n = order[i];

        unit_expect_eq(region_table_remove(table, MILLION_GPA(n), MILLION_LEN(n), REGION_MMIO), 0);
        unit_expect(region_table_find(table, MILLION_GPA(n)) == NULL);
        if (i == nr / 2)
            region_table_check(table);
    }
    unit_expect_eq(region_table_count(table), 0);
    unit_expect_eq(table->height, 0);
    region_table_check(table);
    free(order);
}
END_TEST

/* Memory of a table that is filled in order, from below and from above. */
START_TEST(insertion_in_order_wastes_little)
{
    const uint64_t nr = unit_count(100000);

    for (int up = 0; up < 2; up++) {
        size_t leaves = 0;

        for (uint64_t i = 0; i < nr; i++)
            unit_expect_eq(insert((up ? i : nr - 1 - i) * 4096, 4096), 0);
        region_table_check(table);
        struct region_node *node = table->root;
        for (unsigned level = table->height; level > 0; level--)
            node = region_inner_of(node)->children[0];
        for (struct region_leaf *leaf = region_leaf_of(node); leaf; leaf = leaf->next)
            leaves++;
        if (nr > 100 * REGION_TABLE_FANOUT)
            unit_expect(leaves * REGION_TABLE_FANOUT < (up ? nr * 3 / 2 : nr * 9 / 4));
        for (uint64_t i = 0; i < nr; i++)
            unit_expect_eq(region_table_remove(table, i * 4096, 4096, REGION_MMIO), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region_table");
    TCase *edges = tcase_create("edges"), *many = tcase_create("many");

    tcase_add_checked_fixture(edges, setup, teardown);
    tcase_add_test(edges, empty_table);
    tcase_add_test(edges, everything_of_a_region_is_kept);
    tcase_add_test(edges, empty_and_wrapping_are_refused);
    tcase_add_test(edges, the_end_of_the_address_space);
    tcase_add_test(edges, the_whole_address_space);
    tcase_add_test(edges, adjacent_regions);
    tcase_add_test(edges, overlaps_are_refused);
    tcase_add_test(edges, removal_is_exact);
    tcase_add_test(edges, a_long_region_at_the_end_of_a_leaf);
    tcase_add_test(edges, next_of_an_older_result);
    tcase_add_test(edges, names_of_kinds);
    suite_add_tcase(suite, edges);

    tcase_add_checked_fixture(many, setup, teardown);
    tcase_set_timeout(many, 120);
    tcase_add_test(many, without_memory_nothing_changes);
    tcase_add_loop_test(many, random_operations, 0, ARRAY_SIZE(model_bases));
    tcase_add_test(many, a_million_regions);
    tcase_add_test(many, insertion_in_order_wastes_little);
    suite_add_tcase(suite, many);
    return unit_run(suite);
}
