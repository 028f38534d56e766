// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fake_backend.c - see fake_backend.h.
 */
#include "tests/unit/fake_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/util.h"

#define WAIT_MS 10000

/* An assertion of check cannot be used in a thread. */
#define must(condition)                                                                       \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "fake back-end: not so: %s (%s)\n", #condition, strerror(errno)); \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

void fake_backend_defaults(struct fake_backend *fake)
{
    memset(fake, 0, sizeof(*fake));
    pthread_mutex_init(&fake->regions_lock, NULL);
    fake->features = (uint64_t)1 << 32 | (uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES | 0xff;
    fake->protocol_features = ((uint64_t)1 << 23) - 1;
    fake->nr_queues = 3;
    fake->config_len = 60;
    fake->max_slots = FAKE_REGIONS;
    for (size_t i = 0; i < sizeof(fake->config); i++)
        fake->config[i] = (uint8_t)(i * 7);
}

static void wake(struct fake_backend *fake)
{
    if (fake->wake != NULL)
        fake->wake(fake->ctx);
}

static void take_fd(int *to, struct vhost_user_msg *msg)
{
    if (*to >= 0)
        close(*to);
    *to = msg->nr_fds > 0 ? msg->fds[0] : -1;
    msg->nr_fds = 0;
}

static void regions_drop(struct fake_backend *fake)
{
    for (unsigned i = 0; i < fake->nr_regions; i++)
        close(fake->region_fds[i]);
    fake->nr_regions = 0;
}

static void connection_reset(struct fake_backend *fake)
{
    vhost_user_channel_free(fake->main);
    vhost_user_channel_free(fake->backend);
    fake->main = fake->backend = NULL;
    regions_drop(fake);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        if (fake->rings[i].kick >= 0)
            close(fake->rings[i].kick);
        if (fake->rings[i].call >= 0)
            close(fake->rings[i].call);
        fake->rings[i] = (struct fake_ring){.kick = -1, .call = -1};
    }
    fake->acked_features = fake->acked_protocol = fake->status = 0;
    fake->nr_resets = 0;
}

static struct fake_ring *ring(struct fake_backend *fake, uint64_t index)
{
    must(index < FAKE_QUEUES);
    return &fake->rings[index];
}

static uint32_t get_config(struct fake_backend *fake, const struct vhost_user_msg *msg,
                           struct vhost_user_msg *reply)
{
    const struct vhost_user_config *c = &msg->payload.config;

    must(msg->header.size == VHOST_USER_CONFIG_HEADER + c->size);
    reply->payload.config = (struct vhost_user_config){.offset = c->offset, .flags = c->flags};
    if (!range_within(c->offset, c->size, fake->config_len))
        return fake->config_short_form ? 0 : VHOST_USER_CONFIG_HEADER;
    reply->payload.config.size = c->size;
    memcpy(reply->payload.config.data, fake->config + c->offset, c->size);
    return VHOST_USER_CONFIG_HEADER + c->size;
}

static bool xen_form(const struct fake_backend *fake)
{
    return (fake->acked_protocol >> VHOST_USER_PROTOCOL_F_XEN_MMAP & 1) != 0;
}

/* No two live regions overlap. */
static void region_add(struct fake_backend *fake, const struct vhost_user_xen_region *region, int fd)
{
    unsigned nr = fake->nr_regions;

    must(nr < fake->max_slots && nr < FAKE_REGIONS);
    for (unsigned i = 0; i < nr; i++) {
        const struct vhost_user_region *other = &fake->regions[i].plain;

        must(region->plain.gpa >= other->gpa + other->size ||
             other->gpa >= region->plain.gpa + region->plain.size);
    }
    fake->regions[nr] = *region;
    fake->region_fds[nr] = fd;
    fake->nr_regions = nr + 1;
}

