// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_local.c - the local hypervisor keeps the rules that it promises (dm/local.h).
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/region_table.h"
#include "common/util.h"
#include "dm/local.h"
#include "tests/unit/unit.h"

#define LOW  MIB(2)
#define HIGH MIB(1)

static struct hypervisor *hv;
static struct guest_access last;
static char last_data[64];
static unsigned nr_access, nr_done, nr_changed, nr_gone, nr_at_done;
static struct {
    uint64_t addr;
    uint32_t data;
} msi;
static struct {
    uint32_t sbdf;
    uint8_t pin;
    bool level;
} intx;

static void on_access(void *ctx, struct guest_access *access)
{
    ck_assert_ptr_eq(ctx, &last);
    last = *access;
    nr_access++;
    if (access->write)
        memcpy(last_data, access->data, MIN(access->len, sizeof(last_data)));
    else
        memset(access->data, 0x5a, 1); /* the first byte only: the rest is as we found it */
}

static void on_done(void *ctx)
{
    (void)ctx;
    nr_done++;
    nr_at_done = nr_access;
}

static void on_changed(void *ctx)
{
    (void)ctx;
    nr_changed++;
}

static void on_gone(void *ctx, const char *why)
{
    (void)ctx;
    ck_assert_str_eq(why, "crashed");
    nr_gone++;
}

static const struct hypervisor_handler handler = {
    .access = on_access,
    .accesses_done = on_done,
    .memory_changed = on_changed,
    .guest_gone = on_gone,
};

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
    ck_assert_ptr_eq(ctx, &msi);
    msi.addr = addr;
    msi.data = data;
}

static void on_intx(void *ctx, uint32_t sbdf, uint8_t pin, bool level)
{
    (void)ctx;
    intx.sbdf = sbdf;
    intx.pin = pin;
    intx.level = level;
}

static const struct local_callbacks callbacks = {.msi = on_msi, .intx = on_intx};

static const struct local_options plain = {
    .ram_low = LOW,
    .ram_high = HIGH,
    .ram_fd = -1,
    .pci = {.has_ecam = true, .ecam_gpa = 0xd8000000, .ecam_len = MIB(1), .has_intx = true, .first_slot = 4},
};

static void guest_make(const struct local_options *options)
{
    nr_access = nr_done = nr_changed = nr_gone = nr_at_done = 0;
    ck_assert_int_eq(local_new(&hv, options, &callbacks, &msi), 0);
    ck_assert_int_eq(hv->ops->set_handler(hv, NULL, &handler, &last), 0);
}

static void setup(void)
{
    guest_make(&plain);
    ck_assert_int_eq(hv->ops->start(hv), 0);
}

static void teardown(void)
{
    hv->ops->detach(hv);
}

static uint64_t read_at(enum access_space space, uint64_t addr, uint8_t size)
{
    uint64_t value = 0;
    struct guest_access access = {.space = space, .size = size, .addr = addr, .len = size, .data = &value};

    local_access(hv, &access);
    return value;
}

static void write_at(enum access_space space, uint64_t addr, uint8_t size, uint64_t value)
{
    struct guest_access access = {
        .space = space, .write = true, .size = size, .addr = addr, .len = size, .data = &value};

    local_access(hv, &access);
}

START_TEST(options_that_make_no_guest)
{
    struct local_options o;
    struct hypervisor *none;

    o = plain;
    o.ram_low = 0;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o.ram_low = LOW + 1;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o.ram_low = GIB(4) + GUEST_PAGE_SIZE;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o = plain;
    o.ram_high = HIGH + 512;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o.ram_high = UINT64_MAX - GUEST_PAGE_SIZE + 1;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o = plain;
    o.map_chunk = 100;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    /* Memory of another size than the guest's. */
    o = plain;
    o.ram_fd = local_ram_fd(hv);
    o.ram_high = 0;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EINVAL);
    o.ram_fd = 1000000;
    ck_assert_int_eq(local_new(&none, &o, &callbacks, NULL), -EBADF);
}
END_TEST

