// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control_regions.c - the answer to "regions" on the control socket: the guest's region table, and in it what
 * is mapped in shared memory regions, in the order of addresses. There may be millions of mappings: an answer
 * has a bounded number of entries, and the address to go on from.
 */
#include "dm/control_internal.h"

#include <string.h>

#include "dm/placement.h"

#define MAX_ENTRIES 512

struct listing {
    struct control *control;
    struct json_object *list;
    size_t nr;
    uint64_t from;
    bool left_out; /* there is more: from next on */
    uint64_t next;
};

static struct json_object *entry_new(uint64_t gpa, uint64_t len, const char *kind, const char *device)
{
    struct json_object *o = json_object_new_object();

    control_add_hex(o, "gpa", gpa);
    control_add_number(o, "bytes", len);
    control_add_string(o, "kind", kind);
    if (device != NULL)
        control_add_string(o, "device", device);
    return o;
}

/* False: the answer is full; it is to be gone on with at gpa. */
static bool has_room(struct listing *l, uint64_t gpa)
{
    if (l->nr < MAX_ENTRIES)
        return true;
    l->left_out = true;
    l->next = gpa;
    return false;
}

static void entry_add(struct listing *l, struct json_object *entry)
{
    json_object_array_add(l->list, entry);
    l->nr++;
}

static void add_registers(struct listing *l, const struct region *r)
{
    const struct devices_item *item;
    size_t pos = 0;

    while ((item = devices_next(l->control->devices, &pos)) != NULL)
        if (device_info(item->device).transport == r->mmio.opaque) {
            entry_add(l, entry_new(r->gpa, r->len, "registers", item->name));
            return;
        }
    entry_add(l, entry_new(r->gpa, r->len,
                           r->mmio.opaque == l->control->guest->hotplug ? "hot-plug" : "pci-configuration",
                           NULL));
}

/* Whose window it is: its item, and the number of the region. */
static const struct devices_item *window_owner(struct listing *l, const struct region *r, size_t *region)
{
    const struct devices_item *item;
    size_t pos = 0;

    while ((item = devices_next(l->control->devices, &pos)) != NULL) {
        const struct shmem *shmem = device_info(item->device).shmem;
        uint64_t gpa;

        if (shmem == NULL || !shmem_gpa(shmem, &gpa))
            continue;
        for (*region = 0; *region < shmem_nr_regions(shmem); ++*region)
            if (gpa + shmem_region_at(shmem, *region).offset == r->gpa)
                return item;
    }
    return NULL;
}

static void add_window(struct listing *l, const struct region *r)
{
    size_t region;
    const struct devices_item *item = window_owner(l, r, &region);
    uint64_t offset = l->from > r->gpa ? l->from - r->gpa : 0;
    struct shmem_mapping m;
    struct json_object *o;

    if (item == NULL)
        return;
    if (offset == 0) {
        o = entry_new(r->gpa, r->len, "window", item->name);
        control_add_number(o, "shmid", r->window.shmid);
        entry_add(l, o);
    }
    while (shmem_mapping_from(device_info(item->device).shmem, region, offset, &m)) {
        if (!has_room(l, r->gpa + m.offset))
            return;
        o = entry_new(r->gpa + m.offset, m.len, "mapping", item->name);
        control_add_number(o, "shmid", r->window.shmid);
        control_add_string(o, "placement", placement_get(m.placement)->name);
        control_add_bool(o, "writable", m.writable);
        entry_add(l, o);
        offset = m.offset + m.len;
    }
}

static void add_region(struct listing *l, const struct region *r)
{
    switch (r->kind) {
    case REGION_RAM_FOREIGN:
    case REGION_RAM_GRANT:
        entry_add(l, entry_new(r->gpa, r->len, "ram", NULL));
        break;
    case REGION_MMIO:
        add_registers(l, r);
        break;
    case REGION_WINDOW:
        add_window(l, r);
        break;
    case REGION_SHMEM: /* only in the tables behind windows */
        break;
    }
}

struct json_object *control_regions(struct control *control, uint64_t from)
{
    struct json_object *answer = control_ok();
    struct listing l = {.control = control, .list = json_object_new_array(), .from = from};
    const struct region *r = region_table_find_from(control->guest->regions, from);

    for (; r != NULL && !l.left_out; r = region_table_next(control->guest->regions, r))
        if (has_room(&l, MAX(r->gpa, from)))
            add_region(&l, r);
    json_object_object_add(answer, "regions", l.list);
    if (l.left_out)
        control_add_hex(answer, "next", l.next);
    return answer;
}
