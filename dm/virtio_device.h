/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_device.h - one virtio device as its driver drives it, whatever the transport: status, features,
 * queues, config space, reset (virtio 1.2, chapters 2 and 3). A transport calls the virtio_device_* functions
 * below when the driver touches registers, and is called through struct virtio_transport_ops; what moves the
 * data is behind struct virtio_datapath_ops. Neither knows the other.
 *
 * Nothing here waits: starting and stopping of the data path are asynchronous. While a reset is under way the
 * status reads as it was before; it reads 0 once the data path has let go of the queues. Until then nothing
 * that a driver does has an effect, and some do not wait: so a data path should let go at once where it can.
 */
#ifndef VHOST_DM_VIRTIO_DEVICE_H
#define VHOST_DM_VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_config.h>

#include "common/log.h"
#include "common/util.h"

#define VIRTIO_VENDOR         0x1af4 /* what transports say of whose device it is (spec 4.1.2) */
#define VIRTIO_MAX_QUEUES     64
#define VIRTIO_MAX_QUEUE_SIZE 1024 /* a power of two; ours, the spec allows 32768 */
#define VIRTIO_MAX_CONFIG     256  /* bytes of device config: vhost-user's limit too */

struct guest;
struct shmem;
struct virtio_device;

/* What the driver programmed; plain data, kept in the saved state. */
struct virtio_queue_state {
    uint16_t size; /* entries, a power of two, at most the queue's maximum */
    uint16_t enabled;
    uint32_t pad;
    uint64_t desc, avail, used; /* gpa */
};

struct virtio_device_state {
    uint64_t driver_features;
    uint8_t status;
    uint8_t config_generation;
    uint8_t resetting; /* the driver wrote 0 to status and the data path has not let go yet */
    uint8_t pad[5];
    struct virtio_queue_state queues[VIRTIO_MAX_QUEUES];
};

struct virtio_transport_ops {
    /* Raise the interrupt of a queue / of a config change. */
    void (*queue_interrupt)(void *transport, unsigned queue);
    void (*config_interrupt)(void *transport);
    /* A reset is complete: forget vectors, selectors and pending interrupts. */
    void (*reset)(void *transport);
};

struct virtio_datapath_ops {
    const char *name;
    /* The driver is ready (DRIVER_OK): begin to serve the enabled queues; now, or when what a stop has left
     * to be done is done. Later troubles are reported by virtio_device_broken. */
    void (*start)(void *datapath);
    /* Let go of the queues: guest memory is not touched from now on, and virtio_device_stopped is called,
     * perhaps before this returns; from then on start may be called. Also without a start, where a
     * predecessor did not complete a stop. */
    void (*stop)(void *datapath);
    /* The driver notified a queue that is enabled, after DRIVER_OK. Called as work, not inside the access. */
    void (*kick)(void *datapath, unsigned queue);
    /* The driver wrote config space; the bytes are in dev->config already. NULL: nobody cares. */
    void (*config_written)(void *datapath, size_t offset, size_t len);
};

struct virtio_device {
    struct guest *guest; /* borrowed */
    char name[64];       /* for messages: "dom 5 (web), blk at 00:10.0" */
    uint16_t virtio_id;
    unsigned nr_queues;
    uint16_t queue_size_max;
    uint64_t device_features; /* what is offered to the driver */
    uint64_t features_needed; /* of these: what a driver must take, besides VERSION_1 */
    uint8_t config[VIRTIO_MAX_CONFIG];
    size_t config_len;
    size_t config_write_first, config_write_len; /* the bytes that the driver may write; len 0: none */
    struct virtio_device_state *state;           /* borrowed, outlives us */
    struct shmem *shmem;                         /* borrowed: its shared memory regions; NULL: none */
    const struct virtio_transport_ops *transport_ops;
    void *transport;
    const struct virtio_datapath_ops *datapath_ops;
    void *datapath;
    bool running;                              /* datapath start was called, and not yet stop */
    struct virtio_device_notify *kicks;        /* owned by virtio_device.c: a piece of work for each queue */
    void (*let_go)(struct virtio_device *dev); /* the guest may be done with the device; NULL: nobody cares */
    struct log_limit limit;
};

/*
 * Registers: called by a transport. All take any value from the driver and never fail; what the spec forbids
 * is ignored, and logged (rate limited).
 */
