// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem.c - see shmem.h: regions, what is mapped in them, and where the guest sees it. The invariant: what
 * the guest can touch is always exactly what the tables of the regions say. A MAP that fails at any step
 * leaves no trace.
 */
#include "dm/shmem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/region_table.h"
#include "dm/guest.h"
#include "dm/placement.h"
#include "dm/shmem_internal.h"

/* A region begins at a multiple of its size, up to this: the guest may map it with large pages. */
#define MAX_ALIGN GIB(1)

/* ---- regions and their layout ------------------------------------------------------------------------ */

static uint64_t power_of_two_up(uint64_t value)
{
    uint64_t power = GUEST_PAGE_SIZE;

    while (power < value)
        power <<= 1;
    return power;
}

static uint64_t region_align(const struct shmem_region *r)
{
    return MIN(power_of_two_up(r->info.len), MAX_ALIGN);
}

static int by_align(const void *a, const void *b)
{
    uint64_t align_a = region_align(*(struct shmem_region *const *)a);
    uint64_t align_b = region_align(*(struct shmem_region *const *)b);

    return align_a > align_b ? -1 : align_a < align_b;
}

/* The largest first: no gap is needed for alignment. */
static void regions_lay_out(struct shmem *shmem)
{
    struct shmem_region *order[SHMEM_MAX_REGIONS] = {NULL};
    uint64_t end = 0;

    for (size_t i = 0; i < shmem->nr_regions; i++)
        order[i] = &shmem->regions[i];
    qsort(order, shmem->nr_regions, sizeof(order[0]), by_align);
    for (size_t i = 0; i < shmem->nr_regions; i++) {
        end = align_up(end, region_align(order[i]));
        order[i]->info.offset = end;
        end += order[i]->info.len;
    }
    shmem->window_len = power_of_two_up(end);
}

static const char *sizes_check(const uint64_t sizes[SHMEM_MAX_REGIONS])
{
    uint64_t sum = 0;

    for (size_t i = 0; i < SHMEM_MAX_REGIONS; i++) {
        if (sizes[i] % GUEST_PAGE_SIZE != 0)
            return "the size of a shared memory region is not a multiple of pages";
        if (sizes[i] > SHMEM_MAX_WINDOW || sum + sizes[i] > SHMEM_MAX_WINDOW)
            return "the shared memory regions are more than 1 TiB";
        sum += sizes[i];
    }
    return NULL;
}

int shmem_new(struct shmem **out, struct guest *guest, const char *name,
              const uint64_t sizes[SHMEM_MAX_REGIONS], const struct shmem_options *options, const char **why)
{
    struct shmem *shmem;

    *why = sizes_check(sizes);
    if (*why != NULL)
        return -EINVAL;
    *why = "no memory";
    shmem = calloc(1, sizeof(*shmem));
    if (shmem == NULL)
        return -ENOMEM;
    shmem->guest = guest;
    shmem->options = *options;
    if (shmem->options.max_mappings == 0)
        shmem->options.max_mappings = SHMEM_DEFAULT_MAPPINGS;
    snprintf(shmem->name, sizeof(shmem->name), "%s", name);
    shmem->files.hv = guest->hv;
    shmem->files.pool = guest->shm;
    shmem->regions = calloc(SHMEM_MAX_REGIONS, sizeof(*shmem->regions));
    for (size_t i = 0; shmem->regions != NULL && i < SHMEM_MAX_REGIONS; i++) {
        struct shmem_region *r = &shmem->regions[shmem->nr_regions];

        if (sizes[i] == 0)
            continue;
        *r = (struct shmem_region){.shmem = shmem, .info = {.shmid = (uint8_t)i, .len = sizes[i]}};
        r->maps = region_table_new();
        if (r->maps == NULL)
            break;
        shmem->nr_regions++;
        continue;
    }
    regions_lay_out(shmem);
    if (shmem->regions == NULL || !shmem_same_sizes(shmem, sizes)) {
        shmem_free(shmem);
        return -ENOMEM;
    }
    *out = shmem;
    return 0;
}

