// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_xen_memory.c - what xen/ does with a guest's memory, on a fake one: the cache of mappings, the memory
 * maps that toolstacks leave, and the ACPI tables that a PVH guest gets.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_info_table.h>

#include "common/util.h"
#include "tests/unit/fake_xen_memory.h"
#include "tests/unit/unit.h"
#include "xen/foreign_cache.h"
#include "xen/guest_map.h"
#include "xen/pvh_acpi.h"

#define CHUNK MIB(2)

static struct foreign_cache *cache;

static void cache_start(size_t max_chunks)
{
    unit_random_start();
    fake_memory_reset();
    cache = foreign_cache_new(FAKE_FMEM, FAKE_DOMID, max_chunks);
    ck_assert_ptr_nonnull(cache);
}

static void cache_end(void)
{
    foreign_cache_free(cache);
    ck_assert_uint_eq(fake.mapped_pages, 0);
}

/* ---- the cache ---- */

START_TEST(test_cache_around)
{
    uint64_t first, end;

    cache_start(16);
    fake_memory_set(CHUNK + 5 * 4096, 20 * 4096, true);
    fake_memory_set(CHUNK + 12 * 4096, 4096, false);
    fake_memory_set(3 * CHUNK - 4096, 2 * 4096, true);
    ck_assert(foreign_cache_around(cache, CHUNK + 7 * 4096 + 9, &first, &end));
    ck_assert_uint_eq(first, CHUNK + 5 * 4096);
    ck_assert_uint_eq(end, CHUNK + 12 * 4096);
    ck_assert(foreign_cache_around(cache, CHUNK + 24 * 4096 + 4095, &first, &end));
    ck_assert_uint_eq(first, CHUNK + 13 * 4096);
    ck_assert_uint_eq(end, CHUNK + 25 * 4096);
    ck_assert(!foreign_cache_around(cache, CHUNK + 12 * 4096, &first, &end));
    ck_assert(!foreign_cache_around(cache, CHUNK + 25 * 4096, &first, &end));
    ck_assert(!foreign_cache_around(cache, CHUNK + 4 * 4096, &first, &end));
    /* Not beyond a chunk. */
    ck_assert(foreign_cache_around(cache, 3 * CHUNK - 1, &first, &end));
    ck_assert_uint_eq(first, 3 * CHUNK - 4096);
    ck_assert_uint_eq(end, 3 * CHUNK);
    /* Nothing there costs one page. */
    fake.nr_maps = 0;
    ck_assert(!foreign_cache_around(cache, 5 * CHUNK, &first, &end));
    ck_assert(!foreign_cache_around(cache, (uint64_t)1 << 52, &first, &end));
    ck_assert_uint_eq(fake.nr_maps, 1);
    /* What has come since. */
    fake_memory_set(CHUNK + 25 * 4096, 4096, true);
    ck_assert(foreign_cache_around(cache, CHUNK + 25 * 4096, &first, &end));
    ck_assert_uint_eq(first, CHUNK + 13 * 4096);
    ck_assert_uint_eq(end, CHUNK + 26 * 4096);
    cache_end();
}
END_TEST

START_TEST(test_cache_lengths)
{
    size_t len;
    uint8_t *p;

    cache_start(16);
    fake_memory_set(0, 3 * CHUNK, true);
    fake_memory_set(CHUNK + 5 * 4096, 4096, false);

    len = 10;
    p = foreign_cache_map(cache, 100, &len);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(len, 10);
    *p = 42;
    ck_assert_uint_eq(*fake_memory_at(100), 42);

    len = SIZE_MAX;
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 4097, &len)); /* to the end of the chunk */
    ck_assert_uint_eq(len, CHUNK - 4097);
    len = 100000;
    ck_assert_ptr_nonnull(foreign_cache_map(cache, CHUNK + 4095, &len)); /* to the hole */
    ck_assert_uint_eq(len, 4 * 4096 + 1);
    ck_assert_uint_eq(fake.nr_maps, 2);
    len = 1;
    ck_assert_ptr_null(foreign_cache_map(cache, CHUNK + 5 * 4096, &len));
    len = 100000;
    ck_assert_ptr_nonnull(foreign_cache_map(cache, CHUNK + 6 * 4096 + 1, &len)); /* behind the hole */
    ck_assert_uint_eq(len, 100000);

    len = 1;
    ck_assert_ptr_null(foreign_cache_map(cache, 3 * CHUNK, &len));
    ck_assert_ptr_null(foreign_cache_map(cache, UINT64_MAX, &len));
    ck_assert_ptr_null(foreign_cache_map(cache, (uint64_t)1 << 63, &len));
    ck_assert_ptr_null(foreign_cache_map(cache, (uint64_t)1 << 52, &len));
    len = 0;
    ck_assert_ptr_null(foreign_cache_map(cache, 0, &len));
    ck_assert_uint_eq(foreign_cache_count(cache), 2);
    cache_end();
}
END_TEST