START_TEST(handler_and_start_once)
{
    uint64_t before;

    ck_assert_int_eq(hv->ops->set_handler(hv, NULL, &handler, NULL), -EBUSY);
    ck_assert_int_eq(hv->ops->start(hv), -EALREADY);
    hv->ops->detach(hv);
    ck_assert_int_eq(local_new(&hv, &plain, &callbacks, &msi), 0);
    ck_assert_int_eq(hv->ops->start(hv), -EINVAL);
    ck_assert_int_eq(hv->ops->set_handler(hv, NULL, &handler, &last), 0);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    /* Nothing is delivered before start. */
    before = nr_access;
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0000000, 4), UINT32_MAX);
    ck_assert_uint_eq(nr_access, before);
    ck_assert_int_eq(hv->ops->start(hv), 0);
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0000000, 4), 0xffffff5a);
    ck_assert_uint_eq(nr_access, before + 1);
}
END_TEST

START_TEST(ram_is_in_the_table)
{
    struct region_table *table = region_table_new();
    const struct region *r;
    struct region in_the_way = {.gpa = GIB(4), .len = 1, .kind = REGION_MMIO};

    ck_assert_int_eq(hv->ops->add_ram(hv, table), 0);
    ck_assert_uint_eq(region_table_count(table), 2);
    r = region_table_find(table, LOW - 1);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(r->kind, REGION_RAM_FOREIGN);
    ck_assert_ptr_null(region_table_find(table, LOW));
    ck_assert_ptr_null(region_table_find(table, GIB(4) - 1));
    r = region_table_find(table, GIB(4) + HIGH - 1);
    ck_assert_uint_eq(r->gpa, GIB(4));
    ck_assert_uint_eq(r->len, HIGH);
    region_table_free(table);
    /* All or nothing. */
    table = region_table_new();
    ck_assert_int_eq(region_table_insert(table, &in_the_way), 0);
    ck_assert_int_eq(hv->ops->add_ram(hv, table), -EEXIST);
    ck_assert_uint_eq(region_table_count(table), 1);
    region_table_free(table);
}
END_TEST

START_TEST(map_ends_where_memory_does)
{
    size_t len = 100;
    char *p = hv->ops->map_ram(hv, LOW - 10, &len);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(len, 10);
    memcpy(p, "0123456789", 10);
    ck_assert_mem_eq(local_ram(hv, LOW - 10, 10), "0123456789", 10);
    len = 1;
    ck_assert_ptr_null(hv->ops->map_ram(hv, LOW, &len));
    ck_assert_ptr_null(hv->ops->map_ram(hv, GIB(4) - 1, &len));
    ck_assert_ptr_null(hv->ops->map_ram(hv, GIB(4) + HIGH, &len));
    ck_assert_ptr_null(hv->ops->map_ram(hv, UINT64_MAX, &len));
    len = SIZE_MAX;
    p = hv->ops->map_ram(hv, GIB(4) + 1, &len);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(len, HIGH - 1);
    *p = 'h';
    ck_assert_int_eq(*(char *)local_ram(hv, GIB(4) + 1, 1), 'h');
    ck_assert_ptr_null(local_ram(hv, LOW - 1, 2));
    ck_assert_ptr_null(local_ram(hv, GIB(4), UINT64_MAX));
    ck_assert_ptr_null(local_ram(hv, LOW, 1));
}
END_TEST

START_TEST(map_in_chunks)
{
    struct local_options o = plain;
    size_t len = 3 * GUEST_PAGE_SIZE;

    hv->ops->detach(hv);
    o.map_chunk = GUEST_PAGE_SIZE;
    guest_make(&o);
    ck_assert_ptr_nonnull(hv->ops->map_ram(hv, 100, &len));
    ck_assert_uint_eq(len, GUEST_PAGE_SIZE - 100);
    len = 5;
    ck_assert_ptr_nonnull(hv->ops->map_ram(hv, GUEST_PAGE_SIZE, &len));
    ck_assert_uint_eq(len, 5);
}
END_TEST

