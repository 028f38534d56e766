/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hotplug.h - how a running guest learns that PCI functions come and are to go: a few registers and one level
 * interrupt that nobody uses but an ACPI table of ours (examples/hotplug.asl), in which they are a Generic
 * Event Device (ACPI Specification 6.5, 5.6.9). Created by guest_init where the guest can have such a table.
 *
 * No interrupt is driven until the table has said, by writing IRQ, that it is there and which one it has; so
 * a guest without the table sees nothing of this. Registers are 32 bits, little-endian; the bit of a slot is
 * 1 << slot, of bus 0.
 */
#ifndef VHOST_DM_HOTPLUG_H
#define VHOST_DM_HOTPLUG_H

#include <stdbool.h>
#include <stdint.h>

struct guest;
struct hotplug;

#define HOTPLUG_LEN   0x20       /* bytes */
#define HOTPLUG_MAGIC 0x50484456 /* "VDHP" */

enum hotplug_register {
    HOTPLUG_REG_MAGIC = 0x00,
    HOTPLUG_REG_VERSION = 0x04,  /* 1 */
    HOTPLUG_REG_IRQ = 0x08,      /* by which to tell; 0: do not; one that cannot be reads 0 again */
    HOTPLUG_REG_INSERTED = 0x0c, /* slots with something new; a bit that is written as 1 is cleared */
    HOTPLUG_REG_EJECT = 0x10,    /* slots whose function is to be let go of; likewise */
};

/* Puts the registers at gpa. 0, and the caller owns *out; -EEXIST: something else is there; -ENOMEM; or what
 * the saved state or the hypervisor says. */
int hotplug_new(struct hotplug **out, struct guest *guest, uint64_t gpa);
/* NULL is allowed. */
void hotplug_free(struct hotplug *hp);

/* Whether the guest wants to be told. False for NULL, of which all else is ignored as well, as it is while
 * this is false. */
bool hotplug_wanted(const struct hotplug *hp);
/* There is something new in a slot, from 0 to 31. What was to be let go of in it the guest does first. */
void hotplug_insert(struct hotplug *hp, unsigned slot);
/* The guest is to let go of what it knows to be in a slot. */
void hotplug_eject(struct hotplug *hp, unsigned slot);
/* It need not, if it has not read yet that it is to. */
void hotplug_eject_withdraw(struct hotplug *hp, unsigned slot);

#endif
