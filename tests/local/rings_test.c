// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rings_test.c - see rings_test.h.
 */
#include "tests/local/rings_test.h"

#include <check.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct rig_options options;
struct rig rig;
struct guest_os os;
struct virtio_driver driver;
struct fake_backend fake;
static uint8_t *memory; /* as the back-end has it mapped */
static size_t memory_len;
static uint16_t shown[3];                    /* the back-end's used indexes */
static unsigned old_connections, old_starts; /* before the driver started the device */

/* ---- the host's side --------------------------------------------------------------------------- */

void setup(void)
{
    fake_backend_defaults(&fake);
    fake.config_len = 0;
    fake.protocol_features &= ~BIT(VHOST_USER_PROTOCOL_F_CONFIG);
    rig_options_default(&options);
}

void memory_unmap(void)
{
    if (memory != NULL)
        munmap(memory, memory_len);
    memory = NULL;
}

void backend_stop(void)
{
    if (fake.listen_fd > 0)
        fake_backend_stop(&fake);
    fake.listen_fd = 0;
}

void teardown(void)
{
    memory_unmap();
    rig_close(&rig);
    backend_stop();
}

void boot(const char *type, uint16_t virtio_id)
{
    int err;

    options.devices[0].type = device_type_find(type);
    guest_os_init(&os, &options.local);
    ck_assert_msg(rig_open(&rig, &options, &os) == 0, "%s", rig.error);
    err = options.devices[0].transport == TRANSPORT_MMIO
              ? virtio_driver_probe_mmio(&driver, &os, options.devices[0].place.base,
                                         options.devices[0].place.irq)
              : virtio_driver_probe(&driver, &os, guest_os_scan(&os, 0));
    ck_assert_msg(err == 0, "%s", driver.error);
    ck_assert_uint_eq(driver.virtio_id, virtio_id);
}

void boot_fake(const char *type, uint16_t virtio_id)
{
    fake_backend_start(&fake);
    snprintf(options.devices[0].socket, sizeof(options.devices[0].socket), "%s", fake.path);
    boot(type, virtio_id);
}

unsigned backend_starts(void)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < MIN(fake.nr_log, (unsigned)FAKE_LOG_LEN); i++)
        nr += fake.log[i] == VHOST_USER_SET_MEM_TABLE;
    return nr;
}

/* New ones: those of before the driver's reset may be there for a while. */
static bool rings_are_enabled(void *ctx)
{
    unsigned nr = *(unsigned *)ctx;

    if (fake.nr_connections == old_connections && backend_starts() == old_starts)
        return false;
    for (unsigned i = 0; i < nr; i++)
        if (!fake.rings[i].started || !fake.rings[i].enabled)
            return false;
    return true;
}

void driver_up(const struct driver_options *wanted)
{
    old_connections = fake.nr_connections;
    old_starts = backend_starts();
    ck_assert_msg(virtio_driver_start(&driver, wanted) == 0, "%s", driver.error);
}

void wait_rings(unsigned nr)
{
    ck_assert(guest_os_wait(&os, rings_are_enabled, &nr, PATIENCE));
    memory_unmap();
    memory_len = fake.table.regions.plain[0].size;
    memory = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_SHARED, fake.region_fds[0], 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memset(shown, 0, sizeof(shown));
}

void start(unsigned nr_queues, unsigned nr_backend, uint64_t features)
{
    const struct driver_options wanted = {.features = features, .nr_queues = nr_queues, .msix = true};

    driver_up(&wanted);
    wait_rings(nr_backend);
}

/* ---- the back-end's rings ---------------------------------------------------------------------- */

void *backend_at(uint64_t addr)
{
    return memory + (addr - fake.table.regions.plain[0].user_addr);
}

struct vring_desc *backend_desc(unsigned queue, unsigned i)
{
    return (struct vring_desc *)backend_at(fake.rings[queue].addr.desc) + i;
}

uint16_t backend_avail(unsigned queue)
{
    struct vring_avail *avail = backend_at(fake.rings[queue].addr.avail);

    return __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);
}

/* The head of the chain at a position of the avail ring. */
uint16_t backend_head(unsigned queue, uint16_t pos)
{
    return ((struct vring_avail *)backend_at(fake.rings[queue].addr.avail))
        ->ring[pos % fake.rings[queue].num];
}

static void used_add(unsigned queue, uint32_t id, uint32_t len)
{
    struct vring_used *used = backend_at(fake.rings[queue].addr.used);

    used->ring[shown[queue]++ % fake.rings[queue].num] = (struct vring_used_elem){.id = id, .len = len};
}

static void used_show(unsigned queue)
{
    struct vring_used *used = backend_at(fake.rings[queue].addr.used);
    uint64_t one = 1;

    __atomic_store_n(&used->idx, shown[queue], __ATOMIC_RELEASE);
    ck_assert_int_eq(write(fake.rings[queue].call, &one, sizeof(one)), sizeof(one));
}

void backend_use(unsigned queue, uint16_t nr, uint32_t len)
{
    for (unsigned i = 0; i < nr; i++)
        used_add(queue, backend_head(queue, shown[queue]), len);
    used_show(queue);
}

void backend_use_raw(unsigned queue, const uint32_t *ids, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++)
        used_add(queue, ids[i], 0);
    used_show(queue);
}

struct wait_avail {
    unsigned queue;
    uint16_t idx;
};

static bool avail_is(void *ctx)
{
    const struct wait_avail *wait = ctx;

    return backend_avail(wait->queue) == wait->idx;
}

void wait_avail(unsigned queue, uint16_t idx)
{
    if (!guest_os_wait(&os, avail_is, &(struct wait_avail){queue, idx}, PATIENCE))
        ck_abort_msg("queue %u: the back-end has got %u chains, not %u", queue, backend_avail(queue), idx);
}

/* ---- the guest's queues ------------------------------------------------------------------------ */

uint64_t queue_add(unsigned queue, uint32_t readable, uint32_t writable, uint32_t token)
{
    uint64_t gpa = guest_os_alloc(&os, readable + writable, 4096, false);
    struct driver_segment segments[2] = {{gpa, readable, false}, {gpa + readable, writable, true}};
    unsigned first = readable == 0, nr = (readable > 0) + (writable > 0);

    ck_assert_uint_ne(gpa, 0);
    ck_assert_int_eq(
        driver_queue_add(&driver.queues[queue], segments + first, nr, &(struct driver_shape){0}, token), 0);
    return gpa;
}

static bool harvested(void *ctx)
{
    struct harvest *harvest = ctx;

    virtio_driver_queue_interrupted(&driver, harvest->queue);
    harvest->came =
        harvest->came || driver_queue_harvest(&driver.queues[harvest->queue], &harvest->token, &harvest->len);
    return harvest->came;
}

struct harvest wait_used(unsigned queue)
{
    struct harvest harvest = {.queue = queue};

    ck_assert_msg(guest_os_wait(&os, harvested, &harvest, PATIENCE), "queue %u: nothing comes back; %s",
                  queue, driver.queues[queue].error);
    return harvest;
}

uint16_t guest_used_idx(unsigned queue)
{
    const struct vring_used *used = guest_os_ptr(&os, driver.queues[queue].used, sizeof(*used));

    return le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
}

bool needs_reset(void *ctx)
{
    (void)ctx;
    return virtio_driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
