// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_pci.c - bus, configuration space, BARs, MSI-X and INTx, as a guest sees them. The functions under test
 * have BARs of plain memory: what the guest writes at an address of a BAR is found in it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pci.h"
#include "tests/unit/pci_guest.h"
#include "tests/unit/unit.h"

#define BAR0_LEN  KIB(32) /* 32-bit: MSI-X */
#define BAR1_LEN  KIB(4)  /* 32-bit, prefetchable */
#define BAR2_LEN  MIB(64) /* 64-bit, prefetchable */
#define BAR4_LEN  KIB(64) /* 64-bit */
#define TABLE_OFF 0x1000
#define PBA_OFF   0x2000
#define VECTORS   70
#define MEM_LEN   64 /* bytes kept at the start of each BAR */

struct device {
    struct pci_function fn;
    struct pci_function_state *state;
    uint8_t mem[PCI_NR_BARS][MEM_LEN];
    struct bar_ref {
        struct device *device;
        unsigned bar;
    } refs[PCI_NR_BARS];
    unsigned nr_accesses;
};

static struct rig rig;
static struct device devices[2];
static struct pci_function_state states[2];

static const struct {
    uint64_t len;
    bool is_64, prefetchable;
} bars[PCI_NR_BARS] = {
    [0] = {BAR0_LEN, false, false},
    [1] = {BAR1_LEN, false, true},
    [2] = {BAR2_LEN, true, true},
    [4] = {BAR4_LEN, true, false},
};

static void bar_access(void *opaque, uint64_t offset, struct guest_access *access)
{
    struct bar_ref *ref = opaque;
    struct device *d = ref->device;

    ck_assert(range_within(offset, access->len, bars[ref->bar].len));
    ck_assert_uint_eq(access->len % access->size, 0);
    d->nr_accesses++;
    if (ref->bar == 0 && pci_function_msix_access(&d->fn, offset, access))
        return;
    for (size_t i = 0; i < access->len; i++) {
        uint8_t *byte = (uint8_t *)access->data + i;

        if (offset + i >= MEM_LEN)
            break;
        if (access->write)
            d->mem[ref->bar][offset + i] = *byte;
        else
            *byte = d->mem[ref->bar][offset + i];
    }
}

static const struct pci_function_id device_id = {
    .vendor = 0x1234,
    .device = 0x5678,
    .subsystem_vendor = 0x9abc,
    .subsystem = 0xdef0,
    .class_code = 0x010203,
    .revision = 4,
};

/* Builds a function with all kinds of BARs and MSI-X; not yet plugged. */
static void device_build(struct device *d, struct pci_function_state *state, bool resumed)
{
    memset(d, 0, sizeof(*d));
    d->state = state;
    pci_function_init(&d->fn, &rig.guest, "test device", &device_id, state, resumed);
    for (unsigned i = 0; i < PCI_NR_BARS; i++) {
        d->refs[i] = (struct bar_ref){d, i};
        if (bars[i].len)
            pci_function_add_bar(&d->fn, i, bars[i].len, bars[i].is_64, bars[i].prefetchable, bar_access,
                                 &d->refs[i]);
    }
    ck_assert_int_eq(pci_function_add_msix(&d->fn, 0, TABLE_OFF, PBA_OFF, VECTORS), 0);
}

static uint32_t device_plug(struct device *d)
{
    ck_assert_int_eq(pci_function_plug(&d->fn, PCI_SLOT_ANY), 0);
    return d->fn.sbdf;
}

/* One guest with one device; a second where a test wants it. */
static uint32_t setup(struct pci_host host)
{
    rig_start(&rig, host);
    device_build(&devices[0], &states[0], false);
    return device_plug(&devices[0]);
}

static void teardown(void)
{
    pci_function_unplug(&devices[0].fn);
    if (devices[1].fn.plugged)
        pci_function_unplug(&devices[1].fn);
    devices[1].fn.plugged = false;
    rig_end(&rig);
}

static size_t nr_mmio_regions(void)
{
    const struct region *r = region_table_find_from(rig.guest.regions, 0);
    size_t nr = 0;

    for (; r; r = region_table_next(rig.guest.regions, r))
        nr += r->kind == REGION_MMIO;
    return nr - (rig.ecam ? 1 : 0);
}

/* A BAR answers at an address: what is written there is in the BAR's memory, and read back. */
static void bar_expect(struct device *d, unsigned bar, uint64_t gpa)
{
    uint64_t value = unit_random();

    mem_write(&rig, gpa + 8, 8, value);
    ck_assert_msg(memcmp(d->mem[bar] + 8, &value, 8) == 0, "BAR %u is not at 0x%llx", bar,
                  (unsigned long long)gpa);
    ck_assert_uint_eq(mem_read(&rig, gpa + 8, 8), value);
}

static void bar_expect_nowhere(struct device *d, uint64_t gpa)
{
    unsigned before = d->nr_accesses;

    mem_read(&rig, gpa, 4);
    ck_assert_uint_eq(d->nr_accesses, before);
}

/* ---- configuration space ---- */

static void identity_check(struct pci_host host)
{
    uint32_t sbdf = setup(host);

    ck_assert_uint_eq(sbdf, (host.first_slot ? host.first_slot : 1u) << 3);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_VENDOR_ID, 2), 0x1234);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_DEVICE_ID, 2), 0x5678);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_VENDOR_ID, 4), 0x56781234);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_CLASS_REVISION, 4), 0x01020304);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x9abc);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_SUBSYSTEM_ID, 2), 0xdef0);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_HEADER_TYPE, 1), 0);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_INTERRUPT_PIN, 1), host.has_intx);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_COMMAND, 2), 0);
    /* Functions and slots that are not there. */
    for (uint32_t other = 0; other < 256; other++)
        if (other != sbdf)
            ck_assert_uint_eq(cfg_read(&rig, other, PCI_VENDOR_ID, 4), UINT32_MAX);
    teardown();
}

START_TEST(test_identity)
{
    identity_check(rig_hvm());
    identity_check(rig_pvh());
}
END_TEST