START_TEST(absent_pages)
{
    char *guest = local_ram(hv, 0, LOW);
    size_t len;

    memset(guest, 'g', LOW);
    ck_assert_int_eq(local_pages_set(hv, 3 * GUEST_PAGE_SIZE, 2, false), 0);
    ck_assert_uint_eq(nr_changed, 1);
    len = LOW;
    ck_assert_ptr_nonnull(hv->ops->map_ram(hv, 10, &len));
    ck_assert_uint_eq(len, 3 * GUEST_PAGE_SIZE - 10);
    len = 1;
    ck_assert_ptr_null(hv->ops->map_ram(hv, 3 * GUEST_PAGE_SIZE, &len));
    ck_assert_ptr_null(hv->ops->map_ram(hv, 5 * GUEST_PAGE_SIZE - 1, &len));
    len = LOW;
    ck_assert_ptr_nonnull(hv->ops->map_ram(hv, 5 * GUEST_PAGE_SIZE, &len));
    ck_assert_uint_eq(len, LOW - 5 * GUEST_PAGE_SIZE);
    /* A vCPU reads all ones there. */
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 3 * GUEST_PAGE_SIZE - 2, 4), 0xffff6767);
    write_at(ACCESS_MMIO, 3 * GUEST_PAGE_SIZE - 2, 4, 0x31323334);
    ck_assert_mem_eq(guest + 3 * GUEST_PAGE_SIZE - 2, "43", 2);
    /* They come back empty. */
    ck_assert_int_eq(local_pages_set(hv, 4 * GUEST_PAGE_SIZE, 1, true), 0);
    ck_assert_int_eq(local_pages_set(hv, 4 * GUEST_PAGE_SIZE, 1, true), 0);
    len = LOW;
    ck_assert_int_eq(*(char *)hv->ops->map_ram(hv, 4 * GUEST_PAGE_SIZE, &len), 0);
    ck_assert_uint_eq(len, LOW - 4 * GUEST_PAGE_SIZE);
    ck_assert_uint_eq(nr_changed, 3);
    /* What are no pages of RAM. */
    ck_assert_int_eq(local_pages_set(hv, 1, 1, false), -EINVAL);
    ck_assert_int_eq(local_pages_set(hv, LOW, 1, false), -EINVAL);
    ck_assert_int_eq(local_pages_set(hv, 0, 0, false), -EINVAL);
    ck_assert_int_eq(local_pages_set(hv, LOW - GUEST_PAGE_SIZE, 2, false), -EINVAL);
    ck_assert_int_eq(local_pages_set(hv, GIB(4), UINT64_MAX, false), -EINVAL);
    ck_assert_uint_eq(nr_changed, 3);
}
END_TEST

/* Whether reading at p ends the process: tried in a child. */
static bool is_fault(const volatile char *p)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(STDERR_FILENO); /* a sanitizer would describe what is wanted here */
        (void)*p;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

START_TEST(old_pointers_fault)
{
    size_t len = LOW;
    char *p = hv->ops->map_ram(hv, 0, &len), *guest = local_ram(hv, 0, LOW);

    strcpy(guest, "content");
    ck_assert(!is_fault(p));
    ck_assert(is_fault(p - 1));
    ck_assert(is_fault(p + LOW));
    ck_assert(is_fault(guest + LOW));
    ck_assert_int_eq(local_memory_changed(hv), 0);
    ck_assert_uint_eq(nr_changed, 1);
    ck_assert(is_fault(p));
    ck_assert(!is_fault(guest));
    p = hv->ops->map_ram(hv, 0, &len);
    ck_assert_str_eq(p, "content");
    ck_assert_int_eq(local_pages_set(hv, 0, 1, false), 0);
    ck_assert_int_eq(local_memory_changed(hv), 0);
    len = 1;
    p = hv->ops->map_ram(hv, GUEST_PAGE_SIZE, &len);
    ck_assert(!is_fault(p));
    ck_assert(is_fault(p - 1));
}
END_TEST

START_TEST(memory_outlives_its_first_owner)
{
    struct local_options o = plain;
    struct hypervisor *second;

    strcpy(local_ram(hv, GIB(4) + 5, 10), "kept");
    o.ram_fd = local_ram_fd(hv);
    ck_assert_int_eq(local_new(&second, &o, &callbacks, NULL), 0);
    hv->ops->detach(hv);
    hv = second;
    ck_assert_str_eq(local_ram(hv, GIB(4) + 5, 10), "kept");
}
END_TEST

