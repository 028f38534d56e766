/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_watch.h - notices that a domain ends. xenstored says that some domain has shut down or gone; then,
 * or when a hypercall has failed in a way that a dying domain explains, Xen is asked about ours. Used by
 * xen_hypervisor.c.
 */
#ifndef VHOST_DM_XEN_DOMAIN_WATCH_H
#define VHOST_DM_XEN_DOMAIN_WATCH_H

#include <stdint.h>

#include <xenctrl.h>

struct ev_loop;
struct domain_watch;

/* Called once, from the loop. */
typedef void domain_ended_fn(void *ctx, const char *why);

/* Begins to watch; xch is borrowed, and so is the domain's name, for messages. 0 and *out, owned by the
 * caller; -ENOTCONN: no xenstored. */
int domain_watch_new(struct domain_watch **out, xc_interface *xch, uint16_t domid, const char *name);
/* NULL is allowed. */
void domain_watch_free(struct domain_watch *watch);

/* Tells of the end from now on, also when it was before. The loop is borrowed. */
void domain_watch_start(struct domain_watch *watch, struct ev_loop *loop, domain_ended_fn *ended, void *ctx);

/* Something failed: look soon (from the loop) whether the domain still is there. */
void domain_watch_poke(struct domain_watch *watch);

#endif
