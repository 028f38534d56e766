// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_device_types.c - what --device takes for each type of device, and the config space that comes of it.
 * Expected bytes are written as the spec has the structures (virtio 1.2, chapter 5), not by way of the table.
 */
#include <stdio.h>
#include <string.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "common/util.h"
#include "dm/device_config.h"
#include "dm/options.h"
#include "tests/unit/unit.h"

#define BIT(n) (1ULL << (n))

static struct device_options options;
static char why[512];

static void takes(const char *text)
{
    ck_assert_msg(options_parse_device(&options, text, why, sizeof(why)) == 0, "%s: %s", text, why);
}

/* Refused, with a message that has this in it. */
static void refuses(const char *text, const char *message)
{
    ck_assert_msg(options_parse_device(&options, text, why, sizeof(why)) < 0, "%s is taken", text);
    ck_assert_msg(strstr(why, message) != NULL, "%s: '%s', not '%s'", text, why, message);
}

static const struct device_type *type_of(const char *name)
{
    const struct device_type *type = device_type_find(name);

    ck_assert_ptr_nonnull(type);
    return type;
}

/* ---- the command line -------------------------------------------------------------------------- */

START_TEST(types)
{
    static const char *const good[] = {"type=blk,socket=/s", "socket=/s,type=pmem",  "type=net,socket=/s",
                                       "type=fs,socket=/s",  "type=vsock,socket=/s", "type=rng,socket=/s"};
    static const uint16_t ids[] = {VIRTIO_ID_BLOCK, VIRTIO_ID_PMEM,  VIRTIO_ID_NET,
                                   VIRTIO_ID_FS,    VIRTIO_ID_VSOCK, VIRTIO_ID_RNG};

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        takes(good[i]);
        ck_assert_uint_eq(options.type->virtio_id, ids[i]);
    }
    refuses("type=floppy,socket=/s", "must be one of blk, pmem, net, fs, vsock, rng, generic");
    refuses("socket=/s", "type= is missing");
    refuses("type=net", "socket= is missing");
    refuses("type=net,type=net,socket=/s", "type= is there twice");
    refuses("type=net,socket=/s\n", "control character (0x0a)");
    refuses("type=net,socket=/s,colour", "'colour' is not KEY=VALUE");
    refuses("type=net,socket=/s,colour=red", "unknown key 'colour'; known are: type socket transport");
    refuses("type=net,socket=/s,colour=red", " mac mtu");
}
END_TEST

