// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_guest.c - see pci_guest.h.
 */
#include "tests/unit/pci_guest.h"

#include <check.h>
#include <endian.h>
#include <ev.h>
#include <string.h>

#include <linux/pci_regs.h>

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
    struct rig *rig = ctx;

    if (rig->nr_msis < RIG_MAX_MSIS) {
        rig->msis[rig->nr_msis].addr = addr;
        rig->msis[rig->nr_msis].data = data;
    }
    rig->nr_msis++;
}

static void on_intx(void *ctx, uint32_t sbdf, uint8_t pin, bool level)
{
    struct rig *rig = ctx;

    ck_assert_uint_eq(pin, 0);
    ck_assert_uint_eq(sbdf & 7, 0);
    ck_assert_uint_lt(sbdf >> 3, RIG_NR_SLOTS);
    rig->line[sbdf >> 3] = level;
    rig->nr_lines++;
}

static void on_irq(void *ctx, uint32_t irq, bool level)
{
    struct rig *rig = ctx;

    ck_assert_uint_lt(irq, RIG_NR_IRQS);
    rig->irq_line[irq] = level;
    rig->nr_irqs++;
}

struct pci_host rig_hvm(void)
{
    return (struct pci_host){.has_intx = true, .first_slot = 0x10};
}

struct pci_host rig_pvh(void)
{
    return (struct pci_host){.has_ecam = true, .ecam_gpa = RIG_ECAM, .ecam_len = MIB(2)};
}

void rig_start(struct rig *rig, struct pci_host host)
{
    static const struct local_callbacks callbacks = {.msi = on_msi, .intx = on_intx, .irq = on_irq};
    struct local_options options = {.ram_low = RIG_RAM,
                                    .ram_high = RIG_RAM,
                                    .ram_fd = -1,
                                    .pci = host,
                                    .nr_irqs = host.has_intx ? RIG_NR_IRQS : 0};

    log_level = LOG_LEVEL_WARNING; /* not of each start of a driver */
    memset(rig, 0, sizeof(*rig));
    rig->ecam = host.has_ecam;
    rig->loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(rig->loop);
    ck_assert_int_eq(local_new(&rig->hv, &options, &callbacks, rig), 0);
    ck_assert_int_eq(guest_init(&rig->guest, rig->loop, rig->hv, NULL), 0);
    ck_assert_int_eq(rig->hv->ops->start(rig->hv), 0);
}

void rig_end(struct rig *rig)
{
    guest_fini(&rig->guest);
    rig->hv->ops->detach(rig->hv);
    ev_loop_destroy(rig->loop);
}

static uint64_t access_one(struct rig *rig, enum access_space space, bool write, uint64_t addr, unsigned size,
                           uint64_t value)
{
    struct guest_access access = {
        .space = space, .write = write, .size = (uint8_t)size, .addr = addr, .len = size, .data = &value};

    value = htole64(value);
    if (!write)
        value = 0;
    local_access(rig->hv, &access);
    return le64toh(value);
}

uint32_t cfg_read(struct rig *rig, uint32_t sbdf, unsigned reg, unsigned size)
{
    if (rig->ecam)
        return (uint32_t)mem_read(rig, RIG_ECAM + ((uint64_t)sbdf << 12) + reg, size);
    return (uint32_t)access_one(rig, ACCESS_PCI_CONFIG, false, (uint64_t)sbdf << 32 | reg, size, 0);
}

void cfg_write(struct rig *rig, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    if (rig->ecam)
        mem_write(rig, RIG_ECAM + ((uint64_t)sbdf << 12) + reg, size, value);
    else
        access_one(rig, ACCESS_PCI_CONFIG, true, (uint64_t)sbdf << 32 | reg, size, value);
}

uint64_t mem_read(struct rig *rig, uint64_t gpa, unsigned size)
{
    return access_one(rig, ACCESS_MMIO, false, gpa, size, 0);
}

void mem_write(struct rig *rig, uint64_t gpa, unsigned size, uint64_t value)
{
    access_one(rig, ACCESS_MMIO, true, gpa, size, value);
}

void mem_string(struct rig *rig, bool write, uint64_t gpa, unsigned size, void *data, size_t len)
{
    struct guest_access access = {
        .space = ACCESS_MMIO, .write = write, .size = (uint8_t)size, .addr = gpa, .len = len, .data = data};

    local_access(rig->hv, &access);
}

void command_set(struct rig *rig, uint32_t sbdf, uint16_t set, uint16_t clear)
{
    uint32_t command = cfg_read(rig, sbdf, PCI_COMMAND, 2);

    cfg_write(rig, sbdf, PCI_COMMAND, 2, (command | set) & ~(uint32_t)clear);
}

uint64_t bar_size(struct rig *rig, uint32_t sbdf, unsigned bar, uint32_t *type, bool *is_64)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t command = cfg_read(rig, sbdf, PCI_COMMAND, 2), low;
    uint64_t mask;

    cfg_write(rig, sbdf, PCI_COMMAND, 2, command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    low = cfg_read(rig, sbdf, reg, 4);
    cfg_write(rig, sbdf, reg, 4, UINT32_MAX);
    mask = cfg_read(rig, sbdf, reg, 4);
    cfg_write(rig, sbdf, reg, 4, low);
    *type = (uint32_t)mask & 0xf;
    *is_64 = (mask & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    mask &= ~(uint64_t)0xf;
    if (*is_64) {
        uint32_t high = cfg_read(rig, sbdf, reg + 4, 4);

        cfg_write(rig, sbdf, reg + 4, 4, UINT32_MAX);
        mask |= (uint64_t)cfg_read(rig, sbdf, reg + 4, 4) << 32;
        cfg_write(rig, sbdf, reg + 4, 4, high);
    } else if (mask) {
        mask |= (uint64_t)UINT32_MAX << 32;
    }
    cfg_write(rig, sbdf, PCI_COMMAND, 2, command);
    return mask ? ~mask + 1 : 0;
}

void bar_write(struct rig *rig, uint32_t sbdf, unsigned bar, bool is_64, uint64_t addr)
{
    cfg_write(rig, sbdf, PCI_BASE_ADDRESS_0 + 4 * bar, 4, (uint32_t)addr);
    if (is_64)
        cfg_write(rig, sbdf, PCI_BASE_ADDRESS_0 + 4 * bar + 4, 4, (uint32_t)(addr >> 32));
}