/* 32-bit windows of the feature bits; select may be anything, beyond 1 reads 0 and ignores writes. */
uint32_t virtio_device_features_get(const struct virtio_device *dev, uint32_t select);
uint32_t virtio_device_driver_features_get(const struct virtio_device *dev, uint32_t select);
void virtio_device_driver_features_set(struct virtio_device *dev, uint32_t select, uint32_t value);
uint8_t virtio_device_status_get(const struct virtio_device *dev);
/* Whether a driver uses the device; that a system has seen it (ACKNOWLEDGE) is no use. */
bool virtio_device_in_use(const struct virtio_device *dev);
void virtio_device_status_set(struct virtio_device *dev, uint8_t status);
uint8_t virtio_device_generation_get(const struct virtio_device *dev);
/* Config space, bytes [offset, offset + len): past the end reads 0xff... and ignores writes. */
void virtio_device_config_read(struct virtio_device *dev, uint64_t offset, void *buf, size_t len);
void virtio_device_config_write(struct virtio_device *dev, uint64_t offset, const void *buf, size_t len);
/* Queues. queue may be any number: one that does not exist has size 0 and ignores writes; so do size and
 * addresses of an enabled one. Allowed sizes: powers of two up to the maximum. */
uint16_t virtio_device_queue_size_get(const struct virtio_device *dev, unsigned queue);
void virtio_device_queue_size_set(struct virtio_device *dev, unsigned queue, uint16_t size);
/* From the moment of a reset no queue is enabled, as none is used any more; the status takes longer. */
bool virtio_device_queue_enabled(const struct virtio_device *dev, unsigned queue);
void virtio_device_queue_enable(struct virtio_device *dev, unsigned queue);
/* Not after DRIVER_OK: a queue that is in use stays enabled until a reset. */
void virtio_device_queue_disable(struct virtio_device *dev, unsigned queue);
/* The most entries that it may have; 0: there is no such queue. */
uint16_t virtio_device_queue_size_max(const struct virtio_device *dev, unsigned queue);
enum virtio_queue_area { VIRTIO_QUEUE_DESC, VIRTIO_QUEUE_AVAIL, VIRTIO_QUEUE_USED };
/* A 64-bit ring address, written by halves (high false: bits 0-31). */
uint32_t virtio_device_queue_addr_get(const struct virtio_device *dev, unsigned queue,
                                      enum virtio_queue_area area, bool high);
void virtio_device_queue_addr_set(struct virtio_device *dev, unsigned queue, enum virtio_queue_area area,
                                  bool high, uint32_t value);
/* The driver notifies a queue: queues the work, returns at once. */
void virtio_device_notify(struct virtio_device *dev, unsigned queue);

/* Since this process has the device; for status. */
struct virtio_queue_counts {
    uint64_t notifications; /* by the driver */
    uint64_t interrupts;    /* for it */
};
struct virtio_queue_counts virtio_device_queue_counts(const struct virtio_device *dev, unsigned queue);

/* Called by a data path. */
void virtio_device_queue_interrupt(struct virtio_device *dev, unsigned queue);
/* The data path has let go of the queues after stop. */
void virtio_device_stopped(struct virtio_device *dev);
/* Nothing works until the driver resets the device: sets DEVICE_NEEDS_RESET and tells the driver
 * (spec 2.1.2). */
void virtio_device_broken(struct virtio_device *dev, const char *why);
/* The back-end's config space has changed: new bytes, generation + 1, an interrupt if the driver is up. */
void virtio_device_config_update(struct virtio_device *dev, const void *config, size_t len);

/*
 * Life cycle, by the owner (dm/device.c or a test). dev is zeroed, then guest, name, virtio_id, nr_queues,
 * queue_size_max, device_features, config, config_len, config_write_*, state, datapath(_ops) are set; then
 * virtio_device_init, then a transport's constructor, which sets transport(_ops).
 * resumed: state holds a predecessor's, which is checked and kept. 0, or -ENOMEM.
 */
int virtio_device_init(struct virtio_device *dev, bool resumed);
/* All is in place: goes on where a predecessor's driver was (starts the data path, or ends its reset). */
void virtio_device_resume(struct virtio_device *dev);
/* The data path is stopped, or is freed before the next event. */
void virtio_device_fini(struct virtio_device *dev);

#endif
