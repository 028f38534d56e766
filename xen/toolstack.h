/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * toolstack.h - what a daemon beside xl needs of Xen: which domains there are, that one is introduced,
 * complete or gone, the nodes that libxl writes for virtio devices, and holding domains paused. Includes no
 * Xen header, so that dmd/ can use it. Used by dmd/daemon.c and dmd/guest.c.
 */
#ifndef VHOST_DM_XEN_TOOLSTACK_H
#define VHOST_DM_XEN_TOOLSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct toolstack;

/* libxl's kinds of device that are ours: backend/KIND/<domid>/<devid> of dom0. */
enum toolstack_kind { TOOLSTACK_VIRTIO, TOOLSTACK_VIRTIO_DISK, TOOLSTACK_NR_KINDS };

struct toolstack_domain {
    uint16_t domid;
    uint8_t uuid[16];
    bool pv;        /* has no emulated hardware */
    bool never_ran; /* no vCPU has had any time yet */
    bool paused;    /* by anybody */
    bool ended;     /* shut down, other than for suspending, or being destroyed */
};

/* All are called from the loop. */
struct toolstack_events {
    void (*domains)(void *ctx);                /* some domain was introduced or has ended: look */
    void (*nodes)(void *ctx, unsigned domid);  /* something changed below backend/KIND/<domid> */
    void (*completed)(void *ctx);              /* of some domain libxl has stored the configuration */
    void (*saving)(void *ctx, unsigned domid); /* libxl begins to save, migrate or suspend it */
    void (*lost)(void *ctx, const char *why);  /* xenstored has gone */
    void (*found_again)(void *ctx);            /* and is back: what was heard before may be incomplete */
};

/* libxl_dir: where libxl keeps its files. 0 and *out; or a negative errno and why: what is wrong and what to
 * do. */
int toolstack_open(struct toolstack **out, struct ev_loop *loop, const char *libxl_dir,
                   const struct toolstack_events *events, void *ctx, char *why, size_t why_len);
/* NULL is allowed. */
void toolstack_close(struct toolstack *toolstack);

/* Calls fn for each domain but dom0. 0 or negative errno. */
int toolstack_domains(struct toolstack *toolstack,
                      void (*fn)(void *ctx, const struct toolstack_domain *domain), void *ctx);
/* One of them. 0; -ESRCH: there is none; or another errno. */
int toolstack_domain_get(struct toolstack *toolstack, uint16_t domid, struct toolstack_domain *domain);
/* Its memory is built, and xenstored knows it. */
bool toolstack_introduced(struct toolstack *toolstack, uint16_t domid);
/* libxl has written all nodes of its devices: it has stored the configuration, which is the last thing that
 * it does before the domain can be unpaused. */
bool toolstack_completed(struct toolstack *toolstack, uint16_t domid, const uint8_t uuid[16]);

/* Of one that never ran: it was saved or comes from another host, and will go on in the middle of its work.
 */
bool toolstack_restored(struct toolstack *toolstack, uint16_t domid);

/* Pauses are counted by Xen. 0 or negative errno. */
int toolstack_pause(struct toolstack *toolstack, uint16_t domid);
int toolstack_unpause(struct toolstack *toolstack, uint16_t domid);

/* A node's text. 0; -ENOENT; -EMSGSIZE: longer than len - 1; -EILSEQ: has NULs or control characters in it;
 * or another errno of xenstored. */
int toolstack_read(struct toolstack *toolstack, const char *path, char *text, size_t len);
/* The numbers among the children of a node, up to max of them, in no order. Their count, or negative errno;
 * a node that is not there has none. */
int toolstack_children(struct toolstack *toolstack, const char *path, unsigned *numbers, size_t max);
/* Writes a node that is there. 0; -ENOENT; or another errno. */
int toolstack_write(struct toolstack *toolstack, const char *path, const char *text);
/* "/local/domain/0/backend/KIND" of this dom0. */
const char *toolstack_kind_path(enum toolstack_kind kind);

#endif
