/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmem_xen.h - maps a guest's memory by its domain and frame numbers, as a front-end says them that has
 * negotiated XEN_MMAP. Used by pmem_queue.c.
 */
#ifndef VHOST_DM_EXAMPLES_PMEM_XEN_H
#define VHOST_DM_EXAMPLES_PMEM_XEN_H

#include <stdint.h>

#include "common/vhost_user.h"

/* Whether the numbers of a region make sense as what its flags say. 0; -EINVAL; -EOPNOTSUPP: a mapping by
 * grants, or piece by piece. */
int pmem_xen_check(const struct vhost_user_xen_region *region);

/*
 * Maps the region of a guest through fd, an open /dev/xen/privcmd. 0; *map, of region->plain.size bytes, is
 * for munmap(); *absent, for free(): a bit for each page that the guest does not have, or NULL: it has all of
 * them. Or a negative errno; -EOPNOTSUPP: this program was built without Xen.
 */
int pmem_xen_map(const struct vhost_user_xen_region *region, int fd, void **map, uint8_t **absent);

#endif
