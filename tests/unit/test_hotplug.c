// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_hotplug.c - the registers by which a guest's ACPI table learns of slots: as the table uses them, as
 * nobody should, and after a kill.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/saved_state.h"
#include "common/util.h"
#include "dm/hotplug.h"
#include "dm/local.h"
#include "dm/virtio_mmio.h"
#include "tests/unit/counting_device.h"
#include "tests/unit/pci_guest.h"
#include "tests/unit/unit.h"

#define BASE     ((uint64_t)0xfebff000)
#define IRQ      7
#define ALL_ONES UINT32_MAX

static const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "a guest";

static struct rig rig;
static struct saved_state *saved;
static struct hotplug *hp;

static void setup(void)
{
    int holder;

    rig_start(&rig, rig_hvm());
    ck_assert_int_eq(saved_state_open(&saved, NULL, identity, &holder), 0);
    rig.guest.saved = saved;
    ck_assert_int_eq(hotplug_new(&hp, &rig.guest, BASE), 0);
}

static void teardown(void)
{
    hotplug_free(hp);
    for (unsigned i = 0; i < RIG_NR_IRQS; i++)
        ck_assert(!rig.irq_line[i]);
    ck_assert_uint_eq(mem_read(&rig, BASE, 4), ALL_ONES);
    rig_end(&rig);
    saved_state_close(saved, true);
}

static uint32_t get(unsigned reg)
{
    return (uint32_t)mem_read(&rig, BASE + reg, 4);
}

static void set(unsigned reg, uint32_t value)
{
    mem_write(&rig, BASE + reg, 4, value);
}

/* What the table does when its interrupt comes. */
static void expect_event(uint32_t eject, uint32_t inserted)
{
    ck_assert(rig.irq_line[IRQ]);
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED), inserted);
    ck_assert_uint_eq(get(HOTPLUG_REG_EJECT), eject);
    set(HOTPLUG_REG_INSERTED, inserted);
    ck_assert(rig.irq_line[IRQ] == (eject != 0));
    set(HOTPLUG_REG_EJECT, eject);
    ck_assert(!rig.irq_line[IRQ]);
}

/* A guest without the table never has an interrupt, and nothing waits for one that comes late. */
START_TEST(test_unwanted)
{
    ck_assert_uint_eq(get(HOTPLUG_REG_MAGIC), 'V' | 'D' << 8 | 'H' << 16 | 'P' << 24);
    ck_assert_uint_eq(get(HOTPLUG_REG_VERSION), 1);
    ck_assert_uint_eq(get(HOTPLUG_REG_IRQ), 0);
    ck_assert(!hotplug_wanted(hp));
    hotplug_insert(hp, 5);
    hotplug_eject(hp, 6);
    ck_assert_uint_eq(rig.nr_irqs, 0);
    set(HOTPLUG_REG_IRQ, IRQ);
    ck_assert(!rig.irq_line[IRQ]);
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED) | get(HOTPLUG_REG_EJECT), 0);
    ck_assert(!hotplug_wanted(NULL));
    hotplug_insert(NULL, 5);
    hotplug_eject(NULL, 5);
    hotplug_eject_withdraw(NULL, 5);
}
END_TEST

START_TEST(test_told)
{
    set(HOTPLUG_REG_IRQ, IRQ);
    ck_assert(hotplug_wanted(hp));
    ck_assert_uint_eq(get(HOTPLUG_REG_IRQ), IRQ);
    ck_assert(!rig.irq_line[IRQ]);
    hotplug_insert(hp, 31);
    expect_event(0, 1u << 31);
    hotplug_eject(hp, 31);
    hotplug_insert(hp, 1);
    expect_event(1u << 31, 1u << 1);

    /* What comes where something is to go is new all the same; what is to go is not new any more. */
    hotplug_eject(hp, 4);
    hotplug_insert(hp, 4);
    expect_event(1u << 4, 1u << 4);
    hotplug_insert(hp, 4);
    hotplug_eject(hp, 4);
    expect_event(1u << 4, 0);

    /* What comes between reading and clearing stays. */
    hotplug_insert(hp, 3);
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED), 1u << 3);
    hotplug_insert(hp, 9);
    set(HOTPLUG_REG_INSERTED, 1u << 3);
    expect_event(0, 1u << 9);

    hotplug_insert(hp, 2);
    hotplug_eject(hp, 3);
    hotplug_eject_withdraw(hp, 3);
    hotplug_eject_withdraw(hp, 2);
    expect_event(0, 1u << 2);
    hotplug_insert(hp, 32);
    hotplug_eject(hp, 0xff);
    ck_assert(!rig.irq_line[IRQ]);
}
END_TEST