/* Registers that keep what is written, by themselves: all others must not change. */
static uint32_t writable_bits(unsigned reg)
{
    unsigned msix = PCI_STD_HEADER_SIZEOF;

    switch (reg) {
    case PCI_COMMAND:
        return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
    case PCI_CACHE_LINE_SIZE:
        return 0xff;
    case PCI_BASE_ADDRESS_0:
        return (uint32_t) ~(BAR0_LEN - 1);
    case PCI_BASE_ADDRESS_1:
        return (uint32_t) ~(BAR1_LEN - 1);
    case PCI_BASE_ADDRESS_2:
        return (uint32_t) ~(BAR2_LEN - 1);
    case PCI_BASE_ADDRESS_4:
        return (uint32_t) ~(BAR4_LEN - 1);
    case PCI_BASE_ADDRESS_3:
    case PCI_BASE_ADDRESS_5:
        return UINT32_MAX;
    case PCI_INTERRUPT_LINE:
        return 0xff;
    default:
        return reg == msix ? (uint32_t)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) << 16 : 0;
    }
}

START_TEST(test_write_masks)
{
    uint32_t sbdf = setup(rig_hvm());

    for (unsigned reg = 0; reg < PCI_CFG_SPACE_SIZE; reg += 4) {
        uint32_t before = cfg_read(&rig, sbdf, reg, 4), mask = writable_bits(reg);

        cfg_write(&rig, sbdf, reg, 4, UINT32_MAX);
        ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4), before | mask);
        cfg_write(&rig, sbdf, reg, 4, 0);
        ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4), before & ~mask);
        /* The same by bytes and words. */
        for (unsigned i = 0; i < 4; i++)
            cfg_write(&rig, sbdf, reg + i, 1, 0xff);
        ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4), before | mask);
        for (unsigned i = 0; i < 4; i += 2)
            cfg_write(&rig, sbdf, reg + i, 2, 0);
        ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4), before & ~mask);
        cfg_write(&rig, sbdf, reg, 4, before);
    }
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_ROM_ADDRESS, 4), 0);
    teardown();
}
END_TEST

/* Linux takes all ones at 0x100 for "no extended configuration space". */
START_TEST(test_extended_space)
{
    uint32_t sbdf = setup(rig_pvh());

    for (unsigned reg = PCI_CFG_SPACE_SIZE; reg < PCI_CFG_SPACE_EXP_SIZE; reg += 4) {
        cfg_write(&rig, sbdf, reg, 4, 0);
        ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4), UINT32_MAX);
    }
    teardown();
}
END_TEST

/* The bytes of configuration space are the same whatever the width, alignment and unit of an access. */
START_TEST(test_ecam_widths)
{
    uint32_t sbdf = setup(rig_pvh());
    uint64_t base = RIG_ECAM + ((uint64_t)sbdf << 12);
    uint8_t bytes[4096 + 64], all[4096 + 64];

    memset(all, 0xff, sizeof(all));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)mem_read(&rig, base - 32 + i, 1);
    ck_assert_mem_eq(bytes, all, 32);
    ck_assert_mem_eq(bytes + 32, states[0].config, PCI_CFG_SPACE_SIZE);
    ck_assert_mem_eq(bytes + 32 + PCI_CFG_SPACE_SIZE, all, 4096 + 32 - PCI_CFG_SPACE_SIZE);
    for (unsigned size = 2; size <= 8; size *= 2)
        for (unsigned i = 0; i + size <= sizeof(bytes); i++) {
            uint64_t value = mem_read(&rig, base - 32 + i, size);

            ck_assert_mem_eq(&value, bytes + i, size);
        }
    for (unsigned size = 1; size <= 8; size *= 2) {
        mem_string(&rig, false, base - 32, size, all, sizeof(all));
        ck_assert_mem_eq(all, bytes, sizeof(all));
    }
    /* Writes: a BAR and its neighbour by one 8-byte write, the line register by an unaligned one. */
    mem_write(&rig, base + PCI_BASE_ADDRESS_2, 8, 0x123456789abcdef0);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_BASE_ADDRESS_2, 4), 0x9800000c);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_BASE_ADDRESS_3, 4), 0x12345678);
    mem_write(&rig, base + PCI_INTERRUPT_LINE - 3, 4, 0xab000000);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_INTERRUPT_LINE, 1), 0xab);
    /* Bus 1, and a write to what is not there. */
    ck_assert_uint_eq(mem_read(&rig, RIG_ECAM + MIB(1) + (base - RIG_ECAM), 8), UINT64_MAX);
    mem_write(&rig, RIG_ECAM + MIB(1), 8, 0);
    teardown();
}
END_TEST

START_TEST(test_config_wild)
{
    static const uint64_t addrs[] = {0, 0xff, 0x100, 0xffd, 0xfff, 0x1000, 0xfffffff9, 0xffffffff};
    uint32_t sbdf = setup(rig_hvm());
    uint8_t data[16], ones[16];

    memset(ones, 0xff, sizeof(ones));
    /* What no hypervisor is known to send: registers beyond 4 KiB, long accesses, other segments. */
    for (unsigned i = 0; i < ARRAY_SIZE(addrs); i++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (uint64_t seg = 0; seg <= UINT32_MAX; seg = seg * 65536 + 0xffff) {
                struct guest_access access = {.space = ACCESS_PCI_CONFIG,
                                              .size = (uint8_t)size,
                                              .len = 2 * size,
                                              .addr = (sbdf ^ seg) << 32 | addrs[i],
                                              .data = data};

                memset(data, 0, sizeof(data));
                pci_bus_access(rig.guest.pci, &access);
                if (seg || addrs[i] >= 0x100)
                    ck_assert_mem_eq(data, ones, access.len);
                memset(data, 0xff, sizeof(data));
                access.write = true;
                pci_bus_access(rig.guest.pci, &access);
            }
    /* A register past the end of one function is not one of the next. */
    struct guest_access past = {.space = ACCESS_PCI_CONFIG,
                                .size = 4,
                                .len = 8,
                                .addr = (uint64_t)(sbdf - 1) << 32 | (PCI_CFG_SPACE_EXP_SIZE - 4),
                                .data = data};
    pci_bus_access(rig.guest.pci, &past);
    ck_assert_mem_eq(data, ones, past.len);
    ck_assert_uint_eq(pci_function_config_read(&devices[0].fn, UINT32_MAX, 4), UINT32_MAX);
    ck_assert_uint_eq(pci_function_config_read(&devices[0].fn, 0xfe, 4), 0xffff0000);
    pci_function_config_write(&devices[0].fn, 0xfe, 4, UINT32_MAX);
    pci_function_config_write(&devices[0].fn, UINT32_MAX - 1, 4, UINT32_MAX);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_VENDOR_ID, 2), 0x1234);
    teardown();
}
END_TEST

