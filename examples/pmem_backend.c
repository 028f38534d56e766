// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmem_backend.c - see pmem_backend.h. One loop waits for everything and nothing else blocks: a back-end that
 * waits for the answer to its SHMEM_MAP without reading its main channel stops a front-end that waits for an
 * answer there. Only fsync(), which may take long, has a thread of its own.
 *
 * When the memory is mapped: the front-end unmaps it when the driver resets the device, and tells us by
 * RESET_DEVICE; so it is mapped once the front-end knows the region and has given us a channel, and again
 * before RESET_DEVICE is answered, to be in its place before any driver looks for it. A front-end without
 * RESET_DEVICE only stops the ring: then it may be gone, and is mapped when the ring is started again; if it
 * was still there the front-end refuses that, and nothing has changed.
 */
#include "examples/pmem_backend.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "common/log.h"
#include "common/util.h"
#include "common/vhost_user_channel.h"
#include "common/virtio_uapi.h"
#include "examples/pmem_queue.h"

#define PROTOCOL(name) ((uint64_t)1 << VHOST_USER_PROTOCOL_F_##name)
#define SEND_MS        5000 /* a front-end that reads nothing for so long is given up */

static const uint64_t offered_features = (uint64_t)1 << VIRTIO_F_VERSION_1 |
                                         (uint64_t)1 << VIRTIO_PMEM_F_SHMEM_REGION |
                                         (uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES;
static const uint64_t offered_protocol =
    PROTOCOL(REPLY_ACK) | PROTOCOL(BACKEND_REQ) | PROTOCOL(BACKEND_SEND_FD) | PROTOCOL(SHMEM_MAP) |
    PROTOCOL(CONFIG) | PROTOCOL(RESET_DEVICE) | PROTOCOL(CONFIGURE_MEM_SLOTS) | PROTOCOL(XEN_MMAP);

struct pmem_backend {
    const struct pmem_options *options;
    struct vhost_user_channel *main, *requests; /* requests: ours, NULL until SET_BACKEND_REQ_FD */
    uint64_t features, protocol;
    struct pmem_queue queue;

    bool region_known; /* the front-end has asked for it: it can be mapped */
    bool map_wanted;   /* a MAP is to be sent when that is possible */
    bool map_stands;   /* one was acknowledged, and not undone since as far as we know */
    bool map_doubtful; /* the ring was stopped: the mapping may be gone */
    bool out_wanted;   /* SIGUSR1 was the last such signal, not SIGUSR2 */
    bool out;          /* ... and it has been done */
    uint32_t awaited;  /* request whose answer is outstanding, or 0 */
    uint64_t piece_at; /* offset of the piece that it is about */
    bool refused;      /* of the pieces before it one was */

    bool flushing; /* the thread runs */
    pthread_t thread;
    int flush_error; /* its result */
    int flushed_fd;  /* eventfd: it has ended */
};

static bool has(const struct pmem_backend *b, uint64_t protocol_bits)
{
    return (b->protocol & protocol_bits) == protocol_bits;
}

/* ---- the shared memory region ------------------------------------------------------------------- */

static int piece_send(struct pmem_backend *b, uint32_t request)
{
    struct vhost_user_msg msg;

    vhost_user_msg_init(&msg, request, sizeof(msg.payload.mmap));
    msg.payload.mmap = (struct vhost_user_mmap){
        .shmid = VIRTIO_PMEM_SHMEM_REGION_ID,
        .fd_offset = b->piece_at,
        .shm_offset = b->piece_at,
        .len = MIN(b->options->piece, b->options->len - b->piece_at),
        .flags = request == VHOST_USER_BACKEND_SHMEM_MAP && !b->options->read_only ? VHOST_USER_MMAP_RW : 0,
    };
    if (request == VHOST_USER_BACKEND_SHMEM_MAP)
        msg.fds[msg.nr_fds++] = b->options->memory_fd;
    if (has(b, PROTOCOL(REPLY_ACK))) {
        msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
        b->awaited = request;
    }
    return vhost_user_channel_send_wait(b->requests, &msg, SEND_MS);
}

/* Whether there is a piece behind the one that was sent last: then it is the next. */
static bool piece_next(struct pmem_backend *b)
{
    if (b->options->len - b->piece_at <= b->options->piece)
        return false;
    b->piece_at += b->options->piece;
    return true;
}

/* Sends the request for the first piece; for all of them, if nothing will be answered. */
static int region_send(struct pmem_backend *b, uint32_t request)
{
    int err;

    b->piece_at = 0;
    b->refused = false;
    do
        err = piece_send(b, request);
    while (err == 0 && b->awaited == 0 && piece_next(b));
    return err;
}

/* Sends the request that is due, if any. One is outstanding at the most. */
static int region_update(struct pmem_backend *b)
{
    if (b->awaited != 0 || b->requests == NULL || !b->region_known)
        return 0;
    if (b->out != b->out_wanted) {
        b->out = b->out_wanted;
        b->map_wanted = !b->out;
        if (b->out && b->map_stands)
            return region_send(b, VHOST_USER_BACKEND_SHMEM_UNMAP);
    }
    if (!b->map_wanted || b->out)
        return 0;
    b->map_wanted = false;
    b->map_doubtful = false;
    return region_send(b, VHOST_USER_BACKEND_SHMEM_MAP);
}

/* The driver has reset the device: nothing is mapped any more. What we asked for before may have been served
 * before that or after it; the next request tells. */
static void region_reset(struct pmem_backend *b)
{
    b->map_stands = b->awaited != 0;
    b->map_wanted = !b->options->map_at_start;
    b->map_doubtful = true;
}

static void ring_starts(struct pmem_backend *b)
{
    if (b->map_doubtful)
        b->map_wanted = true;
}

static void region_answered(struct pmem_backend *b, uint32_t request, bool ok)
{
    if (request == VHOST_USER_BACKEND_SHMEM_UNMAP) {
        log_info("the memory is out of the guest%s", ok ? "" : " already, as the front-end says");
        b->map_stands = false;
    } else if (ok) {
        log_info("the guest sees the memory: %llu KiB%s", (unsigned long long)b->options->len >> 10,
                 b->options->read_only ? ", read-only" : "");
        b->map_stands = true;
    } else if (b->map_stands) {
        log_info("the front-end has the memory mapped still");
    } else {
        log_error("the front-end refused to map the memory: the guest sees nothing of it; its log says why");
    }
}

static int answer_receive(struct pmem_backend *b)
{
    struct vhost_user_msg msg;
    uint32_t request = b->awaited;
    int err = vhost_user_channel_receive(b->requests, &msg);

    if (err <= 0)
        return err;
    vhost_user_msg_close_fds(&msg);
    if (request == 0 || msg.header.request != request ||
        msg.header.flags != (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY) ||
        msg.header.size != sizeof(msg.payload.u64)) {
        log_error("the front-end sent what is no answer to a request of ours (number %u)",
                  msg.header.request);
        return -EPROTO;
    }
    b->awaited = 0;
    b->refused |= msg.payload.u64 != 0;
    if (piece_next(b))
        return piece_send(b, request);
    region_answered(b, request, !b->refused);
    return 0;
}

/* ---- flush requests ----------------------------------------------------------------------------- */

static void *flush_thread(void *arg)
{
    struct pmem_backend *b = arg;

    b->flush_error = b->options->no_flush || fsync(b->options->memory_fd) == 0 ? 0 : errno;
    eventfd_write(b->flushed_fd, 1);
    return NULL;
}

/* All requests that are there are answered by one fsync(); those that come meanwhile, by the next. */
static void flush_begin(struct pmem_backend *b)
{
    if (b->flushing || pmem_queue_take(&b->queue) == 0)
        return;
    b->flushing = pthread_create(&b->thread, NULL, flush_thread, b) == 0;
    if (!b->flushing)
        pmem_queue_answer(&b->queue, false);
}

/* Waits for the thread, if need be. */
static void flush_end(struct pmem_backend *b)
{
    eventfd_t value;

    if (!b->flushing)
        return;
    pthread_join(b->thread, NULL);
    eventfd_read(b->flushed_fd, &value);
    b->flushing = false;
    if (b->flush_error != 0)
        log_error("writing the memory to its file: %s", strerror(b->flush_error));
    pmem_queue_answer(&b->queue, b->flush_error == 0);
}

/* ---- messages of the front-end -------------------------------------------------------------------
 * Each function makes the reply, where the message has one, or does what it says: 0 or negative errno. */

static int serve_nothing(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)b;
    (void)msg;
    (void)reply;
    return 0;
}

