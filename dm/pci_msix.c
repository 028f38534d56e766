// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_msix.c - MSI-X of a PCI function: the capability, the table of vectors and the pending bits (PCI Local
 * Bus Specification 3.0, 6.8.2). Called by the owner of the BAR that they are in, and by the transport that
 * raises interrupts. Owns nothing: table and pending bits are in the function's state.
 *
 * A vector is sent at once, or, while something masks it, marked pending and sent when that ends. The bus
 * master bit counts as a mask: a message is a memory write of the function, and an interrupt must not be
 * lost.
 */
#include "dm/pci.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MSIX_TABLE_BYTES(fn) ((uint64_t)(fn)->nr_vectors * PCI_MSIX_ENTRY_SIZE)
#define MSIX_PBA_BYTES(fn)   (((uint64_t)(fn)->nr_vectors + 63) / 64 * 8)

static uint16_t msix_flags(const struct pci_function *fn)
{
    uint16_t flags;

    memcpy(&flags, fn->state->config + fn->msix_cap + PCI_MSIX_FLAGS, sizeof(flags));
    return le16toh(flags);
}

int pci_function_add_msix(struct pci_function *fn, unsigned bar, uint32_t table_off, uint32_t pba_off,
                          uint16_t nr_vectors)
{
    struct {
        uint16_t flags;
        uint32_t table, pba;
    } __attribute__((packed))
    body = {htole16((uint16_t)(nr_vectors - 1)), htole32(table_off | bar), htole32(pba_off | bar)},
    writable = {htole16(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL), 0, 0};
    struct pci_function_state *state = fn->state;
    int cap;

    _Static_assert(sizeof(body) == PCI_CAP_MSIX_SIZEOF - 2, "the capability without its id and next bytes");
    if (nr_vectors == 0 || nr_vectors > PCI_MSIX_MAX_VECTORS)
        return -EINVAL;
    fn->nr_vectors = nr_vectors;
    if (bar >= PCI_NR_BARS || table_off % 8 || pba_off % 8 ||
        !range_within(table_off, MSIX_TABLE_BYTES(fn), fn->bars[bar].len) ||
        !range_within(pba_off, MSIX_PBA_BYTES(fn), fn->bars[bar].len))
        return -EINVAL;
    cap = pci_function_add_cap(fn, PCI_CAP_ID_MSIX, &body, &writable, sizeof(body));
    if (cap < 0)
        return cap;
    fn->msix_cap = (uint8_t)cap;
    fn->msix_bar = (uint8_t)bar;
    fn->msix_table_off = table_off;
    fn->msix_pba_off = pba_off;
    for (unsigned i = 0; i < PCI_MSIX_MAX_VECTORS; i++) {
        if (!fn->resumed)
            state->msix_table[i].ctrl = PCI_MSIX_ENTRY_CTRL_MASKBIT;
        state->msix_table[i].ctrl &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
        if (i >= nr_vectors)
            state->msix_pending[i / 64] &= ~((uint64_t)1 << i % 64);
    }
    return 0;
}

bool pci_function_msix_enabled(const struct pci_function *fn)
{
    return fn->msix_cap != 0 && (msix_flags(fn) & PCI_MSIX_FLAGS_ENABLE) != 0;
}

void pci_function_msix_clear(struct pci_function *fn)
{
    memset(fn->state->msix_pending, 0, sizeof(fn->state->msix_pending));
}

/* ---- interrupts ---- */

static bool function_may_send(const struct pci_function *fn)
{
    return fn->plugged && pci_function_msix_enabled(fn) && !(msix_flags(fn) & PCI_MSIX_FLAGS_MASKALL) &&
           pci_function_is_master(fn);
}

