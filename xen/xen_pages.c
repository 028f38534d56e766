// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xen_pages.c - see xen_pages.h.
 */
#include "xen/xen_pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/hvm/hvm_op.h>
#include <xen/sys/privcmd.h>
#include <xen/xen.h>

#include "common/util.h"
#include "dm/hypervisor.h"
#include "xen/busy_pages.h"
#include "xen/domain.h"
#include "xen/holder.h"
#include "xen/placed.h"
#include "xen/privileged.h"

struct xen_pages {
    struct xen_pages_env env;
    int holder_fd;   /* -1 before it is needed: for pages of the holder alone */
    uint16_t holder; /* its domain */
    struct placed *placed;
    struct busy_pages busy;
    uint64_t nr_tabled; /* for so many pages of its own the guest's tables have been given room */
};

/* ---- pages of the holder --------------------------------------------------------------------------- */

static int shared_init(struct hypervisor *hv, uint64_t max_pages, bool *resumed)
{
    struct xen_pages *pages = xen_pages_of(hv);
    bool exists;
    int rc = privileged_holder_init(pages->env.priv, max_pages, &exists);

    if (rc < 0)
        return rc;
    *resumed = *resumed && exists;
    if (!*resumed)
        privileged_holder_release_all(pages->env.priv);
    return 0;
}

static int shared_populate(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    return privileged_holder_populate(xen_pages_of(hv)->env.priv, page, nr_pages);
}

static void shared_release(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    privileged_holder_release(xen_pages_of(hv)->env.priv, page, nr_pages);
}

static int shared_export(struct hypervisor *hv, struct shared_export *export)
{
    *export = (struct shared_export){.access = SHARED_BY_DOMAIN, .fd = -1, .first_gfn = HOLDER_FIRST_GFN};
    return privileged_holder_open(xen_pages_of(hv)->env.priv, &export->domid, &export->fd);
}

/* Through an interface to the kernel that is good for the holder alone: ours may be good for the guest alone.
 */
static int holder_map(struct xen_pages *pages, void *map, uint64_t page, uint64_t nr_pages)
{
    xen_pfn_t *gfns = calloc(nr_pages, sizeof(*gfns));
    int *errors = calloc(nr_pages, sizeof(*errors)), rc = gfns && errors ? 0 : -ENOMEM;
    privcmd_mmapbatch_v2_t batch = {
        .num = (unsigned)nr_pages, .dom = pages->holder, .addr = (uintptr_t)map, .arr = gfns, .err = errors};

    for (uint64_t i = 0; rc == 0 && i < nr_pages; i++)
        gfns[i] = HOLDER_FIRST_GFN + page + i;
    if (rc == 0 && ioctl(pages->holder_fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0)
        rc = -errno;
    for (uint64_t i = 0; rc == 0 && i < nr_pages; i++)
        rc = -abs(errors[i]);
    free(gfns);
    free(errors);
    return rc;
}

static void *shared_map(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    struct xen_pages *pages = xen_pages_of(hv);
    size_t len = nr_pages << GUEST_PAGE_SHIFT;
    int rc = 0;
    void *map;

    if (pages->holder_fd < 0)
        rc = privileged_holder_open(pages->env.priv, &pages->holder, &pages->holder_fd);
    if (rc < 0 || nr_pages > UINT32_MAX) {
        errno = rc < 0 ? -rc : EINVAL;
        return NULL;
    }
    map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, pages->holder_fd, 0);
    if (map == MAP_FAILED)
        return NULL;
    rc = holder_map(pages, map, page, nr_pages);
    if (rc == 0)
        return map;
    munmap(map, len);
    errno = -rc;
    return NULL;
}

static void shared_unmap(struct hypervisor *hv, void *map, uint64_t nr_pages)
{
    (void)hv;
    munmap(map, nr_pages << GUEST_PAGE_SHIFT);
}

/* ---- in the guest: pages of the holder ------------------------------------------------------------- */

