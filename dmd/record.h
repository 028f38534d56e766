/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - the files in the state folder by which a daemon that is started again knows what its predecessor
 * has done for a guest:
 *
 *   DOMID.devices  the guest's UUID and a line for each vhost-dm --device; also of others that start a
 * vhost-dm DOMID.guest    all else: names, processes, commands of back-ends DOMID.held     the guest's UUID:
 * it is held paused by us DOMID.ready    vhost-dm's --ready-fd
 *
 * All are read strictly, and written as a whole, by rename. Used by guest.c and daemon.c.
 */
#ifndef VHOST_DM_DMD_RECORD_H
#define VHOST_DM_DMD_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dmd/plan.h"

#define RECORD_PATH_LEN 640

struct record_process {
    pid_t pid; /* 0: none */
    unsigned long long start;
};

struct record {
    uint8_t uuid[16];
    char name[CONFIG_GUEST_NAME_LEN];
    struct record_process vhost_dm;
    struct record_process back_ends[CONFIG_MAX_DEVICES];
    struct plan plan;
    bool no_texts; /* DOMID.devices is not there: a vhost-dm that has seen its guest end takes it away */
};

/* Makes DIR/DOMID.KIND of it. */
void record_path(char path[RECORD_PATH_LEN], const char *dir, unsigned domid, const char *kind);

/* Writes DOMID.devices, or DOMID.guest. 0 or negative errno. */
int record_devices_write(const char *dir, unsigned domid, const uint8_t uuid[16], const struct plan *plan);
int record_guest_write(const char *dir, unsigned domid, const struct record *record);

/*
 * Reads both into *record, which was all zeros; afterwards it is plan_clear()ed by the caller. 0, with
 * no_texts if there is no DOMID.devices, and an empty text for each device that DOMID.devices has no more;
 * -ENOENT: there is no DOMID.guest, or it is of another UUID (NULL: any is right); -EINVAL: one is damaged.
 */
int record_read(const char *dir, unsigned domid, const uint8_t uuid[16], struct record *record);

/* Whether there is a DOMID.guest. */
bool record_there(const char *dir, unsigned domid);
/* Reads DOMID.devices alone, of another program: names are made of types; of the settings only confine, if it
 * is said there. 0; -ENOENT; -EINVAL. */
int record_devices_read(const char *dir, unsigned domid, const uint8_t uuid[16], struct plan *plan);
/* The process that has DOMID.state locked, which is the guest's vhost-dm; 0: none. */
pid_t record_state_holder(const char *dir, unsigned domid);
/* Whether there is a DOMID.state of that guest that no process has locked. */
bool record_state_left(const char *dir, unsigned domid, const uint8_t uuid[16]);

/* DOMID.held and DOMID.ready. */
int record_held_write(const char *dir, unsigned domid, const uint8_t uuid[16]);
bool record_held(const char *dir, unsigned domid, const uint8_t uuid[16]);
bool record_ready(const char *dir, unsigned domid);

/* Removes a file of that kind; those of a guest that lives on without devices: DOMID.held stays, and all that
 * is vhost-dm's; all that the programs of a guest that has ended may have left. */
void record_remove(const char *dir, unsigned domid, const char *kind);
void record_remove_begun(const char *dir, unsigned domid);
void record_remove_all(const char *dir, unsigned domid);

#endif
