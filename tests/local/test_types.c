// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_types.c - devices that are no disks, on the local hypervisor: a network card, a socket and a file
 * system between a driver of ours and a back-end whose rings the test itself works on (the messages are
 * answered by fake_backend.h); and a file system with the real virtiofsd. What is looked at: buffers that the
 * driver lends for ever, packets of many buffers, what comes of requests when the back-end is gone, who
 * serves config space.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "common/util.h"
#include "dm/frontend.h"
#include "tests/local/program_process.h"
#include "tests/local/rings_test.h"
#include "tests/unit/fds.h"

static struct program daemon_program;

static void types_teardown(void)
{
    teardown();
    program_end(&daemon_program);
}

/* ---- a network card ---------------------------------------------------------------------------- */

static void boot_net(void)
{
    boot_fake("net", VIRTIO_ID_NET);
    start(2, 2, BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CSUM));
}

START_TEST(net_config)
{
    uint8_t config[12], again[12];

    fake.features |= UINT32_MAX;
    boot_net();
    ck_assert(driver.offered & BIT(VIRTIO_NET_F_MRG_RXBUF));
    /* Neither what needs a control queue, nor what we would have to serve and do not. */
    ck_assert(!(driver.offered & (BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MTU) |
                                  BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))));
    virtio_driver_config(&driver, 0, config, sizeof(config));
    ck_assert_uint_eq(config[0] & 3, 2);
    ck_assert_uint_eq(config[6], VIRTIO_NET_S_LINK_UP);
    /* What is ours the back-end is not asked to do. */
    ck_assert_uint_eq(fake.acked_features & 0xffffff, BIT(VIRTIO_NET_F_CSUM));
    memory_unmap();
    rig_close(&rig);
    boot("net", VIRTIO_ID_NET);
    virtio_driver_config(&driver, 0, again, sizeof(again));
    ck_assert_mem_eq(config, again, sizeof(config));
}
END_TEST

/* Its header would be 10 bytes long, and the driver's is 12. */
START_TEST(net_of_before_virtio_1)
{
    fake.features &= ~BIT(VIRTIO_F_VERSION_1);
    fake.nr_queues = 1;
    fake_backend_start(&fake);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    options.devices[0].type = device_type_find("net");
    guest_os_init(&os, &options.local);
    ck_assert_int_lt(rig_open(&rig, &options, &os), 0);
    ck_assert_msg(strstr(rig.error, "lacks") != NULL, "%s", rig.error);
}
END_TEST

/* More buffers than are moved in one go. */
START_TEST(packet_of_many_buffers_is_seen_at_once)
{
    const unsigned nr = 100;
    unsigned turns = 0;

    boot_net();
    for (unsigned i = 0; i < nr; i++)
        queue_add(RX, 0, 2048, i);
    driver_queue_publish(&driver.queues[RX]);
    wait_avail(RX, nr);
    for (uint16_t i = 0; i < nr; i++)
        memset(backend_at(backend_desc(RX, backend_head(RX, i))->addr), i, 2048);
    backend_use(RX, nr, 2048);
    while (guest_used_idx(RX) == 0 && turns++ < 1000)
        ev_run(rig.loop, EVRUN_ONCE);
    ck_assert_uint_eq(guest_used_idx(RX), nr);
    for (unsigned i = 0; i < nr; i++) {
        struct harvest harvest = wait_used(RX);

        ck_assert_uint_eq(harvest.token, i);
        ck_assert_uint_eq(harvest.len, 2048);
    }
}
END_TEST

/* The receive queue would like to have more than the whole pool, and for ever. */
START_TEST(lent_buffers_starve_nobody)
{
    options.devices[0].bounce_pool = BOUNCE_POOL_MIN;
    boot_net();
    for (unsigned i = 0; i < 100; i++)
        queue_add(RX, 0, 16384, i);
    driver_queue_publish(&driver.queues[RX]);
    /* Half of 1 MiB is for what is lent, half of that for each queue. */
    wait_avail(RX, 16);
    for (unsigned i = 0; i < 50; i++) {
        queue_add(TX, 65536, 0, i);
        driver_queue_publish(&driver.queues[TX]);
        wait_avail(TX, (uint16_t)(i + 1));
        backend_use(TX, 1, 0);
        ck_assert_uint_eq(wait_used(TX).token, i);
    }
    ck_assert_uint_eq(backend_avail(RX), 16);
    /* As buffers are used the next ones follow. */
    for (unsigned i = 0; i < 84; i++) {
        backend_use(RX, 1, 100);
        ck_assert_uint_eq(wait_used(RX).token, i);
        wait_avail(RX, (uint16_t)(17 + i));
    }
}
END_TEST

