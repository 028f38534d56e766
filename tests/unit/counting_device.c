// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * counting_device.c - see counting_device.h.
 */
#include "tests/unit/counting_device.h"

#include <check.h>
#include <stdio.h>

static void path_start(void *datapath)
{
    ((struct counting_device *)datapath)->starts++;
}

static void path_stop(void *datapath)
{
    struct counting_device *d = datapath;

    d->stops++;
    if (!d->slow)
        virtio_device_stopped(&d->dev);
}

static void path_kick(void *datapath, unsigned queue)
{
    struct counting_device *d = datapath;

    ck_assert_uint_lt(queue, d->dev.nr_queues);
    d->kicks[queue]++;
}

static const struct virtio_datapath_ops path_ops = {
    .name = "counting",
    .start = path_start,
    .stop = path_stop,
    .kick = path_kick,
};

void counting_device_init(struct counting_device *d, struct guest *guest, unsigned nr_queues,
                          size_t config_len, bool resumed)
{
    d->dev = (struct virtio_device){
        .guest = guest,
        .name = "test device",
        .virtio_id = COUNTING_ID,
        .nr_queues = nr_queues,
        .queue_size_max = COUNTING_QUEUE_SIZE,
        .device_features = COUNTING_FEATURES,
        .config_len = config_len,
        .config_write_first = COUNTING_CONFIG_FIRST,
        .config_write_len = COUNTING_CONFIG_NR,
        .state = &d->state,
        .datapath_ops = &path_ops,
        .datapath = d,
    };
    for (size_t i = 0; i < config_len; i++)
        d->dev.config[i] = (uint8_t)(0x80 + i);
    ck_assert_int_eq(virtio_device_init(&d->dev, resumed), 0);
}
