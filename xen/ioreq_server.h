/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioreq_server.h - our ioreq server in Xen: which accesses of the guest are ours, the page with one slot for
 * each vCPU in which they arrive, and the event channels that announce them. Made or taken over by
 * xen_hypervisor.c, which also owns everything that is borrowed here.
 */
#ifndef VHOST_DM_XEN_IOREQ_SERVER_H
#define VHOST_DM_XEN_IOREQ_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h> /* first: it makes the public headers show what is for tools */
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "dm/hypervisor.h"
#include "xen/xen_state.h"

struct ioreq_server;
struct foreign_cache;

/* All borrowed, for the life of the server. */
struct ioreq_server_env {
    xendevicemodel_handle *dmod;
    xenforeignmemory_handle *fmem;
    struct foreign_cache *cache;
    struct xen_state *state; /* the server's id and ranges are kept there */
    uint16_t domid;
    const char *name; /* of the domain, for messages */
    /* Something that only a domain that ends answers: look whether it does. */
    void (*trouble)(void *ctx);
    void *trouble_ctx;
};

/*
 * Takes over the server that the state tells of, or makes a new one, enabled and without any range. No
 * request is looked at before ioreq_server_start. 0 and *out, owned by the caller; -ENOSPC: the domain has as
 * many servers as Xen allows; -ENOTSUP: more vCPUs than slots in a page; other negative errno.
 */
int ioreq_server_new(struct ioreq_server **out, const struct ioreq_server_env *env);

/* Answers what is left (nobody is called), removes the server from Xen, frees it. NULL is allowed. */
void ioreq_server_free(struct ioreq_server *server);
/* Frees our side alone: the server stays in Xen, as after a kill, for whoever takes it over. NULL is allowed.
 */
void ioreq_server_leave(struct ioreq_server *server);

/* Whether the server is one that a predecessor made. */
bool ioreq_server_is_adopted(const struct ioreq_server *server);

/* Serves from now on, on that loop (borrowed): first what already waits, then what arrives. */
int ioreq_server_start(struct ioreq_server *server, struct ev_loop *loop,
                       const struct hypervisor_handler *handler, void *ctx);

/*
 * The pages (gfns) of accesses that have come to us and that Xen has not completed: at most max of them, one
 * for each vCPU; returns how many. Exact only while the domain is paused. Not among them are accesses between
 * memory and memory, which Xen does not carry out again.
 */
unsigned ioreq_server_busy(const struct ioreq_server *server, uint64_t *gfns, unsigned max);

/* Accesses to [first, last] (a PCI function: its SBDF as both) are ours / no longer ours. Errors as
 * hypervisor_ops.range_add; -ENOENT: not a range of ours. */
int ioreq_server_range_add(struct ioreq_server *server, enum access_space space, uint64_t first,
                           uint64_t last);
int ioreq_server_range_remove(struct ioreq_server *server, enum access_space space, uint64_t first,
                              uint64_t last);

#endif