/* A pointer stays good until the next trim, even when its mapping has been replaced. */
START_TEST(test_cache_hole_filled)
{
    size_t len = 4096;
    uint8_t *old, *new;

    cache_start(16);
    fake_memory_set(0, 4096, true);
    old = foreign_cache_map(cache, 0, &len);
    ck_assert_ptr_nonnull(old);
    ck_assert_ptr_null(foreign_cache_map(cache, 8192, &len));
    fake_memory_set(8192, 4096, true);
    new = foreign_cache_map(cache, 8192, &len);
    ck_assert_ptr_nonnull(new);
    *old = 1;
    *new = 2;
    ck_assert_uint_eq(*fake_memory_at(0), 1);
    ck_assert_uint_eq(*fake_memory_at(8192), 2);
    ck_assert(foreign_cache_over_limit(cache));
    ck_assert_uint_eq(fake.mapped_pages, 1024);
    foreign_cache_trim(cache);
    ck_assert(!foreign_cache_over_limit(cache));
    ck_assert_uint_eq(fake.mapped_pages, 512);
    *new = 3;
    ck_assert_uint_eq(*fake_memory_at(8192), 3);
    cache_end();
}
END_TEST

START_TEST(test_cache_failures)
{
    size_t len = 1;

    cache_start(16);
    fake_memory_set(0, CHUNK, true);
    fake.map_error = ENOMEM;
    ck_assert_ptr_null(foreign_cache_map(cache, 0, &len));
    ck_assert_uint_eq(foreign_cache_count(cache), 0);
    fake.map_error = 0;
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 0, &len));
    foreign_cache_drop(cache);
    ck_assert_uint_eq(fake.mapped_pages, 0);
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 0, &len));
    cache_end();
}
END_TEST

/* Random copies, over holes that come and go, against plain memory; the limit holds between events. */
START_TEST(test_cache_random)
{
    enum { CHUNKS = 40, LIMIT = 8 };
    static uint8_t buf[3 * 4096];

    cache_start(LIMIT);
    for (uint64_t gpa = 0; gpa < CHUNKS * CHUNK; gpa += 4096)
        fake_memory_set(gpa, 4096, unit_random_below(8) != 0);
    for (unsigned long n = unit_count(6000); n > 0; n--) {
        size_t len = 1 + unit_random_below(sizeof(buf)), good = 0;
        uint64_t gpa = unit_random_below(CHUNKS * CHUNK - len);
        bool write = unit_random_below(2);

        while (good < len && fake_memory_populated(gpa + good))
            good = MIN(len, good + 4096 - (gpa + good) % 4096);
        for (size_t i = 0; i < len; i++)
            buf[i] = (uint8_t)(n + i);
        if (write) {
            unit_expect_eq(foreign_cache_write(cache, gpa, buf, len), good == len ? 0 : -EFAULT);
            unit_expect(memcmp(fake_memory_at(gpa), buf, good) == 0);
        } else {
            unit_expect_eq(foreign_cache_read(cache, gpa, buf, len), good == len ? 0 : -EFAULT);
            unit_expect(memcmp(fake_memory_at(gpa), buf, good) == 0);
        }
        if (unit_random_below(64) == 0) { /* pages vanish: Xen says so */
            fake_memory_set(unit_random_below(CHUNKS * CHUNK), 1, false);
            foreign_cache_drop(cache);
        }
        if (unit_random_below(16) == 0) /* and come, which it does not */
            fake_memory_set(unit_random_below(CHUNKS * CHUNK), 1, true);
        if (unit_random_below(32) == 0) {
            foreign_cache_trim(cache);
            unit_expect(foreign_cache_count(cache) <= LIMIT);
            unit_expect_eq(fake.mapped_pages, foreign_cache_count(cache) * 512);
        }
    }
    cache_end();
}
END_TEST

