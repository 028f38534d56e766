// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_control.c - the control socket and vhost-dmctl, on the local hypervisor with real back-ends: what is
 * shown of a disk that works, disks that come and go, a vhost-dm that is started again, messages, shared
 * memory.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>

#include "common/log.h"
#include "tests/local/control_rig.h"
#include "tests/unit/unit.h"

#define SKIPPED        77 /* to automake */
#define SECONDS_A_TEST 120.0
#define FIRST_PLACE    "0000:00:04.0"
#define NR_MAPPINGS    1500
#define PMEM_BACKEND   "./vhost-user-pmem"

static struct control_rig rig;
static struct virtio_driver drivers[2];

static void setup(void)
{
    control_rig_init(&rig);
    control_rig_open(&rig);
    memset(drivers, 0, sizeof(drivers));
}

static void teardown(void)
{
    control_rig_close(&rig);
    control_rig_fini(&rig);
}

static char *request_add(const char *text)
{
    static char request[1024];

    snprintf(request, sizeof(request), "{\"command\":\"add\",\"device\":\"%s\"}", text);
    return request;
}

static void expect_refused(const char *request, const char *part)
{
    char *why = ask_refused(&rig, request);

    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", request, why);
    free(why);
}

/* Adds the second disk, and starts its driver. */
static void second_add(struct virtio_driver *drv)
{
    struct json_object *answer = ask_ok(&rig, request_add(rig.text[1]));

    ck_assert_str_eq(string_at(answer, "name"), "blk1");
    ck_assert_str_eq(string_at(answer, "in_the_guest"), "echo 1 >/sys/bus/pci/rescan");
    if (drv != NULL)
        control_rig_drive(&rig, string_at(answer, "place"), drv);
    json_object_put(answer);
}

static size_t nr_devices(void)
{
    struct json_object *answer = ask_ok(&rig, "{\"command\":\"list\"}");
    size_t nr = json_object_array_length(at(answer, "devices"));

    json_object_put(answer);
    return nr;
}

/* ---- list --------------------------------------------------------------------------------------- */

START_TEST(test_list)
{
    struct json_object *answer = ask_ok(&rig, "{\"command\":\"list\"}");
    struct blk_load *load;
    pid_t pid;

    ck_assert_str_eq(string_at(answer, "guest.name"), "web");
    ck_assert_str_eq(string_at(answer, "devices.0.name"), "blk0");
    ck_assert_str_eq(string_at(answer, "devices.0.place"), FIRST_PLACE);
    ck_assert_uint_eq(number_at(answer, "devices.0.driver.status"), 0);
    pid = (pid_t)number_at(answer, "devices.0.backend.pid");
    /* Who listened last: we did, and then the daemon does. */
    ck_assert(pid == getpid() || pid == rig.disks[0].pid);
    ck_assert_uint_eq(number_at(answer, "devices.0.queues.0.requests"), 0);
    json_object_put(answer);

    control_rig_drive(&rig, FIRST_PLACE, &drivers[0]);
    load = control_rig_load(&drivers[0], false);
    blk_load_run(load, 500, CONTROL_PATIENCE);
    blk_load_drain(load, CONTROL_PATIENCE);
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    ck_assert_uint_eq(number_at(answer, "devices.0.queues.0.requests"), load->completed);
    ck_assert_uint_eq(number_at(answer, "devices.0.queues.0.in_flight"), 0);
    ck_assert_uint_eq(number_at(answer, "devices.0.queues.0.notifications"), drivers[0].queues[0].nr_kicks);
    ck_assert_uint_gt(number_at(answer, "devices.0.queues.0.interrupts"), 0);
    ck_assert_uint_ge(number_at(answer, "devices.0.queues.0.bytes_to_guest"), load->verified_bytes);
    ck_assert_str_eq(string_at(answer, "devices.0.driver.status_names.3"), "DRIVER_OK");
    ck_assert_str_eq(string_at(answer, "devices.0.data_path"), "running");
    ck_assert_str_eq(string_at(answer, "devices.0.memory.mode"), "bounce");
    ck_assert_uint_eq(number_at(answer, "guest.stray_accesses"), 0);
    json_object_put(answer);
    blk_load_free(load);
}
END_TEST

