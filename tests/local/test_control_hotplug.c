// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_control_hotplug.c - devices that come and go, by the control socket, in a guest whose ACPI table has
 * asked to be told: the tests play the table and the driver.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "common/log.h"
#include "dm/eject.h"
#include "dm/hotplug.h"
#include "tests/local/control_rig.h"
#include "tests/unit/unit.h"

#define SKIPPED        77 /* to automake */
#define SECONDS_A_TEST 120.0
#define IRQ            7
#define SECOND         (1u << 5) /* the second disk's slot */

static const char remove_second[] = "{\"command\":\"remove\",\"name\":\"blk1\"}";

static struct control_rig rig;
static struct virtio_driver driver;

/* ---- the table ---------------------------------------------------------------------------------- */

static uint32_t get(unsigned reg)
{
    return (uint32_t)mmio_read(&rig.os, CONTROL_HOTPLUG + reg, 4);
}

static void set(unsigned reg, uint32_t value)
{
    mmio_write(&rig.os, CONTROL_HOTPLUG + reg, 4, value);
}

static bool line_is_up(void *ctx)
{
    (void)ctx;
    return rig.os.irq_line[IRQ];
}

/* Waits for the interrupt, and does what the table does. */
static void expect_event(uint32_t eject, uint32_t inserted)
{
    ck_assert(guest_os_wait(&rig.os, line_is_up, NULL, CONTROL_PATIENCE));
    ck_assert_uint_eq(get(HOTPLUG_REG_INSERTED), inserted);
    ck_assert_uint_eq(get(HOTPLUG_REG_EJECT), eject);
    set(HOTPLUG_REG_INSERTED, inserted);
    set(HOTPLUG_REG_EJECT, eject);
    ck_assert(!rig.os.irq_line[IRQ]);
}

static void setup(void)
{
    control_rig_init(&rig);
    control_rig_open(&rig);
    memset(&driver, 0, sizeof(driver));
    eject_patience = CONTROL_PATIENCE;
    ck_assert_uint_eq(get(HOTPLUG_REG_MAGIC), HOTPLUG_MAGIC);
    set(HOTPLUG_REG_IRQ, IRQ);
}

static void teardown(void)
{
    control_rig_close(&rig);
    for (unsigned i = 0; i < GUEST_OS_NR_LINES; i++)
        ck_assert(!rig.os.irq_line[i]);
    control_rig_fini(&rig);
}

/* ---- what the tests are made of ----------------------------------------------------------------- */

static struct json_object *second_add(void)
{
    char request[512];

    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s\"}", rig.text[1]);
    return ask_ok(&rig, request);
}

/* Adds the second disk, whose driver is started. */
static void second_use(void)
{
    struct json_object *answer = second_add();

    ck_assert(json_object_get_boolean(at(answer, "guest_is_told")));
    ck_assert_str_eq(string_at(answer, "place"), "0000:00:05.0");
    json_object_put(answer);
    expect_event(0, SECOND);
    control_rig_drive(&rig, "0000:00:05.0", &driver);
}

static void expect_state(const char *state)
{
    struct json_object *answer = ask_ok(&rig, "{\"command\":\"list\"}");

    ck_assert_str_eq(string_at(answer, "devices.1.state"), state);
    json_object_put(answer);
}

static void expect_refused(const char *request, const char *part)
{
    char *why = ask_refused(&rig, request);

    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", request, why);
    free(why);
}

/* Asks, and does not wait for the answer; it is taken by second_removed. */
static int remove_begin(void)
{
    int fd = client_open(&rig);

    client_send(&rig, fd, remove_second, sizeof(remove_second) - 1);
    client_send(&rig, fd, "\n", 1);
    return fd;
}

static void driver_reset(void)
{
    ck_assert_int_eq(virtio_driver_reset(&driver, CONTROL_PATIENCE), 0);
}