START_TEST(ranges_exclude_each_other)
{
    const struct hypervisor_ops *ops = hv->ops;

    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe0001000, 0x1000), 0);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe0000fff, 1), -EEXIST);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xdffff000, 0x10000), -EEXIST);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe0001800, 0x10), -EEXIST);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_PIO, 0xe000, 0x20), 0);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe000, 0x20), 0); /* another space */
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, 0xe0003000, 0), -EINVAL);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, UINT64_MAX, 2), -EINVAL);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_MMIO, UINT64_MAX - 0xfff, 0x1000), 0);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_PIO, 0xffff, 2), -EINVAL);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_PIO, 0x10000, 1), -EINVAL);
    ck_assert_int_eq(ops->range_add(hv, ACCESS_PCI_CONFIG, 0, 1), -EINVAL);
    ck_assert_int_eq(ops->range_remove(hv, ACCESS_MMIO, 0xe0000000, 0x2000), -ENOENT);
    ck_assert_int_eq(ops->range_remove(hv, ACCESS_MMIO, 0xe0000000, 0x800), -ENOENT);
    ck_assert_int_eq(ops->range_remove(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    ck_assert_int_eq(ops->range_remove(hv, ACCESS_MMIO, 0xe0000000, 0x1000), -ENOENT);
    ck_assert_int_eq(ops->pci_add(hv, 0x20), 0);
    ck_assert_int_eq(ops->pci_add(hv, 0x20), -EEXIST);
    ck_assert_int_eq(ops->pci_remove(hv, 0x28), -ENOENT);
    ck_assert_int_eq(ops->pci_remove(hv, 0x20), 0);
}
END_TEST

START_TEST(ranges_are_limited)
{
    for (unsigned i = 0; i < LOCAL_MAX_RANGES; i++)
        ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000 + (i ^ 0x55) * 0x1000, 0x1000), 0);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xd0000000, 0x1000), -ENOSPC);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), -EEXIST);
    ck_assert_int_eq(hv->ops->range_remove(hv, ACCESS_MMIO, 0xe0010000, 0x1000), 0);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xd0000000, 0x1000), 0);
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0010000, 1), 0xff);
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0011000, 1), 0x5a);
}
END_TEST

START_TEST(accesses_reach_who_claimed_them)
{
    char block[64];
    struct guest_access access = {.size = 2, .addr = 0xe0000ffe, .len = 4, .data = block};

    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0000004, 8), 0xffffffffffffff5a);
    ck_assert_uint_eq(last.addr, 0xe0000004);
    ck_assert_uint_eq(last.size, 8);
    ck_assert(!last.write);
    write_at(ACCESS_MMIO, 0xe0000ffc, 4, 0x64636261);
    ck_assert(last.write);
    ck_assert_mem_eq(last_data, "abcd", 4);
    ck_assert_uint_eq(nr_access, 2);
    ck_assert_uint_eq(nr_done, 2);
    /* Over the end of a range: not ours. With a second range behind it, it is. */
    local_access(hv, &access);
    ck_assert_uint_eq(nr_access, 2);
    ck_assert_mem_eq(block, "\xff\xff\xff\xff", 4);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0001000, 0x1000), 0);
    local_access(hv, &access);
    ck_assert_uint_eq(nr_access, 3);
    ck_assert_uint_eq(last.len, 4);
    /* Nobody's. */
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0xe0002000, 2), 0xffff);
    ck_assert_uint_eq(read_at(ACCESS_PIO, 0xe000, 4), 0xffffffff);
    write_at(ACCESS_PCI_CONFIG, (uint64_t)0x20 << 32 | 4, 2, 7);
    ck_assert_uint_eq(nr_access, 3);
    ck_assert_uint_eq(nr_done, 3);
    ck_assert_uint_eq(local_stats_get(hv)->unclaimed, 4);
    ck_assert_uint_eq(local_stats_get(hv)->delivered, 3);
    ck_assert_int_eq(hv->ops->pci_add(hv, 0x20), 0);
    write_at(ACCESS_PCI_CONFIG, (uint64_t)0x20 << 32 | 4, 2, 7);
    ck_assert_uint_eq(last.addr, (uint64_t)0x20 << 32 | 4);
    ck_assert_uint_eq(nr_access, 4);
}
END_TEST

START_TEST(several_accesses_then_done)
{
    uint32_t values[3] = {0};
    struct guest_access accesses[3];

    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    for (unsigned i = 0; i < 3; i++)
        accesses[i] = (struct guest_access){
            .space = ACCESS_MMIO, .size = 4, .addr = 0xe0000000 + 4 * i, .len = 4, .data = &values[i]};
    local_accesses(hv, accesses, 3);
    ck_assert_uint_eq(nr_access, 3);
    ck_assert_uint_eq(nr_done, 1);
    ck_assert_uint_eq(nr_at_done, 3);
    ck_assert_uint_eq(values[2], 0xffffff5a);
}
END_TEST

