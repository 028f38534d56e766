/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_user.h - the vhost-user wire format: messages, flags, feature bits and payloads as QEMU 11.1
 * documents them, and one readable line for any message. Used by the channel that carries messages, by the
 * front-end and by tests. Owns nothing but the fds of a message that was received, until they are taken or
 * closed.
 *
 * Everything is in native byte order, as the protocol says. Numbers without another source are from the
 * sections "Message types", "Protocol features" and "Message Specification" of the vhost-user text.
 */
#ifndef VHOST_DM_VHOST_USER_H
#define VHOST_DM_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_USER_VERSION         0x1u
#define VHOST_USER_VERSION_MASK    0x3u
#define VHOST_USER_FLAG_REPLY      0x4u
#define VHOST_USER_FLAG_NEED_REPLY 0x8u

/* The virtio feature bit that says GET/SET_PROTOCOL_FEATURES exist. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

#define VHOST_USER_MAX_FDS         8   /* of one message */
#define VHOST_USER_MAX_REGIONS     8   /* of one SET_MEM_TABLE */
#define VHOST_USER_MAX_CONFIG      256 /* bytes of config space: no text says so, every implementation does */
#define VHOST_USER_MAX_SHMEM       256 /* shared memory regions of a device: shmid is a byte */
#define VHOST_USER_MAX_PAYLOAD     4096 /* ours; the largest defined payload is 2056 bytes */
#define VHOST_USER_CONFIG_WRITABLE 0u   /* GET/SET_CONFIG flags: what a driver does (1: migration) */

/* SET_VRING_KICK/CALL/ERR: ring number, and a bit that says no fd comes with the message. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NO_FD      0x100u

/* VhostUserMMap flags. */
#define VHOST_USER_MMAP_RW 0x1u

/* Flags of a memory region when XEN_MMAP is negotiated. */
#define VHOST_USER_XEN_FOREIGN        0x1u
#define VHOST_USER_XEN_GRANT          0x2u
#define VHOST_USER_XEN_NO_ADVANCE_MAP 0x100u

enum vhost_user_protocol_feature {
    VHOST_USER_PROTOCOL_F_MQ = 0,
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
    VHOST_USER_PROTOCOL_F_RARP = 2,
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
    VHOST_USER_PROTOCOL_F_MTU = 4,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
    VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
    VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
    VHOST_USER_PROTOCOL_F_CONFIG = 9,
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
    VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VHOST_USER_PROTOCOL_F_STATUS = 16,
    VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
    VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
    VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
    VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
    VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 21,
    VHOST_USER_PROTOCOL_F_SHMEM_MAP = 22,
};

/* What the front-end asks of the back-end, on the main channel. */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SEND_RARP = 19,
    VHOST_USER_NET_SET_MTU = 20,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_IOTLB_MSG = 22,
    VHOST_USER_SET_VRING_ENDIAN = 23,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_CREATE_CRYPTO_SESSION = 26,
    VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
    VHOST_USER_POSTCOPY_ADVISE = 28,
    VHOST_USER_POSTCOPY_LISTEN = 29,
    VHOST_USER_POSTCOPY_END = 30,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_GPU_SET_SOCKET = 33,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_VRING_KICK = 35,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
    VHOST_USER_GET_SHARED_OBJECT = 41,
    VHOST_USER_SET_DEVICE_STATE_FD = 42,
    VHOST_USER_CHECK_DEVICE_STATE = 43,
    VHOST_USER_GET_SHMEM_CONFIG = 44,
};

/* What the back-end asks of the front-end, on the socket that SET_BACKEND_REQ_FD gave it. */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_IOTLB_MSG = 1,
    VHOST_USER_BACKEND_CONFIG_CHANGE = 2,
    VHOST_USER_BACKEND_VRING_HOST_NOTIFIER = 3,
    VHOST_USER_BACKEND_VRING_CALL = 4,
    VHOST_USER_BACKEND_VRING_ERR = 5,
    VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,
    VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
    VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
    VHOST_USER_BACKEND_SHMEM_MAP = 9,
    VHOST_USER_BACKEND_SHMEM_UNMAP = 10,
};

/* Whose requests a channel carries; replies go the other way. */
enum vhost_user_side {
    VHOST_USER_FRONTEND, /* the main channel */
    VHOST_USER_BACKEND,  /* the back-end channel */
};

#define VHOST_USER_PACKED __attribute__((packed))
#define VHOST_USER_SIZE(type, size) \
    _Static_assert(sizeof(struct type) == (size), "struct " #type " is not what goes over the wire")

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* bytes of payload that follow */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_header, 12);

struct vhost_user_vring_state {
    uint32_t index;
    uint32_t num;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_vring_state, 8);

struct vhost_user_vring_addr {
    uint32_t index;
    uint32_t flags; /* VHOST_VRING_F_LOG */
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_vring_addr, 40);

struct vhost_user_region {
    uint64_t gpa;
    uint64_t size;
    uint64_t user_addr;
    uint64_t mmap_offset;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_region, 32);

struct vhost_user_xen_region {
    struct vhost_user_region plain;
    uint32_t xen_flags;
    uint32_t domid;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_xen_region, 40);

