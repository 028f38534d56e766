// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pvh_acpi.c - see pvh_acpi.h. Numbers are from the ACPI specification 6.4 (5.2.5 RSDP, 5.2.6 table
 * header, 5.2.8 XSDT) and from the PCI firmware specification 3.3 (4.1.2 MCFG).
 *
 * The order of writing makes it safe to be killed in between: the RSDP, which leads to the new tables, is
 * written last and in one go.
 */
#include "xen/pvh_acpi.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xen/arch-x86/hvm/start_info.h>

#include "common/util.h"
#include "xen/foreign_cache.h"
#include "xen/guest_map.h"

/* The bytes of the compiled pvh_pci.asl, made by the build. */
static const uint8_t pvh_pci_aml[] = {
#include "xen/pvh_pci.aml.inc"
};

struct acpi_rsdp {
    char signature[8]; /* "RSD PTR " */
    uint8_t checksum;  /* of the first 20 bytes */
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum; /* of all 36 */
    uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP is 36 bytes");
#define RSDP_V1_LEN 20

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    uint32_t oem_revision;
    uint32_t creator_id;
    uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "an ACPI table header is 36 bytes");

struct acpi_mcfg {
    struct acpi_header header;
    uint8_t reserved[8];
    uint64_t base; /* of bus 0 */
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint8_t reserved2[4];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_mcfg) == 60, "an MCFG of one entry is 60 bytes");

/* Also in pvh_pci.asl. */
#define OEM_ID       "VHOSTD"
#define OEM_TABLE_ID "VDMPCI\0\0"

/* libxl's tables are from here on, up to 0xfc040000 at the most (its ACPI_INFO_PHYSICAL_ADDRESS); a PC's RSDP
 * may also be in the BIOS area. */
#define ACPI_START     0xfc000000u
#define ACPI_END       0xfc040000u
#define BIOS_START     0xe0000u
#define BIOS_END       0x100000u
#define RSDP_ALIGNMENT 16

#define ECAM_BUS_LEN MIB(1) /* 4 KiB for each of 256 functions */

/* ---- where ---- */

/*
 * For 32-bit BARs and, at its end, for ECAM, in this order: the 64 MiB below the ACPI tables, unless the
 * guest has so much memory that libxl filled them; or what is between the tables and the addresses of
 * interrupt controllers, where it never puts any. Linux puts its own Xen areas (grants, foreign pages) into
 * free physical address space in pieces of 128 MiB, aligned, from the lowest hole up, before it looks at PCI.
 * They fit neither here nor there; elsewhere they could take what the root bridge then announces.
 */
static const struct {
    uint64_t gpa, len;
} low_ranges[] = {
    {0xf8000000, MIB(64)},
    {0xfd000000, MIB(28)},
};

/* More address bits than this are not used: Linux with KASLR cannot have struct pages (DAX) beyond what it
 * randomises, 10 TiB above the RAM. */
#define GPA_BITS_USED 42

int pvh_windows_choose(struct pvh_windows *windows, const struct guest_map *map, unsigned gpa_bits)
{
    uint64_t limit = (uint64_t)1 << MIN(gpa_bits, GPA_BITS_USED), high, high_len = limit / 4, ecam;
    size_t low = 0;

    while (!guest_map_free(map, low_ranges[low].gpa, low_ranges[low].len))
        if (++low == ARRAY_SIZE(low_ranges))
            return -ENOSPC;
    ecam = low_ranges[low].gpa + low_ranges[low].len - ECAM_BUS_LEN;
    /* A power of two, naturally aligned, well above the RAM, and in the lower half of the address space: on
     * AMD machines the end of a terabyte is HyperTransport's. */
    high = high_len;
    if (high < guest_map_ram_end(map) + GIB(4) || !guest_map_free(map, high, high_len)) {
        high = limit / 2;
        if (high < guest_map_ram_end(map) + GIB(4) || !guest_map_free(map, high, high_len))
            return -ENOSPC;
    }
    *windows = (struct pvh_windows){
        .ecam_gpa = ecam,
        .ecam_len = ECAM_BUS_LEN,
        .mem32_first = (uint32_t)low_ranges[low].gpa,
        .mem32_last = (uint32_t)(ecam - 1),
        .mem64_first = high,
        .mem64_last = high + high_len - 1,
    };
    return 0;
}

