/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local.h - a hypervisor without Xen: guest memory is a memfd, and guest accesses come from a caller in the
 * same process, who plays the guest. `vhost-dm probe`, the benchmarks and the tests run on it. Used by them;
 * everything else sees it as a struct hypervisor.
 *
 * It has the rules that Xen has, so that what works here works there:
 *  - memory comes in pages; addresses without a page (the hole below 4 GiB, ballooned-out pages) map to
 * nothing;
 *  - pointers into guest memory end when memory changes: they fault from then on, they do not just go stale;
 *  - ranges of one space do not overlap, there are at most LOCAL_MAX_RANGES of them, and a range is removed
 * as it was added;
 *  - an access reaches us only if ranges of ours cover all of its bytes (not: one range), and none lies in
 * RAM; what nobody claims reads all ones;
 *  - all pending accesses are answered first, then accesses_done is called.
 *
 * As everywhere on the event loop, there is one thread: calls are not locked.
 */
#ifndef VHOST_DM_LOCAL_H
#define VHOST_DM_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/util.h"
#include "dm/hypervisor.h"

#define LOCAL_MAX_RANGES   256    /* per space: Xen's MAX_NR_IO_RANGES (xen/arch/x86/include/asm/hvm) */
#define LOCAL_RAM_HIGH_GPA GIB(4) /* where memory goes on above the hole */
#define LOCAL_ADDRESS_BITS 48     /* of guest-physical addresses of RAM */

struct local_options {
    const char *name;   /* for messages; NULL: "local"; copied */
    uint64_t ram_low;   /* bytes from gpa 0: pages, not 0, at most 4 GiB */
    uint64_t ram_high;  /* bytes from 4 GiB: pages, 0: none */
    uint64_t ram_late;  /* of these, how many at the end have come later: add_ram does not tell them */
    int ram_fd;         /* -1: new memory; else a memfd of that very length (local_ram_fd of a predecessor),
                           borrowed: it is duplicated */
    uint64_t map_chunk; /* map_ram's pointers end at multiples of this (pages), as those of a hypervisor that
                           maps piece by piece; 0: they reach as far as memory does */
    struct pci_host pci;
    unsigned nr_irqs; /* lines of irq_set, from 0; 0: the guest has no controller for them */
};

struct local_callbacks { /* what the guest would see; each may be NULL */
    void (*msi)(void *ctx, uint64_t addr, uint32_t data);
    void (*intx)(void *ctx, uint32_t sbdf, uint8_t pin, bool level);
    void (*irq)(void *ctx, uint32_t irq, bool level);
};

struct local_stats {
    uint64_t delivered; /* accesses that reached the handler */
    uint64_t ram;       /* ... that were to RAM */
    uint64_t unclaimed; /* ... that were nobody's */
    uint64_t malformed; /* ... that no vCPU can make: refused */
    uint64_t msi;       /* interrupts sent */
    uint64_t intx, irq; /* how often a line was driven */
};

/* Makes a guest. callbacks and ctx are borrowed until detach. 0 and *out, which the caller ends with
 * (*out)->ops->detach; -EINVAL: sizes are wrong; -ENOMEM or what memfd_create, mmap or fcntl gave. */
int local_new(struct hypervisor **out, const struct local_options *options,
              const struct local_callbacks *callbacks, void *ctx);

/* The guest makes an access, or several at once from as many vCPUs; all are answered on return. Reads find
 * their answer in access->data, which is all ones where nobody gave one. */
void local_access(struct hypervisor *hv, struct guest_access *access);
void local_accesses(struct hypervisor *hv, struct guest_access *accesses, size_t nr);

/* The guest's own view of its RAM: [gpa, gpa + len), or NULL if that is not wholly RAM and in one piece. Good
 * until detach, whatever happens to pages; those that are absent are not to be used by a guest. */
void *local_ram(struct hypervisor *hv, uint64_t gpa, uint64_t len);
/* The memfd, borrowed: low memory, then high memory. */
int local_ram_fd(const struct hypervisor *hv);

/* The guest gives pages back (present false: their content is lost) or takes them again. 0, and the handler
 * is told that memory changed; -EINVAL: not RAM, no pages, or not in one piece; -ENOMEM or what mmap,
 * mprotect or fallocate gave: nothing has changed. */
int local_pages_set(struct hypervisor *hv, uint64_t gpa, uint64_t nr_pages, bool present);
/* Memory changes under its addresses without a visible difference (what Xen tells us as an invalidation):
 * every pointer from map_ram faults from now on. 0 or what mmap gave. */
int local_memory_changed(struct hypervisor *hv);
/* The guest ends: the handler is told. */
void local_guest_end(struct hypervisor *hv, const char *why);

const struct local_stats *local_stats_get(const struct hypervisor *hv);

#endif
