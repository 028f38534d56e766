// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend_jobs.c - what the front-end says on the main channel, and in which order: for each job a table of
 * steps, with the functions that build the messages and judge the replies. The order is that of QEMU, which
 * back-ends are tested with. frontend_steps.c runs the tables.
 */
#include "dm/frontend_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#define PROTOCOL_BIT(name) ((uint64_t)1 << VHOST_USER_PROTOCOL_F_##name)
/* What is handled here, and so may be negotiated. CONFIG is added when config space is wanted. */
/* XEN_MMAP whoever is to map the guest's memory: back-ends that were built for Xen (rust-vmm's) read a memory
 * table of no other form, and take a region without flags for an ordinary file. */
#define PROTOCOL_WANTED                                                                                    \
    (PROTOCOL_BIT(MQ) | PROTOCOL_BIT(REPLY_ACK) | PROTOCOL_BIT(BACKEND_REQ) | PROTOCOL_BIT(RESET_DEVICE) | \
     PROTOCOL_BIT(STATUS) | PROTOCOL_BIT(XEN_MMAP))

static void put_u64(struct vhost_user_msg *msg, uint64_t value)
{
    msg->payload.u64 = value;
    msg->header.size = sizeof(msg->payload.u64);
}

static void put_state(struct vhost_user_msg *msg, unsigned queue, uint32_t num)
{
    msg->payload.state = (struct vhost_user_vring_state){.index = queue, .num = num};
    msg->header.size = sizeof(msg->payload.state);
}

static void put_fd(struct vhost_user_msg *msg, int fd)
{
    msg->fds[msg->nr_fds++] = fd;
}

/* ---- handshake ---------------------------------------------------------------------------------- */

static bool has_protocol(const struct frontend *fe)
{
    return (fe->offered >> VHOST_USER_F_PROTOCOL_FEATURES & 1) != 0;
}

static int features_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    uint64_t features = msg->payload.u64 & fe->features_mask;

    fe->offered = msg->payload.u64;
    if (!fe->was_ready)
        fe->features = features;
    if ((fe->features & ~features) != 0)
        return frontend_fail(fe, -EPROTO, "it no longer offers the virtio features 0x%llx",
                             (unsigned long long)(fe->features & ~features));
    if (fe->protocol_features != 0 && !has_protocol(fe))
        return frontend_fail(fe, -EPROTO, "it no longer offers protocol features");
    return FRONTEND_STEP_DONE;
}

static uint64_t protocol_wanted(const struct frontend *fe)
{
    uint64_t wanted = PROTOCOL_WANTED | (fe->config_wanted > 0 ? PROTOCOL_BIT(CONFIG) : 0);
    uint64_t needed = PROTOCOL_BIT(BACKEND_REQ) | PROTOCOL_BIT(BACKEND_SEND_FD);

    /* The requests need the back-end's own channel, and fds on it. */
    if (fe->callbacks->shmem_map != NULL && (fe->protocol_offered & needed) == needed)
        wanted |= PROTOCOL_BIT(BACKEND_SEND_FD) | (uint64_t)1 << fe->shmem_bit;
    if (fe->memory_changes)
        wanted |= PROTOCOL_BIT(CONFIGURE_MEM_SLOTS);
    return wanted;
}

static int protocol_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    uint64_t missing = fe->protocol_features & ~msg->payload.u64;
    char names[128];

    fe->protocol_offered = msg->payload.u64;
    vhost_user_protocol_features_format(names, sizeof(names), missing);
    if (missing != 0)
        return frontend_fail(fe, -EPROTO, "it no longer offers the protocol features %s", names);
    return FRONTEND_STEP_DONE;
}

static void protocol_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_u64(msg, fe->protocol_offered & protocol_wanted(fe));
}

/* In force from the next message on. */
static void protocol_sent(struct frontend *fe)
{
    fe->protocol_features = fe->protocol_offered & protocol_wanted(fe);
}

bool frontend_has_shmem(const struct frontend *fe)
{
    return (fe->protocol_features >> fe->shmem_bit & 1) != 0 && fe->callbacks->shmem_map != NULL;
}