/* What is used the most recently stays. */
START_TEST(test_cache_eviction)
{
    size_t len = 1, maps;

    cache_start(4);
    fake_memory_set(0, 8 * CHUNK, true);
    for (uint64_t i = 0; i < 8; i++)
        ck_assert_ptr_nonnull(foreign_cache_map(cache, i * CHUNK, &len));
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 0, &len));
    ck_assert_uint_eq(foreign_cache_count(cache), 8);
    foreign_cache_trim(cache);
    ck_assert_uint_eq(foreign_cache_count(cache), 4);
    maps = fake.nr_maps;
    for (uint64_t i = 5; i < 8; i++)
        ck_assert_ptr_nonnull(foreign_cache_map(cache, i * CHUNK, &len));
    ck_assert_ptr_nonnull(foreign_cache_map(cache, 0, &len));
    ck_assert_uint_eq(fake.nr_maps, maps);
    ck_assert_ptr_nonnull(foreign_cache_map(cache, CHUNK, &len));
    ck_assert_uint_eq(fake.nr_maps, maps + 1);
    cache_end();
}
END_TEST

/* Within one event, too, of which nobody knows how long it is: twice the number, and the last ones are good.
 */
START_TEST(test_cache_bound)
{
    enum { CHUNKS = 40, LIMIT = 4, BOUND = 2 * LIMIT };
    uint8_t *pointers[CHUNKS];
    size_t len = 1, maps;

    cache_start(LIMIT);
    fake_memory_set(0, CHUNKS * CHUNK, true);
    for (unsigned i = 0; i < CHUNKS; i++) {
        pointers[i] = foreign_cache_map(cache, i * CHUNK, &len);
        ck_assert_ptr_nonnull(pointers[i]);
        ck_assert_uint_eq(foreign_cache_count(cache), MIN(i + 1, (unsigned)BOUND));
        ck_assert_uint_eq(fake.mapped_pages, foreign_cache_count(cache) * 512);
        for (unsigned j = i - MIN(i, BOUND - 1u); j <= i; j++)
            ck_assert_uint_eq(*pointers[j] = (uint8_t)(i + j), *fake_memory_at(j * CHUNK));
    }
    /* What is used again and again is not mapped again. */
    maps = fake.nr_maps;
    for (unsigned i = 0; i < CHUNKS - BOUND; i++) {
        ck_assert_ptr_eq(foreign_cache_map(cache, (CHUNKS - 1) * CHUNK, &len), pointers[CHUNKS - 1]);
        ck_assert_ptr_nonnull(foreign_cache_map(cache, i * CHUNK, &len));
    }
    ck_assert_uint_eq(fake.nr_maps, maps + CHUNKS - BOUND);
    foreign_cache_trim(cache);
    ck_assert_uint_eq(foreign_cache_count(cache), LIMIT);
    ck_assert_uint_eq(fake.mapped_pages, LIMIT * 512);
    cache_end();
}
END_TEST

/* A guest that fills one hole after the other, each of which has the chunk mapped anew. */
START_TEST(test_cache_bound_of_retired)
{
    enum { LIMIT = 4, BOUND = 2 * LIMIT, PAGES = 512 };
    uint8_t *pointers[PAGES];
    size_t len = 1;

    cache_start(LIMIT);
    for (unsigned i = 0; i < PAGES; i++) {
        fake_memory_set(i * 4096, 4096, true);
        pointers[i] = foreign_cache_map(cache, i * 4096, &len);
        ck_assert_ptr_nonnull(pointers[i]);
        ck_assert_uint_eq(foreign_cache_count(cache), 1);
        ck_assert_uint_le(fake.mapped_pages, BOUND * 512);
        for (unsigned j = i - MIN(i, BOUND - 1u); j <= i; j++)
            ck_assert_uint_eq(*pointers[j] = (uint8_t)(i + j), *fake_memory_at(j * 4096));
    }
    ck_assert(foreign_cache_over_limit(cache));
    foreign_cache_trim(cache);
    ck_assert(!foreign_cache_over_limit(cache));
    ck_assert_uint_eq(fake.mapped_pages, 512);
    /* The old ones go with the guest's memory too. */
    fake_memory_set(CHUNK, 4096, true);
    ck_assert_ptr_nonnull(foreign_cache_map(cache, CHUNK, &len));
    fake_memory_set(CHUNK + 4096, 4096, true);
    ck_assert_ptr_nonnull(foreign_cache_map(cache, CHUNK + 4096, &len));
    foreign_cache_drop(cache);
    ck_assert(!foreign_cache_over_limit(cache));
    ck_assert_uint_eq(fake.mapped_pages, 0);
    cache_end();
}
END_TEST

