/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_pages.h - the pages that the local hypervisor puts into its guest: struct hypervisor_page_ops without
 * a hypervisor. Shared pages are a memfd. The rules are those of a physmap: a gpa has one page, nothing is
 * placed over what is there, absent pages cannot be placed. Used by local.c alone.
 */
#ifndef VHOST_DM_LOCAL_PAGES_H
#define VHOST_DM_LOCAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dm/hypervisor.h"

struct local_pages;

struct local_page_run {
    uint8_t *mem;  /* at the gpa that was asked for */
    uint64_t len;  /* bytes from there on */
    bool writable; /* by the guest */
};

/* 0 and *out, owned by the caller; -ENOMEM. */
int local_pages_new(struct local_pages **out);
/* NULL is allowed. */
void local_pages_free(struct local_pages *pages);

/* What the guest has at gpa. False: nothing there, and *gap is how many bytes it is to the next page
 * (UINT64_MAX: there is none). */
bool local_pages_find(struct local_pages *pages, uint64_t gpa, struct local_page_run *run, uint64_t *gap);

int local_pages_init(struct local_pages *pages, uint64_t max_pages, bool *resumed);
int local_pages_populate(struct local_pages *pages, uint64_t page, uint64_t nr_pages);
void local_pages_release(struct local_pages *pages, uint64_t page, uint64_t nr_pages);
void *local_pages_map(struct local_pages *pages, uint64_t page, uint64_t nr_pages);
void local_pages_unmap(void *map, uint64_t nr_pages);
int local_pages_export(struct local_pages *pages, struct shared_export *export);
int local_pages_place(struct local_pages *pages, uint64_t page, uint64_t nr_pages, uint64_t gpa);
int local_pages_copy(struct local_pages *pages, uint64_t nr_pages, uint64_t gpa, page_fill_fn *fill,
                     void *ctx);
void local_pages_remove(struct local_pages *pages, uint64_t nr_pages, uint64_t gpa);

#endif