START_TEST(test_capabilities_full)
{
    uint8_t body[30] = {1}, writable[30] = {0};
    int cap, last = 0;

    rig_start(&rig, rig_hvm());
    device_build(&devices[0], &states[0], false);
    writable[29] = 0xff;
    while ((cap = pci_function_add_cap(&devices[0].fn, PCI_CAP_ID_VNDR, body, writable, sizeof(body))) >= 0) {
        ck_assert_int_eq(cap % 4, 0);
        ck_assert_int_gt(cap, last);
        last = cap;
    }
    ck_assert_int_eq(cap, -ENOSPC);
    /* What is left can be used to the last byte. */
    cap = PCI_CFG_SPACE_SIZE - last - 32 - 2;
    ck_assert_int_eq(pci_function_add_cap(&devices[0].fn, PCI_CAP_ID_VNDR, body, NULL, (size_t)cap),
                     last + 32);
    ck_assert_int_eq(pci_function_add_cap(&devices[0].fn, PCI_CAP_ID_VNDR, body, NULL, 1), -ENOSPC);
    device_plug(&devices[0]);
    cap = (int)cfg_read(&rig, devices[0].fn.sbdf, PCI_CAPABILITY_LIST, 1);
    ck_assert_uint_eq(cfg_read(&rig, devices[0].fn.sbdf, (unsigned)cap, 1), PCI_CAP_ID_MSIX);
    for (unsigned i = 0; i < 6; i++)
        cap = (int)cfg_read(&rig, devices[0].fn.sbdf, (unsigned)cap + 1, 1);
    ck_assert_int_eq(cap, last + 32);
    ck_assert_uint_eq(cfg_read(&rig, devices[0].fn.sbdf, (unsigned)cap + 1, 1), 0);
    cfg_write(&rig, devices[0].fn.sbdf, (unsigned)last + 31, 1, 0x77);
    ck_assert_uint_eq(cfg_read(&rig, devices[0].fn.sbdf, (unsigned)last + 28, 4), 0x77000000);
    teardown();
}
END_TEST

/* ---- BARs ---- */

START_TEST(test_bar_sizing)
{
    uint32_t sbdf = setup(rig_hvm()), type;
    bool is_64;

    command_set(&rig, sbdf, PCI_COMMAND_MEMORY, 0);
    for (unsigned i = 0; i < PCI_NR_BARS; i += is_64 ? 2 : 1) {
        uint32_t want = (bars[i].is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
                        (bars[i].prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);

        ck_assert_uint_eq(bar_size(&rig, sbdf, i, &type, &is_64), bars[i].len);
        ck_assert_uint_eq(type, want);
        ck_assert(is_64 == bars[i].is_64);
    }
    /* A sizing with decoding on maps nothing but what it cannot know for a half. */
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    for (unsigned i = 0; i < PCI_NR_BARS; i++) {
        cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_0 + 4 * i, 4, UINT32_MAX);
        if (i < 2)
            ck_assert_uint_eq(nr_mmio_regions(), 0);
    }
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    teardown();
}
END_TEST

START_TEST(test_bar_move)
{
    uint32_t sbdf = setup(rig_hvm());
    struct device *d = &devices[0];

    unit_random_start();
    /* Decoding off: an address is only remembered. */
    bar_write(&rig, sbdf, 0, false, RIG_LOW);
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    bar_expect_nowhere(d, RIG_LOW);
    command_set(&rig, sbdf, PCI_COMMAND_MEMORY, 0);
    bar_expect(d, 0, RIG_LOW);
    /* On: it moves at once, and the old place is free. */
    bar_write(&rig, sbdf, 0, false, RIG_LOW + MIB(1));
    bar_expect(d, 0, RIG_LOW + MIB(1));
    bar_expect_nowhere(d, RIG_LOW);
    for (unsigned i = 0; i < 5; i++) {
        command_set(&rig, sbdf, 0, PCI_COMMAND_MEMORY);
        bar_expect_nowhere(d, RIG_LOW + MIB(1));
        command_set(&rig, sbdf, PCI_COMMAND_MEMORY, 0);
        bar_expect(d, 0, RIG_LOW + MIB(1));
    }
    /* By single bytes. */
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_0 + 3, 1, 0xe1);
    bar_expect(d, 0, RIG_LOW + MIB(1) + MIB(16));
    /* All the others beside it, 64-bit ones low and high. */
    bar_write(&rig, sbdf, 1, false, RIG_LOW);
    bar_write(&rig, sbdf, 2, true, RIG_HIGH);
    bar_write(&rig, sbdf, 4, true, RIG_LOW + MIB(2));
    bar_expect(d, 0, RIG_LOW + MIB(17));
    bar_expect(d, 1, RIG_LOW);
    bar_expect(d, 2, RIG_HIGH);
    bar_expect(d, 4, RIG_LOW + MIB(2));
    ck_assert_uint_eq(nr_mmio_regions(), 4);
    /* The top of all addresses is all ones: never mapped; just below it is an address like others. */
    bar_write(&rig, sbdf, 2, true, (uint64_t)0 - BAR2_LEN);
    bar_write(&rig, sbdf, 4, true, (uint64_t)0 - 2 * BAR4_LEN);
    ck_assert_uint_eq(nr_mmio_regions(), 3);
    bar_expect(d, 4, (uint64_t)0 - 2 * BAR4_LEN);
    /* Nothing is left behind. */
    pci_function_unplug(&d->fn);
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, 0, 4), UINT32_MAX);
    teardown();
}
END_TEST