/* Another interrupt, none, and those that cannot be. */
START_TEST(test_interrupts)
{
    static const uint32_t wrong[] = {RIG_NR_IRQS, 31, 32, 255, 0x107, ALL_ONES};

    set(HOTPLUG_REG_IRQ, IRQ);
    hotplug_insert(hp, 8);
    set(HOTPLUG_REG_IRQ, 5);
    ck_assert(!rig.irq_line[IRQ] && rig.irq_line[5]);
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED), 1u << 8);
    set(HOTPLUG_REG_IRQ, 0);
    ck_assert(!rig.irq_line[5] && !hotplug_wanted(hp));
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED), 0);
    log_level = LOG_LEVEL_ERROR;
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        set(HOTPLUG_REG_IRQ, IRQ);
        hotplug_eject(hp, 8);
        set(HOTPLUG_REG_IRQ, wrong[i]);
        ck_assert_uint_eq(get(HOTPLUG_REG_IRQ), 0);
        ck_assert(!hotplug_wanted(hp) && !rig.irq_line[IRQ]);
    }
}
END_TEST

/* The line of a device is not ours, whatever the table says, until the device has gone. */
START_TEST(test_line_of_a_device)
{
    static struct counting_device it;
    struct virtio_mmio_place place = {.base = RIG_LOW, .irq = IRQ};
    struct virtio_mmio_state state;
    struct virtio_mmio *vm;
    const char *why;

    memset(&it, 0, sizeof(it));
    counting_device_init(&it, &rig.guest, 2, 16, false);
    ck_assert_int_eq(virtio_mmio_new(&vm, &it.dev, &place, &state, false, &why), 0);
    rig.nr_irqs = 0;
    log_level = LOG_LEVEL_ERROR;
    set(HOTPLUG_REG_IRQ, IRQ);
    ck_assert(!hotplug_wanted(hp));
    ck_assert_uint_eq(rig.nr_irqs, 0);
    set(HOTPLUG_REG_IRQ, IRQ + 1);
    ck_assert(hotplug_wanted(hp));
    virtio_mmio_free(vm);
    virtio_device_fini(&it.dev);
    set(HOTPLUG_REG_IRQ, IRQ);
    ck_assert(hotplug_wanted(hp));
}
END_TEST

/* Other accesses than of one register are answered, and do nothing. */
START_TEST(test_accesses)
{
    uint32_t all[HOTPLUG_LEN / 4];

    set(HOTPLUG_REG_IRQ, IRQ);
    hotplug_insert(hp, 8);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at + size <= HOTPLUG_LEN; at++) {
            if (size == 4 && at % 4 == 0)
                continue;
            ck_assert_uint_eq(mem_read(&rig, BASE + at, size), UINT64_MAX >> (64 - 8 * size));
            mem_write(&rig, BASE + at, size, UINT64_MAX);
        }
    set(HOTPLUG_REG_MAGIC, 0);
    set(HOTPLUG_REG_VERSION, 9);
    set(0x14, ALL_ONES);
    mem_string(&rig, false, BASE, 4, all, sizeof(all));
    ck_assert_uint_eq(all[0], HOTPLUG_MAGIC);
    ck_assert_uint_eq(all[1], 1);
    ck_assert_uint_eq(all[2], IRQ);
    ck_assert_uint_eq(all[3], 1u << 8);
    for (unsigned i = 4; i < ARRAY_SIZE(all); i++)
        ck_assert_uint_eq(all[i], 0);
    expect_event(0, 1u << 8);
}
END_TEST