START_TEST(accesses_that_no_vcpu_makes)
{
    char data[16] = {0};
    const struct guest_access bad[] = {
        {.space = ACCESS_MMIO, .size = 3, .addr = 0xe0000000, .len = 3},
        {.space = ACCESS_MMIO, .size = 0, .addr = 0xe0000000, .len = 4},
        {.space = ACCESS_MMIO, .size = 16, .addr = 0xe0000000, .len = 16},
        {.space = ACCESS_MMIO, .size = 4, .addr = 0xe0000000, .len = 0},
        {.space = ACCESS_MMIO, .size = 4, .addr = 0xe0000000, .len = 6},
        {.space = ACCESS_MMIO, .size = 4, .addr = UINT64_MAX - 2, .len = 4},
        {.space = ACCESS_PIO, .size = 8, .addr = 0, .len = 8},
        {.space = ACCESS_PIO, .size = 4, .addr = 0xfffd, .len = 4},
        {.space = ACCESS_PCI_CONFIG, .size = 4, .addr = 2, .len = 4},
        {.space = ACCESS_PCI_CONFIG, .size = 4, .addr = 0, .len = 8},
        {.space = ACCESS_PCI_CONFIG, .size = 4, .addr = 0x1000, .len = 4},
    };

    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0xe0000000, 0x1000), 0);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, UINT64_MAX - 0xfff, 0x1000), 0);
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_PIO, 0, 0x10000), 0);
    ck_assert_int_eq(hv->ops->pci_add(hv, 0), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct guest_access access = bad[i];

        access.data = data;
        local_access(hv, &access);
    }
    ck_assert_uint_eq(nr_access, 0);
    ck_assert_uint_eq(nr_done, 0);
    ck_assert_uint_eq(local_stats_get(hv)->malformed, ARRAY_SIZE(bad));
}
END_TEST

START_TEST(ram_hides_ranges)
{
    ck_assert_int_eq(hv->ops->range_add(hv, ACCESS_MMIO, 0x1000, 0x1000), 0);
    write_at(ACCESS_MMIO, 0x1004, 4, 0x31313131);
    ck_assert_uint_eq(read_at(ACCESS_MMIO, 0x1004, 2), 0x3131);
    ck_assert_uint_eq(nr_access, 0);
    ck_assert_uint_eq(local_stats_get(hv)->ram, 2);
}
END_TEST

START_TEST(interrupts)
{
    struct local_options o = plain;

    ck_assert_int_eq(hv->ops->msi_inject(hv, 0xfee01000, 0x4051), 0);
    ck_assert_uint_eq(msi.addr, 0xfee01000);
    ck_assert_uint_eq(msi.data, 0x4051);
    ck_assert_int_eq(hv->ops->intx_set(hv, 0x20, 1, true), 0);
    ck_assert_uint_eq(intx.sbdf, 0x20);
    ck_assert_uint_eq(intx.pin, 1);
    ck_assert(intx.level);
    ck_assert_int_eq(hv->ops->intx_set(hv, 0x20, 4, true), -EINVAL);
    ck_assert_uint_eq(local_stats_get(hv)->msi, 1);
    ck_assert_uint_eq(local_stats_get(hv)->intx, 1);
    hv->ops->detach(hv);
    o.pci.has_intx = false;
    guest_make(&o);
    ck_assert_int_eq(hv->ops->intx_set(hv, 0x20, 0, true), -ENOTSUP);
}
END_TEST

START_TEST(pci_host_and_end)
{
    struct pci_host host;

    ck_assert_int_eq(hv->ops->pci_host(hv, &host), 0);
    ck_assert(host.has_ecam && host.has_intx);
    ck_assert_uint_eq(host.ecam_gpa, 0xd8000000);
    ck_assert_uint_eq(host.first_slot, 4);
    local_guest_end(hv, "crashed");
    ck_assert_uint_eq(nr_gone, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("local");
    TCase *tcase = tcase_create("rules");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, options_that_make_no_guest);
    tcase_add_test(tcase, handler_and_start_once);
    tcase_add_test(tcase, ram_is_in_the_table);
    tcase_add_test(tcase, map_ends_where_memory_does);
    tcase_add_test(tcase, map_in_chunks);
    tcase_add_test(tcase, absent_pages);
    tcase_add_test(tcase, old_pointers_fault);
    tcase_add_test(tcase, memory_outlives_its_first_owner);
    tcase_add_test(tcase, ranges_exclude_each_other);
    tcase_add_test(tcase, ranges_are_limited);
    tcase_add_test(tcase, accesses_reach_who_claimed_them);
    tcase_add_test(tcase, several_accesses_then_done);
    tcase_add_test(tcase, accesses_that_no_vcpu_makes);
    tcase_add_test(tcase, ram_hides_ranges);
    tcase_add_test(tcase, interrupts);
    tcase_add_test(tcase, pci_host_and_end);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
