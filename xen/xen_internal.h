/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_internal.h - what xen_hypervisor.c and xen_attach.c share, and nobody else includes.
 */
#ifndef VHOST_DM_XEN_INTERNAL_H
#define VHOST_DM_XEN_INTERNAL_H

#include <ev.h>
#include <stdbool.h>
#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "dm/hypervisor.h"
#include "xen/domain.h"

struct xen_hypervisor {
    struct hypervisor base;
    struct domain_info info; /* as it was when we attached */
    xc_interface *xch;
    xendevicemodel_handle *dmod;
    xenforeignmemory_handle *fmem;
    struct xen_state *state; /* in the saved state */
    bool pause_held;         /* a pause of the privileged server's is ours */
    unsigned nr_files;       /* to be removed in the end */
    struct foreign_cache *cache;
    struct xen_pages *pages;
    struct ioreq_server *server;
    struct privileged *priv;    /* owned; the broker's, if there is one */
    struct broker *broker;      /* NULL: we are not going to be confined */
    struct domain_watch *watch; /* without a broker, which has one */

    struct ev_loop *loop; /* NULL before set_handler */
    struct ev_prepare between_events;
    struct ev_timer late; /* runs while pages wait to be placed */
    double late_wait;     /* seconds: what it was set to last */
    const struct hypervisor_handler *handler;
    void *handler_ctx;
};

extern const struct hypervisor_ops xen_ops;

/* Something that Xen was asked for went wrong: it is looked whether the domain is there still. ctx: the
 * xen_hypervisor. */
void xen_trouble(void *ctx);
/* Undoes what was reached of attaching, and frees it. leave: the guest keeps its devices for a successor. */
void xen_close(struct xen_hypervisor *xen, bool leave);

#endif
