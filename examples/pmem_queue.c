// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmem_queue.c - see pmem_queue.h.
 */
#include "examples/pmem_queue.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_pmem.h>
#include <linux/virtio_ring.h>

#include "common/util.h"
#include "examples/pmem_xen.h"

#define PMEM_FAILED UINT32_MAX /* virtio_pmem_resp.ret (virtio 1.2, 5.19.6.1: -1) */

/* ---- memory ------------------------------------------------------------------------------------- */

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static int region_check(const struct pmem_queue *q, const struct vhost_user_region *region)
{
    if (region->size == 0 || region->gpa > UINT64_MAX - region->size ||
        region->user_addr > UINT64_MAX - region->size || region->mmap_offset > INT64_MAX ||
        region->size > INT64_MAX - region->mmap_offset)
        return -EINVAL;
    if (q->nr_regions == PMEM_MAX_REGIONS)
        return -ENOSPC;
    for (unsigned i = 0; i < q->nr_regions; i++) {
        const struct vhost_user_region *other = &q->regions[i].said;

        if (overlap(other->gpa, other->size, region->gpa, region->size) ||
            overlap(other->user_addr, other->size, region->user_addr, region->size))
            return -EINVAL;
    }
    return 0;
}

int pmem_queue_add_xen_memory(struct pmem_queue *q, const struct vhost_user_xen_region *region, int fd)
{
    const struct vhost_user_region *plain = &region->plain;
    uint8_t *absent = NULL;
    void *map;
    int err = region_check(q, plain);

    if (err == 0)
        err = pmem_xen_check(region);
    if (err == 0 && region->xen_flags != 0) {
        err = pmem_xen_map(region, fd, &map, &absent);
    } else if (err == 0) {
        /* From the beginning of the file: mmap_offset need not be a multiple of its pages, which may be huge.
         */
        map = mmap(NULL, plain->mmap_offset + plain->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        err = map == MAP_FAILED ? -errno : 0;
    }
    if (err == 0)
        q->regions[q->nr_regions++] = (struct pmem_region){.said = *plain, .map = map, .absent = absent};
    return err;
}

int pmem_queue_add_memory(struct pmem_queue *q, const struct vhost_user_region *region, int fd)
{
    return pmem_queue_add_xen_memory(q, &(struct vhost_user_xen_region){.plain = *region}, fd);
}

static void region_remove(struct pmem_queue *q, unsigned i)
{
    struct pmem_region *r = &q->regions[i];

    munmap(r->map, r->said.mmap_offset + r->said.size);
    free(r->absent);
    *r = q->regions[--q->nr_regions];
}

int pmem_queue_remove_memory(struct pmem_queue *q, const struct vhost_user_region *region)
{
    for (unsigned i = 0; i < q->nr_regions; i++) {
        const struct vhost_user_region *said = &q->regions[i].said;

        if (said->gpa != region->gpa || said->size != region->size || said->user_addr != region->user_addr)
            continue;
        region_remove(q, i);
        return 0;
    }
    return -ENOENT;
}

void pmem_queue_remove_all_memory(struct pmem_queue *q)
{
    while (q->nr_regions > 0)
        region_remove(q, 0);
}

static bool is_present(const struct pmem_region *r, uint64_t offset, uint64_t len)
{
    for (uint64_t page = offset >> GUEST_PAGE_SHIFT;
         r->absent != NULL && len > 0 && page <= (offset + len - 1) >> GUEST_PAGE_SHIFT; page++)
        if (r->absent[page / 8] >> page % 8 & 1)
            return false;
    return true;
}

/* [addr, addr + len) in our memory, or NULL if it is not wholly in one region. Rings are numbered by
 * user_addr, buffers by gpa. */
static void *memory_at(const struct pmem_queue *q, bool by_gpa, uint64_t addr, uint64_t len)
{
    for (unsigned i = 0; i < q->nr_regions; i++) {
        const struct pmem_region *r = &q->regions[i];
        uint64_t first = by_gpa ? r->said.gpa : r->said.user_addr;

        if (addr >= first && range_within(addr - first, len, r->said.size) &&
            is_present(r, addr - first, len))
            return r->map + r->said.mmap_offset + (addr - first);
    }
    return NULL;
}

/* ---- the ring ----------------------------------------------------------------------------------- */

struct ring {
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
};

/* Where the ring is now: the front-end may replace its memory while the ring runs. */
static bool ring_find(const struct pmem_queue *q, struct ring *ring)
{
    ring->desc = memory_at(q, false, q->desc, sizeof(ring->desc[0]) * q->size);
    ring->avail = memory_at(q, false, q->avail, sizeof(*ring->avail) + 2 * q->size);
    ring->used = memory_at(q, false, q->used, sizeof(*ring->used) + sizeof(ring->used->ring[0]) * q->size);
    return ring->desc != NULL && ring->avail != NULL && ring->used != NULL &&
           (uintptr_t)ring->desc % VRING_DESC_ALIGN_SIZE == 0 &&
           (uintptr_t)ring->avail % VRING_AVAIL_ALIGN_SIZE == 0 &&
           (uintptr_t)ring->used % VRING_USED_ALIGN_SIZE == 0;
}

static uint16_t load16(const __virtio16 *p)
{
    return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

/* The driver has to reset the device; the front-end hears of it, if it gave us a way. */
static unsigned queue_broken(struct pmem_queue *q, const char *what)
{
    log_limited(
        &q->limit, LOG_LEVEL_ERROR,
        "the driver broke the rules of its queue: %s; its requests are not served until it resets the "
        "device",
        what);
    q->broken = true;
    if (q->err_fd >= 0)
        eventfd_write(q->err_fd, 1);
    return 0;
}

/* Copies between buf and what a chain's descriptors of one direction begin with. Returns the number of bytes
 * copied (less than len: the chain has no more); -EINVAL, and *why: no such chain is allowed. */
static int chain_copy(const struct pmem_queue *q, const struct ring *ring, uint16_t head, void *buf,
                      uint32_t len, bool to_driver, const char **why)
{
    uint32_t done = 0;
    uint16_t index = head;

    for (unsigned n = 0; n < q->size; n++) {
        struct vring_desc desc;
        uint16_t flags;

        memcpy(&desc, &ring->desc[index], sizeof(desc));
        flags = le16toh(desc.flags);
        if (((flags & VRING_DESC_F_WRITE) != 0) == to_driver && done < len) {
            uint32_t part = MIN(len - done, le32toh(desc.len));
            void *mem = memory_at(q, true, le64toh(desc.addr), part);

            *why = "a descriptor points to what is not memory";
            if (mem == NULL)
                return -EINVAL;
            memcpy(to_driver ? mem : (uint8_t *)buf + done, to_driver ? (uint8_t *)buf + done : mem, part);
            done += part;
        }
        *why = "an indirect descriptor, which was not negotiated";
        if ((flags & VRING_DESC_F_INDIRECT) != 0)
            return -EINVAL;
        if ((flags & VRING_DESC_F_NEXT) == 0)
            return (int)done;
        index = le16toh(desc.next);
        *why = "a descriptor's next is beyond the table";
        if (index >= q->size)
            return -EINVAL;
    }
    *why = "a chain of descriptors without end";
    return -EINVAL;
}

unsigned pmem_queue_take(struct pmem_queue *q)
{
    struct ring ring;
    const char *why;
    uint16_t avail;

    if (!q->started || !q->enabled || q->broken)
        return 0;
    if (!ring_find(q, &ring))
        return queue_broken(q, "it is not in memory, or not aligned");
    avail = load16(&ring.avail->idx);
    if ((uint16_t)(avail - q->last_avail) > q->size - q->nr_taken)
        return queue_broken(q, "more requests are available than it has entries");
    for (; q->last_avail != avail; q->last_avail++) {
        uint16_t head = load16(&ring.avail->ring[q->last_avail % q->size]);
        struct virtio_pmem_req req = {0};
        int len;

        if (head >= q->size)
            return queue_broken(q, "an entry of the avail ring is beyond the table");
        len = chain_copy(q, &ring, head, &req, sizeof(req), false, &why);
        if (len < 0)
            return queue_broken(q, why);
        q->taken[q->nr_taken++] = (struct pmem_taken){
            .head = head, .valid = len == sizeof(req) && le32toh(req.type) == VIRTIO_PMEM_REQ_TYPE_FLUSH};
    }
    return q->nr_taken;
}

void pmem_queue_answer(struct pmem_queue *q, bool ok)
{
    unsigned nr = q->nr_taken;
    struct ring ring;
    const char *why;
    /* All that was taken is answered at once and in order, so the used ring is as far as the avail ring. */
    uint16_t used = (uint16_t)(q->last_avail - nr);

    q->nr_taken = 0;
    if (nr == 0 || q->broken)
        return;
    if (!ring_find(q, &ring)) {
        queue_broken(q, "it is not in memory any more");
        return;
    }
    for (unsigned i = 0; i < nr; i++, used++) {
        struct virtio_pmem_resp resp = {.ret = htole32(ok && q->taken[i].valid ? 0 : PMEM_FAILED)};
        int len = chain_copy(q, &ring, q->taken[i].head, &resp, sizeof(resp), true, &why);
        struct vring_used_elem elem = {.id = htole32(q->taken[i].head), .len = htole32(MAX(len, 0))};

        if (len < 0) {
            queue_broken(q, why);
            return;
        }
        memcpy(&ring.used->ring[used % q->size], &elem, sizeof(elem));
    }
    __atomic_store_n(&ring.used->idx, htole16(used), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* virtio 1.2, 2.7.7.2 */
    if (q->call_fd >= 0 && !(load16(&ring.avail->flags) & VRING_AVAIL_F_NO_INTERRUPT))
        eventfd_write(q->call_fd, 1);
}

/* ---- life cycle --------------------------------------------------------------------------------- */

void pmem_queue_init(struct pmem_queue *q)
{
    *q = (struct pmem_queue){.kick_fd = -1, .call_fd = -1, .err_fd = -1};
}

void pmem_queue_fini(struct pmem_queue *q)
{
    const int fds[] = {q->kick_fd, q->call_fd, q->err_fd};

    pmem_queue_remove_all_memory(q);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pmem_queue_init(q);
}
