// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement_trap.c - the placement that is always correct: no page is put into the guest, so each access
 * comes to us (shmem_access) and acts on our own mapping of the file, at once and coherently. The price is an
 * exit for each.
 */
#include <stddef.h>

#include "dm/placement.h"

const struct placement_ops placement_trap = {.id = PLACEMENT_TRAP, .name = "trap"};
