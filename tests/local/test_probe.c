// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_probe.c - `vhost-dm probe` as people run it: against real back-ends, in which it finds nothing, and
 * against a back-end with one fault at a time, which it must find and name.
 */
#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/util.h"
#include "config.h"
#include "tests/local/backend_process.h"
#include "tests/local/program_process.h"
#include "tests/unit/fake_backend.h"

#define PROBE    "./vhost-dm" /* make runs tests in the build folder */
#define PMEM     "./vhost-user-pmem"
#define PATIENCE 30.0
#define CLEAN    0
#define FOUND    1
#define USAGE    2
#define FAILED   3

static char dir[64], socket_path[96];
static struct program backend, probe;
static struct backend disk;
static struct fake_backend fake;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/vhost-dm-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
    fake_backend_defaults(&fake);
}

static void teardown(void)
{
    program_end(&probe);
    program_end(&backend);
    if (disk.dir[0] != '\0')
        backend_free(&disk);
    if (fake.listen_fd > 0)
        fake_backend_stop(&fake);
    unlink(socket_path);
    rmdir(dir);
}

/* ---- running it --------------------------------------------------------------------------------- */

#define MAX_ARGS 12

/* `vhost-dm probe --socket PATH` and what follows, up to NULL. Returns when it has ended: its exit status. */
static int probe_run(const char *path, ...)
{
    const char *argv[MAX_ARGS] = {PROBE, "probe", "--socket", path};
    unsigned nr = 4;
    va_list ap;
    int status;

    va_start(ap, path);
    while (nr < MAX_ARGS - 1 && (argv[nr] = va_arg(ap, const char *)) != NULL)
        nr++;
    va_end(ap);
    program_end(&probe);
    ck_assert_int_eq(program_start(&probe, argv), 0);
    status = program_wait(&probe, PATIENCE);
    ck_assert_msg(status >= 0, "it does not end; it said: %s", probe.said);
    return status;
}

static void said(const char *text)
{
    if (strstr(probe.said, text) == NULL)
        ck_abort_msg("'%s' is not in: %s", text, probe.said);
}

static void did_not_say(const char *text)
{
    if (strstr(probe.said, text) != NULL)
        ck_abort_msg("'%s' is in: %s", text, probe.said);
}

static void expect_status(int status, int expected)
{
    ck_assert_msg(status == expected, "status %d instead of %d; it said: %s", status, expected, probe.said);
}

/* ---- real back-ends ----------------------------------------------------------------------------- */

START_TEST(our_example)
{
    const char *argv[] = {PMEM, "--socket", socket_path, "--size", "4M", NULL};

    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert(program_expect(&backend, "listening at", PATIENCE));
    expect_status(probe_run(socket_path, "--type", "pmem", (char *)NULL), CLEAN);
    said("SHMEM_REGION");
    said("region 0: 4 MiB");
    said("1 mappings, 4 MiB");
    said("no violation");
    expect_status(probe_run(socket_path, "--serve=0.2", "--memory=16M", (char *)NULL), CLEAN);
    said("until the time is over");
    expect_status(probe_run(socket_path, "--queues", "2", (char *)NULL), FOUND); /* it has one */
}
END_TEST

START_TEST(our_example_as_json)
{
    const char *argv[] = {PMEM, "--socket", socket_path, "--size", "4M", NULL};

    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert(program_expect(&backend, "listening at", PATIENCE));
#ifdef HAVE_JSON
    expect_status(probe_run(socket_path, "--json", "--type=pmem", (char *)NULL), CLEAN);
    ck_assert_int_eq(strncmp(probe.said, "{\n", 2), 0);
    said("\"SHMEM_REGION\"");
    said("\"config\": \"00000000000000000000400000000000\"");
    said("\"bytes\": 4194304");
    said("\"violations\": [");
    said("\"ok\": true");
#else
    expect_status(probe_run(socket_path, "--json", (char *)NULL), USAGE);
    said("json-c");
#endif
}
END_TEST

