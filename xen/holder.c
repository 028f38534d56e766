// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holder.c - see holder.h. Making one is a row of steps that a kill can interrupt anywhere: the keeper is
 * started first, so that whatever of it comes to be has somebody to end it.
 */
#include "xen/holder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenstore.h>

#include "common/log.h"
#include "common/util.h"
#include "xen/holder_keeper.h"
#include "xen/xenstore_open.h"

/* Pages in one call. */
#define BATCH 1024

/* For Xen's own tables: a fixed part, and 8 bytes for each page, twice, as gfns need not be dense. */
#define MEMPOOL_BASE     MIB(1)
#define MEMPOOL_PER_PAGE 16u

struct holder {
    xc_interface *xch;             /* borrowed */
    xenforeignmemory_handle *fmem; /* borrowed */
    uint16_t guest;
    uint8_t guest_uuid[HOLDER_UUID_LEN], uuid[HOLDER_UUID_LEN];
    char name[80];
    uint64_t max_pages;
    bool exists, ready;
    uint16_t domid;
    uint64_t mempool; /* bytes that its tables have, 0: not known */
};

/* ---- which domain it is ---------------------------------------------------------------------------- */

void holder_uuid(uint8_t uuid[HOLDER_UUID_LEN], uint16_t guest, const uint8_t guest_uuid[HOLDER_UUID_LEN])
{
    static const uint8_t mark[HOLDER_UUID_LEN] = "vhost-dm holder";

    for (int i = 0; i < HOLDER_UUID_LEN; i++)
        uuid[i] = guest_uuid[i] ^ mark[i];
    /* A guest that reboots has the same UUID and another domid. */
    uuid[0] ^= (uint8_t)guest;
    uuid[1] ^= (uint8_t)(guest >> 8);
}

int holder_find(xc_interface *xch, const uint8_t uuid[HOLDER_UUID_LEN], xc_domaininfo_t *info)
{
    xc_domaininfo_t some[64];
    uint32_t first = 0;
    int n;

    while ((n = xc_domain_getinfolist(xch, first, ARRAY_SIZE(some), some)) > 0) {
        for (int i = 0; i < n; i++)
            if (memcmp(some[i].handle, uuid, HOLDER_UUID_LEN) == 0) {
                *info = some[i];
                return 0;
            }
        first = some[n - 1].domain + 1u;
    }
    return n < 0 ? -errno : -ESRCH;
}

int holder_new(struct holder **out, xc_interface *xch, xenforeignmemory_handle *fmem, uint16_t guest,
               const uint8_t guest_uuid[HOLDER_UUID_LEN], const char *guest_name, uint64_t max_pages)
{
    struct holder *holder = calloc(1, sizeof(*holder));
    xc_domaininfo_t info;
    int rc;

    if (!holder)
        return -ENOMEM;
    holder->xch = xch;
    holder->fmem = fmem;
    holder->guest = guest;
    holder->max_pages = max_pages;
    memcpy(holder->guest_uuid, guest_uuid, HOLDER_UUID_LEN);
    holder_uuid(holder->uuid, guest, guest_uuid);
    if (guest_name[0])
        snprintf(holder->name, sizeof(holder->name), "%.70s-shm", guest_name);
    else
        snprintf(holder->name, sizeof(holder->name), "dom%u-shm", guest);
    rc = holder_find(xch, holder->uuid, &info);
    if (rc < 0 && rc != -ESRCH) {
        free(holder);
        return rc;
    }
    if (rc == 0) {
        holder->exists = true;
        holder->domid = (uint16_t)info.domain;
    }
    *out = holder;
    return 0;
}

void holder_free(struct holder *holder)
{
    free(holder);
}

bool holder_exists(const struct holder *holder)
{
    return holder->exists;
}

uint16_t holder_domid(const struct holder *holder)
{
    return holder->domid;
}

/* ---- making it ------------------------------------------------------------------------------------- */

static int domain_create(struct holder *holder)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = 1, /* none is ever made */
        .max_evtchn_port = 1023,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
        .arch = {.emulation_flags = XEN_X86_EMU_LAPIC},
    };
    uint32_t domid = 0; /* Xen chooses */

    memcpy(config.handle, holder->uuid, sizeof(config.handle));
    if (xc_domain_create(holder->xch, &domid, &config) < 0) {
        /* A host without nested paging: shadow page tables, as its guests have. */
        config.flags &= ~XEN_DOMCTL_CDF_hap;
        domid = 0;
        if (xc_domain_create(holder->xch, &domid, &config) < 0)
            return -errno;
    }
    holder->domid = (uint16_t)domid;
    return 0;
}

/* What "xl list" shows. xenstore may fail us; it is for people only. */
static void name_tell(const struct holder *holder)
{
    struct xs_handle *xs = xenstore_open(NULL);
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/name", holder->domid);
    if (!xs || !xs_write(xs, XBT_NULL, path, holder->name, (unsigned)strlen(holder->name)))
        log_warning("dom %u: the name of the domain %s, which holds its shared memory, cannot be written to "
                    "xenstore: %s",
                    holder->guest, holder->name, strerror(errno));
    xs_close(xs);
}

/* Room in Xen for tables of the first nr_pages pages. */
static int mempool_ensure(struct holder *holder, uint64_t nr_pages)
{
    uint64_t size = align_up(MEMPOOL_BASE + nr_pages * MEMPOOL_PER_PAGE, MIB(1));

    if (size <= holder->mempool)
        return 0;
    if (xc_set_paging_mempool_size(holder->xch, holder->domid, size) < 0)
        return -errno;
    holder->mempool = size;
    return 0;
}

/* Whether Xen would put its pages into the guest: asked for one that it has not, Xen says so only after it
 * has found nothing else to refuse. */