static int shmem_config_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    uint64_t sizes[VHOST_USER_MAX_SHMEM];
    const char *why = "";
    unsigned nr = 0;
    int rc;

    memcpy(sizes, msg->payload.shmem_config.sizes, sizeof(sizes));
    for (unsigned i = 0; i < VHOST_USER_MAX_SHMEM; i++)
        nr += sizes[i] != 0;
    if (msg->payload.shmem_config.nr_regions != nr)
        return frontend_fail(fe, -EPROTO, "its shared memory config announces %u regions and has %u",
                             msg->payload.shmem_config.nr_regions, nr);
    rc = fe->callbacks->shmem_config(fe->ctx, sizes, &why);
    return rc < 0 ? frontend_fail(fe, rc, "its shared memory regions: %s", why) : FRONTEND_STEP_DONE;
}

static bool has_mq(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_MQ);
}

static int queue_num_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    uint64_t units = msg->payload.u64;
    unsigned have = (unsigned)MIN(units, (uint64_t)FRONTEND_MAX_QUEUES) * fe->queue_unit;
    unsigned need = fe->was_ready ? fe->nr_queues : fe->queues_wanted;

    if (units == 0)
        return frontend_fail(fe, -EPROTO, "it says that it has no queues");
    if (have < need)
        return frontend_fail(fe, -EPROTO, "it has %u queues, and %u are needed", have, need);
    if (!fe->was_ready)
        fe->nr_queues = need != 0 ? need : MIN(have, (unsigned)FRONTEND_MAX_QUEUES);
    return FRONTEND_STEP_DONE;
}

static bool has_backend_req(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_BACKEND_REQ);
}

static void backend_fd_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_fd(msg, fe->backend_peer);
}

static void backend_fd_sent(struct frontend *fe)
{
    close(fe->backend_peer);
    fe->backend_peer = -1;
}

/* The last step of every handshake, so that it also settles what optional steps left open. Without MQ nobody
 * says how many queues there are: it is believed that they suffice. */
static void owner_sent(struct frontend *fe)
{
    if (!has_mq(fe) && !fe->was_ready)
        fe->nr_queues = fe->queues_wanted != 0 ? fe->queues_wanted : fe->queues_least;
    if (!frontend_has_slots(fe))
        fe->nr_slots = FRONTEND_MAX_REGIONS;
}

/* ---- config space ------------------------------------------------------------------------------- */

/*
 * A back-end refuses to read more config space than it has, and does not say how much that is. So if the
 * wanted length is refused, the greatest one that is not is searched by halving: probe_len is what is asked
 * for now, config_len the greatest that was answered, probe_bad the smallest that was refused.
 */
static bool wants_config(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_CONFIG) && fe->probe_len > 0;
}

static void get_config_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    uint32_t len = (uint32_t)fe->probe_len;

    msg->payload.config = (struct vhost_user_config){.size = len, .flags = VHOST_USER_CONFIG_WRITABLE};
    msg->header.size = VHOST_USER_CONFIG_HEADER + len;
}

/* 1: config space of the length asked for is in the reply; 0: it was refused; negative errno: nonsense. */
static int config_check(struct frontend *fe, const struct vhost_user_msg *msg)
{
    const struct vhost_user_config *c = &msg->payload.config;
    uint32_t size = msg->header.size;

    if (size == 0 || (size == VHOST_USER_CONFIG_HEADER && c->size == 0))
        return 0;
    if (size != VHOST_USER_CONFIG_HEADER + fe->probe_len || c->size != fe->probe_len || c->offset != 0)
        return frontend_fail(fe, -EPROTO, "its reply to GET_CONFIG for %zu bytes has the wrong size (%u)",
                             fe->probe_len, size);
    return 1;
}

