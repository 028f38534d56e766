// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * local_pages.c - see local_pages.h. What is placed is a region of a table, whose opaque pointer leads to the
 * memory: a mapping of its own, so that it stays, as with a real physmap, when the shared page is released
 * while the guest has it.
 */
#include "dm/local_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/region_table.h"
#include "common/util.h"

struct placed {
    uint8_t *mem; /* owned */
    uint64_t len;
    bool writable;
};

struct local_pages {
    int fd; /* shared pages; -1 before init */
    uint64_t max_pages;
    uint8_t *present;            /* a bit for each shared page */
    struct region_table *placed; /* owned; mmio.opaque is a struct placed */
};

int local_pages_new(struct local_pages **out)
{
    struct local_pages *pages = calloc(1, sizeof(*pages));

    if (pages != NULL)
        pages->placed = region_table_new();
    if (pages == NULL || pages->placed == NULL) {
        free(pages);
        return -ENOMEM;
    }
    pages->fd = -1;
    *out = pages;
    return 0;
}

static void placed_free(struct placed *placed)
{
    munmap(placed->mem, placed->len);
    free(placed);
}

void local_pages_free(struct local_pages *pages)
{
    if (pages == NULL)
        return;
    for (const struct region *r = region_table_find_from(pages->placed, 0); r != NULL;
         r = region_table_next(pages->placed, r))
        placed_free(r->mmio.opaque);
    region_table_free(pages->placed);
    if (pages->fd >= 0)
        close(pages->fd);
    free(pages->present);
    free(pages);
}

bool local_pages_find(struct local_pages *pages, uint64_t gpa, struct local_page_run *run, uint64_t *gap)
{
    const struct region *r = region_table_find_from(pages->placed, gpa);
    const struct placed *placed;

    if (r == NULL || r->gpa > gpa) {
        *gap = r != NULL ? r->gpa - gpa : UINT64_MAX;
        return false;
    }
    placed = r->mmio.opaque;
    *run = (struct local_page_run){placed->mem + (gpa - r->gpa), r->len - (gpa - r->gpa), placed->writable};
    return true;
}

/* ---- shared pages ------------------------------------------------------------------------------------- */

int local_pages_init(struct local_pages *pages, uint64_t max_pages, bool *resumed)
{
    *resumed = false;
    if (pages->fd >= 0)
        return -EBUSY;
    if (max_pages == 0 || max_pages > INT64_MAX >> GUEST_PAGE_SHIFT)
        return -EINVAL;
    pages->present = calloc(1, (size_t)(max_pages + 7) / 8);
    if (pages->present == NULL)
        return -ENOMEM;
    pages->max_pages = max_pages;
    pages->fd = memfd_create("shared-pages", MFD_CLOEXEC);
    if (pages->fd < 0 || ftruncate(pages->fd, (off_t)(max_pages << GUEST_PAGE_SHIFT)) < 0)
        return -errno;
    return 0;
}

static bool is_present(const struct local_pages *pages, uint64_t page)
{
    return pages->present[page / 8] >> (page % 8) & 1;
}

static bool all_are(const struct local_pages *pages, uint64_t page, uint64_t nr_pages, bool present)
{
    if (pages->fd < 0 || nr_pages == 0 || !range_within(page, nr_pages, pages->max_pages))
        return false;
    for (uint64_t i = page; i < page + nr_pages; i++)
        if (is_present(pages, i) != present)
            return false;
    return true;
}