/* A kill: what the guest programmed and was not told yet is there again, and the line is as that says. */
static void restart(void)
{
    hotplug_free(hp);
    ck_assert_int_eq(hotplug_new(&hp, &rig.guest, BASE), 0);
}

START_TEST(test_restart)
{
    set(HOTPLUG_REG_IRQ, IRQ);
    restart();
    ck_assert(hotplug_wanted(hp) && !rig.irq_line[IRQ]);
    hotplug_insert(hp, 8);
    hotplug_eject(hp, 3);
    restart();
    expect_event(1u << 3, 1u << 8);
}
END_TEST

/* Raised by a predecessor that died before it had lowered it; and a state that makes no sense. */
START_TEST(test_restart_damaged)
{
    uint32_t *state;
    bool resumed;

    set(HOTPLUG_REG_IRQ, IRQ);
    hotplug_free(hp);
    rig.hv->ops->irq_set(rig.hv, IRQ, true);
    ck_assert_int_eq(hotplug_new(&hp, &rig.guest, BASE), 0);
    ck_assert(!rig.irq_line[IRQ]);

    hotplug_free(hp);
    state = saved_state_area(saved, "hotplug", 3 * sizeof(*state), &resumed);
    ck_assert(resumed);
    state[0] = 77;
    state[1] = state[2] = ALL_ONES;
    ck_assert_int_eq(hotplug_new(&hp, &rig.guest, BASE), 0);
    ck_assert(!hotplug_wanted(hp));
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED) | get(HOTPLUG_REG_EJECT), 0);
}
END_TEST

START_TEST(test_place_taken)
{
    struct hotplug *second;

    ck_assert_int_eq(hotplug_new(&second, &rig.guest, BASE + 0x10), -EEXIST);
    ck_assert_uint_eq(get(HOTPLUG_REG_MAGIC), HOTPLUG_MAGIC);
}
END_TEST

/* Whatever a guest does, the line is up while something waits that it wants to know. */
START_TEST(test_fuzz)
{
    unit_random_start();
    log_level = LOG_LEVEL_ERROR;
    for (unsigned long n = unit_count(300000); n > 0; n--) {
        unsigned size = 1u << unit_random_below(4), irq;
        uint64_t at = BASE + unit_random_below(HOTPLUG_LEN);

        switch (unit_random_below(8)) {
        case 0:
            hotplug_insert(hp, (unsigned)unit_random_below(34));
            break;
        case 1:
            hotplug_eject(hp, (unsigned)unit_random_below(34));
            break;
        case 2:
            set(HOTPLUG_REG_IRQ, (uint32_t)unit_random_below(RIG_NR_IRQS + 2));
            break;
        case 3:
            set(unit_random_below(2) ? HOTPLUG_REG_INSERTED : HOTPLUG_REG_EJECT, (uint32_t)unit_random());
            break;
        case 4:
            mem_read(&rig, at, size);
            break;
        default:
            mem_write(&rig, at, size, unit_random());
            break;
        }
        irq = get(HOTPLUG_REG_IRQ);
        unit_expect(irq < RIG_NR_IRQS);
        for (unsigned i = 0; i < RIG_NR_IRQS; i++)
            unit_expect_eq(rig.irq_line[i],
                           i == irq && irq != 0 && (get(HOTPLUG_REG_INSERTED) | get(HOTPLUG_REG_EJECT)) != 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hotplug");
    TCase *tc = tcase_create("hotplug");

    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_unwanted);
    tcase_add_test(tc, test_told);
    tcase_add_test(tc, test_interrupts);
    tcase_add_test(tc, test_line_of_a_device);
    tcase_add_test(tc, test_accesses);
    tcase_add_test(tc, test_restart);
    tcase_add_test(tc, test_restart_damaged);
    tcase_add_test(tc, test_place_taken);
    tcase_add_test(tc, test_fuzz);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
