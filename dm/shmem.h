/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shmem.h - the VIRTIO shared memory regions of one device: what the back-end maps into each, where the guest
 * sees it, and how its pages get there (placements).
 *
 * A device has up to 256 regions, by shmid. They lie in one window of guest-physical addresses, which the
 * transport places and moves (a BAR, or a fixed range for virtio-mmio). In the guest's region table a region
 * is one REGION_WINDOW; behind it is a table of the region's own, by offset, of what is mapped, so that
 * moving a window costs nothing for each mapping.
 *
 * Used by dm/device.c, which passes on the back-end's requests; by the transports; by guest.c for accesses
 * and copies. Errors are negative errno; *why is for people and a static string.
 */
#ifndef VHOST_DM_SHMEM_H
#define VHOST_DM_SHMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHMEM_MAX_REGIONS 256 /* shmid is 8 bits (virtio 1.2, section 2.10) */

struct guest;
struct guest_access;
struct shmem;

/* placement=: how pages reach the guest. AUTO: the best that is correct for the mapping. */
enum placement {
    PLACEMENT_AUTO,
    PLACEMENT_FOREIGN, /* pages of the guest's holder domain, in the guest's physmap */
    PLACEMENT_DEVICE,  /* frames of device memory, in the guest's physmap */
    PLACEMENT_COPY,    /* pages of the guest's own, filled once from what cannot change any more */
    PLACEMENT_TRAP,    /* no pages: every access comes to us */
    NR_PLACEMENTS,
};

struct shmem_options {
    enum placement placement; /* demanded, or AUTO */
    uint64_t max_mappings;    /* 0: SHMEM_DEFAULT_MAPPINGS */
    uint64_t max_bytes;       /* of all live mappings; 0: no limit but the regions' sizes */
};

#define SHMEM_DEFAULT_MAPPINGS (4u << 20)
#define SHMEM_MAX_WINDOW       ((uint64_t)1 << 40) /* bytes: all regions of a device */

struct shmem_request {
    uint8_t shmid;
    bool writable;
    int fd;                              /* borrowed; of a MAP only */
    uint64_t fd_offset, shm_offset, len; /* bytes */
};

struct shmem_region_info {
    uint8_t shmid;
    uint64_t offset; /* in the window: a multiple of the region's alignment */
    uint64_t len;    /* bytes, a multiple of pages */
};

/*
 * Makes the regions of a device from the sizes that its back-end said (by shmid, 0: none). guest is borrowed,
 * name is copied. 0; -EINVAL and *why: a size is not a multiple of pages, or all are more than
 * SHMEM_MAX_WINDOW; -ENOMEM.
 */
int shmem_new(struct shmem **out, struct guest *guest, const char *name,
              const uint64_t sizes[SHMEM_MAX_REGIONS], const struct shmem_options *options, const char **why);
/* Unmaps all and frees; the window must not be in the guest any more. NULL is allowed. */
void shmem_free(struct shmem *shmem);

/* Whether a back-end that was connected again says the same sizes. */
bool shmem_same_sizes(const struct shmem *shmem, const uint64_t sizes[SHMEM_MAX_REGIONS]);

/* The regions, in ascending order of shmid; and the window, a power of two, in which they lie. */
size_t shmem_nr_regions(const struct shmem *shmem);
struct shmem_region_info shmem_region_at(const struct shmem *shmem, size_t i);
/* The region of that shmid; false: there is none. */
bool shmem_region_find(const struct shmem *shmem, uint8_t shmid, struct shmem_region_info *info);
uint64_t shmem_window_len(const struct shmem *shmem);

/* The transport shows the window to the guest at gpa, with all that is mapped / takes it away. -EEXIST:
 * something else is there; nothing has changed then. */
int shmem_show(struct shmem *shmem, uint64_t gpa);
void shmem_hide(struct shmem *shmem);
/* An access to the window at offset, for a transport's indirect ways (VIRTIO_PCI_CAP_PCI_CFG); any len and
 * unit. Unmapped parts read all ones; writes there and to read-only mappings are ignored. Never faults. */
void shmem_access(void *opaque, uint64_t offset, struct guest_access *access);

/* The back-end's requests. 0: the mapping is live for the guest / is gone. Otherwise nothing has changed,
 * *why says which field broke which rule. */
int shmem_map(struct shmem *shmem, const struct shmem_request *request, const char **why);
int shmem_unmap(struct shmem *shmem, const struct shmem_request *request, const char **why);
/* At a device reset, a lost back-end and the guest's end. */
void shmem_unmap_all(struct shmem *shmem);

/* Copies from and to what is mapped at gpa, which lies in a REGION_WINDOW whose opaque is window. 0, or
 * -EFAULT: a part is not mapped, is read-only (for a write), or its file has become shorter. */
int shmem_window_copy(void *window, uint64_t gpa, void *buf, size_t len, bool to_guest);
/* Whether all of the range is mapped (and writable, if asked). */
bool shmem_window_covers(void *window, uint64_t gpa, uint64_t len, bool writable);

/* For who looks for memory in the guest's region table: what a REGION_WINDOW whose opaque is window shows of
 * the file that a back-end sent. */
struct shmem_window_mapping {
    uint64_t gpa, len, fd_offset; /* bytes */
    uint32_t serial;              /* not that of what was mapped there before */
    bool plain;                   /* whoever maps fd, to read and write, has the same memory as the guest */
    int fd;                       /* borrowed, as long as the mapping is there */
};
/* Whose window it is; how many mappings are in it. */
const struct shmem *shmem_window_owner(const void *window);
size_t shmem_window_nr_mappings(const void *window);
/* The mapping that is at gpa or, if there is none, the next one in the window; false: neither. */
bool shmem_window_mapping_from(const void *window, uint64_t gpa, struct shmem_window_mapping *mapping);

struct shmem_stats {
    uint64_t nr_mappings, bytes;        /* live */
    uint64_t maps, unmaps, refused;     /* requests so far */
    uint64_t unmapped_accesses, faults; /* by the guest: where nothing is mapped; where the file has shrunk */
};
struct shmem_stats shmem_stats_get(const struct shmem *shmem);

/* For status: what is mapped in region i by that placement now, and why it was no better one, the last time
 * that it was not (NULL: it always was the best). */
struct shmem_placed {
    uint64_t nr_mappings, bytes;
    const char *why;
};
struct shmem_placed shmem_placed_get(const struct shmem *shmem, size_t i, enum placement placement);
/* Where the guest sees the window; false: nowhere at present. */
bool shmem_gpa(const struct shmem *shmem, uint64_t *gpa);
/* The mapping at offset of region i or, if there is none, the next one; false: neither. */
struct shmem_mapping {
    uint64_t offset, len; /* bytes, in the region */
    bool writable;
    enum placement placement;
};
bool shmem_mapping_from(const struct shmem *shmem, size_t i, uint64_t offset, struct shmem_mapping *mapping);

#endif