void shmem_free(struct shmem *shmem)
{
    if (shmem == NULL)
        return;
    shmem_unmap_all(shmem);
    for (size_t i = 0; i < shmem->nr_regions; i++)
        region_table_free(shmem->regions[i].maps);
    shmem_file_set_fini(&shmem->files);
    free(shmem->regions);
    free(shmem);
}

static struct shmem_region *region_by_shmid(const struct shmem *shmem, uint8_t shmid)
{
    for (size_t i = 0; i < shmem->nr_regions; i++)
        if (shmem->regions[i].info.shmid == shmid)
            return &shmem->regions[i];
    return NULL;
}

bool shmem_same_sizes(const struct shmem *shmem, const uint64_t sizes[SHMEM_MAX_REGIONS])
{
    for (unsigned i = 0; i < SHMEM_MAX_REGIONS; i++) {
        const struct shmem_region *r = region_by_shmid(shmem, (uint8_t)i);

        if ((r == NULL ? 0 : r->info.len) != sizes[i])
            return false;
    }
    return true;
}

size_t shmem_nr_regions(const struct shmem *shmem)
{
    return shmem->nr_regions;
}

struct shmem_region_info shmem_region_at(const struct shmem *shmem, size_t i)
{
    return i < shmem->nr_regions ? shmem->regions[i].info : (struct shmem_region_info){0};
}

bool shmem_region_find(const struct shmem *shmem, uint8_t shmid, struct shmem_region_info *info)
{
    const struct shmem_region *r = region_by_shmid(shmem, shmid);

    if (r != NULL)
        *info = r->info;
    return r != NULL;
}

uint64_t shmem_window_len(const struct shmem *shmem)
{
    return shmem->window_len;
}

/* ---- status ------------------------------------------------------------------------------------------- */

struct shmem_stats shmem_stats_get(const struct shmem *shmem)
{
    return shmem->stats;
}

struct shmem_placed shmem_placed_get(const struct shmem *shmem, size_t i, enum placement placement)
{
    return i < shmem->nr_regions && placement < NR_PLACEMENTS ? shmem->regions[i].placed[placement]
                                                              : (struct shmem_placed){0};
}

bool shmem_gpa(const struct shmem *shmem, uint64_t *gpa)
{
    *gpa = shmem->gpa;
    return shmem->shown;
}

bool shmem_mapping_from(const struct shmem *shmem, size_t i, uint64_t offset, struct shmem_mapping *mapping)
{
    const struct region *m =
        i < shmem->nr_regions ? region_table_find_from(shmem->regions[i].maps, offset) : NULL;

    if (m == NULL)
        return false;
    *mapping = (struct shmem_mapping){m->gpa, m->len, m->shmem.writable, (enum placement)m->shmem.placement};
    return true;
}

/* A mapping has come (sign 1), or has gone. */
static void placed_count(struct shmem_region *r, const struct region *m, int sign)
{
    struct shmem_placed *placed = &r->placed[m->shmem.placement];

    placed->nr_mappings += (uint64_t)sign;
    placed->bytes += sign > 0 ? m->len : -m->len;
}

/* ---- where the guest sees it ----------------------------------------------------------------------- */

static struct placement_range range_of(const struct region *m)
{
    return (struct placement_range){m->shmem.file, m->shmem.file_offset, m->len, m->shmem.writable};
}

/* The mappings from m on that are placed alike and can be placed as one; *end: where they end. */
static struct placement_range run_from(const struct shmem_region *r, const struct region *m, uint64_t *end)
{
    struct placement_range range = range_of(m);
    bool in_runs = placement_get(m->shmem.placement)->in_runs;
    uint8_t placement = m->shmem.placement;

    *end = m->gpa + m->len;
    while (in_runs && (m = region_table_next(r->maps, m)) != NULL && m->gpa == *end &&
           m->shmem.placement == placement && m->shmem.file == range.file &&
           m->shmem.writable == range.writable && m->shmem.file_offset == range.file_offset + range.len) {
        range.len += m->len;
        *end += m->len;
    }
    return range;
}

