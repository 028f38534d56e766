// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * local.c - see local.h.
 *
 * Guest memory is mapped twice. One mapping is the guest's and never moves. The other is the device model's:
 * map_ram gives pointers into it, pages that are absent have no access rights in it, and it is moved whenever
 * memory changes, so that the use of a pointer that should have been dropped is a fault and not a silent
 * success. Both have an inaccessible page on either side of each bank.
 */
#include "dm/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/region_table.h"
#include "common/util.h"
#include "dm/local_pages.h"

#define MAX_BANKS 2 /* below and above the hole */
#define NR_SPACES 3 /* enum access_space */

struct bank {
    uint64_t gpa, len; /* len 0: not there */
    uint64_t known;    /* bytes that add_ram tells */
    uint64_t fd_offset;
    char *guest, *dm; /* the two mappings */
    uint8_t *absent;  /* a bit for each page */
    uint64_t nr_absent;
};

struct range {
    uint64_t first, last; /* inclusive, so that a range can end at the end of all addresses */
};

struct range_set {
    unsigned nr;
    struct range ranges[LOCAL_MAX_RANGES]; /* ascending */
};

struct local {
    struct hypervisor hv; /* first: see to_local */
    struct pci_host pci;
    unsigned nr_irqs;
    uint64_t map_chunk;
    int fd;
    struct bank banks[MAX_BANKS];
    struct local_pages *pages; /* owned */
    struct range_set ranges[NR_SPACES];
    const struct hypervisor_handler *handler;
    void *handler_ctx;
    bool started;
    const struct local_callbacks *callbacks;
    void *ctx;
    struct local_stats stats;
};

static struct local *to_local(struct hypervisor *hv)
{
    return container_of(hv, struct local, hv);
}

/* ---- memory ------------------------------------------------------------------------------------- */

/* Maps the bank once, with an inaccessible page before and behind. NULL with errno set on failure. */
static char *bank_map(int fd, const struct bank *bank)
{
    size_t whole = bank->len + 2 * GUEST_PAGE_SIZE;
    char *area = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *map;

    if (area == MAP_FAILED)
        return NULL;
    map = mmap(area + GUEST_PAGE_SIZE, bank->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
               (off_t)bank->fd_offset);
    if (map == MAP_FAILED) {
        munmap(area, whole);
        return NULL;
    }
    return map;
}

static void bank_unmap(const struct bank *bank, char *map)
{
    if (map != NULL)
        munmap(map - GUEST_PAGE_SIZE, bank->len + 2 * GUEST_PAGE_SIZE);
}

static bool page_is_absent(const struct bank *bank, uint64_t page)
{
    return bank->absent[page / 8] >> (page % 8) & 1;
}

/* Bytes of the bank's marks: a bit for each page. */
static size_t bank_marks_len(const struct bank *bank)
{
    return (size_t)(((bank->len >> GUEST_PAGE_SHIFT) + 7) / 8);
}

/* Takes the access rights away from the pages of a mapping that are absent. 0 or negative errno. */
static int bank_protect_absent(const struct bank *bank, char *map)
{
    uint64_t nr_pages = bank->len >> GUEST_PAGE_SHIFT, first, end;

    if (bank->nr_absent == 0)
        return 0;
    for (first = 0; first < nr_pages; first = end) {
        bool absent = page_is_absent(bank, first);

        for (end = first + 1; end < nr_pages && page_is_absent(bank, end) == absent; end++)
            continue;
        if (absent &&
            mprotect(map + (first << GUEST_PAGE_SHIFT), (end - first) << GUEST_PAGE_SHIFT, PROT_NONE) < 0)
            return -errno;
    }
    return 0;
}

/* The bank in which gpa lies, or NULL. */
static struct bank *bank_find(struct local *local, uint64_t gpa)
{
    for (unsigned i = 0; i < MAX_BANKS; i++) {
        struct bank *bank = &local->banks[i];

        if (gpa >= bank->gpa && gpa - bank->gpa < bank->len)
            return bank;
    }
    return NULL;
}

