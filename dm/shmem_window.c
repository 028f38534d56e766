// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_window.c - see shmem.h: what is at an address in a shared memory region, for the guest's accesses
 * that come to us and for the requests of other devices whose buffers lie there.
 */
#include "dm/shmem_internal.h"

#include <errno.h>
#include <string.h>

#include "dm/guest.h"

/* What a piece of a region is: mapped, when *map is set, or not, up to *len bytes of the wanted ones. */
static void region_piece(struct shmem_region *r, uint64_t offset, uint64_t *len, const struct region **map)
{
    const struct region *m = region_table_find_from(r->maps, offset);

    *map = NULL;
    *len = MIN(*len, r->info.len - offset);
    if (m == NULL)
        return;
    if (m->gpa > offset) {
        *len = MIN(*len, m->gpa - offset);
        return;
    }
    *map = m;
    *len = MIN(*len, m->len - (offset - m->gpa));
}

static bool map_copy(const struct region *m, uint64_t offset, void *buf, size_t len, bool to_file)
{
    return shmem_file_copy(m->shmem.file, m->shmem.file_offset + (offset - m->gpa), buf, len, to_file);
}

void shmem_region_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    struct shmem_region *r = opaque;

    for (size_t done = 0; done < access->len;) {
        uint64_t part = access->len - done;
        const struct region *m;
        uint8_t *data = (uint8_t *)access->data + done;

        if (offset + done >= r->info.len)
            return;
        region_piece(r, offset + done, &part, &m);
        if (m == NULL || (access->write && !m->shmem.writable)) {
            if (m == NULL)
                r->shmem->stats.unmapped_accesses++;
            if (!access->write)
                memset(data, 0xff, part);
        } else if (!map_copy(m, offset + done, data, part, access->write)) {
            r->shmem->stats.faults++;
            log_limited(&r->shmem->limit, LOG_LEVEL_WARNING,
                        "%s: the guest touches shared memory whose file the back-end has made shorter",
                        r->shmem->name);
        }
        done += part;
    }
}

void shmem_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    struct shmem *shmem = opaque;

    for (size_t i = 0; i < shmem->nr_regions; i++) {
        struct shmem_region *r = &shmem->regions[i];
        uint64_t first = MAX(offset, r->info.offset);
        uint64_t end = MIN(offset + access->len, r->info.offset + r->info.len);
        struct guest_access part = *access;

        if (first >= end)
            continue;
        part.data = (uint8_t *)access->data + (first - offset);
        part.len = end - first;
        shmem_region_access(r, first - r->info.offset, &part);
    }
}

int shmem_window_copy(void *window, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    struct shmem_region *r = window;
    uint64_t offset = gpa - r->shmem->gpa - r->info.offset;

    for (size_t done = 0; done < len;) {
        uint64_t part = len - done;
        const struct region *m;

        if (offset + done >= r->info.len)
            return -EFAULT;
        region_piece(r, offset + done, &part, &m);
        if (m == NULL || (to_guest && !m->shmem.writable) ||
            !map_copy(m, offset + done, (uint8_t *)buf + done, part, to_guest))
            return -EFAULT;
        done += part;
    }
    return 0;
}

bool shmem_window_covers(void *window, uint64_t gpa, uint64_t len, bool writable)
{
    struct shmem_region *r = window;
    uint64_t offset = gpa - r->shmem->gpa - r->info.offset;

    while (len > 0) {
        uint64_t part = len;
        const struct region *m;

        if (offset >= r->info.len)
            return false;
        region_piece(r, offset, &part, &m);
        if (m == NULL || (writable && !m->shmem.writable))
            return false;
        offset += part;
        len -= part;
    }
    return true;
}

const struct shmem *shmem_window_owner(const void *window)
{
    return ((const struct shmem_region *)window)->shmem;
}

size_t shmem_window_nr_mappings(const void *window)
{
    return region_table_count(((const struct shmem_region *)window)->maps);
}

bool shmem_window_mapping_from(const void *window, uint64_t gpa, struct shmem_window_mapping *mapping)
{
    const struct shmem_region *r = window;
    uint64_t start = r->shmem->gpa + r->info.offset;
    const struct region *m = region_table_find_from(r->maps, gpa - start);
    const struct shmem_file *file;

    if (m == NULL)
        return false;
    file = m->shmem.file;
    *mapping = (struct shmem_window_mapping){
        .gpa = start + m->gpa,
        .len = m->len,
        .fd_offset = m->shmem.file_offset,
        .serial = m->shmem.serial,
        /* The file of shared pages only names them, and a device's is not for everybody to map. */
        .plain = m->shmem.writable && file->shared && file->allocation == NULL &&
                 m->shmem.file_offset % file->unit == 0 && m->len % file->unit == 0,
        .fd = file->fd,
    };
    return true;
}
