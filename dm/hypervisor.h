/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypervisor.h - the one small interface at which the device model and a hypervisor meet. The device model
 * (dm/) includes no hypervisor header; a hypervisor (xen/, dm/local.c) knows no virtio and no vhost-user.
 *
 * All calls are made from the one thread that runs the event loop. Errors are negative errno. Where a call
 * fails the implementation does not log: the caller knows what it was for.
 */
#ifndef VHOST_DM_HYPERVISOR_H
#define VHOST_DM_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct host_ops;
struct region;
struct region_table;
struct saved_state;

enum access_space {
    ACCESS_MMIO,       /* addr is a guest-physical address */
    ACCESS_PIO,        /* addr is a port */
    ACCESS_PCI_CONFIG, /* addr is SBDF << 32 | register */
};

/*
 * One access by a vCPU: len bytes at addr, ascending. It is made of units of `size` bytes (1, 2, 4 or 8; len
 * is a multiple); a long one comes from a string instruction. data has len bytes: what the guest wrote, or
 * room for what it reads, little-endian as in guest memory. A read that nobody serves leaves it all ones.
 */
struct guest_access {
    enum access_space space;
    bool write;
    uint8_t size;
    uint64_t addr;
    size_t len;
    void *data;
};

/* What a hypervisor calls. */
struct hypervisor_handler {
    /* An access in a range that was added. It is answered when this returns, so nothing here may wait. */
    void (*access)(void *ctx, struct guest_access *access);
    /* The other side of a string instruction in memory of a back-end that the guest sees, which is not the
     * guest's to map: copies what of len bytes lies in such a page at gpa. What is not mapped there reads all
     * ones and takes no writes. Returns how many bytes; 0: it is no such memory. */
    size_t (*window_copy)(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest);
    /* Every access that was pending has been answered: time for the work that they asked for. */
    void (*accesses_done)(void *ctx);
    /* Guest memory has changed under its addresses: pointers from map_ram are no longer good (the
     * hypervisor drops its own cache before this). */
    void (*memory_changed)(void *ctx);
    /* The domain is shutting down, is gone, or cannot be served any more: the event loop should end. */
    void (*guest_gone)(void *ctx, const char *why);
};

/* How the guest finds PCI functions, and where their memory may lie. */
struct pci_host {
    bool has_ecam;      /* configuration space is also memory at ecam_gpa (PVH guests) */
    uint64_t ecam_gpa;  /* of bus 0 */
    uint64_t ecam_len;  /* bytes */
    bool has_intx;      /* level interrupts reach the guest; without, only MSI-X does */
    uint8_t first_slot; /* where free device numbers on bus 0 start: below, others have theirs */
    /* Where nothing else is, and an ACPI table looks for the registers of dm/hotplug.h; 0: the guest can have
     * no such table. */
    uint64_t hotplug_gpa;
};

struct hypervisor; /* an implementation's own state */

/* How a process of this host maps shared pages. */
enum shared_access {
    SHARED_BY_MMAP,   /* page n is at n * 4096 of the file fd */
    SHARED_BY_DOMAIN, /* page n is gfn first_gfn + n of domain domid; fd is the kernel's interface to map
                         those, with no right to any other domain */
};

struct shared_export {
    enum shared_access access;
    int fd; /* the caller closes it */
    uint16_t domid;
    uint64_t first_gfn;
};

/* How a process of this host maps guest RAM: as shared pages, from offset of fd on or by the gfns that the
 * guest has it at. */
struct ram_export {
    enum shared_access access;
    int fd; /* of an open file of its own; the caller closes it */
    uint16_t domid;
    uint64_t offset; /* bytes */
};

/* Fills len bytes of a copied page run at offset from its start; false: it cannot. */
typedef bool page_fill_fn(void *ctx, uint64_t offset, void *buf, size_t len);

/*
 * Pages that the guest reaches without us. A page that a vCPU is touching at this moment may be placed a
 * little later, and its accesses come to us until then; where that is not possible copy_place and
 * device_place answer -EAGAIN. A gpa is a multiple of pages, nr_pages is not 0, and an operation is all or
 * nothing. Where the guest has such a page no access comes to us; where it is removed they do again, if the
 * range is ours.
 *
 * Shared pages are memory outside of the guest, numbered from 0 on, each absent or present, which processes
 * of this host map and which can be in the guest at the same time. They outlive this process.
 */
struct hypervisor_page_ops {
    /* Before all others: how many shared pages there may be. resumed in: whether the caller knows which of
     * them a predecessor left; out: whether they are still there. What is not resumed is given back. */
    int (*shared_init)(struct hypervisor *hv, uint64_t max_pages, bool *resumed);
    /* Makes absent pages present, all zeros. -ENOMEM; -EPERM: this host does not let a guest have them; or
     * what else went wrong. */
    int (*shared_populate)(struct hypervisor *hv, uint64_t page, uint64_t nr_pages);
    /* Makes pages absent, whichever of them were present. Whoever has them mapped keeps them, so that nobody
     * else gets them before. */
    void (*shared_release)(struct hypervisor *hv, uint64_t page, uint64_t nr_pages);
    /* Present pages in our own address space, or NULL with errno. */
    void *(*shared_map)(struct hypervisor *hv, uint64_t page, uint64_t nr_pages);
    void (*shared_unmap)(struct hypervisor *hv, void *map, uint64_t nr_pages);
    int (*shared_export)(struct hypervisor *hv, struct shared_export *export);
    /* Puts present pages at a gpa where nothing is, to be read and written by the guest; takes them away.
     * What was placed by several calls may be removed by one, and what was placed by one in parts. */
    int (*shared_place)(struct hypervisor *hv, uint64_t page, uint64_t nr_pages, uint64_t gpa);
    void (*shared_remove)(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa);

