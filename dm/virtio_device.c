// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_device.c - see virtio_device.h. Every function here may be called by a guest at any moment and in
 * any order, with any value.
 */
#include "dm/virtio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/guest.h"

/* A notification of a queue, between the access that brought it and the work that it causes. */
struct virtio_device_notify {
    struct guest_work work;
    struct virtio_device *dev;
    unsigned queue;
    struct virtio_queue_counts counts;
};

static struct virtio_queue_state *queue_state(const struct virtio_device *dev, unsigned queue)
{
    return queue < dev->nr_queues ? &dev->state->queues[queue] : NULL;
}

static bool queue_size_allowed(const struct virtio_device *dev, uint16_t size)
{
    return size != 0 && size <= dev->queue_size_max && (size & (size - 1)) == 0;
}

/* ---- features and status -------------------------------------------------------------------------- */

static uint32_t half_get(uint64_t value, uint32_t select)
{
    return select > 1 ? 0 : (uint32_t)(value >> (32 * select));
}

static uint64_t half_set(uint64_t value, uint32_t select, uint32_t half)
{
    unsigned shift = 32 * select;

    return (value & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)half << shift;
}

uint32_t virtio_device_features_get(const struct virtio_device *dev, uint32_t select)
{
    return half_get(dev->device_features, select);
}

uint32_t virtio_device_driver_features_get(const struct virtio_device *dev, uint32_t select)
{
    return half_get(dev->state->driver_features, select);
}

void virtio_device_driver_features_set(struct virtio_device *dev, uint32_t select, uint32_t value)
{
    if (select > 1)
        return;
    if (dev->state->status & VIRTIO_CONFIG_S_FEATURES_OK || dev->state->resetting) {
        log_limited(&dev->limit, LOG_LEVEL_DEBUG, "%s: the driver writes features after FEATURES_OK: ignored",
                    dev->name);
        return;
    }
    dev->state->driver_features = half_set(dev->state->driver_features, select, value);
}

static uint64_t features_needed(const struct virtio_device *dev)
{
    return dev->features_needed | 1ULL << VIRTIO_F_VERSION_1;
}

static bool features_acceptable(const struct virtio_device *dev)
{
    uint64_t features = dev->state->driver_features, needed = features_needed(dev);

    return (features & ~dev->device_features) == 0 && (features & needed) == needed;
}

uint8_t virtio_device_status_get(const struct virtio_device *dev)
{
    return dev->state->status;
}

bool virtio_device_in_use(const struct virtio_device *dev)
{
    return (dev->state->status & ~VIRTIO_CONFIG_S_ACKNOWLEDGE) != 0;
}

static void device_reset_complete(struct virtio_device *dev)
{
    uint8_t generation = dev->state->config_generation;

    for (unsigned i = 0; i < dev->nr_queues; i++)
        list_remove(&dev->kicks[i].work.link);
    *dev->state = (struct virtio_device_state){.config_generation = generation};
    for (unsigned i = 0; i < dev->nr_queues; i++)
        dev->state->queues[i].size = dev->queue_size_max;
    if (dev->transport_ops != NULL)
        dev->transport_ops->reset(dev->transport);
    log_debug("%s: reset", dev->name);
}

static void device_reset(struct virtio_device *dev)
{
    if (dev->state->resetting)
        return;
    if (!dev->running) {
        device_reset_complete(dev);
        return;
    }
    dev->state->resetting = 1;
    dev->running = false;
    dev->datapath_ops->stop(dev->datapath);
}

void virtio_device_stopped(struct virtio_device *dev)
{
    if (dev->state->resetting)
        device_reset_complete(dev);
}

static void device_start(struct virtio_device *dev)
{
    dev->running = true;
    log_limited(&dev->limit, LOG_LEVEL_INFO, "%s: the driver is up", dev->name);
    dev->datapath_ops->start(dev->datapath);
}