/* It serves until a signal asks it to end, and reports then. */
START_TEST(served_until_a_signal)
{
    const char *backend_argv[] = {PMEM, "--socket", socket_path, "--size", "4M", NULL};
    const char *argv[] = {PROBE, "probe", "--socket", socket_path, "--serve", "--debug", "debug", NULL};

    ck_assert_int_eq(program_start(&backend, backend_argv), 0);
    ck_assert(program_expect(&backend, "listening at", PATIENCE));
    ck_assert_int_eq(program_start(&probe, argv), 0);
    ck_assert(program_expect(&backend, "the guest sees the memory", PATIENCE));
    ck_assert(program_expect(&probe, "the queues run", PATIENCE));
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(kill(backend.pid, SIGUSR1), 0);
        ck_assert(program_expect(&backend, "out of the guest", PATIENCE));
        ck_assert_int_eq(kill(backend.pid, SIGUSR2), 0);
        ck_assert(program_expect(&backend, "the guest sees the memory", PATIENCE));
    }
    ck_assert_int_eq(kill(probe.pid, _i == 0 ? SIGTERM : SIGINT), 0);
    expect_status(program_wait(&probe, PATIENCE), CLEAN);
    said("until a signal");
    said("maps                7");
    said("unmaps              5");
}
END_TEST

/* The same when the back-end ends first: that is its right. */
START_TEST(served_until_the_back_end_ends)
{
    const char *backend_argv[] = {PMEM, "--socket", socket_path, "--size", "4M", NULL};
    const char *argv[] = {PROBE, "probe", "--socket", socket_path, "--serve", "--debug", "debug", NULL};

    ck_assert_int_eq(program_start(&backend, backend_argv), 0);
    ck_assert(program_expect(&backend, "listening at", PATIENCE));
    ck_assert_int_eq(program_start(&probe, argv), 0);
    ck_assert(program_expect(&probe, "the queues run", PATIENCE));
    ck_assert_int_eq(kill(backend.pid, SIGTERM), 0);
    ck_assert_int_eq(program_wait(&backend, PATIENCE), 0);
    expect_status(program_wait(&probe, PATIENCE), CLEAN);
    said("until the back-end has closed the connection");
}
END_TEST

/* It is given a socket that listens already, so there is no moment at which it does not; its first answer
 * takes as long as it takes to start. */
START_TEST(qemu_storage_daemon)
{
    if (!backend_is_installed()) {
        printf("no qemu-storage-daemon (Debian: qemu-utils): skipped\n");
        return;
    }
    ck_assert_int_eq(backend_init(&disk, MIB(8), 4), 0);
    ck_assert_int_eq(backend_start(&disk), 0);
    expect_status(probe_run(disk.socket, "--type", "blk", "--serve=0.2", "--timeout=25", (char *)NULL),
                  CLEAN);
    said("CONFIG_WCE");
    said("queues              4");
    /* Of the config space, whose length is the daemon's version's: the capacity, 16384 sectors. */
    said("00 40 00 00 00 00 00 00 00 00 00 00 7e 00 00 00");
    said("shared memory       none");
    said("no violation");
}
END_TEST