/* A 64-bit BAR is written by halves, with decoding on, and what it says in between is nonsense. */
START_TEST(test_bar_halves)
{
    uint32_t sbdf = setup(rig_hvm());
    struct device *d = &devices[0];
    uint64_t in_ram = GIB(4) + BAR4_LEN;

    unit_random_start();
    command_set(&rig, sbdf, PCI_COMMAND_MEMORY, 0);
    bar_write(&rig, sbdf, 4, true, RIG_HIGH + BAR4_LEN);
    bar_expect(d, 4, RIG_HIGH + BAR4_LEN);
    mem_write(&rig, BAR4_LEN + 8, 8, 0x1122334455667788);
    mem_write(&rig, in_ram + 8, 8, 0x99aabbccddeeff00);
    /* High half first: in low RAM, where it must not be mapped. */
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_5, 4, 0);
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    ck_assert_int_eq(region_table_find(rig.guest.regions, BAR4_LEN)->kind, REGION_RAM_FOREIGN);
    ck_assert_uint_eq(mem_read(&rig, BAR4_LEN + 8, 8), 0x1122334455667788);
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_4, 4, (uint32_t)RIG_LOW);
    bar_expect(d, 4, RIG_LOW);
    /* Low half first, with the high half of RAM above 4 GiB. */
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_5, 4, 1);
    bar_expect(d, 4, GIB(4) + RIG_LOW);
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_4, 4, BAR4_LEN);
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    ck_assert_uint_eq(mem_read(&rig, in_ram + 8, 8), 0x99aabbccddeeff00);
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_5, 4, (uint32_t)(RIG_HIGH >> 32));
    bar_expect(d, 4, RIG_HIGH + BAR4_LEN);
    /* In between it is where another BAR of the same function is: that one stays. */
    bar_write(&rig, sbdf, 1, false, RIG_LOW + BAR4_LEN);
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_4, 4, (uint32_t)(RIG_LOW + BAR4_LEN));
    bar_expect(d, 4, RIG_HIGH + RIG_LOW + BAR4_LEN);
    cfg_write(&rig, sbdf, PCI_BASE_ADDRESS_5, 4, 0);
    bar_expect(d, 1, RIG_LOW + BAR4_LEN);
    ck_assert_uint_eq(nr_mmio_regions(), 1);
    /* When that one leaves, this one is where it was told to be. */
    bar_write(&rig, sbdf, 1, false, RIG_LOW);
    bar_expect(d, 1, RIG_LOW);
    bar_expect(d, 4, RIG_LOW + BAR4_LEN);
    teardown();
}
END_TEST

/* Two functions change places, with decoding on. */
START_TEST(test_bar_swap)
{
    uint32_t first = setup(rig_hvm()), second;
    uint64_t here = RIG_LOW, there = RIG_LOW + MIB(1);

    unit_random_start();
    device_build(&devices[1], &states[1], false);
    second = device_plug(&devices[1]);
    ck_assert_uint_eq(second, first + 8);
    bar_write(&rig, first, 0, false, here);
    bar_write(&rig, second, 0, false, there);
    command_set(&rig, first, PCI_COMMAND_MEMORY, 0);
    command_set(&rig, second, PCI_COMMAND_MEMORY, 0);
    bar_write(&rig, first, 0, false, there);
    bar_expect(&devices[1], 0, there);
    bar_expect_nowhere(&devices[0], here);
    bar_write(&rig, second, 0, false, here);
    bar_expect(&devices[0], 0, there);
    bar_expect(&devices[1], 0, here);
    /* One waits for the other's place, and gets it when that one is gone. */
    bar_write(&rig, first, 0, false, here);
    bar_expect(&devices[1], 0, here);
    pci_function_unplug(&devices[1].fn);
    bar_expect(&devices[0], 0, here);
    teardown();
}
END_TEST

static int range_add_full(struct hypervisor *hv, enum access_space space, uint64_t first, uint64_t len)
{
    (void)hv;
    (void)space;
    (void)first;
    (void)len;
    return -ENOSPC;
}

static int msi_refused(struct hypervisor *hv, uint64_t addr, uint32_t data)
{
    (void)hv;
    (void)addr;
    (void)data;
    return -EINVAL;
}

static int intx_refused(struct hypervisor *hv, uint32_t sbdf, uint8_t pin, bool level)
{
    (void)hv;
    (void)sbdf;
    (void)pin;
    (void)level;
    return -EIO;
}