static int reply_u64(struct vhost_user_msg *reply, uint64_t value)
{
    reply->payload.u64 = value;
    reply->header.size = sizeof(value);
    return 0;
}

static int get_features(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)b;
    (void)msg;
    return reply_u64(reply, offered_features);
}

static int set_features(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if ((msg->payload.u64 & ~offered_features) != 0)
        return -EINVAL;
    b->features = msg->payload.u64;
    /* Without the messages that enable rings, they are enabled. */
    if ((b->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1) == 0)
        b->queue.enabled = true;
    return 0;
}

static int get_protocol(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)b;
    (void)msg;
    return reply_u64(reply, offered_protocol);
}

static int set_protocol(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if ((msg->payload.u64 & ~offered_protocol) != 0)
        return -EINVAL;
    b->protocol = msg->payload.u64;
    if (!has(b, PROTOCOL(SHMEM_MAP) | PROTOCOL(BACKEND_REQ) | PROTOCOL(BACKEND_SEND_FD)))
        log_warning("the front-end does not take shared memory: the guest will see nothing of it");
    return 0;
}

static int get_config(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    struct virtio_pmem_config config = {.size = htole64(b->options->len)};
    uint32_t offset = msg->payload.config.offset, size = msg->payload.config.size;

    if (msg->header.size < VHOST_USER_CONFIG_HEADER || msg->header.size != VHOST_USER_CONFIG_HEADER + size)
        return -EINVAL;
    if (!range_within(offset, size, sizeof(config)))
        return 0; /* an answer without payload: no such bytes */
    reply->payload.config.offset = offset;
    reply->payload.config.size = size;
    reply->payload.config.flags = msg->payload.config.flags;
    memcpy(reply->payload.config.data, (const uint8_t *)&config + offset, size);
    reply->header.size = VHOST_USER_CONFIG_HEADER + size;
    return 0;
}

