// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pmem.c - a virtio-pmem device on the local hypervisor: our device model between a driver of ours and
 * the example back-end vhost-user-pmem, over its socket. What the guest sees is compared with the file that
 * the back-end serves, and the other way round.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_ids.h>

#include "common/log.h"
#include "common/util.h"
#include "common/virtio_uapi.h"
#include "tests/local/driver_shm.h"
#include "tests/local/program_process.h"
#include "tests/local/rig.h"

#define BACKEND   "./vhost-user-pmem" /* make runs tests in the build folder */
#define PATIENCE  20.0
#define MEMORY    MIB(4)
#define NR_WORDS  (MEMORY / sizeof(uint64_t))
#define ALL_ONES  UINT64_MAX
#define NEW_VALUE 0x1122334455667788

static struct rig_options options;
static struct rig rig;
static struct guest_os os;
static struct virtio_driver driver;
static struct driver_shm shm;
static struct program backend;
static char dir[64], socket_path[96], file_path[96];
static int file_fd = -1;

/* ---- the host's side ---------------------------------------------------------------------------- */

static void backend_start(const char *option)
{
    const char *argv[] = {BACKEND, "--socket", socket_path, "--file", file_path, option, NULL};

    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert_msg(program_expect(&backend, "listening at", PATIENCE), "it said: %s", backend.said);
}

/* Word n of the file holds n. */
static void file_make(void)
{
    uint64_t *words = malloc(MEMORY);

    for (uint64_t i = 0; i < NR_WORDS; i++)
        words[i] = htole64(i);
    file_fd = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(file_fd, 0);
    ck_assert_int_eq(pwrite(file_fd, words, MEMORY, 0), MEMORY);
    free(words);
}

static uint64_t file_word(uint64_t n)
{
    uint64_t value;

    ck_assert_int_eq(pread(file_fd, &value, sizeof(value), (off_t)(n * sizeof(value))), sizeof(value));
    return le64toh(value);
}

static void file_word_set(uint64_t n, uint64_t value)
{
    value = htole64(value);
    ck_assert_int_eq(pwrite(file_fd, &value, sizeof(value), (off_t)(n * sizeof(value))), sizeof(value));
}

static void setup(void)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(dir, sizeof(dir), "%s/vhost-dm-test-XXXXXX", tmp);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
    snprintf(file_path, sizeof(file_path), "%s/file", dir);
    file_make();
    rig_options_default(&options);
    options.devices[0].type = device_type_find("pmem");
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", socket_path);
}

/* The same with a back-end that maps the guest's memory. */
static void setup_direct(void)
{
    setup();
    options.devices[0].memory = MEMORY_XEN_MMAP;
}

static void teardown(void)
{
    rig_close(&rig);
    program_end(&backend);
    close(file_fd);
    unlink(socket_path);
    unlink(file_path);
    rmdir(dir);
}

/* ---- the guest's side --------------------------------------------------------------------------- */

static void boot(void)
{
    guest_os_init(&os, &options.local);
    ck_assert_msg(rig_open(&rig, &options, &os) == 0, "%s", rig.error);
    ck_assert_msg(virtio_driver_probe(&driver, &os, guest_os_scan(&os, 0)) == 0, "%s", driver.error);
    ck_assert_uint_eq(driver.virtio_id, VIRTIO_ID_PMEM);
    ck_assert(driver_shm_find(&driver, VIRTIO_PMEM_SHMEM_REGION_ID, &shm));
    ck_assert_uint_eq(shm.len, MEMORY);
    ck_assert(!driver_shm_find(&driver, 1, &(struct driver_shm){0}));
}

static void driver_start(void)
{
    const struct driver_options wanted = {
        .features = 1ULL << VIRTIO_PMEM_F_SHMEM_REGION, .nr_queues = 1, .msix = true};

    ck_assert_msg(virtio_driver_start(&driver, &wanted) == 0, "%s", driver.error);
}

static uint64_t guest_word(uint64_t n)
{
    return mmio_read(&os, shm.gpa + n * sizeof(uint64_t), sizeof(uint64_t));
}

static void guest_word_set(uint64_t n, uint64_t value)
{
    mmio_write(&os, shm.gpa + n * sizeof(uint64_t), sizeof(uint64_t), value);
}

/* The guest and the file have the same in every page: in its first word, its last, and one between. */
static void expect_same(void)
{
    const uint64_t step = GUEST_PAGE_SIZE / sizeof(uint64_t);

    for (uint64_t n = 0; n < NR_WORDS; n += step) {
        ck_assert_uint_eq(guest_word(n), file_word(n));
        ck_assert_uint_eq(guest_word(n + n / step % step), file_word(n + n / step % step));
        ck_assert_uint_eq(guest_word(n + step - 1), file_word(n + step - 1));
    }
}