static const char *virtiofsd_find(bool *old)
{
    static const char *const places[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"};
    const char *env = getenv("VIRTIOFSD");

    *old = false;
    if (env != NULL)
        return env;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        if (access(places[i], X_OK) == 0) {
            *old = i > 0; /* the C program of older QEMUs has other options */
            return places[i];
        }
    return NULL;
}

START_TEST(virtiofsd)
{
    bool old;
    const char *program = virtiofsd_find(&old);
    char socket_option[128], folder[96];
    const char *new_argv[] = {program, socket_option, "--shared-dir", dir, "--sandbox", "none", NULL};
    const char *old_argv[] = {program, socket_option, "-o", folder, "-o", "sandbox=chroot", NULL};

    if (program == NULL || (old && geteuid() != 0)) {
        printf("no virtiofsd that we can use (Debian: virtiofsd, or qemu-system-common): skipped\n");
        return;
    }
    snprintf(socket_option, sizeof(socket_option), "--socket-path=%s", socket_path);
    snprintf(folder, sizeof(folder), "source=%s", dir);
    ck_assert_int_eq(program_start(&backend, old ? old_argv : new_argv), 0);
    ck_assert_msg(program_expect(&backend, "aiting for vhost-user socket connection", PATIENCE), "%s",
                  backend.said);
    expect_status(probe_run(socket_path, "--type", "fs", "--queues", "2", "--serve=0.2", (char *)NULL),
                  CLEAN);
    said("queues              2");
    said("config space        0 bytes");
    said("no violation");
    unlink(socket_path);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------------- */

static void fake_start(void)
{
    fake_backend_start(&fake);
}

static void expect_violation(const char *text)
{
    expect_status(probe_run(fake.path, (char *)NULL), FOUND);
    said("VIOLATION");
    said(text);
}

START_TEST(a_good_back_end)
{
    fake.shmem_sizes[3] = MIB(1);
    fake_start();
    expect_status(probe_run(fake.path, (char *)NULL), CLEAN);
    did_not_say("VIOLATION ");
    said("region 3: 1 MiB");
    said("queues              3");
}
END_TEST

/* Each kind of wrong reply at each message of the front-end. */
static const uint32_t messages[] = {
    VHOST_USER_GET_FEATURES,     VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_GET_QUEUE_NUM,
    VHOST_USER_GET_SHMEM_CONFIG, VHOST_USER_SET_BACKEND_REQ_FD,    VHOST_USER_GET_CONFIG,
    VHOST_USER_SET_FEATURES,     VHOST_USER_SET_MEM_TABLE,         VHOST_USER_SET_VRING_NUM,
    VHOST_USER_SET_VRING_BASE,   VHOST_USER_SET_VRING_ADDR,        VHOST_USER_SET_VRING_CALL,
    VHOST_USER_SET_VRING_KICK,   VHOST_USER_SET_VRING_ENABLE,      VHOST_USER_SET_STATUS,
    VHOST_USER_GET_VRING_BASE,   VHOST_USER_RESET_DEVICE,
};

static const enum fake_fault faults[] = {FAKE_CLOSE,      FAKE_WRONG_REQUEST, FAKE_WRONG_FLAGS,
                                         FAKE_MORE_FLAGS, FAKE_LONG,          FAKE_WITH_FD};

START_TEST(each_fault_at_each_message)
{
    fake.shmem_sizes[0] = MIB(1);
    fake.fault_at = messages[_i];
    fake_start();
    for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
        fake.fault = faults[i];
        fake.fault_skip = 0;
        expect_violation("while ");
    }
    fake.fault = FAKE_SILENT; /* to the end of the test */
    fake.fault_skip = 0;
    expect_status(probe_run(fake.path, "--timeout", "0.3", (char *)NULL), FOUND);
    said("within 0.3 seconds");
}
END_TEST

#define WITHOUT(bit) (~((uint64_t)1 << (bit)))

START_TEST(offers_that_make_no_sense)
{
    const uint64_t all = fake.protocol_features;

    fake_start();
    fake.protocol_features = all & WITHOUT(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
    expect_violation("SHMEM_MAP without BACKEND_REQ");
    fake.protocol_features = all & WITHOUT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD);
    expect_violation("SHMEM_MAP without BACKEND_SEND_FD");
    fake.protocol_features = all & WITHOUT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);
    expect_violation("GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD");
    fake.protocol_features = all;
    fake.features &= WITHOUT(32);
    expect_violation("VERSION_1");
}
END_TEST

START_TEST(bad_regions)
{
    fake.shmem_sizes[7] = MIB(1) + 1;
    fake_start();
    expect_violation("not a multiple of pages");
    fake.shmem_sizes[7] = (uint64_t)1 << 62;
    expect_violation("1 TiB");
}
END_TEST

/* ---- requests and memory ------------------------------------------------------------------------ */

/* What the back-end does when it is told to stop its first queue. */
static void (*when_stopped)(struct fake_backend *f);

static void hook(struct fake_backend *f, const struct vhost_user_msg *msg)
{
    if (msg->header.request == VHOST_USER_GET_VRING_BASE && msg->payload.state.index == 0)
        when_stopped(f);
}

static void maps_nothing(struct fake_backend *f)
{
    /* Zeros: no bytes at all. */
    fake_backend_request(f, VHOST_USER_BACKEND_SHMEM_MAP, sizeof(struct vhost_user_mmap), 1, true);
}

static void asks_for_what_was_not_negotiated(struct fake_backend *f)
{
    fake_backend_request(f, VHOST_USER_BACKEND_SHARED_OBJECT_ADD, sizeof(struct vhost_user_uuid), 0, true);
}

static void sends_half_a_request(struct fake_backend *f)
{
    fake_backend_request(f, VHOST_USER_BACKEND_SHMEM_UNMAP, 8, 0, true);
}

/* The guest's memory, as the back-end was given it. */
static uint8_t *memory(const struct fake_backend *f, uint64_t *first)
{
    const struct vhost_user_region *region = &f->table.regions.plain[0];
    void *map = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, f->region_fds[0], 0);

    *first = region->user_addr;
    return map == MAP_FAILED ? NULL : map;
}

