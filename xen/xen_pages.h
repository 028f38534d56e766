/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_pages.h - struct hypervisor_page_ops on Xen: pages of the guest's holder, pages of the guest's own and
 * frames of device memory, put into its physmap and taken away. Used by xen_hypervisor.c.
 */
#ifndef VHOST_DM_XEN_XEN_PAGES_H
#define VHOST_DM_XEN_XEN_PAGES_H

#include <stdbool.h>

#include <xenctrl.h> /* before the others: it says that we are tools */

#include <xendevicemodel.h>
#include <xenforeignmemory.h>

struct domain_info;
struct hypervisor;
struct hypervisor_page_ops;
struct privileged;
struct saved_state;
struct ioreq_server;
struct xen_pages;

struct xen_pages_env { /* all borrowed */
    struct privileged *priv;
    xendevicemodel_handle *dmod;
    xenforeignmemory_handle *fmem;
    const struct domain_info *guest;
    struct saved_state *saved;
    bool *held; /* whether a pause of ours is held */
};

/* Takes away what a killed predecessor left in the guest. 0 or negative errno. */
int xen_pages_new(struct xen_pages **out, const struct xen_pages_env *env);
/* NULL is allowed. */
void xen_pages_free(struct xen_pages *pages);
/* The server (borrowed) to which accesses of the guest come; before the first page is placed. */
void xen_pages_set_server(struct xen_pages *pages, struct ioreq_server *server);

/* Whether pages wait for a vCPU to end its access to them (busy_pages.h); and to place those that can be
 * placed now. */
bool xen_pages_late(const struct xen_pages *pages);
void xen_pages_place_late(struct xen_pages *pages);

/* That of a hypervisor of ours. */
struct xen_pages *xen_pages_of(struct hypervisor *hv);
extern const struct hypervisor_page_ops xen_page_ops;

#endif