START_TEST(reset_with_lent_buffers)
{
    boot_net();
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned n = 0; n < 60; n++)
            queue_add(RX, 0, 2048, n);
        driver_queue_publish(&driver.queues[RX]);
        wait_avail(RX, 60);
        /* Nobody waits for them to come back: not even for a part of the time that the back-end has. */
        ck_assert_int_eq(virtio_driver_reset(&driver, FRONTEND_REPLY_LIMIT / 2), 0);
        ck_assert_uint_eq(fake.nr_closed, 0);
        start(2, 2, BIT(VIRTIO_NET_F_MAC));
    }
}
END_TEST

START_TEST(net_without_a_backend)
{
    boot_net();
    for (unsigned i = 0; i < 10; i++)
        queue_add(RX, 0, 2048, i);
    for (unsigned i = 0; i < 4; i++)
        queue_add(TX, 100, 0, i);
    driver_queue_publish(&driver.queues[RX]);
    driver_queue_publish(&driver.queues[TX]);
    wait_avail(RX, 10);
    wait_avail(TX, 4);
    backend_stop();
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    for (unsigned i = 0; i < 4; i++) {
        struct harvest harvest = wait_used(TX);

        ck_assert_uint_eq(harvest.token, i);
        ck_assert_uint_eq(harvest.len, 0);
    }
    queue_add(TX, 100, 0, 99);
    driver_queue_publish(&driver.queues[TX]);
    ck_assert_uint_eq(wait_used(TX).token, 99);
    /* Receive buffers that came back empty would be given again, and so on. */
    ck_assert_uint_eq(guest_used_idx(RX), 0);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
}
END_TEST

/* ---- a socket ---------------------------------------------------------------------------------- */

START_TEST(vsock_queues_and_packets)
{
    struct driver_segment segments[5];
    const struct vring_desc *desc;
    uint64_t gpa, cid;

    options.devices[0].keys = (struct device_config_keys){.bytes = {42}};
    memset(options.devices[0].keys.given, true, 8);
    boot_fake("vsock", VIRTIO_ID_VSOCK);
    start(3, 2, 0);
    virtio_driver_config(&driver, 0, &cid, sizeof(cid));
    ck_assert_uint_eq(le64toh(cid), 42);
    /* The events' queue is there, and not the back-end's. */
    ck_assert_uint_eq(driver.nr_queues, 3);
    ck_assert(!fake.rings[2].started);
    queue_add(2, 0, 8, 0);
    driver_queue_publish(&driver.queues[2]);
    driver_queue_kick(&driver.queues[2]);
    /* A header and 400 bytes in four places: the back-end gets the header and one buffer. */
    gpa = guest_os_alloc(&os, 16384, 4096, false);
    segments[0] = (struct driver_segment){gpa, 44, false};
    for (unsigned i = 1; i < 5; i++) {
        segments[i] = (struct driver_segment){gpa + i * 2048, 100, false};
        memset(guest_os_ptr(&os, gpa + i * 2048, 100), (int)i, 100);
    }
    ck_assert_int_eq(driver_queue_add(&driver.queues[TX], segments, 5, &(struct driver_shape){0}, 7), 0);
    driver_queue_publish(&driver.queues[TX]);
    wait_avail(TX, 1);
    desc = backend_desc(TX, backend_head(TX, 0));
    ck_assert_uint_eq(desc->len, 44);
    ck_assert_uint_eq(desc->flags, VRING_DESC_F_NEXT);
    desc = backend_desc(TX, desc->next);
    ck_assert_uint_eq(desc->len, 400);
    ck_assert_uint_eq(desc->flags, 0);
    for (unsigned i = 0; i < 400; i++)
        ck_assert_uint_eq(((uint8_t *)backend_at(desc->addr))[i], 1 + i / 100);
    backend_use(TX, 1, 0);
    ck_assert_uint_eq(wait_used(TX).token, 7);
}
END_TEST

/* ---- random numbers, and a type that is not known ---- */

START_TEST(rng_reads)
{
    uint64_t gpa;

    boot_fake("rng", VIRTIO_ID_RNG);
    start(1, 1, 0);
    for (unsigned i = 0; i < 200; i++) {
        gpa = queue_add(RX, 0, 64, i);
        driver_queue_publish(&driver.queues[RX]);
        wait_avail(RX, (uint16_t)(i + 1));
        memset(backend_at(backend_desc(RX, backend_head(RX, (uint16_t)i))->addr), (int)i + 1, 64);
        backend_use(RX, 1, 40);
        ck_assert_uint_eq(wait_used(RX).len, 40);
        ck_assert_uint_eq(*(uint8_t *)guest_os_ptr(&os, gpa + 39, 1), i + 1);
        ck_assert_uint_eq(*(uint8_t *)guest_os_ptr(&os, gpa + 40, 1), 0);
    }
}
END_TEST

