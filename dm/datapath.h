/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * datapath.h - how the data of a device moves: by one of the two data paths, as its memory mode has it. Used
 * by dm/device.c, which passes on what the front-end reports.
 */
#ifndef VHOST_DM_DATAPATH_H
#define VHOST_DM_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/bounce.h"
#include "dm/device.h"
#include "dm/direct.h"

/* One of them is there, once it is made. */
struct datapath {
    struct bounce *bounce;
    struct direct *direct;
};

/* What it is made of; all borrowed. */
struct datapath_setup {
    struct virtio_device *dev;
    struct frontend *fe;
    const struct device_options *options;
    const struct device_type *type;
    uint64_t backend_features; /* that are passed through */
    bool has_shmem;            /* its back-end may map memory into the guest */
    struct bounce_saved *saved;
};

/* 0; -EOPNOTSUPP: the back-end cannot map the guest's memory; -E2BIG: nor all of it; -ENOMEM. */
int datapath_new(struct datapath *path, const struct datapath_setup *setup);
void datapath_free(struct datapath *path);

/* As bounce_resume and bounce_retire. */
void datapath_resume(struct datapath *path, bool resume);
void datapath_retire(struct datapath *path);
/* Requests of the driver that wait for the back-end, as far as that can be known. */
unsigned datapath_in_flight(const struct datapath *path, unsigned queue);

/* From the front-end's callbacks of the same names. */
void datapath_backend_ready(struct datapath *path);
void datapath_backend_started(struct datapath *path);
void datapath_backend_stopped(struct datapath *path);
void datapath_backend_lost(struct datapath *path, const char *why);

#endif