static int get_shmem_config(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)msg;
    reply->payload.shmem_config = (struct vhost_user_shmem_config){.nr_regions = 1};
    reply->payload.shmem_config.sizes[VIRTIO_PMEM_SHMEM_REGION_ID] = b->options->len;
    reply->header.size = sizeof(reply->payload.shmem_config);
    b->region_known = true;
    return 0;
}

static int set_backend_req_fd(struct pmem_backend *b, struct vhost_user_msg *msg,
                              struct vhost_user_msg *reply)
{
    int err;

    (void)reply;
    if (b->requests != NULL)
        return -EEXIST;
    err = vhost_user_channel_new(&b->requests, msg->fds[0], VHOST_USER_BACKEND, "pmem, own channel");
    if (err < 0)
        return err;
    msg->nr_fds = 0; /* the channel has it */
    b->map_wanted = !b->options->map_at_start;
    b->map_doubtful = b->options->map_at_start;
    return 0;
}

static int reset_device(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)msg;
    (void)reply;
    flush_end(b);
    b->queue.started = b->queue.enabled = false;
    region_reset(b);
    return 0;
}

/* With XEN_MMAP each region has two fields more. */
static bool region_size_is_right(const struct pmem_backend *b, const struct vhost_user_msg *msg)
{
    return msg->header.size == (has(b, PROTOCOL(XEN_MMAP)) ? sizeof(struct vhost_user_single_xen_region)
                                                           : sizeof(struct vhost_user_single_region));
}

static int add_memory(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if (!region_size_is_right(b, msg))
        return -EINVAL;
    return has(b, PROTOCOL(XEN_MMAP))
               ? pmem_queue_add_xen_memory(&b->queue, &msg->payload.xen_region.region, msg->fds[0])
               : pmem_queue_add_memory(&b->queue, &msg->payload.region.region, msg->fds[0]);
}