static void expect_ctl(int status, const char *part, const char *const *words)
{
    char *said;
    int got = run_ctl(&rig, &said, words);

    ck_assert_msg(got == status && strstr(said, part) != NULL, "%s ... ended with %d and said: %s", words[0],
                  got, said);
    free(said);
}
#define ctl(status, part, ...) expect_ctl(status, part, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(test_program)
{
    ctl(0, "blk0", "list");
    ctl(0, "web: dom 0, local;", "list", "web");
    ctl(0, "\"place\": \"" FIRST_PLACE "\"", "list", "0", "--json");
    ctl(0, "web\n", "list", "--names");
    ctl(0, "blk0\n", "list", "web", "--names");
    ctl(0, "ram", "regions", "web");
    ctl(0, "RAM", "regions", "web", "--map");
    ctl(0, "blk1 is at 0000:00:05.0; so that the guest sees it, type there: echo 1 >/sys/bus/pci/rescan",
        "add", "web", rig.text[1]);
    ctl(1, "has the device of that socket already: blk1", "add", "web", rig.text[1]);
    ctl(0, "blk1 is removed", "remove", "web", "blk1");
    ctl(1, "no device 'blk1'; it has: blk0", "remove", "web", "blk1");
    ctl(1, "no vhost-dm serves a guest shop", "list", "shop");
    ctl(1, "no vhost-dm serves a guest 7", "list", "7");
    ctl(1, "level", "trace", "web", "--level", "loud");
    ctl(2, "unknown command: lists", "lists");
    ctl(2, "which command?", "--json");
    ctl(2, "something is missing behind: remove", "remove", "web");
    ctl(2, "not for this command: -m", "list", "--map");
}
END_TEST

static bool is_utf8(const char *text)
{
    char in[4096], out[4 * sizeof(in)], *from = in, *to = out;
    size_t left = strlen(text), room = sizeof(out), bad;
    iconv_t cd = iconv_open("UTF-32LE", "UTF-8");

    ck_assert(cd != (iconv_t)-1 && left < sizeof(in));
    memcpy(in, text, left);
    bad = iconv(cd, &from, &left, &to, &room);
    iconv_close(cd);
    return bad == 0 && left == 0;
}

/* Names may be of any bytes; what is said of them is JSON. */
START_TEST(test_odd_name)
{
    static const char name[] = "caf\xc3\xa9\"\\ \xff\xe2\x82";
    struct json_tokener *tok = json_tokener_new();
    struct json_object *answer;
    char *said;

    strcpy(rig.hv->guest_name, name);
    ctl(0, "blk0\n", "list", name, "--names");
    ctl(1, "/nowhere/caf\xc3\xa9", "add", name, "type=blk,socket=/nowhere/caf\xc3\xa9");
    ck_assert_int_eq(run_ctl(&rig, &said, (const char *const[]){"list", name, "--json", NULL}), 0);
    ck_assert(is_utf8(said)); /* json-c 0.18, when it is strict or is to check this, refuses what is */
    answer = json_tokener_parse_ex(tok, said, -1);
    ck_assert_str_eq(json_tokener_error_desc(json_tokener_get_error(tok)), "success");
    ck_assert_str_eq(string_at(answer, "guest.name"), "caf\xc3\xa9\"\\ ???");
    json_object_put(answer);
    json_tokener_free(tok);
    free(said);
}
END_TEST

/* ---- add and remove ----------------------------------------------------------------------------- */

static void list_write(void)
{
    FILE *f = fopen(rig.list, "we");

    fprintf(f, "# uuid 1234\n%s\n", rig.text[0]);
    fclose(f);
}

static void expect_list(const char *first, const char *second)
{
    char want[1024], got[1024] = "";
    FILE *f = fopen(rig.list, "re");

    snprintf(want, sizeof(want), "# uuid 1234\n%s%s%s%s", first, first[0] != '\0' ? "\n" : "", second,
             second[0] != '\0' ? "\n" : "");
    ck_assert_ptr_nonnull(f);
    got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
    fclose(f);
    ck_assert_str_eq(got, want);
}

