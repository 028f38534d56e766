/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * broker.h - the privileged half of a confined vhost-dm: a process of its own, which keeps the rights that
 * vhost-dm gives up, carries out requests of privileged.h for that one guest, and watches for the guest's
 * end. It is our own program under another name, started before vhost-dm gives them up, and ends with it.
 *
 * Used by xen_hypervisor.c; and by main().
 */
#ifndef VHOST_DM_XEN_BROKER_H
#define VHOST_DM_XEN_BROKER_H

#include <sys/types.h>

#include "xen/privileged.h"

struct ev_loop;
struct broker;

/* Starts one. 0 and *out, to be used as its privileged and ended by broker_free; -ENOTCONN: xenstore does not
 * answer; or another negative errno. If it ends before us our process ends, as if killed: its successor goes
 * on. */
int broker_new(struct broker **out, const struct privileged_scope *scope);
/* NULL is allowed. */
void broker_free(struct broker *broker);

struct privileged *broker_privileged(struct broker *broker);

/* Tells of the guest's end from now on, also when it was before: once, from the loop, which is borrowed. */
void broker_watch(struct broker *broker, struct ev_loop *loop, void (*ended)(void *ctx, const char *why),
                  void *ctx);
/* Something failed: the broker is to look soon whether the guest still is there. */
void broker_poke(struct broker *broker);

#endif