/* Those whose requests carry guest addresses. */
START_TEST(types_that_cannot_be_copied)
{
    static const char *const names[] = {"gpu",           "balloon",       "mem",  "iommu",
                                        "video-encoder", "video-decoder", "media"};
    static const unsigned ids[] = {16, 5, 13, 24, 23, 30, 31, 48};
    char text[96];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(text, sizeof(text), "type=%s,socket=/s", names[i]);
        refuses(text, "carry guest addresses, which cannot be copied");
        ck_assert_ptr_nonnull(strstr(why, "XEN_MMAP"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        snprintf(text, sizeof(text), "type=generic,virtio-id=%u,queues=1,config-size=0,socket=/s", ids[i]);
        takes(text);
        ck_assert_int_eq(device_memory_mode(&options), MEMORY_XEN_MMAP);
        strcat(text, ",memory=bounce");
        refuses(text, "carry guest addresses, which cannot be copied");
    }
    refuses("type=generic,virtio-id=27,queues=1,config-size=0,socket=/s", "that is type=pmem");
}
END_TEST

START_TEST(memory_modes)
{
    takes("type=blk,socket=/s");
    ck_assert_int_eq(device_memory_mode(&options), MEMORY_BOUNCE);
    takes("type=blk,socket=/s,memory=auto");
    ck_assert_int_eq(device_memory_mode(&options), MEMORY_BOUNCE);
    takes("type=blk,socket=/s,memory=xen-mmap");
    ck_assert_int_eq(device_memory_mode(&options), MEMORY_XEN_MMAP);
    takes("type=generic,virtio-id=34,queues=1,config-size=0,socket=/s");
    ck_assert_int_eq(device_memory_mode(&options), MEMORY_BOUNCE);
    refuses("type=blk,socket=/s,memory=xen", "must be auto, bounce or xen-mmap");
}
END_TEST

START_TEST(types_that_cannot_be_had)
{
    refuses("type=input,socket=/s", "type input cannot be had: its driver asks for parts of configuration");
    refuses("type=generic,virtio-id=18,queues=2,config-size=136,socket=/s", "type input cannot be had");
    refuses("type=generic,virtio-id=18,queues=2,config-size=136,memory=xen-mmap,socket=/s", "cannot be had");
    refuses("type=inputs,socket=/s", "must be one of blk, pmem, net, fs, vsock, rng, generic");
}
END_TEST

START_TEST(keys_of_types)
{
    takes("tag=share,socket=/s,type=fs,queues=63");
    takes("type=fs,socket=/s,tag=123456789012345678901234567890123456");
    refuses("type=fs,socket=/s,tag=1234567890123456789012345678901234567", "1 to 36 bytes");
    refuses("type=fs,socket=/s,tag=", "1 to 36 bytes");
    refuses("type=fs,socket=/s,tag=a,tag=b", "tag= is there twice");
    refuses("type=fs,socket=/s,queues=64", "must be 1 to 63 for type=fs");
    refuses("type=blk,socket=/s,tag=a", "tag= is for type=fs");
    takes("type=net,socket=/s,mac=02:00:5e:10:aB:ff,mtu=68");
    takes("type=net,socket=/s,mtu=65535");
    refuses("type=net,socket=/s,mtu=67", "mtu=67: must be 68 to 65535");
    refuses("type=net,socket=/s,mtu=65536", "68 to 65535");
    refuses("type=net,socket=/s,mtu=-1", "68 to 65535");
    refuses("type=net,socket=/s,mtu=0x", "68 to 65535");
    refuses("type=net,socket=/s,mac=01:00:5e:10:ab:ff", "not a multicast one");
    refuses("type=net,socket=/s,mac=00:00:00:00:00:00", "a MAC address");
    refuses("type=net,socket=/s,mac=02:00:5e:10:ab", "a MAC address");
    refuses("type=net,socket=/s,mac=02:00:5e:10:ab:ff:", "a MAC address");
    refuses("type=net,socket=/s,mac=02-00-5e-10-ab-ff", "a MAC address");
    refuses("type=net,socket=/s,mac=2:0:5e:10:ab:ff", "a MAC address");
    refuses("type=net,socket=/s,queues=2", "queues= is not for type=net, which has 2");
    refuses("type=pmem,socket=/s,queues=1", "queues= is not for type=pmem");
    takes("type=vsock,socket=/s,cid=3");
    refuses("type=vsock,socket=/s,cid=2", "3 to 4294967294");
    refuses("type=vsock,socket=/s,cid=4294967295", "3 to 4294967294");
    refuses("type=net,socket=/s,cid=3", "cid= is for type=vsock");
    refuses("type=rng,socket=/s,config=00", "config= is for type=generic");
    refuses("type=rng,socket=/s,virtio-id=4", "virtio-id= is for type=generic");
}
END_TEST

START_TEST(keys_of_generic)
{
    takes("type=generic,virtio-id=0x22,queues=1,config-size=0,socket=/s,pci-class=0x088000");
    ck_assert_uint_eq(options.virtio_id, 34);
    ck_assert_uint_eq(options.pci_class, 0x088000);
    takes("type=generic,virtio-id=63,queues=64,config-size=256,socket=/s");
    takes("type=generic,virtio-id=26,queues=2,config-size=2,config=0aFf,socket=/s");
    refuses("type=generic,virtio-id=26,queues=2,config-size=2,config=0aFf00,socket=/s",
            "config= is longer than config-size=2");
    refuses("type=generic,virtio-id=26,queues=2,config-size=2,config=0aF,socket=/s", "hexadecimal");
    refuses("type=generic,virtio-id=26,queues=2,config-size=2,config=0g,socket=/s", "hexadecimal");
    refuses("type=generic,virtio-id=26,queues=2,config-size=2,config=,socket=/s", "hexadecimal");
    refuses("type=generic,virtio-id=64,queues=1,config-size=0,socket=/s", "1 to 63");
    refuses("type=generic,virtio-id=0,queues=1,config-size=0,socket=/s", "1 to 63");
    refuses("type=generic,virtio-id=9,queues=1,config-size=257,socket=/s", "0 to 256");
    refuses("type=generic,virtio-id=9,queues=1,config-size=0,pci-class=0x1000000,socket=/s", "class");
    refuses("type=generic,queues=1,config-size=0,socket=/s", "needs virtio-id=, queues= and config-size=");
    refuses("type=generic,virtio-id=9,config-size=0,socket=/s", "needs virtio-id=, queues= and config-size=");
    refuses("type=generic,virtio-id=9,queues=1,socket=/s", "needs virtio-id=, queues= and config-size=");
}
END_TEST

/* ---- config space ------------------------------------------------------------------------------ */

static struct device_config config;
static const char *missing;

static int make(const char *keys, const void *backend, size_t backend_len, uint64_t features)
{
    struct device_config_input in = {
        .backend = backend, .backend_len = backend_len, .features = features, .guest = "web", .index = 1};

    takes(keys);
    in.type = options.type;
    in.keys = &options.keys;
    return device_config_make(&config, &in, &missing);
}

START_TEST(config_of_net)
{
    static const uint8_t mine[12] = {2, 1, 2, 3, 4, 5, 1, 0, 0, 0, 0x78, 0x05};
    static const uint8_t backends[12] = {4, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0xdc, 0x05};
    const uint64_t all = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MTU);
    uint8_t mac[6];

    /* All of it from the keys, and the link is up. */
    ck_assert_int_eq(make("type=net,socket=/s,mac=02:01:02:03:04:05,mtu=1400", NULL, 0, all), 0);
    ck_assert_mem_eq(config.bytes, mine, sizeof(mine));
    ck_assert_uint_eq(config.own, all);
    ck_assert_uint_eq(config.not_served, 0);
    /* Nothing is said: an address that depends on guest and device alone; no MTU, whatever the back-end
     * offers. */
    ck_assert_int_eq(make("type=net,socket=/s", NULL, 0, all), 0);
    memcpy(mac, config.bytes, sizeof(mac));
    ck_assert_uint_eq(mac[0] & 3, 2);
    ck_assert_uint_eq(config.own, BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS));
    ck_assert_uint_eq(config.not_served, BIT(VIRTIO_NET_F_MTU));
    ck_assert_int_eq(make("type=net,socket=/t,slot=5", NULL, 0, 0), 0);
    ck_assert_mem_eq(config.bytes, mac, sizeof(mac));
    /* A back-end that serves it all, and one key before it. */
    ck_assert_int_eq(make("type=net,socket=/s", backends, sizeof(backends), all), 0);
    ck_assert_mem_eq(config.bytes, backends, sizeof(backends));
    ck_assert_uint_eq(config.own, 0);
    ck_assert_int_eq(make("type=net,socket=/s,mtu=1400", backends, sizeof(backends), all), 0);
    ck_assert_mem_eq(config.bytes, backends, 10);
    ck_assert_mem_eq(config.bytes + 10, mine + 10, 2);
    ck_assert_uint_eq(config.own, BIT(VIRTIO_NET_F_MTU));
    /* One that serves bytes but not the feature: they mean nothing. */
    ck_assert_int_eq(make("type=net,socket=/s", backends, sizeof(backends), BIT(VIRTIO_NET_F_STATUS)), 0);
    ck_assert_mem_eq(config.bytes, mac, sizeof(mac));
    ck_assert_uint_eq(config.own, BIT(VIRTIO_NET_F_MAC));
}
END_TEST

