/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kept.h - what the server of privileged requests (privileged.c) has done to a guest and has to answer for: a
 * file, mapped, which only root can write and which outlives the server, vhost-dm and vhost-dmd. The saved
 * state is no place for it: whoever takes vhost-dm over writes there, and would begin anew with each restart.
 * It goes with the domain.
 *
 * Used by privileged.c. What is done is noted before it is done, and what is undone after: of a server that
 * is killed between, the record says too much.
 */
#ifndef VHOST_DM_XEN_KEPT_H
#define VHOST_DM_XEN_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#define KEPT_DEVICES 256 /* as many as vhost-dm itself can note */

enum {
    KEPT_MAPPED = 1 << 0,  /* is, or is going to be, in the guest */
    KEPT_GRANTED = 1 << 1, /* the guest was permitted these frames for it */
};

/* Frames of device memory; flags 0: no entry. */
struct kept_device {
    uint64_t frame, gfn, nr_pages, flags;
};

/* The limit of the guest's memory, and how much of it are pages of ours. */
struct kept_limit {
    uint64_t kib, own_pages;
};

struct kept {
    char magic[8];
    uint32_t version;
    int32_t pid; /* of the process that has it, or had it last */
    uint64_t pid_start;
    uint8_t uuid[16]; /* of the guest; a rebooted one has another domid */
    char boot[40];    /* of this host */
    uint64_t pauses;  /* of the guest, that are ours to undo */
    uint64_t table_pages;
    struct kept_limit limits[2]; /* before and after it was last changed */
    struct kept_device devices[KEPT_DEVICES];
};

/*
 * Opens the record of a guest, or makes an empty one in the place of what is there and not of this guest.
 * Waits, for seconds, for a process that has it. 0 and *out; -EBUSY: such a process does not end; or another
 * negative errno.
 */
int kept_open(struct kept **out, const char *path, const uint8_t uuid[16]);
/* Whether nothing is left to answer for: without the file it is the same. */
bool kept_says_nothing(const struct kept *kept);
/* The file stays. NULL is allowed. */
void kept_close(struct kept *kept);

#endif