static int remove_memory(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if (!region_size_is_right(b, msg))
        return -EINVAL;
    return pmem_queue_remove_memory(&b->queue, &msg->payload.region.region);
}

static int set_mem_table(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    const struct vhost_user_mem_table *table = &msg->payload.table;
    bool xen = has(b, PROTOCOL(XEN_MMAP));
    size_t size = xen ? sizeof(table->regions.xen[0]) : sizeof(table->regions.plain[0]);
    int err = 0;

    (void)reply;
    if (msg->header.size < VHOST_USER_MEM_TABLE_HEADER || table->nr_regions > VHOST_USER_MAX_REGIONS ||
        msg->nr_fds != table->nr_regions ||
        msg->header.size < VHOST_USER_MEM_TABLE_HEADER + table->nr_regions * size)
        return -EINVAL;
    pmem_queue_remove_all_memory(&b->queue);
    for (unsigned i = 0; i < table->nr_regions && err == 0; i++)
        err = xen ? pmem_queue_add_xen_memory(&b->queue, &table->regions.xen[i], msg->fds[i])
                  : pmem_queue_add_memory(&b->queue, &table->regions.plain[i], msg->fds[i]);
    return err;
}

static int get_max_mem_slots(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)b;
    (void)msg;
    return reply_u64(reply, PMEM_MAX_REGIONS);
}

static int set_vring_num(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    uint32_t num = msg->payload.state.num;

    (void)reply;
    if (msg->payload.state.index != 0 || num == 0 || num > PMEM_QUEUE_MAX || (num & (num - 1)) != 0 ||
        b->queue.started)
        return -EINVAL;
    b->queue.size = num;
    return 0;
}

static int set_vring_addr(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if (msg->payload.addr.index != 0 || msg->payload.addr.flags != 0)
        return -EINVAL;
    b->queue.desc = msg->payload.addr.desc;
    b->queue.avail = msg->payload.addr.avail;
    b->queue.used = msg->payload.addr.used;
    return 0;
}

static int set_vring_base(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if (msg->payload.state.index != 0 || msg->payload.state.num > UINT16_MAX || b->queue.started)
        return -EINVAL;
    b->queue.last_avail = (uint16_t)msg->payload.state.num;
    return 0;
}

static int get_vring_base(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    if (msg->payload.state.index != 0)
        return -EINVAL;
    flush_end(b);
    b->queue.started = false;
    b->map_doubtful = true;
    reply->payload.state = (struct vhost_user_vring_state){.num = b->queue.last_avail};
    reply->header.size = sizeof(reply->payload.state);
    return 0;
}

/* SET_VRING_KICK, CALL and ERR: the ring's number and an fd, or a bit that says there is none. */
static int vring_fd(struct vhost_user_msg *msg, int *fd)
{
    bool no_fd = (msg->payload.u64 & VHOST_USER_VRING_NO_FD) != 0;

    if ((msg->payload.u64 & ~(uint64_t)VHOST_USER_VRING_NO_FD) != 0 || msg->nr_fds != (no_fd ? 0 : 1))
        return -EINVAL;
    if (*fd >= 0)
        close(*fd);
    *fd = no_fd ? -1 : msg->fds[0];
    msg->nr_fds = 0;
    return 0;
}

static int set_vring_kick(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    int err = vring_fd(msg, &b->queue.kick_fd);

    (void)reply;
    if (err < 0 || b->queue.kick_fd < 0)
        return err < 0 ? err : -EOPNOTSUPP; /* polling */
    b->queue.broken = false;
    b->queue.started = true;
    ring_starts(b);
    return 0;
}

static int set_vring_call(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    return vring_fd(msg, &b->queue.call_fd);
}

static int set_vring_err(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    return vring_fd(msg, &b->queue.err_fd);
}

static int set_vring_enable(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    (void)reply;
    if (msg->payload.state.index != 0 || msg->payload.state.num > 1)
        return -EINVAL;
    b->queue.enabled = msg->payload.state.num == 1;
    return 0;
}

#define ANY UINT32_MAX /* the function looks itself */