START_TEST(macs_differ)
{
    struct device_config_input in = {.type = type_of("net"), .keys = &options.keys, .guest = "web"};
    uint8_t seen[40][6];

    takes("type=net,socket=/s");
    for (unsigned i = 0; i < ARRAY_SIZE(seen); i++) {
        char name[16];

        snprintf(name, sizeof(name), "web%u", i / 4);
        in.guest = name;
        in.index = i % 4;
        ck_assert_int_eq(device_config_make(&config, &in, &missing), 0);
        memcpy(seen[i], config.bytes, sizeof(seen[i]));
        for (unsigned j = 0; j < i; j++)
            ck_assert_mem_ne(seen[j], seen[i], sizeof(seen[i]));
    }
}
END_TEST

START_TEST(config_of_fs_and_vsock)
{
    static const uint8_t cid[8] = {0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    static const uint8_t backends[8] = {42};
    uint8_t tag[36] = "share", long_tag[36], served[40] = "theirs";

    ck_assert_int_eq(make("type=fs,socket=/s,tag=share", NULL, 0, 0), 0);
    ck_assert_mem_eq(config.bytes, tag, sizeof(tag));
    ck_assert_uint_eq(config.own, 0);
    memset(long_tag, 'x', sizeof(long_tag));
    ck_assert_int_eq(make("type=fs,socket=/s,tag=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL, 0, 0), 0);
    ck_assert_mem_eq(config.bytes, long_tag, sizeof(long_tag));
    ck_assert_int_lt(make("type=fs,socket=/s", NULL, 0, 0), 0);
    ck_assert_str_eq(missing, "tag");
    ck_assert_int_eq(make("type=fs,socket=/s", served, sizeof(served), 0), 0);
    ck_assert_str_eq((const char *)config.bytes, "theirs");
    /* A shorter one of ours leaves nothing of theirs. */
    ck_assert_int_eq(make("type=fs,socket=/s,tag=me", served, sizeof(served), 0), 0);
    ck_assert_str_eq((const char *)config.bytes, "me");
    ck_assert_mem_eq(config.bytes + 2, (const uint8_t[34]){0}, 34);

    ck_assert_int_eq(make("type=vsock,socket=/s,cid=4294967294", NULL, 0, 0), 0);
    ck_assert_mem_eq(config.bytes, cid, sizeof(cid));
    ck_assert_int_eq(make("type=vsock,socket=/s", backends, sizeof(backends), 0), 0);
    ck_assert_mem_eq(config.bytes, backends, sizeof(backends));
    ck_assert_int_lt(make("type=vsock,socket=/s", NULL, 0, 0), 0);
    ck_assert_str_eq(missing, "cid");
    /* What a disk is without its size nobody can say. */
    ck_assert_int_lt(make("type=blk,socket=/s", backends, 7, 0), 0);
    ck_assert_ptr_null(missing);
    ck_assert_int_eq(make("type=blk,socket=/s", backends, 8, 0), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device types");
    TCase *tcase = tcase_create("types");

    tcase_add_test(tcase, types);
    tcase_add_test(tcase, types_that_cannot_be_copied);
    tcase_add_test(tcase, memory_modes);
    tcase_add_test(tcase, types_that_cannot_be_had);
    tcase_add_test(tcase, keys_of_types);
    tcase_add_test(tcase, keys_of_generic);
    tcase_add_test(tcase, config_of_net);
    tcase_add_test(tcase, macs_differ);
    tcase_add_test(tcase, config_of_fs_and_vsock);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
