// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_features.c - see virtio_features.h. Tables only.
 */
#include "dm/virtio_features.h"

#include <string.h>

#include <linux/vhost_types.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <linux/virtio_vsock.h>

#include "common/util.h"
#include "common/vhost_user.h"
#include "common/virtio_uapi.h"

/* Of every type. Numbers without a name in the kernel's headers: virtio 1.2, chapter 6. */
static const char *const common[] = {
    [VIRTIO_F_NOTIFY_ON_EMPTY] = "NOTIFY_ON_EMPTY",
    [VHOST_F_LOG_ALL] = "LOG_ALL",
    [VIRTIO_F_ANY_LAYOUT] = "ANY_LAYOUT",
    [VIRTIO_RING_F_INDIRECT_DESC] = "INDIRECT_DESC",
    [VIRTIO_RING_F_EVENT_IDX] = "EVENT_IDX",
    [VHOST_USER_F_PROTOCOL_FEATURES] = "PROTOCOL_FEATURES",
    [VIRTIO_F_VERSION_1] = "VERSION_1",
    [VIRTIO_F_ACCESS_PLATFORM] = "ACCESS_PLATFORM",
    [VIRTIO_F_RING_PACKED] = "RING_PACKED",
    [VIRTIO_F_IN_ORDER] = "IN_ORDER",
    [VIRTIO_F_ORDER_PLATFORM] = "ORDER_PLATFORM",
    [VIRTIO_F_SR_IOV] = "SR_IOV",
    [38] = "NOTIFICATION_DATA",
    [39] = "NOTIF_CONFIG_DATA",
    [VIRTIO_F_RING_RESET] = "RING_RESET",
    [41] = "ADMIN_VQ",
};

static const char *const blk[] = {
    [VIRTIO_BLK_F_BARRIER] = "BARRIER",
    [VIRTIO_BLK_F_SIZE_MAX] = "SIZE_MAX",
    [VIRTIO_BLK_F_SEG_MAX] = "SEG_MAX",
    [VIRTIO_BLK_F_GEOMETRY] = "GEOMETRY",
    [VIRTIO_BLK_F_RO] = "RO",
    [VIRTIO_BLK_F_BLK_SIZE] = "BLK_SIZE",
    [VIRTIO_BLK_F_SCSI] = "SCSI",
    [VIRTIO_BLK_F_FLUSH] = "FLUSH",
    [VIRTIO_BLK_F_TOPOLOGY] = "TOPOLOGY",
    [VIRTIO_BLK_F_CONFIG_WCE] = "CONFIG_WCE",
    [VIRTIO_BLK_F_MQ] = "MQ",
    [VIRTIO_BLK_F_DISCARD] = "DISCARD",
    [VIRTIO_BLK_F_WRITE_ZEROES] = "WRITE_ZEROES",
    [15] = "LIFETIME",
    [VIRTIO_BLK_F_SECURE_ERASE] = "SECURE_ERASE",
    [17] = "ZONED",
};

