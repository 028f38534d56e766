// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement.c - see placement.h: the table of placements, best first.
 */
#include "dm/placement.h"

#include <stddef.h>
#include <string.h>

#include "common/util.h"

static const struct placement_ops *const placements[] = {
    &placement_foreign,
    &placement_device,
    &placement_copy,
    &placement_trap,
};

const struct placement_ops *placement_choose(struct guest *guest, const struct placement_range *range,
                                             enum placement demanded, const char **why)
{
    *why = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(placements); i++) {
        const char *refusal;

        if (demanded != PLACEMENT_AUTO && placements[i]->id != demanded)
            continue;
        refusal = placements[i]->refuses != NULL ? placements[i]->refuses(guest, range) : NULL;
        if (refusal == NULL)
            return placements[i];
        if (*why == NULL)
            *why = refusal;
    }
    if (*why == NULL)
        *why = "this hypervisor does not have the placement that is demanded";
    return NULL;
}

const struct placement_ops *placement_get(enum placement id)
{
    for (size_t i = 0; i < ARRAY_SIZE(placements); i++)
        if (placements[i]->id == id)
            return placements[i];
    return NULL;
}

bool placement_by_name(const char *name, enum placement *id)
{
    *id = PLACEMENT_AUTO;
    if (strcmp(name, "auto") == 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(placements); i++)
        if (strcmp(placements[i]->name, name) == 0) {
            *id = placements[i]->id;
            return true;
        }
    return false;
}
