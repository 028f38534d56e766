// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * device_types.c - see device_types.h. Feature bits are listed one by one: a bit that is not known here may
 * change what a request means, so it is not passed through to a back-end that cannot see guest memory.
 * Sections are those of virtio 1.2.
 */
#include "dm/device_types.h"

#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_vsock.h>

#include "common/util.h"
#include "common/virtio_uapi.h"
#include "dm/virtio_device.h"

#define BIT(n) ((uint64_t)1 << (n))
/* The bits n to m. */
#define BITS(n, m) (UINT64_MAX >> (63 - (m)) & UINT64_MAX << (n))

/* A member of a config space of the kernel's: its offset and length in bytes. */
#define MEMBER(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)
#define FIELD_MEMBER(type, member) \
    .offset = offsetof(struct type, member), .len = sizeof(((struct type *)0)->member)

/*
 * What fails when there is no back-end any more, as Linux' drivers see it:
 *   blk, pmem  a status in the reply.
 *   fs         a FUSE error: Linux' virtiofs does not look at the used length, and takes a reply of zeros for
 * a success of wrong length. FORGET, which has no reply, is given back. net, vsock packets to send are given
 * back, or the driver's queue would be full for ever. Receive buffers are not: an empty packet is dropped,
 * its buffer comes back, and so on without end. others     nobody knows how to say it: the driver waits until
 * it is bound again.
 */
