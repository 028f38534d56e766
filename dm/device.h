/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.h - a device of a guest as a whole: the connection to its back-end, the virtio device, its data path
 * and its transport, put together and taken apart. Used by main() and by tests.
 */
#ifndef VHOST_DM_DEVICE_H
#define VHOST_DM_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "dm/device_config.h"
#include "dm/device_types.h"
#include "dm/guest.h"
#include "dm/shmem.h"
#include "dm/virtio_mmio.h"

#define DEVICE_SOCKET_LEN 108 /* bytes: sockaddr_un's path */

struct bounce;
struct device;
struct direct;
struct frontend;

/* How the back-end gets at what is in the guest's memory. */
enum memory_mode {
    MEMORY_AUTO,     /* the first of the following that the type can have */
    MEMORY_BOUNCE,   /* not at all: we copy (bounce.h) */
    MEMORY_XEN_MMAP, /* it maps it itself (direct.h) */
};

enum device_transport { TRANSPORT_PCI, TRANSPORT_MMIO };

struct device_options {
    const struct device_type *type;
    /* Of a type that has no virtio id of its own. */
    uint16_t virtio_id;
    uint32_t pci_class; /* 24 bits; 0: the type's */
    size_t config_size; /* bytes */
    bool config_size_given;
    struct device_config_keys keys; /* of the type's fields of config space */
    char socket[DEVICE_SOCKET_LEN];
    enum device_transport transport;
    uint8_t slot;                   /* of PCI: device number on bus 0, or PCI_SLOT_ANY */
    struct virtio_mmio_place place; /* of MMIO */
    enum memory_mode memory;
    unsigned nr_queues;  /* without the type's nr_extra; 0: as many as the type and the back-end have */
    uint16_t queue_size; /* entries; 0: the type's */
    size_t bounce_pool;  /* bytes; 0: BOUNCE_POOL_DEFAULT */
    struct shmem_options shmem; /* limits and placement of shared memory regions */
    unsigned shmem_bit;         /* for old back-ends, see struct frontend_options */
    bool shmem_ack_always;
    double reply_limit; /* seconds that a back-end may take for a reply; 0: FRONTEND_REPLY_LIMIT */
    double wait_limit;  /* seconds to wait for its socket; 0: it must be there */
};

/* The mode that comes of the options: not MEMORY_AUTO. */
enum memory_mode device_memory_mode(const struct device_options *options);
/* "bounce", "xen-mmap" */
const char *memory_mode_name(enum memory_mode mode);
/* Whether requests of the type can be served by copying; of one that has no virtio id of its own, by that of
 * the options. */
bool device_can_bounce(const struct device_options *options);

struct device_callbacks {
    /* The back-end has answered all that the device needs: device_plug may be called. */
    void (*ready)(void *ctx, struct device *device);
    /* The device cannot be made; why is for people and names the device and what to do. Only before ready. */
    void (*failed)(void *ctx, struct device *device, int err, const char *why);
};

/*
 * Begins to connect to the back-end. index: the device's number in the guest, from 0, the same after a
 * restart. options are copied; guest, callbacks and ctx are borrowed until device_free. 0, or negative errno.
 */
int device_new(struct device **out, struct guest *guest, const struct device_options *options, unsigned index,
               const struct device_callbacks *callbacks, void *ctx);
/* After ready: makes the device visible to the guest. Devices are plugged in the order of their indexes, so
 * that free slots are chosen alike after a restart. 0, or negative errno and *why. */
int device_plug(struct device *device, const char **why);
/* Takes the device from the guest, if it is there, and frees all. NULL is allowed. */
void device_free(struct device *device);

/* After device_plug: let_go is called, from the event loop, whenever the guest may be done with the device;
 * NULL: it is not any more. Ends with device_retire. */
void device_watch(struct device *device, void (*let_go)(void *ctx), void *ctx);
/*
 * The device is to go while the guest runs on: lets go of its back-end. What its driver asked for and asks
 * for is refused, where the device has a way to say so. When nothing is in flight any more done is called
 * once, from the event loop, and from then on whenever the guest may be done with the device. The caller
 * frees it, in a call or later.
 */
void device_retire(struct device *device, void (*done)(void *ctx), void *ctx);
/* What a device of that index and type had in the saved state, of whoever: a new device begins anew. */
void device_forget(struct guest *guest, unsigned index, const struct device_type *type);

/* "dom 5 (web), blk at 00:10.0": for messages. */
const char *device_name(const struct device *device);
/* For status: what it is made of; all borrowed. */
struct device_info {
    const struct device_options *options;
    bool plugged;
    bool resumed;                       /* a predecessor had it */
    uint32_t sbdf;                      /* of PCI, when plugged */
    const struct virtio_device *virtio; /* NULL: the back-end has not answered yet */
    const struct bounce *bounce;        /* likewise; NULL also in another memory mode, as what follows */
    const struct direct *direct;
    const struct frontend *fe;
    const struct shmem *shmem; /* NULL: it has no shared memory regions */
    const void *transport;     /* whose registers they are, in the guest's region table */
};
struct device_info device_info(const struct device *device);

/* For tests: the virtio device, NULL before ready; its shared memory regions, NULL when it has
 * none. */
struct virtio_device *device_virtio(struct device *device);
struct shmem *device_shmem(struct device *device);

#endif