/* ---- what ---- */

static uint8_t checksum(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

static void table_seal(uint8_t *table, size_t len)
{
    table[offsetof(struct acpi_header, checksum)] = 0;
    table[offsetof(struct acpi_header, checksum)] = checksum(table, len);
}

/* Replaces the one place in the table where the placeholder is. */
static bool placeholder_set(uint8_t *table, size_t len, uint64_t placeholder, uint64_t value, size_t size)
{
    uint8_t old[8], new[8];
    uint8_t *at;

    placeholder = htole64(placeholder);
    value = htole64(value);
    memcpy(old, &placeholder, sizeof(old));
    memcpy(new, &value, sizeof(new));
    at = memmem(table, len, old, size);
    if (!at)
        return false;
    memcpy(at, new, size);
    return true;
}

/* The SSDT with the windows in place; the placeholders are those of pvh_pci.asl. */
static bool ssdt_patch(uint8_t *ssdt, const struct pvh_windows *w)
{
    size_t len = sizeof(pvh_pci_aml);
    bool ok;

    memcpy(ssdt, pvh_pci_aml, len);
    ok = placeholder_set(ssdt, len, 0xa1a1a1a1, w->ecam_gpa, 4) &&
         placeholder_set(ssdt, len, 0xa2a2a2a2, w->ecam_len, 4) &&
         placeholder_set(ssdt, len, 0xb1b1b1b1, w->mem32_first, 4) &&
         placeholder_set(ssdt, len, 0xb2b2b2b2, w->mem32_last, 4) &&
         placeholder_set(ssdt, len, 0xc1c1c1c1c1c1c1c1, w->mem64_first, 8) &&
         placeholder_set(ssdt, len, 0xc2c2c2c2c2c2c2c2, w->mem64_last, 8) &&
         placeholder_set(ssdt, len, 0x0101010101010102, w->mem64_last - w->mem64_first + 1, 8) &&
         placeholder_set(ssdt, len, 0x01010102, w->mem32_last - w->mem32_first + 1, 4);
    table_seal(ssdt, len);
    return ok;
}

static void mcfg_build(uint8_t *at, const struct pvh_windows *windows)
{
    struct acpi_mcfg mcfg = {
        .header =
            {
                .signature = {'M', 'C', 'F', 'G'},
                .length = htole32(sizeof(mcfg)),
                .revision = 1,
                .oem_revision = htole32(1),
            },
        .base = htole64(windows->ecam_gpa),
        .last_bus = (uint8_t)(windows->ecam_len / ECAM_BUS_LEN - 1),
    };

    memcpy(mcfg.header.oem_id, OEM_ID, sizeof(mcfg.header.oem_id));
    memcpy(mcfg.header.oem_table_id, OEM_TABLE_ID, sizeof(mcfg.header.oem_table_id));
    memcpy(at, &mcfg, sizeof(mcfg));
    table_seal(at, sizeof(mcfg));
}

int pvh_acpi_build(uint8_t *page, uint64_t page_gpa, const struct pvh_windows *windows, const uint8_t *xsdt,
                   size_t xsdt_len, uint64_t *xsdt_gpa)
{
    const size_t mcfg_at = align_up(sizeof(pvh_pci_aml), 16),
                 xsdt_at = align_up(mcfg_at + sizeof(struct acpi_mcfg), 16);
    uint64_t entries[2] = {htole64(page_gpa), htole64(page_gpa + mcfg_at)};
    uint32_t new_len = htole32((uint32_t)(xsdt_len + sizeof(entries)));

    if (xsdt_len > GUEST_PAGE_SIZE - xsdt_at - sizeof(entries))
        return -E2BIG;
    memset(page, 0, GUEST_PAGE_SIZE);
    if (!ssdt_patch(page, windows))
        return -EINVAL;
    mcfg_build(page + mcfg_at, windows);
    memcpy(page + xsdt_at, xsdt, xsdt_len);
    memcpy(page + xsdt_at + xsdt_len, entries, sizeof(entries));
    memcpy(page + xsdt_at + offsetof(struct acpi_header, length), &new_len, sizeof(new_len));
    table_seal(page + xsdt_at, xsdt_len + sizeof(entries));
    *xsdt_gpa = page_gpa + xsdt_at;
    return 0;
}

/* ---- reading the guest's tables ---- */

static bool rsdp_read(struct foreign_cache *cache, uint64_t gpa, struct acpi_rsdp *rsdp)
{
    return foreign_cache_read(cache, gpa, rsdp, sizeof(*rsdp)) == 0 &&
           memcmp(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature)) == 0 && rsdp->revision >= 2 &&
           checksum(rsdp, RSDP_V1_LEN) == 0 && checksum(rsdp, sizeof(*rsdp)) == 0;
}

