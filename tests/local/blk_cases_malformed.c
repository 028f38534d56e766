// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_cases_malformed.c - drivers that break the rules of the rings, each in its own way: the device says
 * that it needs a reset and tells its driver, nothing else in the guest is harmed, and a reset makes it as
 * good as new.
 */
#include "tests/local/blk_cases.h"

#include <string.h>

#include <linux/virtio_pci.h>

#define TABLE_ENTRIES 1100u
#define NEEDS_RESET   VIRTIO_CONFIG_S_NEEDS_RESET
#define IN_THE_HOLE   MIB(2048)

/* What a malformed chain is made from: memory of the driver's, with a request that is all right in itself. */
struct workshop {
    struct driver_queue *q;
    uint64_t header, data, status; /* gpa */
    uint64_t table;                /* TABLE_ENTRIES descriptors */
};

/* The i-th descriptor of the ring that no chain of the driver uses; if there are so few, any. */
static uint16_t unused(const struct workshop *w, unsigned i)
{
    return w->q->nr_free > i ? w->q->free_list[w->q->nr_free - 1 - i] : (uint16_t)i;
}

/* Writes the i-th unused descriptor; what comes next is counted likewise. */
static void direct(struct workshop *w, unsigned i, uint64_t gpa, uint32_t len, uint16_t flags, unsigned next)
{
    driver_queue_raw_desc(w->q, w->q->desc, unused(w, i), gpa, len, flags, unused(w, next));
}

static void available(struct workshop *w, unsigned i)
{
    driver_queue_raw_avail(w->q, unused(w, i));
}

static void entry(struct workshop *w, uint16_t index, uint64_t gpa, uint32_t len, uint16_t flags,
                  uint16_t next)
{
    driver_queue_raw_desc(w->q, w->table, index, gpa, len, flags, next);
}