START_TEST(test_add_and_remove)
{
    const uint64_t goals[] = {300, 300};
    struct blk_load *loads[2];

    list_write();
    control_rig_drive(&rig, FIRST_PLACE, &drivers[0]);
    loads[0] = control_rig_load(&drivers[0], false);
    blk_load_submit(loads[0], 20);
    second_add(&drivers[1]);
    expect_list(rig.text[0], rig.text[1]);
    loads[1] = control_rig_load(&drivers[1], false);
    blk_loads_run(loads, 2, goals, CONTROL_PATIENCE);

    expect_refused("{\"command\":\"remove\",\"name\":\"blk1\"}", "driver uses blk1");
    blk_load_drain(loads[1], CONTROL_PATIENCE);
    ck_assert_int_eq(virtio_driver_reset(&drivers[1], CONTROL_PATIENCE), 0);
    json_object_put(ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk1\"}"));
    expect_list(rig.text[0], "");
    ck_assert_uint_eq(config_read(&rig.os, drivers[1].sbdf, 0, 4), UINT32_MAX);
    ck_assert_uint_eq(mmio_read(&rig.os, drivers[1].common.gpa, 4), UINT32_MAX);
    ck_assert_uint_eq(nr_devices(), 1);
    blk_load_run(loads[0], 600, CONTROL_PATIENCE);

    /* Nothing of the removed one is left for the next, which gets its place. */
    ck_assert_int_eq(backend_settle(&rig.disks[1]), 0);
    second_add(&drivers[1]);
    ck_assert_uint_eq(drivers[1].sbdf, 5 << 3);
    blk_load_free(loads[1]);
    loads[1] = control_rig_load(&drivers[1], false);
    for (unsigned i = 0; i < 2; i++) {
        blk_load_drain(loads[i], CONTROL_PATIENCE);
        blk_load_free(loads[i]);
    }
}
END_TEST

START_TEST(test_refused)
{
    char text[512];

    snprintf(text, sizeof(text), "type=blk,socket=%s/none.sock", rig.dir);
    expect_refused(request_add(text), "start one first, for example: qemu-storage-daemon");
    snprintf(text, sizeof(text), "%s,transport=mmio,base=0xd0000000,irq=5", rig.text[1]);
    expect_refused(request_add(text), "transport=mmio");
    expect_refused(request_add(rig.text[0]), "already: blk0");
    expect_refused(request_add("type=blk"), "socket= is missing");
    snprintf(text, sizeof(text), "%s,slot=4", rig.text[1]);
    expect_refused(request_add(text), "slot is taken");
    ck_assert_int_eq(backend_settle(&rig.disks[1]), 0);
    expect_refused("{\"command\":\"remove\",\"name\":\"fs0\"}", "no device 'fs0'; it has: blk0");
    ck_assert_uint_eq(nr_devices(), 1);
    second_add(NULL); /* nothing of these attempts is in the way */
}
END_TEST

/* Drivers and loads of both disks; the second has requests in flight, which its back-end does not answer. */
static void both_busy(struct blk_load *loads[2])
{
    control_rig_drive(&rig, FIRST_PLACE, &drivers[0]);
    second_add(&drivers[1]);
    for (unsigned i = 0; i < 2; i++)
        loads[i] = control_rig_load(&drivers[i], i == 1);
    blk_load_run(loads[1], 100, CONTROL_PATIENCE);
    blk_load_drain(loads[1], CONTROL_PATIENCE);
    backend_pause(&rig.disks[1]);
    blk_load_submit(loads[1], loads[1]->submitted + 20);
    ck_assert_uint_gt(loads[1]->nr_busy, 0);
}

/* All that was in flight has failed. */
static void expect_failed(struct blk_load *load)
{
    blk_load_collect(load);
    ck_assert_uint_eq(load->nr_busy, 0);
    ck_assert_uint_gt(load->failed, 0);
    backend_continue(&rig.disks[1]);
    ck_assert_int_eq(backend_settle(&rig.disks[1]), 0);
}

static bool one_device_is_left(void *ctx)
{
    const struct devices_item *item;
    size_t pos = 0, nr = 0;

    (void)ctx;
    while ((item = devices_next(rig.devices, &pos)) != NULL)
        nr++;
    return nr == 1;
}

