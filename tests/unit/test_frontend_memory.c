// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_frontend_memory.c - what the front-end says of memory to a back-end that maps the guest's itself: the
 * form of XEN_MMAP, more regions than a table has room for, regions that come and go while the rings run.
 */
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/util.h"
#include "dm/frontend.h"
#include "tests/unit/frontend_rig.h"
#include "tests/unit/unit.h"

#define NR_RAM  2
#define NR_ALL  32 /* regions of these tests */
#define PAGE    0x1000u
#define GUEST   7 /* domid */
#define RAM_GPA 0x100000000ULL

/* What the back-end is to have. */
static struct frontend_region regions[NR_ALL];
static size_t nr_regions, nr_calls;

static struct frontend_region ram(unsigned i)
{
    return (struct frontend_region){.gpa = RAM_GPA + i * MIB(2),
                                    .len = MIB(1),
                                    .user_addr = RAM_GPA + i * MIB(2),
                                    .xen_flags = VHOST_USER_XEN_FOREIGN,
                                    .domid = GUEST,
                                    .fd = memfd};
}

static struct frontend_region shared(unsigned place, uint64_t id)
{
    return (struct frontend_region){.gpa = (place + 1) * PAGE,
                                    .len = PAGE,
                                    .user_addr = (place + 1) * PAGE,
                                    .mmap_offset = place * PAGE,
                                    .id = id,
                                    .fd = memfd};
}

static size_t memory(void *ctx, const struct frontend_region *told, size_t nr_told,
                     struct frontend_region *now, size_t max)
{
    size_t nr = MIN(nr_regions, max);

    (void)ctx;
    (void)told;
    ck_assert_uint_le(nr_told, max);
    memcpy(now, regions, nr * sizeof(*now));
    nr_calls++;
    return nr;
}

static struct frontend_callbacks callbacks;

static void setup(void)
{
    rig_setup();
    callbacks = frontend_events_callbacks;
    callbacks.memory = memory;
    rig_callbacks = &callbacks;
    fake.protocol_features |= PROTOCOL(XEN_MMAP);
    options.memory_changes = true;
    for (unsigned i = 0; i < NR_RAM; i++)
        regions[i] = ram(i);
    nr_regions = NR_RAM;
    nr_calls = 0;
}

/* Each way of a back-end to take changes, by the loop's number. */
static void kind_of_backend(int kind)
{
    if (kind & 1)
        fake.protocol_features &= ~PROTOCOL(CONFIGURE_MEM_SLOTS);
    if (kind & 2)
        fake.protocol_features &= ~PROTOCOL(REPLY_ACK);
    if (kind & 4)
        fake.protocol_features &= ~PROTOCOL(XEN_MMAP);
}
#define NR_KINDS 8

static int start(void)
{
    struct frontend_queue queues[NR_QUEUES] = {
        {.enabled = true, .size = 64, .kick_fd = kicks[0], .call_fd = calls[0]}};
    struct frontend_start s = {.features = VERSION_1,
                               .nr_regions = nr_regions,
                               .regions = regions,
                               .nr_queues = NR_QUEUES,
                               .queues = queues};

    return frontend_start(fe, &s);
}

static void begin(void)
{
    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(start(), 0);
    expect_event(&events, EVENT_STARTED);
}

static bool region_is_told(const struct frontend_region *r)
{
    for (unsigned i = 0; i < fake.nr_regions; i++) {
        const struct vhost_user_xen_region *its = &fake.regions[i];
        struct stat theirs, ours;

        if (its->plain.gpa != r->gpa)
            continue;
        ck_assert_int_eq(fstat(fake.region_fds[i], &theirs), 0);
        ck_assert_int_eq(fstat(r->fd, &ours), 0);
        ck_assert_uint_eq(theirs.st_ino, ours.st_ino);
        if (fake.acked_protocol & PROTOCOL(XEN_MMAP)) {
            ck_assert_uint_eq(its->xen_flags, r->xen_flags);
            ck_assert_uint_eq(its->domid, r->domid);
        }
        return its->plain.size == r->len && its->plain.user_addr == r->user_addr &&
               its->plain.mmap_offset == r->mmap_offset;
    }
    return false;
}