static void set_mem_table(struct fake_backend *fake, struct vhost_user_msg *msg)
{
    struct vhost_user_mem_table *t = &fake->table;

    must(msg->header.size >= VHOST_USER_MEM_TABLE_HEADER && msg->header.size <= sizeof(*t));
    memcpy(t, &msg->payload.table, msg->header.size);
    must(t->nr_regions == msg->nr_fds);
    must(msg->header.size ==
         VHOST_USER_MEM_TABLE_HEADER +
             msg->nr_fds * (xen_form(fake) ? sizeof(t->regions.xen[0]) : sizeof(t->regions.plain[0])));
    regions_drop(fake);
    for (unsigned i = 0; i < msg->nr_fds; i++) {
        struct vhost_user_xen_region region =
            xen_form(fake) ? t->regions.xen[i] : (struct vhost_user_xen_region){.plain = t->regions.plain[i]};

        region_add(fake, &region, msg->fds[i]);
    }
    msg->nr_fds = 0;
}

static void single_check(const struct fake_backend *fake, const struct vhost_user_msg *msg)
{
    must(msg->header.size ==
         (xen_form(fake) ? sizeof(msg->payload.xen_region) : sizeof(msg->payload.region)));
    must(msg->payload.region.padding == 0);
}

/* 0, or what it is refused with. */
static uint64_t add_mem_reg(struct fake_backend *fake, struct vhost_user_msg *msg)
{
    struct vhost_user_xen_region region = {.plain = msg->payload.region.region};

    single_check(fake, msg);
    must(msg->nr_fds == 1);
    if (fake->refuse_from > 0 && fake->nr_regions >= fake->refuse_from)
        return 1;
    if (xen_form(fake))
        region = msg->payload.xen_region.region;
    region_add(fake, &region, msg->fds[0]);
    msg->nr_fds = 0;
    return 0;
}

static void rem_mem_reg(struct fake_backend *fake, const struct vhost_user_msg *msg)
{
    const struct vhost_user_region *r = &msg->payload.region.region;
    unsigned last = fake->nr_regions - 1, i = 0;

    single_check(fake, msg);
    must(msg->nr_fds == 0 && fake->nr_regions > 0);
    while (i <= last && (fake->regions[i].plain.gpa != r->gpa || fake->regions[i].plain.size != r->size ||
                         fake->regions[i].plain.user_addr != r->user_addr))
        i++;
    must(i <= last);
    close(fake->region_fds[i]);
    fake->regions[i] = fake->regions[last];
    fake->region_fds[i] = fake->region_fds[last];
    fake->nr_regions = last;
}

static void set_backend_fd(struct fake_backend *fake, struct vhost_user_msg *msg)
{
    must(msg->nr_fds == 1 && fake->backend == NULL);
    must(vhost_user_channel_new(&fake->backend, msg->fds[0], VHOST_USER_BACKEND, "fake back-end") == 0);
    msg->nr_fds = 0;
}