static void expect_nothing(void)
{
    for (uint64_t n = 0; n < NR_WORDS; n += 511)
        ck_assert_uint_eq(guest_word(n), ALL_ONES);
}

static bool word_0_is_there(void *ctx)
{
    (void)ctx;
    return guest_word(0) != ALL_ONES;
}

static bool word_0_is_gone(void *ctx)
{
    return !word_0_is_there(ctx);
}

struct answer {
    bool came;
    uint32_t token, len;
};

/* Interrupts may come for nothing: what counts is the used ring. */
static bool answered(void *ctx)
{
    struct answer *answer = ctx;

    virtio_driver_queue_interrupted(&driver, 0);
    answer->came = answer->came || driver_queue_harvest(&driver.queues[0], &answer->token, &answer->len);
    return answer->came;
}

/* A request of that type in one descriptor or in bytes; its answer. */
static uint32_t request(uint32_t type, bool in_bytes)
{
    uint64_t gpa = guest_os_alloc(&os, 8, 8, false);
    struct virtio_pmem_req *req = guest_os_ptr(&os, gpa, 8);
    struct virtio_pmem_resp *resp = guest_os_ptr(&os, gpa + 4, 4);
    struct driver_queue *q = &driver.queues[0];
    struct driver_segment segments[8];
    unsigned size = in_bytes ? 1 : 4, nr = 8 / size;
    struct answer answer = {0};

    req->type = htole32(type);
    resp->ret = htole32(0x55555555);
    for (unsigned i = 0; i < nr; i++)
        segments[i] = (struct driver_segment){.gpa = gpa + i * size, .len = size, .write = i >= nr / 2};
    ck_assert_int_eq(driver_queue_add(q, segments, nr, &(struct driver_shape){0}, 7), 0);
    driver_queue_interrupt_after(q, 1);
    driver_queue_publish(q);
    if (!guest_os_wait(&os, answered, &answer, PATIENCE)) {
        program_expect(&backend, "?", 0.1);
        ck_abort_msg("no answer; %s; the back-end said: %s", q->error, backend.said);
    }
    ck_assert_uint_eq(answer.token, 7);
    return le32toh(resp->ret);
}

/* ---- tests -------------------------------------------------------------------------------------- */

START_TEST(contents_before_and_with_a_driver)
{
    backend_start(NULL);
    boot();
    expect_same();
    driver_start();
    expect_same();
    guest_word_set(0, NEW_VALUE);
    guest_word_set(NR_WORDS - 1, NEW_VALUE);
    mmio_write(&os, shm.gpa + 8 * 777 + 3, 1, 0xab);
    ck_assert_uint_eq(file_word(0), NEW_VALUE);
    ck_assert_uint_eq(file_word(NR_WORDS - 1), NEW_VALUE);
    ck_assert_uint_eq(file_word(777), 777 | 0xabULL << 24);
    file_word_set(12345, NEW_VALUE);
    ck_assert_uint_eq(guest_word(12345), NEW_VALUE);
    expect_same();
}
END_TEST

START_TEST(flush)
{
    backend_start(NULL);
    boot();
    driver_start();
    for (unsigned i = 0; i < 300; i++)
        ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, i % 2 != 0), 0);
    ck_assert_uint_ne(request(VIRTIO_PMEM_REQ_TYPE_FLUSH + 1, false), 0);
    ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
}
END_TEST

/* What a driver finds when it looks for its device again: at once, not some time later. */
START_TEST(there_again_after_each_reset)
{
    backend_start(NULL);
    boot();
    for (unsigned i = 0; i < 50; i++) {
        driver_start();
        ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
        guest_word_set(i, NEW_VALUE + i);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        ck_assert_uint_eq(guest_word(i), NEW_VALUE + i);
        ck_assert_uint_eq(guest_word(NR_WORDS - 1), file_word(NR_WORDS - 1));
    }
    expect_same();
    /* Drivers that give up early, and the resets of others that look. */
    for (unsigned i = 0; i < 20; i++) {
        virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
        if (i % 2 != 0)
            virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_DRIVER);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        ck_assert_uint_eq(guest_word(1000), 1000);
    }
}
END_TEST