static void byte_write(struct fake_backend *f, uint64_t user_addr)
{
    uint64_t first;
    uint8_t *map = memory(f, &first);

    if (map == NULL)
        abort();
    map[user_addr - first] = 1;
    munmap(map, f->table.regions.plain[0].size);
}

static void writes_a_used_index(struct fake_backend *f)
{
    byte_write(f, f->rings[1].addr.used + 2);
}

static void writes_a_used_flag(struct fake_backend *f)
{
    byte_write(f, f->rings[1].addr.used);
}

static void writes_the_avail_ring(struct fake_backend *f)
{
    byte_write(f, f->rings[0].addr.avail + 2);
}

static void writes_the_descriptors(struct fake_backend *f)
{
    byte_write(f, f->rings[2].addr.desc + 16);
}

static void writes_somewhere(struct fake_backend *f)
{
    byte_write(f, f->table.regions.plain[0].user_addr + MIB(7) + 12345);
}

static void shortens_the_memory(struct fake_backend *f)
{
    if (ftruncate(f->region_fds[0], 0) == 0)
        fprintf(stderr, "the guest's memory could be taken away\n");
}

static void takes_a_request(struct fake_backend *f)
{
    f->rings[0].base = 1;
}

static const struct {
    void (*what)(struct fake_backend *f);
    const char *said; /* NULL: it is allowed */
} deeds[] = {
    {maps_nothing, "SHMEM_MAP (9): len: it is 0"},
    {asks_for_what_was_not_negotiated, "SHARED_OBJECT_ADD (6): it is not supported"},
    {sends_half_a_request, "SHMEM_UNMAP (10): its payload has the wrong size"},
    {writes_a_used_index, "queue 1: it has answered 1 requests"},
    {writes_a_used_flag, NULL},
    {writes_the_avail_ring, "it wrote to guest memory"},
    {writes_the_descriptors, "it wrote to guest memory"},
    {writes_somewhere, "it wrote to guest memory that belongs to no request (guest-physical 0x703039)"},
    {shortens_the_memory, NULL},
    {takes_a_request, "queue 0: it says that it has taken 1 requests"},
};

START_TEST(what_a_back_end_does)
{
    when_stopped = deeds[_i].what;
    fake.hook = hook;
    fake.shmem_sizes[0] = MIB(1);
    fake_start();
    if (deeds[_i].said != NULL)
        expect_violation(deeds[_i].said);
    else
        expect_status(probe_run(fake.path, (char *)NULL), CLEAN);
}
END_TEST

/* ---- the command line --------------------------------------------------------------------------- */

START_TEST(command_lines)
{
    expect_status(probe_run(socket_path, (char *)NULL), FAILED);
    said("no back-end at");
    expect_status(probe_run(socket_path, "--queues", "65", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--queues", "0", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--memory", "3M", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--memory", "5000000", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--memory", "2000000000G", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--serve=x", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--serve=0", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--type", "floppy", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "--nonsense", (char *)NULL), USAGE);
    expect_status(probe_run(socket_path, "more", (char *)NULL), USAGE);
    expect_status(probe_run("", (char *)NULL), FAILED);
    expect_status(probe_run(socket_path, "--help", (char *)NULL), CLEAN);
    said("usage: vhost-dm probe");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost-dm probe");
    SRunner *runner = srunner_create(suite);
    TCase *tcase = tcase_create("probe");
    int failed;

    tcase_set_timeout(tcase, 120.0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, our_example);
    tcase_add_test(tcase, our_example_as_json);
    tcase_add_loop_test(tcase, served_until_a_signal, 0, 2);
    tcase_add_test(tcase, served_until_the_back_end_ends);
    tcase_add_test(tcase, qemu_storage_daemon);
    tcase_add_test(tcase, virtiofsd);
    tcase_add_test(tcase, a_good_back_end);
    tcase_add_loop_test(tcase, each_fault_at_each_message, 0, ARRAY_SIZE(messages));
    tcase_add_test(tcase, offers_that_make_no_sense);
    tcase_add_test(tcase, bad_regions);
    tcase_add_loop_test(tcase, what_a_back_end_does, 0, ARRAY_SIZE(deeds));
    tcase_add_test(tcase, command_lines);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