static const char *const net[] = {
    [VIRTIO_NET_F_CSUM] = "CSUM",
    [VIRTIO_NET_F_GUEST_CSUM] = "GUEST_CSUM",
    [VIRTIO_NET_F_CTRL_GUEST_OFFLOADS] = "CTRL_GUEST_OFFLOADS",
    [VIRTIO_NET_F_MTU] = "MTU",
    [VIRTIO_NET_F_MAC] = "MAC",
    [VIRTIO_NET_F_GSO] = "GSO",
    [VIRTIO_NET_F_GUEST_TSO4] = "GUEST_TSO4",
    [VIRTIO_NET_F_GUEST_TSO6] = "GUEST_TSO6",
    [VIRTIO_NET_F_GUEST_ECN] = "GUEST_ECN",
    [VIRTIO_NET_F_GUEST_UFO] = "GUEST_UFO",
    [VIRTIO_NET_F_HOST_TSO4] = "HOST_TSO4",
    [VIRTIO_NET_F_HOST_TSO6] = "HOST_TSO6",
    [VIRTIO_NET_F_HOST_ECN] = "HOST_ECN",
    [VIRTIO_NET_F_HOST_UFO] = "HOST_UFO",
    [VIRTIO_NET_F_MRG_RXBUF] = "MRG_RXBUF",
    [VIRTIO_NET_F_STATUS] = "STATUS",
    [VIRTIO_NET_F_CTRL_VQ] = "CTRL_VQ",
    [VIRTIO_NET_F_CTRL_RX] = "CTRL_RX",
    [VIRTIO_NET_F_CTRL_VLAN] = "CTRL_VLAN",
    [VIRTIO_NET_F_CTRL_RX_EXTRA] = "CTRL_RX_EXTRA",
    [VIRTIO_NET_F_GUEST_ANNOUNCE] = "GUEST_ANNOUNCE",
    [VIRTIO_NET_F_MQ] = "MQ",
    [VIRTIO_NET_F_CTRL_MAC_ADDR] = "CTRL_MAC_ADDR",
    [50] = "DEVICE_STATS",
    [51] = "HASH_TUNNEL",
    [52] = "VQ_NOTF_COAL",
    [53] = "NOTF_COAL",
    [54] = "GUEST_USO4",
    [55] = "GUEST_USO6",
    [56] = "HOST_USO",
    [VIRTIO_NET_F_HASH_REPORT] = "HASH_REPORT",
    [59] = "GUEST_HDRLEN",
    [VIRTIO_NET_F_RSS] = "RSS",
    [VIRTIO_NET_F_RSC_EXT] = "RSC_EXT",
    [VIRTIO_NET_F_STANDBY] = "STANDBY",
    [VIRTIO_NET_F_SPEED_DUPLEX] = "SPEED_DUPLEX",
};

static const char *const scsi[] = {
    [VIRTIO_SCSI_F_INOUT] = "INOUT",
    [VIRTIO_SCSI_F_HOTPLUG] = "HOTPLUG",
    [VIRTIO_SCSI_F_CHANGE] = "CHANGE",
    [VIRTIO_SCSI_F_T10_PI] = "T10_PI",
};

static const char *const vsock[] = {
    [0] = "STREAM",
    [VIRTIO_VSOCK_F_SEQPACKET] = "SEQPACKET",
};

static const char *const gpu[] = {
    [VIRTIO_GPU_F_VIRGL] = "VIRGL",
    [VIRTIO_GPU_F_EDID] = "EDID",
    [VIRTIO_GPU_F_RESOURCE_UUID] = "RESOURCE_UUID",
    [VIRTIO_GPU_F_RESOURCE_BLOB] = "RESOURCE_BLOB",
    [VIRTIO_GPU_F_CONTEXT_INIT] = "CONTEXT_INIT",
};

static const char *const fs[] = {[0] = "NOTIFICATION"};

static const char *const pmem[] = {[VIRTIO_PMEM_F_SHMEM_REGION] = "SHMEM_REGION"};

static const struct virtio_feature_type types[] = {
    {"blk", 1, blk, ARRAY_SIZE(blk)},       {"fs", 1, fs, ARRAY_SIZE(fs)},
    {"gpu", 1, gpu, ARRAY_SIZE(gpu)},       {"net", 2, net, ARRAY_SIZE(net)},
    {"pmem", 1, pmem, ARRAY_SIZE(pmem)},    {"scsi", 1, scsi, ARRAY_SIZE(scsi)},
    {"vsock", 1, vsock, ARRAY_SIZE(vsock)},
};

const struct virtio_feature_type *virtio_feature_type_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const struct virtio_feature_type *virtio_feature_type_at(size_t i)
{
    return i < ARRAY_SIZE(types) ? &types[i] : NULL;
}

const char *virtio_feature_name(const struct virtio_feature_type *type, unsigned bit)
{
    if (bit < ARRAY_SIZE(common) && common[bit] != NULL)
        return common[bit];
    return type != NULL && bit < type->nr_features ? type->feature[bit] : NULL;
}
