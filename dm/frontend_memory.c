// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * frontend_memory.c - what the front-end says of memory on the main channel: all of it when the rings start,
 * what has come and gone since later, in a job of its own. With XEN_MMAP a region has two fields more.
 *
 * SET_MEM_TABLE has room for 8 regions and replaces what there was. Where CONFIGURE_MEM_SLOTS is negotiated
 * further ones follow it one by one, and later changes need no new table.
 */
#include "dm/frontend_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd_keep.h"

bool frontend_has_slots(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

int frontend_slots_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    if (msg->payload.u64 == 0)
        return frontend_fail(fe, -EPROTO, "it says that it takes no memory");
    fe->nr_slots = (size_t)MIN(msg->payload.u64, (uint64_t)FRONTEND_MAX_SLOTS);
    return FRONTEND_STEP_DONE;
}

/* Bytes in a second: what the slowest of machines does, that is emulated and has a PVH dom0. */
#define MAPPING_RATE (double)MIB(8)

double frontend_mapping_seconds(const struct frontend *fe)
{
    uint64_t len = 0;

    if (fe->awaiting != VHOST_USER_SET_MEM_TABLE && fe->awaiting != VHOST_USER_ADD_MEM_REG)
        return 0;
    for (size_t i = 0; i < fe->nr_told; i++)
        if (fe->told[i].xen_flags != 0)
            len += fe->told[i].len;
    return (double)len / MAPPING_RATE;
}

/* ---- messages --------------------------------------------------------------------------------------- */

static bool xen_form(const struct frontend *fe)
{
    return frontend_has(fe, VHOST_USER_PROTOCOL_F_XEN_MMAP);
}

static struct vhost_user_xen_region region_build(const struct frontend_region *r)
{
    return (struct vhost_user_xen_region){
        .plain = {.gpa = r->gpa, .size = r->len, .user_addr = r->user_addr, .mmap_offset = r->mmap_offset},
        .xen_flags = r->xen_flags,
        .domid = r->domid,
    };
}

static void table_build(const struct frontend *fe, struct vhost_user_msg *msg,
                        const struct frontend_region *regions, size_t nr)
{
    struct vhost_user_mem_table *t = &msg->payload.table;
    size_t size = xen_form(fe) ? sizeof(t->regions.xen[0]) : sizeof(t->regions.plain[0]);

    t->nr_regions = (uint32_t)nr;
    t->padding = 0;
    for (size_t i = 0; i < nr; i++) {
        struct vhost_user_xen_region r = region_build(&regions[i]);

        if (xen_form(fe))
            t->regions.xen[i] = r;
        else
            t->regions.plain[i] = r.plain;
        msg->fds[msg->nr_fds++] = regions[i].fd;
    }
    msg->header.size = (uint32_t)(VHOST_USER_MEM_TABLE_HEADER + nr * size);
}

static void single_build(const struct frontend *fe, struct vhost_user_msg *msg,
                         const struct frontend_region *region)
{
    struct vhost_user_single_xen_region single = {.region = region_build(region)};

    /* The plain form is what the other one begins with. */
    msg->payload.xen_region = single;
    msg->header.size = xen_form(fe) ? sizeof(msg->payload.xen_region) : (uint32_t)sizeof(msg->payload.region);
}

static void told_add(struct frontend *fe, const struct frontend_region *region)
{
    struct frontend_region *told = &fe->told[fe->nr_told++];

    *told = *region;
    told->fd = -1;
}

/* ---- at the start ----------------------------------------------------------------------------------- */

static size_t start_table_len(const struct frontend *fe)
{
    return MIN(fe->setup->nr_regions, (size_t)FRONTEND_MAX_REGIONS);
}

void frontend_table_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    table_build(fe, msg, fe->setup->regions, start_table_len(fe));
}

void frontend_table_sent(struct frontend *fe)
{
    fe->nr_told = 0;
    for (size_t i = 0; i < start_table_len(fe); i++)
        told_add(fe, &fe->setup->regions[i]);
    fe->setup->nr_told = fe->nr_told;
}

bool frontend_start_has_more(const struct frontend *fe)
{
    return fe->setup->nr_told < MIN(fe->setup->nr_regions, fe->nr_slots);
}

void frontend_start_add_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    const struct frontend_region *region = &fe->setup->regions[fe->setup->nr_told];

    single_build(fe, msg, region);
    msg->fds[msg->nr_fds++] = region->fd;
}

void frontend_start_add_sent(struct frontend *fe)
{
    told_add(fe, &fe->setup->regions[fe->setup->nr_told++]);
}

/* A back-end that takes no more has the guest's memory, and goes on with that: more is not tried. */
int frontend_add_reply(struct frontend *fe, const struct vhost_user_msg *msg)
{
    if (msg->payload.u64 == 0)
        return FRONTEND_STEP_DONE;
    if (fe->told[fe->nr_told - 1].id == 0)
        return frontend_fail(fe, -EREMOTEIO, "it refused a part of the guest's memory (reply 0x%llx)",
                             (unsigned long long)msg->payload.u64);
    fe->nr_told--;
    fe->nr_slots = fe->nr_told;
    log_limited(&fe->memory_limit, LOG_LEVEL_WARNING,
                "%s: the back-end refused shared memory of another device (0x%llx): it is told of no more",
                fe->name, (unsigned long long)msg->payload.u64);
    return FRONTEND_STEP_DONE;
}

