// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hotplug.c - see hotplug.h.
 *
 * The interrupt is up while a bit of either register is set and the guest wants to know. What the guest
 * programmed, and what it has not read yet, is in the saved state: after a kill the line is driven anew as
 * that says.
 *
 * An access that is not of one whole register reads all ones, and is ignored if it is a write; a register
 * that is not there reads 0. What a guest writes can harm nobody else: it chooses among its own interrupts.
 */
#include "dm/hotplug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/saved_state.h"
#include "dm/guest.h"

#define VERSION 1

/* Plain data, in the saved state. */
struct hotplug_saved {
    uint32_t irq; /* 0: the guest does not want to be told */
    uint32_t inserted, eject;
};

struct hotplug {
    struct guest *guest;         /* borrowed */
    uint64_t gpa;                /* of the registers */
    struct hotplug_saved *saved; /* borrowed from guest->saved */
    bool line;                   /* what the hypervisor was last told of saved->irq */
    struct log_limit limit;
};

/* ---- the interrupt ------------------------------------------------------------------------------------- */

static int line_drive(struct hotplug *hp, uint32_t irq, bool level)
{
    struct guest *guest = hp->guest;

    if (irq < 32 && guest->device_irqs >> irq & 1)
        return -EBUSY;
    return guest->hv->ops->irq_set(guest->hv, irq, level);
}

static void line_update(struct hotplug *hp)
{
    struct hotplug_saved *saved = hp->saved;
    bool level = saved->irq != 0 && (saved->inserted | saved->eject) != 0;
    int rc;

    if (level == hp->line)
        return;
    hp->line = level;
    rc = line_drive(hp, saved->irq, level);
    if (rc < 0)
        log_limited(&hp->limit, LOG_LEVEL_WARNING,
                    "%s: the interrupt by which it is told of devices, %u, cannot be %s: %s",
                    hp->guest->hv->name, saved->irq, level ? "raised" : "lowered", strerror(-rc));
}

/* The guest wants to be told by that one, if it can be. What it was told of before waits for it no longer
 * when it does not want to know. */
static void irq_choose(struct hotplug *hp, uint32_t irq)
{
    struct hotplug_saved *saved = hp->saved;
    int rc;

    if (irq == saved->irq)
        return;
    if (hp->line)
        line_drive(hp, saved->irq, false);
    hp->line = false;
    saved->irq = 0;
    rc = irq == 0 ? 0 : line_drive(hp, irq, false);
    if (rc < 0)
        log_limited(&hp->limit, LOG_LEVEL_WARNING,
                    "%s: the guest's table asks to be told of devices by interrupt %u: %s",
                    hp->guest->hv->name, irq,
                    rc == -EBUSY ? "a device of transport=mmio has it" : strerror(-rc));
    else
        saved->irq = irq;
    if (saved->irq == 0)
        saved->inserted = saved->eject = 0;
    else
        log_limited(&hp->limit, LOG_LEVEL_INFO,
                    "%s: the guest is told of devices that come and go, by interrupt %u", hp->guest->hv->name,
                    irq);
    line_update(hp);
}

/* ---- registers ----------------------------------------------------------------------------------------- */

static uint32_t register_get(const struct hotplug *hp, uint64_t reg)
{
    switch (reg) {
    case HOTPLUG_REG_MAGIC:
        return HOTPLUG_MAGIC;
    case HOTPLUG_REG_VERSION:
        return VERSION;
    case HOTPLUG_REG_IRQ:
        return hp->saved->irq;
    case HOTPLUG_REG_INSERTED:
        return hp->saved->inserted;
    case HOTPLUG_REG_EJECT:
        return hp->saved->eject;
    default:
        return 0;
    }
}

static void register_set(struct hotplug *hp, uint64_t reg, uint32_t value)
{
    switch (reg) {
    case HOTPLUG_REG_IRQ:
        irq_choose(hp, value);
        break;
    case HOTPLUG_REG_INSERTED:
        hp->saved->inserted &= ~value;
        line_update(hp);
        break;
    case HOTPLUG_REG_EJECT:
        hp->saved->eject &= ~value;
        line_update(hp);
        break;
    default: /* read-only, or not there */
        break;
    }
}

static void unit_access(void *opaque, uint64_t offset, struct guest_access *unit)
{
    struct hotplug *hp = opaque;

    if (unit->size != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) {
        if (!unit->write)
            memset(unit->data, 0xff, unit->size);
        return;
    }
    if (unit->write)
        register_set(hp, offset, (uint32_t)access_get(unit, 0));
    else
        access_set(unit, 0, register_get(hp, offset));
}

static void register_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    access_units(access, offset, unit_access, opaque);
}

/* ---- what the guest is told ---------------------------------------------------------------------------- */

bool hotplug_wanted(const struct hotplug *hp)
{
    return hp != NULL && hp->saved->irq != 0;
}

void hotplug_insert(struct hotplug *hp, unsigned slot)
{
    if (!hotplug_wanted(hp) || slot > 31)
        return;
    hp->saved->inserted |= 1u << slot;
    line_update(hp);
}

void hotplug_eject(struct hotplug *hp, unsigned slot)
{
    if (!hotplug_wanted(hp) || slot > 31)
        return;
    /* There is nothing new any more; and as the guest ejects first, it would find the same thing again. */
    hp->saved->inserted &= ~(1u << slot);
    hp->saved->eject |= 1u << slot;
    line_update(hp);
}

void hotplug_eject_withdraw(struct hotplug *hp, unsigned slot)
{
    if (!hotplug_wanted(hp) || slot > 31)
        return;
    hp->saved->eject &= ~(1u << slot);
    line_update(hp);
}

/* ---- life cycle ---------------------------------------------------------------------------------------- */

/* A predecessor may have died anywhere between changing the state and telling the hypervisor. The state comes
 * from a file that may be damaged. */
static void resume(struct hotplug *hp)
{
    struct hotplug_saved *saved = hp->saved;

    if (saved->irq == 0 || line_drive(hp, saved->irq, false) < 0)
        *saved = (struct hotplug_saved){0};
    line_update(hp);
}

int hotplug_new(struct hotplug **out, struct guest *guest, uint64_t gpa)
{
    struct hotplug *hp = calloc(1, sizeof(*hp));
    bool resumed;
    int rc;

    if (hp == NULL)
        return -ENOMEM;
    hp->guest = guest;
    hp->gpa = gpa;
    hp->saved = saved_state_area(guest->saved, "hotplug", sizeof(*hp->saved), &resumed);
    rc = hp->saved == NULL ? -errno : guest_mmio_add(guest, gpa, HOTPLUG_LEN, register_access, hp);
    if (rc < 0) {
        free(hp);
        return rc;
    }
    resume(hp);
    *out = hp;
    return 0;
}

void hotplug_free(struct hotplug *hp)
{
    if (hp == NULL)
        return;
    guest_mmio_remove(hp->guest, hp->gpa, HOTPLUG_LEN);
    if (hp->line)
        line_drive(hp, hp->saved->irq, false);
    free(hp);
}
