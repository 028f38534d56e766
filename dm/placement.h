/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * placement.h - the ways in which memory that a back-end mapped reaches the guest, behind one interface: each
 * is one file and one line in the table of placement.c. Used by shmem.c.
 */
#ifndef VHOST_DM_PLACEMENT_H
#define VHOST_DM_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dm/shmem.h"

struct guest;
struct shmem_file;

/* What is to be placed. */
struct placement_range {
    struct shmem_file *file; /* borrowed */
    uint64_t file_offset;    /* bytes, like all of these a multiple of pages */
    uint64_t len;
    bool writable; /* by the guest */
};

struct placement_ops {
    enum placement id;
    const char *name; /* placement=NAME */
    /* NULL: right for this range, on this host. Otherwise why not, for people (a static string). Asked once,
     * when the back-end maps; must not depend on where the guest sees it. */
    const char *(*refuses)(struct guest *guest, const struct placement_range *range);
    /* Puts the range at gpa: the guest may use it when this returns. 0 or negative errno, and nothing is
     * there. NULL: there is nothing to do. */
    int (*place)(struct guest *guest, const struct placement_range *range, uint64_t gpa);
    /* Takes away what place put there. */
    void (*remove)(struct guest *guest, const struct placement_range *range, uint64_t gpa);
    /* Ranges of one file that follow each other, in it and in the guest, may be placed and removed as one,
     * and what was placed as one removed in parts. */
    bool in_runs;
};

/* The best placement for a range, or the demanded one. NULL: the demanded one cannot be had, *why says why.
 * *why is also set, for the log, when a better one was not possible; otherwise it is NULL. */
const struct placement_ops *placement_choose(struct guest *guest, const struct placement_range *range,
                                             enum placement demanded, const char **why);
const struct placement_ops *placement_get(enum placement id);
/* By name, PLACEMENT_AUTO for "auto"; false: no such. */
bool placement_by_name(const char *name, enum placement *id);

extern const struct placement_ops placement_foreign, placement_device, placement_copy, placement_trap;

#endif