static int probe_config_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    int good = config_check(fe, msg);

    if (good < 0)
        return good;
    if (good > 0) {
        memcpy(fe->config, msg->payload.config.data, fe->probe_len);
        fe->config_len = fe->probe_len;
    } else if (fe->was_ready) {
        return frontend_fail(fe, -EPROTO, "it no longer serves %zu bytes of config space", fe->probe_len);
    } else {
        fe->probe_bad = fe->probe_len;
    }
    if (fe->was_ready || fe->probe_bad - fe->config_len <= 1)
        return FRONTEND_STEP_DONE;
    fe->probe_len = fe->config_len + (fe->probe_bad - fe->config_len) / 2;
    return FRONTEND_STEP_AGAIN;
}

static bool knows_config(const struct frontend *fe)
{
    return fe->config_len > 0;
}

static bool has_config_write(const struct frontend *fe)
{
    return !list_is_empty(&fe->config_writes);
}

static void get_config_sent(struct frontend *fe)
{
    fe->config_written = has_config_write(fe);
    /* What was read before, and is not reported yet, may be older than a write. */
    fe->config_report = false;
}

static int get_config_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    int good = config_check(fe, msg);

    if (good < 0)
        return good;
    if (good > 0) {
        memcpy(fe->config, msg->payload.config.data, fe->probe_len);
        fe->config_report = true;
        frontend_schedule(fe);
    } else {
        log_limited(
            &fe->config_limit, LOG_LEVEL_WARNING,
            "%s: the back-end says its config space has changed but does not show it; the old one is kept",
            fe->name);
    }
    return FRONTEND_STEP_DONE;
}

static struct frontend_config_write *config_write_first(struct frontend *fe)
{
    return container_of(fe->config_writes.next, struct frontend_config_write, link);
}

static void set_config_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    const struct frontend_config_write *w = config_write_first(fe);

    msg->payload.config =
        (struct vhost_user_config){.offset = w->offset, .size = w->len, .flags = VHOST_USER_CONFIG_WRITABLE};
    memcpy(msg->payload.config.data, w->data, w->len);
    msg->header.size = VHOST_USER_CONFIG_HEADER + w->len;
}

static void set_config_sent(struct frontend *fe)
{
    frontend_config_write_free(fe, config_write_first(fe));
}

static int set_config_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    if (msg->payload.u64 == 0)
        return FRONTEND_STEP_DONE;
    /* The value came from a driver, which may write what it likes, but must not believe that it is there. */
    log_limited(&fe->config_limit, LOG_LEVEL_WARNING,
                "%s: the back-end refused what the driver wrote to config space (0x%llx)", fe->name,
                (unsigned long long)msg->payload.u64);
    fe->todo |= 1u << FRONTEND_JOB_CONFIG_READ;
    return FRONTEND_STEP_DONE;
}

/* ---- start -------------------------------------------------------------------------------------- */

static void set_features_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    uint64_t bit = (uint64_t)1 << VHOST_USER_F_PROTOCOL_FEATURES;

    put_u64(msg, fe->setup->features | (fe->offered & bit));
}

static bool has_status(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_STATUS);
}

#define STATUS_NEGOTIATED (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

static void status_negotiated_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    (void)fe;
    put_u64(msg, STATUS_NEGOTIATED);
}

static void status_ok_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    (void)fe;
    put_u64(msg, STATUS_NEGOTIATED | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void status_reset_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    (void)fe;
    put_u64(msg, 0);
}

static void vring_num_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_state(msg, fe->queue, fe->setup->queues[fe->queue].size);
}

static void vring_base_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_state(msg, fe->queue, fe->setup->queues[fe->queue].base);
}

static void vring_addr_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    const struct frontend_queue *q = &fe->setup->queues[fe->queue];

    msg->payload.addr = (struct vhost_user_vring_addr){
        .index = fe->queue, .desc = q->desc, .used = q->used, .avail = q->avail};
    msg->header.size = sizeof(msg->payload.addr);
}

static void vring_call_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_u64(msg, fe->queue);
    put_fd(msg, fe->setup->queues[fe->queue].call_fd);
}

static void vring_kick_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_u64(msg, fe->queue);
    put_fd(msg, fe->setup->queues[fe->queue].kick_fd);
}

