// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_bounce_recover.c - what a device model finds after its predecessor was killed between any two stores
 * of a completion (bounce_flight.c, bounce_chains_show): each chain is either with the guest again, once, or
 * submitted again, in the order in which the guest made them available.
 */
#include <endian.h>
#include <ev.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "common/saved_state.h"
#include "dm/bounce_queue.h"
#include "dm/local.h"
#include "tests/unit/unit.h"

#define SIZE  8u
#define DESC  0x1000u
#define AVAIL 0x2000u
#define USED  0x3000u

static struct ev_loop *loop;
static struct hypervisor *hv;
static struct saved_state *state;
static struct guest guest;
static struct bounce_queue_saved saved;
static struct bounce bounce;
static struct virtio_device dev;
static struct bounce_queue q;

static void setup(void)
{
    static const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "recover";
    static const struct local_callbacks callbacks;
    const struct local_options options = {.ram_low = MIB(1), .ram_fd = -1};
    int holder;

    loop = ev_loop_new(EVFLAG_NOENV);
    ck_assert_int_eq(local_new(&hv, &options, &callbacks, NULL), 0);
    ck_assert_int_eq(saved_state_open(&state, NULL, identity, &holder), 0);
    ck_assert_int_eq(guest_init(&guest, loop, hv, state), 0);
    memset(&saved, 0, sizeof(saved));
    dev = (struct virtio_device){.guest = &guest};
    bounce = (struct bounce){.dev = &dev};
    q = (struct bounce_queue){
        .bounce = &bounce,
        .saved = &saved,
        .guest = {.guest = &guest, .size = SIZE, .desc = DESC, .avail = AVAIL, .used = USED},
        .kick_fd = -1,
        .call_fd = -1,
    };
    list_init(&q.kick_work.link);
    list_init(&q.call_work.link);
    list_init(&q.waiting);
}

static void teardown(void)
{
    bounce_queue_close(&q);
    guest_fini(&guest);
    hv->ops->detach(hv);
    saved_state_close(state, true);
    ev_loop_destroy(loop);
}

static void guest_used_set(uint16_t idx)
{
    struct vring_used *used = local_ram(hv, USED, sizeof(*used));

    used->idx = htole16(idx);
}

static void reopen(void)
{
    const char *why = NULL;

    bounce_queue_close(&q);
    ck_assert_msg(bounce_queue_open(&q, true, &why) == 0, "%s", why);
}

/* The stores of a completion in their order: how many of them were made before the kill. */
enum kill_point {
    BEFORE,
    NAMED,
    COUNTED,
    PUBLISHED,
    ONE_NOT_IN_FLIGHT,
    NOT_IN_FLIGHT,
    INDEXED,
    AFTER,
    NR_KILL_POINTS
};

/* Of nr chains together. */
static void complete_until(const uint16_t *heads, uint16_t nr, enum kill_point point)
{
    for (unsigned i = 0; i < nr && point >= NAMED; i++)
        saved.completing[i] = heads[i];
    if (point >= COUNTED)
        saved.nr_completing = nr;
    if (point >= PUBLISHED)
        guest_used_set((uint16_t)(saved.used_idx + nr));
    for (unsigned i = 0; i < nr && point >= ONE_NOT_IN_FLIGHT; i++)
        if (i == 0 || point >= NOT_IN_FLIGHT)
            saved.in_flight[heads[i]] = 0;
    if (point >= INDEXED)
        saved.used_idx = (uint16_t)(saved.used_idx + nr);
    if (point >= AFTER)
        saved.nr_completing = 0;
}