/* ---- memory maps ---- */

static void hvm_info_put(uint32_t low_pages, uint32_t high_pages)
{
    struct hvm_info_table table = {
        .length = sizeof(table), .low_mem_pgend = low_pages, .high_mem_pgend = high_pages};
    uint8_t *at = fake_memory_at(HVM_INFO_PADDR), sum = 0;

    memcpy(table.signature, "HVM INFO", 8);
    for (size_t i = 0; i < sizeof(table); i++)
        sum += ((uint8_t *)&table)[i];
    table.checksum = (uint8_t)-sum;
    memcpy(at, &table, sizeof(table));
}

START_TEST(test_map_hvm)
{
    struct guest_map map;

    cache_start(16);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT); /* no memory at all */
    fake_memory_set(0, MIB(1), true);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT); /* no table */
    hvm_info_put(0xf0000, 0x180000);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), 0);
    ck_assert_uint_eq(map.nr, 3);
    ck_assert_uint_eq(map.entry[0].gpa, 0);
    ck_assert_uint_eq(map.entry[0].len, 0xa0000);
    ck_assert_uint_eq(map.entry[1].gpa, 0xc0000);
    ck_assert_uint_eq(map.entry[1].len, 0xf0000000 - 0xc0000);
    ck_assert_uint_eq(map.entry[2].gpa, GIB(4));
    ck_assert_uint_eq(map.entry[2].len, GIB(2));
    ck_assert_uint_eq(guest_map_ram_end(&map), GIB(6));
    ck_assert(!guest_map_free(&map, 0x9ffff, 2));
    ck_assert(guest_map_free(&map, 0xa0000, 0x20000));
    ck_assert(!guest_map_free(&map, 0xa0000, 0x20001));

    hvm_info_put(0x10000, 0);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), 0);
    ck_assert_uint_eq(map.nr, 2);

    /* what a guest may have made of it */
    hvm_info_put(0, 0);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT);
    hvm_info_put(0x100001, 0);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT);
    hvm_info_put(0x10000, 0);
    fake_memory_at(HVM_INFO_PADDR)[offsetof(struct hvm_info_table, checksum)]++;
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT);
    hvm_info_put(0x10000, 0);
    memset(fake_memory_at(HVM_INFO_PADDR + offsetof(struct hvm_info_table, length)), 0xff, 4);
    ck_assert_int_eq(guest_map_read_hvm(&map, cache), -ENOENT);
    cache_end();
}
END_TEST

START_TEST(test_map_probe)
{
    struct guest_map map;

    cache_start(16);
    ck_assert_int_eq(guest_map_probe(&map, FAKE_FMEM, FAKE_XCH, FAKE_DOMID, 100000, GUEST_MAP_LOW_LIMIT_HVM),
                     -ENOENT);
    fake.page_error = -EPERM;
    ck_assert_int_eq(guest_map_probe(&map, FAKE_FMEM, FAKE_XCH, FAKE_DOMID, 100000, GUEST_MAP_LOW_LIMIT_HVM),
                     -EPERM);
    fake_memory_set(0, MIB(700), true);
    fake_memory_set(MIB(100), MIB(300), false); /* ballooned out */
    fake_memory_set(0xfeff8000, 0x8000, true);  /* Xen's special pages are no RAM */
    fake_memory_set(MIB(830), MIB(2), true);    /* nor is its grant table */
    ck_assert_int_eq(
        guest_map_probe(&map, FAKE_FMEM, FAKE_XCH, FAKE_DOMID, 700 * 1024, GUEST_MAP_LOW_LIMIT_HVM), 0);
    ck_assert_uint_eq(map.nr, 2);
    ck_assert_uint_eq(guest_map_ram_end(&map), MIB(700));
    fake_memory_set(GIB(4), MIB(10), true);
    fake_memory_set(GIB(7), MIB(10), true); /* the memory of some device */
    ck_assert_int_eq(
        guest_map_probe(&map, FAKE_FMEM, FAKE_XCH, FAKE_DOMID, 710 * 1024, GUEST_MAP_LOW_LIMIT_HVM), 0);
    ck_assert_uint_eq(map.nr, 3);
    ck_assert_uint_eq(guest_map_ram_end(&map), GIB(4) + MIB(10));
    cache_end();
}
END_TEST