static int permission_probe(const struct holder *holder)
{
    xen_ulong_t index = HOLDER_FIRST_GFN - 1;
    xen_pfn_t gfn = HOLDER_FIRST_GFN - 1;
    int error = 0, rc;

    rc = xc_domain_add_to_physmap_batch(holder->xch, holder->guest, holder->domid, XENMAPSPACE_gmfn_foreign,
                                        1, &index, &gfn, &error);
    if (rc == 0)
        rc = error;
    else
        rc = -errno;
    return rc == -EINVAL ? 0 : rc == 0 ? -EPROTO : rc;
}

static int setup(struct holder *holder)
{
    int rc;

    if (xc_domain_setmaxmem(holder->xch, holder->domid, (holder->max_pages << 2) + 1024) < 0)
        return -errno;
    rc = mempool_ensure(holder, 0);
    if (rc < 0)
        return rc;
    /* EINVAL: it has a target, which can only be this one (we are the only ones who set any). If not, the
     * probe tells. */
    if (xc_domain_set_target(holder->xch, holder->guest, holder->domid) < 0 && errno != EINVAL)
        return -errno;
    return permission_probe(holder);
}

int holder_ensure(struct holder *holder)
{
    struct holder_keeper keeper = {.fd = -1};
    xc_domaininfo_t info;
    int rc;

    if (holder->ready)
        return 0;
    if (holder->exists) {
        /* A destroyed one stays a zombie as long as the guest, which cannot have another. */
        if (holder_find(holder->xch, holder->uuid, &info) < 0 || info.flags & XEN_DOMINF_dying)
            return -EPERM;
        if (!holder_keeper_alive(holder->domid)) {
            rc = holder_keeper_start(&keeper, holder->guest, holder->guest_uuid);
            if (rc == 0)
                rc = holder_keeper_tell(&keeper, holder->domid);
            if (rc < 0)
                return rc;
        }
    } else {
        rc = holder_keeper_start(&keeper, holder->guest, holder->guest_uuid);
        if (rc < 0)
            return rc;
        rc = domain_create(holder);
        if (rc < 0) {
            holder_keeper_drop(&keeper);
            return rc;
        }
        rc = holder_keeper_tell(&keeper, holder->domid);
        if (rc < 0) {
            xc_domain_destroy(holder->xch, holder->domid);
            return rc;
        }
        holder->exists = true;
        name_tell(holder);
        log_info("dom %u: its shared memory is in domain %u (%s)", holder->guest, holder->domid,
                 holder->name);
    }
    rc = setup(holder);
    if (rc == 0)
        holder->ready = true;
    return rc;
}

/* ---- its pages ------------------------------------------------------------------------------------- */

/* Fills what is there of a batch with zeros. 0 or the first error. */
static int batch_zero(struct holder *holder, xen_pfn_t *gfns, unsigned n)
{
    int errors[BATCH], rc = 0;
    char *map = xenforeignmemory_map(holder->fmem, holder->domid, PROT_READ | PROT_WRITE, n, gfns, errors);

    if (!map)
        return -errno;
    for (unsigned i = 0; i < n; i++) {
        if (errors[i] == 0)
            memset(map + i * GUEST_PAGE_SIZE, 0, GUEST_PAGE_SIZE);
        else if (rc == 0)
            rc = errors[i] < 0 ? errors[i] : -errors[i];
    }
    xenforeignmemory_unmap(holder->fmem, map, n);
    return rc;
}

static unsigned batch_fill(xen_pfn_t gfns[BATCH], uint64_t page, uint64_t nr_pages)
{
    unsigned n = (unsigned)MIN(nr_pages, (uint64_t)BATCH);

    for (unsigned i = 0; i < n; i++)
        gfns[i] = HOLDER_FIRST_GFN + page + i;
    return n;
}

int holder_populate(struct holder *holder, uint64_t page, uint64_t nr_pages)
{
    xen_pfn_t gfns[BATCH];
    int rc = holder_ensure(holder);

    if (rc == 0)
        rc = mempool_ensure(holder, page + nr_pages);
    if (rc < 0)
        return rc;
    for (uint64_t done = 0; done < nr_pages && rc == 0;) {
        unsigned n = batch_fill(gfns, page + done, nr_pages - done);

        if (xc_domain_populate_physmap_exact(holder->xch, holder->domid, n, 0, 0, gfns) < 0)
            rc = errno == EBUSY || errno == 0 ? -ENOMEM : -errno;
        batch_fill(gfns, page + done, n); /* the call has changed them */
        if (rc == 0)
            rc = batch_zero(holder, gfns, n);
        done += n;
    }
    if (rc < 0)
        holder_release(holder, page, nr_pages);
    return rc;
}

void holder_release(struct holder *holder, uint64_t page, uint64_t nr_pages)
{
    xen_pfn_t gfns[BATCH];

    for (uint64_t done = 0; holder->exists && done < nr_pages;) {
        unsigned n = batch_fill(gfns, page + done, nr_pages - done);

        /* Xen scrubs what a dead domain had, but not what a live one gives back. */
        batch_zero(holder, gfns, n);
        for (unsigned i = 0; i < n;) {
            int given = xc_domain_decrease_reservation(holder->xch, holder->domid, n - i, 0, gfns + i);

            /* It stops at a page that is not there. */
            i += given > 0 ? (unsigned)given : 0;
            i += i < n;
        }
        done += n;
    }
}

void holder_release_all(struct holder *holder)
{
    xen_pfn_t max_gfn;

    if (holder->exists && xc_domain_maximum_gpfn(holder->xch, holder->domid, &max_gfn) >= 0 &&
        max_gfn >= HOLDER_FIRST_GFN)
        holder_release(holder, 0, max_gfn - HOLDER_FIRST_GFN + 1);
}