/* As Linux lets go: bus mastering is the last. */
static void driver_let_go(void)
{
    driver_reset();
    config_write(&rig.os, driver.sbdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static bool one_is_left(void *ctx)
{
    const struct devices_item *item;
    size_t pos = 0, nr = 0;

    (void)ctx;
    while ((item = devices_next(rig.devices, &pos)) != NULL)
        nr++;
    return nr == 1;
}

static void expect_one_left(void)
{
    ck_assert(guest_os_wait(&rig.os, one_is_left, NULL, CONTROL_PATIENCE));
    ck_assert_uint_eq(config_read(&rig.os, 5 << 3, 0, 4), UINT32_MAX);
    ck_assert(!rig.os.irq_line[IRQ]);
    ck_assert_int_eq(backend_settle(&rig.disks[1]), 0);
}

static void second_removed(int fd)
{
    char *line = client_line(&rig, fd);

    ck_assert_ptr_nonnull(line);
    ck_assert_msg(strstr(line, "\"ok\":true") != NULL && strstr(line, "\"waits_for_driver\":false") != NULL,
                  "%s", line);
    free(line);
    close(fd);
    expect_one_left();
}

/* ---- tests -------------------------------------------------------------------------------------- */

START_TEST(test_in_order)
{
    for (unsigned i = 0; i < 3; i++) {
        int fd;

        second_use();
        fd = remove_begin();
        expect_event(SECOND, 0);
        expect_state("asked");
        expect_refused(remove_second, "being removed already");
        expect_refused("{\"command\":\"remove\",\"name\":\"blk1\",\"force\":true}", "being removed already");
        driver_reset();
        expect_state("asked");
        driver_let_go();
        second_removed(fd);
    }
}
END_TEST

/* What people read of it. */
START_TEST(test_program)
{
    const char *const add[] = {"add", "web", rig.text[1], NULL}, *const removal[] = {"remove", "web", "blk1",
                                                                                     NULL};
    char *said;

    ck_assert_int_eq(run_ctl(&rig, &said, add), 0);
    ck_assert_msg(strstr(said, "blk1 is at 0000:00:05.0; the guest is told") != NULL, "%s", said);
    free(said);
    ck_assert_int_eq(run_ctl(&rig, &said, removal), 0);
    ck_assert_msg(strstr(said, "blk1 is removed") != NULL, "%s", said);
    free(said);
    expect_event(SECOND, 0);
}
END_TEST

/* A device without a driver goes at once; what takes its place before the guest has looked comes after it. */
START_TEST(test_unused)
{
    struct json_object *answer = second_add();

    json_object_put(answer);
    expect_event(0, SECOND);
    json_object_put(ask_ok(&rig, remove_second));
    ck_assert_int_eq(backend_settle(&rig.disks[1]), 0);
    answer = second_add();
    ck_assert_str_eq(string_at(answer, "place"), "0000:00:05.0");
    json_object_put(answer);
    expect_event(SECOND, SECOND);
}
END_TEST

START_TEST(test_kept)
{
    int fd;

    eject_patience = 0.2;
    second_use();
    expect_refused(remove_second, "has not within");
    expect_state("plugged");
    ck_assert(!rig.os.irq_line[IRQ]); /* the guest had not read that it is to */

    /* A driver that lets go too late, and one of a system that leaves the bus mastering as it is. */
    driver_let_go();
    control_rig_drive(&rig, "0000:00:05.0", &driver);
    eject_patience = 1;
    fd = remove_begin();
    expect_event(SECOND, 0);
    driver_reset();
    second_removed(fd);
}
END_TEST

START_TEST(test_forced)
{
    struct json_object *answer;

    second_use();
    answer = ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk1\",\"force\":true}");
    ck_assert(json_object_get_boolean(at(answer, "waits_for_driver")));
    ck_assert(json_object_get_boolean(at(answer, "guest_is_told")));
    json_object_put(answer);
    expect_event(SECOND, 0);
    driver_let_go();
    expect_one_left();

    /* Without waiting the guest is not asked: its driver would wait for what is not there. */
    second_use();
    json_object_put(ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk1\",\"now\":true}"));
    expect_one_left();
}
END_TEST

START_TEST(test_caller_is_gone)
{
    second_use();
    close(remove_begin());
    expect_event(SECOND, 0);
    driver_let_go();
    expect_one_left();
}
END_TEST

static void restart(void)
{
    control_rig_die(&rig);
    control_rig_open(&rig);
}

START_TEST(test_restart)
{
    int fd;

    /* Not told yet, and not asked yet. */
    json_object_put(second_add());
    restart();
    expect_event(0, SECOND);
    control_rig_drive(&rig, "0000:00:05.0", &driver);
    fd = remove_begin();
    ck_assert(guest_os_wait(&rig.os, line_is_up, NULL, CONTROL_PATIENCE));
    restart();
    close(fd);
    expect_event(SECOND, 0);
    expect_state("plugged");
    fd = remove_begin();
    expect_event(SECOND, 0);
    driver_let_go();
    second_removed(fd);
}
END_TEST

/* The end of all while a guest is asked. */
START_TEST(test_end)
{
    second_use();
    close(remove_begin());
    ck_assert(guest_os_wait(&rig.os, line_is_up, NULL, CONTROL_PATIENCE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control socket, hot-plug");
    TCase *tcase = control_rig_tests("control socket, hot-plug");

    if (tcase == NULL)
        return SKIPPED;
    tcase_set_timeout(tcase, SECONDS_A_TEST);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_in_order);
    tcase_add_test(tcase, test_program);
    tcase_add_test(tcase, test_unused);
    tcase_add_test(tcase, test_kept);
    tcase_add_test(tcase, test_forced);
    tcase_add_test(tcase, test_caller_is_gone);
    tcase_add_test(tcase, test_restart);
    tcase_add_test(tcase, test_end);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