static const struct device_type device_types[] = {
    {
        .name = "blk",
        .virtio_id = VIRTIO_ID_BLOCK,
        .pci_class = 0x010000, /* mass storage, SCSI: what other virtio disks say */
        /* As far as the features below reach: back-ends refuse to be asked for more than they know. */
        .config_len = offsetof(struct virtio_blk_config, max_secure_erase_sectors),
        .config_min = sizeof(((struct virtio_blk_config *)0)->capacity),
        .queue_size = 128,
        .features = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_GEOMETRY) |
                    BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
                    BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_MQ) |
                    BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES),
        .refusal = {REFUSE_BY_STATUS, {VIRTIO_BLK_S_IOERR}, .len = 1},
        .copy_all = true,
        .config_write = {MEMBER(virtio_blk_config, wce), VIRTIO_BLK_F_CONFIG_WCE},
        .config_queues = {MEMBER(virtio_blk_config, num_queues), VIRTIO_BLK_F_MQ},
        .example = "qemu-storage-daemon --blockdev driver=file,filename=IMAGE,node-name=disk --export "
                   "type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,addr.path=SOCKET",
    },
    {
        .name = "pmem",
        .virtio_id = VIRTIO_ID_PMEM,
        .pci_class = 0x00ff00, /* not classified: what QEMU's virtio-pmem-pci says */
        .config_len = sizeof(struct virtio_pmem_config), /* means nothing beside a shared memory region */
        .nr_queues = 1,
        .queue_size = 128,
        .features = BIT(VIRTIO_PMEM_F_SHMEM_REGION),
        .features_needed = BIT(VIRTIO_PMEM_F_SHMEM_REGION),
        .needs_shmem = true,
        /* The last byte of struct virtio_pmem_resp, whose ret is little-endian: it is not 0, so the flush has
         * failed, whatever the other three bytes are. */
        .refusal = {REFUSE_BY_STATUS, {0xff}, .len = 1},
        .example = "vhost-user-pmem --socket SOCKET --file FILE",
    },
    {
        .name = "net",
        .virtio_id = VIRTIO_ID_NET,
        .pci_class = 0x020000,                                   /* Ethernet controller */
        .config_len = offsetof(struct virtio_net_config, speed), /* as far as the features below reach */
        .fields = {{.key = "mac",
                    .allowed = "a MAC address, aa:bb:cc:dd:ee:ff, not a multicast one",
                    .kind = FIELD_MAC,
                    .source = FIELD_STABLE_MAC,
                    FIELD_MEMBER(virtio_net_config, mac),
                    .feature = VIRTIO_NET_F_MAC},
                   {.key = "mtu",
                    .allowed = "68 to 65535",
                    .kind = FIELD_NUMBER,
                    .source = FIELD_OPTIONAL,
                    FIELD_MEMBER(virtio_net_config, mtu),
                    .feature = VIRTIO_NET_F_MTU,
                    .min = 68, /* 5.1.4.1 */
                    .max = UINT16_MAX},
                   {.kind = FIELD_NUMBER,
                    .source = FIELD_FIXED,
                    FIELD_MEMBER(virtio_net_config, status),
                    .feature = VIRTIO_NET_F_STATUS,
                    .min = VIRTIO_NET_S_LINK_UP}},
        /* One pair: more need a control queue (5.1.3.1), which no back-end serves in full without the
         * front-end's help. */
        .nr_queues = 2,
        .queue_unit = 2,
        .queue_size = 256, /* QEMU's default */
        /* All of these are settled by the header in front of each packet (5.1.6), which is copied with it. */
        .features = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MTU) |
                    BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
                    BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_TSO4) |
                    BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) |
                    BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_STATUS),
        .refusal = {.how = REFUSE_BY_EMPTY},
        .lends = true,
        .used_together = true, /* MRG_RXBUF: the buffers of a packet (5.1.6.4) */
        .example = "passt --vhost-user --runas 0 -s SOCKET",
    },
    {
        .name = "fs",
        .virtio_id = VIRTIO_ID_FS,
        .pci_class = 0x018000, /* mass storage, other: what QEMU's vhost-user-fs-pci says */
        .config_len = sizeof(struct virtio_fs_config),
        .fields = {{.key = "tag",
                    .allowed = "the name to mount it by, 1 to 36 bytes",
                    .kind = FIELD_TEXT,
                    .source = FIELD_NEEDED,
                    FIELD_MEMBER(virtio_fs_config, tag),
                    .feature = DEVICE_FEATURE_ALWAYS}},
        .nr_extra = 1,     /* hiprio */
        .queue_size = 512, /* a FUSE request of 256 pages, Linux' largest, and its headers (5.11.6) */
        /* Not NOTIFICATION: a queue more, which no driver has. */
        .refusal = {REFUSE_BY_REPLY,
                    /* struct fuse_out_header (linux/fuse.h): len 16, error -EIO, and unique, which is at 8 in
                     * the request's header too. Little-endian, as Xen's guests are. */
                    {16, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff},
                    .len = 16,
                    .echo_from = 8,
                    .echo_to = 8,
                    .echo_len = 8},
        .config_queues = {MEMBER(virtio_fs_config, num_request_queues), DEVICE_FEATURE_ALWAYS},
        .example = "/usr/libexec/virtiofsd --socket-path SOCKET --shared-dir DIR",
    },
    {
        .name = "vsock",
        .virtio_id = VIRTIO_ID_VSOCK,
        .pci_class = 0x078000, /* communication, other: what QEMU's vhost-user-vsock-pci says */
        .config_len = sizeof(struct virtio_vsock_config),
        .fields = {{.key = "cid",
                    .allowed = "3 to 4294967294",
                    .kind = FIELD_NUMBER,
                    .source = FIELD_NEEDED,
                    FIELD_MEMBER(virtio_vsock_config, guest_cid),
                    .feature = DEVICE_FEATURE_ALWAYS,
                    .min = 3, /* 5.10.4: 0 to 2 and all ones are reserved, the upper half is 0 */
                    .max = UINT32_MAX - 1}},
        .nr_queues = 3,
        .nr_own_queues = 1, /* events: of a guest that was moved (5.10.6.7) */
        .queue_size = 128,
        .features = BIT(0) /* STREAM, 5.10.3 */ | BIT(VIRTIO_VSOCK_F_SEQPACKET),
        .refusal = {.how = REFUSE_BY_EMPTY},
        .lends = true,
        .header_first = true, /* rust-vmm's virtio-vsock; Linux sends large packets in many buffers */
        .example = "vhost-device-vsock --vm guest-cid=CID,uds-path=PATH,socket=SOCKET",
    },
    {
        .name = "rng",
        .virtio_id = VIRTIO_ID_RNG,
        .pci_class = 0x00ff00, /* not classified: what QEMU's virtio-rng-pci says */
        .nr_queues = 1,
        .queue_size = 128,
        .lends = true,
        .example = "vhost-device-rng --socket-path PATH (which listens at PATH0)",
    },
    {
        .name = "generic",
        .pci_class = 0x00ff00,
        .fields = {{.key = "config",
                    .allowed = "pairs of hexadecimal digits, at most config-size= of them",
                    .kind = FIELD_HEX,
                    .source = FIELD_OPTIONAL,
                    .len = VIRTIO_MAX_CONFIG,
                    .feature = DEVICE_FEATURE_ALWAYS}},
        .queue_size = 64, /* QEMU's default for any type; some back-ends refuse more, as vhost-device-can */
        /* All that belong to the type (chapter 2.2), as far as there are 64 of them. */
        .features = BITS(0, 23) | BITS(50, 63),
        .lends = true,
        .used_together = true,
        .config_write = {0, VIRTIO_MAX_CONFIG, DEVICE_FEATURE_ALWAYS},
        .example = "any that listens at SOCKET",
    },
    {.name = "gpu", .virtio_id = VIRTIO_ID_GPU, .no_bounce = true},
    {.name = "balloon", .virtio_id = VIRTIO_ID_BALLOON, .no_bounce = true},
    {.name = "balloon", .virtio_id = VIRTIO_ID_MEMORY_BALLOON, .no_bounce = true},
    {.name = "mem", .virtio_id = VIRTIO_ID_MEM, .no_bounce = true},
    {.name = "iommu", .virtio_id = VIRTIO_ID_IOMMU, .no_bounce = true},
    {.name = "video-encoder", .virtio_id = VIRTIO_ID_VIDEO_ENCODER, .no_bounce = true},
    {.name = "video-decoder", .virtio_id = VIRTIO_ID_VIDEO_DECODER, .no_bounce = true},
    {.name = "media", .virtio_id = VIRTIO_ID_MEDIA, .no_bounce = true},
    /* 5.8.4: what is read depends on what was written just before, and a read waits for nobody. */
    {.name = "input",
     .virtio_id = VIRTIO_ID_INPUT,
     .no_way = "its driver asks for parts of configuration space by writing to it, which is not passed on "
               "in time; use xl's vkb device, or QEMU's input devices"},
};

const struct device_type *device_type_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(device_types); i++)
        if (strcmp(device_types[i].name, name) == 0)
            return &device_types[i];
    return NULL;
}

const struct device_type *device_type_by_id(uint16_t virtio_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(device_types); i++)
        if (device_types[i].virtio_id == virtio_id)
            return &device_types[i];
    return NULL;
}

const struct device_type *device_type_at(size_t i)
{
    return i < ARRAY_SIZE(device_types) ? &device_types[i] : NULL;
}

const struct device_field *device_type_field(const struct device_type *type, const char *key)
{
    for (size_t i = 0; i < DEVICE_MAX_FIELDS && type->fields[i].len > 0; i++)
        if (type->fields[i].key != NULL && strcmp(type->fields[i].key, key) == 0)
            return &type->fields[i];
    return NULL;
}

bool device_type_has_queues_key(const struct device_type *type)
{
    return type->nr_queues == 0;
}