/* How many of len bytes from offset on lie in pages that are present; offset is within the bank. */
static uint64_t bank_present(const struct bank *bank, uint64_t offset, uint64_t len)
{
    uint64_t page = offset >> GUEST_PAGE_SHIFT, end;

    len = MIN(len, bank->len - offset);
    if (bank->nr_absent == 0)
        return len;
    for (end = offset; end < offset + len && !page_is_absent(bank, page); page++)
        end = (page + 1) << GUEST_PAGE_SHIFT;
    return MIN(end - offset, len);
}

static int local_add_ram(struct hypervisor *hv, struct region_table *table)
{
    struct local *local = to_local(hv);

    for (unsigned i = 0; i < MAX_BANKS; i++) {
        const struct bank *bank = &local->banks[i];
        struct region region = {.gpa = bank->gpa, .len = bank->known, .kind = REGION_RAM_FOREIGN};
        int err = bank->known > 0 ? region_table_insert(table, &region) : 0;

        if (err < 0) {
            while (i-- > 0)
                region_table_remove(table, local->banks[i].gpa, local->banks[i].known, REGION_RAM_FOREIGN);
            return err;
        }
    }
    return 0;
}

static int local_find_ram(struct hypervisor *hv, uint64_t gpa, uint64_t from, uint64_t to,
                          struct region *region)
{
    struct bank *bank = bank_find(to_local(hv), gpa);
    uint64_t first, end;

    if (bank == NULL || bank_present(bank, gpa - bank->gpa, 1) == 0)
        return -ENOENT;
    first = gpa & ~(GUEST_PAGE_SIZE - 1);
    end = gpa + bank_present(bank, gpa - bank->gpa, to - gpa);
    while (first > MAX(from, bank->gpa) && bank_present(bank, first - GUEST_PAGE_SIZE - bank->gpa, 1) > 0)
        first -= GUEST_PAGE_SIZE;
    *region = (struct region){.gpa = first, .len = end - first, .kind = REGION_RAM_FOREIGN};
    return 0;
}

static int local_ram_export(struct hypervisor *hv, uint64_t gpa, struct ram_export *export)
{
    struct local *local = to_local(hv);
    const struct bank *bank = bank_find(local, gpa);

    if (bank == NULL)
        return -EINVAL;
    *export = (struct ram_export){
        .access = SHARED_BY_MMAP, .fd = fcntl(local->fd, F_DUPFD_CLOEXEC, 0), .offset = bank->fd_offset};
    return export->fd < 0 ? -errno : 0;
}

static void *local_map_ram(struct hypervisor *hv, uint64_t gpa, size_t *len)
{
    struct local *local = to_local(hv);
    const struct bank *bank = bank_find(local, gpa);
    uint64_t offset, present;

    if (bank == NULL)
        return NULL;
    offset = gpa - bank->gpa;
    present = bank_present(bank, offset, *len);
    if (present == 0)
        return NULL;
    if (local->map_chunk > 0)
        present = MIN(present, local->map_chunk - offset % local->map_chunk);
    *len = present;
    return bank->dm + offset;
}

void *local_ram(struct hypervisor *hv, uint64_t gpa, uint64_t len)
{
    const struct bank *bank = bank_find(to_local(hv), gpa);

    if (bank == NULL || !range_within(gpa - bank->gpa, len, bank->len))
        return NULL;
    return bank->guest + (gpa - bank->gpa);
}

int local_ram_fd(const struct hypervisor *hv)
{
    return container_of(hv, const struct local, hv)->fd;
}

/* New mappings for the device model in place of the old ones, all or none. */
static int local_remap(struct local *local)
{
    char *maps[MAX_BANKS] = {0};
    int err = 0;

    for (unsigned i = 0; i < MAX_BANKS && err == 0; i++) {
        if (local->banks[i].len == 0)
            continue;
        maps[i] = bank_map(local->fd, &local->banks[i]);
        err = maps[i] == NULL ? -errno : bank_protect_absent(&local->banks[i], maps[i]);
    }
    for (unsigned i = 0; i < MAX_BANKS; i++) {
        struct bank *bank = &local->banks[i];

        bank_unmap(bank, err < 0 ? maps[i] : bank->dm);
        if (err == 0)
            bank->dm = maps[i];
    }
    return err;
}

