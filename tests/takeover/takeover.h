/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * takeover.h - a vhost-dm that somebody else has taken over: the program itself, linked once more, in which
 * at the moment of its readiness hostile code runs with all that the process has. A test of dm/confine.c and
 * xen/broker.c for tests/nested/cases/taken-over.sh; it is never installed.
 *
 *   takeover.c         where it begins and ends; what it is told, by environment variables; what it says
 *   takeover_calls.c   system calls
 *   takeover_xen.c     the interfaces to Xen
 *   takeover_broker.c  requests to the privileged process
 *
 * Each thing that is tried is a line "TAKEOVER NAME refused ERRNO" or "TAKEOVER NAME done". Where the process
 * has kept its rights only that is tried which does no harm then: it shows that the tries are such as
 * succeed.
 */
#ifndef VHOST_DM_TAKEOVER_H
#define VHOST_DM_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xentoollog.h>

struct takeover {
    bool confined;
    pid_t process;      /* TAKEOVER_PROCESS: somebody else's */
    uint16_t domain;    /* TAKEOVER_DOMAIN: our guest */
    uint16_t others[4]; /* TAKEOVER_OTHERS: domains that are not ours */
    unsigned nr_others;
    const char *socket; /* TAKEOVER_SOCKET: somebody else's socket */
    bool flood;         /* TAKEOVER_FLOOD: at the end, more requests than are answered */
    /* What the process has opened. */
    xendevicemodel_handle *dmod;
    xenforeignmemory_handle *fmem;
    xenevtchn_handle *events;
    int broker; /* socket of the privileged process; -1: there is none */
};

/* A try was made: result below 0 is a negative errno, else it was done. */
void takeover_say(const char *name, long result);
/* The same where a certain refusal is expected: any other result counts as done. */
void takeover_say_refusal(const char *name, long result, long expected);

void takeover_calls(const struct takeover *t);
void takeover_xen(const struct takeover *t);
void takeover_broker(const struct takeover *t);
/* As the last thing of all, as the process does not survive it. */
void takeover_calls_last(const struct takeover *t);

#endif