/* A kick fd starts the ring: from now on it must be stopped. */
static void vring_kick_sent(struct frontend *fe)
{
    fe->live_queues |= (uint64_t)1 << fe->queue;
}

static void vring_enable_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_state(msg, fe->queue, 1);
}

static void vring_disable_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_state(msg, fe->queue, 0);
}

/* Without acknowledgements, a question whose answer can only come after all that was said before. */
static bool needs_barrier(const struct frontend *fe)
{
    return !frontend_has(fe, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

static int barrier_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    (void)fe;
    (void)msg;
    return FRONTEND_STEP_DONE;
}

/* ---- stop --------------------------------------------------------------------------------------- */

static void get_vring_base_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    put_state(msg, fe->queue, 0);
}

static int get_vring_base_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    const struct vhost_user_vring_state *s = &msg->payload.state;

    if (s->index != fe->queue || s->num > UINT16_MAX)
        return frontend_fail(fe, -EPROTO,
                             "its reply to GET_VRING_BASE for ring %u is about ring %u with index %u",
                             fe->queue, s->index, s->num);
    fe->bases[fe->queue] = (uint16_t)s->num;
    fe->base_known |= (uint64_t)1 << fe->queue;
    return FRONTEND_STEP_DONE;
}

static bool has_reset(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_RESET_DEVICE);
}

/* Where nothing tells the back-end of the reset it keeps what it has. */
static bool tells_reset(const struct frontend *fe)
{
    return fe->live_queues != 0 || has_status(fe) || has_reset(fe);
}

/* The rings are stopped: whatever the back-end asked for while they ran has been sent. */
static int shmem_reset_prepare(struct frontend *fe)
{
    int err = frontend_backend_drain(fe);

    if (err == 0 && fe->callbacks->shmem_reset != NULL)
        fe->callbacks->shmem_reset(fe->ctx);
    return err;
}

/* ---- the jobs ----------------------------------------------------------------------------------- */

#define U64_SIZE sizeof(uint64_t)

static const struct frontend_step handshake_steps[] = {
    {VHOST_USER_GET_FEATURES, .answer = FRONTEND_STEP_REPLY, .reply_size = U64_SIZE, .reply = features_reply},
    {VHOST_USER_GET_PROTOCOL_FEATURES, .answer = FRONTEND_STEP_REPLY, .reply_size = U64_SIZE,
     .wanted = has_protocol, .reply = protocol_reply},
    {VHOST_USER_SET_PROTOCOL_FEATURES, .wanted = has_protocol, .build = protocol_build,
     .sent = protocol_sent},
    {VHOST_USER_GET_QUEUE_NUM, .answer = FRONTEND_STEP_REPLY, .reply_size = U64_SIZE, .wanted = has_mq,
     .reply = queue_num_reply},
    {VHOST_USER_GET_MAX_MEM_SLOTS, .answer = FRONTEND_STEP_REPLY, .reply_size = U64_SIZE,
     .wanted = frontend_has_slots, .reply = frontend_slots_reply},
    /* Before the back-end has a channel to map through. */
    {VHOST_USER_GET_SHMEM_CONFIG, .answer = FRONTEND_STEP_REPLY,
     .reply_size = sizeof(struct vhost_user_shmem_config), .wanted = frontend_has_shmem,
     .reply = shmem_config_reply},
    {VHOST_USER_SET_BACKEND_REQ_FD, .answer = FRONTEND_STEP_ACK, .wanted = has_backend_req,
     .prepare = frontend_backend_open, .build = backend_fd_build, .sent = backend_fd_sent},
    {VHOST_USER_SET_OWNER, .sent = owner_sent},
    {VHOST_USER_GET_CONFIG, .answer = FRONTEND_STEP_REPLY, .wanted = wants_config, .build = get_config_build,
     .reply = probe_config_reply},
    {.answer = FRONTEND_STEP_LOCAL, .prepare = frontend_backend_drain},
    {0},
};

