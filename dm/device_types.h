/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_types.h - what distinguishes one type of virtio device from another, as rows of a table: a new type
 * is one row. Read by dm/device.c, dm/device_config.c and the command line.
 */
#ifndef VHOST_DM_DEVICE_TYPES_H
#define VHOST_DM_DEVICE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/bounce.h"

#define DEVICE_MAX_FIELDS     4
#define DEVICE_FEATURE_ALWAYS (-1) /* where a feature bit is asked for: whatever the features are */

/* Who says what is in a field of config space that the back-end may serve or not. A key of --device comes
 * before all others. */
enum device_field_source {
    FIELD_OPTIONAL,   /* the back-end; else it is not there */
    FIELD_NEEDED,     /* the back-end; else the key must be given */
    FIELD_STABLE_MAC, /* the back-end; else an address that the guest keeps over reboots */
    FIELD_FIXED,      /* the back-end; else the number min */
};

enum device_field_kind {
    FIELD_TEXT,   /* padded with zeros */
    FIELD_NUMBER, /* little-endian, min to max */
    FIELD_MAC,    /* aa:bb:cc:dd:ee:ff */
    FIELD_HEX,    /* bytes, as many as are given */
};

struct device_field {
    const char *key;     /* of --device; NULL: none */
    const char *allowed; /* its values, for messages */
    enum device_field_kind kind;
    enum device_field_source source;
    uint16_t offset, len; /* bytes in config space; the most that there may be, for FIELD_HEX */
    int feature;          /* with which the field is there, or DEVICE_FEATURE_ALWAYS */
    uint64_t min, max;
};

struct device_type {
    const char *name;   /* type=NAME */
    uint16_t virtio_id; /* linux/virtio_ids.h; 0: virtio-id=, and with it queues=, config-size=, pci-class= */
    /* Its requests carry guest addresses: they cannot be served by copying. The rest of the row is empty: it
     * is served as a type without a virtio id, whose options say the rest, by a back-end that maps the
     * guest's memory. */
    bool no_bounce;
    /* Why no back-end can serve it here, for people; NULL: one can. */
    const char *no_way;
    uint32_t pci_class; /* 24 bits: class, subclass, interface */
    size_t config_len;  /* bytes of config space */
    size_t config_min;  /* what the back-end must serve of it */
    /* Parts of config space with a meaning for us; the rest is the back-end's. Up to a len of 0. */
    struct device_field fields[DEVICE_MAX_FIELDS];
    unsigned nr_queues;       /* 0: as many as the back-end has or queues= says */
    unsigned nr_own_queues;   /* the last of them: nothing ever comes on them, and the back-end is not told */
    unsigned nr_extra;        /* queues that queues= does not count */
    unsigned queue_unit;      /* frontend_options.queue_unit */
    uint16_t queue_size;      /* entries, unless configured */
    uint64_t features;        /* device features that may be passed through */
    uint64_t features_needed; /* of these: without which neither back-end nor driver can be served */
    bool needs_shmem;         /* ... nor without shared memory region 0 */
    struct bounce_refusal refusal;
    bool copy_all, lends, used_together, header_first; /* bounce_options, of the same names */
    struct {
        size_t first, len; /* 0: nothing */
        int feature;       /* with which the driver may write */
    } config_write;
    struct {
        size_t offset, len; /* of a number of queues in config space, without nr_extra; len 0: none */
        int feature;        /* with which it is there; without, there is one queue */
    } config_queues;
    const char *example; /* a back-end's command line, for messages */
};

/* The type of that name, or NULL. */
const struct device_type *device_type_find(const char *name);
/* The first type that has this virtio id, or NULL. */
const struct device_type *device_type_by_id(uint16_t virtio_id);
/* The type at position i of the table, or NULL past its end. */
const struct device_type *device_type_at(size_t i);
/* Its field that has this key, or NULL. */
const struct device_field *device_type_field(const struct device_type *type, const char *key);
/* Whether queues= goes with it. */
bool device_type_has_queues_key(const struct device_type *type);

#endif
