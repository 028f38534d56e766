// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_load.c - see blk_load.h.
 *
 * The bytes that the device reads (header, and data to be written) and those that it writes (data read, and
 * the status byte) are two streams. Each is cut into segments, at random places unless options.plain; the
 * segments are placed in the slot's memory in random order, each with CANARY_LEN bytes before and behind that
 * the device must leave alone.
 */
#include "tests/local/blk_load.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <linux/virtio_blk.h>

#include "common/util.h"
#include "tests/unit/unit.h"

#define CANARY        0xc5
#define CANARY_LEN    16u
#define POISON        0x9e
#define NOT_WRITTEN   0xee /* no status of virtio-blk */
#define WRITER        255
#define TABLE_LEN     ((BLK_MAX_SEGMENTS + 4) * 16u) /* of the indirect table, at the end of a slot's memory */
#define SLOT_OVERHEAD KIB(16)

static const struct {
    const char *name;
    uint32_t type;
    bool writes_disk, reads_disk;
} types[] = {
    {"read", VIRTIO_BLK_T_IN, false, true},         {"write", VIRTIO_BLK_T_OUT, true, false},
    {"flush", VIRTIO_BLK_T_FLUSH, false, false},    {"get-id", VIRTIO_BLK_T_GET_ID, false, false},
    {"discard", VIRTIO_BLK_T_DISCARD, true, false}, {"write-zeroes", VIRTIO_BLK_T_WRITE_ZEROES, true, false},
};