void virtio_device_status_set(struct virtio_device *dev, uint8_t status)
{
    struct virtio_device_state *state = dev->state;
    uint8_t added = status & ~state->status;

    if (status == 0) {
        device_reset(dev);
        return;
    }
    if (state->resetting) /* a driver is to wait until status reads 0 (spec 2.4.2) */
        return;
    /* A driver only ever adds bits (spec 2.1.1), and NEEDS_RESET is ours. */
    added &= VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |
             VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED;
    if (added & VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(dev)) {
        log_limited(
            &dev->limit, LOG_LEVEL_WARNING,
            "%s: the driver takes features 0x%llx, but 0x%llx are offered and 0x%llx are needed: refused",
            dev->name, (unsigned long long)state->driver_features, (unsigned long long)dev->device_features,
            (unsigned long long)features_needed(dev));
        added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    if (added & VIRTIO_CONFIG_S_DRIVER_OK && !((state->status | added) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        log_limited(&dev->limit, LOG_LEVEL_WARNING,
                    "%s: the driver sets DRIVER_OK before FEATURES_OK: ignored", dev->name);
        added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
    }
    state->status |= added;
    if (added & VIRTIO_CONFIG_S_FAILED)
        log_limited(&dev->limit, LOG_LEVEL_WARNING, "%s: the guest's driver has given up on the device",
                    dev->name);
    if (added & VIRTIO_CONFIG_S_DRIVER_OK)
        device_start(dev);
}

static void config_interrupt(struct virtio_device *dev)
{
    if (dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK && !dev->state->resetting &&
        dev->transport_ops != NULL)
        dev->transport_ops->config_interrupt(dev->transport);
}

void virtio_device_broken(struct virtio_device *dev, const char *why)
{
    if (dev->state->status & VIRTIO_CONFIG_S_NEEDS_RESET || dev->state->resetting || dev->state->status == 0)
        return;
    log_limited(&dev->limit, LOG_LEVEL_ERROR, "%s: needs a reset by the guest: %s", dev->name, why);
    dev->state->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    config_interrupt(dev);
}

/* ---- config space --------------------------------------------------------------------------------- */

uint8_t virtio_device_generation_get(const struct virtio_device *dev)
{
    return dev->state->config_generation;
}

void virtio_device_config_read(struct virtio_device *dev, uint64_t offset, void *buf, size_t len)
{
    size_t have = offset < dev->config_len ? MIN(len, dev->config_len - (size_t)offset) : 0;

    memset(buf, 0xff, len);
    if (have > 0)
        memcpy(buf, dev->config + offset, have);
}

void virtio_device_config_write(struct virtio_device *dev, uint64_t offset, const void *buf, size_t len)
{
    if (dev->config_write_len == 0 || offset < dev->config_write_first ||
        !range_within(offset - dev->config_write_first, len, dev->config_write_len) ||
        dev->state->resetting) {
        log_limited(&dev->limit, LOG_LEVEL_DEBUG,
                    "%s: the driver writes read-only config space at %llu: ignored", dev->name,
                    (unsigned long long)offset);
        return;
    }
    memcpy(dev->config + offset, buf, len);
    if (dev->datapath_ops->config_written != NULL)
        dev->datapath_ops->config_written(dev->datapath, (size_t)offset, len);
}

void virtio_device_config_update(struct virtio_device *dev, const void *config, size_t len)
{
    len = MIN(len, dev->config_len);
    if (memcmp(dev->config, config, len) == 0)
        return;
    memcpy(dev->config, config, len);
    dev->state->config_generation++;
    config_interrupt(dev);
}

/* ---- queues --------------------------------------------------------------------------------------- */

uint16_t virtio_device_queue_size_get(const struct virtio_device *dev, unsigned queue)
{
    const struct virtio_queue_state *q = queue_state(dev, queue);

    return q == NULL ? 0 : q->size;
}

/* What a driver sets up of a queue is fixed once the queue is enabled (spec 4.1.4.3.2). */
static struct virtio_queue_state *queue_writable(struct virtio_device *dev, unsigned queue)
{
    struct virtio_queue_state *q = queue_state(dev, queue);

    return q == NULL || q->enabled || dev->state->resetting ? NULL : q;
}

void virtio_device_queue_size_set(struct virtio_device *dev, unsigned queue, uint16_t size)
{
    struct virtio_queue_state *q = queue_writable(dev, queue);

    if (q == NULL)
        return;
    if (queue_size_allowed(dev, size))
        q->size = size;
    else
        log_limited(&dev->limit, LOG_LEVEL_WARNING, "%s: the driver wants %u entries in queue %u: ignored",
                    dev->name, size, queue);
}

bool virtio_device_queue_enabled(const struct virtio_device *dev, unsigned queue)
{
    const struct virtio_queue_state *q = queue_state(dev, queue);

    return q != NULL && q->enabled && !dev->state->resetting;
}

void virtio_device_queue_enable(struct virtio_device *dev, unsigned queue)
{
    struct virtio_queue_state *q = queue_writable(dev, queue);

    /* A data path takes the queues that are enabled at DRIVER_OK, and no more later (spec 3.1.1, step 7). */
    if (q != NULL && !(dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK))
        q->enabled = 1;
}

void virtio_device_queue_disable(struct virtio_device *dev, unsigned queue)
{
    struct virtio_queue_state *q = queue_state(dev, queue);

    if (q == NULL || dev->state->resetting)
        return;
    if (dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK)
        log_limited(&dev->limit, LOG_LEVEL_WARNING,
                    "%s: the driver disables queue %u, which is in use: it stays enabled until a reset",
                    dev->name, queue);
    else
        q->enabled = 0;
}

uint16_t virtio_device_queue_size_max(const struct virtio_device *dev, unsigned queue)
{
    return queue < dev->nr_queues ? dev->queue_size_max : 0;
}

static uint64_t *queue_area(struct virtio_queue_state *q, enum virtio_queue_area area)
{
    switch (area) {
    case VIRTIO_QUEUE_DESC:
        return &q->desc;
    case VIRTIO_QUEUE_AVAIL:
        return &q->avail;
    case VIRTIO_QUEUE_USED:
        return &q->used;
    }
    return NULL;
}

uint32_t virtio_device_queue_addr_get(const struct virtio_device *dev, unsigned queue,
                                      enum virtio_queue_area area, bool high)
{
    struct virtio_queue_state *q = queue_state(dev, queue);

    return q == NULL ? 0 : half_get(*queue_area(q, area), high);
}

void virtio_device_queue_addr_set(struct virtio_device *dev, unsigned queue, enum virtio_queue_area area,
                                  bool high, uint32_t value)
{
    struct virtio_queue_state *q = queue_writable(dev, queue);
    uint64_t *addr;

    if (q == NULL)
        return;
    addr = queue_area(q, area);
    *addr = half_set(*addr, high, value);
}

static void notify_work(struct guest_work *work)
{
    struct virtio_device_notify *kick = container_of(work, struct virtio_device_notify, work);

    if (kick->dev->running)
        kick->dev->datapath_ops->kick(kick->dev->datapath, kick->queue);
}

void virtio_device_notify(struct virtio_device *dev, unsigned queue)
{
    if (!dev->running || !virtio_device_queue_enabled(dev, queue))
        return;
    dev->kicks[queue].counts.notifications++;
    guest_work_queue(dev->guest, &dev->kicks[queue].work);
}

void virtio_device_queue_interrupt(struct virtio_device *dev, unsigned queue)
{
    if (!dev->running || dev->transport_ops == NULL || queue >= dev->nr_queues)
        return;
    dev->kicks[queue].counts.interrupts++;
    dev->transport_ops->queue_interrupt(dev->transport, queue);
}

struct virtio_queue_counts virtio_device_queue_counts(const struct virtio_device *dev, unsigned queue)
{
    return queue < dev->nr_queues ? dev->kicks[queue].counts : (struct virtio_queue_counts){0};
}

/* ---- life cycle ----------------------------------------------------------------------------------- */

/* A predecessor's state comes from a file: nothing in it may lead us out of our bounds. */
static void state_sanitize(struct virtio_device *dev)
{
    bool lost = false;

    for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
        struct virtio_queue_state *q = &dev->state->queues[i];
        bool allowed = queue_size_allowed(dev, q->size);

        lost |= q->enabled && (i >= dev->nr_queues || !allowed);
        if (!allowed) {
            *q = (struct virtio_queue_state){.size = dev->queue_size_max};
        }
    }
    if (lost && dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK) {
        log_error("%s: the driver of the running guest uses more queues, or larger ones, than there are now "
                  "(%u of at most %u entries): the device needs a reset by the guest",
                  dev->name, dev->nr_queues, dev->queue_size_max);
        dev->state->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    }
    if (dev->state->status & VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(dev)) {
        log_error("%s: the driver of the running guest uses features 0x%llx, but 0x%llx are offered now: the "
                  "device "
                  "needs a reset by the guest",
                  dev->name, (unsigned long long)dev->state->driver_features,
                  (unsigned long long)dev->device_features);
        dev->state->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        dev->state->driver_features &= dev->device_features;
    }
}

int virtio_device_init(struct virtio_device *dev, bool resumed)
{
    dev->kicks = calloc(dev->nr_queues, sizeof(*dev->kicks));
    if (dev->kicks == NULL && dev->nr_queues > 0)
        return -ENOMEM;
    for (unsigned i = 0; i < dev->nr_queues; i++) {
        dev->kicks[i] = (struct virtio_device_notify){.work.fn = notify_work, .dev = dev, .queue = i};
        list_init(&dev->kicks[i].work.link);
    }
    if (resumed)
        state_sanitize(dev);
    else
        device_reset_complete(dev);
    return 0;
}

void virtio_device_resume(struct virtio_device *dev)
{
    /* The data path may have been killed anywhere in its stop: it does that again. */
    if (dev->state->resetting)
        dev->datapath_ops->stop(dev->datapath);
    else if (dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK)
        device_start(dev);
}

void virtio_device_fini(struct virtio_device *dev)
{
    for (unsigned i = 0; i < dev->nr_queues; i++)
        list_remove(&dev->kicks[i].work.link);
    free(dev->kicks);
    dev->kicks = NULL;
    dev->running = false;
}
