// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blk_cases_fuzz.c - a guest that reads and writes anything anywhere in any width, while I/O runs: every
 * access is answered at once, another device works on undisturbed, and a reset makes the device as good as
 * new.
 */
#include "tests/local/blk_cases.h"

#include <string.h>

#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#if defined(__SANITIZE_ADDRESS__)
#define ACCESSES 60000
#else
#define ACCESSES 300000
#endif
#define BURST          50  /* accesses between two looks at the other device */
#define ACCESS_SECONDS 0.5 /* of an access and the work that it causes, on a busy machine */

struct fuzz {
    struct blk_test *t;
    struct virtio_driver *drv; /* the victim */
    struct rng rng;
    /* Its registers, most of those that mean something, and the rings' addresses. */
    struct driver_window all, common, rings;
};

static void fuzz_init(struct fuzz *f, enum device_transport transport)
{
    const struct virtio_driver *drv = f->drv;

    if (transport == TRANSPORT_MMIO) {
        f->all = (struct driver_window){drv->mmio.gpa, VIRTIO_MMIO_LEN};
        f->common = drv->mmio;
        f->rings = (struct driver_window){drv->mmio.gpa + VIRTIO_MMIO_QUEUE_DESC_LOW,
                                          VIRTIO_MMIO_QUEUE_USED_HIGH + 4 - VIRTIO_MMIO_QUEUE_DESC_LOW};
    } else {
        f->all = (struct driver_window){drv->bars[0], (uint32_t)drv->bar_lens[0]};
        f->common = (struct driver_window){drv->common.gpa, 64};
        f->rings = (struct driver_window){drv->common.gpa + VIRTIO_PCI_COMMON_Q_DESCLO,
                                          VIRTIO_PCI_COMMON_Q_USEDHI + 4 - VIRTIO_PCI_COMMON_Q_DESCLO};
    }
}