/* It asks for what is not there, and for nothing else. */
START_TEST(no_request_is_refused)
{
    backend_start(NULL);
    boot();
    for (unsigned i = 0; i < 10; i++) {
        driver_start();
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    }
    ck_assert_uint_eq(shmem_stats_get(device_shmem(rig.devices[0])).refused, 0);
    ck_assert_uint_eq(shmem_stats_get(device_shmem(rig.devices[0])).maps, 11);
}
END_TEST

START_TEST(taken_out_and_put_back)
{
    backend_start(NULL);
    boot();
    driver_start();
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(kill(backend.pid, SIGUSR1), 0);
        ck_assert(guest_os_wait(&os, word_0_is_gone, NULL, PATIENCE));
        expect_nothing();
        guest_word_set(0, NEW_VALUE);
        expect_nothing();
        ck_assert_uint_eq(file_word(0), 0);
        ck_assert_int_eq(kill(backend.pid, SIGUSR2), 0);
        ck_assert(guest_os_wait(&os, word_0_is_there, NULL, PATIENCE));
        expect_same();
    }
}
END_TEST

/* The memory is gone with the back-end, flushes fail; with its successor everything goes on. */
START_TEST(backend_killed_and_back)
{
    backend_start(NULL);
    boot();
    driver_start();
    for (unsigned i = 0; i < 3; i++) {
        program_end(&backend);
        ck_assert(guest_os_wait(&os, word_0_is_gone, NULL, PATIENCE));
        expect_nothing();
        ck_assert_uint_ne(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, i % 2 != 0), 0);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        backend_start(NULL);
        driver_start();
        ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
        expect_same();
    }
}
END_TEST

