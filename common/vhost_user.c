// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vhost_user.c - names of vhost-user messages and features, and one readable line for any message. A table
 * says for each request what its payload and that of its reply are; a printer for each kind of payload is
 * called only when the payload has the bytes it reads.
 */
#include "common/vhost_user.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/vhost_types.h>

#include "common/util.h"

/* The line under construction; pos < len always, unless len is 0. */
struct text {
    char *buf;
    size_t len, pos;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (t->len == 0)
        return;
    va_start(ap, fmt);
    n = vsnprintf(t->buf + t->pos, t->len - t->pos, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->pos += MIN((size_t)n, t->len - t->pos - 1);
}

static void text_begin(struct text *t, char *buf, size_t len)
{
    *t = (struct text){.buf = buf, .len = len};
    if (len > 0)
        buf[0] = '\0';
}

enum payload_kind {
    PAYLOAD_NONE,
    PAYLOAD_OPAQUE, /* defined elsewhere, or for nobody */
    PAYLOAD_U64,
    PAYLOAD_RING_FD,
    PAYLOAD_PROTOCOL_FEATURES,
    PAYLOAD_STATE,
    PAYLOAD_ADDR,
    PAYLOAD_TABLE,
    PAYLOAD_REGION,
    PAYLOAD_LOG,
    PAYLOAD_INFLIGHT,
    PAYLOAD_IOTLB,
    PAYLOAD_CONFIG,
    PAYLOAD_AREA,
    PAYLOAD_UUID,
    PAYLOAD_DEVICE_STATE,
    PAYLOAD_MMAP,
    PAYLOAD_SHMEM_CONFIG,
};

/* A reply of kind PAYLOAD_NONE is one that REPLY_ACK asked for: a u64. */
struct request_info {
    const char *name;
    enum payload_kind payload, reply;
};

static const struct request_info frontend_requests[] = {
    [VHOST_USER_GET_FEATURES] = {"GET_FEATURES", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_SET_FEATURES] = {"SET_FEATURES", PAYLOAD_U64, PAYLOAD_NONE},
    [VHOST_USER_SET_OWNER] = {"SET_OWNER", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_RESET_OWNER] = {"RESET_OWNER", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_SET_MEM_TABLE] = {"SET_MEM_TABLE", PAYLOAD_TABLE, PAYLOAD_NONE},
    [VHOST_USER_SET_LOG_BASE] = {"SET_LOG_BASE", PAYLOAD_LOG, PAYLOAD_NONE},
    [VHOST_USER_SET_LOG_FD] = {"SET_LOG_FD", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_SET_VRING_NUM] = {"SET_VRING_NUM", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_SET_VRING_ADDR] = {"SET_VRING_ADDR", PAYLOAD_ADDR, PAYLOAD_NONE},
    [VHOST_USER_SET_VRING_BASE] = {"SET_VRING_BASE", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_GET_VRING_BASE] = {"GET_VRING_BASE", PAYLOAD_STATE, PAYLOAD_STATE},
    [VHOST_USER_SET_VRING_KICK] = {"SET_VRING_KICK", PAYLOAD_RING_FD, PAYLOAD_NONE},
    [VHOST_USER_SET_VRING_CALL] = {"SET_VRING_CALL", PAYLOAD_RING_FD, PAYLOAD_NONE},
    [VHOST_USER_SET_VRING_ERR] = {"SET_VRING_ERR", PAYLOAD_RING_FD, PAYLOAD_NONE},
    [VHOST_USER_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", PAYLOAD_NONE, PAYLOAD_PROTOCOL_FEATURES},
    [VHOST_USER_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", PAYLOAD_PROTOCOL_FEATURES, PAYLOAD_NONE},
    [VHOST_USER_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_SEND_RARP] = {"SEND_RARP", PAYLOAD_U64, PAYLOAD_NONE},
    [VHOST_USER_NET_SET_MTU] = {"NET_SET_MTU", PAYLOAD_U64, PAYLOAD_NONE},
    [VHOST_USER_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_IOTLB_MSG] = {"IOTLB_MSG", PAYLOAD_IOTLB, PAYLOAD_U64},
    [VHOST_USER_SET_VRING_ENDIAN] = {"SET_VRING_ENDIAN", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_GET_CONFIG] = {"GET_CONFIG", PAYLOAD_CONFIG, PAYLOAD_CONFIG},
    [VHOST_USER_SET_CONFIG] = {"SET_CONFIG", PAYLOAD_CONFIG, PAYLOAD_NONE},
    [VHOST_USER_CREATE_CRYPTO_SESSION] = {"CREATE_CRYPTO_SESSION", PAYLOAD_OPAQUE, PAYLOAD_OPAQUE},
    [VHOST_USER_CLOSE_CRYPTO_SESSION] = {"CLOSE_CRYPTO_SESSION", PAYLOAD_U64, PAYLOAD_NONE},
    [VHOST_USER_POSTCOPY_ADVISE] = {"POSTCOPY_ADVISE", PAYLOAD_NONE, PAYLOAD_OPAQUE},
    [VHOST_USER_POSTCOPY_LISTEN] = {"POSTCOPY_LISTEN", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_POSTCOPY_END] = {"POSTCOPY_END", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", PAYLOAD_INFLIGHT, PAYLOAD_INFLIGHT},
    [VHOST_USER_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", PAYLOAD_INFLIGHT, PAYLOAD_NONE},
    [VHOST_USER_GPU_SET_SOCKET] = {"GPU_SET_SOCKET", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_RESET_DEVICE] = {"RESET_DEVICE", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_VRING_KICK] = {"VRING_KICK", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_ADD_MEM_REG] = {"ADD_MEM_REG", PAYLOAD_REGION, PAYLOAD_NONE},
    [VHOST_USER_REM_MEM_REG] = {"REM_MEM_REG", PAYLOAD_REGION, PAYLOAD_NONE},
    [VHOST_USER_SET_STATUS] = {"SET_STATUS", PAYLOAD_U64, PAYLOAD_NONE},
    [VHOST_USER_GET_STATUS] = {"GET_STATUS", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_GET_SHARED_OBJECT] = {"GET_SHARED_OBJECT", PAYLOAD_UUID, PAYLOAD_OPAQUE},
    [VHOST_USER_SET_DEVICE_STATE_FD] = {"SET_DEVICE_STATE_FD", PAYLOAD_DEVICE_STATE, PAYLOAD_U64},
    [VHOST_USER_CHECK_DEVICE_STATE] = {"CHECK_DEVICE_STATE", PAYLOAD_NONE, PAYLOAD_U64},
    [VHOST_USER_GET_SHMEM_CONFIG] = {"GET_SHMEM_CONFIG", PAYLOAD_NONE, PAYLOAD_SHMEM_CONFIG},
};

static const struct request_info backend_requests[] = {
    [VHOST_USER_BACKEND_IOTLB_MSG] = {"BACKEND_IOTLB_MSG", PAYLOAD_IOTLB, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_CONFIG_CHANGE] = {"BACKEND_CONFIG_CHANGE", PAYLOAD_NONE, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_VRING_HOST_NOTIFIER] = {"BACKEND_VRING_HOST_NOTIFIER", PAYLOAD_AREA, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_VRING_CALL] = {"BACKEND_VRING_CALL", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_VRING_ERR] = {"BACKEND_VRING_ERR", PAYLOAD_STATE, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_SHARED_OBJECT_ADD] = {"BACKEND_SHARED_OBJECT_ADD", PAYLOAD_UUID, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE] = {"BACKEND_SHARED_OBJECT_REMOVE", PAYLOAD_UUID, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP] = {"BACKEND_SHARED_OBJECT_LOOKUP", PAYLOAD_UUID, PAYLOAD_U64},
    [VHOST_USER_BACKEND_SHMEM_MAP] = {"BACKEND_SHMEM_MAP", PAYLOAD_MMAP, PAYLOAD_NONE},
    [VHOST_USER_BACKEND_SHMEM_UNMAP] = {"BACKEND_SHMEM_UNMAP", PAYLOAD_MMAP, PAYLOAD_NONE},
};

static const char *const protocol_feature_names[] = {
    [VHOST_USER_PROTOCOL_F_MQ] = "MQ",
    [VHOST_USER_PROTOCOL_F_LOG_SHMFD] = "LOG_SHMFD",
    [VHOST_USER_PROTOCOL_F_RARP] = "RARP",
    [VHOST_USER_PROTOCOL_F_REPLY_ACK] = "REPLY_ACK",
    [VHOST_USER_PROTOCOL_F_MTU] = "MTU",
    [VHOST_USER_PROTOCOL_F_BACKEND_REQ] = "BACKEND_REQ",
    [VHOST_USER_PROTOCOL_F_CROSS_ENDIAN] = "CROSS_ENDIAN",
    [VHOST_USER_PROTOCOL_F_CRYPTO_SESSION] = "CRYPTO_SESSION",
    [VHOST_USER_PROTOCOL_F_PAGEFAULT] = "PAGEFAULT",
    [VHOST_USER_PROTOCOL_F_CONFIG] = "CONFIG",
    [VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD] = "BACKEND_SEND_FD",
    [VHOST_USER_PROTOCOL_F_HOST_NOTIFIER] = "HOST_NOTIFIER",
    [VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD] = "INFLIGHT_SHMFD",
    [VHOST_USER_PROTOCOL_F_RESET_DEVICE] = "RESET_DEVICE",
    [VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS] = "INBAND_NOTIFICATIONS",
    [VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS] = "CONFIGURE_MEM_SLOTS",
    [VHOST_USER_PROTOCOL_F_STATUS] = "STATUS",
    [VHOST_USER_PROTOCOL_F_XEN_MMAP] = "XEN_MMAP",
    [VHOST_USER_PROTOCOL_F_SHARED_OBJECT] = "SHARED_OBJECT",
    [VHOST_USER_PROTOCOL_F_DEVICE_STATE] = "DEVICE_STATE",
    [VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT] = "GET_VRING_BASE_INFLIGHT",
    [VHOST_USER_PROTOCOL_F_GPA_ADDRESSES] = "GPA_ADDRESSES",
    [VHOST_USER_PROTOCOL_F_SHMEM_MAP] = "SHMEM_MAP",
};

static const struct request_info *request_info(enum vhost_user_side requester, uint32_t request)
{
    const struct request_info *table = frontend_requests;
    size_t len = ARRAY_SIZE(frontend_requests);

    if (requester == VHOST_USER_BACKEND) {
        table = backend_requests;
        len = ARRAY_SIZE(backend_requests);
    }
    return request < len && table[request].name != NULL ? &table[request] : NULL;
}

const char *vhost_user_request_name(enum vhost_user_side requester, uint32_t request)
{
    const struct request_info *info = request_info(requester, request);

    return info != NULL ? info->name : NULL;
}

const char *vhost_user_protocol_feature_name(unsigned bit)
{
    return bit < ARRAY_SIZE(protocol_feature_names) ? protocol_feature_names[bit] : NULL;
}

static void text_protocol_features(struct text *t, uint64_t features)
{
    const char *separator = "";

    if (features == 0)
        text_add(t, "none");
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = vhost_user_protocol_feature_name(bit);

        if ((features >> bit & 1) == 0)
            continue;
        if (name != NULL)
            text_add(t, "%s%s", separator, name);
        else
            text_add(t, "%sbit %u", separator, bit);
        separator = "|";
    }
}

int vhost_user_protocol_features_format(char *buf, size_t len, uint64_t features)
{
    struct text t;

    text_begin(&t, buf, len);
    text_protocol_features(&t, features);
    return (int)t.pos;
}

static void print_u64(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " 0x%llx", (unsigned long long)p->u64);
}

static void print_ring_fd(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ring %u%s", (unsigned)(p->u64 & VHOST_USER_VRING_INDEX_MASK),
             (p->u64 & VHOST_USER_VRING_NO_FD) != 0 ? " no fd" : "");
    if (p->u64 >> 9 != 0)
        text_add(t, " (unknown bits 0x%llx)", (unsigned long long)(p->u64 & ~(uint64_t)0x1ff));
}

static void print_protocol_features(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ");
    text_protocol_features(t, p->u64);
}

static void print_state(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ring %u num %u", p->state.index, p->state.num);
}

static void print_addr(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ring %u desc 0x%llx avail 0x%llx used 0x%llx", p->addr.index,
             (unsigned long long)p->addr.desc, (unsigned long long)p->addr.avail,
             (unsigned long long)p->addr.used);
    if ((p->addr.flags & (1u << VHOST_VRING_F_LOG)) != 0)
        text_add(t, " log 0x%llx", (unsigned long long)p->addr.log);
    if ((p->addr.flags & ~(1u << VHOST_VRING_F_LOG)) != 0)
        text_add(t, " (unknown flags 0x%x)", p->addr.flags);
}

static void print_one_region(struct text *t, const struct vhost_user_region *r)
{
    text_add(t, " gpa 0x%llx len 0x%llx user 0x%llx mmap offset 0x%llx", (unsigned long long)r->gpa,
             (unsigned long long)r->size, (unsigned long long)r->user_addr,
             (unsigned long long)r->mmap_offset);
}

static void print_xen(struct text *t, const struct vhost_user_xen_region *r)
{
    text_add(t, " xen flags 0x%x domid %u", r->xen_flags, r->domid);
}

/* Plain and Xen regions are told apart by how many bytes there are for each. */
static void print_table(struct text *t, const union vhost_user_payload *p, size_t size)
{
    uint32_t n = p->table.nr_regions;
    size_t bytes = size - VHOST_USER_MEM_TABLE_HEADER;
    bool xen = bytes == n * sizeof(struct vhost_user_xen_region);

    text_add(t, " %u regions", n);
    if (n > VHOST_USER_MAX_REGIONS || (!xen && bytes != n * sizeof(struct vhost_user_region))) {
        text_add(t, " (in %zu bytes)", size);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        text_add(t, " [");
        print_one_region(t, xen ? &p->table.regions.xen[i].plain : &p->table.regions.plain[i]);
        if (xen)
            print_xen(t, &p->table.regions.xen[i]);
        text_add(t, " ]");
    }
}

static void print_region(struct text *t, const union vhost_user_payload *p, size_t size)
{
    print_one_region(t, &p->region.region);
    if (size == sizeof(p->xen_region))
        print_xen(t, &p->xen_region.region);
}

static void print_log(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " size 0x%llx offset 0x%llx", (unsigned long long)p->log.size,
             (unsigned long long)p->log.offset);
}