/* ---- later ------------------------------------------------------------------------------------------ */

void frontend_plan_free(struct frontend *fe)
{
    struct frontend_memory_plan *plan = fe->plan;

    if (plan == NULL)
        return;
    for (size_t i = plan->next_fresh; i < plan->nr_fresh; i++)
        close(plan->fresh[i].fd);
    free(plan);
    fe->plan = NULL;
}

static bool region_is_in(const struct frontend_region *r, const struct frontend_region *list, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        if (list[i].gpa == r->gpa && list[i].len == r->len && list[i].id == r->id)
            return true;
    return false;
}

/* What cannot be kept until it is sent is left out: false. */
static bool plan_add(struct frontend *fe, const struct frontend_region *region)
{
    struct frontend_region *fresh = &fe->plan->fresh[fe->plan->nr_fresh];

    *fresh = *region;
    fresh->fd = fd_keep(region->fd);
    if (fresh->fd >= 0) {
        fe->plan->nr_fresh++;
        return true;
    }
    log_limited(&fe->memory_limit, LOG_LEVEL_WARNING,
                "%s: the back-end is not told of memory: this process keeps no more files open", fe->name);
    return false;
}

static int plan_make(struct frontend *fe)
{
    struct frontend_region *now = calloc(FRONTEND_MAX_SLOTS, sizeof(*now));
    struct frontend_memory_plan *plan = calloc(1, sizeof(*plan));
    bool whole = true;
    size_t nr;

    fe->plan = plan;
    if (now == NULL || plan == NULL) {
        free(now);
        return frontend_fail(fe, -ENOMEM, "no memory to tell it of other memory");
    }
    nr = fe->callbacks->memory(fe->ctx, fe->told, fe->nr_told, now, fe->nr_slots);
    for (size_t i = 0; i < fe->nr_told; i++)
        if (!region_is_in(&fe->told[i], now, nr))
            plan->gone[plan->nr_gone++] = fe->told[i];
    plan->table = !frontend_has_slots(fe) && (plan->nr_gone > 0 || nr != fe->nr_told);
    for (size_t i = 0; i < nr; i++)
        if (plan->table || !region_is_in(&now[i], fe->told, fe->nr_told))
            whole &= plan_add(fe, &now[i]) || now[i].id != 0;
    free(now);
    /* A table without the guest's memory is worse than an old one. */
    if (!whole) {
        frontend_plan_free(fe);
        fe->plan = calloc(1, sizeof(*fe->plan));
        return fe->plan != NULL ? 0 : frontend_fail(fe, -ENOMEM, "no memory to tell it of other memory");
    }
    return 0;
}

static bool plan_has_gone(const struct frontend *fe)
{
    return !fe->plan->table && fe->plan->next_gone < fe->plan->nr_gone;
}

static void remove_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    single_build(fe, msg, &fe->plan->gone[fe->plan->next_gone]);
}

static void remove_sent(struct frontend *fe)
{
    const struct frontend_region *gone = &fe->plan->gone[fe->plan->next_gone++];

    for (size_t i = 0; i < fe->nr_told; i++)
        if (region_is_in(gone, &fe->told[i], 1)) {
            fe->told[i] = fe->told[--fe->nr_told];
            return;
        }
}

static bool plan_has_fresh(const struct frontend *fe)
{
    return !fe->plan->table && fe->plan->next_fresh < fe->plan->nr_fresh && fe->nr_told < fe->nr_slots;
}

static void add_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    const struct frontend_region *fresh = &fe->plan->fresh[fe->plan->next_fresh];

    single_build(fe, msg, fresh);
    msg->fds[msg->nr_fds++] = fresh->fd;
}

static void add_sent(struct frontend *fe)
{
    struct frontend_region *fresh = &fe->plan->fresh[fe->plan->next_fresh++];

    told_add(fe, fresh);
    close(fresh->fd);
}

static bool plan_has_table(const struct frontend *fe)
{
    return fe->plan->table;
}

static void new_table_build(struct frontend *fe, struct vhost_user_msg *msg)
{
    table_build(fe, msg, fe->plan->fresh, fe->plan->nr_fresh);
}

static void new_table_sent(struct frontend *fe)
{
    fe->nr_told = 0;
    while (fe->plan->next_fresh < fe->plan->nr_fresh)
        add_sent(fe);
}

const struct frontend_step frontend_memory_steps[] = {
    {.answer = FRONTEND_STEP_LOCAL, .prepare = plan_make},
    /* First, as they may be in the way of others. */
    {VHOST_USER_REM_MEM_REG, .answer = FRONTEND_STEP_ACK, .wanted = plan_has_gone, .build = remove_build,
     .sent = remove_sent, .more = plan_has_gone},
    {VHOST_USER_ADD_MEM_REG, .answer = FRONTEND_STEP_ACK, .wanted = plan_has_fresh, .build = add_build,
     .sent = add_sent, .reply = frontend_add_reply, .more = plan_has_fresh},
    {VHOST_USER_SET_MEM_TABLE, .answer = FRONTEND_STEP_ACK, .wanted = plan_has_table,
     .build = new_table_build, .sent = new_table_sent},
    {0},
};