static const struct handler {
    int (*serve)(struct pmem_backend *b, struct vhost_user_msg *msg, struct vhost_user_msg *reply);
    uint32_t size, nr_fds; /* what the message must have */
    bool replies;
} handlers[] = {
    [VHOST_USER_GET_FEATURES] = {.serve = get_features, .replies = true},
    [VHOST_USER_SET_FEATURES] = {.serve = set_features, .size = sizeof(uint64_t)},
    [VHOST_USER_SET_OWNER] = {.serve = serve_nothing},
    [VHOST_USER_RESET_OWNER] = {.serve = serve_nothing},
    [VHOST_USER_SET_MEM_TABLE] = {.serve = set_mem_table, .size = ANY, .nr_fds = ANY},
    [VHOST_USER_SET_VRING_NUM] = {.serve = set_vring_num, .size = sizeof(struct vhost_user_vring_state)},
    [VHOST_USER_SET_VRING_ADDR] = {.serve = set_vring_addr, .size = sizeof(struct vhost_user_vring_addr)},
    [VHOST_USER_SET_VRING_BASE] = {.serve = set_vring_base, .size = sizeof(struct vhost_user_vring_state)},
    [VHOST_USER_GET_VRING_BASE] = {.serve = get_vring_base,
                                   .size = sizeof(struct vhost_user_vring_state),
                                   .replies = true},
    [VHOST_USER_SET_VRING_KICK] = {.serve = set_vring_kick, .size = sizeof(uint64_t), .nr_fds = ANY},
    [VHOST_USER_SET_VRING_CALL] = {.serve = set_vring_call, .size = sizeof(uint64_t), .nr_fds = ANY},
    [VHOST_USER_SET_VRING_ERR] = {.serve = set_vring_err, .size = sizeof(uint64_t), .nr_fds = ANY},
    [VHOST_USER_GET_PROTOCOL_FEATURES] = {.serve = get_protocol, .replies = true},
    [VHOST_USER_SET_PROTOCOL_FEATURES] = {.serve = set_protocol, .size = sizeof(uint64_t)},
    [VHOST_USER_SET_VRING_ENABLE] = {.serve = set_vring_enable,
                                     .size = sizeof(struct vhost_user_vring_state)},
    [VHOST_USER_SET_BACKEND_REQ_FD] = {.serve = set_backend_req_fd, .nr_fds = 1},
    [VHOST_USER_GET_CONFIG] = {.serve = get_config, .size = ANY, .replies = true},
    [VHOST_USER_RESET_DEVICE] = {.serve = reset_device},
    [VHOST_USER_GET_MAX_MEM_SLOTS] = {.serve = get_max_mem_slots, .replies = true},
    [VHOST_USER_ADD_MEM_REG] = {.serve = add_memory, .size = ANY, .nr_fds = 1},
    [VHOST_USER_REM_MEM_REG] = {.serve = remove_memory, .size = ANY, .nr_fds = ANY},
    [VHOST_USER_GET_SHMEM_CONFIG] = {.serve = get_shmem_config, .replies = true},
};

static int message_serve(struct pmem_backend *b, const struct handler *h, struct vhost_user_msg *msg,
                         struct vhost_user_msg *reply)
{
    if (h == NULL || h->serve == NULL)
        return -EOPNOTSUPP;
    if ((h->size != ANY && msg->header.size != h->size) || (h->nr_fds != ANY && msg->nr_fds != h->nr_fds) ||
        (msg->header.flags & VHOST_USER_FLAG_REPLY) != 0 || msg->fds_lost)
        return -EINVAL;
    return h->serve(b, msg, reply);
}

