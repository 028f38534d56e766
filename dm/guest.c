// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest.c - see guest.h. An access is answered first and its consequences come after: a register that asks
 * for work (a queue notification) queues it, and it is done once every pending access has its answer, so that
 * no vCPU waits for the work of another.
 */
#include "dm/guest.h"

#include <endian.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "dm/hotplug.h"
#include "dm/pci.h"
#include "dm/shmem.h"

/* ---- work ---------------------------------------------------------------------------------------- */

/* Runs what is queued now; what is queued meanwhile waits for the next round, so that events get a turn. */
static void guest_work_run(struct guest *guest)
{
    struct list_link batch;

    if (list_is_empty(&guest->work))
        return;
    batch = guest->work;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    list_init(&guest->work);
    while (!list_is_empty(&batch)) {
        struct guest_work *work = container_of(batch.next, struct guest_work, link);

        list_remove(&work->link);
        work->fn(work);
    }
    if (list_is_empty(&guest->work))
        ev_idle_stop(guest->loop, guest->idle);
    else
        ev_idle_start(guest->loop, guest->idle);
}

static void guest_idle(struct ev_loop *loop, ev_idle *idle, int revents)
{
    (void)loop;
    (void)revents;
    guest_work_run(idle->data);
}

void guest_work_queue(struct guest *guest, struct guest_work *work)
{
    if (!list_is_empty(&work->link))
        return;
    list_append(&guest->work, &work->link);
    if (!guest->in_access)
        ev_idle_start(guest->loop, guest->idle);
}

/* ---- accesses ------------------------------------------------------------------------------------ */

/* A long access may reach over several regions, or out of them: each gets its own part, and whoever serves
 * a part may change the table, so it is asked anew for the next. */
static void guest_mmio_access(struct guest *guest, struct guest_access *access)
{
    size_t done = 0;

    while (done < access->len) {
        uint64_t gpa = access->addr + done;
        const struct region *r = region_table_find_from(guest->regions, gpa);
        struct guest_access part = *access;

        if (gpa < access->addr || r == NULL || r->gpa > gpa) { /* nobody's: reads stay all ones */
            guest->nr_stray++;
            if (gpa < access->addr || r == NULL || r->gpa - gpa >= access->len - done)
                return;
            done += r->gpa - gpa;
            continue;
        }
        part.addr = gpa;
        part.data = (char *)access->data + done;
        part.len = MIN(access->len - done, r->len - (gpa - r->gpa));
        done += part.len;
        if (part.len % part.size != 0)
            part.size = 1;
        if (r->kind == REGION_MMIO)
            r->mmio.access(r->mmio.opaque, gpa - r->gpa, &part);
        else if (r->kind == REGION_WINDOW)
            r->window.access(r->window.opaque, gpa - r->gpa, &part);
    }
}

static void guest_access(void *ctx, struct guest_access *access)
{
    struct guest *guest = ctx;

    guest->in_access = true;
    guest->nr_accesses++;
    log_trace("%s: %s %s 0x%llx, %zu bytes", guest->hv->name, access->write ? "write" : "read",
              access->space == ACCESS_MMIO  ? "memory"
              : access->space == ACCESS_PIO ? "port"
                                            : "config",
              (unsigned long long)access->addr, access->len);
    switch (access->space) {
    case ACCESS_MMIO:
        guest_mmio_access(guest, access);
        break;
    case ACCESS_PCI_CONFIG:
        pci_bus_access(guest->pci, access);
        break;
    case ACCESS_PIO: /* no device of ours has ports */
        guest->nr_stray++;
        break;
    }
}

static void guest_accesses_done(void *ctx)
{
    struct guest *guest = ctx;

    guest->in_access = false;
    guest_work_run(guest);
}

static void guest_memory_changed(void *ctx)
{
    struct guest *guest = ctx;

    /* Nothing here keeps a pointer into guest memory beyond one event, so there is nothing to drop. */
    log_debug("%s: the guest's memory map has changed", guest->hv->name);
}

static void guest_is_gone(void *ctx, const char *why)
{
    struct guest *guest = ctx;

    if (guest->gone)
        return;
    guest->gone = true;
    snprintf(guest->gone_why, sizeof(guest->gone_why), "%s", why);
    if (guest->gone_fn != NULL)
        guest->gone_fn(guest->gone_ctx);
}

static size_t guest_window_copy(void *ctx, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    struct guest *guest = ctx;
    const struct region *r = region_table_find(guest->regions, gpa);

    if (r == NULL || r->kind != REGION_WINDOW)
        return 0;
    len = MIN(len, MIN(r->len - (gpa - r->gpa), GUEST_PAGE_SIZE - gpa % GUEST_PAGE_SIZE));
    if (shmem_window_copy(r->window.opaque, gpa, buf, len, to_guest) != 0 && !to_guest)
        memset(buf, 0xff, len);
    return len;
}

static const struct hypervisor_handler guest_handler = {
    .access = guest_access,
    .window_copy = guest_window_copy,
    .accesses_done = guest_accesses_done,
    .memory_changed = guest_memory_changed,
    .guest_gone = guest_is_gone,
};