/* Its XSDT, into buf of a page. 0 and its length, or -ENOENT. */
static int xsdt_read(struct foreign_cache *cache, const struct acpi_rsdp *rsdp, uint8_t *buf, size_t *len)
{
    struct acpi_header header;
    uint64_t gpa = le64toh(rsdp->xsdt);

    if (foreign_cache_read(cache, gpa, &header, sizeof(header)) < 0)
        return -ENOENT;
    *len = le32toh(header.length);
    if (memcmp(header.signature, "XSDT", 4) != 0 || *len < sizeof(header) || *len > GUEST_PAGE_SIZE ||
        (*len - sizeof(header)) % 8 != 0 || foreign_cache_read(cache, gpa, buf, *len) < 0)
        return -ENOENT;
    return checksum(buf, *len) == 0 ? 0 : -ENOENT;
}

/* Whether the table is our MCFG, and what is in it. */
static bool mcfg_read(struct foreign_cache *cache, uint64_t gpa, uint64_t *ecam_gpa)
{
    struct acpi_mcfg mcfg;

    if (foreign_cache_read(cache, gpa, &mcfg, sizeof(mcfg)) < 0)
        return false;
    *ecam_gpa = le64toh(mcfg.base);
    return memcmp(mcfg.header.signature, "MCFG", 4) == 0 && le32toh(mcfg.header.length) == sizeof(mcfg) &&
           memcmp(mcfg.header.oem_id, OEM_ID, sizeof(mcfg.header.oem_id)) == 0 &&
           checksum(&mcfg, sizeof(mcfg)) == 0 && *ecam_gpa % ECAM_BUS_LEN == 0 && *ecam_gpa < GIB(4);
}

static int find_below_rsdp(struct foreign_cache *cache, uint64_t rsdp_gpa, uint64_t *ecam_gpa)
{
    struct acpi_rsdp rsdp;
    uint8_t xsdt[GUEST_PAGE_SIZE];
    size_t len;

    if (!rsdp_read(cache, rsdp_gpa, &rsdp) || xsdt_read(cache, &rsdp, xsdt, &len) < 0)
        return -ENOENT;
    for (size_t at = sizeof(struct acpi_header); at < len; at += 8) {
        uint64_t entry;

        memcpy(&entry, xsdt + at, sizeof(entry));
        if (mcfg_read(cache, le64toh(entry), ecam_gpa))
            return 0;
    }
    return -ENOENT;
}

