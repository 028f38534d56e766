/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * configuration.h - what the administrator has written: vhost-dmd.conf, for the daemon and as defaults for
 * all guests, and GUEST.conf, for one guest. Read anew when a guest starts, so that nothing has to be
 * reloaded. See docs/vhost-dm.conf.5 for the files. Used by plan.c and main.c.
 */
#ifndef VHOST_DM_DMD_CONFIGURATION_H
#define VHOST_DM_DMD_CONFIGURATION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CONFIG_MAX_DEVICES     31 /* bus 0 has no more slots to give */
#define CONFIG_DEVICE_NAME_LEN 32 /* bytes with the NUL: fs0 */
#define CONFIG_GUEST_NAME_LEN  64 /* bytes with the NUL */
#define CONFIG_OPTIONS_LEN     768

enum config_on_failure {
    ON_FAILURE_RELEASE, /* the guest runs without its devices */
    ON_FAILURE_KEEP,    /* it stays paused */
};

/* What a guest's file may say otherwise than the daemon's. */
struct config_guest_settings {
    enum config_on_failure on_failure;
    unsigned start_timeout; /* seconds until a guest must have its devices */
    char shm_limit[24];     /* vhost-dm --shm-limit; "": its own default */
    char confine[4];        /* vhost-dm --confine: on or off; "": its own default */
};

struct config_daemon {
    char state_dir[PATH_MAX / 8]; /* also where sockets are by default */
    char vhost_dm[PATH_MAX / 8];  /* the program */
    char virtio_disk[256];        /* back-end= of virtio disks in xl.cfg; "": none */
    struct config_guest_settings defaults;
};

/* A section of a guest's file. */
struct config_device {
    char name[CONFIG_DEVICE_NAME_LEN];
    char type[CONFIG_DEVICE_NAME_LEN]; /* "": by the name */
    char socket[108];                  /* "": by rule */
    char options[CONFIG_OPTIONS_LEN];  /* other keys of --device, as ",KEY=VALUE..." */
    char back_end[256];                /* NAME KEY=VALUE ...; "": not ours to start */
    bool has_wait;
    int line; /* of its section */
};

struct config_guest {
    bool there; /* a file of that name */
    char path[PATH_MAX / 4];
    struct config_guest_settings settings;
    size_t nr_devices;
    struct config_device devices[CONFIG_MAX_DEVICES];
};

/* Reads the daemon's file; one that is not there is an empty one. 0, or a negative errno and why. */
int config_daemon_read(struct config_daemon *config, const char *path, char *why, size_t why_len);
/* Reads DIR/NAME.conf; the daemon's settings are what it does not say. 0, also when there is none; or a
 * negative errno and why, and settings is what the file says in spite of its mistakes. -EINVAL: (too) a name
 * that cannot be a file's. */
int config_guest_read(struct config_guest *config, const char *dir, const char *name,
                      const struct config_daemon *daemon, char *why, size_t why_len);
/* Whether a guest's name can be part of a path: not empty, no '/', no '.' first, no control character. */
bool config_guest_name_good(const char *name);

#endif