static void print_inflight(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " size 0x%llx offset 0x%llx queues %u of %u entries",
             (unsigned long long)p->inflight.mmap_size, (unsigned long long)p->inflight.mmap_offset,
             p->inflight.nr_queues, p->inflight.queue_size);
}

static void print_iotlb(struct text *t, const union vhost_user_payload *p, size_t size)
{
    static const char *const types[] = {
        [VHOST_IOTLB_MISS] = "miss",
        [VHOST_IOTLB_UPDATE] = "update",
        [VHOST_IOTLB_INVALIDATE] = "invalidate",
        [VHOST_IOTLB_ACCESS_FAIL] = "access fail",
    };
    const char *type = p->iotlb.type < ARRAY_SIZE(types) ? types[p->iotlb.type] : NULL;

    (void)size;
    text_add(t, " %s (%u) iova 0x%llx len 0x%llx user 0x%llx %s%s", type != NULL ? type : "unknown type",
             p->iotlb.type, (unsigned long long)p->iotlb.iova, (unsigned long long)p->iotlb.size,
             (unsigned long long)p->iotlb.user_addr, (p->iotlb.perm & VHOST_ACCESS_RO) != 0 ? "r" : "-",
             (p->iotlb.perm & VHOST_ACCESS_WO) != 0 ? "w" : "-");
}