static int range_place(struct shmem_region *r, uint8_t placement, const struct placement_range *range,
                       uint64_t offset)
{
    const struct placement_ops *ops = placement_get(placement);

    if (!r->shmem->shown || ops->place == NULL)
        return 0;
    return ops->place(r->shmem->guest, range, r->shmem->gpa + r->info.offset + offset);
}

static int map_place(struct shmem_region *r, const struct region *m)
{
    struct placement_range range = range_of(m);

    return range_place(r, m->shmem.placement, &range, m->gpa);
}

static void range_remove(struct shmem_region *r, uint8_t placement, const struct placement_range *range,
                         uint64_t offset)
{
    const struct placement_ops *ops = placement_get(placement);

    if (r->shmem->shown && ops->remove != NULL)
        ops->remove(r->shmem->guest, range, r->shmem->gpa + r->info.offset + offset);
}

static void map_remove(struct shmem_region *r, const struct region *m)
{
    struct placement_range range = range_of(m);

    range_remove(r, m->shmem.placement, &range, m->gpa);
}

/* Takes away all that is placed. */
static void maps_remove(struct shmem_region *r)
{
    const struct region *m;
    uint64_t at = 0, end;

    while ((m = region_table_find_from(r->maps, at)) != NULL) {
        struct placement_range range = run_from(r, m, &end);

        range_remove(r, m->shmem.placement, &range, m->gpa);
        at = end;
    }
}

static void window_regions_remove(struct shmem *shmem, size_t nr)
{
    while (nr-- > 0) {
        const struct shmem_region_info *info = &shmem->regions[nr].info;

        region_table_remove(shmem->guest->regions, shmem->gpa + info->offset, info->len, REGION_WINDOW);
    }
}

/* A mapping that could not be placed as it was meant to be is served by traps, which is right in any case. */
static void map_trap(struct shmem_region *r, struct region m, int rc)
{
    log_limited(&r->shmem->limit, LOG_LEVEL_WARNING,
                "%s: shared memory at 0x%llx could not be placed as %s (%s): trap", r->shmem->name,
                (unsigned long long)(r->shmem->gpa + r->info.offset + m.gpa),
                placement_get(m.shmem.placement)->name,
                rc == -EAGAIN ? "the guest does not leave the place alone" : strerror(-rc));
    placed_count(r, &m, -1);
    m.shmem.placement = PLACEMENT_TRAP;
    placed_count(r, &m, 1);
    r->placed[PLACEMENT_TRAP].why =
        rc == -EAGAIN ? "its pages could not be put into the guest, which was using the place"
                      : "its pages could not be put into the guest";
    region_table_remove(r->maps, m.gpa, m.len, REGION_SHMEM);
    /* What was just removed can be inserted again: the place for it is there. */
    region_table_insert(r->maps, &m);
}

/* Places what is mapped from one offset to another, each by itself. */
static void maps_place_singly(struct shmem_region *r, uint64_t at, uint64_t end)
{
    const struct region *m;

    while (at < end && (m = region_table_find_from(r->maps, at)) != NULL) {
        int rc = map_place(r, m);

        at = m->gpa + m->len;
        if (rc != 0)
            map_trap(r, *m, rc);
    }
}

/* Places all that is mapped, where possible with few calls: there may be a million of mappings, and the guest
 * waits. What cannot be placed here, though it could elsewhere, is served by traps. */
static void maps_place(struct shmem_region *r)
{
    const struct region *m;
    uint64_t at = 0, end;

    while ((m = region_table_find_from(r->maps, at)) != NULL) {
        struct placement_range range = run_from(r, m, &end);

        at = m->gpa;
        if (range_place(r, m->shmem.placement, &range, at) != 0)
            maps_place_singly(r, at, end);
        at = end;
    }
}