int local_memory_changed(struct hypervisor *hv)
{
    struct local *local = to_local(hv);
    int err = local_remap(local);

    if (err == 0 && local->handler != NULL)
        local->handler->memory_changed(local->handler_ctx);
    return err;
}

static void bank_set_marks(struct bank *bank, const uint8_t *absent)
{
    memcpy(bank->absent, absent, bank_marks_len(bank));
    bank->nr_absent = 0;
    for (size_t i = 0; i < bank_marks_len(bank); i++)
        bank->nr_absent += (uint64_t)__builtin_popcount(bank->absent[i]);
}

/* Gives the bank new marks and the device model's mapping the rights that follow from them, and drops what is
 * in [offset, offset + len) if those pages are to be absent. All or nothing. */
static int bank_change(struct local *local, struct bank *bank, const uint8_t *marks, uint64_t offset,
                       uint64_t len, bool present)
{
    uint8_t *old = malloc(bank_marks_len(bank));
    int err;

    if (old == NULL)
        return -ENOMEM;
    memcpy(old, bank->absent, bank_marks_len(bank));
    bank_set_marks(bank, marks);
    err = local_remap(local);
    if (err == 0 && !present &&
        fallocate(local->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(bank->fd_offset + offset),
                  (off_t)len) < 0) {
        err = -errno;
        bank_set_marks(bank, old);
        /* Should this fail, the pages stay inaccessible: map_ram's pointers fault, nothing else is harmed. */
        local_remap(local);
    } else if (err < 0) {
        bank_set_marks(bank, old);
    }
    free(old);
    return err;
}

int local_pages_set(struct hypervisor *hv, uint64_t gpa, uint64_t nr_pages, bool present)
{
    struct local *local = to_local(hv);
    struct bank *bank = bank_find(local, gpa);
    uint64_t first, len = nr_pages << GUEST_PAGE_SHIFT;
    uint8_t *marks;
    int err;

    if (bank == NULL || gpa % GUEST_PAGE_SIZE != 0 || nr_pages == 0 ||
        nr_pages > bank->len >> GUEST_PAGE_SHIFT || !range_within(gpa - bank->gpa, len, bank->len))
        return -EINVAL;
    marks = malloc(bank_marks_len(bank));
    if (marks == NULL)
        return -ENOMEM;
    memcpy(marks, bank->absent, bank_marks_len(bank));
    first = (gpa - bank->gpa) >> GUEST_PAGE_SHIFT;
    for (uint64_t page = first; page < first + nr_pages; page++)
        if (present)
            marks[page / 8] &= (uint8_t) ~(1u << (page % 8));
        else
            marks[page / 8] |= (uint8_t)(1u << (page % 8));
    err = bank_change(local, bank, marks, gpa - bank->gpa, len, present);
    free(marks);
    if (err == 0 && local->handler != NULL)
        local->handler->memory_changed(local->handler_ctx);
    return err;
}

/* ---- ranges ------------------------------------------------------------------------------------- */