void access_units(struct guest_access *access, uint64_t offset, region_mmio_fn *fn, void *opaque)
{
    struct guest_access unit = *access;

    unit.len = access->size;
    for (size_t done = 0; done < access->len; done += access->size) {
        unit.addr = access->addr + done;
        unit.data = (uint8_t *)access->data + done;
        fn(opaque, offset + done, &unit);
    }
}

uint64_t access_get(const struct guest_access *access, size_t pos)
{
    uint64_t value = 0;

    if (range_within(pos, access->size, access->len))
        memcpy(&value, (const char *)access->data + pos, MIN(access->size, sizeof(value)));
    return le64toh(value);
}

void access_set(struct guest_access *access, size_t pos, uint64_t value)
{
    value = htole64(value);
    if (range_within(pos, access->size, access->len))
        memcpy((char *)access->data + pos, &value, MIN(access->size, sizeof(value)));
}

int guest_mmio_add(struct guest *guest, uint64_t gpa, uint64_t len, region_mmio_fn *access, void *opaque)
{
    struct region r = {.gpa = gpa, .len = len, .kind = REGION_MMIO, .mmio = {access, opaque}};
    int rc = region_table_insert(guest->regions, &r);

    if (rc != 0)
        return rc;
    rc = guest->hv->ops->range_add(guest->hv, ACCESS_MMIO, gpa, len);
    if (rc != 0)
        region_table_remove(guest->regions, gpa, len, REGION_MMIO);
    return rc;
}

void guest_mmio_remove(struct guest *guest, uint64_t gpa, uint64_t len)
{
    int rc = guest->hv->ops->range_remove(guest->hv, ACCESS_MMIO, gpa, len);

    if (rc != 0)
        log_warning("%s: registers at 0x%llx could not be taken back from the guest: %s", guest->hv->name,
                    (unsigned long long)gpa, strerror(-rc));
    region_table_remove(guest->regions, gpa, len, REGION_MMIO);
}

/* ---- memory -------------------------------------------------------------------------------------- */

/* A guest can be given more memory than it had when we came ('xl mem-max', 'xl mem-set', and its kernel puts
 * it where it likes). Nobody tells us: it is looked for where a driver has a buffer and the table has
 * nothing. */
#define FIND_AROUND MIB(2)
#define FIND_APART  0.01  /* seconds between two that are in vain: a guest may mean nothing by it */
#define FIND_MAX    65536 /* regions that are not next to another: no honest guest has so many */

/* The part around gpa, of FIND_AROUND, that is not in the table. */
static void gap_around(struct guest *guest, uint64_t gpa, uint64_t *from, uint64_t *to)
{
    const struct region *r;

    *from = gpa - gpa % FIND_AROUND;
    *to = *from + FIND_AROUND;
    for (r = region_table_find_from(guest->regions, *from); r != NULL && r->gpa < gpa;
         r = region_table_next(guest->regions, r))
        *from = r->gpa + r->len;
    if (r != NULL)
        *to = MIN(*to, r->gpa);
}

/* Makes one region of it and of a neighbour that is the same kind of memory. */
static void region_join(struct guest *guest, struct region *region, uint64_t neighbour)
{
    const struct region *r = region_table_find(guest->regions, neighbour);
    struct region other;

    if (r == NULL || r->kind != REGION_RAM_FOREIGN || r->ram.domid != region->ram.domid)
        return;
    other = *r;
    if (region_table_remove(guest->regions, other.gpa, other.len, other.kind) != 0)
        return;
    region->gpa = MIN(region->gpa, other.gpa);
    region->len += other.len;
    guest->nr_found -= guest->nr_found > 0;
}

static const struct region *memory_look(struct guest *guest, uint64_t gpa)
{
    double now = ev_now(guest->loop);
    struct region region;
    uint64_t from, to;

    if ((now >= guest->missed_at && now - guest->missed_at < FIND_APART) || guest->nr_found >= FIND_MAX ||
        gpa > UINT64_MAX - FIND_AROUND)
        return NULL;
    gap_around(guest, gpa, &from, &to);
    if (guest->hv->ops->find_ram(guest->hv, gpa, from, to, &region) != 0) {
        guest->missed_at = now;
        return NULL;
    }
    log_debug("%s: it has got memory at 0x%llx", guest->hv->name, (unsigned long long)region.gpa);
    guest->nr_found++;
    if (region.gpa > 0)
        region_join(guest, &region, region.gpa - 1);
    region_join(guest, &region, region.gpa + region.len);
    /* (What was removed leaves room.) */
    return region_table_insert(guest->regions, &region) == 0 ? region_table_find(guest->regions, gpa) : NULL;
}

/* The region that contains gpa, or NULL. */
static const struct region *memory_find(struct guest *guest, uint64_t gpa)
{
    const struct region *r = region_table_find(guest->regions, gpa);

    return r != NULL || guest->hv->ops->find_ram == NULL ? r : memory_look(guest, gpa);
}

