/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_config.h - the config space of a device, put together from what its back-end serves, what --device
 * says and what we know ourselves (struct device_field). Functions of their arguments alone; used by
 * dm/device.c and the command line.
 */
#ifndef VHOST_DM_DEVICE_CONFIG_H
#define VHOST_DM_DEVICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/device_types.h"
#include "dm/virtio_device.h"

/* What --device says of config space: the bytes, and which of them it says. */
struct device_config_keys {
    uint8_t bytes[VIRTIO_MAX_CONFIG];
    bool given[VIRTIO_MAX_CONFIG];
};

/* Takes the value of a field's key. False: it is none of those allowed. */
bool device_config_key_set(struct device_config_keys *keys, const struct device_field *field,
                           const char *value);

/* What there is to make a config space of. */
struct device_config_input {
    const struct device_type *type;
    const struct device_config_keys *keys;
    const uint8_t *backend; /* what the back-end serves */
    size_t backend_len;     /* bytes; 0: it serves none */
    uint64_t features;      /* that it offers */
    const char *guest;      /* the guest's name, and the number of the device in it */
    unsigned index;
};

struct device_config {
    uint8_t bytes[VIRTIO_MAX_CONFIG];
    uint64_t own; /* features that are there because we serve their fields: not for the back-end to ack */
    uint64_t not_served; /* features whose fields nobody serves: not for the driver */
};

/* 0; or -ENODATA and *missing: the key that must be given, or NULL: the back-end serves too little. */
int device_config_make(struct device_config *config, const struct device_config_input *in,
                       const char **missing);

/* A little-endian number of len bytes (1 to 8) in a config space. */
uint64_t device_config_get(const uint8_t *bytes, size_t offset, size_t len);
void device_config_put(uint8_t *bytes, size_t offset, size_t len, uint64_t value);

#endif