static bool backend_has(const struct frontend_region *r)
{
    bool has;

    pthread_mutex_lock(&fake.regions_lock);
    has = region_is_told(r);
    pthread_mutex_unlock(&fake.regions_lock);
    return has;
}

/* It has exactly what it is to have. */
static bool backend_is_told(void)
{
    bool told;

    pthread_mutex_lock(&fake.regions_lock);
    told = fake.nr_regions == nr_regions;
    for (size_t i = 0; told && i < nr_regions; i++)
        told = region_is_told(&regions[i]);
    pthread_mutex_unlock(&fake.regions_lock);
    return told;
}

static unsigned count(uint32_t request)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < fake.nr_log; i++)
        nr += fake.log[i] == request;
    return nr;
}

static void settle_do(struct fake_backend *f)
{
    (void)f;
}

/* Whatever there is to say has been said and served: each turn of the loop, and of the back-end's thread, may
 * bring another message. */
static void settle(void)
{
    struct frontend_events *e = &events;

    for (unsigned i = 0; i < 3; i++) {
        fake_backend_do(&fake, settle_do);
        frontend_events_until(e, fake.done);
        for (unsigned turn = 0; turn < 10; turn++)
            ev_run(e->loop, EVRUN_NOWAIT);
    }
}

/* ---- the start ------------------------------------------------------------------------------------- */

START_TEST(form)
{
    begin();
    ck_assert_uint_eq(fake.acked_protocol & PROTOCOL(XEN_MMAP), PROTOCOL(XEN_MMAP));
    ck_assert_uint_eq(fake.acked_protocol & PROTOCOL(CONFIGURE_MEM_SLOTS), PROTOCOL(CONFIGURE_MEM_SLOTS));
    ck_assert_uint_eq(fake.table.nr_regions, NR_RAM);
    ck_assert_uint_eq(fake.table.regions.xen[1].plain.gpa, RAM_GPA + MIB(2));
    ck_assert_uint_eq(fake.table.regions.xen[1].xen_flags, 1);
    ck_assert_uint_eq(fake.table.regions.xen[1].domid, GUEST);
    ck_assert(backend_is_told());
    ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG), 0);
}
END_TEST

/* Memory of ours that does not change: a back-end that offers XEN_MMAP gets that form, without flags. */
START_TEST(ordinary_memory)
{
    options.memory_changes = false;
    for (unsigned i = 0; i < NR_RAM; i++)
        regions[i].xen_flags = regions[i].domid = 0;
    if (_i == 1)
        fake.protocol_features &= ~PROTOCOL(XEN_MMAP);
    begin();
    ck_assert_uint_eq(fake.acked_protocol & (PROTOCOL(XEN_MMAP) | PROTOCOL(CONFIGURE_MEM_SLOTS)),
                      _i == 0 ? PROTOCOL(XEN_MMAP) : 0);
    ck_assert_uint_eq(count(VHOST_USER_GET_MAX_MEM_SLOTS), 0);
    ck_assert(backend_is_told());
}
END_TEST

START_TEST(more_than_a_table)
{
    kind_of_backend(_i);
    for (nr_regions = NR_RAM; nr_regions < 20; nr_regions++)
        regions[nr_regions] = shared((unsigned)nr_regions, nr_regions);
    if (fake.protocol_features & PROTOCOL(CONFIGURE_MEM_SLOTS)) {
        begin();
        ck_assert_uint_eq(frontend_nr_slots(fe), FAKE_REGIONS);
        ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG), 20 - FRONTEND_MAX_REGIONS);
        ck_assert(backend_is_told());
    } else {
        rig_begin();
        expect_event(&events, EVENT_READY);
        ck_assert_uint_eq(frontend_nr_slots(fe), FRONTEND_MAX_REGIONS);
        ck_assert_int_eq(start(), -EINVAL);
    }
}
END_TEST