/* By force: requests fail, then and later, until the driver lets go; then the device is gone. */
START_TEST(test_by_force)
{
    struct blk_load *loads[2];
    struct json_object *answer;
    uint64_t failed;

    both_busy(loads);
    answer = ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk1\",\"force\":true}");
    ck_assert(json_object_get_boolean(at(answer, "waits_for_driver")));
    ck_assert_str_eq(string_at(answer, "in_the_guest"), "echo 1 >/sys/bus/pci/devices/0000:00:05.0/remove");
    json_object_put(answer);
    expect_failed(loads[1]);
    failed = loads[1]->failed;
    blk_load_submit(loads[1], loads[1]->submitted + 20);
    blk_load_drain(loads[1], CONTROL_PATIENCE);
    ck_assert_uint_ge(loads[1]->failed, failed + 20);
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    ck_assert_str_eq(string_at(answer, "devices.1.state"), "leaving");
    ck_assert(json_object_get_boolean(at(answer, "devices.1.driver.needs_reset")));
    json_object_put(answer);
    expect_refused("{\"command\":\"remove\",\"name\":\"blk1\",\"force\":true}", "driver uses blk1");

    /* As Linux does it; until then status must read 0, which it waits for. */
    ck_assert_int_eq(virtio_driver_reset(&drivers[1], CONTROL_PATIENCE), 0);
    virtio_driver_status_add(&drivers[1], VIRTIO_CONFIG_S_ACKNOWLEDGE);
    ck_assert_uint_eq(nr_devices(), 2);
    config_write(&rig.os, drivers[1].sbdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    ck_assert(guest_os_wait(&rig.os, one_device_is_left, NULL, CONTROL_PATIENCE));
    ck_assert_uint_eq(config_read(&rig.os, drivers[1].sbdf, 0, 4), UINT32_MAX);
    blk_load_run(loads[0], 300, CONTROL_PATIENCE);
    second_add(&drivers[1]);
    blk_load_drain(loads[0], CONTROL_PATIENCE);
    for (unsigned i = 0; i < 2; i++)
        blk_load_free(loads[i]);
}
END_TEST

/* Without waiting for the driver, which goes on reading and writing what is not there. */
START_TEST(test_now)
{
    struct blk_load *loads[2];
    struct json_object *answer;

    both_busy(loads);
    answer = ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk1\",\"now\":true}");
    ck_assert(!json_object_get_boolean(at(answer, "waits_for_driver")));
    json_object_put(answer);
    expect_failed(loads[1]);
    ck_assert_uint_eq(mmio_read(&rig.os, drivers[1].common.gpa, 4), UINT32_MAX);
    mmio_write(&rig.os, drivers[1].notify.gpa, 2, 0);
    ck_assert_uint_eq(config_read(&rig.os, drivers[1].sbdf, 0, 4), UINT32_MAX);
    config_write(&rig.os, drivers[1].sbdf, PCI_COMMAND, 2, 0);
    blk_load_run(loads[0], 300, CONTROL_PATIENCE);

    /* The place where it may be believed to be is not given to the next. */
    answer = ask_ok(&rig, request_add(rig.text[1]));
    ck_assert_str_eq(string_at(answer, "place"), "0000:00:06.0");
    json_object_put(answer);
    blk_load_drain(loads[0], CONTROL_PATIENCE);
    for (unsigned i = 0; i < 2; i++)
        blk_load_free(loads[i]);
}
END_TEST

/* ---- started again ------------------------------------------------------------------------------ */

static void restart(void)
{
    control_rig_die(&rig);
    control_rig_open(&rig);
    ck_assert(rig.hv != NULL);
}