/* A hypervisor that has no ranges left, and one that refuses interrupts, end nothing. */
START_TEST(test_hypervisor_refuses)
{
    uint32_t sbdf = setup(rig_hvm());
    const struct hypervisor_ops *real = rig.hv->ops;
    struct hypervisor_ops refusing = *real;

    unit_random_start();
    refusing.range_add = range_add_full;
    refusing.msi_inject = msi_refused;
    refusing.intx_set = intx_refused;
    rig.hv->ops = &refusing;
    bar_write(&rig, sbdf, 0, false, RIG_LOW);
    command_set(&rig, sbdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    ck_assert_uint_eq(nr_mmio_regions(), 0);
    pci_function_intx_set(&devices[0].fn, true);
    ck_assert(!rig.line[sbdf >> 3]);
    rig.hv->ops = real;
    /* Both are made good by the next occasion. */
    pci_function_intx_set(&devices[0].fn, true);
    ck_assert(rig.line[sbdf >> 3]);
    command_set(&rig, sbdf, 0, PCI_COMMAND_MEMORY);
    command_set(&rig, sbdf, PCI_COMMAND_MEMORY, 0);
    bar_expect(&devices[0], 0, RIG_LOW);
    rig.hv->ops = &refusing;
    mem_write(&rig, RIG_LOW + TABLE_OFF + 12, 4, 0);
    cfg_write(&rig, sbdf, PCI_STD_HEADER_SIZEOF + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
    pci_function_msix_notify(&devices[0].fn, 0);
    ck_assert_uint_eq(rig.nr_msis, 0);
    rig.hv->ops = real;
    teardown();
}
END_TEST

static int pci_refused(struct hypervisor *hv, uint32_t sbdf)
{
    (void)hv;
    (void)sbdf;
    return -EPERM;
}

static int pci_host_refused(struct hypervisor *hv, struct pci_host *host)
{
    (void)hv;
    (void)host;
    return -ENODEV;
}

/* A function that cannot be claimed is not on the bus; one that cannot be given back is gone all the same. */
START_TEST(test_claim_refused)
{
    uint32_t sbdf = setup(rig_hvm());
    const struct hypervisor_ops *real = rig.hv->ops;
    struct hypervisor_ops refusing = *real;

    refusing.pci_add = pci_refused;
    refusing.pci_remove = pci_refused;
    device_build(&devices[1], &states[1], false);
    rig.hv->ops = &refusing;
    ck_assert_int_eq(pci_function_plug(&devices[1].fn, PCI_SLOT_ANY), -EPERM);
    ck_assert(!devices[1].fn.plugged);
    rig.hv->ops = real;
    ck_assert_uint_eq(device_plug(&devices[1]), sbdf + 8);
    rig.hv->ops = &refusing;
    pci_function_unplug(&devices[1].fn);
    ck_assert(!devices[1].fn.plugged);
    rig.hv->ops = real;
    ck_assert_uint_eq(cfg_read(&rig, sbdf + 8, PCI_VENDOR_ID, 4), UINT32_MAX);
    teardown();
}
END_TEST

/* No bus without a host, or where the host says that configuration space is but something else is, too. */
START_TEST(test_bus_refused)
{
    struct pci_host host = rig_pvh();
    const struct hypervisor_ops *real;
    struct hypervisor_ops refusing;
    struct pci_bus *bus = NULL;

    rig_start(&rig, host);
    ck_assert_int_eq(pci_bus_new(&bus, &rig.guest), -EEXIST);
    real = rig.hv->ops;
    refusing = *real;
    refusing.pci_host = pci_host_refused;
    rig.hv->ops = &refusing;
    ck_assert_int_eq(pci_bus_new(&bus, &rig.guest), -ENODEV);
    rig.hv->ops = real;
    ck_assert_ptr_null(bus);
    pci_bus_free(bus);
    rig_end(&rig);
}
END_TEST

START_TEST(test_slots)
{
    static struct pci_function fns[RIG_NR_SLOTS + 1];
    static struct pci_function_state fn_states[RIG_NR_SLOTS + 1];
    unsigned nr = 0;

    rig_start(&rig, rig_hvm());
    for (unsigned i = 0; i <= RIG_NR_SLOTS; i++)
        pci_function_init(&fns[i], &rig.guest, "slot test", &device_id, &fn_states[i], false);
    ck_assert_int_eq(pci_function_plug(&fns[0], 0x12), 0);
    ck_assert_int_eq(pci_function_plug(&fns[1], 0x12), -EBUSY);
    ck_assert_int_eq(pci_function_plug(&fns[1], 32), -EINVAL);
    ck_assert_int_eq(pci_function_plug(&fns[1], 0x03), 0);
    ck_assert_uint_eq(cfg_read(&rig, 0x03 << 3, PCI_VENDOR_ID, 2), 0x1234);
    for (nr = 2; pci_function_plug(&fns[nr], PCI_SLOT_ANY) == 0; nr++)
        ck_assert_uint_ge(fns[nr].sbdf >> 3, 0x10);
    ck_assert_uint_eq(nr, 2 + 16 - 1);
    ck_assert_int_eq(pci_function_plug(&fns[nr], PCI_SLOT_ANY), -ENOSPC);
    pci_function_unplug(&fns[nr]);
    pci_function_unplug(&fns[0]);
    pci_function_unplug(&fns[0]);
    ck_assert_int_eq(pci_function_plug(&fns[nr], PCI_SLOT_ANY), 0);
    ck_assert_uint_eq(fns[nr].sbdf, 0x12 << 3);
    for (unsigned i = 1; i <= nr; i++)
        pci_function_unplug(&fns[i]);
    rig_end(&rig);
}
END_TEST

/* ---- MSI-X ---- */

#define MSIX_CAP PCI_STD_HEADER_SIZEOF

static uint64_t entry(unsigned vector)
{
    return RIG_LOW + TABLE_OFF + 16 * vector;
}

static bool is_pending(unsigned vector)
{
    return mem_read(&rig, RIG_LOW + PBA_OFF + vector / 64 * 8, 8) >> vector % 64 & 1;
}

static void msix_control(uint32_t sbdf, uint16_t flags)
{
    cfg_write(&rig, sbdf, MSIX_CAP + PCI_MSIX_FLAGS, 2, flags);
}

static uint32_t msix_setup(void)
{
    uint32_t sbdf = setup(rig_hvm());

    bar_write(&rig, sbdf, 0, false, RIG_LOW);
    command_set(&rig, sbdf, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    return sbdf;
}

/* Programs a vector as Linux does and unmasks it. */
static void vector_set(unsigned vector)
{
    mem_write(&rig, entry(vector), 4, 0xfee00000 + 0x1000 * vector);
    mem_write(&rig, entry(vector) + 4, 4, vector << 8);
    mem_write(&rig, entry(vector) + 8, 4, 0x4000 + vector);
    mem_write(&rig, entry(vector) + 12, 4, 0);
}

static void msi_expect(unsigned nr, unsigned vector)
{
    ck_assert_uint_eq(rig.nr_msis, nr);
    ck_assert_uint_eq(rig.msis[nr - 1].addr, (uint64_t)(vector << 8) << 32 | (0xfee00000 + 0x1000 * vector));
    ck_assert_uint_eq(rig.msis[nr - 1].data, 0x4000 + vector);
}

START_TEST(test_msix_capability)
{
    uint32_t sbdf = msix_setup();

    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_CAPABILITY_LIST, 1), MSIX_CAP);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, MSIX_CAP, 1), PCI_CAP_ID_MSIX);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, MSIX_CAP + PCI_MSIX_FLAGS, 2), VECTORS - 1);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, MSIX_CAP + PCI_MSIX_TABLE, 4), TABLE_OFF);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, MSIX_CAP + PCI_MSIX_PBA, 4), PBA_OFF);
    /* All vectors begin masked. */
    for (unsigned i = 0; i < VECTORS; i++)
        ck_assert_uint_eq(mem_read(&rig, entry(i) + 12, 4), 1);
    teardown();
}
END_TEST

