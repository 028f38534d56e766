// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * no_save.c - see no_save.h. A node of the guest's names the event channel by which it wants to be told to
 * suspend (few kernels have one). libxl binds that channel as the first step of saving, migrating and
 * suspending, and gives up when it cannot be bound: nobody has asked the guest for anything by then, and no
 * page is copied. Port 0 is one that Xen never lets anybody bind.
 */
#include "xen/no_save.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "xen/xenstore_open.h"

/* libxl reads the number, and people the rest. */
#define MARK "0 (vhost-dm: its devices cannot be saved or migrated)"

static int node_write(struct xs_handle *xs, xs_transaction_t t, uint16_t domid)
{
    /* The guest, which may write it otherwise, may now read it. */
    struct xs_permissions perms[] = {{.id = 0, .perms = XS_PERM_NONE}, {.id = domid, .perms = XS_PERM_READ}};
    char path[64], *there;
    unsigned len;

    /* Of a domain that is being removed a node would stay for ever. */
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    there = xs_read(xs, t, path, &len);
    if (!there)
        return errno == ENOENT ? -ESRCH : -errno;
    free(there);
    snprintf(path, sizeof(path), "/local/domain/%u/device/suspend/event-channel", domid);
    if (!xs_write(xs, t, path, MARK, (unsigned)strlen(MARK)) || !xs_set_permissions(xs, t, path, perms, 2))
        return -errno;
    return 0;
}

int no_save_mark(uint16_t domid)
{
    struct xs_handle *xs = xenstore_open(NULL);
    int rc = -ENOTCONN;

    if (!xs)
        return rc;
    do {
        xs_transaction_t t = xs_transaction_start(xs);

        if (t == XBT_NULL) {
            rc = -errno;
            break;
        }
        rc = node_write(xs, t, domid);
        if (!xs_transaction_end(xs, t, rc != 0) && rc == 0)
            rc = -errno;
    } while (rc == -EAGAIN);
    xs_close(xs);
    return rc;
}