START_TEST(test_restart)
{
    const uint64_t goals[] = {300, 300};
    struct blk_load *loads[2];
    struct json_object *answer;

    control_rig_drive(&rig, FIRST_PLACE, &drivers[0]);
    second_add(&drivers[1]);
    for (unsigned i = 0; i < 2; i++)
        loads[i] = control_rig_load(&drivers[i], false);
    blk_load_submit(loads[1], 30);
    restart();
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    ck_assert_str_eq(string_at(answer, "devices.0.name"), "blk0");
    ck_assert_str_eq(string_at(answer, "devices.1.name"), "blk1");
    ck_assert_str_eq(string_at(answer, "devices.1.place"), "0000:00:05.0");
    ck_assert(json_object_get_boolean(at(answer, "devices.1.added_while_running")));
    ck_assert_str_eq(string_at(answer, "devices.1.driver.status_names.3"), "DRIVER_OK");
    json_object_put(answer);
    blk_loads_run(loads, 2, goals, CONTROL_PATIENCE);
    for (unsigned i = 0; i < 2; i++)
        blk_load_drain(loads[i], CONTROL_PATIENCE);

    /* What is removed stays away, though the command line has it; what is left keeps its name and place. */
    ck_assert_int_eq(virtio_driver_reset(&drivers[0], CONTROL_PATIENCE), 0);
    json_object_put(ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"blk0\"}"));
    restart();
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    ck_assert_uint_eq(json_object_array_length(at(answer, "devices")), 1);
    ck_assert_str_eq(string_at(answer, "devices.0.name"), "blk1");
    ck_assert_str_eq(string_at(answer, "devices.0.place"), "0000:00:05.0");
    json_object_put(answer);
    ck_assert_uint_eq(config_read(&rig.os, 4 << 3, 0, 4), UINT32_MAX);
    blk_load_run(loads[1], 600, CONTROL_PATIENCE);
    blk_load_drain(loads[1], CONTROL_PATIENCE);

    /* And can come again. */
    answer = ask_ok(&rig, request_add(rig.text[0]));
    ck_assert_str_eq(string_at(answer, "name"), "blk0");
    json_object_put(answer);
    restart();
    ck_assert_uint_eq(nr_devices(), 2);
    for (unsigned i = 0; i < 2; i++)
        blk_load_free(loads[i]);
}
END_TEST

/* ---- messages ----------------------------------------------------------------------------------- */

/* The next message that contains part; NULL: what was looked for did not come. */
static char *message_with(int fd, const char *part)
{
    char *line;

    while ((line = client_line(&rig, fd)) != NULL && strstr(line, part) == NULL)
        free(line);
    return line;
}

START_TEST(test_trace)
{
    static const char trace[] = "{\"command\":\"trace\",\"level\":\"trace\"}\n";
    enum log_level before = log_level;
    int fd = client_open(&rig), quiet = client_open(&rig);
    char *line;

    client_send(&rig, fd, trace, sizeof(trace) - 1);
    client_send(&rig, quiet, "{\"command\":\"trace\"}\n", 20);
    free(client_line(&rig, quiet));
    line = client_line(&rig, fd);
    ck_assert_str_eq(line, "{\"ok\":true}");
    free(line);
    second_add(&drivers[1]);
    line = message_with(fd, "SET_OWNER");
    ck_assert_ptr_nonnull(strstr(line, "\"level\":\"trace\",\"text\":\""));
    free(line);
    free(message_with(fd, "write memory"));
    line = client_line(&rig, quiet);
    ck_assert_ptr_nonnull(strstr(line, "\"level\":\"info\""));
    free(line);
    close(quiet);
    close(fd);
    while (log_level != before)
        guest_os_idle(&rig.os, 0.1);
}
END_TEST

/* One who does not read costs nothing but what he misses, and is told how much that was. */
START_TEST(test_trace_slow)
{
    static const char trace[] = "{\"command\":\"trace\",\"level\":\"trace\"}\n";
    int fd = client_open(&rig);
    uint64_t dropped = 0;
    char *line;

    client_send(&rig, fd, trace, sizeof(trace) - 1);
    free(client_line(&rig, fd));
    for (int i = 0; i < 20000; i++)
        config_read(&rig.os, 4 << 3, 0, 4);
    ck_assert_uint_eq(nr_devices(), 1);
    while (dropped == 0) {
        line = client_line(&rig, fd);
        ck_assert_ptr_nonnull(line);
        if (strncmp(line, "{\"dropped\":", 11) == 0)
            dropped = strtoull(line + 11, NULL, 10);
        else if (strstr(line, "read config") == NULL)
            ck_assert_msg(json_tokener_parse(line) != NULL, "%s", line);
        free(line);
        config_read(&rig.os, 4 << 3, 0, 4); /* the count is told with the next message that has room */
    }
    ck_assert_uint_gt(dropped, 1000);
    close(fd);
}
END_TEST

/* ---- shared memory ------------------------------------------------------------------------------ */

