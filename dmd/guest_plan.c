// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_plan.c - which devices a guest gets: put together from xenstore and from the files as they are now
 * (see guest.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dmd/guest.h"

/* The daemon's file as it is now; where things are does not change while we run. */
static int config_reread(struct daemon *daemon, char *why, size_t why_len)
{
    struct config_daemon config;
    int rc = config_daemon_read(&config, daemon->config_path, why, why_len);

    if (rc != 0)
        return rc;
    memcpy(daemon->config.virtio_disk, config.virtio_disk, sizeof(config.virtio_disk));
    daemon->config.defaults = config.defaults;
    return 0;
}

int guest_plan_read(struct guest *guest, struct plan *plan, char *why, size_t why_len)
{
    struct xl_device *devices = calloc(CONFIG_MAX_DEVICES, sizeof(*devices));
    struct plan_input input = {
        .config_dir = guest->daemon->config_dir,
        .daemon = &guest->daemon->config,
        .places = &guest->daemon->places,
        .guest = guest->name,
        .domid = guest->domain.domid,
        .xl = devices,
    };
    int rc = -ENOMEM;

    plan_clear(plan);
    snprintf(why, why_len, "not enough memory");
    if (devices != NULL)
        rc = config_reread(guest->daemon, why, why_len);
    if (rc == 0)
        rc = guest_nodes_read(guest, devices, why, why_len);
    if (rc >= 0) {
        input.nr_xl = (size_t)rc;
        rc = plan_make(plan, &input, why, why_len);
    } else {
        plan_settings_read(plan, &input);
    }
    free(devices);
    return rc;
}