void *guest_memory_at(struct guest *guest, uint64_t gpa, size_t *len)
{
    const struct region *r = memory_find(guest, gpa);

    if (r == NULL || *len == 0)
        return NULL;
    switch (r->kind) {
    case REGION_RAM_FOREIGN:
        *len = MIN(*len, r->len - (gpa - r->gpa));
        return guest->hv->ops->map_ram(guest->hv, gpa, len);
    case REGION_RAM_GRANT: /* not offered: guests are given no VIRTIO_F_ACCESS_PLATFORM */
    case REGION_SHMEM:     /* only in the tables behind windows */
    case REGION_WINDOW:    /* what is behind may vanish at any moment: it is copied, never pointed at */
    case REGION_MMIO:
        return NULL;
    }
    return NULL;
}

/* Copies a piece that begins at gpa: returns how much, or -EFAULT. */
static ssize_t memory_copy_piece(struct guest *guest, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    const struct region *r = memory_find(guest, gpa);
    void *at;

    if (r != NULL && r->kind == REGION_WINDOW) {
        len = MIN(len, r->len - (gpa - r->gpa));
        return shmem_window_copy(r->window.opaque, gpa, buf, len, to_guest) == 0 ? (ssize_t)len : -EFAULT;
    }
    at = guest_memory_at(guest, gpa, &len);
    if (at == NULL)
        return -EFAULT;
    if (to_guest)
        memcpy(at, buf, len);
    else
        memcpy(buf, at, len);
    return (ssize_t)len;
}

static int memory_copy(struct guest *guest, uint64_t gpa, void *buf, size_t len, bool to_guest)
{
    for (size_t done = 0; done < len;) {
        ssize_t part = gpa + done < gpa
                           ? -EFAULT
                           : memory_copy_piece(guest, gpa + done, (char *)buf + done, len - done, to_guest);

        if (part < 0)
            return -EFAULT;
        done += (size_t)part;
    }
    return 0;
}

int guest_memory_read(struct guest *guest, uint64_t gpa, void *buf, size_t len)
{
    return memory_copy(guest, gpa, buf, len, false);
}

int guest_memory_write(struct guest *guest, uint64_t gpa, const void *buf, size_t len)
{
    /* The one function serves both ways; in this one it only reads buf. */
    return memory_copy(guest, gpa, (void *)(uintptr_t)buf, len, true);
}

bool guest_memory_covers(struct guest *guest, uint64_t gpa, uint64_t len, bool writable)
{
    while (len > 0) {
        const struct region *r = memory_find(guest, gpa);
        uint64_t part;

        if (r == NULL || (r->kind != REGION_RAM_FOREIGN && r->kind != REGION_WINDOW))
            return false;
        part = MIN(len, r->len - (gpa - r->gpa));
        if (r->kind == REGION_WINDOW && !shmem_window_covers(r->window.opaque, gpa, part, writable))
            return false;
        gpa += part;
        len -= part;
        if (gpa == 0 && len > 0) /* wrapped */
            return false;
    }
    return true;
}

void guest_memory_changes(struct guest *guest)
{
    struct guest_memory_watch *watch;

    list_for_each (watch, &guest->memory_watches, link)
        watch->changed(watch);
}

/* ---- life cycle ---------------------------------------------------------------------------------- */

/* Without it the guest has its devices all the same. */
static void guest_hotplug_make(struct guest *guest)
{
    uint64_t gpa = pci_bus_hotplug_gpa(guest->pci);
    int rc = gpa != 0 ? hotplug_new(&guest->hotplug, guest, gpa) : 0;

    if (rc != 0)
        log_warning("%s: it cannot be told of devices that come and go: registers at 0x%llx: %s",
                    guest->hv->name, (unsigned long long)gpa, strerror(-rc));
}

int guest_init(struct guest *guest, struct ev_loop *loop, struct hypervisor *hv, struct saved_state *saved)
{
    int rc = -ENOMEM;

    *guest = (struct guest){.loop = loop, .hv = hv, .saved = saved};
    list_init(&guest->work);
    list_init(&guest->memory_watches);
    guest->regions = region_table_new();
    guest->idle = malloc(sizeof(*guest->idle));
    if (guest->regions == NULL || guest->idle == NULL)
        goto fail;
    ev_idle_init(guest->idle, guest_idle);
    guest->idle->data = guest;
    /* Or a watcher that always has something to do would keep it from running. */
    ev_set_priority(guest->idle, EV_MAXPRI);
    rc = hv->ops->set_handler(hv, loop, &guest_handler, guest);
    if (rc != 0)
        goto fail;
    rc = hv->ops->add_ram(hv, guest->regions);
    if (rc != 0)
        goto fail;
    rc = pci_bus_new(&guest->pci, guest);
    if (rc != 0)
        goto fail;
    guest_hotplug_make(guest);
    return 0;
fail:
    region_table_free(guest->regions);
    free(guest->idle);
    return rc;
}

void guest_fini(struct guest *guest)
{
    ev_idle_stop(guest->loop, guest->idle);
    hotplug_free(guest->hotplug);
    pci_bus_free(guest->pci);
    region_table_free(guest->regions);
    free(guest->idle);
}