/* A part of a range, while the guest is held; *at: what has been placed, or is to be placed later. */
static int shared_place_part(struct xen_pages *pages, uint64_t page, uint64_t gfn, uint64_t nr_pages,
                             uint64_t *at)
{
    uint64_t run =
        busy_pages_free_run(&pages->busy, gfn + *at, MIN(nr_pages - *at, (uint64_t)PRIVILEGED_BATCH));
    unsigned done = 0;
    int rc;

    if (run == 0) {
        rc = busy_pages_defer(&pages->busy, gfn + *at, page + *at);
        *at += rc == 0;
        return rc;
    }
    rc = privileged_shared_place(pages->env.priv, page + *at, gfn + *at, (unsigned)run, &done);
    *at += done;
    return rc;
}

static int shared_place(struct hypervisor *hv, uint64_t page, uint64_t nr_pages, uint64_t gpa)
{
    struct xen_pages *pages = xen_pages_of(hv);
    uint64_t gfn = gpa >> GUEST_PAGE_SHIFT, at = 0;
    bool grown = false;
    int rc = placed_note(pages->placed, PLACED_SHARED, gpa, nr_pages);

    if (rc < 0)
        return rc;
    while (at < nr_pages && rc == 0) {
        rc = busy_pages_hold(&pages->busy);
        if (rc < 0)
            break;
        rc = shared_place_part(pages, page, gfn, nr_pages, &at);
        busy_pages_let_go(&pages->busy);
        if (rc == -ENOMEM && !grown && privileged_tables_grow(pages->env.priv, nr_pages) == 0) {
            grown = true;
            rc = 0;
        }
    }
    if (rc < 0) {
        busy_pages_forget(&pages->busy, gfn, at);
        privileged_shared_remove(pages->env.priv, gfn, at);
        placed_forget(pages->placed, PLACED_SHARED, gpa, nr_pages);
    }
    return rc;
}

bool xen_pages_late(const struct xen_pages *pages)
{
    return pages->busy.nr_late > 0;
}

void xen_pages_place_late(struct xen_pages *pages)
{
    struct busy_pages *busy = &pages->busy;
    unsigned done;

    if (busy_pages_hold(busy) < 0)
        return;
    for (size_t i = 0; i < busy->nr_late;) {
        struct late_page late = busy->late[i];

        if (busy_pages_free_run(busy, late.gfn, 1) == 0) {
            i++;
            continue;
        }
        /* If it cannot be placed, for want of memory, the guest's accesses to it come to us for good. */
        privileged_shared_place(pages->env.priv, late.page, late.gfn, 1, &done);
        busy_pages_forget(busy, late.gfn, 1);
    }
    busy_pages_let_go(busy);
}

static void shared_remove(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa)
{
    struct xen_pages *pages = xen_pages_of(hv);

    busy_pages_forget(&pages->busy, gpa >> GUEST_PAGE_SHIFT, nr_pages);
    privileged_shared_remove(pages->env.priv, gpa >> GUEST_PAGE_SHIFT, nr_pages);
    placed_forget(pages->placed, PLACED_SHARED, gpa, nr_pages);
}

/* ---- in the guest: pages of its own ---------------------------------------------------------------- */

/* Raises or lowers the limit of the guest's memory. */
static int limit_change(struct xen_pages *pages, int64_t nr_pages)
{
    int rc = privileged_limit_change(pages->env.priv, nr_pages);

    if (rc == 0)
        *placed_copied_pages(pages->placed) += (uint64_t)nr_pages;
    return rc;
}

/* Fills pages of the guest. */
static int own_fill(struct xen_pages *pages, xen_pfn_t *gfns, unsigned n, uint64_t offset, page_fill_fn *fill,
                    void *ctx)
{
    int errors[PRIVILEGED_BATCH], rc = 0;
    char *map = xenforeignmemory_map(pages->env.fmem, pages->env.guest->domid, PROT_READ | PROT_WRITE, n,
                                     gfns, errors);

    if (!map)
        return -errno;
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = errors[i] > 0 ? -errors[i] : errors[i];
    if (rc == 0 && !fill(ctx, offset, map, n * GUEST_PAGE_SIZE))
        rc = -EIO;
    xenforeignmemory_unmap(pages->env.fmem, map, n);
    return rc;
}

