/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - which devices a guest gets: those that xl.cfg names and those that its configuration file names,
 * put together, each with the text for vhost-dm --device and the command of its back-end. Used by guest.c,
 * and by record.c, which keeps it for a daemon that is started again.
 */
#ifndef VHOST_DM_DMD_PLAN_H
#define VHOST_DM_DMD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dmd/configuration.h"
#include "dmd/templates.h"
#include "dmd/words.h"
#include "dmd/xl_nodes.h"

#define PLAN_TEXT_LEN   2048 /* OPTIONS_DEVICE_LEN of dm/options.h, which has a struct guest of its own */
#define PLAN_SOCKET_LEN 108

struct plan_device {
    char name[CONFIG_DEVICE_NAME_LEN]; /* fs0 */
    char text[PLAN_TEXT_LEN];          /* KEY=VALUE,...; "": it was removed while the guest ran */
    char socket[PLAN_SOCKET_LEN];
    struct words back_end; /* its command; empty: not ours to start */
    bool from_xl;          /* then: */
    enum toolstack_kind kind;
    unsigned devid;
};

struct plan {
    struct config_guest_settings settings;
    size_t nr_devices; /* 0: the guest is not ours */
    struct plan_device devices[CONFIG_MAX_DEVICES];
};

struct plan_input {
    const char *config_dir;
    const struct config_daemon *daemon;
    const struct template_places *places;
    const char *guest; /* its name */
    unsigned domid;
    const struct xl_device *xl; /* ordered; at most CONFIG_MAX_DEVICES */
    size_t nr_xl;
};

/* Makes the plan, which was all zeros. 0; or a negative errno and why: one line for people, with the file and
 * line where one is to blame; plan->settings is what the file says in spite of its mistakes. */
int plan_make(struct plan *plan, const struct plan_input *input, char *why, size_t why_len);
/* Reads the settings alone, for a guest of which no plan can be made. */
void plan_settings_read(struct plan *plan, const struct plan_input *input);
/* Frees what it holds and leaves it empty. */
void plan_clear(struct plan *plan);

#endif