static uint64_t random_value(struct fuzz *f)
{
    switch (rng_below(&f->rng, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return rng_below(&f->rng, 16);
    case 3:
        return 1ULL << rng_below(&f->rng, 64);
    case 4:
        return (1ULL << rng_below(&f->rng, 64)) - 1;
    case 5:
        return rng_below(&f->rng, 256);
    default:
        return rng_next(&f->rng);
    }
}

static uint8_t random_size(struct fuzz *f, unsigned max_shift)
{
    return (uint8_t)(1u << rng_below(&f->rng, max_shift + 1));
}

/*
 * Ring addresses get random values only: with chosen ones the victim's rings would sooner or later lie in the
 * other device's memory, where a guest is free to damage itself. Random ones hit RAM at times, and nothing
 * that matters.
 */
static bool is_ring_address(const struct fuzz *f, uint64_t gpa)
{
    return gpa + 8 > f->rings.gpa && gpa < f->rings.gpa + f->rings.len;
}

static void fuzz_register(struct fuzz *f)
{
    struct guest_os *os = &f->t->os;
    uint64_t gpa = f->all.gpa + rng_below(&f->rng, f->all.len);
    uint8_t size = random_size(f, 3);

    /* Half of it where most of the registers are. */
    if (rng_one_in(&f->rng, 2))
        gpa = f->common.gpa + rng_below(&f->rng, f->common.len);
    /* Of virtio-mmio, nothing else is a register. */
    if (f->drv->mmio.len > 0 && !rng_one_in(&f->rng, 4)) {
        gpa = align_down(gpa, 4);
        size = 4;
    }
    if (rng_one_in(&f->rng, 2))
        mmio_read(os, gpa, size);
    else
        mmio_write(os, gpa, size, is_ring_address(f, gpa) ? rng_next(&f->rng) : random_value(f));
}

/* A string instruction: many units at once, perhaps over their end. */
static void fuzz_string(struct fuzz *f)
{
    uint8_t data[512];
    struct guest_access access = {.write = rng_one_in(&f->rng, 2),
                                  .size = random_size(f, 3),
                                  .addr = f->all.gpa + rng_below(&f->rng, f->all.len),
                                  .data = data};

    access.len = access.size * (1 + rng_below(&f->rng, sizeof(data) / access.size));
    rng_fill(&f->rng, data, sizeof(data));
    local_access(f->t->os.hv, &access);
}

static void fuzz_config(struct fuzz *f)
{
    struct guest_os *os = &f->t->os;
    uint8_t size = random_size(f, 2);
    unsigned reg = (unsigned)align_down(rng_below(&f->rng, os->pci.has_ecam ? 4096 : 256), size);

    if (rng_one_in(&f->rng, 2))
        config_read(os, f->drv->sbdf, reg, size);
    else
        config_write(os, f->drv->sbdf, reg, size, (uint32_t)random_value(f));
}

/* The BARs and the decoding as they were, so that there is something to write to. */
static void fuzz_restore(struct fuzz *f)
{
    if (rng_one_in(&f->rng, 2))
        virtio_driver_restore(f->drv);
    else if (f->drv->mmio.len == 0)
        config_write(&f->t->os, f->drv->sbdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* A driver that is up, for the next accesses to disturb. */
static void fuzz_start(struct fuzz *f)
{
    virtio_driver_restore(f->drv);
    ck_assert_msg(virtio_driver_start(f->drv, &f->t->driver_options) == 0, "%s", f->drv->error);
}

static void fuzz_once(struct fuzz *f)
{
    switch (rng_below(&f->rng, 32)) {
    case 0:
        fuzz_restore(f);
        break;
    case 1:
    case 2:
    case 3:
        fuzz_string(f);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        fuzz_config(f);
        break;
    default:
        fuzz_register(f);
        break;
    }
}

static void fuzz_run(enum device_transport transport, bool ecam)
{
    struct blk_test *t = blk_test_new_by(transport, 2);
    struct fuzz f = {.t = t, .drv = &t->drivers[0], .rng = {.state = test_seed()}};
    struct blk_load *victim, *other;
    uint64_t goal = 0;

    t->options.local.pci.has_ecam = ecam;
    t->options.local.pci.has_intx = !ecam;
    t->options.local.pci.ecam_gpa = 0xd8000000;
    t->options.local.pci.ecam_len = MIB(1);
    t->driver_options.nr_queues = 2;
    /* Not right behind the victim's: accesses reach over its end. */
    t->options.devices[1].place.base += MIB(1);
    blk_test_boot(t);
    blk_test_start(t, 0);
    blk_test_start(t, 1);
    if (transport == TRANSPORT_PCI)
        virtio_driver_move_bar(&t->drivers[1], 0, 0xe8000000);
    fuzz_init(&f, transport);
    victim = blk_test_load(t, 0);
    other = blk_test_load(t, 1);
    t->os.access_max_seconds = 0;
    for (unsigned i = 0; i < unit_count(ACCESSES); i++) {
        if (i % 2000 == 0) {
            fuzz_start(&f);
            blk_load_forget(victim);
            blk_load_submit(victim, UINT64_MAX); /* in flight, to be disturbed; nobody waits for it */
        }
        fuzz_once(&f);
        if (i % BURST == 0) {
            goal += 2;
            blk_load_run(other, goal, BLK_TEST_PATIENCE);
        }
    }
    ck_assert_msg(t->os.access_max_seconds < ACCESS_SECONDS, "an access took %g s", t->os.access_max_seconds);
    fuzz_start(&f);
    blk_load_forget(victim);
    t->os.irq_stray = 0;
    blk_load_run(victim, victim->completed + 1000, BLK_TEST_PATIENCE);
    blk_load_drain(victim, BLK_TEST_PATIENCE);
    blk_load_verify_all(victim, BLK_TEST_PATIENCE);
    blk_load_drain(other, BLK_TEST_PATIENCE);
    blk_load_verify_all(other, BLK_TEST_PATIENCE);
    ck_assert_uint_eq(t->os.irq_stray, 0);
    blk_load_free(victim);
    blk_load_free(other);
    blk_test_end(t);
}

START_TEST(registers_by_ports)
{
    fuzz_run(TRANSPORT_PCI, false);
}
END_TEST

START_TEST(registers_by_ecam)
{
    fuzz_run(TRANSPORT_PCI, true);
}
END_TEST

START_TEST(registers_by_mmio)
{
    fuzz_run(TRANSPORT_MMIO, false);
}
END_TEST

/* Accesses of PCI configuration to every function of the bus, there or not. */
START_TEST(whole_bus)
{
    struct blk_test *t = blk_test_new(1);
    struct rng rng = {.state = test_seed()};
    struct blk_load *load;

    t->options.local.pci = (struct pci_host){.has_ecam = true, .ecam_gpa = 0xd8000000, .ecam_len = MIB(1)};
    blk_test_boot(t);
    blk_test_start(t, 0);
    load = blk_test_load(t, 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t sbdf = (uint32_t)rng_below(&rng, 256);
        unsigned reg = (unsigned)rng_below(&rng, 4096);
        uint8_t size = (uint8_t)(1u << rng_below(&rng, 4));

        if (sbdf == t->drivers[0].sbdf)
            continue;
        unit_expect_eq(mmio_read(&t->os, 0xd8000000 + (sbdf << 12 | (reg & ~7u)), size),
                       size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1);
        mmio_write(&t->os, 0xd8000000 + (sbdf << 12 | (reg & ~7u)), size, rng_next(&rng));
        if (i % 200 == 0)
            blk_load_run(load, load->completed + 5, BLK_TEST_PATIENCE);
    }
    blk_load_drain(load, BLK_TEST_PATIENCE);
    blk_load_free(load);
    blk_test_end(t);
}
END_TEST

void blk_cases_fuzz(TCase *tcase)
{
    tcase_add_test(tcase, registers_by_ports);
    tcase_add_test(tcase, registers_by_ecam);
    tcase_add_test(tcase, registers_by_mmio);
    tcase_add_test(tcase, whole_bus);
}
