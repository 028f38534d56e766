// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_function.c - one conventional PCI function: its 256 bytes of configuration space, its BARs and its INTx
 * line. The bus (pci_bus.c) passes configuration accesses here, transports build the function and raise its
 * interrupts. Owns the mapping of the BARs; what the guest programmed is in the borrowed state.
 *
 * Configuration space is plain bytes with a mask of the bits that the guest may change; the effects of a
 * write follow from the bytes as they are after it. So an access of any size at any register is safe, and a
 * function is resumed by keeping the bits in the mask and writing the others anew.
 */
#include "dm/pci.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * What a read gets where there is nothing, so also beyond the 256 bytes of a conventional function. By all
 * ones at 0x100 Linux knows that there is no extended configuration space (pci_cfg_space_size_ext), should it
 * look at all: it does not, without a PCI Express capability.
 */
#define CONFIG_UNCLAIMED UINT32_MAX

static uint16_t config_get16(const struct pci_function *fn, unsigned reg)
{
    uint16_t value;

    memcpy(&value, fn->state->config + reg, sizeof(value));
    return le16toh(value);
}

static uint32_t config_get32(const struct pci_function *fn, unsigned reg)
{
    uint32_t value;

    memcpy(&value, fn->state->config + reg, sizeof(value));
    return le32toh(value);
}

/* Gives a byte its value and its writable bits; those keep what a predecessor's guest wrote. */
static void config_define8(struct pci_function *fn, unsigned reg, uint8_t value, uint8_t writable)
{
    uint8_t kept = fn->resumed ? writable : 0;

    fn->state->config[reg] = (uint8_t)((value & ~kept) | (fn->state->config[reg] & kept));
    fn->write_mask[reg] = writable;
}

static void config_define(struct pci_function *fn, unsigned reg, unsigned size, uint32_t value,
                          uint32_t writable)
{
    for (unsigned i = 0; i < size; i++)
        config_define8(fn, reg + i, (uint8_t)(value >> 8 * i), (uint8_t)(writable >> 8 * i));
}

static bool command_has(const struct pci_function *fn, uint16_t bits)
{
    return (config_get16(fn, PCI_COMMAND) & bits) != 0;
}

bool pci_function_is_master(const struct pci_function *fn)
{
    return command_has(fn, PCI_COMMAND_MASTER);
}

/* ---- building ---- */