/* All, or nothing. */
static int own_place(struct xen_pages *pages, uint64_t gfn, uint64_t nr_pages, page_fill_fn *fill, void *ctx)
{
    uint16_t domid = pages->env.guest->domid;
    xen_pfn_t gfns[PRIVILEGED_BATCH];
    uint64_t done = 0;
    int rc = 0;

    while (done < nr_pages && rc == 0) {
        unsigned n = (unsigned)MIN(nr_pages - done, (uint64_t)PRIVILEGED_BATCH);

        for (unsigned i = 0; i < n; i++)
            gfns[i] = gfn + done + i;
        rc = privileged_own_populate(pages->env.priv, gfn + done, n);
        /* (Where something is already it is the guest's: nothing of that is taken away.) */
        done += rc == -EEXIST ? 0 : n;
        if (rc == 0)
            rc = own_fill(pages, gfns, n, (done - n) << GUEST_PAGE_SHIFT, fill, ctx);
        if (rc == 0 && xendevicemodel_set_mem_type(pages->env.dmod, domid, HVMMEM_ram_ro, gfns[0], n) < 0)
            rc = -errno;
    }
    if (rc < 0)
        privileged_own_remove(pages->env.priv, gfn, done);
    return rc;
}

/* Room in the guest's tables, once for as many pages as were there at the same time: who puts the same ones
 * there again and again is given no more. If it fails there may be enough. */
static void own_tables(struct xen_pages *pages)
{
    uint64_t nr_pages = *placed_copied_pages(pages->placed);

    if (nr_pages > pages->nr_tabled &&
        privileged_tables_grow(pages->env.priv, nr_pages - pages->nr_tabled) == 0)
        pages->nr_tabled = nr_pages;
}

/* At another place it takes other tables. */
static int own_place_or_grow(struct xen_pages *pages, uint64_t gfn, uint64_t nr_pages, page_fill_fn *fill,
                             void *ctx)
{
    int rc = own_place(pages, gfn, nr_pages, fill, ctx);

    if (rc == 0 || rc == -EEXIST || rc == -EIO || privileged_tables_grow(pages->env.priv, nr_pages) != 0)
        return rc;
    return own_place(pages, gfn, nr_pages, fill, ctx);
}

static int copy_place(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa, page_fill_fn *fill, void *ctx)
{
    struct xen_pages *pages = xen_pages_of(hv);
    uint64_t gfn = gpa >> GUEST_PAGE_SHIFT;
    int rc = placed_note(pages->placed, PLACED_COPY, gpa, nr_pages);

    if (rc < 0)
        return rc;
    rc = limit_change(pages, (int64_t)nr_pages);
    if (rc < 0) {
        placed_forget(pages->placed, PLACED_COPY, gpa, nr_pages);
        return rc;
    }
    own_tables(pages);
    /* Until they are filled pages have what somebody else left in them: the guest must not look. */
    rc = busy_pages_hold(&pages->busy);
    if (rc == 0) {
        rc = busy_pages_free_run(&pages->busy, gfn, nr_pages) < nr_pages
                 ? -EAGAIN
                 : own_place_or_grow(pages, gfn, nr_pages, fill, ctx);
        busy_pages_let_go(&pages->busy);
    }
    if (rc < 0) {
        limit_change(pages, -(int64_t)nr_pages);
        placed_forget(pages->placed, PLACED_COPY, gpa, nr_pages);
    }
    return rc;
}

static void copy_remove(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa)
{
    struct xen_pages *pages = xen_pages_of(hv);

    privileged_own_remove(pages->env.priv, gpa >> GUEST_PAGE_SHIFT, nr_pages);
    limit_change(pages, -(int64_t)nr_pages);
    placed_forget(pages->placed, PLACED_COPY, gpa, nr_pages);
}