START_TEST(generic_passes_all_through)
{
    uint8_t config[5];

    /* Bits of the type go through, but not those of the transport that are not ours. */
    fake.features = UINT64_MAX;
    fake.config_len = 4;
    fake.protocol_features |= BIT(VHOST_USER_PROTOCOL_F_CONFIG);
    options.devices[0].virtio_id = 34;
    options.devices[0].nr_queues = 3;
    options.devices[0].config_size = sizeof(config);
    options.devices[0].pci_class = 0x0c8000;
    options.devices[0].keys = (struct device_config_keys){.bytes = {0xaa}, .given = {true}};
    boot_fake("generic", 34);
    ck_assert_uint_eq(config_read(&os, driver.sbdf, 8, 4) >> 8, 0x0c8000);
    start(3, 3, UINT64_MAX);
    ck_assert_uint_eq(driver.features & 0xffffff, 0xffffff);
    ck_assert_uint_eq(driver.features >> 50, 0x3fff);
    ck_assert_uint_eq(driver.features >> 33 & 0x1ffff, 0);
    /* A byte of ours, the back-end's (fake_backend_defaults), and what nobody says. */
    virtio_driver_config(&driver, 0, config, sizeof(config));
    ck_assert_mem_eq(config, ((const uint8_t[]){0xaa, 7, 14, 21, 0}), sizeof(config));
}
END_TEST

static void do_close(struct fake_backend *f)
{
    shutdown(vhost_user_channel_fd(f->main), SHUT_RDWR);
}

static bool config_is(void *ctx)
{
    uint8_t config[4];

    virtio_driver_config(&driver, 0, config, sizeof(config));
    return memcmp(config, ctx, sizeof(config)) == 0;
}

START_TEST(config_of_another_backend)
{
    const struct driver_options wanted = {.nr_queues = 1, .msix = true};
    uint8_t config[] = {0, 7, 14, 21}; /* fake_backend_defaults */

    fake.config_len = sizeof(config);
    fake.protocol_features |= BIT(VHOST_USER_PROTOCOL_F_CONFIG);
    options.devices[0].virtio_id = 34;
    options.devices[0].nr_queues = 1;
    options.devices[0].config_size = sizeof(config);
    boot_fake("generic", 34);
    start(1, 1, 0);
    ck_assert(config_is(config));
    config[1] = fake.config[1] = 99;
    fake_backend_do(&fake, do_close);
    ck_assert(guest_os_wait(&os, needs_reset, NULL, PATIENCE));
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    ck_assert_msg(virtio_driver_start(&driver, &wanted) == 0, "%s", driver.error);
    ck_assert(guest_os_wait(&os, config_is, config, PATIENCE));
}
END_TEST

/* ---- a file system ----------------------------------------------------------------------------- */

static void fs_tag(const char *tag)
{
    memcpy(options.devices[0].keys.bytes, tag, strlen(tag));
    memset(options.devices[0].keys.given, true, sizeof(((struct virtio_fs_config *)0)->tag));
}

START_TEST(fs_without_a_backend)
{
    struct virtio_fs_config config;
    struct fuse_out_header out;
    struct fuse_in_header *in;
    uint64_t gpa;

    fs_tag("share");
    options.devices[0].nr_queues = 1;
    boot_fake("fs", VIRTIO_ID_FS);
    start(2, 2, 0);
    virtio_driver_config(&driver, 0, &config, sizeof(config));
    ck_assert_str_eq((const char *)config.tag, "share");
    ck_assert_uint_eq(le32toh(config.num_request_queues), 1);
    gpa = queue_add(1, sizeof(*in), 4096, 1);
    in = guest_os_ptr(&os, gpa, sizeof(*in));
    *in = (struct fuse_in_header){.len = sizeof(*in), .opcode = FUSE_READDIR, .unique = 0x123456789abcdef0};
    memset(guest_os_ptr(&os, gpa + sizeof(*in), 4096), 0, 4096);
    queue_add(0, 64, 0, 2); /* FORGET has no reply */
    queue_add(1, 64, 8, 3); /* no room for one */
    driver_queue_publish(&driver.queues[0]);
    driver_queue_publish(&driver.queues[1]);
    wait_avail(1, 2);
    backend_stop();
    ck_assert_uint_eq(wait_used(0).len, 0);
    ck_assert_uint_eq(wait_used(1).len, sizeof(out));
    memcpy(&out, guest_os_ptr(&os, gpa + sizeof(*in), sizeof(out)), sizeof(out));
    ck_assert_uint_eq(out.len, sizeof(out));
    ck_assert_int_eq(out.error, -EIO);
    ck_assert_uint_eq(out.unique, 0x123456789abcdef0);
    ck_assert_uint_eq(wait_used(1).len, 0);
}
END_TEST