void pci_function_init(struct pci_function *fn, struct guest *guest, const char *name,
                       const struct pci_function_id *id, struct pci_function_state *state, bool resumed)
{
    uint8_t level;

    memset(fn, 0, sizeof(*fn));
    if (!resumed)
        memset(state, 0, sizeof(*state));
    fn->guest = guest;
    snprintf(fn->name, sizeof(fn->name), "%s", name);
    fn->state = state;
    fn->resumed = resumed;
    fn->cap_end = PCI_STD_HEADER_SIZEOF;
    fn->cap_last = PCI_CAPABILITY_LIST;
    /* A damaged file may hold any byte there, and reading one that is neither 0 nor 1 as a bool is undefined.
     */
    memcpy(&level, &state->intx_level, sizeof(level));
    state->intx_level = level != 0;

    /* All of the header but the BARs: those are defined by pci_function_add_bar, or zeroed when plugged. */
    config_define(fn, PCI_VENDOR_ID, 2, id->vendor, 0);
    config_define(fn, PCI_DEVICE_ID, 2, id->device, 0);
    config_define(fn, PCI_COMMAND, 2, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    config_define(fn, PCI_STATUS, 2, 0, 0);
    config_define(fn, PCI_CLASS_REVISION, 4, id->class_code << 8 | id->revision, 0);
    config_define(fn, PCI_CACHE_LINE_SIZE, 1, 0, 0xff);
    config_define(fn, PCI_LATENCY_TIMER, 1, 0, 0);
    config_define(fn, PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_NORMAL, 0);
    config_define(fn, PCI_BIST, 1, 0, 0);
    config_define(fn, PCI_CARDBUS_CIS, 4, 0, 0);
    config_define(fn, PCI_SUBSYSTEM_VENDOR_ID, 2, id->subsystem_vendor, 0);
    config_define(fn, PCI_SUBSYSTEM_ID, 2, id->subsystem, 0);
    config_define(fn, PCI_ROM_ADDRESS, 4, 0, 0);
    config_define(fn, PCI_CAPABILITY_LIST, 4, 0, 0);
    config_define(fn, PCI_CAPABILITY_LIST + 4, 4, 0, 0);
    config_define(fn, PCI_INTERRUPT_LINE, 1, 0, 0xff);
    config_define(fn, PCI_INTERRUPT_PIN, 1, pci_bus_has_intx(guest->pci) ? 1 : 0, 0);
    config_define(fn, PCI_MIN_GNT, 1, 0, 0);
    config_define(fn, PCI_MAX_LAT, 1, 0, 0);
}

static unsigned bar_reg(unsigned bar)
{
    return PCI_BASE_ADDRESS_0 + 4 * bar;
}

void pci_function_add_bar(struct pci_function *fn, unsigned bar, uint64_t len, bool is_64, bool prefetchable,
                          region_mmio_fn *access, void *opaque)
{
    uint64_t writable = ~(len - 1);
    uint32_t type = PCI_BASE_ADDRESS_SPACE_MEMORY;

    type |= is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : PCI_BASE_ADDRESS_MEM_TYPE_32;
    type |= prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
    fn->bars[bar] = (struct pci_bar){
        .len = len, .is_64 = is_64, .prefetchable = prefetchable, .access = access, .opaque = opaque};
    config_define(fn, bar_reg(bar), 4, type, (uint32_t)writable);
    if (is_64)
        config_define(fn, bar_reg(bar + 1), 4, 0, (uint32_t)(writable >> 32));
}

void pci_function_set_bar_show(struct pci_function *fn, unsigned bar, int (*show)(void *opaque, uint64_t gpa),
                               void (*hide)(void *opaque, uint64_t gpa))
{
    fn->bars[bar].show = show;
    fn->bars[bar].hide = hide;
}

int pci_function_add_cap(struct pci_function *fn, uint8_t id, const void *body, const void *writable,
                         size_t body_len)
{
    const uint8_t *value = body, *mask = writable;
    unsigned cap = fn->cap_end;
    size_t len = align_up(PCI_CAP_SIZEOF - 2 + body_len, 4);

    if (!range_within(cap, len, PCI_CFG_SPACE_SIZE))
        return -ENOSPC;
    config_define8(fn, cap + PCI_CAP_LIST_ID, id, 0);
    config_define8(fn, cap + PCI_CAP_LIST_NEXT, 0, 0);
    for (unsigned i = PCI_CAP_FLAGS; i < len; i++) {
        unsigned at = i - PCI_CAP_FLAGS;
        bool padding = at >= body_len;

        config_define8(fn, cap + i, padding ? 0 : value[at], padding || !mask ? 0 : mask[at]);
    }
    fn->state->config[fn->cap_last] = (uint8_t)cap;
    fn->cap_last = (uint8_t)(cap + PCI_CAP_LIST_NEXT);
    fn->cap_end = (uint16_t)(cap + len);
    fn->state->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    return (int)cap;
}

/* ---- BARs ---- */

/*
 * Where the guest wants a BAR, 0 for nowhere. Address 0 is a BAR that nobody has set up. All ones is how a
 * guest asks for the size, which it may do with decoding on.
 */
static uint64_t bar_target(const struct pci_function *fn, unsigned bar)
{
    const struct pci_bar *b = &fn->bars[bar];
    uint64_t addr = config_get32(fn, bar_reg(bar)) & PCI_BASE_ADDRESS_MEM_MASK & UINT32_MAX;
    uint64_t sizing = ~(b->len - 1);

    if (!command_has(fn, PCI_COMMAND_MEMORY))
        return 0;
    if (b->is_64)
        addr |= (uint64_t)config_get32(fn, bar_reg(bar + 1)) << 32;
    else
        sizing &= UINT32_MAX;
    return addr == sizing ? 0 : addr;
}

/*
 * A guest may put a BAR over its RAM or over another BAR, if only because a 64-bit one is written by halves.
 * Then the BAR is nowhere until the guest writes something better or the other one goes away.
 */
void pci_function_map_bars(struct pci_function *fn)
{
    for (unsigned i = 0; i < PCI_NR_BARS; i++) {
        struct pci_bar *bar = &fn->bars[i];
        uint64_t gpa = bar->len && !bar->mapped ? bar_target(fn, i) : 0;
        int rc;

        if (gpa == 0)
            continue;
        if (bar->show != NULL)
            rc = bar->show(bar->opaque, gpa);
        else
            rc = guest_mmio_add(fn->guest, gpa, bar->len, bar->access, bar->opaque);
        if (rc < 0) {
            log_limited(&fn->limit, LOG_LEVEL_DEBUG, "%s: BAR %u cannot be at 0x%" PRIx64 ": %s", fn->name, i,
                        gpa, strerror(-rc));
            continue;
        }
        bar->mapped = true;
        bar->gpa = gpa;
    }
}

static void bars_update(struct pci_function *fn)
{
    bool unmapped = false;

    /* First all that leave, then all that come: two BARs may change places. */
    for (unsigned i = 0; i < PCI_NR_BARS; i++) {
        struct pci_bar *bar = &fn->bars[i];

        if (!bar->mapped || (fn->plugged && bar->gpa == bar_target(fn, i)))
            continue;
        if (bar->hide != NULL)
            bar->hide(bar->opaque, bar->gpa);
        else
            guest_mmio_remove(fn->guest, bar->gpa, bar->len);
        bar->mapped = false;
        unmapped = true;
    }
    if (fn->plugged)
        pci_function_map_bars(fn);
    if (unmapped)
        pci_bus_bar_unmapped(fn->guest->pci);
}

/* ---- INTx ---- */

static void intx_drive(struct pci_function *fn, bool level)
{
    struct hypervisor *hv = fn->guest->hv;
    int rc;

    if (fn->state->config[PCI_INTERRUPT_PIN] == 0)
        return;
    rc = hv->ops->intx_set(hv, fn->sbdf, 0, level);
    if (rc < 0)
        log_limited(&fn->limit, LOG_LEVEL_WARNING, "%s: the interrupt line cannot be %s: %s", fn->name,
                    level ? "raised" : "lowered", strerror(-rc));
    else
        fn->intx_line = level;
}

/* The level that the guest should see. Keeps the status register's bit, which INTx disable does not gate (PCI
 * 3.0, 6.2.3). */
static bool intx_wanted(struct pci_function *fn)
{
    bool level = fn->state->intx_level && !pci_function_msix_enabled(fn);

    fn->state->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    fn->state->config[PCI_STATUS] |= level ? PCI_STATUS_INTERRUPT : 0;
    return level && fn->plugged && !command_has(fn, PCI_COMMAND_INTX_DISABLE);
}

static void intx_update(struct pci_function *fn)
{
    bool level = intx_wanted(fn);

    if (level != fn->intx_line)
        intx_drive(fn, level);
}

void pci_function_intx_set(struct pci_function *fn, bool level)
{
    fn->state->intx_level = level;
    intx_update(fn);
}

/* ---- on the bus ---- */

void pci_function_enable(struct pci_function *fn)
{
    uint8_t *config = fn->state->config;
    bool level;

    /* What nobody defined holds nothing, whatever the file of a predecessor says. */
    memset(config + fn->cap_end, 0, PCI_CFG_SPACE_SIZE - fn->cap_end);
    for (unsigned i = 0; i < PCI_NR_BARS; i++)
        if (fn->bars[i].len == 0 && !(i > 0 && fn->bars[i - 1].is_64))
            memset(config + bar_reg(i), 0, 4);
    fn->plugged = true;
    bars_update(fn);
    /* A predecessor may have died anywhere between changing the state and telling the hypervisor. */
    level = intx_wanted(fn);
    if (fn->resumed || level)
        intx_drive(fn, level);
    pci_function_msix_flush(fn);
}

void pci_function_disable(struct pci_function *fn)
{
    fn->plugged = false;
    bars_update(fn);
    if (fn->intx_line)
        intx_drive(fn, false);
}

/* ---- configuration accesses ---- */

/* Whether an access of size bytes at reg (both small) touches [first, first + len). */
static bool touches(unsigned reg, unsigned size, unsigned first, unsigned len)
{
    return reg < first + len && first < reg + size;
}

uint32_t pci_function_config_read(struct pci_function *fn, unsigned reg, unsigned size)
{
    uint32_t value = CONFIG_UNCLAIMED;

    if (reg >= PCI_CFG_SPACE_SIZE)
        return value;
    if (fn->hook && touches(reg, size, fn->hook_first, fn->hook_len))
        fn->hook(fn->hook_opaque, false, reg, size);
    for (unsigned i = 0; i < MIN(size, 4u) && reg + i < PCI_CFG_SPACE_SIZE; i++) {
        value &= ~((uint32_t)0xff << 8 * i);
        value |= (uint32_t)fn->state->config[reg + i] << 8 * i;
    }
    return value;
}

void pci_function_config_write(struct pci_function *fn, unsigned reg, unsigned size, uint32_t value)
{
    if (reg >= PCI_CFG_SPACE_SIZE)
        return;
    for (unsigned i = 0; i < MIN(size, 4u) && reg + i < PCI_CFG_SPACE_SIZE; i++) {
        uint8_t mask = fn->write_mask[reg + i], *byte = &fn->state->config[reg + i];

        *byte = (uint8_t)((*byte & ~mask) | ((value >> 8 * i) & mask));
    }
    if (touches(reg, size, PCI_COMMAND, 2) || touches(reg, size, PCI_BASE_ADDRESS_0, 4 * PCI_NR_BARS))
        bars_update(fn);
    if (fn->msix_cap != 0 && touches(reg, size, fn->msix_cap + PCI_MSIX_FLAGS, 2)) {
        /* Nothing of one use of MSI-X is left for the next. */
        if (!pci_function_msix_enabled(fn))
            pci_function_msix_clear(fn);
        intx_update(fn);
        pci_function_msix_flush(fn);
    }
    if (touches(reg, size, PCI_COMMAND, 2)) {
        intx_update(fn);
        pci_function_msix_flush(fn);
        if (fn->command_written != NULL)
            fn->command_written(fn->hook_opaque);
    }
    if (fn->hook && touches(reg, size, fn->hook_first, fn->hook_len))
        fn->hook(fn->hook_opaque, true, reg, size);
}
