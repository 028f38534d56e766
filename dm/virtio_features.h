/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_features.h - the names of virtio feature bits, for people. Used by `vhost-dm probe`.
 */
#ifndef VHOST_DM_VIRTIO_FEATURES_H
#define VHOST_DM_VIRTIO_FEATURES_H

#include <stddef.h>

/* A type of device as far as names go. */
struct virtio_feature_type {
    const char *name;           /* "blk" */
    unsigned queue_unit;        /* queues that one unit of GET_QUEUE_NUM means */
    const char *const *feature; /* bits 0 to 23 and 50 to 63 mean what the type says: names by bit, or NULL */
    size_t nr_features;
};

/* The type of that name, or NULL. */
const struct virtio_feature_type *virtio_feature_type_find(const char *name);
/* The type at position i, or NULL past the end. */
const struct virtio_feature_type *virtio_feature_type_at(size_t i);
/* The name of a bit; type NULL: not known. NULL: it has no name that is known here. */
const char *virtio_feature_name(const struct virtio_feature_type *type, unsigned bit);

#endif
