/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - one guest, from its creation by xl to its end: held paused, its devices found out, its processes
 * started, let run, its processes kept running, taken down. Owned by daemon.c, which tells it what happens.
 *
 * Five files: guest.c is its life, guest_process.c its processes, guest_nodes.c its nodes in xenstore,
 * guest_plan.c which devices it gets, guest_folder.c where its sockets are.
 */
#ifndef VHOST_DM_DMD_GUEST_H
#define VHOST_DM_DMD_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "common/util.h"
#include "dmd/child.h"
#include "dmd/daemon.h"
#include "dmd/record.h"

enum guest_state {
    GUEST_CREATED,  /* held until libxl has completed it */
    GUEST_WAITING,  /* held; a predecessor of its name is not yet taken down */
    GUEST_STARTING, /* held, unless it runs already; its processes are started */
    GUEST_SERVED,   /* has its devices */
    GUEST_FAILED,   /* should have devices, and has none; held if its configuration says so */
    GUEST_OTHER,    /* has nothing to do with us */
    GUEST_ENDING,   /* has ended; its processes have not */
    GUEST_ENDED,    /* nothing of it is left here; xl may still have to destroy it */
};

/* Of a process: the vhost-dm, or a back-end. */
struct guest_process {
    struct guest *guest;
    struct child child;
    struct ev_timer again; /* starts it again, later */
    unsigned failures;     /* in a row */
    double started;        /* of guest_clock() */
    int device;            /* whose back-end; -1: the vhost-dm */
};

struct guest {
    struct list_link link;
    struct daemon *daemon;
    struct toolstack_domain domain;
    char name[CONFIG_GUEST_NAME_LEN];       /* as in xenstore at the beginning; "": it has none */
    char label[CONFIG_GUEST_NAME_LEN + 24]; /* for messages */
    enum guest_state state;
    bool held;             /* paused by us */
    bool gone;             /* the domain does not exist any more */
    bool foreign;          /* its vhost-dm was started by another program */
    bool restored;         /* was saved, or comes from another host */
    bool told;             /* that its virtio disk has no back-end */
    unsigned seen;         /* daemon->scan in which it was there */
    struct ev_timer limit; /* of the state */
    struct ev_timer nodes; /* when to look at its nodes: puts many changes together */
    double nodes_looked;   /* of guest_clock() */
    struct plan plan;
    struct guest_process vhost_dm, back_ends[CONFIG_MAX_DEVICES];
};

/* ---- guest.c --------------------------------------------------------------------------------- */

/* A domain that was not known. Holds it, if it has not run yet. NULL: no memory. */
struct guest *guest_new(struct daemon *daemon, const struct toolstack_domain *domain);
/* One that has ended, of which a record may tell that it has left processes: they are ended. gone: it does
 * not exist any more, and only its number is known. */
void guest_new_ended(struct daemon *daemon, const struct toolstack_domain *domain, bool gone);
void guest_free(struct guest *guest);

/* libxl may have completed it; vhost-dm may have become ready; something may have been left by another. */
void guest_look(struct guest *guest);
/* Its nodes in xenstore have changed. */
void guest_nodes_changed(struct guest *guest);
/* It has ended; gone: and does not exist any more, when the guest may be freed by this. */
void guest_end(struct guest *guest, bool gone);
/* What was given up is to be tried again. */
void guest_retry(struct guest *guest);

/* Seconds, by a clock that nobody sets; ev_now() is of one that is set. */
double guest_clock(void);

/* ---- guest_plan.c --------------------------------------------------------------------------- */

/* Makes the plan of its devices anew. 0; or a negative errno and why, with file and line if it is a file's.
 * To be cleared in any case. */
int guest_plan_read(struct guest *guest, struct plan *plan, char *why, size_t why_len);

/* ---- guest_folder.c ------------------------------------------------------------------------- */

void guest_folder_make(struct guest *guest);
/* With what its back-ends have left there; somebody else's files, and then the folder, stay. */
void guest_folder_remove(struct guest *guest);

/* ---- guest_nodes.c -------------------------------------------------------------------------- */

/* Reads what xl wants the guest to have. The count, or a negative errno and why. */
int guest_nodes_read(struct guest *guest, struct xl_device devices[CONFIG_MAX_DEVICES], char *why,
                     size_t why_len);
/* Sets the state of all devices that come from xl and are not being taken away. */
void guest_nodes_tell(struct guest *guest, enum xl_state state);
/* Answers for what xl takes away: from a guest that it destroys, or one disk. */
void guest_nodes_removals(struct guest *guest);
/* Whether libxl waits for the back-end of a virtio disk; and the answer that it waits for. */
bool guest_nodes_disks_wait(struct guest *guest);
void guest_nodes_disks_answer(struct guest *guest);

/* ---- guest_process.c, for guest.c, which it calls back --------------------------------------- */

void guest_processes_init(struct guest *guest);
/* Starts back-ends and vhost-dm. 0, or a negative errno, and it has been logged. */
int guest_processes_start(struct guest *guest);
/* Adopts those of the record that still run. */
void guest_processes_adopt(struct guest *guest, const struct record *record);
/* Takes on the vhost-dm that another program has started. 0, or -ESRCH: there is none. */
int guest_processes_adopt_foreign(struct guest *guest);
/* Starts those that do not run; what had failed too often is tried again. */
void guest_processes_resume(struct guest *guest);
/* Ends them, vhost-dm first; harder: with that signal, or 0: vhost-dm ends by itself with its domain. In the
 * end, guest_processes_gone() is called. */
void guest_processes_stop(struct guest *guest, int signum);
bool guest_processes_run(const struct guest *guest);
/* Stops all watching. */
void guest_processes_forget(struct guest *guest);

/* What it calls: */
void guest_processes_gone(struct guest *guest);
/* Its vhost-dm has ended, as it was told. */
void guest_vhost_dm_gone(struct guest *guest);
/* It cannot have its devices. */
void guest_fail(struct guest *guest, const char *why);
/* Whether the domain lives; if not, the guest has been told. */
bool guest_lives(struct guest *guest);

#endif