START_TEST(test_msix_refused)
{
    struct pci_function *fn = &devices[0].fn;

    rig_start(&rig, rig_hvm());
    pci_function_init(fn, &rig.guest, "test device", &device_id, &states[0], false);
    pci_function_add_bar(fn, 0, KIB(4), false, false, bar_access, NULL);
    ck_assert_int_eq(pci_function_add_msix(fn, 0, 0, 0x800, 0), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 0, 0, 0x800, PCI_MSIX_MAX_VECTORS + 1), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 6, 0, 0x800, 1), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 1, 0, 0x800, 1), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 0, 0xff8, 0x800, 1), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 0, 0, 0x1000, 1), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(fn, 0, 4, 0x800, 1), -EINVAL);
    ck_assert(!pci_function_msix_enabled(fn));
    rig_end(&rig);
}
END_TEST

START_TEST(test_msix_table_widths)
{
    uint8_t image[16 * VECTORS + 32], back[sizeof(image)];

    msix_setup();
    unit_random_start();
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned string = 0; string < 2; string++) {
            for (size_t i = 0; i < sizeof(image); i++)
                image[i] = (uint8_t)unit_random();
            if (string)
                mem_string(&rig, true, entry(0), size, image, 16 * VECTORS);
            else
                for (unsigned i = 0; i < 16 * VECTORS; i += size) {
                    uint64_t value = 0;

                    memcpy(&value, image + i, size);
                    mem_write(&rig, entry(0) + i, size, value);
                }
            for (unsigned i = 0; i < VECTORS; i++) {
                image[16 * i + 12] &= 1;
                memset(image + 16 * i + 13, 0, 3);
            }
            memset(image + 16 * VECTORS, 0, 32);
            for (unsigned width = 1; width <= 8; width *= 2) {
                mem_string(&rig, false, entry(0), width, back, sizeof(back));
                ck_assert_mem_eq(back, image, 16 * VECTORS);
            }
            for (unsigned i = 0; i < 16 * VECTORS - 8; i++) {
                uint64_t value = mem_read(&rig, entry(0) + i, 8);

                ck_assert_mem_eq(&value, image + i, 8);
            }
        }
    ck_assert_uint_eq(rig.nr_msis, 0);
    /* Over the end of the table: the inside is served. */
    mem_write(&rig, entry(VECTORS) - 8, 8, 0xffffffffffffffff);
    ck_assert_uint_eq(mem_read(&rig, entry(VECTORS) - 8, 8), 0x1ffffffff);
    mem_write(&rig, entry(VECTORS) - 2, 4, UINT32_MAX);
    ck_assert_uint_eq(mem_read(&rig, entry(VECTORS) - 4, 8), 1);
    teardown();
}
END_TEST

START_TEST(test_msix_masks)
{
    uint32_t sbdf = msix_setup();
    struct pci_function *fn = &devices[0].fn;

    /* Off: nothing is sent or remembered. */
    vector_set(3);
    pci_function_msix_notify(fn, 3);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
    ck_assert(pci_function_msix_enabled(fn));
    ck_assert_uint_eq(rig.nr_msis, 0);
    pci_function_msix_notify(fn, 3);
    msi_expect(1, 3);
    ck_assert(!is_pending(3));
    /* Masked by itself. */
    mem_write(&rig, entry(3) + 12, 4, 1);
    pci_function_msix_notify(fn, 3);
    pci_function_msix_notify(fn, 3);
    ck_assert_uint_eq(rig.nr_msis, 1);
    ck_assert(is_pending(3));
    mem_write(&rig, entry(3) + 12, 1, 0);
    msi_expect(2, 3);
    ck_assert(!is_pending(3));
    /* Masked with all, or because the function may not write to memory. */
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0)
            msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        else
            command_set(&rig, sbdf, 0, PCI_COMMAND_MASTER);
        vector_set(VECTORS - 1);
        pci_function_msix_notify(fn, VECTORS - 1);
        ck_assert_uint_eq(rig.nr_msis, 2 + i);
        ck_assert(is_pending(VECTORS - 1));
        /* Both masks: the other one still holds it back. */
        mem_write(&rig, entry(VECTORS - 1) + 12, 4, 1);
        msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
        command_set(&rig, sbdf, PCI_COMMAND_MASTER, 0);
        ck_assert_uint_eq(rig.nr_msis, 2 + i);
        mem_write(&rig, entry(VECTORS - 1) + 12, 4, 0);
        msi_expect(3 + i, VECTORS - 1);
        ck_assert(!is_pending(VECTORS - 1));
    }
    /* Pending bits are read-only, and gone with MSI-X or by the device's reset. */
    mem_write(&rig, RIG_LOW + PBA_OFF, 8, UINT64_MAX);
    ck_assert_uint_eq(mem_read(&rig, RIG_LOW + PBA_OFF, 8), 0);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_function_msix_notify(fn, 3);
    msix_control(sbdf, 0);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(rig.nr_msis, 4);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_function_msix_notify(fn, 3);
    pci_function_msix_clear(fn);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(rig.nr_msis, 4);
    /* Vectors that do not exist. */
    pci_function_msix_notify(fn, VECTORS);
    pci_function_msix_notify(fn, 0xffff);
    ck_assert_uint_eq(rig.nr_msis, 4);
    ck_assert(!is_pending(VECTORS));
    teardown();
}
END_TEST

/* What Linux does: enables with the function masked and a stand-in vector, sets each vector, lifts the mask.
 */