struct vhost_user_mem_table {
    uint32_t nr_regions;
    uint32_t padding;
    union {
        struct vhost_user_region plain[VHOST_USER_MAX_REGIONS];
        struct vhost_user_xen_region xen[VHOST_USER_MAX_REGIONS];
    } regions; /* only nr_regions of them go over the wire */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_mem_table, 8 + 8 * 40);
#define VHOST_USER_MEM_TABLE_HEADER offsetof(struct vhost_user_mem_table, regions)

struct vhost_user_single_region {
    uint64_t padding;
    struct vhost_user_region region;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_single_region, 40);

struct vhost_user_single_xen_region {
    uint64_t padding;
    struct vhost_user_xen_region region;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_single_xen_region, 48);

struct vhost_user_log {
    uint64_t size;
    uint64_t offset;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_log, 16);

/* 20 bytes by the text; QEMU and what derives from it send 24, with 4 bytes of padding. */
struct vhost_user_inflight {
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t nr_queues;
    uint16_t queue_size;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_inflight, 20);

/* 26 bytes by the text; the kernel's structure, which is what is sent in practice, has 32. */
struct vhost_user_iotlb {
    uint64_t iova;
    uint64_t size;
    uint64_t user_addr;
    uint8_t perm; /* VHOST_ACCESS_* */
    uint8_t type; /* VHOST_IOTLB_* */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_iotlb, 26);

struct vhost_user_config {
    uint32_t offset;
    uint32_t size; /* of data; only so much goes over the wire */
    uint32_t flags;
    uint8_t data[VHOST_USER_MAX_CONFIG];
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_config, 12 + 256);
#define VHOST_USER_CONFIG_HEADER offsetof(struct vhost_user_config, data)

struct vhost_user_vring_area {
    uint64_t index; /* bits 0-7 ring, bit 8: no fd */
    uint64_t size;
    uint64_t offset;
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_vring_area, 24);

struct vhost_user_uuid {
    uint8_t bytes[16]; /* RFC 4122 order: big-endian */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_uuid, 16);

struct vhost_user_device_state {
    uint32_t direction; /* 0 save, 1 load */
    uint32_t phase;     /* 0 stopped */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_device_state, 8);

struct vhost_user_mmap {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t len;
    uint64_t flags; /* VHOST_USER_MMAP_RW */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_mmap, 40);

struct vhost_user_shmem_config {
    uint32_t nr_regions; /* how many sizes are not zero */
    uint32_t padding;
    uint64_t sizes[VHOST_USER_MAX_SHMEM]; /* bytes, by shmid */
} VHOST_USER_PACKED;
VHOST_USER_SIZE(vhost_user_shmem_config, 2056);

/* Only the first header.size bytes of a payload mean anything: compare before use. */
union vhost_user_payload {
    uint64_t u64;
    struct vhost_user_vring_state state;
    struct vhost_user_vring_addr addr;
    struct vhost_user_mem_table table;
    struct vhost_user_single_region region;
    struct vhost_user_single_xen_region xen_region;
    struct vhost_user_log log;
    struct vhost_user_inflight inflight;
    struct vhost_user_iotlb iotlb;
    struct vhost_user_config config;
    struct vhost_user_vring_area area;
    struct vhost_user_uuid uuid;
    struct vhost_user_device_state device_state;
    struct vhost_user_mmap mmap;
    struct vhost_user_shmem_config shmem_config;
    uint8_t bytes[VHOST_USER_MAX_PAYLOAD];
};
_Static_assert(sizeof(union vhost_user_payload) == VHOST_USER_MAX_PAYLOAD,
               "a payload is larger than the limit");

struct vhost_user_msg {
    struct vhost_user_header header;
    bool fds_lost; /* received with fds that this process had no room for: nr_fds is 0 then */
    unsigned nr_fds;
    int fds[VHOST_USER_MAX_FDS];
    union vhost_user_payload payload;
};

/* Sets the header of a request (flags: version only) or of a reply to it, and no fds; the payload is left. */
void vhost_user_msg_init(struct vhost_user_msg *msg, uint32_t request, uint32_t size);
void vhost_user_msg_init_reply(struct vhost_user_msg *msg, uint32_t request, uint32_t size);

/* Closes the fds of a message and forgets them. For messages that own theirs: received ones. */
void vhost_user_msg_close_fds(struct vhost_user_msg *msg);

/* "SET_MEM_TABLE", or NULL for a number that is no request of that side. */
const char *vhost_user_request_name(enum vhost_user_side requester, uint32_t request);

/* "REPLY_ACK", or NULL for a bit that is not defined. */
const char *vhost_user_protocol_feature_name(unsigned bit);

/* Writes the names of the bits that are set, "MQ|REPLY_ACK|bit 40", or "none". Always ends with a null
 * character if len > 0. Returns the number of characters written. */
int vhost_user_protocol_features_format(char *buf, size_t len, uint64_t features);

/*
 * Writes one line without a line end that tells a person what msg says, whatever it contains: it may have
 * been received from anybody, and header.size may lie (at most VHOST_USER_MAX_PAYLOAD bytes are looked at,
 * and nr_fds is not trusted either). requester: whose requests the channel carries. Always ends with a null
 * character if len > 0; what does not fit is cut. Returns the number of characters written.
 */
int vhost_user_msg_format(char *buf, size_t len, const struct vhost_user_msg *msg,
                          enum vhost_user_side requester);

#endif