static int message_handle(struct pmem_backend *b, struct vhost_user_msg *msg)
{
    uint32_t request = msg->header.request;
    const struct handler *h = request < ARRAY_SIZE(handlers) ? &handlers[request] : NULL;
    const char *name = vhost_user_request_name(VHOST_USER_FRONTEND, request);
    bool acked = has(b, PROTOCOL(REPLY_ACK)) && (msg->header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0;
    struct vhost_user_msg reply;
    int err, rc;

    vhost_user_msg_init_reply(&reply, request, 0);
    err = message_serve(b, h, msg, &reply);
    if (err < 0)
        log_error("message %s (%u) of the front-end refused: %s", name != NULL ? name : "unknown", request,
                  strerror(-err));
    /* What was not done and cannot be told leaves the two sides with different ideas. */
    if (err < 0 && (!acked || (h != NULL && h->replies)))
        return -EPROTO;
    /* Before the answer, so that the front-end has the request when it goes on: see above. */
    rc = region_update(b);
    if (rc < 0)
        return rc;
    if (h == NULL || !h->replies) {
        if (!acked)
            return 0;
        reply_u64(&reply, (uint64_t)-err);
    }
    return vhost_user_channel_send_wait(b->main, &reply, SEND_MS);
}

static int messages_receive(struct pmem_backend *b)
{
    struct vhost_user_msg msg;
    int err = vhost_user_channel_receive(b->main, &msg);

    if (err <= 0)
        return err;
    err = message_handle(b, &msg);
    vhost_user_msg_close_fds(&msg);
    return err;
}

/* ---- the loop ----------------------------------------------------------------------------------- */

int pmem_signal_take(int signal_fd)
{
    struct signalfd_siginfo info;

    return read(signal_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

enum { WAIT_SIGNAL, WAIT_MAIN, WAIT_REQUESTS, WAIT_KICK, WAIT_FLUSHED, NR_WAITS };

/* Waits for what comes next and handles it. 0, or negative errno: the end. -EINTR: by a signal. */
static int backend_step(struct pmem_backend *b, int signal_fd)
{
    bool kicks = b->queue.started && b->queue.enabled && !b->queue.broken;
    struct pollfd p[NR_WAITS] = {
        [WAIT_SIGNAL] = {.fd = signal_fd, .events = POLLIN},
        [WAIT_MAIN] = {.fd = vhost_user_channel_fd(b->main), .events = POLLIN},
        [WAIT_REQUESTS] = {.fd = b->requests != NULL ? vhost_user_channel_fd(b->requests) : -1,
                           .events = POLLIN},
        [WAIT_KICK] = {.fd = kicks ? b->queue.kick_fd : -1, .events = POLLIN},
        [WAIT_FLUSHED] = {.fd = b->flushing ? b->flushed_fd : -1, .events = POLLIN},
    };
    eventfd_t value;
    int err = 0, signum;

    if (poll(p, NR_WAITS, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    if (p[WAIT_SIGNAL].revents != 0) {
        signum = pmem_signal_take(signal_fd);
        if (signum == SIGTERM || signum == SIGINT)
            return -EINTR;
        if (signum != 0)
            b->out_wanted = signum == SIGUSR1;
        err = region_update(b);
    }
    if (p[WAIT_FLUSHED].revents != 0) {
        flush_end(b);
        flush_begin(b);
    }
    if (p[WAIT_KICK].revents != 0) {
        eventfd_read(b->queue.kick_fd, &value);
        flush_begin(b);
    }
    if (err == 0 && p[WAIT_REQUESTS].revents != 0) {
        err = answer_receive(b);
        if (err == 0)
            err = region_update(b);
    }
    if (err == 0 && p[WAIT_MAIN].revents != 0)
        err = messages_receive(b);
    return err;
}

enum pmem_end pmem_backend_run(const struct pmem_options *options, int socket, int signal_fd)
{
    struct pmem_backend b = {.options = options};
    int err;

    pmem_queue_init(&b.queue);
    b.flushed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = b.flushed_fd < 0 ? -errno : vhost_user_channel_new(&b.main, socket, VHOST_USER_FRONTEND, "pmem");
    if (err < 0)
        close(socket);
    while (err == 0)
        err = backend_step(&b, signal_fd);
    if (err == -ECONNRESET)
        log_info("the front-end has gone");
    else if (err != -EINTR)
        log_error("connection given up: %s", strerror(-err));
    flush_end(&b);
    pmem_queue_fini(&b.queue);
    vhost_user_channel_free(b.requests);
    vhost_user_channel_free(b.main);
    if (b.flushed_fd >= 0)
        close(b.flushed_fd);
    return err == -EINTR ? PMEM_END_SIGNAL : PMEM_END_CONNECTION;
}