START_TEST(test_msix_linux)
{
    uint32_t sbdf = msix_setup();
    struct pci_function *fn = &devices[0].fn;

    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | 1);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, MSIX_CAP + PCI_MSIX_FLAGS, 2),
                      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1));
    for (unsigned i = 0; i < 2; i++) {
        mem_write(&rig, entry(i), 4, 0xfee00000);
        mem_write(&rig, entry(i) + 4, 4, 0);
        mem_write(&rig, entry(i) + 8, 4, 0xef);
        mem_write(&rig, entry(i) + 12, 4, 0);
        pci_function_msix_notify(fn, (uint16_t)i);
    }
    ck_assert_uint_eq(rig.nr_msis, 0);
    for (unsigned i = 0; i < 2; i++) {
        mem_write(&rig, entry(i) + 12, 4, 1);
        vector_set(i);
    }
    ck_assert_uint_eq(rig.nr_msis, 0);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | 1);
    ck_assert_uint_eq(rig.nr_msis, 2);
    ck_assert_uint_eq(rig.msis[0].data, 0x4000);
    msi_expect(2, 1);
    teardown();
}
END_TEST

/* ---- INTx ---- */

static bool intx_status(uint32_t sbdf)
{
    return (cfg_read(&rig, sbdf, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) != 0;
}

START_TEST(test_intx)
{
    uint32_t sbdf = setup(rig_hvm()), slot = sbdf >> 3;
    struct pci_function *fn = &devices[0].fn;

    ck_assert(!intx_status(sbdf));
    pci_function_intx_set(fn, true);
    ck_assert(rig.line[slot] && intx_status(sbdf));
    pci_function_intx_set(fn, true);
    ck_assert_uint_eq(rig.nr_lines, 1);
    /* The disable bit gates the line, not the status. */
    command_set(&rig, sbdf, PCI_COMMAND_INTX_DISABLE, 0);
    ck_assert(!rig.line[slot] && intx_status(sbdf));
    command_set(&rig, sbdf, 0, PCI_COMMAND_INTX_DISABLE);
    ck_assert(rig.line[slot] && intx_status(sbdf));
    /* MSI-X takes its place. */
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
    ck_assert(!rig.line[slot] && !intx_status(sbdf));
    pci_function_intx_set(fn, false);
    pci_function_intx_set(fn, true);
    ck_assert(!rig.line[slot] && !intx_status(sbdf));
    msix_control(sbdf, 0);
    ck_assert(rig.line[slot] && intx_status(sbdf));
    pci_function_intx_set(fn, false);
    ck_assert(!rig.line[slot] && !intx_status(sbdf));
    /* The line does not outlive the function. */
    pci_function_intx_set(fn, true);
    pci_function_unplug(fn);
    ck_assert(!rig.line[slot]);
    teardown();
}
END_TEST

START_TEST(test_intx_absent)
{
    uint32_t sbdf = setup(rig_pvh());

    pci_function_intx_set(&devices[0].fn, true);
    ck_assert(intx_status(sbdf));
    ck_assert_uint_eq(rig.nr_lines, 0);
    teardown();
}
END_TEST

/* ---- a new process for the same guest ---- */

START_TEST(test_resume)
{
    uint32_t sbdf = msix_setup();
    struct pci_function_state saved;

    unit_random_start();
    bar_write(&rig, sbdf, 2, true, RIG_HIGH);
    cfg_write(&rig, sbdf, PCI_INTERRUPT_LINE, 1, 11);
    vector_set(5);
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_function_msix_notify(&devices[0].fn, 5);
    saved = states[0];
    teardown(); /* as if killed: the state is as it was before */
    ck_assert_mem_eq(&saved, &states[0], sizeof(saved));

    rig_start(&rig, rig_hvm());
    device_build(&devices[0], &states[0], true);
    ck_assert_int_eq(pci_function_plug(&devices[0].fn, (uint8_t)(sbdf >> 3)), 0);
    ck_assert_mem_eq(&saved, &states[0], sizeof(saved));
    bar_expect(&devices[0], 0, RIG_LOW);
    bar_expect(&devices[0], 2, RIG_HIGH);
    ck_assert_uint_eq(cfg_read(&rig, sbdf, PCI_INTERRUPT_LINE, 1), 11);
    ck_assert(is_pending(5));
    msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
    msi_expect(1, 5);
    /* The line, too, even if the hypervisor was told before. */
    msix_control(sbdf, 0);
    pci_function_intx_set(&devices[0].fn, true);
    teardown();
    rig_start(&rig, rig_hvm());
    device_build(&devices[0], &states[0], true);
    ck_assert_int_eq(pci_function_plug(&devices[0].fn, (uint8_t)(sbdf >> 3)), 0);
    ck_assert(rig.line[sbdf >> 3]);
    pci_function_intx_set(&devices[0].fn, false);
    ck_assert(!rig.line[sbdf >> 3]);
    teardown();
    /* Low is told as well: it may be high from before. */
    rig_start(&rig, rig_hvm());
    device_build(&devices[0], &states[0], true);
    rig.line[sbdf >> 3] = true;
    ck_assert_int_eq(pci_function_plug(&devices[0].fn, (uint8_t)(sbdf >> 3)), 0);
    ck_assert(!rig.line[sbdf >> 3]);
    teardown();
}
END_TEST

/* What is not the guest's to write is right whatever the file says. */
START_TEST(test_resume_damaged)
{
    uint32_t fresh[PCI_CFG_SPACE_SIZE / 4], sbdf = setup(rig_hvm());

    unit_random_start();
    for (unsigned reg = 0; reg < PCI_CFG_SPACE_SIZE; reg += 4)
        fresh[reg / 4] = cfg_read(&rig, sbdf, reg, 4) & ~writable_bits(reg);
    teardown();
    for (unsigned long round = unit_count(2000); round > 0; round--) {
        uint8_t *bytes = (uint8_t *)&states[0];

        for (size_t i = 0; i < sizeof(states[0]); i++)
            bytes[i] = (uint8_t)unit_random();
        rig_start(&rig, rig_hvm());
        device_build(&devices[0], &states[0], true);
        sbdf = device_plug(&devices[0]);
        for (unsigned reg = 0; reg < PCI_CFG_SPACE_SIZE; reg += 4) {
            uint32_t volatile_bits = reg == PCI_COMMAND ? (uint32_t)PCI_STATUS_INTERRUPT << 16 : 0;

            ck_assert_uint_eq(cfg_read(&rig, sbdf, reg, 4) & ~writable_bits(reg) & ~volatile_bits,
                              fresh[reg / 4]);
        }
        rig.nr_msis = 0;
        msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        for (unsigned i = 0; i < VECTORS; i++) {
            ck_assert_uint_le(states[0].msix_table[i].ctrl, 1);
            states[0].msix_table[i].ctrl = 0;
            pci_function_msix_notify(&devices[0].fn, (uint16_t)i);
        }
        command_set(&rig, sbdf, PCI_COMMAND_MASTER, 0);
        msix_control(sbdf, PCI_MSIX_FLAGS_ENABLE);
        ck_assert_uint_eq(rig.nr_msis, VECTORS);
        teardown();
    }
}
END_TEST

/* ---- a hostile guest ---- */

/* An address near what there is. */
static uint64_t wild_address(void)
{
    static const uint64_t near[] = {RIG_ECAM, RIG_ECAM + (1 << 15), RIG_ECAM + (2 << 15),
                                    RIG_LOW,  RIG_LOW + TABLE_OFF,  RIG_LOW + PBA_OFF,
                                    RIG_HIGH};

    if (unit_random_below(4) == 0)
        return RIG_ECAM + unit_random_below(MIB(2));
    return near[unit_random_below(ARRAY_SIZE(near))] + unit_random_below(0x100);
}

static uint64_t wild_value(void)
{
    static const uint64_t values[] = {0,
                                      UINT64_MAX,
                                      RIG_LOW,
                                      RIG_HIGH >> 32,
                                      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                                      PCI_COMMAND_MEMORY,
                                      PCI_MSIX_FLAGS_ENABLE,
                                      1,
                                      RIG_ECAM};

    return unit_random_below(2) ? unit_random() : values[unit_random_below(ARRAY_SIZE(values))];
}

/* What always holds: mapped BARs are in the table and where the registers say, ids are what they were. */
static void invariants_check(void)
{
    size_t mapped = 0;

    for (unsigned d = 0; d < 2; d++) {
        const struct pci_function *fn = &devices[d].fn;

        for (unsigned i = 0; i < PCI_NR_BARS; i++) {
            const struct region *r =
                fn->bars[i].mapped ? region_table_find(rig.guest.regions, fn->bars[i].gpa) : NULL;
            uint32_t low;

            if (!fn->bars[i].mapped)
                continue;
            mapped++;
            ck_assert_ptr_nonnull(r);
            ck_assert_uint_eq(r->gpa, fn->bars[i].gpa);
            ck_assert_ptr_eq(r->mmio.opaque, &devices[d].refs[i]);
            low = cfg_read(&rig, fn->sbdf, PCI_BASE_ADDRESS_0 + 4 * i, 4) & ~15u;
            ck_assert_uint_eq(low, (uint32_t)fn->bars[i].gpa);
            ck_assert_uint_eq(cfg_read(&rig, fn->sbdf, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY,
                              PCI_COMMAND_MEMORY);
        }
        ck_assert_uint_eq(cfg_read(&rig, fn->sbdf, PCI_VENDOR_ID, 4), 0x56781234);
        ck_assert_uint_eq(cfg_read(&rig, fn->sbdf, PCI_ROM_ADDRESS, 4), 0);
    }
    ck_assert_uint_eq(nr_mmio_regions(), mapped);
}

START_TEST(test_fuzz)
{
    struct pci_host host = rig_pvh();
    uint8_t data[4096];

    host.has_intx = true;
    setup(host);
    device_build(&devices[1], &states[1], false);
    device_plug(&devices[1]);
    unit_random_start();
    for (unsigned long n = unit_count(3000000); n > 0; n--) {
        unsigned size = 1u << unit_random_below(4);
        struct device *d = &devices[unit_random_below(2)];

        switch (unit_random_below(8)) {
        case 0:
            mem_read(&rig, wild_address(), size);
            break;
        case 1: /* registers that matter */
            cfg_write(&rig, d->fn.sbdf, PCI_BASE_ADDRESS_0 + 4 * (unsigned)unit_random_below(6), 4,
                      (uint32_t)wild_value());
            break;
        case 2:
            cfg_write(&rig, d->fn.sbdf, PCI_COMMAND, 2, (uint32_t)wild_value());
            break;
        case 3:
            pci_function_msix_notify(&d->fn, (uint16_t)unit_random_below(VECTORS + 2));
            pci_function_intx_set(&d->fn, unit_random_below(2) == 1);
            break;
        case 4:
            if (unit_random_below(64) == 0) {
                memset(data, (int)wild_value(), sizeof(data));
                mem_string(&rig, unit_random_below(2) == 1, wild_address(), size, data,
                           size * (1 + unit_random_below(sizeof(data) / 8)));
            }
            break;
        default:
            mem_write(&rig, wild_address(), size, wild_value());
        }
        if (n % 1024 == 0)
            invariants_check();
    }
    invariants_check();
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pci");
    TCase *tc = tcase_create("pci");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, test_identity);
    tcase_add_test(tc, test_write_masks);
    tcase_add_test(tc, test_extended_space);
    tcase_add_test(tc, test_ecam_widths);
    tcase_add_test(tc, test_config_wild);
    tcase_add_test(tc, test_capabilities_full);
    tcase_add_test(tc, test_bar_sizing);
    tcase_add_test(tc, test_bar_move);
    tcase_add_test(tc, test_bar_halves);
    tcase_add_test(tc, test_bar_swap);
    tcase_add_test(tc, test_hypervisor_refuses);
    tcase_add_test(tc, test_claim_refused);
    tcase_add_test(tc, test_bus_refused);
    tcase_add_test(tc, test_slots);
    tcase_add_test(tc, test_msix_capability);
    tcase_add_test(tc, test_msix_refused);
    tcase_add_test(tc, test_msix_table_widths);
    tcase_add_test(tc, test_msix_masks);
    tcase_add_test(tc, test_msix_linux);
    tcase_add_test(tc, test_intx);
    tcase_add_test(tc, test_intx_absent);
    tcase_add_test(tc, test_resume);
    tcase_add_test(tc, test_resume_damaged);
    tcase_add_test(tc, test_fuzz);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