static const struct frontend_step start_steps[] = {
    {VHOST_USER_SET_FEATURES, .answer = FRONTEND_STEP_ACK, .build = set_features_build},
    {VHOST_USER_SET_STATUS, .answer = FRONTEND_STEP_ACK, .wanted = has_status,
     .build = status_negotiated_build},
    {VHOST_USER_SET_MEM_TABLE, .answer = FRONTEND_STEP_ACK, .build = frontend_table_build,
     .sent = frontend_table_sent},
    {VHOST_USER_ADD_MEM_REG, .answer = FRONTEND_STEP_ACK, .wanted = frontend_start_has_more,
     .build = frontend_start_add_build, .sent = frontend_start_add_sent, .reply = frontend_add_reply,
     .more = frontend_start_has_more},
    {VHOST_USER_SET_VRING_NUM, 1, .answer = FRONTEND_STEP_ACK, .build = vring_num_build},
    {VHOST_USER_SET_VRING_BASE, 1, .answer = FRONTEND_STEP_ACK, .build = vring_base_build},
    {VHOST_USER_SET_VRING_ADDR, 1, .answer = FRONTEND_STEP_ACK, .build = vring_addr_build},
    {VHOST_USER_SET_VRING_CALL, 1, .answer = FRONTEND_STEP_ACK, .build = vring_call_build},
    {VHOST_USER_SET_VRING_KICK, 1, .answer = FRONTEND_STEP_ACK, .build = vring_kick_build,
     .sent = vring_kick_sent},
    {VHOST_USER_SET_VRING_ENABLE, 2, .answer = FRONTEND_STEP_ACK, .wanted = has_protocol,
     .build = vring_enable_build},
    {VHOST_USER_SET_STATUS, .answer = FRONTEND_STEP_ACK, .wanted = has_status, .build = status_ok_build},
    {VHOST_USER_GET_FEATURES, .answer = FRONTEND_STEP_REPLY, .reply_size = U64_SIZE, .wanted = needs_barrier,
     .reply = barrier_reply},
    {0},
};

static const struct frontend_step stop_steps[] = {
    {VHOST_USER_SET_VRING_ENABLE, 1, .answer = FRONTEND_STEP_ACK, .wanted = has_protocol,
     .build = vring_disable_build},
    {VHOST_USER_GET_VRING_BASE, 2, .answer = FRONTEND_STEP_REPLY,
     .reply_size = sizeof(struct vhost_user_vring_state), .build = get_vring_base_build,
     .reply = get_vring_base_reply},
    {.answer = FRONTEND_STEP_LOCAL, .wanted = tells_reset, .prepare = shmem_reset_prepare},
    {VHOST_USER_SET_STATUS, .answer = FRONTEND_STEP_ACK, .wanted = has_status, .build = status_reset_build},
    {VHOST_USER_RESET_DEVICE, .answer = FRONTEND_STEP_ACK, .wanted = has_reset},
    {.answer = FRONTEND_STEP_LOCAL, .prepare = frontend_backend_drain},
    {0},
};

static const struct frontend_step config_write_steps[] = {
    {VHOST_USER_SET_CONFIG, .answer = FRONTEND_STEP_ACK, .wanted = has_config_write,
     .build = set_config_build, .sent = set_config_sent, .reply = set_config_reply},
    {0},
};

static const struct frontend_step config_read_steps[] = {
    {VHOST_USER_GET_CONFIG, .answer = FRONTEND_STEP_REPLY, .wanted = knows_config, .build = get_config_build,
     .sent = get_config_sent, .reply = get_config_reply},
    {0},
};

const struct frontend_step *const frontend_jobs[] = {
    [FRONTEND_JOB_HANDSHAKE] = handshake_steps,
    [FRONTEND_JOB_STOP] = stop_steps,
    [FRONTEND_JOB_START] = start_steps,
    [FRONTEND_JOB_MEMORY] = frontend_memory_steps,
    [FRONTEND_JOB_CONFIG_WRITE] = config_write_steps,
    [FRONTEND_JOB_CONFIG_READ] = config_read_steps,
};