static void print_config(struct text *t, const union vhost_user_payload *p, size_t size)
{
    size_t bytes = size - VHOST_USER_CONFIG_HEADER;

    text_add(t, " offset %u size %u flags 0x%x", p->config.offset, p->config.size, p->config.flags);
    if (bytes != p->config.size)
        text_add(t, " (with %zu bytes)", bytes);
    bytes = MIN(bytes, sizeof(p->config.data));
    if (bytes > 0)
        text_add(t, " data ");
    for (size_t i = 0; i < bytes; i++)
        text_add(t, "%02x", p->config.data[i]);
}

static void print_area(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ring %u%s size 0x%llx offset 0x%llx",
             (unsigned)(p->area.index & VHOST_USER_VRING_INDEX_MASK),
             (p->area.index & VHOST_USER_VRING_NO_FD) != 0 ? " no fd" : "", (unsigned long long)p->area.size,
             (unsigned long long)p->area.offset);
}

static void print_uuid(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " ");
    for (size_t i = 0; i < sizeof(p->uuid.bytes); i++)
        text_add(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", p->uuid.bytes[i]);
}

static void print_device_state(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " direction %u phase %u", p->device_state.direction, p->device_state.phase);
}

static void print_mmap(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " shmid %u fd offset 0x%llx shm offset 0x%llx len 0x%llx %s", p->mmap.shmid,
             (unsigned long long)p->mmap.fd_offset, (unsigned long long)p->mmap.shm_offset,
             (unsigned long long)p->mmap.len, (p->mmap.flags & VHOST_USER_MMAP_RW) != 0 ? "rw" : "ro");
    if ((p->mmap.flags & ~(uint64_t)VHOST_USER_MMAP_RW) != 0)
        text_add(t, " (unknown flags 0x%llx)", (unsigned long long)p->mmap.flags);
}