/* A PVH guest as libxl builds it: start info and its map, ACPI tables at 0xfc000000. */
#define START_INFO 0x2000000u
#define MEMMAP     0x2000100u
#define RSDP       0xfc006000u
#define XSDT       0xfc001000u

static uint8_t sum_of(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum += *p++;
    return sum;
}

static void put64(uint64_t gpa, uint64_t value)
{
    memcpy(fake_memory_at(gpa), &value, sizeof(value));
}

static uint64_t get(uint64_t gpa, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, fake_memory_at(gpa), size);
    return value;
}

static void table_put(uint64_t gpa, const char *signature, uint32_t len)
{
    uint8_t *p = fake_memory_at(gpa);

    memcpy(p, signature, 4);
    memcpy(p + 4, &len, 4);
    p[8] = 1;
    p[9] = 0;
    memcpy(p + 10, "Xen   HVM     ", 14);
    p[9] = (uint8_t)-sum_of(p, len);
}

static void rsdp_put(void)
{
    uint8_t *rsdp = fake_memory_at(RSDP);

    memset(rsdp, 0, 64);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "Xen   ", 6);
    rsdp[15] = 2;
    rsdp[20] = 36;
    put64(RSDP + 24, XSDT);
    rsdp[8] = (uint8_t)-sum_of(rsdp, 20);
    rsdp[32] = (uint8_t)-sum_of(rsdp, 36);
}

static void pvh_put(uint64_t low_end, uint64_t high_end)
{
    struct hvm_memmap_table_entry entries[] = {
        {.addr = 0, .size = low_end, .type = XEN_HVM_MEMMAP_TYPE_RAM},
        {.addr = 0xfeff8000, .size = 0x8000, .type = XEN_HVM_MEMMAP_TYPE_RESERVED},
        {.addr = RSDP, .size = 64, .type = XEN_HVM_MEMMAP_TYPE_ACPI},
        {.addr = 0xfc000000, .size = 0x1000, .type = XEN_HVM_MEMMAP_TYPE_ACPI},
        {.addr = 0xfc001000, .size = 0x5000, .type = XEN_HVM_MEMMAP_TYPE_ACPI},
        {.addr = GIB(4), .size = high_end - GIB(4), .type = XEN_HVM_MEMMAP_TYPE_RAM},
    };
    struct hvm_start_info info = {
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .rsdp_paddr = RSDP,
        .memmap_paddr = MEMMAP,
        .memmap_entries = high_end > GIB(4) ? 6 : 5,
    };

    fake_memory_set(0, MIB(64), true);
    fake_memory_set(0xfc000000, 0x7000, true);
    fake.rbx = START_INFO;
    memcpy(fake_memory_at(START_INFO), &info, sizeof(info));
    memcpy(fake_memory_at(MEMMAP), entries, sizeof(entries));
    rsdp_put();
    put64(XSDT + 36, 0xfc002000);
    put64(XSDT + 44, 0xfc003000);
    table_put(XSDT, "XSDT", 52);
    table_put(0xfc002000, "FACP", 244);
    table_put(0xfc003000, "APIC", 100);
}

START_TEST(test_map_pvh)
{
    struct guest_map map;
    struct hvm_start_info info;

    cache_start(16);
    pvh_put(MIB(1024), GIB(4));
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), 0);
    ck_assert_uint_eq(map.nr, 5);
    ck_assert_uint_eq(map.rsdp_gpa, RSDP);
    ck_assert_uint_eq(guest_map_ram_end(&map), MIB(1024));
    ck_assert_int_eq(map.entry[2].type, GUEST_MAP_ACPI);
    ck_assert_uint_eq(map.entry[2].where, MEMMAP + 48);

    fake.rbx = 0x1234;
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), -ENOENT);
    fake.rbx = UINT64_MAX - 3;
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), -ENOENT);
    fake.rbx = START_INFO;
    memcpy(&info, fake_memory_at(START_INFO), sizeof(info));
    info.memmap_entries = UINT32_MAX;
    memcpy(fake_memory_at(START_INFO), &info, sizeof(info));
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), -E2BIG);
    pvh_put(MIB(1024), GIB(4));
    put64(MEMMAP + 8, UINT64_MAX); /* wraps around */
    put64(MEMMAP, 4096);
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), -ENOENT);
    pvh_put(MIB(1024), GIB(4));
    put64(START_INFO + offsetof(struct hvm_start_info, memmap_paddr), 0x700000000000);
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), -ENOENT);
    cache_end();
}
END_TEST

