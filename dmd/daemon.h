/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon.h - all guests of this host: which there are, and which of them an event is for. Made by main();
 * what is done for one guest is guest.c's.
 */
#ifndef VHOST_DM_DMD_DAEMON_H
#define VHOST_DM_DMD_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "common/util.h"
#include "dmd/configuration.h"
#include "dmd/templates.h"
#include "xen/toolstack.h"

struct daemon {
    struct ev_loop *loop;
    const char *config_dir;      /* of GUEST.conf */
    const char *config_path;     /* vhost-dmd.conf */
    struct config_daemon config; /* state_dir and vhost_dm are those of the start; the rest is read anew */
    struct template_places places;
    struct toolstack *toolstack;
    struct list_link guests;
    unsigned scan; /* counts the looks at all domains */
    int files;     /* inotify of the state folder */
    struct ev_io files_io;
    int lock;
};

/* Begins: adopts what a predecessor left, then serves from the loop. The rest of *daemon is zero. 0 or a
 * negative errno, and why. */
int daemon_begin(struct daemon *daemon, const char *libxl_dir, char *why, size_t why_len);
/* Ends, and leaves all guests as they are. */
void daemon_end(struct daemon *daemon);
/* Tries again what was given up. */
void daemon_retry(struct daemon *daemon);

#endif