static bool vector_is_masked(const struct pci_function *fn, unsigned vector)
{
    return (fn->state->msix_table[vector].ctrl & PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0;
}

static void vector_send(struct pci_function *fn, unsigned vector)
{
    struct hypervisor *hv = fn->guest->hv;
    uint64_t addr =
        (uint64_t)fn->state->msix_table[vector].addr_hi << 32 | fn->state->msix_table[vector].addr_lo;
    uint32_t data = fn->state->msix_table[vector].data;
    int rc = hv->ops->msi_inject(hv, addr, data);

    if (rc < 0)
        log_limited(&fn->limit, LOG_LEVEL_WARNING,
                    "%s: MSI-X vector %u was lost, the guest gave it address 0x%" PRIx64
                    " and data 0x%" PRIx32 ": %s",
                    fn->name, vector, addr, data, strerror(-rc));
}

void pci_function_msix_notify(struct pci_function *fn, uint16_t vector)
{
    if (vector >= fn->nr_vectors || !pci_function_msix_enabled(fn))
        return;
    if (function_may_send(fn) && !vector_is_masked(fn, vector))
        vector_send(fn, vector);
    else
        fn->state->msix_pending[vector / 64] |= (uint64_t)1 << vector % 64;
}

void pci_function_msix_flush(struct pci_function *fn)
{
    if (!function_may_send(fn))
        return;
    for (unsigned word = 0; word < ARRAY_SIZE(fn->state->msix_pending); word++) {
        uint64_t left = fn->state->msix_pending[word];

        while (left) {
            unsigned bit = (unsigned)__builtin_ctzll(left), vector = word * 64 + bit;

            left &= left - 1;
            if (vector_is_masked(fn, vector))
                continue;
            fn->state->msix_pending[word] &= ~((uint64_t)1 << bit);
            vector_send(fn, vector);
        }
    }
}

/* ---- the table and the pending bits as memory ---- */

/* One of the four dwords of an entry; index counts dwords from the start of the table and is in range. */
static uint32_t *table_dword(struct pci_function *fn, uint64_t index)
{
    unsigned vector = (unsigned)(index * 4 / PCI_MSIX_ENTRY_SIZE);

    switch (index * 4 % PCI_MSIX_ENTRY_SIZE) {
    case PCI_MSIX_ENTRY_LOWER_ADDR:
        return &fn->state->msix_table[vector].addr_lo;
    case PCI_MSIX_ENTRY_UPPER_ADDR:
        return &fn->state->msix_table[vector].addr_hi;
    case PCI_MSIX_ENTRY_DATA:
        return &fn->state->msix_table[vector].data;
    default:
        return &fn->state->msix_table[vector].ctrl;
    }
}

static uint8_t table_read8(struct pci_function *fn, uint64_t at)
{
    return (uint8_t)(*table_dword(fn, at / 4) >> 8 * (at % 4));
}

static void table_write8(struct pci_function *fn, uint64_t at, uint8_t value)
{
    uint32_t *dword = table_dword(fn, at / 4);
    unsigned shift = 8 * (at % 4);

    *dword = (*dword & ~((uint32_t)0xff << shift)) | (uint32_t)value << shift;
    /* The other bits of vector control are reserved. */
    if (at % PCI_MSIX_ENTRY_SIZE >= PCI_MSIX_ENTRY_VECTOR_CTRL)
        *dword &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* Byte by byte, which any size and alignment comes down to; the masks are looked at when all bytes are there,
 * so that an entry written as a whole is sent as a whole. */
static void table_access(struct pci_function *fn, uint64_t first, struct guest_access *access)
{
    uint8_t *data = access->data;

    for (size_t i = 0; i < access->len; i++) {
        bool within = first + i < MSIX_TABLE_BYTES(fn);

        if (!access->write)
            data[i] = within ? table_read8(fn, first + i) : 0;
        else if (within)
            table_write8(fn, first + i, data[i]);
    }
    if (access->write)
        pci_function_msix_flush(fn);
}

static void pba_access(struct pci_function *fn, uint64_t first, struct guest_access *access)
{
    uint8_t *data = access->data;

    if (access->write)
        return;
    for (size_t i = 0; i < access->len; i++) {
        uint64_t at = first + i;

        data[i] = at < MSIX_PBA_BYTES(fn) ? (uint8_t)(fn->state->msix_pending[at / 8] >> 8 * (at % 8)) : 0;
    }
}

bool pci_function_msix_access(struct pci_function *fn, uint64_t offset, struct guest_access *access)
{
    if (fn->msix_cap == 0)
        return false;
    if (offset >= fn->msix_table_off && offset - fn->msix_table_off < MSIX_TABLE_BYTES(fn))
        table_access(fn, offset - fn->msix_table_off, access);
    else if (offset >= fn->msix_pba_off && offset - fn->msix_pba_off < MSIX_PBA_BYTES(fn))
        pba_access(fn, offset - fn->msix_pba_off, access);
    else
        return false;
    return true;
}