/* Does what the request says. Returns whether it has a reply by nature, whose payload is in reply then. */
static bool handle(struct fake_backend *fake, struct vhost_user_msg *msg, struct vhost_user_msg *reply)
{
    const union vhost_user_payload *p = &msg->payload;

    reply->header.size = 8;
    reply->payload.u64 = 0;
    switch ((enum vhost_user_request)msg->header.request) {
    case VHOST_USER_GET_FEATURES:
        reply->payload.u64 = fake->features;
        return true;
    case VHOST_USER_GET_PROTOCOL_FEATURES:
        reply->payload.u64 = fake->protocol_features;
        return true;
    case VHOST_USER_GET_QUEUE_NUM:
        reply->payload.u64 = fake->nr_queues;
        return true;
    case VHOST_USER_GET_CONFIG:
        reply->header.size = get_config(fake, msg, reply);
        return true;
    case VHOST_USER_GET_VRING_BASE:
        reply->payload.state =
            (struct vhost_user_vring_state){p->state.index, ring(fake, p->state.index)->base};
        ring(fake, p->state.index)->started = false;
        return true;
    case VHOST_USER_GET_SHMEM_CONFIG:
        reply->payload.shmem_config = (struct vhost_user_shmem_config){.nr_regions = fake->shmem_not_there};
        for (unsigned i = 0; i < VHOST_USER_MAX_SHMEM; i++) {
            reply->payload.shmem_config.sizes[i] = fake->shmem_sizes[i];
            reply->payload.shmem_config.nr_regions += fake->shmem_sizes[i] != 0;
        }
        reply->header.size = sizeof(reply->payload.shmem_config);
        return true;
    case VHOST_USER_SET_FEATURES:
        fake->acked_features = p->u64;
        return false;
    case VHOST_USER_SET_PROTOCOL_FEATURES:
        fake->acked_protocol = p->u64;
        return false;
    case VHOST_USER_SET_BACKEND_REQ_FD:
        set_backend_fd(fake, msg);
        return false;
    case VHOST_USER_SET_MEM_TABLE:
        pthread_mutex_lock(&fake->regions_lock);
        set_mem_table(fake, msg);
        pthread_mutex_unlock(&fake->regions_lock);
        return false;
    case VHOST_USER_GET_MAX_MEM_SLOTS:
        reply->payload.u64 = fake->max_slots;
        return true;
    case VHOST_USER_ADD_MEM_REG:
        pthread_mutex_lock(&fake->regions_lock);
        reply->payload.u64 = add_mem_reg(fake, msg);
        pthread_mutex_unlock(&fake->regions_lock);
        return false;
    case VHOST_USER_REM_MEM_REG:
        pthread_mutex_lock(&fake->regions_lock);
        rem_mem_reg(fake, msg);
        pthread_mutex_unlock(&fake->regions_lock);
        return false;
    case VHOST_USER_SET_VRING_NUM:
        ring(fake, p->state.index)->num = p->state.num;
        return false;
    case VHOST_USER_SET_VRING_BASE:
        ring(fake, p->state.index)->base = p->state.num;
        return false;
    case VHOST_USER_SET_VRING_ADDR:
        ring(fake, p->addr.index)->addr = p->addr;
        return false;
    case VHOST_USER_SET_VRING_KICK:
        take_fd(&ring(fake, p->u64 & 0xff)->kick, msg);
        ring(fake, p->u64 & 0xff)->started = true;
        return false;
    case VHOST_USER_SET_VRING_CALL:
        take_fd(&ring(fake, p->u64 & 0xff)->call, msg);
        return false;
    case VHOST_USER_SET_VRING_ENABLE:
        ring(fake, p->state.index)->enabled = p->state.num;
        return false;
    case VHOST_USER_SET_STATUS:
        fake->status = p->u64;
        return false;
    case VHOST_USER_RESET_DEVICE:
        fake->nr_resets++;
        return false;
    case VHOST_USER_SET_CONFIG:
        must(range_within(p->config.offset, p->config.size, fake->config_len));
        memcpy(fake->config + p->config.offset, p->config.data, p->config.size);
        return false;
    case VHOST_USER_SET_OWNER:
        return false;
    case VHOST_USER_RESET_OWNER:
    case VHOST_USER_SET_LOG_BASE:
    case VHOST_USER_SET_LOG_FD:
    case VHOST_USER_SET_VRING_ERR:
    case VHOST_USER_SEND_RARP:
    case VHOST_USER_NET_SET_MTU:
    case VHOST_USER_IOTLB_MSG:
    case VHOST_USER_SET_VRING_ENDIAN:
    case VHOST_USER_CREATE_CRYPTO_SESSION:
    case VHOST_USER_CLOSE_CRYPTO_SESSION:
    case VHOST_USER_POSTCOPY_ADVISE:
    case VHOST_USER_POSTCOPY_LISTEN:
    case VHOST_USER_POSTCOPY_END:
    case VHOST_USER_GET_INFLIGHT_FD:
    case VHOST_USER_SET_INFLIGHT_FD:
    case VHOST_USER_GPU_SET_SOCKET:
    case VHOST_USER_VRING_KICK:
    case VHOST_USER_GET_STATUS:
    case VHOST_USER_GET_SHARED_OBJECT:
    case VHOST_USER_SET_DEVICE_STATE_FD:
    case VHOST_USER_CHECK_DEVICE_STATE:
        break;
    }
    fprintf(stderr, "fake back-end: unexpected request %u\n", msg->header.request);
    abort();
}