/* Maps single pages, with a gap behind each. */
static void pages_map(struct shmem *shmem)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    struct shmem_request q = {.writable = true, .fd = fd, .len = GUEST_PAGE_SIZE};
    const char *why;

    ck_assert_int_eq(ftruncate(fd, GUEST_PAGE_SIZE), 0);
    for (unsigned i = 0; i < NR_MAPPINGS; i++) {
        q.shm_offset = 2 * i * GUEST_PAGE_SIZE;
        ck_assert_int_eq(shmem_map(shmem, &q, &why), 0);
    }
    close(fd);
}

static struct shmem *shmem_of(const char *name)
{
    const struct devices_item *item;
    size_t pos = 0;

    while ((item = devices_next(rig.devices, &pos)) != NULL)
        if (strcmp(item->name, name) == 0)
            return device_shmem((struct device *)(uintptr_t)item->device);
    return NULL;
}

START_TEST(test_shared_memory)
{
    const char *argv[] = {PMEM_BACKEND, "--socket", NULL, "--size", "16M", NULL};
    struct virtio_driver drv = {0};
    struct program backend;
    struct json_object *answer, *all;
    char socket[128], text[256], *said;
    unsigned nr = 0;

    snprintf(socket, sizeof(socket), "%s/pmem.sock", rig.dir);
    snprintf(text, sizeof(text), "type=pmem,socket=%s", socket);
    argv[2] = socket;
    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert(program_expect(&backend, "listening at", CONTROL_PATIENCE));
    answer = ask_ok(&rig, request_add(text));
    ck_assert_str_eq(string_at(answer, "name"), "pmem0");
    control_rig_drive(&rig, string_at(answer, "place"), &drv);
    json_object_put(answer);
    shmem_unmap_all(shmem_of("pmem0"));
    pages_map(shmem_of("pmem0"));
    answer = ask_ok(&rig, "{\"command\":\"list\"}");
    ck_assert_uint_eq(number_at(answer, "devices.1.shared_memory.regions.0.mapped.0.mappings"), NR_MAPPINGS);
    ck_assert_uint_eq(number_at(answer, "devices.1.shared_memory.regions.0.mapped.0.bytes"),
                      NR_MAPPINGS * GUEST_PAGE_SIZE);
    ck_assert_str_eq(string_at(answer, "devices.1.shared_memory.regions.0.mapped.0.placement"), "trap");
    ck_assert_uint_gt(strlen(string_at(answer, "devices.1.shared_memory.regions.0.mapped.0.why_no_better")),
                      0);
    json_object_put(answer);

    ck_assert_int_eq(run_ctl(&rig, &said, (const char *const[]){"regions", "web", "--map", NULL}), 0);
    ck_assert_msg(strstr(said, "t: 1500 mapped as trap") != NULL, "%s", said);
    free(said);
    /* All of them, by as many answers as it takes. */
    answer = ask_ok(&rig, "{\"command\":\"regions\"}");
    for (bool more = true; more;) {
        struct json_object *next;
        char request[128];

        all = at(answer, "regions");
        for (size_t i = 0; i < json_object_array_length(all); i++)
            nr += strcmp(string_at(json_object_array_get_idx(all, i), "kind"), "mapping") == 0;
        more = json_object_object_get_ex(answer, "next", &next);
        if (more)
            snprintf(request, sizeof(request), "{\"command\":\"regions\",\"from\":\"%s\"}",
                     json_object_get_string(next));
        json_object_put(answer);
        answer = more ? ask_ok(&rig, request) : NULL;
    }
    ck_assert_uint_eq(nr, NR_MAPPINGS);
    ck_assert_int_eq(virtio_driver_reset(&drv, CONTROL_PATIENCE), 0);
    json_object_put(ask_ok(&rig, "{\"command\":\"remove\",\"name\":\"pmem0\"}"));
    program_end(&backend);
    unlink(socket);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control socket");
    TCase *tcase = control_rig_tests("control socket");

    if (tcase == NULL)
        return SKIPPED;
    tcase_set_timeout(tcase, SECONDS_A_TEST);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_program);
    tcase_add_test(tcase, test_odd_name);
    tcase_add_test(tcase, test_add_and_remove);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_by_force);
    tcase_add_test(tcase, test_now);
    tcase_add_test(tcase, test_restart);
    tcase_add_test(tcase, test_trace);
    tcase_add_test(tcase, test_trace_slow);
    tcase_add_test(tcase, test_shared_memory);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