int shmem_show(struct shmem *shmem, uint64_t gpa)
{
    struct hypervisor *hv = shmem->guest->hv;
    int rc = 0;

    shmem->gpa = gpa;
    for (size_t i = 0; i < shmem->nr_regions; i++) {
        struct shmem_region *r = &shmem->regions[i];
        struct region window = {.gpa = gpa + r->info.offset, .len = r->info.len, .kind = REGION_WINDOW};

        window.window.access = shmem_region_access;
        window.window.opaque = r;
        window.window.shmid = r->info.shmid;
        rc = region_table_insert(shmem->guest->regions, &window);
        if (rc != 0) {
            window_regions_remove(shmem, i);
            return rc;
        }
    }
    rc = hv->ops->range_add(hv, ACCESS_MMIO, gpa, shmem->window_len);
    if (rc != 0) {
        window_regions_remove(shmem, shmem->nr_regions);
        return rc;
    }
    shmem->shown = true;
    for (size_t i = 0; i < shmem->nr_regions; i++)
        maps_place(&shmem->regions[i]);
    if (shmem->stats.nr_mappings > 0)
        guest_memory_changes(shmem->guest);
    return 0;
}

void shmem_hide(struct shmem *shmem)
{
    struct hypervisor *hv = shmem->guest->hv;

    if (!shmem->shown)
        return;
    for (size_t i = 0; i < shmem->nr_regions; i++)
        maps_remove(&shmem->regions[i]);
    shmem->shown = false;
    hv->ops->range_remove(hv, ACCESS_MMIO, shmem->gpa, shmem->window_len);
    window_regions_remove(shmem, shmem->nr_regions);
    if (shmem->stats.nr_mappings > 0)
        guest_memory_changes(shmem->guest);
}

/* ---- requests -------------------------------------------------------------------------------------- */

static struct shmem_region *request_check(struct shmem *shmem, const struct shmem_request *q,
                                          const char **why)
{
    struct shmem_region *r = region_by_shmid(shmem, q->shmid);

    *why = NULL;
    if (r == NULL)
        *why = "shmid: the device has no such region";
    else if (q->len == 0)
        *why = "len: it is 0";
    else if (q->len % GUEST_PAGE_SIZE != 0)
        *why = "len: not a multiple of pages";
    else if (q->shm_offset % GUEST_PAGE_SIZE != 0)
        *why = "shm_offset: not a multiple of pages";
    else if (q->fd_offset % GUEST_PAGE_SIZE != 0)
        *why = "fd_offset: not a multiple of pages";
    else if (q->fd_offset > INT64_MAX || q->len > INT64_MAX - q->fd_offset)
        *why = "fd_offset: with len it is beyond what a file can have";
    else if (!range_within(q->shm_offset, q->len, r->info.len))
        *why = "shm_offset: with len it is out of the region";
    return *why == NULL ? r : NULL;
}

static bool region_is_free(struct shmem_region *r, uint64_t offset, uint64_t len)
{
    const struct region *m = region_table_find_from(r->maps, offset);

    return m == NULL || m->gpa >= offset + len;
}

static const char *limits_check(const struct shmem *shmem, uint64_t len)
{
    if (shmem->stats.nr_mappings >= shmem->options.max_mappings)
        return "the limit of mappings of this device (max-mappings=) is reached";
    if (shmem->options.max_bytes > 0 && !range_within(shmem->stats.bytes, len, shmem->options.max_bytes))
        return "the limit of mapped bytes of this device (max-mapped=) is reached";
    return NULL;
}

static void log_placement(struct shmem *shmem, const struct placement_ops *ops, const char *why_not_better)
{
    if (shmem->placements_logged >> ops->id & 1)
        return;
    shmem->placements_logged |= 1u << ops->id;
    log_info("%s: shared memory is placed as %s%s%s%s", shmem->name, ops->name,
             why_not_better != NULL ? " (" : "", why_not_better != NULL ? why_not_better : "",
             why_not_better != NULL ? ")" : "");
}

