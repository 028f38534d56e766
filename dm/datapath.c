// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * datapath.c - see datapath.h.
 */
#include "dm/datapath.h"

#include <errno.h>

#include "common/vhost_user.h"
#include "dm/frontend.h"

bool device_can_bounce(const struct device_options *options)
{
    const struct device_type *type = options->type;

    if (type->virtio_id == 0)
        type = device_type_by_id(options->virtio_id);
    return type == NULL || !type->no_bounce;
}

enum memory_mode device_memory_mode(const struct device_options *options)
{
    if (options->memory != MEMORY_AUTO)
        return options->memory;
    return device_can_bounce(options) ? MEMORY_BOUNCE : MEMORY_XEN_MMAP;
}

const char *memory_mode_name(enum memory_mode mode)
{
    switch (mode) {
    case MEMORY_AUTO:
        return "auto";
    case MEMORY_BOUNCE:
        return "bounce";
    case MEMORY_XEN_MMAP:
        return "xen-mmap";
    }
    return "";
}

static int bounce_make(struct datapath *path, const struct datapath_setup *setup)
{
    const struct device_options *options = setup->options;
    const struct device_type *type = setup->type;
    struct bounce_options bounce = {
        .nr_queues = setup->dev->nr_queues - type->nr_own_queues,
        .backend_features = setup->backend_features,
        .pool_len = options->bounce_pool > 0 ? options->bounce_pool : BOUNCE_POOL_DEFAULT,
        .refusal = type->refusal,
        .lends = type->lends,
        .used_together = type->used_together,
        .header_first = type->header_first,
        .copy_all = type->copy_all,
        .reset_waits = setup->has_shmem,
        .drain_limit = options->reply_limit > 0 ? options->reply_limit : FRONTEND_REPLY_LIMIT,
    };

    return bounce_new(&path->bounce, setup->dev, setup->fe, &bounce, setup->saved);
}

static int direct_make(struct datapath *path, const struct datapath_setup *setup)
{
    const struct device_options *options = setup->options;
    struct direct_options direct = {
        .nr_queues = setup->dev->nr_queues - setup->type->nr_own_queues,
        .backend_features = setup->backend_features,
        .drain_limit = options->reply_limit > 0 ? options->reply_limit : FRONTEND_REPLY_LIMIT,
    };

    if (!(frontend_protocol_features(setup->fe) >> VHOST_USER_PROTOCOL_F_XEN_MMAP & 1))
        return -EOPNOTSUPP;
    return direct_new(&path->direct, setup->dev, setup->fe, &direct);
}

int datapath_new(struct datapath *path, const struct datapath_setup *setup)
{
    return device_memory_mode(setup->options) == MEMORY_XEN_MMAP ? direct_make(path, setup)
                                                                 : bounce_make(path, setup);
}

void datapath_free(struct datapath *path)
{
    bounce_free(path->bounce);
    direct_free(path->direct);
    *path = (struct datapath){0};
}

void datapath_resume(struct datapath *path, bool resume)
{
    if (path->direct != NULL)
        direct_resume(path->direct, resume);
    else
        bounce_resume(path->bounce, resume);
}

void datapath_retire(struct datapath *path)
{
    if (path->direct != NULL)
        direct_retire(path->direct);
    else
        bounce_retire(path->bounce);
}

unsigned datapath_in_flight(const struct datapath *path, unsigned queue)
{
    return path->bounce != NULL ? bounce_queue_in_flight(path->bounce, queue) : 0;
}

void datapath_backend_ready(struct datapath *path)
{
    if (path->direct != NULL)
        direct_backend_ready(path->direct);
    else
        bounce_backend_ready(path->bounce);
}

void datapath_backend_started(struct datapath *path)
{
    if (path->direct != NULL)
        direct_backend_started(path->direct);
    else
        bounce_backend_started(path->bounce);
}

void datapath_backend_stopped(struct datapath *path)
{
    if (path->direct != NULL)
        direct_backend_stopped(path->direct);
    else
        bounce_backend_stopped(path->bounce);
}

void datapath_backend_lost(struct datapath *path, const char *why)
{
    if (path->direct != NULL)
        direct_backend_lost(path->direct, why);
    else
        bounce_backend_lost(path->bounce, why);
}
