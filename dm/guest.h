/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.h - one guest: its regions, its hypervisor, and the way of an access to the device it is for. Also
 * the copying from and to guest memory, whatever backs it. Created by main() (or a test), used by transports,
 * queues and devices.
 */
#ifndef VHOST_DM_GUEST_H
#define VHOST_DM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/region_table.h"
#include "common/util.h"
#include "dm/hypervisor.h"

struct ev_idle;
struct ev_loop;
struct hotplug;
struct pci_bus;
struct saved_state;
struct shm_pool;

/* Work that an access asked for, done when the access has been answered. A caller owns it. */
struct guest_work {
    struct list_link link; /* list_init it; in a list while queued */
    void (*fn)(struct guest_work *work);
};

/* Who wants to know of memory of other kinds than RAM that comes and goes. A caller owns it. */
struct guest_memory_watch {
    struct list_link link; /* in guest->memory_watches */
    /* Called in the middle of whatever it was: to note it, and look later. */
    void (*changed)(struct guest_memory_watch *watch);
};

struct guest {
    struct ev_loop *loop;            /* borrowed */
    struct hypervisor *hv;           /* borrowed */
    struct saved_state *saved;       /* borrowed */
    struct region_table *regions;    /* owned */
    unsigned nr_found;               /* regions of memory that came later (see memory_find) */
    double missed_at;                /* when it was last looked for such memory in vain; 0: never */
    bool confined;                   /* this process has given up the file system */
    struct shm_pool *shm;            /* borrowed; NULL: there are no shared pages */
    uint64_t copied;                 /* bytes of pages that placement_copy.c gave it */
    struct pci_bus *pci;             /* owned */
    struct hotplug *hotplug;         /* owned; NULL: it cannot be told of functions that come and go */
    uint32_t device_irqs;            /* a bit for each of the first 32 lines of irq_set that a device has */
    struct list_link work;           /* of struct guest_work */
    struct list_link memory_watches; /* of struct guest_memory_watch */
    bool in_access;                  /* accesses are being served: the work is done right after them */
    struct ev_idle *idle;            /* owned: runs left-over work between events */
    uint64_t nr_accesses;            /* that reached us, for status */
    uint64_t nr_stray;               /* ... to memory or ports, of which a part was nobody's */
    bool gone;
    char gone_why[128];         /* for people */
    void (*gone_fn)(void *ctx); /* called once when the guest is gone; may be NULL */
    void *gone_ctx;
    struct log_limit limit;
};

/* Sets up *guest on a hypervisor and a loop (both borrowed), with the guest's RAM in its table and a PCI bus.
 * 0 or negative errno; on an error nothing is left to undo. */
int guest_init(struct guest *guest, struct ev_loop *loop, struct hypervisor *hv, struct saved_state *saved);
/* Undoes guest_init. Devices are gone by then; the hypervisor is detached by its owner afterwards. */
void guest_fini(struct guest *guest);

/* Queues work (once, however often asked) for after the accesses that are being served. */
void guest_work_queue(struct guest *guest, struct guest_work *work);

/*
 * A pointer to guest RAM at gpa for at most *len bytes (out: how many can be used, at least 1). NULL when
 * there is no RAM: shared memory, too, can only be copied. Good until control returns to the event loop, or
 * for a few more calls that touch guest memory (hypervisor_ops.map_ram); never kept.
 */
void *guest_memory_at(struct guest *guest, uint64_t gpa, size_t *len);
/* Copies len bytes. 0, or -EFAULT when a part of the range is not memory (what comes before it was copied).
 */
int guest_memory_read(struct guest *guest, uint64_t gpa, void *buf, size_t len);
int guest_memory_write(struct guest *guest, uint64_t gpa, const void *buf, size_t len);

/* Whether all of [gpa, gpa + len) is memory as far as the tables know, and can be written, if asked; a page
 * may still be missing. Shared memory counts where something is mapped. */
bool guest_memory_covers(struct guest *guest, uint64_t gpa, uint64_t len, bool writable);

/* What a shared memory region has in it, or where the guest sees it, is not what it was. */
void guest_memory_changes(struct guest *guest);

/* Adds and removes registers at a guest-physical range: an entry in the table and a range at the hypervisor.
 * 0; -EEXIST: something else is there; other negative errno. */
int guest_mmio_add(struct guest *guest, uint64_t gpa, uint64_t len, region_mmio_fn *access, void *opaque);
void guest_mmio_remove(struct guest *guest, uint64_t gpa, uint64_t len);

/* Takes an access apart: fn serves each of its units in turn, as an access of its own. offset is that of the
 * first. */
void access_units(struct guest_access *access, uint64_t offset, region_mmio_fn *fn, void *opaque);

/* The value of a unit of an access, and its answer: little-endian, 1 to 8 bytes. */
uint64_t access_get(const struct guest_access *access, size_t pos);
void access_set(struct guest_access *access, size_t pos, uint64_t value);

#endif
