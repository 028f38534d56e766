/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_state.h - what the Xen implementation keeps in the saved state (area "xen-ioreq"): all that Xen holds
 * for us beyond our death and does not tell. A killed vhost-dm leaves its ioreq server, its ranges and
 * perhaps a pause behind; the next one for the same domain takes them over. Plain data, written just after
 * the hypercall that it describes (ranges: just before, as taking off a range that is not there is harmless).
 */
#ifndef VHOST_DM_XEN_STATE_H
#define VHOST_DM_XEN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define XEN_STATE_AREA "xen-ioreq"
/* Changes whenever the meaning of a field does. */
#define XEN_STATE_VERSION 3

/* Xen's limit for each kind of range of a server (MAX_NR_IO_RANGES in its ioreq code). */
#define XEN_RANGES_MAX  256
#define XEN_RANGE_KINDS 3 /* memory, ports, PCI functions: as enum access_space */

/* RAM below and above the 4 GiB hole, split at the VGA hole, and some more. */
#define XEN_RAM_MAX 16

/* [first, last] of addresses or ports; a PCI function is its SBDF, twice. */
struct xen_range {
    uint64_t first, last;
};

struct xen_ram_range {
    uint64_t gpa, len; /* bytes */
};

struct xen_state {
    uint32_t version;
    uint16_t domid; /* a rebooted guest has the same UUID */
    uint16_t server_id;
    bool server_valid; /* server_id is ours */
    bool ecam_valid;   /* the guest has our ACPI tables */
    int32_t pid;       /* of the process that has the server, or had it */
    uint64_t ecam_gpa, ecam_len;
    uint32_t nr_ram;
    struct xen_ram_range ram[XEN_RAM_MAX];
    uint32_t nr_ranges[XEN_RANGE_KINDS];
    struct xen_range ranges[XEN_RANGE_KINDS][XEN_RANGES_MAX];
};

#endif
