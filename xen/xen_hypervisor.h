/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_hypervisor.h - the Xen implementation of dm/hypervisor.h. Includes no Xen header, so that main() can
 * use it.
 */
#ifndef VHOST_DM_XEN_HYPERVISOR_H
#define VHOST_DM_XEN_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hypervisor;
struct saved_state;

/* How to attach. */
struct xen_attach {
    bool confined; /* ops->confine is going to be called: what takes rights goes through a broker */
    uint64_t max_shared_pages; /* the most that ops->pages->shared_init is going to ask for */
    unsigned nr_files;         /* ops->files_remove */
    const char *const *files;  /* absolute paths, borrowed until detached, as all that follows */
    unsigned nr_devices;
    const char *const *devices; /* as for --device: with whose sockets host_ops deals, besides those that are
                                   added */
    const char *grants_path, *list_path, *grant_socket, *kept_path; /* of struct privileged_scope */
};

struct xen_domain {
    uint16_t domid;
    uint8_t uuid[16];
    char name[64]; /* from xenstore; may be empty */
    bool held; /* paused by xen_domain_find; undone by attaching to it and starting, or xen_domain_release */
};

/*
 * Finds a domain by number or by name; wait: waits until a domain of that name is introduced, and holds it
 * paused from that moment. why: for people, what is wrong and what to do. 0; -ENOENT: no such domain;
 * -EACCES, -ENODEV: not a Xen dom0, or no privilege; other.
 */
int xen_domain_find(const char *id_or_name, bool wait, struct xen_domain *domain, char *why, size_t why_len);

/* Lets a domain that xen_domain_find holds run, when it is not going to be attached to. */
void xen_domain_release(struct xen_domain *domain);

/*
 * Attaches to the domain: pauses it (counted; if it is held already, takes that over whatever comes of it),
 * makes or adopts (saved state) the ioreq server. The guest runs on, if it did, after ops->start. saved is
 * borrowed. 0 and *out, which the caller ends with (*out)->ops->detach; or negative errno and why. -EBUSY: a
 * PVH guest that runs and has no PCI host.
 */
int xen_hypervisor_attach(struct hypervisor **out, struct xen_domain *domain, struct saved_state *saved,
                          const struct xen_attach *how, char *why, size_t why_len);

/* A program that attaches to domains starts itself under this name (argv[0]) for a task of its own
 * (xen/holder_keeper.h): main() then does nothing but call this, and ends with what it returns. */
#define XEN_KEEPER_NAME "vhost-dm-keeper"
int xen_keeper_main(int argc, char **argv);
/* The same for another one (xen/broker.h). */
#define XEN_BROKER_NAME "vhost-dm-broker"
int xen_broker_main(int argc, char **argv);

#endif