START_TEST(slots)
{
    static const uint64_t says[] = {1, 2, 256, 257, UINT64_MAX, 0};
    static const size_t get[] = {1, 2, 256, 256, 256, 0};

    fake.max_slots = says[_i];
    rig_begin();
    if (get[_i] == 0) {
        rig_expect_lost(-EPROTO, "takes no memory");
        return;
    }
    expect_event(&events, EVENT_READY);
    ck_assert_uint_eq(frontend_nr_slots(fe), get[_i]);
    ck_assert_int_eq(start(), get[_i] < nr_regions ? -EINVAL : 0);
}
END_TEST

/* A part of the guest's memory that is refused: the back-end is of no use. */
START_TEST(ram_refused)
{
    fake.refuse_from = FRONTEND_MAX_REGIONS + 1;
    for (nr_regions = 0; nr_regions < FRONTEND_MAX_REGIONS + 2; nr_regions++)
        regions[nr_regions] = ram((unsigned)nr_regions);
    rig_begin();
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(start(), 0);
    rig_expect_lost(-EREMOTEIO, "refused a part of the guest's memory");
}
END_TEST

/* ---- later ----------------------------------------------------------------------------------------- */

static void change(size_t nr)
{
    nr_regions = nr;
    events.in_call = true;
    frontend_memory_changed(fe);
    events.in_call = false;
    frontend_events_until(&events, backend_is_told());
}

START_TEST(comes_and_goes)
{
    kind_of_backend(_i);
    begin();
    for (unsigned round = 0; round < 5; round++) {
        regions[2] = shared(3, 10 * round + 1);
        regions[3] = shared(5, 10 * round + 2);
        change(4);
        regions[2] = shared(9, 10 * round + 3);
        change(4);
        regions[2] = regions[3];
        change(3);
        change(2);
    }
    ck_assert_str_eq(frontend_state_name(fe), "running");
    if (fake.protocol_features & PROTOCOL(CONFIGURE_MEM_SLOTS))
        ck_assert_uint_eq(count(VHOST_USER_SET_MEM_TABLE), 1);
    else
        ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG) + count(VHOST_USER_REM_MEM_REG), 0);
}
END_TEST

/* Another file at the same place, with nothing in between. */
START_TEST(changes_place)
{
    kind_of_backend(_i);
    begin();
    regions[2] = shared(3, 1);
    change(3);
    regions[2] = shared(3, 2);
    regions[2].mmap_offset += PAGE;
    change(3);
    ck_assert(backend_has(&regions[2]));
}
END_TEST

/* However often it is said: once, and of the last state. */
START_TEST(bursts)
{
    begin();
    nr_calls = 0;
    for (unsigned i = 0; i < 1000; i++) {
        regions[2] = shared(i % 5, i + 1);
        nr_regions = 2 + i % 2;
        frontend_memory_changed(fe);
    }
    ck_assert_uint_eq(nr_calls, 0);
    frontend_events_until(&events, backend_is_told());
    settle();
    ck_assert_uint_eq(nr_calls, 1);
    ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG), 1);
    ck_assert_uint_eq(count(VHOST_USER_REM_MEM_REG), 0);
    /* What is as it was is not worth a word. */
    frontend_memory_changed(fe);
    frontend_events_until(&events, nr_calls == 2);
    settle();
    ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG), 1);
    ck_assert_uint_eq(count(VHOST_USER_SET_MEM_TABLE), 1);
}
END_TEST

