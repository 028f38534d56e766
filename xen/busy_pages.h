/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * busy_pages.h - pages of the guest that a vCPU is in the middle of an access to, which came to us as a
 * request.
 *
 * Once a request is answered, Xen carries out the vCPU's instruction again, from its start, and expects it to
 * ask for the same thing: if it finds memory in that place by then the answer is left over, and Xen crashes
 * the domain at the vCPU's next request (hvmemul_do_io, "correctly re-issued"). So nothing is placed at such
 * a page. It is remembered and placed later; until then its accesses come to us, and act on the same memory.
 *
 * Used by xen_pages.c.
 */
#ifndef VHOST_DM_XEN_BUSY_PAGES_H
#define VHOST_DM_XEN_BUSY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ioreq_server;
struct privileged;

#define BUSY_PAGES_MAX 128 /* vCPUs of an ioreq server: each is in one access at the most */

/* One that is to be placed later. */
struct late_page {
    uint64_t gfn, page; /* page: of the holder */
};

struct busy_pages {
    struct privileged *priv;     /* borrowed */
    bool *held;                  /* borrowed: whether a pause of ours is held */
    struct ioreq_server *server; /* borrowed; NULL until there is one */
    bool paused;                 /* by busy_pages_hold */
    unsigned nr_busy;
    uint64_t busy[BUSY_PAGES_MAX]; /* gfns, good while the guest is held */
    size_t nr_late, room;
    struct late_page *late; /* owned */
};

/* Frees the list; the structure was set up by its owner. */
void busy_pages_fini(struct busy_pages *b);

/* Holds the guest (unless it is paused by us anyway) and finds out which pages are busy / lets it go on.
 * Between them: as little as possible. 0 or negative errno, and it is not held. */
int busy_pages_hold(struct busy_pages *b);
void busy_pages_let_go(struct busy_pages *b);

/* Of nr_pages from gfn on, how many are not busy, up to the first that is. */
uint64_t busy_pages_free_run(const struct busy_pages *b, uint64_t gfn, uint64_t nr_pages);

/* That page is to be placed later. 0 or -ENOMEM. */
int busy_pages_defer(struct busy_pages *b, uint64_t gfn, uint64_t page);
/* Pages of a range are not to be placed any more. */
void busy_pages_forget(struct busy_pages *b, uint64_t gfn, uint64_t nr_pages);

#endif
