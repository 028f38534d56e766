/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_xen_memory.h - a guest's memory for tests of xen/: takes the place of libxenforeignmemory and of the
 * libxenctrl calls that change or describe memory (the program is linked with --wrap for them). Frames are
 * populated or not; mapping one that is not gives an error for it alone, and touching it a SIGSEGV.
 */
#ifndef VHOST_DM_TESTS_FAKE_XEN_MEMORY_H
#define VHOST_DM_TESTS_FAKE_XEN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#define FAKE_DOMID 7

/* Frames below this can be populated. */
#define FAKE_FRAMES ((uint64_t)8 << (30 - 12))

extern struct fake_memory {
    size_t mapped_pages; /* at the moment */
    size_t nr_maps;      /* calls of xenforeignmemory_map */
    size_t nr_populated; /* frames that xc_domain_populate_physmap_exact has added */
    uint64_t max_memkb;  /* what xc_domain_setmaxmem was told */
    uint64_t rbx;        /* of the guest's first vCPU */
    int map_error;       /* if not 0: every mapping fails as a whole, with this errno */
    int page_error;      /* of frames that are not populated */
} fake;

/* No frame is populated, all zeros, nothing mapped. */
void fake_memory_reset(void);
/* Populates or takes away the frames of [gpa, gpa + len); what is in them stays. */
void fake_memory_set(uint64_t gpa, uint64_t len, bool populated);
bool fake_memory_populated(uint64_t gpa);
/* The test's own view, whether populated or not. */
uint8_t *fake_memory_at(uint64_t gpa);

/* Anything that is not NULL: nothing of it is used. */
#define FAKE_FMEM ((xenforeignmemory_handle *)&fake)
#define FAKE_XCH  ((xc_interface *)&fake)

#endif