/* ---- PCI for PVH ---- */

START_TEST(test_windows)
{
    struct guest_map map = {.nr = 1, .entry = {{.gpa = 0, .len = GIB(1), .type = GUEST_MAP_RAM}}};
    struct pvh_windows w;

    ck_assert_int_eq(pvh_windows_choose(&w, &map, 40), 0);
    ck_assert_uint_eq(w.ecam_gpa, 0xfbf00000);
    ck_assert_uint_eq(w.ecam_len, MIB(1));
    ck_assert_uint_eq(w.mem32_first, 0xf8000000);
    ck_assert_uint_eq(w.mem32_last, 0xfbefffff);
    ck_assert_uint_eq(w.mem64_first, GIB(256));
    ck_assert_uint_eq(w.mem64_last, GIB(512) - 1);
    /* a narrow processor, a wide one */
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 36), 0);
    ck_assert_uint_eq(w.mem64_first, GIB(16));
    ck_assert_uint_eq(w.mem64_last, GIB(32) - 1);
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 52), 0);
    ck_assert_uint_eq(w.mem64_first, GIB(1024));

    /* RAM where they would be: they go elsewhere, or are refused */
    map.nr = 2;
    map.entry[1] = (struct guest_map_entry){.gpa = GIB(4), .len = GIB(20), .type = GUEST_MAP_RAM};
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 36), 0);
    ck_assert_uint_eq(w.mem64_first, GIB(32));
    map.entry[1].len = GIB(40);
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 36), -ENOSPC);
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 39), 0);
    map.entry[1] = (struct guest_map_entry){.gpa = 0xfa000000, .len = 4096, .type = GUEST_MAP_OTHER};
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 39), 0);
    ck_assert_uint_eq(w.mem32_first, 0xfd000000);
    ck_assert_uint_eq(w.ecam_gpa, 0xfeb00000);
    ck_assert_uint_eq(w.mem32_last, 0xfeafffff);
    map.entry[0].len = 0xfd000001;
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 39), -ENOSPC);
}
END_TEST

/* The resource descriptor of that type in the table, by ACPI 6.4 section 6.4.3. */
static uint64_t descriptor_find(uint64_t table, uint32_t len, const char *head, size_t head_len)
{
    uint8_t *at = memmem(fake_memory_at(table), len, head, head_len);

    ck_assert_ptr_nonnull(at);
    return table + (uint64_t)(at - fake_memory_at(table));
}

static void ssdt_check(uint64_t ssdt, const struct pvh_windows *w)
{
    uint32_t len = (uint32_t)get(ssdt + 4, 4);
    uint64_t at;

    ck_assert_mem_eq(fake_memory_at(ssdt), "SSDT", 4);
    ck_assert_uint_eq(sum_of(fake_memory_at(ssdt), len), 0);
    at = descriptor_find(ssdt, len, "\x86\x09\x00", 3); /* 32-bit fixed memory */
    ck_assert_uint_eq(get(at + 4, 4), w->ecam_gpa);
    ck_assert_uint_eq(get(at + 8, 4), w->ecam_len);
    at = descriptor_find(ssdt, len, "\x87\x17\x00", 3); /* DWord address space */
    ck_assert_uint_eq(get(at + 10, 4), w->mem32_first);
    ck_assert_uint_eq(get(at + 14, 4), w->mem32_last);
    ck_assert_uint_eq(get(at + 22, 4), w->mem32_last - w->mem32_first + 1);
    at = descriptor_find(ssdt, len, "\x8a\x2b\x00", 3); /* QWord address space */
    ck_assert_uint_eq(get(at + 14, 8), w->mem64_first);
    ck_assert_uint_eq(get(at + 22, 8), w->mem64_last);
    ck_assert_uint_eq(get(at + 38, 8), w->mem64_last - w->mem64_first + 1);
}