static void set_all(struct local_pages *pages, uint64_t page, uint64_t nr_pages, bool present)
{
    for (uint64_t i = page; i < page + nr_pages; i++)
        if (present)
            pages->present[i / 8] |= (uint8_t)(1u << (i % 8));
        else
            pages->present[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

int local_pages_populate(struct local_pages *pages, uint64_t page, uint64_t nr_pages)
{
    if (!all_are(pages, page, nr_pages, false))
        return -EINVAL;
    if (fallocate(pages->fd, 0, (off_t)(page << GUEST_PAGE_SHIFT), (off_t)(nr_pages << GUEST_PAGE_SHIFT)) < 0)
        return -errno;
    set_all(pages, page, nr_pages, true);
    return 0;
}

void local_pages_release(struct local_pages *pages, uint64_t page, uint64_t nr_pages)
{
    if (pages->fd < 0 || !range_within(page, nr_pages, pages->max_pages))
        return;
    set_all(pages, page, nr_pages, false);
    /* Should this fail, the memory is in use until the guest ends. A page that comes back must be zeros. */
    fallocate(pages->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page << GUEST_PAGE_SHIFT),
              (off_t)(nr_pages << GUEST_PAGE_SHIFT));
}

void *local_pages_map(struct local_pages *pages, uint64_t page, uint64_t nr_pages)
{
    void *map;

    if (!all_are(pages, page, nr_pages, true)) {
        errno = EINVAL;
        return NULL;
    }
    map = mmap(NULL, nr_pages << GUEST_PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, pages->fd,
               (off_t)(page << GUEST_PAGE_SHIFT));
    return map == MAP_FAILED ? NULL : map;
}

void local_pages_unmap(void *map, uint64_t nr_pages)
{
    munmap(map, nr_pages << GUEST_PAGE_SHIFT);
}

int local_pages_export(struct local_pages *pages, struct shared_export *export)
{
    int fd = pages->fd >= 0 ? fcntl(pages->fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0)
        return pages->fd >= 0 ? -errno : -EINVAL;
    *export = (struct shared_export){.access = SHARED_BY_MMAP, .fd = fd};
    return 0;
}

/* ---- in the guest ---------------------------------------------------------------------------------- */

/* Takes over mem, whatever comes of it. */
static int place(struct local_pages *pages, uint8_t *mem, uint64_t nr_pages, uint64_t gpa, bool writable)
{
    struct placed *placed = malloc(sizeof(*placed));
    struct region region = {.gpa = gpa, .len = nr_pages << GUEST_PAGE_SHIFT, .kind = REGION_MMIO};
    int rc = -ENOMEM;

    if (placed == NULL) {
        munmap(mem, region.len);
        return rc;
    }
    *placed = (struct placed){mem, region.len, writable};
    region.mmio.opaque = placed;
    rc = gpa % GUEST_PAGE_SIZE == 0 ? region_table_insert(pages->placed, &region) : -EINVAL;
    if (rc != 0)
        placed_free(placed);
    return rc;
}

int local_pages_place(struct local_pages *pages, uint64_t page, uint64_t nr_pages, uint64_t gpa)
{
    uint8_t *mem = local_pages_map(pages, page, nr_pages);

    return mem == NULL ? -errno : place(pages, mem, nr_pages, gpa, true);
}

int local_pages_copy(struct local_pages *pages, uint64_t nr_pages, uint64_t gpa, page_fill_fn *fill,
                     void *ctx)
{
    uint64_t len = nr_pages << GUEST_PAGE_SHIFT;
    uint8_t *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED)
        return -errno;
    if (!fill(ctx, 0, mem, len)) {
        munmap(mem, len);
        return -EIO;
    }
    return place(pages, mem, nr_pages, gpa, false);
}

/* A part of a region goes. What is left before and behind it stays; if there is no memory for that, the part
 * behind goes, too. */
static void cut(struct local_pages *pages, const struct region *r, uint64_t gpa, uint64_t len)
{
    struct placed *placed = r->mmio.opaque;
    struct region head = *r;
    uint64_t before = gpa - r->gpa, behind = r->len - before - len;

    region_table_remove(pages->placed, head.gpa, head.len, REGION_MMIO);
    if (behind > 0)
        place(pages, placed->mem + before + len, behind >> GUEST_PAGE_SHIFT, gpa + len, placed->writable);
    placed->len = before + len;
    if (before == 0) {
        placed_free(placed);
        return;
    }
    munmap(placed->mem + before, len);
    placed->len = head.len = before;
    if (region_table_insert(pages->placed, &head) != 0)
        placed_free(placed);
}

void local_pages_remove(struct local_pages *pages, uint64_t nr_pages, uint64_t gpa)
{
    uint64_t end = gpa + (nr_pages << GUEST_PAGE_SHIFT);
    const struct region *r;

    while ((r = region_table_find_from(pages->placed, gpa)) != NULL && r->gpa < end) {
        gpa = MAX(gpa, r->gpa);
        cut(pages, r, gpa, MIN(r->gpa + r->len, end) - gpa);
    }
}
