// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * busy_pages.c - see busy_pages.h. A vCPU is in the middle of an access as long as its slot is not empty: Xen
 * empties it and carries out the instruction in one go. With the domain paused no vCPU is between the two.
 */
#include "xen/busy_pages.h"

#include <errno.h>
#include <stdlib.h>

#include "common/util.h"
#include "xen/ioreq_server.h"
#include "xen/privileged.h"

void busy_pages_fini(struct busy_pages *b)
{
    free(b->late);
    b->late = NULL;
    b->nr_late = 0;
    b->room = 0;
}

int busy_pages_hold(struct busy_pages *b)
{
    int rc = 0;

    b->paused = !*b->held;
    if (b->paused)
        rc = privileged_pause(b->priv);
    if (rc < 0) {
        b->paused = false;
        return rc;
    }
    *b->held = true;
    b->nr_busy = b->server != NULL ? ioreq_server_busy(b->server, b->busy, ARRAY_SIZE(b->busy)) : 0;
    return 0;
}

void busy_pages_let_go(struct busy_pages *b)
{
    if (!b->paused)
        return;
    privileged_unpause(b->priv);
    *b->held = false;
    b->paused = false;
}

uint64_t busy_pages_free_run(const struct busy_pages *b, uint64_t gfn, uint64_t nr_pages)
{
    for (unsigned i = 0; i < b->nr_busy; i++)
        if (b->busy[i] >= gfn)
            nr_pages = MIN(nr_pages, b->busy[i] - gfn);
    return nr_pages;
}

int busy_pages_defer(struct busy_pages *b, uint64_t gfn, uint64_t page)
{
    if (b->nr_late == b->room) {
        size_t room = b->room == 0 ? 16 : b->room * 2;
        struct late_page *late = realloc(b->late, room * sizeof(*late));

        if (late == NULL)
            return -ENOMEM;
        b->late = late;
        b->room = room;
    }
    b->late[b->nr_late++] = (struct late_page){gfn, page};
    return 0;
}

void busy_pages_forget(struct busy_pages *b, uint64_t gfn, uint64_t nr_pages)
{
    for (size_t i = 0; i < b->nr_late;) {
        if (b->late[i].gfn >= gfn && b->late[i].gfn - gfn < nr_pages)
            b->late[i] = b->late[--b->nr_late];
        else
            i++;
    }
}