START_TEST(fs_that_does_not_say_how_many_queues)
{
    fs_tag("share");
    fake.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_MQ);
    boot_fake("fs", VIRTIO_ID_FS);
    start(2, 2, 0);
}
END_TEST

static const char *virtiofsd_find(void)
{
    static const char *const places[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (program_is_installed(places[i]))
            return places[i];
    return NULL;
}

/* FUSE_INIT, and the root folder's attributes. */
START_TEST(virtiofsd_answers)
{
    char dir[] = "/tmp/vhost-dm-types-XXXXXX", socket[64], option[96], source[64];
    const char *program = virtiofsd_find();
    const char *const now[] = {program, option, "--shared-dir", dir, "--sandbox", "none", NULL};
    const char *const old[] = {program, option, "-o", source, "-o", "sandbox=chroot", NULL};
    struct fuse_init_in init = {.major = 7, .minor = 31, .max_readahead = 65536};
    struct fuse_out_header out;
    struct fuse_attr_out attr;
    struct fuse_in_header in;
    struct stat st;
    uint64_t gpa;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(socket, sizeof(socket), "%s.sock", dir);
    snprintf(option, sizeof(option), "--socket-path=%s", socket);
    snprintf(source, sizeof(source), "source=%s", dir);
    ck_assert_int_eq(program_start(&daemon_program, strstr(program, "libexec") != NULL ? now : old), 0);
    ck_assert_msg(program_expect(&daemon_program, "aiting for vhost-user socket connection", PATIENCE), "%s",
                  daemon_program.said);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", socket);
    fs_tag("real");
    boot("fs", VIRTIO_ID_FS);
    ck_assert_msg(virtio_driver_start(&driver, &(struct driver_options){.nr_queues = 2, .msix = true}) == 0,
                  "%s", driver.error);
    gpa = queue_add(1, sizeof(in) + sizeof(init), 256, 1);
    in = (struct fuse_in_header){.len = sizeof(in) + sizeof(init), .opcode = FUSE_INIT, .unique = 77};
    memcpy(guest_os_ptr(&os, gpa, sizeof(in)), &in, sizeof(in));
    memcpy(guest_os_ptr(&os, gpa + sizeof(in), sizeof(init)), &init, sizeof(init));
    driver_queue_publish(&driver.queues[1]);
    ck_assert_uint_gt(wait_used(1).len, sizeof(out));
    memcpy(&out, guest_os_ptr(&os, gpa + sizeof(in) + sizeof(init), sizeof(out)), sizeof(out));
    ck_assert_int_eq(out.error, 0);
    ck_assert_uint_eq(out.unique, 77);
    gpa = queue_add(1, sizeof(in) + sizeof(struct fuse_getattr_in), 256, 2);
    in = (struct fuse_in_header){.len = sizeof(in) + sizeof(struct fuse_getattr_in),
                                 .opcode = FUSE_GETATTR,
                                 .unique = 79,
                                 .nodeid = FUSE_ROOT_ID};
    memcpy(guest_os_ptr(&os, gpa, sizeof(in)), &in, sizeof(in));
    driver_queue_publish(&driver.queues[1]);
    ck_assert_uint_eq(wait_used(1).len, sizeof(out) + sizeof(attr));
    memcpy(&attr, guest_os_ptr(&os, gpa + in.len + sizeof(out), sizeof(attr)), sizeof(attr));
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_uint_eq(attr.attr.ino, st.st_ino);
    ck_assert_uint_eq(attr.attr.mode, st.st_mode);
    program_end(&daemon_program);
    unlink(socket);
    rmdir(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("types of devices");
    TCase *tcase = tcase_create("local");
    SRunner *runner = srunner_create(suite);
    int nr_failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, types_teardown);
    tcase_add_test(tcase, net_config);
    tcase_add_test(tcase, net_of_before_virtio_1);
    tcase_add_test(tcase, packet_of_many_buffers_is_seen_at_once);
    tcase_add_test(tcase, lent_buffers_starve_nobody);
    tcase_add_test(tcase, reset_with_lent_buffers);
    tcase_add_test(tcase, net_without_a_backend);
    tcase_add_test(tcase, vsock_queues_and_packets);
    tcase_add_test(tcase, rng_reads);
    tcase_add_test(tcase, generic_passes_all_through);
    tcase_add_test(tcase, config_of_another_backend);
    tcase_add_test(tcase, fs_without_a_backend);
    tcase_add_test(tcase, fs_that_does_not_say_how_many_queues);
    if (virtiofsd_find() != NULL)
        tcase_add_test(tcase, virtiofsd_answers);
    else
        fprintf(stderr, "no virtiofsd is installed: not tested with it\n");
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    nr_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return nr_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