static int map_make(struct shmem_region *r, const struct shmem_request *q, struct shmem_file *file,
                    const char **why)
{
    struct shmem *shmem = r->shmem;
    struct placement_range range = {file, q->fd_offset, q->len, q->writable};
    const struct placement_ops *ops = placement_choose(shmem->guest, &range, shmem->options.placement, why);
    struct region m = {.gpa = q->shm_offset, .len = q->len, .kind = REGION_SHMEM};
    int rc;

    if (ops == NULL)
        return -EOPNOTSUPP;
    log_placement(shmem, ops, *why);
    m.shmem.file = file;
    m.shmem.file_offset = q->fd_offset;
    m.shmem.writable = q->writable;
    m.shmem.placement = (uint8_t)ops->id;
    m.shmem.serial = ++shmem->last_serial;
    rc = region_table_insert(r->maps, &m);
    if (rc != 0) {
        *why = "no memory";
        return rc;
    }
    placed_count(r, &m, 1);
    r->placed[ops->id].why = *why != NULL ? *why : r->placed[ops->id].why;
    rc = map_place(r, &m);
    if (rc != 0 && shmem->options.placement == PLACEMENT_AUTO) {
        map_trap(r, m, rc);
        rc = 0;
    }
    if (rc != 0) {
        *why = "its pages could not be put into the guest";
        placed_count(r, &m, -1);
        region_table_remove(r->maps, m.gpa, m.len, REGION_SHMEM);
    }
    return rc;
}

static int map_try(struct shmem *shmem, const struct shmem_request *q, const char **why)
{
    struct shmem_region *r = request_check(shmem, q, why);
    struct shmem_file *file;
    int rc;

    if (r == NULL)
        return -EINVAL;
    if (!region_is_free(r, q->shm_offset, q->len)) {
        *why = "shm_offset: it overlaps what is mapped";
        return -EEXIST;
    }
    *why = limits_check(shmem, q->len);
    if (*why != NULL)
        return -EDQUOT;
    rc = shmem_file_get(&shmem->files, q->fd, q->fd_offset, q->len, q->writable, &file, why);
    if (rc != 0)
        return rc;
    rc = map_make(r, q, file, why);
    if (rc != 0)
        shmem_file_put(file);
    return rc;
}

int shmem_map(struct shmem *shmem, const struct shmem_request *request, const char **why)
{
    int rc = map_try(shmem, request, why);

    if (rc != 0) {
        shmem->stats.refused++;
        return rc;
    }
    shmem->stats.maps++;
    shmem->stats.nr_mappings++;
    shmem->stats.bytes += request->len;
    guest_memory_changes(shmem->guest);
    return 0;
}

/* Of a mapping that is not placed any more. */
static void map_forget(struct shmem_region *r, const struct region *m)
{
    struct region gone = *m;

    placed_count(r, &gone, -1);
    region_table_remove(r->maps, gone.gpa, gone.len, REGION_SHMEM);
    shmem_file_put(gone.shmem.file);
    r->shmem->stats.nr_mappings--;
    r->shmem->stats.bytes -= gone.len;
}

int shmem_unmap(struct shmem *shmem, const struct shmem_request *request, const char **why)
{
    struct shmem_region *r = request_check(shmem, request, why);
    const struct region *m = r != NULL ? region_table_find(r->maps, request->shm_offset) : NULL;

    if (m == NULL || m->gpa != request->shm_offset || m->len != request->len) {
        if (r != NULL)
            *why = "shm_offset, len: not exactly one earlier mapping";
        shmem->stats.refused++;
        return r != NULL ? -ENOENT : -EINVAL;
    }
    map_remove(r, m);
    map_forget(r, m);
    shmem->stats.unmaps++;
    guest_memory_changes(shmem->guest);
    return 0;
}

void shmem_unmap_all(struct shmem *shmem)
{
    bool any = shmem->stats.nr_mappings > 0;

    for (size_t i = 0; i < shmem->nr_regions; i++) {
        struct shmem_region *r = &shmem->regions[i];
        const struct region *m;

        maps_remove(r);
        while ((m = region_table_find_from(r->maps, 0)) != NULL)
            map_forget(r, m);
    }
    if (any)
        guest_memory_changes(shmem->guest);
}