/* Makes the reply wrong. Returns whether the connection goes on. */
static bool spoil(struct fake_backend *fake, struct vhost_user_msg *reply)
{
    int fd = vhost_user_channel_fd(fake->main);

    switch (fake->fault) {
    case FAKE_NONE:
    case FAKE_NR_FAULTS:
        break;
    case FAKE_CLOSE:
        return false;
    case FAKE_HALF:
        must(send(fd, &reply->header, 7, MSG_NOSIGNAL) == 7);
        return false;
    case FAKE_SILENT:
        while (poll(&(struct pollfd){.fd = fake->stop_fd, .events = POLLIN}, 1, WAIT_MS) < 0)
            must(errno == EINTR);
        return false;
    case FAKE_REFUSE:
        reply->payload.u64 = 1;
        break;
    case FAKE_WRONG_REQUEST:
        reply->header.request++;
        break;
    case FAKE_WRONG_FLAGS:
        reply->header.flags = VHOST_USER_VERSION;
        break;
    case FAKE_MORE_FLAGS:
        reply->header.flags |= VHOST_USER_FLAG_NEED_REPLY;
        break;
    case FAKE_SHORT:
        reply->header.size /= 2;
        break;
    case FAKE_LONG:
        memset(reply->payload.bytes + reply->header.size, 0, 8);
        reply->header.size += 8;
        break;
    case FAKE_OVERSIZE:
        reply->header.size = 1u << 30;
        must(send(fd, &reply->header, sizeof(reply->header), MSG_NOSIGNAL) > 0);
        return true;
    case FAKE_WITH_FD:
        reply->fds[reply->nr_fds++] = fake->stop_fd;
        break;
    case FAKE_TWICE:
        /* The front-end may have closed between the two. */
        vhost_user_channel_send_wait(fake->main, reply, WAIT_MS);
        break;
    }
    vhost_user_channel_send_wait(fake->main, reply, WAIT_MS);
    return true;
}

/* Serves one message. false: the connection is over. */
static bool serve(struct fake_backend *fake, struct vhost_user_msg *msg)
{
    bool acks = (fake->acked_protocol >> VHOST_USER_PROTOCOL_F_REPLY_ACK & 1) != 0;
    struct vhost_user_msg reply;
    bool answer, fault;

    fake->log[fake->nr_log % FAKE_LOG_LEN] = msg->header.request;
    fake->nr_log++;
    must(msg->header.flags == VHOST_USER_VERSION ||
         msg->header.flags == (VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY));
    if (fake->hook != NULL)
        fake->hook(fake, msg);
    vhost_user_msg_init_reply(&reply, msg->header.request, 8);
    answer = handle(fake, msg, &reply);
    vhost_user_msg_close_fds(msg);
    fault = fake->fault != FAKE_NONE && msg->header.request == fake->fault_at && fake->fault_skip-- == 0;
    if (!answer && acks && (msg->header.flags & VHOST_USER_FLAG_NEED_REPLY) != 0) {
        answer = true;
    }
    if (fault)
        return spoil(fake, &reply);
    return !answer || vhost_user_channel_send_wait(fake->main, &reply, WAIT_MS) == 0;
}

static void do_todo(struct fake_backend *fake)
{
    eventfd_t value;

    must(eventfd_read(fake->do_fd, &value) == 0);
    fake->todo(fake);
    fake->done = true;
    wake(fake);
}

