/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain.h - what Xen knows of one domain (its kind, whether it lives, whether it ever ran), and holding it
 * paused. Used by the search for a domain, by attaching to it and by the watch for its end.
 */
#ifndef VHOST_DM_XEN_DOMAIN_H
#define VHOST_DM_XEN_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>

enum domain_kind {
    DOMAIN_PV,  /* no emulated hardware: no ioreq server can serve it */
    DOMAIN_HVM, /* firmware, interrupt controllers, QEMU beside us */
    DOMAIN_PVH, /* nothing of these but a local APIC */
};

struct domain_info {
    uint16_t domid;
    enum domain_kind kind;
    bool dying;               /* being destroyed */
    bool shutdown;            /* the guest has ended; see shutdown_reason */
    unsigned shutdown_reason; /* SHUTDOWN_* of Xen's sched.h */
    bool paused;              /* by anybody */
    bool never_ran;           /* no vCPU has had any time yet */
    uint32_t nr_vcpus;        /* the most that it may have online */
    uint64_t max_memkb;       /* its limit of memory, KiB */
    uint8_t uuid[16];
};

/* 0; -ESRCH: there is no such domain (any more); -EACCES or another errno of the hypercall. */
int domain_info_get(xc_interface *xch, uint16_t domid, struct domain_info *info);

/* Pauses are counted by Xen: each needs one domain_unpause, whoever else pauses. 0 or negative errno. */
int domain_pause(xc_interface *xch, uint16_t domid);
int domain_unpause(xc_interface *xch, uint16_t domid);

/* Why a domain cannot be served any more, for people; NULL: it can. A suspended one can (it may be resumed).
 */
const char *domain_end_reason(const struct domain_info *info);

#endif