/* Not before the rings run, not after: the start says it all. */
START_TEST(only_while_rings_run)
{
    rig_begin();
    frontend_memory_changed(fe);
    expect_event(&events, EVENT_READY);
    frontend_memory_changed(fe);
    settle();
    ck_assert_uint_eq(nr_calls, 0);
    ck_assert_int_eq(start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert_int_eq(rig_stop(), 0);
    regions[nr_regions++] = shared(1, 1);
    frontend_memory_changed(fe);
    expect_event(&events, EVENT_STOPPED);
    frontend_memory_changed(fe);
    settle();
    ck_assert_uint_eq(nr_calls, 0);
    ck_assert_int_eq(start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert(backend_is_told());
}
END_TEST

/* A stop does not wait for all that there is to say. */
START_TEST(stop_in_between)
{
    begin();
    for (unsigned i = NR_RAM; i < NR_ALL; i++)
        regions[i] = shared(i, i);
    nr_regions = NR_ALL;
    frontend_memory_changed(fe);
    frontend_events_until(&events, fake.nr_regions > NR_RAM);
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
    ck_assert_int_eq(start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert(backend_is_told());
}
END_TEST

/* What it does not take it does not get, is not asked again, and goes on. */
START_TEST(refused)
{
    fake.refuse_from = 4;
    begin();
    for (unsigned i = NR_RAM; i < 10; i++)
        regions[i] = shared(i, i);
    nr_regions = 10;
    frontend_memory_changed(fe);
    frontend_events_until(&events, count(VHOST_USER_ADD_MEM_REG) == 3);
    settle();
    ck_assert_uint_eq(fake.nr_regions, 4);
    ck_assert_uint_eq(frontend_nr_slots(fe), 4);
    frontend_memory_changed(fe);
    settle();
    ck_assert_uint_eq(count(VHOST_USER_ADD_MEM_REG), 3);
    /* Another one that was told makes room. */
    regions[2] = regions[9];
    frontend_memory_changed(fe);
    frontend_events_until(&events, backend_has(&regions[9]));
    ck_assert_uint_eq(fake.nr_regions, 4);
    ck_assert_int_eq(rig_stop(), 0);
    expect_event(&events, EVENT_STOPPED);
}
END_TEST

/* Lost at any message about memory: no fd is left (rig_teardown), and the next connection begins anew. */
START_TEST(lost_in_between)
{
    static const uint32_t at[] = {VHOST_USER_ADD_MEM_REG, VHOST_USER_REM_MEM_REG};

    begin();
    regions[2] = shared(1, 1);
    change(3);
    fake.fault = _i / 2 == 0 ? FAKE_CLOSE : FAKE_WRONG_FLAGS;
    fake.fault_at = at[_i % 2];
    for (unsigned i = NR_RAM; i < 10; i++)
        regions[i] = shared(i, 10 + i);
    nr_regions = 10;
    frontend_memory_changed(fe);
    expect_event(&events, EVENT_LOST);
    frontend_memory_changed(fe);
    fake.fault = FAKE_NONE;
    ck_assert_int_eq(frontend_reconnect(fe), 0);
    expect_event(&events, EVENT_READY);
    ck_assert_int_eq(start(), 0);
    expect_event(&events, EVENT_STARTED);
    ck_assert(backend_is_told());
}
END_TEST

/* A back-end that refuses to let go of memory has another idea of it than we have. */
START_TEST(removal_refused)
{
    begin();
    regions[2] = shared(1, 1);
    change(3);
    fake.fault = FAKE_REFUSE;
    fake.fault_at = VHOST_USER_REM_MEM_REG;
    nr_regions = 2;
    frontend_memory_changed(fe);
    rig_expect_lost(-EREMOTEIO, "it refused REM_MEM_REG");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front-end, memory");
    TCase *tcase = tcase_create("memory");

    tcase_set_timeout(tcase, 60.0);
    tcase_add_checked_fixture(tcase, setup, rig_teardown);
    tcase_add_test(tcase, form);
    tcase_add_loop_test(tcase, ordinary_memory, 0, 2);
    tcase_add_loop_test(tcase, more_than_a_table, 0, NR_KINDS);
    tcase_add_loop_test(tcase, slots, 0, 6);
    tcase_add_test(tcase, ram_refused);
    tcase_add_loop_test(tcase, comes_and_goes, 0, NR_KINDS);
    tcase_add_loop_test(tcase, changes_place, 0, NR_KINDS);
    tcase_add_test(tcase, bursts);
    tcase_add_test(tcase, only_while_rings_run);
    tcase_add_test(tcase, stop_in_between);
    tcase_add_test(tcase, refused);
    tcase_add_loop_test(tcase, lost_in_between, 0, 4);
    tcase_add_test(tcase, removal_refused);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