/* One connection, until it ends. false: the test is over. */
static bool serve_connection(struct fake_backend *fake)
{
    for (;;) {
        struct pollfd p[] = {{.fd = vhost_user_channel_fd(fake->main), .events = POLLIN},
                             {.fd = fake->stop_fd, .events = POLLIN},
                             {.fd = fake->do_fd, .events = POLLIN}};
        struct vhost_user_msg msg;

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            must(errno == EINTR);
        if (p[1].revents != 0)
            return false;
        if (p[2].revents != 0)
            do_todo(fake);
        if (p[0].revents == 0)
            continue;
        if (vhost_user_channel_receive_wait(fake->main, &msg, WAIT_MS) < 0 || !serve(fake, &msg))
            return true;
        wake(fake);
    }
}

static void *fake_thread(void *arg)
{
    struct fake_backend *fake = arg;
    bool more = true;

    while (more) {
        struct pollfd p[] = {{.fd = fake->listen_fd, .events = POLLIN},
                             {.fd = fake->stop_fd, .events = POLLIN}};
        int fd;

        if (poll(p, ARRAY_SIZE(p), -1) < 0)
            must(errno == EINTR);
        if (p[1].revents != 0)
            break;
        if (p[0].revents == 0)
            continue;
        fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        must(fd >= 0);
        fake->nr_log = 0;
        fake->nr_connections++;
        must(vhost_user_channel_new(&fake->main, fd, VHOST_USER_FRONTEND, "fake back-end") == 0);
        more = serve_connection(fake);
        connection_reset(fake);
        fake->nr_closed++;
        wake(fake);
    }
    return NULL;
}

void fake_backend_start(struct fake_backend *fake)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        fake->rings[i].kick = fake->rings[i].call = -1;
    strcpy(fake->dir, "/tmp/vhost-dm-test-XXXXXX");
    must(mkdtemp(fake->dir) != NULL);
    snprintf(fake->path, sizeof(fake->path), "%s/sock", fake->dir);
    strcpy(addr.sun_path, fake->path);
    fake->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fake->listen_fd >= 0 && bind(fake->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    must(listen(fake->listen_fd, 1) == 0);
    fake->stop_fd = eventfd(0, EFD_CLOEXEC);
    fake->do_fd = eventfd(0, EFD_CLOEXEC);
    must(fake->stop_fd >= 0 && fake->do_fd >= 0);
    must(pthread_create(&fake->thread, NULL, fake_thread, fake) == 0);
}

void fake_backend_stop(struct fake_backend *fake)
{
    must(eventfd_write(fake->stop_fd, 1) == 0);
    must(pthread_join(fake->thread, NULL) == 0);
    close(fake->listen_fd);
    close(fake->stop_fd);
    close(fake->do_fd);
    unlink(fake->path);
    rmdir(fake->dir);
}

void fake_backend_do(struct fake_backend *fake, void (*fn)(struct fake_backend *fake))
{
    fake->todo = fn;
    fake->done = false;
    must(eventfd_write(fake->do_fd, 1) == 0);
}

uint64_t fake_backend_request(struct fake_backend *fake, uint32_t request, uint32_t size, unsigned nr_fds,
                              bool need_reply)
{
    struct vhost_user_msg msg;

    vhost_user_msg_init(&msg, request, size);
    memset(&msg.payload, 0, size);
    for (unsigned i = 0; i < nr_fds; i++)
        msg.fds[msg.nr_fds++] = fake->stop_fd;
    if (need_reply)
        msg.header.flags |= VHOST_USER_FLAG_NEED_REPLY;
    must(vhost_user_channel_send_wait(fake->backend, &msg, WAIT_MS) == 0);
    if (!need_reply)
        return 0;
    must(vhost_user_channel_receive_wait(fake->backend, &msg, WAIT_MS) == 0);
    must(msg.header.request == request && msg.header.flags == (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY));
    must(msg.header.size == 8 && msg.nr_fds == 0);
    return msg.payload.u64;
}