START_TEST(test_acpi)
{
    struct guest_map map;
    struct pvh_windows w, found;
    uint64_t xsdt, mcfg;

    cache_start(16);
    pvh_put(MIB(1024), GIB(6));
    ck_assert_int_eq(pvh_acpi_find(cache, &found), -ENOENT);
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), 0);
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 46), 0);
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), 0);
    ck_assert_uint_eq(fake.nr_populated, 1);
    ck_assert_uint_eq(fake.max_memkb, 1000004);
    ck_assert(fake_memory_populated(0xfc007000));

    ck_assert_uint_eq(sum_of(fake_memory_at(RSDP), 20), 0);
    ck_assert_uint_eq(sum_of(fake_memory_at(RSDP), 36), 0);
    xsdt = get(RSDP + 24, 8);
    ck_assert_uint_eq(get(xsdt + 4, 4), 52 + 16);
    ck_assert_uint_eq(sum_of(fake_memory_at(xsdt), 68), 0);
    ck_assert_uint_eq(get(xsdt + 36, 8), 0xfc002000);
    ck_assert_uint_eq(get(xsdt + 44, 8), 0xfc003000);
    ck_assert_uint_eq(get(xsdt + 52, 8), 0xfc007000);
    ssdt_check(0xfc007000, &w);
    mcfg = get(xsdt + 60, 8);
    ck_assert_mem_eq(fake_memory_at(mcfg), "MCFG", 4);
    ck_assert_uint_eq(sum_of(fake_memory_at(mcfg), 60), 0);
    ck_assert_uint_eq(get(mcfg + 44, 8), w.ecam_gpa);
    ck_assert_uint_eq(get(mcfg + 52, 8), 0); /* segment 0, bus 0 to 0 */
    /* the guest's map covers the page: the entry of the RSDP, which was the last one */
    ck_assert_uint_eq(get(MEMMAP + 48 + 8, 8), 0x2000);
    ck_assert_uint_eq(get(MEMMAP + 72 + 8, 8), 0x1000);

    ck_assert_int_eq(pvh_acpi_find(cache, &found), 0);
    ck_assert_uint_eq(found.ecam_gpa, w.ecam_gpa);
    ck_assert_uint_eq(found.ecam_len, w.ecam_len);
    /* a guest that has spoilt them */
    put64(mcfg + 44, UINT64_MAX);
    ck_assert_int_eq(pvh_acpi_find(cache, &found), -ENOENT);
    put64(xsdt + 4, UINT64_MAX);
    ck_assert_int_eq(pvh_acpi_find(cache, &found), -ENOENT);
    cache_end();
}
END_TEST

START_TEST(test_acpi_refused)
{
    struct guest_map map;
    struct pvh_windows w;

    cache_start(16);
    pvh_put(MIB(1024), GIB(6));
    ck_assert_int_eq(guest_map_read_pvh(&map, cache, FAKE_XCH, FAKE_DOMID), 0);
    ck_assert_int_eq(pvh_windows_choose(&w, &map, 46), 0);

    map.rsdp_gpa = 0;
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), -ENOENT);
    map.rsdp_gpa = RSDP;
    fake_memory_at(RSDP)[8]++;
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), -ENOENT);
    rsdp_put();
    fake_memory_at(XSDT)[9]++;
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), -ENOENT);
    table_put(XSDT, "XSDT", 3996); /* has no room for two more and their tables */
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), -E2BIG);
    table_put(XSDT, "XSDT", 52);
    fake_memory_set(0xfc000000, 0x40000, true); /* no free page */
    ck_assert_int_eq(pvh_acpi_add(cache, FAKE_XCH, FAKE_DOMID, 1000000, &map, &w), -ENOSPC);
    ck_assert_uint_eq(fake.nr_populated, 0);
    ck_assert_uint_eq(get(RSDP + 24, 8), XSDT);
    cache_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("xen_memory");
    TCase *tcase = tcase_create("memory");

    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_cache_lengths);
    tcase_add_test(tcase, test_cache_around);
    tcase_add_test(tcase, test_cache_hole_filled);
    tcase_add_test(tcase, test_cache_failures);
    tcase_add_test(tcase, test_cache_random);
    tcase_add_test(tcase, test_cache_eviction);
    tcase_add_test(tcase, test_cache_bound);
    tcase_add_test(tcase, test_cache_bound_of_retired);
    tcase_add_test(tcase, test_map_hvm);
    tcase_add_test(tcase, test_map_probe);
    tcase_add_test(tcase, test_map_pvh);
    tcase_add_test(tcase, test_windows);
    tcase_add_test(tcase, test_acpi);
    tcase_add_test(tcase, test_acpi_refused);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