static void print_shmem_config(struct text *t, const union vhost_user_payload *p, size_t size)
{
    (void)size;
    text_add(t, " %u regions", p->shmem_config.nr_regions);
    for (unsigned i = 0; i < VHOST_USER_MAX_SHMEM; i++)
        if (p->shmem_config.sizes[i] != 0)
            text_add(t, " [ shmid %u len 0x%llx ]", i, (unsigned long long)p->shmem_config.sizes[i]);
}

/* A printer is called when the payload has at least min and at most max bytes. */
static const struct payload_printer {
    size_t min, max;
    void (*print)(struct text *t, const union vhost_user_payload *p, size_t size);
} printers[] = {
    [PAYLOAD_NONE] = {0, 0, NULL},
    [PAYLOAD_OPAQUE] = {0, 0, NULL},
    [PAYLOAD_U64] = {8, 8, print_u64},
    [PAYLOAD_RING_FD] = {8, 8, print_ring_fd},
    [PAYLOAD_PROTOCOL_FEATURES] = {8, 8, print_protocol_features},
    [PAYLOAD_STATE] = {8, 8, print_state},
    [PAYLOAD_ADDR] = {40, 40, print_addr},
    [PAYLOAD_TABLE] = {VHOST_USER_MEM_TABLE_HEADER, sizeof(struct vhost_user_mem_table), print_table},
    [PAYLOAD_REGION] = {40, 48, print_region},
    [PAYLOAD_LOG] = {16, 16, print_log},
    [PAYLOAD_INFLIGHT] = {20, 24, print_inflight},
    [PAYLOAD_IOTLB] = {26, 32, print_iotlb},
    [PAYLOAD_CONFIG] = {VHOST_USER_CONFIG_HEADER, sizeof(struct vhost_user_config), print_config},
    [PAYLOAD_AREA] = {24, 24, print_area},
    [PAYLOAD_UUID] = {16, 16, print_uuid},
    [PAYLOAD_DEVICE_STATE] = {8, 8, print_device_state},
    [PAYLOAD_MMAP] = {40, 40, print_mmap},
    [PAYLOAD_SHMEM_CONFIG] = {2056, 2056, print_shmem_config},
};