int pvh_acpi_find(struct foreign_cache *cache, struct pvh_windows *windows)
{
    static const uint64_t areas[][2] = {{ACPI_START, ACPI_END}, {BIOS_START, BIOS_END}};

    for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
        for (uint64_t gpa = areas[i][0]; gpa < areas[i][1]; gpa += RSDP_ALIGNMENT) {
            size_t len = 1;

            /* The tables are without holes; to ask for each page behind them would take long. */
            if (!foreign_cache_map(cache, gpa, &len))
                break;
            *windows = (struct pvh_windows){.ecam_len = ECAM_BUS_LEN};
            if (find_below_rsdp(cache, gpa, &windows->ecam_gpa) == 0)
                return 0;
        }
    }
    return -ENOENT;
}

/* ---- adding ours ---- */

/* A page behind the toolstack's tables that has no memory yet. 0: none. */
static uint64_t page_choose(struct foreign_cache *cache, const struct guest_map *map)
{
    uint64_t gpa = ACPI_START;

    for (unsigned i = 0; i < map->nr; i++) {
        const struct guest_map_entry *e = &map->entry[i];

        if (e->type == GUEST_MAP_ACPI && e->gpa >= ACPI_START && e->gpa + e->len <= ACPI_END)
            gpa = MAX(gpa, align_up(e->gpa + e->len, GUEST_PAGE_SIZE));
    }
    for (; gpa < ACPI_END; gpa += GUEST_PAGE_SIZE) {
        size_t len = 1;

        if (guest_map_free(map, gpa, GUEST_PAGE_SIZE) && !foreign_cache_map(cache, gpa, &len))
            return gpa;
    }
    return 0;
}

/* Lets the entry of the guest's memory map that ends the closest before the page go on to its end, so that
 * the guest leaves the page to the tables. */
static void map_extend(struct foreign_cache *cache, const struct guest_map *map, uint64_t page_gpa)
{
    const struct guest_map_entry *best = NULL;

    for (unsigned i = 0; i < map->nr; i++) {
        const struct guest_map_entry *e = &map->entry[i];

        if (e->gpa >= ACPI_START && e->gpa < page_gpa && (!best || e->gpa > best->gpa))
            best = e;
    }
    if (best && best->type == GUEST_MAP_ACPI) {
        uint64_t len = htole64(page_gpa + GUEST_PAGE_SIZE - best->gpa);

        foreign_cache_write(cache, best->where + offsetof(struct hvm_memmap_table_entry, size), &len,
                            sizeof(len));
    }
}

int pvh_acpi_add(struct foreign_cache *cache, xc_interface *xch, uint16_t domid, uint64_t max_memkb,
                 const struct guest_map *map, const struct pvh_windows *windows)
{
    struct acpi_rsdp rsdp;
    uint8_t xsdt[GUEST_PAGE_SIZE], page[GUEST_PAGE_SIZE];
    uint64_t page_gpa, xsdt_gpa;
    size_t xsdt_len;
    xen_pfn_t gfn;
    int rc;

    if (!map->rsdp_gpa || !rsdp_read(cache, map->rsdp_gpa, &rsdp) ||
        xsdt_read(cache, &rsdp, xsdt, &xsdt_len) < 0)
        return -ENOENT;
    page_gpa = page_choose(cache, map);
    if (!page_gpa)
        return -ENOSPC;
    rc = pvh_acpi_build(page, page_gpa, windows, xsdt, xsdt_len, &xsdt_gpa);
    if (rc < 0)
        return rc;
    if (xc_domain_setmaxmem(xch, domid, max_memkb + GUEST_PAGE_SIZE / 1024) < 0)
        return -errno;
    gfn = page_gpa >> GUEST_PAGE_SHIFT;
    if (xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, &gfn) != 0)
        return errno ? -errno : -ENOMEM;
    rc = foreign_cache_write(cache, page_gpa, page, sizeof(page));
    if (rc < 0)
        return rc;
    map_extend(cache, map, page_gpa);

    rsdp.xsdt = htole64(xsdt_gpa);
    rsdp.checksum = 0;
    rsdp.checksum = checksum(&rsdp, RSDP_V1_LEN);
    rsdp.extended_checksum = 0;
    rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
    return foreign_cache_write(cache, map->rsdp_gpa, &rsdp, sizeof(rsdp));
}