    /* Gives the guest pages of its own, which it cannot write, at a gpa where nothing is. They are filled
     * before it can see them. Removed as shared pages are. */
    int (*copy_place)(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa, page_fill_fn *fill, void *ctx);
    void (*copy_remove)(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa);

    /* Device memory behind a file (dm/device_memory.h), from offset on. Errors also as device_memory_find has
     * them. NULL where there is no such thing. */
    int (*device_place)(struct hypervisor *hv, int fd, uint64_t offset, uint64_t nr_pages, uint64_t gpa);
    void (*device_remove)(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa);
};

#define MAP_RAM_KEPT 16 /* how many of map_ram's pointers may be held at a time */

struct hypervisor_ops {
    const char *name;

    /* Registers who is called, and on which loop events are waited for. Called once, before start. The
     * loop is borrowed. */
    int (*set_handler)(struct hypervisor *hv, struct ev_loop *loop, const struct hypervisor_handler *handler,
                       void *ctx);
    /* Begins to deliver accesses: all devices are in place. May be called once. */
    int (*start)(struct hypervisor *hv);
    /* Ends all that the guest sees of us, frees everything. Good at any stage. */
    void (*detach)(struct hypervisor *hv);
    /* Frees our side, and leaves what the guest sees of us to a successor, as if we had been killed; but the
     * guest is not kept paused. NULL: nothing outlives us anyway, detach does. */
    void (*leave)(struct hypervisor *hv);

    /* Inserts the guest's memory into the table as REGION_RAM_FOREIGN. */
    int (*add_ram)(struct hypervisor *hv, struct region_table *table);
    /* Guest memory that has come since add_ram: the region of it that contains gpa and lies in [from, to),
     * where the table has nothing. -ENOENT: there is none; or another negative errno. NULL: none ever comes.
     */
    int (*find_ram)(struct hypervisor *hv, uint64_t gpa, uint64_t from, uint64_t to, struct region *region);
    /*
     * Guest RAM at gpa. *len in: bytes wanted (not 0); out: bytes that can be used at the pointer, at most
     * those wanted, at least 1. The pointer is good until control returns to the event loop, the hypervisor
     * calls memory_changed, or MAP_RAM_KEPT more calls were made, by whoever: a function that touches guest
     * memory makes some. NULL: no memory there (any more), or it cannot be mapped.
     */
    void *(*map_ram)(struct hypervisor *hv, uint64_t gpa, size_t *len);
    /* How another process maps the region of add_ram that is at gpa. With the fd it can reach this guest and
     * no other. 0 or negative errno. */
    int (*ram_export)(struct hypervisor *hv, uint64_t gpa, struct ram_export *export);

    /* Accesses to [first, first + len) are ours from now on / no longer ours. -EEXIST: overlaps another of
     * ours; -ENOSPC: too many ranges. Neither fails for a reason that the guest controls but these. */
    int (*range_add)(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len);
    int (*range_remove)(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len);
    /* The same for the configuration space of one PCI function; sbdf as in the upper half of addr. */
    int (*pci_add)(struct hypervisor *hv, uint32_t sbdf);
    int (*pci_remove)(struct hypervisor *hv, uint32_t sbdf);

    /* Sends a message-signalled interrupt exactly as the guest programmed it. */
    int (*msi_inject)(struct hypervisor *hv, uint64_t addr, uint32_t data);
    /* Drives pin (0 = INTA) of the function's slot. -ENOTSUP where !has_intx. */
    int (*intx_set)(struct hypervisor *hv, uint32_t sbdf, uint8_t pin, bool level);

    /* Drives a line of the interrupt controller that the guest has without PCI: on x86 an ISA interrupt, on
     * Arm a shared peripheral interrupt (by its INTID). Nobody else of this process drives it. -ENOTSUP: the
     * guest has no such controller; -EINVAL: it has no line of that number that is for devices. */
    int (*irq_set)(struct hypervisor *hv, uint32_t irq, bool level);

    /* Where PCI is; for a guest that has no PCI host yet this also gives it one (before it first runs). */
    int (*pci_host)(struct hypervisor *hv, struct pci_host *host);

    /* NULL: no page can be put into the guest. */
    const struct hypervisor_page_ops *pages;

    /* Gives up all rights of this process on other guests and on the hypervisor, before start. What takes
     * more goes on through a process of its own. NULL: there are none. */
    int (*confine)(struct hypervisor *hv);
    /* At the end of detach the first nr of the files that it was attached with are to be removed, for a
     * process that cannot do it any more. NULL: the process can. */
    void (*files_remove)(struct hypervisor *hv, unsigned nr);
    /* What a confined process asks about this host. NULL: it looks for itself. */
    const struct host_ops *host;
};

/* The first member of an implementation's state, which fills it in. */
struct hypervisor {
    const struct hypervisor_ops *ops;
    char name[80]; /* "dom 5 (name)" or "local": for messages */
    unsigned domid;
    char guest_name[64];
    const char *guest_type; /* "hvm", "pvh" or "local" */
    bool resumed;           /* the guest ran with a predecessor, whose place was taken over */
};

#endif