static void *shared_alloc(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

struct blk_load *blk_load_new(struct virtio_driver *drv, const struct blk_load_options *options,
                              uint64_t seed)
{
    struct blk_load *load = shared_alloc(sizeof(*load));

    load->drv = drv;
    load->options = *options;
    load->rng.state = seed;
    load->shadow = shared_alloc(options->sectors * BLK_SECTOR);
    load->users = shared_alloc(options->sectors);
    load->unknown = shared_alloc(options->sectors);
    load->area_len = (uint32_t)(options->max_len + SLOT_OVERHEAD);
    ck_assert_uint_le(options->nr_slots, BLK_MAX_SLOTS);
    for (unsigned i = 0; i < options->nr_slots; i++) {
        load->slots[i].area = guest_os_alloc(drv->os, load->area_len, 16, i % 3 == 0);
        ck_assert_msg(load->slots[i].area != 0, "no guest memory left for request %u", i);
        load->free_slots[load->nr_free++] = (uint16_t)i;
    }
    return load;
}

void blk_load_free(struct blk_load *load)
{
    munmap(load->shadow, load->options.sectors * BLK_SECTOR);
    munmap(load->users, load->options.sectors);
    munmap(load->unknown, load->options.sectors);
    munmap(load, sizeof(*load));
}

/* ---- sectors ------------------------------------------------------------------------------------ */

static bool sectors_lock(struct blk_load *load, const struct blk_slot *slot)
{
    bool writer = types[slot->type].writes_disk;

    for (uint64_t s = slot->sector; s < slot->sector + slot->nr_sectors; s++)
        if (load->users[s] >= (writer ? 1 : WRITER - 1))
            return false;
    for (uint64_t s = slot->sector; s < slot->sector + slot->nr_sectors; s++)
        load->users[s] = writer ? WRITER : load->users[s] + 1;
    return true;
}

static void sectors_unlock(struct blk_load *load, const struct blk_slot *slot)
{
    for (uint64_t s = slot->sector; s < slot->sector + slot->nr_sectors; s++)
        load->users[s] = types[slot->type].writes_disk ? 0 : load->users[s] - 1;
}

static void sectors_set_unknown(struct blk_load *load, const struct blk_slot *slot, bool unknown)
{
    memset(load->unknown + slot->sector, unknown, slot->nr_sectors);
}

/* ---- making a request --------------------------------------------------------------------------- */

/* Mostly small, as file systems do; now and then as long as allowed. */
static uint32_t random_sectors(struct blk_load *load)
{
    uint32_t max = load->options.max_len / BLK_SECTOR;
    uint32_t limit = rng_one_in(&load->rng, 24)  ? max
                     : rng_one_in(&load->rng, 5) ? MIN(max, 32u)
                                                 : MIN(max, 8u);

    return 1 + (uint32_t)rng_below(&load->rng, limit);
}

static uint8_t random_type(const struct blk_load *load, struct rng *rng)
{
    uint64_t r = rng_below(rng, 100);

    if (r == 0)
        return 2;
    if (r == 1)
        return 3;
    if (r < 4 && load->options.discard)
        return 4;
    if (r < 7 && load->options.write_zeroes)
        return 5;
    return r & 1;
}

/* Type, place and length, such that the sectors are free for it. */
static bool request_choose(struct blk_load *load, struct blk_slot *slot)
{
    slot->type = random_type(load, &load->rng);
    slot->sector = slot->nr_sectors = 0;
    if (!types[slot->type].reads_disk && !types[slot->type].writes_disk)
        return true;
    for (unsigned attempt = 0; attempt < 16; attempt++) {
        slot->nr_sectors = random_sectors(load);
        slot->sector = rng_below(&load->rng, load->options.sectors - slot->nr_sectors + 1);
        if (sectors_lock(load, slot))
            return true;
    }
    return false;
}

/* Cuts a stream of len bytes: appends segments, without addresses yet. first: what a plain driver makes a
 * segment of its own (a header), last: likewise (the status). */
static void stream_cut(struct blk_load *load, struct blk_slot *slot, uint32_t len, uint32_t first,
                       uint32_t last, bool write)
{
    unsigned max = load->options.max_segments, nr = 1 + (unsigned)rng_below(&load->rng, max);
    bool plain = load->options.plain || rng_one_in(&load->rng, 2);
    uint32_t middle = len - first - last;
    struct driver_segment *s = slot->segments;

    if (plain) {
        if (first > 0)
            s[slot->nr_segments++] = (struct driver_segment){.len = first, .write = write};
        for (uint32_t part, left = middle; left > 0; left -= part) {
            part = (unsigned)(left + 4095) / 4096 > max ? left : MIN(left, 4096u);
            s[slot->nr_segments++] = (struct driver_segment){.len = part, .write = write};
        }
        if (last > 0)
            s[slot->nr_segments++] = (struct driver_segment){.len = last, .write = write};
        return;
    }
    for (; len > 0; nr--) {
        uint32_t part = nr <= 1 ? len : 1 + (uint32_t)rng_below(&load->rng, 2 * len / nr + 1);

        part = MIN(part, len);
        if (nr > 1 && rng_one_in(&load->rng, 64)) /* an empty buffer says nothing, and harms nothing */
            part = 0;
        s[slot->nr_segments++] = (struct driver_segment){.len = part, .write = write};
        len -= part;
    }
}

/* Gives each segment its place in the slot's memory. */
static void segments_place(struct blk_load *load, struct blk_slot *slot)
{
    unsigned order[BLK_MAX_SEGMENTS], nr = slot->nr_segments;
    uint64_t at = slot->area, end = slot->area + load->area_len - TABLE_LEN;

    for (unsigned i = 0; i < nr; i++) {
        unsigned other = (unsigned)rng_below(&load->rng, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    for (unsigned i = 0; i < nr; i++) {
        struct driver_segment *s = &slot->segments[order[i]];

        at += CANARY_LEN;
        if (nr < 8 && s->len >= BLK_SECTOR && rng_one_in(&load->rng, 2))
            at = align_up(at, BLK_SECTOR);
        else
            at += rng_below(&load->rng, 32);
        s->gpa = at;
        if (s->write) {
            memset(guest_os_ptr(load->drv->os, at - CANARY_LEN, CANARY_LEN), CANARY, CANARY_LEN);
            memset(guest_os_ptr(load->drv->os, at + s->len, CANARY_LEN), CANARY, CANARY_LEN);
        }
        at += s->len + CANARY_LEN;
    }
    unit_expect(at <= end);
}

enum stream_op { STREAM_STORE, STREAM_COMPARE };

/* Stores buf at position pos of a stream, or compares it with what is there; false: it differs. */
static bool stream_do(struct blk_load *load, const struct blk_slot *slot, bool write, uint32_t pos,
                      const void *buf, uint32_t len, enum stream_op op)
{
    unsigned first = write ? slot->nr_readable : 0, end = write ? slot->nr_segments : slot->nr_readable;
    const char *bytes = buf;

    for (unsigned i = first; i < end && len > 0; i++) {
        const struct driver_segment *s = &slot->segments[i];
        uint32_t part;
        char *p;

        if (pos >= s->len) {
            pos -= s->len;
            continue;
        }
        part = MIN(s->len - pos, len);
        p = guest_os_ptr(load->drv->os, s->gpa + pos, part);
        if (op == STREAM_STORE)
            memcpy(p, bytes, part);
        else if (memcmp(p, bytes, part) != 0)
            return false;
        bytes += part;
        len -= part;
        pos = 0;
    }
    return len == 0;
}

/* The gpa of the last byte that the device writes. */
static uint64_t status_gpa(const struct blk_slot *slot)
{
    unsigned i = slot->nr_segments - 1;

    while (slot->segments[i].len == 0)
        i--;
    return slot->segments[i].gpa + slot->segments[i].len - 1;
}

static void request_build(struct blk_load *load, struct blk_slot *slot)
{
    uint32_t data_len = slot->nr_sectors * BLK_SECTOR, type = types[slot->type].type;
    uint8_t *shadow = load->shadow + slot->sector * BLK_SECTOR;
    struct virtio_blk_outhdr header = {.type = htole32(type)};
    struct virtio_blk_discard_write_zeroes range = {.sector = htole64(slot->sector),
                                                    .num_sectors = htole32(slot->nr_sectors)};
    uint32_t out = 0, in = 0;

    if (type == VIRTIO_BLK_T_OUT)
        out = data_len;
    else if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
        out = sizeof(range);
    else if (type == VIRTIO_BLK_T_IN)
        in = data_len;
    else if (type == VIRTIO_BLK_T_GET_ID)
        in = VIRTIO_BLK_ID_BYTES;
    slot->nr_segments = 0;
    stream_cut(load, slot, (uint32_t)sizeof(header) + out, sizeof(header), 0, false);
    slot->nr_readable = slot->nr_segments;
    stream_cut(load, slot, in + 1, 0, 1, true);
    segments_place(load, slot);
    slot->response_len = in + 1;
    slot->status = status_gpa(slot);
    *(uint8_t *)guest_os_ptr(load->drv->os, slot->status, 1) = NOT_WRITTEN;
    if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT)
        header.sector = htole64(slot->sector);
    stream_do(load, slot, false, 0, &header, sizeof(header), STREAM_STORE);
    if (type == VIRTIO_BLK_T_OUT) {
        rng_fill(&load->rng, shadow, data_len);
        stream_do(load, slot, false, sizeof(header), shadow, data_len, STREAM_STORE);
    } else if (out > 0) {
        stream_do(load, slot, false, sizeof(header), &range, sizeof(range), STREAM_STORE);
    }
    if (type == VIRTIO_BLK_T_WRITE_ZEROES)
        memset(shadow, 0, data_len);
}

static int request_add(struct blk_load *load, struct blk_slot *slot, unsigned queue)
{
    struct driver_queue *q = &load->drv->queues[queue];
    struct driver_shape shape = {0};

    if (q->indirect && (slot->nr_segments > q->nr_free || !rng_one_in(&load->rng, 3))) {
        shape.table = slot->area + load->area_len - TABLE_LEN;
        shape.nr_direct =
            rng_one_in(&load->rng, 3) ? (unsigned)rng_below(&load->rng, MIN(3u, q->nr_free)) : 0;
        shape.shuffle = rng_one_in(&load->rng, 2) ? &load->rng : NULL;
    }
    slot->queue = (uint8_t)queue;
    return driver_queue_add(q, slot->segments, slot->nr_segments, &shape, (uint32_t)(slot - load->slots));
}

/* How many descriptors a request may take. In a queue that is smaller, max_segments is such that it fits. */
static unsigned descriptors_needed(const struct blk_load *load, const struct driver_queue *q)
{
    return q->indirect ? 1 : MIN(2 * load->options.max_segments + 4, q->size);
}

void blk_load_submit(struct blk_load *load, uint64_t limit)
{
    struct virtio_driver *drv = load->drv;

    while (load->submitted < limit && load->nr_free > 0) {
        struct blk_slot *slot = &load->slots[load->free_slots[load->nr_free - 1]];
        unsigned queue = (unsigned)rng_below(&load->rng, drv->nr_queues);

        /* Look for room before the shadow changes. */
        if (drv->queues[queue].nr_free < descriptors_needed(load, &drv->queues[queue]))
            break;
        if (!request_choose(load, slot))
            break;
        request_build(load, slot);
        unit_expect_eq(request_add(load, slot, queue), 0);
        slot->busy = true;
        load->nr_free--;
        load->nr_busy++;
        load->submitted++;
        if (rng_one_in(&load->rng, 8))
            driver_queue_publish(&drv->queues[queue]);
    }
    for (unsigned i = 0; i < drv->nr_queues; i++)
        driver_queue_publish(&drv->queues[i]);
}

/* ---- results ------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4), noreturn)) static void violation(const struct blk_load *load,
                                                                      const struct blk_slot *slot,
                                                                      const char *fmt, ...)
{
    char what[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    ck_abort_msg("%s of %u sectors at %llu, %u segments (%u readable), queue %u, request %llu: %s",
                 types[slot->type].name, slot->nr_sectors, (unsigned long long)slot->sector,
                 slot->nr_segments, slot->nr_readable, slot->queue, (unsigned long long)load->completed,
                 what);
    __builtin_unreachable();
}

static void canaries_check(struct blk_load *load, const struct blk_slot *slot)
{
    static const uint8_t intact[CANARY_LEN] = {[0 ... CANARY_LEN - 1] = CANARY};

    for (unsigned i = slot->nr_readable; i < slot->nr_segments; i++) {
        const struct driver_segment *s = &slot->segments[i];

        if (memcmp(guest_os_ptr(load->drv->os, s->gpa - CANARY_LEN, CANARY_LEN), intact, CANARY_LEN) != 0 ||
            memcmp(guest_os_ptr(load->drv->os, s->gpa + s->len, CANARY_LEN), intact, CANARY_LEN) != 0)
            violation(load, slot, "memory beside buffer %u was written", i);
    }
}

/* Compares what was read with the shadow, but for sectors that nobody knows. */
static void read_check(struct blk_load *load, const struct blk_slot *slot)
{
    for (uint32_t i = 0; i < slot->nr_sectors; i++) {
        uint64_t sector = slot->sector + i;
        uint32_t run = 1;

        if (load->unknown[sector])
            continue;
        while (i + run < slot->nr_sectors && !load->unknown[sector + run])
            run++;
        if (!stream_do(load, slot, true, i * BLK_SECTOR, load->shadow + sector * BLK_SECTOR, run * BLK_SECTOR,
                       STREAM_COMPARE))
            violation(load, slot, "wrong contents in sectors %llu to %llu", (unsigned long long)sector,
                      (unsigned long long)(sector + run - 1));
        load->verified_bytes += (uint64_t)run * BLK_SECTOR;
        i += run - 1;
    }
}

static void request_succeeded(struct blk_load *load, struct blk_slot *slot, uint32_t len)
{
    uint32_t type = types[slot->type].type;

    if (len != slot->response_len)
        violation(load, slot, "%u bytes used, %u were written", len, slot->response_len);
    if (type == VIRTIO_BLK_T_IN)
        read_check(load, slot);
    if (type == VIRTIO_BLK_T_OUT &&
        !stream_do(load, slot, false, sizeof(struct virtio_blk_outhdr),
                   load->shadow + slot->sector * BLK_SECTOR, slot->nr_sectors * BLK_SECTOR, STREAM_COMPARE))
        violation(load, slot, "a buffer to read was written");
    if (types[slot->type].writes_disk)
        sectors_set_unknown(load, slot, type == VIRTIO_BLK_T_DISCARD);
}

static void slot_release(struct blk_load *load, struct blk_slot *slot)
{
    slot->busy = false;
    load->nr_busy--;
    load->free_slots[load->nr_free++] = (uint16_t)(slot - load->slots);
    sectors_unlock(load, slot);
}

static void request_done(struct blk_load *load, unsigned queue, uint32_t token, uint32_t len)
{
    struct blk_slot *slot = &load->slots[token];
    uint8_t status;

    unit_expect(token < load->options.nr_slots && slot->busy && slot->queue == queue);
    status = *(const uint8_t *)guest_os_ptr(load->drv->os, slot->status, 1);
    canaries_check(load, slot);
    if (status == VIRTIO_BLK_S_OK)
        request_succeeded(load, slot, len);
    else if (status == VIRTIO_BLK_S_IOERR && load->options.errors_allowed)
        load->failed++;
    else
        violation(load, slot, "status %u", status);
    if (status != VIRTIO_BLK_S_OK && types[slot->type].writes_disk)
        sectors_set_unknown(load, slot, true);
    slot_release(load, slot);
    load->completed++;
}

static void queue_harvest(struct blk_load *load, unsigned queue)
{
    struct driver_queue *q = &load->drv->queues[queue];
    uint32_t token, len;
    unsigned after;

    do {
        if (rng_one_in(&load->rng, 2))
            driver_queue_interrupt_off(q);
        while (driver_queue_harvest(q, &token, &len))
            request_done(load, queue, token, len);
        if (q->error[0] != '\0')
            ck_abort_msg("queue %u: %s", queue, q->error);
        after = q->nr_in_flight > 1 && rng_one_in(&load->rng, 2)
                    ? 1 + (unsigned)rng_below(&load->rng, q->nr_in_flight)
                    : 1;
    } while (driver_queue_interrupt_after(q, after));
}

void blk_load_collect(struct blk_load *load)
{
    for (unsigned i = 0; i < load->drv->nr_queues; i++) {
        if (!virtio_driver_queue_interrupted(load->drv, i))
            continue;
        load->interrupts++;
        queue_harvest(load, i);
    }
}

/* ---- running ------------------------------------------------------------------------------------ */

struct loads {
    struct blk_load **loads;
    unsigned nr;
};

static bool any_interrupt(void *ctx)
{
    const struct loads *loads = ctx;

    for (unsigned i = 0; i < loads->nr; i++)
        if (virtio_driver_has_interrupt(loads->loads[i]->drv))
            return true;
    return false;
}

static void wait_for_interrupt(struct blk_load **loads, unsigned nr, double patience)
{
    struct loads all = {.loads = loads, .nr = nr};

    if (guest_os_wait(loads[0]->drv->os, any_interrupt, &all, patience))
        return;
    ck_abort_msg("no interrupt in %g s with %u requests in flight (%llu completed, device status 0x%x)",
                 patience, loads[0]->nr_busy, (unsigned long long)loads[0]->completed,
                 virtio_driver_status(loads[0]->drv));
}

void blk_loads_run(struct blk_load **loads, unsigned nr, const uint64_t *completed, double patience)
{
    for (;;) {
        bool done = true;

        for (unsigned i = 0; i < nr; i++) {
            blk_load_submit(loads[i], UINT64_MAX);
            done &= loads[i]->completed >= completed[i];
        }
        if (done)
            return;
        wait_for_interrupt(loads, nr, patience);
        for (unsigned i = 0; i < nr; i++)
            blk_load_collect(loads[i]);
    }
}

void blk_load_run(struct blk_load *load, uint64_t completed, double patience)
{
    blk_loads_run(&load, 1, &completed, patience);
}

void blk_load_drain(struct blk_load *load, double patience)
{
    while (load->nr_busy > 0) {
        wait_for_interrupt(&load, 1, patience);
        blk_load_collect(load);
    }
}

void blk_load_forget(struct blk_load *load)
{
    for (unsigned i = 0; i < load->options.nr_slots; i++) {
        struct blk_slot *slot = &load->slots[i];

        if (!slot->busy)
            continue;
        if (types[slot->type].writes_disk)
            sectors_set_unknown(load, slot, true);
        slot_release(load, slot);
    }
}

void blk_load_poison(struct blk_load *load)
{
    for (unsigned i = 0; i < load->options.nr_slots; i++)
        memset(guest_os_ptr(load->drv->os, load->slots[i].area, load->area_len), POISON, load->area_len);
}

void blk_load_check_poison(struct blk_load *load)
{
    for (unsigned i = 0; i < load->options.nr_slots; i++) {
        const uint8_t *p = guest_os_ptr(load->drv->os, load->slots[i].area, load->area_len);

        /* Equal to itself shifted by one byte: all bytes are the same. */
        if (p[0] != POISON || memcmp(p, p + 1, load->area_len - 1) != 0)
            ck_abort_msg("a buffer was written that the device had no right to any more");
    }
}

/* ---- single requests ---------------------------------------------------------------------------- */

static bool queue_has_interrupt(void *ctx)
{
    return virtio_driver_has_interrupt(ctx);
}

int blk_request(struct virtio_driver *drv, unsigned queue, uint64_t area, uint32_t type, uint64_t sector,
                void *buf, uint32_t len, bool device_writes, double patience)
{
    struct virtio_blk_outhdr header = {.type = htole32(type), .sector = htole64(sector)};
    struct driver_queue *q = &drv->queues[queue];
    uint64_t data = area + 32, status = area + 16;
    struct driver_segment segments[3] = {
        {area, sizeof(header), false}, {data, len, device_writes}, {status, 1, true}};
    const struct driver_shape shape = {0};
    uint32_t token, used_len;
    struct timespec start, now;

    memcpy(guest_os_ptr(drv->os, area, sizeof(header)), &header, sizeof(header));
    *(uint8_t *)guest_os_ptr(drv->os, status, 1) = NOT_WRITTEN;
    if (len > 0 && !device_writes)
        memcpy(guest_os_ptr(drv->os, data, len), buf, len);
    if (len == 0)
        segments[1] = segments[2];
    if (driver_queue_add(q, segments, len == 0 ? 2 : 3, &shape, 0) < 0)
        return -EIO;
    driver_queue_interrupt_after(q, 1);
    driver_queue_publish(q);
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (!driver_queue_harvest(q, &token, &used_len)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        patience -= (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
        start = now;
        if (q->error[0] != '\0')
            return -EIO;
        if (patience <= 0 || !guest_os_wait(drv->os, queue_has_interrupt, drv, patience))
            return -ETIMEDOUT;
        for (unsigned i = 0; i < drv->nr_queues; i++)
            virtio_driver_queue_interrupted(drv, i);
    }
    if (len > 0 && device_writes)
        memcpy(buf, guest_os_ptr(drv->os, data, len), len);
    return *(const uint8_t *)guest_os_ptr(drv->os, status, 1);
}

void blk_load_verify_all(struct blk_load *load, double patience)
{
    uint64_t area = load->slots[0].area;
    uint32_t step = MIN(load->options.max_len, load->area_len - (uint32_t)BLK_REQUEST_AREA(0)) / BLK_SECTOR;
    uint8_t buf[KIB(64)];

    ck_assert_uint_eq(load->nr_busy, 0);
    for (uint64_t sector = 0; sector < load->options.sectors; sector += step) {
        uint32_t nr = (uint32_t)MIN(step, load->options.sectors - sector);

        ck_assert_int_eq(
            blk_request(load->drv, 0, area, VIRTIO_BLK_T_IN, sector, buf, nr * BLK_SECTOR, true, patience),
            VIRTIO_BLK_S_OK);
        for (uint32_t i = 0; i < nr; i++)
            if (!load->unknown[sector + i] &&
                memcmp(buf + i * BLK_SECTOR, load->shadow + (sector + i) * BLK_SECTOR, BLK_SECTOR) != 0)
                ck_abort_msg("sector %llu has wrong contents", (unsigned long long)(sector + i));
    }
}