/* ---- in the guest: device memory ------------------------------------------------------------------- */

static int device_place(struct hypervisor *hv, int fd, uint64_t offset, uint64_t nr_pages, uint64_t gpa)
{
    struct xen_pages *pages = xen_pages_of(hv);
    struct placed_device device = {gpa, nr_pages, 0};
    int rc = privileged_device_find(pages->env.priv, fd, offset, nr_pages, &device.frame);

    if (rc == 0)
        rc = placed_note_device(pages->placed, &device);
    if (rc < 0)
        return rc;
    rc = busy_pages_hold(&pages->busy);
    if (rc == 0) {
        rc = busy_pages_free_run(&pages->busy, gpa >> GUEST_PAGE_SHIFT, nr_pages) < nr_pages
                 ? -EAGAIN
                 : privileged_device_map(pages->env.priv, fd, offset, gpa >> GUEST_PAGE_SHIFT, nr_pages);
        busy_pages_let_go(&pages->busy);
    }
    if (rc < 0)
        placed_forget_device(pages->placed, gpa, nr_pages);
    return rc;
}

static void device_remove(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa)
{
    struct xen_pages *pages = xen_pages_of(hv);
    struct placed_device device = {gpa, nr_pages, 0};

    if (!placed_find_device(pages->placed, gpa, nr_pages, &device.frame))
        return;
    privileged_device_unmap(pages->env.priv, device.frame, gpa >> GUEST_PAGE_SHIFT, nr_pages);
    placed_forget_device(pages->placed, gpa, nr_pages);
}

/* ---- life cycle ------------------------------------------------------------------------------------ */

static void sweep_pages(void *ctx, enum placed_kind kind, uint64_t gfn, uint64_t nr_pages)
{
    struct xen_pages *pages = ctx;

    switch (kind) {
    case PLACED_COPY:
        privileged_own_remove(pages->env.priv, gfn, nr_pages);
        return;
    case PLACED_SHARED:
        privileged_shared_remove(pages->env.priv, gfn, nr_pages);
        return;
    }
}

static void sweep_device(void *ctx, const struct placed_device *device)
{
    struct xen_pages *pages = ctx;

    privileged_device_unmap(pages->env.priv, device->frame, device->gpa >> GUEST_PAGE_SHIFT,
                            device->nr_pages);
}

int xen_pages_new(struct xen_pages **out, const struct xen_pages_env *env)
{
    static const struct placed_sweep sweep = {.pages = sweep_pages, .device = sweep_device};
    struct xen_pages *pages = calloc(1, sizeof(*pages));
    int rc;

    if (!pages)
        return -ENOMEM;
    pages->env = *env;
    pages->holder_fd = -1;
    pages->busy = (struct busy_pages){.priv = env->priv, .held = env->held};
    rc = placed_new(&pages->placed, env->saved);
    if (rc < 0) {
        free(pages);
        return rc;
    }
    placed_sweep(pages->placed, &sweep, pages);
    *placed_copied_pages(pages->placed) = 0;
    *out = pages;
    return 0;
}

void xen_pages_free(struct xen_pages *pages)
{
    if (!pages)
        return;
    busy_pages_fini(&pages->busy);
    if (pages->holder_fd >= 0)
        close(pages->holder_fd);
    placed_free(pages->placed);
    free(pages);
}

void xen_pages_set_server(struct xen_pages *pages, struct ioreq_server *server)
{
    pages->busy.server = server;
}

const struct hypervisor_page_ops xen_page_ops = {
    .shared_init = shared_init,
    .shared_populate = shared_populate,
    .shared_release = shared_release,
    .shared_map = shared_map,
    .shared_unmap = shared_unmap,
    .shared_export = shared_export,
    .shared_place = shared_place,
    .shared_remove = shared_remove,
    .copy_place = copy_place,
    .copy_remove = copy_remove,
    .device_place = device_place,
    .device_remove = device_remove,
};