static bool needs_reset(void *ctx)
{
    (void)ctx;
    return (virtio_driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
}

/* What it had in hand nobody knows: the driver has to begin anew, and then all is well. */
START_TEST(direct_backend_killed_and_back)
{
    backend_start(NULL);
    boot();
    driver_start();
    ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
    for (unsigned i = 0; i < 3; i++) {
        program_end(&backend);
        ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
        ck_assert(virtio_driver_config_interrupted(&driver));
        expect_nothing();
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        /* Before its driver, or after it. */
        if (i % 2 == 0)
            backend_start(NULL);
        driver_start();
        if (i % 2 != 0) {
            ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
            backend_start(NULL);
            ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
            driver_start();
        }
        ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
        expect_same();
    }
}
END_TEST

/* Rings where there is no memory, as a driver may say that they are. */
START_TEST(direct_rings_elsewhere)
{
    const uint64_t places[] = {MIB(64) - 64, GIB(3), UINT64_MAX - 15, GIB(4) + MIB(128) - 64};

    backend_start(NULL);
    boot();
    for (unsigned i = 0; i < 3 * ARRAY_SIZE(places) + 3; i++) {
        uint64_t at[3];

        ck_assert_int_eq(
            virtio_driver_negotiate(&driver, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_PMEM_F_SHMEM_REGION),
            0);
        for (unsigned j = 0; j < 3; j++)
            at[j] = guest_os_alloc(&os, 4096, 4096, j == 0);
        at[i % 3] = i / 3 < ARRAY_SIZE(places) ? places[i / 3] : shm.gpa;
        virtio_driver_queue_program(&driver, 0, at[0], at[1], at[2]);
        virtio_driver_status_add(&driver, VIRTIO_CONFIG_S_DRIVER_OK);
        ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    }
    driver_start();
    ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
    expect_same();
}
END_TEST

/* Another device model, with another guest, after the first. */
START_TEST(one_front_end_after_another)
{
    backend_start(NULL);
    for (unsigned i = 0; i < 5; i++) {
        boot();
        driver_start();
        guest_word_set(i, NEW_VALUE);
        expect_same();
        if (i % 2 == 0)
            ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        rig_close(&rig);
    }
    ck_assert_uint_eq(file_word(4), NEW_VALUE);
}
END_TEST

START_TEST(read_only)
{
    backend_start("--read-only");
    boot();
    driver_start();
    for (uint64_t n = 0; n < NR_WORDS; n += 1009)
        guest_word_set(n, NEW_VALUE);
    for (uint64_t n = 0; n < NR_WORDS; n += 1009)
        ck_assert_uint_eq(file_word(n), n);
    expect_same();
    ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
}
END_TEST

START_TEST(mapped_when_the_queue_starts)
{
    backend_start("--map-at-start");
    boot();
    expect_nothing();
    for (unsigned i = 0; i < 3; i++) {
        driver_start();
        ck_assert(guest_os_wait(&os, word_0_is_there, NULL, PATIENCE));
        expect_same();
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        expect_nothing();
    }
}
END_TEST

/* Memory of the guest's own: its accesses do not come to the device model at all. */
START_TEST(shared_pages)
{
    const char *argv[] = {BACKEND,    "--socket", socket_path, "--size", "4M",
                          "--memory", "shm",      "--pattern", NULL};
    char shm_path[96];
    uint64_t delivered;

    snprintf(shm_path, sizeof(shm_path), "%s/shm", dir);
    ck_assert_int_eq(setenv("VHOST_DM_SHM", shm_path, 1), 0);
    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert_msg(program_expect(&backend, "listening at", PATIENCE), "it said: %s", backend.said);
    options.shm_path = shm_path;
    options.shm_limit = 2 * MEMORY;
    boot();
    for (unsigned i = 0; i < 3; i++) {
        driver_start();
        delivered = local_stats_get(rig.hv)->delivered;
        for (uint64_t n = 0; n < NR_WORDS; n += 499)
            if (n != 998)
                ck_assert_uint_eq(guest_word(n), n * sizeof(uint64_t));
        guest_word_set(998, NEW_VALUE + i);
        ck_assert_uint_eq(local_stats_get(rig.hv)->delivered, delivered);
        ck_assert_uint_eq(request(VIRTIO_PMEM_REQ_TYPE_FLUSH, false), 0);
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        ck_assert_uint_eq(guest_word(998), NEW_VALUE + i);
    }
    program_end(&backend);
    ck_assert(guest_os_wait(&os, word_0_is_gone, NULL, PATIENCE));
    expect_nothing();
}
END_TEST

/* Without a vhost-dm that has such memory there is none, and it says so. */
START_TEST(shared_pages_of_nobody)
{
    const char *argv[] = {BACKEND, "--socket", socket_path, "--size", "4M", "--memory", "shm", NULL};

    unsetenv("VHOST_DM_SHM");
    ck_assert_int_eq(program_start(&backend, argv), 0);
    ck_assert(program_expect(&backend, "listening at", PATIENCE));
    guest_os_init(&os, &options.local);
    ck_assert_int_lt(rig_open(&rig, &options, &os), 0);
    ck_assert(program_expect(&backend, "of the guest's memory", PATIENCE));
}
END_TEST

/* A driver that does not know the feature would take what is at guest address 0 for its memory. */
START_TEST(driver_without_the_feature)
{
    const struct driver_options wanted = {.nr_queues = 1, .msix = true};

    backend_start(NULL);
    boot();
    ck_assert_int_ne(virtio_driver_start(&driver, &wanted), 0);
    ck_assert_uint_eq(virtio_driver_status(&driver) & VIRTIO_CONFIG_S_FEATURES_OK, 0);
    driver_start();
    expect_same();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pmem with vhost-user-pmem");
    SRunner *runner = srunner_create(suite);
    TCase *tcase = tcase_create("pmem");
    const char *level = getenv("VHOST_DM_TEST_LOG");
    int failed;

    log_level = level == NULL ? LOG_LEVEL_ERROR : (enum log_level)atoi(level);
    tcase_set_timeout(tcase, 120.0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, contents_before_and_with_a_driver);
    tcase_add_test(tcase, flush);
    tcase_add_test(tcase, there_again_after_each_reset);
    tcase_add_test(tcase, no_request_is_refused);
    tcase_add_test(tcase, taken_out_and_put_back);
    tcase_add_test(tcase, backend_killed_and_back);
    tcase_add_test(tcase, one_front_end_after_another);
    tcase_add_test(tcase, read_only);
    tcase_add_test(tcase, mapped_when_the_queue_starts);
    tcase_add_test(tcase, shared_pages);
    tcase_add_test(tcase, shared_pages_of_nobody);
    tcase_add_test(tcase, driver_without_the_feature);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("direct");
    tcase_set_timeout(tcase, 120.0);
    tcase_add_checked_fixture(tcase, setup_direct, teardown);
    tcase_add_test(tcase, contents_before_and_with_a_driver);
    tcase_add_test(tcase, flush);
    tcase_add_test(tcase, there_again_after_each_reset);
    tcase_add_test(tcase, no_request_is_refused);
    tcase_add_test(tcase, taken_out_and_put_back);
    tcase_add_test(tcase, one_front_end_after_another);
    tcase_add_test(tcase, read_only);
    tcase_add_test(tcase, mapped_when_the_queue_starts);
    tcase_add_test(tcase, shared_pages);
    tcase_add_test(tcase, direct_backend_killed_and_back);
    tcase_add_test(tcase, direct_rings_elsewhere);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