/* The index of the first range that ends at or after value. */
static unsigned range_set_find(const struct range_set *set, uint64_t value)
{
    unsigned low = 0, high = set->nr;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (set->ranges[mid].last < value)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Whether the ranges together cover [first, last]. */
static bool range_set_covers(const struct range_set *set, uint64_t first, uint64_t last)
{
    for (unsigned i = range_set_find(set, first); i < set->nr && set->ranges[i].first <= first; i++) {
        if (set->ranges[i].last >= last)
            return true;
        first = set->ranges[i].last + 1;
    }
    return false;
}

static int range_set_add(struct range_set *set, uint64_t first, uint64_t last)
{
    unsigned at = range_set_find(set, first);

    if (at < set->nr && set->ranges[at].first <= last)
        return -EEXIST;
    if (set->nr == LOCAL_MAX_RANGES)
        return -ENOSPC;
    memmove(&set->ranges[at + 1], &set->ranges[at], (set->nr - at) * sizeof(set->ranges[0]));
    set->ranges[at] = (struct range){.first = first, .last = last};
    set->nr++;
    return 0;
}

static int range_set_remove(struct range_set *set, uint64_t first, uint64_t last)
{
    unsigned at = range_set_find(set, first);

    if (at == set->nr || set->ranges[at].first != first || set->ranges[at].last != last)
        return -ENOENT;
    set->nr--;
    memmove(&set->ranges[at], &set->ranges[at + 1], (set->nr - at) * sizeof(set->ranges[0]));
    return 0;
}

/* The last address of a range of that space, or -EINVAL. */
static int range_check(enum access_space space, uint64_t first, uint64_t len, uint64_t *last)
{
    uint64_t max = space == ACCESS_PIO ? UINT16_MAX : UINT64_MAX;

    if ((space != ACCESS_MMIO && space != ACCESS_PIO) || len == 0 || first > max || len - 1 > max - first)
        return -EINVAL;
    *last = first + (len - 1);
    return 0;
}

static int local_range_add(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len)
{
    uint64_t last;
    int err = range_check(space, first, len, &last);

    return err < 0 ? err : range_set_add(&to_local(hv)->ranges[space], first, last);
}

static int local_range_remove(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len)
{
    uint64_t last;
    int err = range_check(space, first, len, &last);

    return err < 0 ? err : range_set_remove(&to_local(hv)->ranges[space], first, last);
}

static int local_pci_add(struct hypervisor *hv, uint32_t sbdf)
{
    return range_set_add(&to_local(hv)->ranges[ACCESS_PCI_CONFIG], sbdf, sbdf);
}

static int local_pci_remove(struct hypervisor *hv, uint32_t sbdf)
{
    return range_set_remove(&to_local(hv)->ranges[ACCESS_PCI_CONFIG], sbdf, sbdf);
}

/* ---- accesses ----------------------------------------------------------------------------------- */

/* Whether a vCPU can make such an access at all. */
static bool access_is_possible(const struct guest_access *access)
{
    unsigned size = access->size;

    if ((size != 1 && size != 2 && size != 4 && size != 8) || access->len == 0 || access->len % size != 0)
        return false;
    switch (access->space) {
    case ACCESS_MMIO:
        return access->len - 1 <= UINT64_MAX - access->addr;
    case ACCESS_PIO:
        return size <= 4 && range_within(access->addr, access->len, (uint64_t)UINT16_MAX + 1);
    case ACCESS_PCI_CONFIG:
        /* By ports CF8 and CFC: within one double word, registers up to 0xfff. */
        return access->len == size && access->addr % 4 + size <= 4 && (access->addr & UINT32_MAX) <= 0xfff;
    }
    return false;
}

/* An access whose first byte is RAM. A vCPU does it in pieces; what is not memory reads all ones. */
static void access_ram(struct local *local, struct guest_access *access)
{
    char *data = access->data;

    for (size_t pos = 0; pos < access->len; pos++) {
        const struct bank *bank = bank_find(local, access->addr + pos);
        uint64_t offset = bank == NULL ? 0 : access->addr + pos - bank->gpa;

        if (bank == NULL || bank_present(bank, offset, 1) == 0)
            continue;
        if (access->write)
            bank->guest[offset] = data[pos];
        else
            data[pos] = bank->guest[offset];
    }
}

static bool access_is_claimed(const struct local *local, const struct guest_access *access)
{
    const struct range_set *set = &local->ranges[access->space];
    uint64_t sbdf = access->addr >> 32;

    if (access->space == ACCESS_PCI_CONFIG)
        return range_set_covers(set, sbdf, sbdf);
    return range_set_covers(set, access->addr, access->addr + (access->len - 1));
}

static bool access_serve(struct local *local, struct guest_access *access);

/* One that touches pages that were placed: a vCPU does it in pieces, and those that are in no page go on to
 * whoever claims them. False: it touches none. */
static bool access_placed(struct local *local, struct guest_access *access, bool *delivered)
{
    struct local_page_run run;
    uint64_t gap;

    *delivered = false;
    if (!local_pages_find(local->pages, access->addr, &run, &gap) && gap >= access->len)
        return false;
    local->stats.ram++;
    for (size_t done = 0; done < access->len;) {
        struct guest_access part = *access;

        part.addr += done;
        part.data = (char *)access->data + done;
        part.len -= done;
        if (local_pages_find(local->pages, part.addr, &run, &gap)) {
            part.len = MIN(part.len, run.len);
            if (!access->write)
                memcpy(part.data, run.mem, part.len);
            else if (run.writable)
                memcpy(run.mem, part.data, part.len);
        } else {
            part.len = MIN(part.len, gap);
            part.size = part.len % part.size == 0 ? part.size : 1;
            *delivered |= access_serve(local, &part);
        }
        done += part.len;
    }
    return true;
}

/* Serves one access; true if it went to the handler. */
static bool access_serve(struct local *local, struct guest_access *access)
{
    bool delivered;

    if (!access_is_possible(access)) {
        local->stats.malformed++;
        return false;
    }
    if (!access->write)
        memset(access->data, 0xff, access->len);
    if (access->space == ACCESS_MMIO && bank_find(local, access->addr) != NULL) {
        local->stats.ram++;
        access_ram(local, access);
        return false;
    }
    if (access->space == ACCESS_MMIO && access_placed(local, access, &delivered))
        return delivered;
    if (!local->started || !access_is_claimed(local, access)) {
        local->stats.unclaimed++;
        return false;
    }
    local->stats.delivered++;
    local->handler->access(local->handler_ctx, access);
    return true;
}

void local_accesses(struct hypervisor *hv, struct guest_access *accesses, size_t nr)
{
    struct local *local = to_local(hv);
    bool delivered = false;

    for (size_t i = 0; i < nr; i++)
        delivered |= access_serve(local, &accesses[i]);
    if (delivered)
        local->handler->accesses_done(local->handler_ctx);
}

void local_access(struct hypervisor *hv, struct guest_access *access)
{
    local_accesses(hv, access, 1);
}

/* ---- the rest of the interface ------------------------------------------------------------------ */

static int local_set_handler(struct hypervisor *hv, struct ev_loop *loop,
                             const struct hypervisor_handler *handler, void *ctx)
{
    struct local *local = to_local(hv);

    (void)loop; /* nothing happens here that a caller did not do: there are no events to wait for */
    if (local->handler != NULL)
        return -EBUSY;
    local->handler = handler;
    local->handler_ctx = ctx;
    return 0;
}

static int local_start(struct hypervisor *hv)
{
    struct local *local = to_local(hv);

    if (local->handler == NULL)
        return -EINVAL;
    if (local->started)
        return -EALREADY;
    local->started = true;
    return 0;
}

static void local_detach(struct hypervisor *hv)
{
    struct local *local = to_local(hv);

    for (unsigned i = 0; i < MAX_BANKS; i++) {
        bank_unmap(&local->banks[i], local->banks[i].guest);
        bank_unmap(&local->banks[i], local->banks[i].dm);
        free(local->banks[i].absent);
    }
    if (local->fd >= 0)
        close(local->fd);
    local_pages_free(local->pages);
    free(local);
}

static int local_msi_inject(struct hypervisor *hv, uint64_t addr, uint32_t data)
{
    struct local *local = to_local(hv);

    local->stats.msi++;
    if (local->callbacks->msi != NULL)
        local->callbacks->msi(local->ctx, addr, data);
    return 0;
}

static int local_intx_set(struct hypervisor *hv, uint32_t sbdf, uint8_t pin, bool level)
{
    struct local *local = to_local(hv);

    if (!local->pci.has_intx)
        return -ENOTSUP;
    if (pin > 3)
        return -EINVAL;
    local->stats.intx++;
    if (local->callbacks->intx != NULL)
        local->callbacks->intx(local->ctx, sbdf, pin, level);
    return 0;
}

static int local_irq_set(struct hypervisor *hv, uint32_t irq, bool level)
{
    struct local *local = to_local(hv);

    if (local->nr_irqs == 0)
        return -ENOTSUP;
    if (irq >= local->nr_irqs)
        return -EINVAL;
    local->stats.irq++;
    if (local->callbacks->irq != NULL)
        local->callbacks->irq(local->ctx, irq, level);
    return 0;
}

static int local_pci_host(struct hypervisor *hv, struct pci_host *host)
{
    *host = to_local(hv)->pci;
    return 0;
}

void local_guest_end(struct hypervisor *hv, const char *why)
{
    struct local *local = to_local(hv);

    if (local->handler != NULL)
        local->handler->guest_gone(local->handler_ctx, why);
}

const struct local_stats *local_stats_get(const struct hypervisor *hv)
{
    return &container_of(hv, const struct local, hv)->stats;
}

/* ---- pages: see local_pages.c ------------------------------------------------------------------- */

static int local_shared_init(struct hypervisor *hv, uint64_t max_pages, bool *resumed)
{
    return local_pages_init(to_local(hv)->pages, max_pages, resumed);
}

static int local_shared_populate(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    return local_pages_populate(to_local(hv)->pages, page, nr_pages);
}

static void local_shared_release(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    local_pages_release(to_local(hv)->pages, page, nr_pages);
}

static void *local_shared_map(struct hypervisor *hv, uint64_t page, uint64_t nr_pages)
{
    return local_pages_map(to_local(hv)->pages, page, nr_pages);
}

static void local_shared_unmap(struct hypervisor *hv, void *map, uint64_t nr_pages)
{
    (void)hv;
    local_pages_unmap(map, nr_pages);
}

static int local_shared_export(struct hypervisor *hv, struct shared_export *export)
{
    return local_pages_export(to_local(hv)->pages, export);
}

/* Whether a page of RAM lies there. */
static bool ram_overlaps(struct local *local, uint64_t gpa, uint64_t nr_pages)
{
    for (unsigned i = 0; i < MAX_BANKS; i++) {
        const struct bank *bank = &local->banks[i];

        if (gpa < bank->gpa + bank->len && bank->gpa < gpa + (nr_pages << GUEST_PAGE_SHIFT))
            return true;
    }
    return false;
}

static int local_shared_place(struct hypervisor *hv, uint64_t page, uint64_t nr_pages, uint64_t gpa)
{
    return ram_overlaps(to_local(hv), gpa, nr_pages)
               ? -EEXIST
               : local_pages_place(to_local(hv)->pages, page, nr_pages, gpa);
}

static int local_copy_place(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa, page_fill_fn *fill,
                            void *ctx)
{
    return ram_overlaps(to_local(hv), gpa, nr_pages)
               ? -EEXIST
               : local_pages_copy(to_local(hv)->pages, nr_pages, gpa, fill, ctx);
}

static void local_placed_remove(struct hypervisor *hv, uint64_t nr_pages, uint64_t gpa)
{
    local_pages_remove(to_local(hv)->pages, nr_pages, gpa);
}

static const struct hypervisor_page_ops local_page_ops = {
    .shared_init = local_shared_init,
    .shared_populate = local_shared_populate,
    .shared_release = local_shared_release,
    .shared_map = local_shared_map,
    .shared_unmap = local_shared_unmap,
    .shared_export = local_shared_export,
    .shared_place = local_shared_place,
    .shared_remove = local_placed_remove,
    .copy_place = local_copy_place,
    .copy_remove = local_placed_remove,
};

static const struct hypervisor_ops local_ops = {
    .name = "local",
    .set_handler = local_set_handler,
    .start = local_start,
    .detach = local_detach,
    .add_ram = local_add_ram,
    .find_ram = local_find_ram,
    .map_ram = local_map_ram,
    .ram_export = local_ram_export,
    .range_add = local_range_add,
    .range_remove = local_range_remove,
    .pci_add = local_pci_add,
    .pci_remove = local_pci_remove,
    .msi_inject = local_msi_inject,
    .intx_set = local_intx_set,
    .irq_set = local_irq_set,
    .pci_host = local_pci_host,
    .pages = &local_page_ops,
};

/* ---- construction ------------------------------------------------------------------------------- */

static bool options_are_good(const struct local_options *options)
{
    uint64_t max = ((uint64_t)1 << LOCAL_ADDRESS_BITS) - LOCAL_RAM_HIGH_GPA;

    return options->ram_low > 0 && options->ram_low <= LOCAL_RAM_HIGH_GPA && options->ram_high <= max &&
           options->ram_low % GUEST_PAGE_SIZE == 0 && options->ram_high % GUEST_PAGE_SIZE == 0 &&
           options->ram_late <= options->ram_high && options->ram_late % GUEST_PAGE_SIZE == 0 &&
           options->map_chunk % GUEST_PAGE_SIZE == 0;
}

/* A memfd of our own, as long as wanted, or a copy of the one that was given. */
static int ram_fd_get(const struct local_options *options)
{
    off_t len = (off_t)(options->ram_low + options->ram_high), end;
    int fd, err;

    if (options->ram_fd >= 0) {
        end = lseek(options->ram_fd, 0, SEEK_END);
        if (end != len)
            return end < 0 ? -errno : -EINVAL;
        fd = fcntl(options->ram_fd, F_DUPFD_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
    }
    fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* A back-end that is given it must not be able to take it away. */
    if (fd < 0 ||
        (ftruncate(fd, len) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0))
        return fd < 0 ? -errno : fd;
    err = -errno;
    close(fd);
    return err;
}

static int bank_init(struct bank *bank, int fd, uint64_t gpa, uint64_t len, uint64_t fd_offset)
{
    *bank = (struct bank){.gpa = gpa, .len = len, .fd_offset = fd_offset};
    if (len == 0)
        return 0;
    bank->absent = calloc(1, bank_marks_len(bank));
    if (bank->absent == NULL)
        return -ENOMEM;
    bank->guest = bank_map(fd, bank);
    if (bank->guest != NULL)
        bank->dm = bank_map(fd, bank);
    return bank->dm == NULL ? -errno : 0;
}

int local_new(struct hypervisor **out, const struct local_options *options,
              const struct local_callbacks *callbacks, void *ctx)
{
    struct local *local;
    int err;

    if (!options_are_good(options))
        return -EINVAL;
    local = calloc(1, sizeof(*local));
    if (local == NULL)
        return -ENOMEM;
    local->hv.ops = &local_ops;
    snprintf(local->hv.name, sizeof(local->hv.name), "%s", options->name == NULL ? "local" : options->name);
    snprintf(local->hv.guest_name, sizeof(local->hv.guest_name), "%.63s", local->hv.name);
    local->hv.guest_type = "local";
    local->pci = options->pci;
    local->nr_irqs = options->nr_irqs;
    local->map_chunk = options->map_chunk;
    local->callbacks = callbacks;
    local->ctx = ctx;
    local->fd = ram_fd_get(options);
    err = local->fd < 0 ? local->fd : local_pages_new(&local->pages);
    if (err == 0)
        err = bank_init(&local->banks[0], local->fd, 0, options->ram_low, 0);
    if (err == 0)
        err = bank_init(&local->banks[1], local->fd, LOCAL_RAM_HIGH_GPA, options->ram_high, options->ram_low);
    local->banks[0].known = options->ram_low;
    local->banks[1].known = options->ram_high - options->ram_late;
    if (err < 0) {
        local_detach(&local->hv);
        return err;
    }
    *out = &local->hv;
    return 0;
}