/* What is left when nobody knows better: the size and the first bytes. */
static void print_bytes(struct text *t, const union vhost_user_payload *p, uint32_t claimed, size_t size)
{
    if (claimed == 0)
        return;
    text_add(t, " %u bytes:", claimed);
    for (size_t i = 0; i < MIN(size, (size_t)16); i++)
        text_add(t, " %02x", p->bytes[i]);
    if (claimed > 16)
        text_add(t, " ...");
}

int vhost_user_msg_format(char *buf, size_t len, const struct vhost_user_msg *msg,
                          enum vhost_user_side requester)
{
    const struct request_info *info = request_info(requester, msg->header.request);
    bool reply = (msg->header.flags & VHOST_USER_FLAG_REPLY) != 0;
    size_t size = MIN((size_t)msg->header.size, sizeof(msg->payload));
    enum payload_kind kind = PAYLOAD_OPAQUE;
    uint32_t odd;
    struct text t;

    text_begin(&t, buf, len);
    if (info != NULL) {
        text_add(&t, "%s", info->name);
        kind = reply ? info->reply : info->payload;
        if (reply && kind == PAYLOAD_NONE)
            kind = PAYLOAD_U64;
    } else {
        text_add(&t, "unknown request %u", msg->header.request);
    }
    if (reply)
        text_add(&t, " reply");
    if ((msg->header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0)
        text_add(&t, " need-reply");
    odd = msg->header.flags & ~(VHOST_USER_FLAG_REPLY | VHOST_USER_FLAG_NEED_REPLY);
    if (odd != VHOST_USER_VERSION)
        text_add(&t, " (flags 0x%x)", msg->header.flags);
    if (msg->header.size <= sizeof(msg->payload) && printers[kind].print != NULL &&
        size >= printers[kind].min && size <= printers[kind].max)
        printers[kind].print(&t, &msg->payload, size);
    else
        print_bytes(&t, &msg->payload, msg->header.size, size);
    if (msg->nr_fds > 0)
        text_add(&t, " +%u fd%s", msg->nr_fds, msg->nr_fds == 1 ? "" : "s");
    if (msg->fds_lost)
        text_add(&t, " (fds lost)");
    return (int)t.pos;
}

void vhost_user_msg_init(struct vhost_user_msg *msg, uint32_t request, uint32_t size)
{
    msg->header = (struct vhost_user_header){.request = request, .flags = VHOST_USER_VERSION, .size = size};
    msg->fds_lost = false;
    msg->nr_fds = 0;
}

void vhost_user_msg_init_reply(struct vhost_user_msg *msg, uint32_t request, uint32_t size)
{
    vhost_user_msg_init(msg, request, size);
    msg->header.flags |= VHOST_USER_FLAG_REPLY;
}

void vhost_user_msg_close_fds(struct vhost_user_msg *msg)
{
    for (unsigned i = 0; i < msg->nr_fds; i++)
        close(msg->fds[i]);
    msg->nr_fds = 0;
}