/* A read of one sector with the given buffer. */
static void read_into(struct workshop *w, uint64_t gpa, uint32_t len)
{
    direct(w, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    direct(w, 1, gpa, len, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
    direct(w, 2, w->status, 1, VRING_DESC_F_WRITE, 0);
    available(w, 0);
}

static void write_from(struct workshop *w, uint64_t gpa, uint32_t len)
{
    direct(w, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    direct(w, 1, gpa, len, VRING_DESC_F_NEXT, 2);
    direct(w, 2, w->status, 1, VRING_DESC_F_WRITE, 0);
    available(w, 0);
}

/* One descriptor that names the table. */
static void table_of(struct workshop *w, uint64_t gpa, uint32_t len, uint16_t more_flags)
{
    direct(w, 0, gpa, len, VRING_DESC_F_INDIRECT | more_flags, 1);
    direct(w, 1, w->status, 1, VRING_DESC_F_WRITE, 0);
    available(w, 0);
}

/* A good read in the table. */
static void table_fill(struct workshop *w)
{
    entry(w, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    entry(w, 1, w->data, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
    entry(w, 2, w->status, 1, VRING_DESC_F_WRITE, 0);
}

static void loop_of_two(struct workshop *w)
{
    direct(w, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    direct(w, 1, w->header, 16, VRING_DESC_F_NEXT, 0);
    available(w, 0);
}

static void loop_of_one(struct workshop *w)
{
    direct(w, 5, w->data, 0, VRING_DESC_F_NEXT, 5);
    available(w, 5);
}

static void next_out_of_range(struct workshop *w)
{
    driver_queue_raw_desc(w->q, w->q->desc, unused(w, 0), w->header, 16, VRING_DESC_F_NEXT, w->q->size);
    available(w, 0);
}

static void head_out_of_range(struct workshop *w)
{
    driver_queue_raw_avail(w->q, w->q->size);
}

static void head_far_out_of_range(struct workshop *w)
{
    driver_queue_raw_avail(w->q, 0xffff);
}

static void same_head_twice(struct workshop *w)
{
    read_into(w, w->data, 512);
    available(w, 0);
}

static void avail_jumps(struct workshop *w)
{
    driver_queue_raw_avail_idx(w->q, (uint16_t)(w->q->avail_idx + w->q->size + 1));
}

static void avail_goes_back(struct workshop *w)
{
    driver_queue_raw_avail_idx(w->q, (uint16_t)(w->q->avail_idx - 1));
}

static void readable_after_writable(struct workshop *w)
{
    direct(w, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    direct(w, 1, w->data, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
    direct(w, 2, w->data, 512, VRING_DESC_F_NEXT, 3);
    direct(w, 3, w->status, 1, VRING_DESC_F_WRITE, 0);
    available(w, 0);
}

static void buffer_in_hole(struct workshop *w)
{
    read_into(w, IN_THE_HOLE, 512);
}

static void buffer_to_write_from_hole(struct workshop *w)
{
    write_from(w, IN_THE_HOLE, 512);
}

static void buffer_past_ram(struct workshop *w)
{
    read_into(w, w->q->os->ram_low - 256, 512);
}

static void buffer_past_all(struct workshop *w)
{
    read_into(w, LOCAL_RAM_HIGH_GPA + w->q->os->ram_high - 1, 512);
}

static void buffer_of_4g(struct workshop *w)
{
    write_from(w, w->data, UINT32_MAX);
}

static void buffer_wraps(struct workshop *w)
{
    read_into(w, UINT64_MAX - 100, 512);
}

static void buffer_wraps_to_zero(struct workshop *w)
{
    write_from(w, UINT64_MAX, 2);
}

static void buffer_in_registers(struct workshop *w)
{
    write_from(w, w->q->notify_gpa, 16);
}

static void table_in_table(struct workshop *w)
{
    table_fill(w);
    entry(w, 1, w->table, 48, VRING_DESC_F_INDIRECT, 0);
    table_of(w, w->table, 48, 0);
}

static void table_of_odd_length(struct workshop *w)
{
    table_fill(w);
    table_of(w, w->table, 47, 0);
}

static void table_of_no_length(struct workshop *w)
{
    table_of(w, w->table, 0, 0);
}

static void table_with_next(struct workshop *w)
{
    table_fill(w);
    table_of(w, w->table, 48, VRING_DESC_F_NEXT);
}

static void table_in_hole(struct workshop *w)
{
    table_of(w, IN_THE_HOLE, 48, 0);
}

static void table_past_ram(struct workshop *w)
{
    driver_queue_raw_desc(w->q, w->q->os->ram_low - 16, 0, w->header, 16, VRING_DESC_F_NEXT, 1);
    table_of(w, w->q->os->ram_low - 16, 48, 0);
}

static void table_wraps(struct workshop *w)
{
    table_of(w, UINT64_MAX - 15, 48, 0);
}

static void table_of_4g(struct workshop *w)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        entry(w, (uint16_t)i, w->header, 16, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
    table_of(w, w->table, UINT32_MAX - 15, 0);
}

static void table_next_out_of_range(struct workshop *w)
{
    table_fill(w);
    entry(w, 1, w->data, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
    table_of(w, w->table, 48, 0);
}

static void table_loops(struct workshop *w)
{
    table_fill(w);
    entry(w, 1, w->data, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    table_of(w, w->table, 48, 0);
}

static void table_far_too_long(struct workshop *w)
{
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        entry(w, (uint16_t)i, w->header, 16, i + 1 < TABLE_ENTRIES ? VRING_DESC_F_NEXT : 0,
              (uint16_t)(i + 1));
    table_of(w, w->table, TABLE_ENTRIES * 16, 0);
}

/* Each buffer is all right, together they are more than a back-end can be given. */
static void more_than_the_pool(struct workshop *w)
{
    for (unsigned i = 0; i < 1000; i++)
        entry(w, (uint16_t)i, GUEST_PAGE_SIZE, (uint32_t)MIB(60), i < 999 ? VRING_DESC_F_NEXT : 0,
              (uint16_t)(i + 1));
    table_of(w, w->table, 1000 * 16, 0);
}

static const struct {
    const char *name;
    void (*make)(struct workshop *w);
} malformed[] = {
    {"a loop of two", loop_of_two},
    {"a loop of one empty descriptor", loop_of_one},
    {"next out of range", next_out_of_range},
    {"head out of range", head_out_of_range},
    {"head far out of range", head_far_out_of_range},
    {"the same head twice", same_head_twice},
    {"the avail index jumps", avail_jumps},
    {"the avail index goes back", avail_goes_back},
    {"readable after writable", readable_after_writable},
    {"buffer in the hole", buffer_in_hole},
    {"buffer to write from in the hole", buffer_to_write_from_hole},
    {"buffer past the end of low RAM", buffer_past_ram},
    {"buffer past the end of all RAM", buffer_past_all},
    {"buffer of 4 GiB", buffer_of_4g},
    {"buffer that wraps", buffer_wraps},
    {"buffer that wraps to 0", buffer_wraps_to_zero},
    {"buffer in registers", buffer_in_registers},
    {"table in table", table_in_table},
    {"table of odd length", table_of_odd_length},
    {"table of no length", table_of_no_length},
    {"table with next", table_with_next},
    {"table in the hole", table_in_hole},
    {"table past the end of RAM", table_past_ram},
    {"table that wraps", table_wraps},
    {"table of 4 GiB", table_of_4g},
    {"next out of range in a table", table_next_out_of_range},
    {"loop in a table", table_loops},
    {"table far too long", table_far_too_long},
    {"more than the pool", more_than_the_pool},
};

static bool needs_reset(void *ctx)
{
    return (virtio_driver_status(ctx) & NEEDS_RESET) != 0;
}

/* The device says that it needs a reset, by interrupt too, and its registers go on to answer. */
static void expect_broken(struct blk_test *t, unsigned device, const char *what)
{
    struct virtio_driver *drv = &t->drivers[device];

    ck_assert_msg(guest_os_wait(&t->os, needs_reset, drv, BLK_TEST_PATIENCE), "%s: not noticed", what);
    ck_assert_msg(virtio_driver_config_interrupted(drv), "%s: no config interrupt", what);
    ck_assert_uint_eq(virtio_driver_common_read(drv, VIRTIO_PCI_COMMON_NUMQ, 2), 4);
}

static void workshop_open(struct workshop *w, struct blk_test *t, unsigned device)
{
    struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN};

    w->q = &t->drivers[device].queues[0];
    w->header = guest_os_alloc(&t->os, 16, 16, true);
    w->data = guest_os_alloc(&t->os, 512, 16, true);
    w->status = guest_os_alloc(&t->os, 1, 16, true);
    w->table = guest_os_alloc(&t->os, TABLE_ENTRIES * 16, 16, true);
    memcpy(guest_os_ptr(&t->os, w->header, 16), &header, sizeof(header));
}

/* Two devices: one is given everything that is wrong, while the other works on. */
static void all_malformed(bool idle_queue, uint64_t features)
{
    struct blk_test *t = blk_test_new(2);
    struct blk_load *loads[2];
    struct workshop w;

    t->driver_options.nr_queues = 2;
    t->driver_options.features = features;
    blk_test_boot(t);
    for (unsigned i = 0; i < 2; i++) {
        blk_test_start(t, i);
        loads[i] = blk_test_load(t, i);
    }
    workshop_open(&w, t, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(malformed); i++) {
        uint64_t goals[2] = {loads[0]->completed + 20, loads[1]->completed + 50};

        blk_loads_run(loads, 2, goals, BLK_TEST_PATIENCE);
        if (idle_queue)
            blk_load_drain(loads[0], BLK_TEST_PATIENCE);
        virtio_driver_config_interrupted(&t->drivers[0]);
        malformed[i].make(&w);
        driver_queue_kick(w.q);
        expect_broken(t, 0, malformed[i].name);
        blk_load_run(loads[1], loads[1]->completed + 50, BLK_TEST_PATIENCE);
        ck_assert_uint_eq(virtio_driver_status(&t->drivers[1]) & NEEDS_RESET, 0);
        blk_test_start(t, 0);
        blk_load_forget(loads[0]);
    }
    for (unsigned i = 0; i < 2; i++) {
        blk_load_run(loads[i], loads[i]->completed + 200, BLK_TEST_PATIENCE);
        blk_load_drain(loads[i], BLK_TEST_PATIENCE);
        blk_load_verify_all(loads[i], BLK_TEST_PATIENCE);
        blk_load_free(loads[i]);
    }
    ck_assert_uint_eq(t->os.irq_stray, 0);
    blk_test_end(t);
}

START_TEST(malformed_chains)
{
    all_malformed(true, ALL_FEATURES);
}
END_TEST

START_TEST(malformed_chains_among_good_ones)
{
    all_malformed(false, _i == 0 ? ALL_FEATURES : ~EVENT_IDX);
}
END_TEST

START_TEST(indirect_without_negotiation)
{
    struct blk_test *t = blk_test_new(1);
    struct workshop w;

    t->driver_options.features = ~INDIRECT;
    blk_test_boot(t);
    blk_test_start(t, 0);
    workshop_open(&w, t, 0);
    table_fill(&w);
    table_of(&w, w.table, 48, 0);
    driver_queue_kick(w.q);
    expect_broken(t, 0, "indirect");
    blk_test_end(t);
}
END_TEST

/* ---- rings in the wrong place ------------------------------------------------------------------- */

START_TEST(rings_in_wrong_places)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    uint64_t desc, avail, used;
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    desc = drv->queues[0].desc;
    avail = drv->queues[0].avail;
    used = drv->queues[0].used;
    {
        const uint64_t places[][3] = {
            {desc + 8, avail, used},           {desc, avail + 1, used},
            {desc, avail, used + 2},           {IN_THE_HOLE, avail, used},
            {desc, IN_THE_HOLE, used},         {desc, avail, IN_THE_HOLE},
            {t->os.ram_low - 16, avail, used}, {desc, t->os.ram_low - 4, used},
            {desc, avail, t->os.ram_low - 4},  {UINT64_MAX - 15, avail, used},
            {desc, UINT64_MAX - 1, used},      {desc, avail, UINT64_MAX - 3},
            {desc, avail, drv->common.gpa},
        };

        for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
            ck_assert_int_eq(virtio_driver_reset(drv, BLK_TEST_PATIENCE), 0);
            ck_assert_int_eq(virtio_driver_negotiate(drv, 1ULL << VIRTIO_F_VERSION_1), 0);
            virtio_driver_common_write(drv, VIRTIO_PCI_COMMON_MSIX, 2, 0);
            virtio_driver_config_interrupted(drv);
            virtio_driver_queue_program(drv, 0, places[i][0], places[i][1], places[i][2]);
            virtio_driver_status_add(drv, VIRTIO_CONFIG_S_DRIVER_OK);
            mmio_write(&t->os, drv->queues[0].notify_gpa, 2, 0);
            expect_broken(t, 0, "ring");
        }
    }
    blk_test_start(t, 0);
    blk_load_run(load, 200, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

/* ---- memory that goes away ---------------------------------------------------------------------- */

enum lost_page {
    LOST_BUFFER_READ,
    LOST_BUFFER_WRITTEN,
    LOST_TABLE,
    LOST_DESC,
    LOST_AVAIL,
    LOST_USED,
    NR_LOST
};

/* Pages that the guest gave back (ballooning), under what a request needs: before it is submitted, or while
 * it is in flight. */
static void lose_page(struct blk_test *t, struct workshop *w, enum lost_page lost, bool in_flight)
{
    const uint64_t places[NR_LOST] = {
        [LOST_BUFFER_READ] = w->data, [LOST_BUFFER_WRITTEN] = w->data, [LOST_TABLE] = w->table,
        [LOST_DESC] = w->q->desc,     [LOST_AVAIL] = w->q->avail,      [LOST_USED] = w->q->used,
    };
    uint64_t page = align_down(places[lost], GUEST_PAGE_SIZE);

    if (!in_flight)
        ck_assert_int_eq(local_pages_set(t->os.hv, page, 1, false), 0);
    driver_queue_kick(w->q);
    if (in_flight)
        ck_assert_int_eq(local_pages_set(t->os.hv, page, 1, false), 0);
    expect_broken(t, 0, "lost page");
    ck_assert_int_eq(local_pages_set(t->os.hv, page, 1, true), 0);
}

START_TEST(pages_go_away)
{
    struct blk_test *t = blk_test_new(1);
    struct workshop w;
    struct blk_load *load;

    blk_test_boot(t);
    blk_test_start(t, 0);
    /* Pages of their own for all of it: what is lost is lost for nobody else. */
    for (unsigned i = 0; i < 2; i++)
        guest_os_alloc(&t->os, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, i == 0);
    load = blk_test_load(t, 0);
    workshop_open(&w, t, 0);
    w.data = guest_os_alloc(&t->os, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, true);
    w.table = guest_os_alloc(&t->os, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, true);
    guest_os_alloc(&t->os, GUEST_PAGE_SIZE, GUEST_PAGE_SIZE, true);
    for (unsigned i = 0; i < NR_LOST; i++) {
        virtio_driver_config_interrupted(&t->drivers[0]);
        if (i == LOST_TABLE) {
            table_fill(&w);
            table_of(&w, w.table, 48, 0);
        } else if (i == LOST_BUFFER_READ) {
            write_from(&w, w.data, 512);
        } else {
            read_into(&w, w.data, 512);
        }
        lose_page(t, &w, (enum lost_page)i, i == LOST_BUFFER_WRITTEN || i == LOST_USED);
        blk_test_start(t, 0);
        blk_load_run(load, load->completed + 50, BLK_TEST_PATIENCE);
        blk_load_drain(load, BLK_TEST_PATIENCE);
    }
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

static bool has_interrupt(void *ctx)
{
    return virtio_driver_has_interrupt(ctx);
}

/* Requests that say nothing, or not enough for a disk, are no offence against the rings. */
START_TEST(useless_chains)
{
    struct blk_test *t = blk_test_new(1);
    struct virtio_driver *drv = &t->drivers[0];
    struct driver_queue *q;
    struct driver_shape shape = {0};
    struct driver_segment empty = {.gpa = IN_THE_HOLE, .len = 0}, nothing[3] = {empty, empty, empty};
    struct blk_load *load;
    uint32_t token, len;

    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    q = &drv->queues[0];
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_int_eq(driver_queue_add(q, nothing, i, &shape, i), 0);
        driver_queue_publish(q);
        while (!driver_queue_harvest(q, &token, &len)) {
            ck_assert(guest_os_wait(&t->os, has_interrupt, drv, BLK_TEST_PATIENCE));
            ck_assert(virtio_driver_queue_interrupted(drv, 0));
        }
        driver_queue_interrupt_after(q, 1);
        ck_assert_uint_eq(token, i);
        ck_assert_uint_eq(len, 0);
    }
    ck_assert_uint_eq(virtio_driver_status(drv) & NEEDS_RESET, 0);
    blk_load_run(load, 200, BLK_TEST_PATIENCE);
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

void blk_cases_malformed(TCase *tcase)
{
    tcase_add_test(tcase, malformed_chains);
    tcase_add_loop_test(tcase, malformed_chains_among_good_ones, 0, 2);
    tcase_add_test(tcase, indirect_without_negotiation);
    tcase_add_test(tcase, rings_in_wrong_places);
    tcase_add_test(tcase, pages_go_away);
    tcase_add_test(tcase, useless_chains);
}
