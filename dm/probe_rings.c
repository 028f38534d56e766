// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * probe_rings.c - the guest of a probe, see probe.h. Its driver makes empty queues and no requests: so a
 * back-end has nothing to read, nothing to answer, and no reason to write anywhere but to the flags and the
 * event index of its used rings.
 */
#include "dm/probe.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "dm/local.h"
#include "dm/shared_eventfd.h"

#define MAX_LOW_MEMORY GIB(2)
/* Rings are numbered unlike guest-physical addresses, so that who mixes them up is found out. */
#define USER_BASE ((uint64_t)1 << 44)
#define RINGS_GPA MIB(1)
#define RING_LEN  (2 * GUEST_PAGE_SIZE) /* descriptors and avail ring in one page, used ring in the other */

static const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "probe";

static uint64_t desc_gpa(unsigned queue)
{
    return RINGS_GPA + queue * RING_LEN;
}

static uint64_t avail_gpa(unsigned queue)
{
    return desc_gpa(queue) + PROBE_QUEUE_SIZE * sizeof(struct vring_desc);
}

static uint64_t used_gpa(unsigned queue)
{
    return desc_gpa(queue) + GUEST_PAGE_SIZE;
}

static uint64_t used_len(void)
{
    return sizeof(struct vring_used) + PROBE_QUEUE_SIZE * sizeof(struct vring_used_elem) + sizeof(uint16_t);
}

static uint64_t low_memory(const struct probe *p)
{
    return MIN(p->memory, MAX_LOW_MEMORY);
}

int probe_guest_make(struct probe *p)
{
    struct local_options options = {
        .name = p->socket,
        .ram_low = low_memory(p),
        .ram_high = p->memory - low_memory(p),
        .ram_fd = -1,
    };
    static const struct local_callbacks callbacks;
    int rc = local_new(&p->hv, &options, &callbacks, p), holder;

    if (rc == 0)
        rc = saved_state_open(&p->saved, NULL, identity, &holder);
    if (rc == 0)
        rc = guest_init(&p->guest, p->loop, p->hv, p->saved);
    p->guest_made = rc == 0;
    for (unsigned i = 0; i < FRONTEND_MAX_QUEUES; i++)
        p->queues[i] = (struct probe_queue){.kick_fd = -1, .call_fd = -1};
    return rc;
}

void probe_guest_free(struct probe *p)
{
    for (unsigned i = 0; i < FRONTEND_MAX_QUEUES && p->hv != NULL; i++) {
        if (p->queues[i].kick_fd >= 0)
            close(p->queues[i].kick_fd);
        if (p->queues[i].call_fd >= 0)
            close(p->queues[i].call_fd);
    }
    if (p->shmem != NULL)
        shmem_hide(p->shmem);
    shmem_free(p->shmem);
    if (p->guest_made)
        guest_fini(&p->guest);
    if (p->hv != NULL)
        p->hv->ops->detach(p->hv);
    saved_state_close(p->saved, true);
}

static struct frontend_region memory_region(const struct probe *p, uint64_t gpa, uint64_t offset,
                                            uint64_t len)
{
    return (struct frontend_region){.gpa = gpa,
                                    .len = len,
                                    .user_addr = USER_BASE + gpa,
                                    .mmap_offset = offset,
                                    .fd = local_ram_fd(p->hv)};
}

static int queue_make(struct probe *p, unsigned i, struct frontend_queue *queue)
{
    struct probe_queue *q = &p->queues[i];

    q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->kick_fd < 0 || q->call_fd < 0)
        return -errno;
    *queue = (struct frontend_queue){
        .enabled = true,
        .size = PROBE_QUEUE_SIZE,
        .desc = USER_BASE + desc_gpa(i),
        .avail = USER_BASE + avail_gpa(i),
        .used = USER_BASE + used_gpa(i),
        .kick_fd = q->kick_fd,
        .call_fd = q->call_fd,
    };
    return 0;
}

int probe_rings_start(struct probe *p, unsigned nr)
{
    const struct frontend_region regions[] = {
        memory_region(p, 0, 0, low_memory(p)),
        memory_region(p, LOCAL_RAM_HIGH_GPA, low_memory(p), p->memory - low_memory(p)),
    };
    struct frontend_queue queues[FRONTEND_MAX_QUEUES] = {0};
    struct frontend_start start = {
        /* Features of the type are not needed: nothing will be asked for. */
        .features = frontend_features(p->fe) & (uint64_t)1 << VIRTIO_F_VERSION_1,
        .nr_regions = regions[1].len > 0 ? 2 : 1,
        .regions = regions,
        .nr_queues = nr,
        .queues = queues,
    };
    int rc = 0;

    for (unsigned i = 0; i < nr && rc == 0; i++)
        rc = queue_make(p, i, &queues[i]);
    for (unsigned i = 0; i < nr && rc == 0; i++)
        p->queues[i].started = true;
    return rc == 0 ? frontend_start(p->fe, &start) : rc;
}

void probe_rings_kick(struct probe *p)
{
    for (unsigned i = 0; i < FRONTEND_MAX_QUEUES; i++)
        if (p->queues[i].started && shared_eventfd_signal(p->queues[i].kick_fd) != 0)
            probe_violation(p, "queue %u: its kick eventfd blocks", i);
}

/* ---- what the back-end has done ----------------------------------------------------------------- */

static void queue_check(struct probe *p, unsigned i)
{
    const struct vring_used *used = local_ram(p->hv, used_gpa(i), used_len());
    uint16_t base;

    if (frontend_queue_base(p->fe, i, &base) == 0 && base != 0)
        probe_violation(p, "queue %u: it says that it has taken %u requests, of which there were none", i,
                        base);
    if (used->idx != 0)
        probe_violation(p, "queue %u: it has answered %u requests, of which there were none", i, used->idx);
}

/* Whether the back-end may write to that byte. */
static bool is_writable(const struct probe *p, uint64_t gpa)
{
    uint64_t ring = gpa - RINGS_GPA, offset = ring % RING_LEN;

    if (gpa < RINGS_GPA || ring / RING_LEN >= FRONTEND_MAX_QUEUES || !p->queues[ring / RING_LEN].started ||
        offset < GUEST_PAGE_SIZE)
        return false;
    offset -= GUEST_PAGE_SIZE;
    return offset < used_len();
}

static bool page_check(struct probe *p, uint64_t gpa)
{
    const uint8_t *page = local_ram(p->hv, gpa, GUEST_PAGE_SIZE);

    for (uint64_t i = 0; i < GUEST_PAGE_SIZE; i++)
        if (page[i] != 0 && !is_writable(p, gpa + i)) {
            probe_violation(p, "it wrote to guest memory that belongs to no request (guest-physical 0x%llx)",
                            (unsigned long long)(gpa + i));
            return false;
        }
    return true;
}

/* Pages that nobody has touched are holes in the file. */
static void memory_check(struct probe *p)
{
    int fd = local_ram_fd(p->hv);
    off_t at = 0, hole;

    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        hole = lseek(fd, at, SEEK_HOLE);
        for (; at < hole; at += (off_t)GUEST_PAGE_SIZE) {
            uint64_t offset = (uint64_t)at, low = low_memory(p);

            if (!page_check(p, offset < low ? offset : LOCAL_RAM_HIGH_GPA + offset - low))
                return;
        }
    }
}

void probe_rings_check(struct probe *p)
{
    for (unsigned i = 0; i < FRONTEND_MAX_QUEUES; i++)
        if (p->queues[i].started)
            queue_check(p, i);
    memory_check(p);
}