/* Chains 5, 2, 7 are in flight, in this order; 2 is being completed. */
START_TEST(killed_between_two_stores)
{
    static const uint16_t first_used[] = {0, 6, 0x7fff, 0xfffe, 0xffff};
    enum kill_point point = (enum kill_point)_i;

    for (unsigned i = 0; i < ARRAY_SIZE(first_used); i++) {
        saved = (struct bounce_queue_saved){.used_idx = first_used[i], .sequence = 12};
        saved.in_flight[5] = 10;
        saved.in_flight[2] = 11;
        saved.in_flight[7] = 12;
        guest_used_set(first_used[i]);
        complete_until((const uint16_t[]){2}, 1, point);
        reopen();
        ck_assert_uint_eq(saved.nr_completing, 0);
        ck_assert_uint_eq(q.last_avail, (uint16_t)(first_used[i] + 3));
        ck_assert_uint_eq(q.resubmit[0], 5);
        if (point < PUBLISHED) {
            ck_assert_uint_eq(saved.used_idx, first_used[i]);
            ck_assert_uint_eq(q.nr_resubmit, 3);
            ck_assert_uint_eq(q.resubmit[1], 2);
            ck_assert_uint_eq(q.resubmit[2], 7);
        } else {
            ck_assert_uint_eq(saved.used_idx, (uint16_t)(first_used[i] + 1));
            ck_assert_uint_eq(q.nr_resubmit, 2);
            ck_assert_uint_eq(q.resubmit[1], 7);
            ck_assert_uint_eq(saved.in_flight[2], 0);
        }
    }
}
END_TEST

/* The same when 7 and 5 are completed together: both or none. */
START_TEST(killed_in_the_middle_of_two)
{
    static const uint16_t first_used[] = {0, 6, 0x7fff, 0xfffe, 0xffff};
    enum kill_point point = (enum kill_point)_i;

    for (unsigned i = 0; i < ARRAY_SIZE(first_used); i++) {
        saved = (struct bounce_queue_saved){.used_idx = first_used[i], .sequence = 12};
        saved.in_flight[5] = 10;
        saved.in_flight[2] = 11;
        saved.in_flight[7] = 12;
        guest_used_set(first_used[i]);
        complete_until((const uint16_t[]){7, 5}, 2, point);
        reopen();
        ck_assert_uint_eq(saved.nr_completing, 0);
        ck_assert_uint_eq(q.last_avail, (uint16_t)(first_used[i] + 3));
        ck_assert_uint_eq(saved.used_idx, (uint16_t)(first_used[i] + (point < PUBLISHED ? 0 : 2)));
        ck_assert_uint_eq(q.nr_resubmit, point < PUBLISHED ? 3 : 1);
        ck_assert_uint_eq(q.resubmit[point < PUBLISHED ? 1 : 0], 2);
    }
}
END_TEST

/* The order is that of the sequence numbers, over their end too, where 0 is left out. */
START_TEST(order_of_resubmission)
{
    saved.sequence = 2;
    saved.in_flight[4] = UINT32_MAX - 1;
    saved.in_flight[0] = UINT32_MAX;
    saved.in_flight[3] = 1;
    saved.in_flight[1] = 2;
    reopen();
    ck_assert_uint_eq(q.nr_resubmit, 4);
    ck_assert_uint_eq(q.resubmit[0], 4);
    ck_assert_uint_eq(q.resubmit[1], 0);
    ck_assert_uint_eq(q.resubmit[2], 3);
    ck_assert_uint_eq(q.resubmit[3], 1);
}
END_TEST

/* What no predecessor of ours can have written is no reason to leave the queue. */
START_TEST(impossible_states)
{
    saved.completing[0] = SIZE; /* no such chain */
    saved.nr_completing = 1;
    saved.in_flight[SIZE] = 3; /* beyond the queue */
    saved.in_flight[VIRTIO_MAX_QUEUE_SIZE - 1] = 4;
    guest_used_set(1);
    reopen();
    ck_assert_uint_eq(q.nr_resubmit, 0);
    ck_assert_uint_eq(saved.nr_completing, 0);
    /* More at once than there are. */
    saved = (struct bounce_queue_saved){.nr_completing = SIZE + 1};
    guest_used_set(SIZE + 1);
    reopen();
    ck_assert_uint_eq(saved.used_idx, 0);
    ck_assert_uint_eq(saved.nr_completing, 0);
    /* A guest that wrote its used index itself. */
    saved = (struct bounce_queue_saved){.nr_completing = 1, .completing = {2}};
    saved.in_flight[2] = 1;
    guest_used_set(500);
    reopen();
    ck_assert_uint_eq(q.nr_resubmit, 1);
    ck_assert_uint_eq(q.resubmit[0], 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bounce recovery");
    TCase *tcase = tcase_create("recovery");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, killed_between_two_stores, BEFORE, NR_KILL_POINTS);
    tcase_add_loop_test(tcase, killed_in_the_middle_of_two, BEFORE, NR_KILL_POINTS);
    tcase_add_test(tcase, order_of_resubmission);
    tcase_add_test(tcase, impossible_states);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
