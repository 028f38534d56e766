// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_privileged.c - xen/privileged.c, with a Xen that has one guest: what a vhost-dm that is not what it
 * was can get for its guest in all the lives that it is given, and that what others do to the guest stays so.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "tests/unit/unit.h"
#include "xen/kept.h"
#include "xen/privileged.h"

#define DOMID    9
#define BASE_KIB (512 * 1024)
#define OWN_MAX  (1u << 18) /* pages: 1 GiB */
#define PART     (1 << 20)  /* of memory, that comes free at a time */
#define FRAMES   64         /* device memory: file page n is frame n */
#define NR_GFNS  64
#define XCH      ((xc_interface *)&xen)

static const uint8_t uuid[16] = {7, 7, 7}, other_uuid[16] = {8};

/* What Xen has of the guest. */
static struct {
    uint64_t max_kib, mempool, mempool_room;
    unsigned pauses;
    bool gone, setmaxmem_fails;
    bool permitted[FRAMES];   /* by frame */
    unsigned mapped[NR_GFNS]; /* by gfn: a frame, 0: none */
} xen;

static char path[64], grants_path[64];
static struct privileged *p;

/* ---- Xen ------------------------------------------------------------------------------------------------
 */

xc_interface *__wrap_xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild,
                                       unsigned flags);
int __wrap_xc_interface_close(xc_interface *xch);
xenforeignmemory_handle *__wrap_xenforeignmemory_open(xentoollog_logger *logger, unsigned flags);
int __wrap_xenforeignmemory_close(xenforeignmemory_handle *fmem);
int __wrap_xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned max, xc_domaininfo_t *info);
int __wrap_xc_domain_pause(xc_interface *xch, uint32_t domid);
int __wrap_xc_domain_unpause(xc_interface *xch, uint32_t domid);
int __wrap_xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t kib);
int __wrap_xc_get_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t *size);
int __wrap_xc_set_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t size);
int __wrap_xc_domain_memory_mapping(xc_interface *xch, uint32_t domid, unsigned long gfn, unsigned long frame,
                                    unsigned long nr, uint32_t how);
int __wrap_xc_domain_iomem_permission(xc_interface *xch, uint32_t domid, unsigned long frame,
                                      unsigned long nr, uint8_t allow);
int __wrap_xc_get_machine_memory_map(xc_interface *xch, struct e820entry entries[], uint32_t max);
int __wrap_device_memory_find(int fd, uint64_t offset, uint64_t len, uint64_t *addr);

xc_interface *__wrap_xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild, unsigned flags)
{
    (void)logger, (void)dombuild, (void)flags;
    return XCH;
}

int __wrap_xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

xenforeignmemory_handle *__wrap_xenforeignmemory_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return (xenforeignmemory_handle *)&xen;
}

int __wrap_xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    (void)fmem;
    return 0;
}

int __wrap_xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned max, xc_domaininfo_t *info)
{
    ck_assert(xch == XCH && first == DOMID && max == 1);
    if (xen.gone)
        return 0;
    memset(info, 0, sizeof(*info));
    info->domain = DOMID;
    info->flags = XEN_DOMINF_hvm_guest | (xen.pauses > 0 ? XEN_DOMINF_paused : 0);
    info->max_pages = xen.max_kib / 4;
    memcpy(info->handle, uuid, sizeof(uuid));
    return 1;
}

int __wrap_xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    ck_assert(xch == XCH && domid == DOMID);
    xen.pauses++;
    return 0;
}

int __wrap_xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    ck_assert(xch == XCH && domid == DOMID);
    if (xen.pauses == 0) {
        errno = EINVAL;
        return -1;
    }
    xen.pauses--;
    return 0;
}

int __wrap_xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t kib)
{
    ck_assert(xch == XCH && domid == DOMID);
    if (xen.setmaxmem_fails) {
        errno = ENOMEM;
        return -1;
    }
    xen.max_kib = kib;
    return 0;
}

int __wrap_xc_get_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t *size)
{
    ck_assert(xch == XCH && domid == DOMID);
    *size = xen.mempool;
    return 0;
}

int __wrap_xc_set_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t size)
{
    ck_assert(xch == XCH && domid == DOMID);
    if (size > xen.mempool_room) { /* it takes what there is */
        xen.mempool = xen.mempool_room;
        errno = ENOMEM;
        return -1;
    }
    xen.mempool = size;
    return 0;
}

/* As Xen: no mapping is made or ended without the permission, and only that which is there. */
int __wrap_xc_domain_memory_mapping(xc_interface *xch, uint32_t domid, unsigned long gfn, unsigned long frame,
                                    unsigned long nr, uint32_t how)
{
    ck_assert(xch == XCH && domid == DOMID && gfn + nr <= NR_GFNS && frame + nr <= FRAMES);
    for (unsigned long i = 0; i < nr; i++)
        if (!xen.permitted[frame + i]) {
            errno = EPERM;
            return -1;
        }
    for (unsigned long i = 0; i < nr; i++) {
        if (how == DPCI_ADD_MAPPING)
            xen.mapped[gfn + i] = (unsigned)(frame + i);
        else if (xen.mapped[gfn + i] == frame + i)
            xen.mapped[gfn + i] = 0;
    }
    return 0;
}

int __wrap_xc_domain_iomem_permission(xc_interface *xch, uint32_t domid, unsigned long frame,
                                      unsigned long nr, uint8_t allow)
{
    ck_assert(xch == XCH && domid == DOMID && frame + nr <= FRAMES);
    for (unsigned long i = 0; i < nr; i++)
        xen.permitted[frame + i] = allow;
    return 0;
}

int __wrap_xc_get_machine_memory_map(xc_interface *xch, struct e820entry entries[], uint32_t max)
{
    ck_assert(xch == XCH && max > 0);
    entries[0] = (struct e820entry){.addr = 1ULL << 32, .size = 1 << 30, .type = E820_RAM};
    return 1;
}

int __wrap_device_memory_find(int fd, uint64_t offset, uint64_t len, uint64_t *addr)
{
    (void)fd, (void)len;
    *addr = offset;
    return 0;
}

/* ---- lives ----------------------------------------------------------------------------------------------
 */

static const struct privileged_scope scope = {
    .domid = DOMID,
    .uuid = {7, 7, 7},
    .name = "guest",
    .max_shared_pages = 1 << 18,
    .grants_path = grants_path,
    .list_path = "/nowhere",
    .grant_socket = "/nowhere",
    .kept_path = path,
};

static void life_begin(void)
{
    ck_assert_int_eq(privileged_server_new(&p, &scope), 0);
}

/* As if killed: nothing is undone. */
static void life_again(void)
{
    privileged_free(p);
    life_begin();
}

static void setup(void)
{
    snprintf(path, sizeof(path), "/tmp/vhost-dm-kept-%d", (int)getpid());
    snprintf(grants_path, sizeof(grants_path), "/tmp/vhost-dm-added-%d", (int)getpid());
    unlink(path);
    memset(&xen, 0, sizeof(xen));
    xen.max_kib = BASE_KIB;
    xen.mempool = 1 << 20;
    xen.mempool_room = UINT64_MAX;
    life_begin();
}

static void teardown(void)
{
    privileged_free(p);
    unlink(path);
    unlink(grants_path);
}

/* ---- memory ---------------------------------------------------------------------------------------------
 */

START_TEST(limit)
{
    ck_assert_int_eq(privileged_limit_change(p, 1000), 0);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB + 4000);
    ck_assert_int_eq(privileged_limit_change(p, -400), 0);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB + 2400);
    ck_assert_int_eq(privileged_limit_change(p, OWN_MAX - 599), -EDQUOT);
    ck_assert_int_eq(privileged_limit_change(p, OWN_MAX - 600), 0);
    ck_assert_int_eq(privileged_limit_change(p, 1), -EDQUOT);
    /* No lower than it was. */
    ck_assert_int_eq(privileged_limit_change(p, -(int64_t)OWN_MAX), 0);
    ck_assert_int_eq(privileged_limit_change(p, -1), 0);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB);
    xen.setmaxmem_fails = true;
    ck_assert_int_eq(privileged_limit_change(p, 5), -ENOMEM);
    xen.setmaxmem_fails = false;
    ck_assert_int_eq(privileged_limit_change(p, OWN_MAX), 0);
}
END_TEST

/* However often it ends and is started again. */
START_TEST(limit_of_all_lives)
{
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(privileged_limit_change(p, OWN_MAX), 0);
        ck_assert_uint_eq(xen.max_kib, BASE_KIB + 4 * OWN_MAX);
        ck_assert_int_eq(privileged_limit_change(p, 1), -EDQUOT);
        life_again();
        ck_assert_uint_eq(xen.max_kib, BASE_KIB);
    }
}
END_TEST

/* xl mem-max says what the limit is, whatever it was before. */
START_TEST(limit_of_others)
{
    ck_assert_int_eq(privileged_limit_change(p, 1000), 0);
    xen.max_kib = BASE_KIB * 2;
    ck_assert_int_eq(privileged_limit_change(p, -1000), 0);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB * 2);
    ck_assert_int_eq(privileged_limit_change(p, 300), 0);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB * 2 + 1200);
    xen.max_kib = BASE_KIB;
    life_again();
    ck_assert_uint_eq(xen.max_kib, BASE_KIB);
    ck_assert_int_eq(privileged_limit_change(p, 1000), 0);
    life_again();
    ck_assert_uint_eq(xen.max_kib, BASE_KIB);
}
END_TEST

START_TEST(tables_of_all_lives)
{
    const uint64_t most = (scope.max_shared_pages + OWN_MAX) / 16 * 4096;
    unsigned nr_grown = 0;

    for (int i = 0; i < 200; i++) {
        nr_grown += privileged_tables_grow(p, 1 << 18) == 0;
        ck_assert_uint_le(xen.mempool, (1 << 20) + most);
        life_again();
    }
    ck_assert_uint_gt(nr_grown, 10);
    ck_assert_uint_gt(xen.mempool, most / 2);
    ck_assert_int_eq(privileged_tables_grow(p, 1 << 18), -EDQUOT);
}
END_TEST

/* What could not be given as a whole was given in part. */
START_TEST(tables_in_part)
{
    const uint64_t most = (scope.max_shared_pages + OWN_MAX) / 16 * 4096;
    int rc = 0;

    xen.mempool_room = xen.mempool;
    for (int i = 0; i < 1000 && rc != -EDQUOT; i++) {
        xen.mempool_room += PART;
        rc = privileged_tables_grow(p, 1 << 18);
        ck_assert(rc == -ENOMEM || rc == -EDQUOT);
        ck_assert_uint_le(xen.mempool, (1 << 20) + most);
    }
    ck_assert_int_eq(rc, -EDQUOT);
}
END_TEST

/* ---- pauses ---------------------------------------------------------------------------------------------
 */

START_TEST(pauses)
{
    ck_assert_uint_eq(xen.pauses, 1);
    ck_assert_int_eq(privileged_pause(p), 0);
    ck_assert_int_eq(privileged_pause(p), -EBUSY);
    xen.pauses++; /* xl pause */
    ck_assert_int_eq(privileged_unpause(p), 0);
    ck_assert_int_eq(privileged_unpause(p), 0);
    ck_assert_int_eq(privileged_unpause(p), -EINVAL);
    ck_assert_uint_eq(xen.pauses, 1);
}
END_TEST

/* In all lives together no pause is undone that was not made, and none is left. */
START_TEST(pauses_of_all_lives)
{
    unit_random_start();
    for (int i = 0; i < 1000; i++) {
        unsigned others = (unsigned)unit_random_below(2), ours = 1;

        xen.pauses += others;
        for (uint64_t n = unit_random_below(4); n > 0; n--) {
            if (unit_random_below(2) == 0)
                ours += privileged_pause(p) == 0;
            else
                ours -= privileged_unpause(p) == 0;
            ck_assert_uint_eq(xen.pauses, others + ours);
        }
        life_again();
        ck_assert_uint_eq(xen.pauses, others + 1);
        xen.pauses -= others;
    }
    privileged_unpause(p);
    ck_assert_uint_eq(xen.pauses, 0);
}
END_TEST

/* xl unpause undoes ours, too. */
START_TEST(pause_undone_by_others)
{
    privileged_pause(p);
    xen.pauses = 0;
    life_again();
    ck_assert_uint_eq(xen.pauses, 1);
    ck_assert_int_eq(privileged_unpause(p), 0);
    ck_assert_int_eq(privileged_unpause(p), -EINVAL);
}
END_TEST

/* ---- device memory --------------------------------------------------------------------------------------
 */

static int map(unsigned frame, unsigned gfn, unsigned nr)
{
    return privileged_device_map(p, STDERR_FILENO, (uint64_t)frame << 12, gfn, nr);
}

static unsigned nr_permitted(void)
{
    unsigned n = 0;

    for (int i = 0; i < FRAMES; i++)
        n += xen.permitted[i];
    return n;
}

static unsigned nr_mapped(void)
{
    unsigned n = 0;

    for (int i = 0; i < NR_GFNS; i++)
        n += xen.mapped[i] != 0;
    return n;
}

/* What somebody else gives to the guest: four frames of a PCI device, which it has at gfn 40. */
static void pass_through(void)
{
    for (unsigned i = 0; i < 4; i++) {
        xen.permitted[20 + i] = true;
        xen.mapped[40 + i] = 20 + i;
    }
}

static void passed_through_untouched(void)
{
    for (unsigned i = 0; i < 4; i++)
        ck_assert(xen.permitted[20 + i] && xen.mapped[40 + i] == 20 + i);
}

START_TEST(device)
{
    ck_assert_int_eq(map(4, 10, 8), 0);
    ck_assert_uint_eq(xen.mapped[17], 11);
    ck_assert_uint_eq(nr_permitted(), 8);
    /* The same frames again, some of them. */
    ck_assert_int_eq(map(8, 30, 8), 0);
    ck_assert_uint_eq(nr_permitted(), 12);
    ck_assert_int_eq(map(40, 17, 2), -ENOSPC);
    ck_assert_int_eq(map(40, 50, 0), -EINVAL);
    privileged_device_unmap(p, 4, 10, 8);
    ck_assert_uint_eq(nr_mapped(), 8);
    ck_assert(xen.permitted[8] && xen.permitted[11]);
    privileged_device_unmap(p, 8, 30, 8);
    ck_assert_uint_eq(nr_mapped(), 0);
    ck_assert_uint_eq(nr_permitted(), 0);
    for (int i = 0; i < 2 * KEPT_DEVICES; i++) {
        ck_assert_int_eq(map(4, 10, 8), 0);
        privileged_device_unmap(p, 4, 10, 8);
    }
    ck_assert_uint_eq(nr_permitted(), 0);
}
END_TEST

START_TEST(device_of_others)
{
    pass_through();
    for (unsigned i = 0; i < 4; i++)
        privileged_device_unmap(p, 20 + i, 40 + i, 1);
    privileged_device_unmap(p, 20, 40, 4);
    privileged_device_unmap(p, 20, 10, 4);
    passed_through_untouched();
    /* Nor by way of a mapping of its own. */
    ck_assert_int_eq(map(20, 10, 4), 0);
    privileged_device_unmap(p, 20, 40, 4);
    passed_through_untouched();
    privileged_device_unmap(p, 20, 10, 4);
    passed_through_untouched();
    ck_assert_uint_eq(nr_mapped(), 4);
    ck_assert_int_eq(map(4, 10, 4), 0);
    privileged_device_unmap(p, 4, 10, 3);
    privileged_device_unmap(p, 5, 10, 4);
    ck_assert_uint_eq(nr_mapped(), 8);
    life_again();
    passed_through_untouched();
    ck_assert_uint_eq(nr_permitted(), 4);
}
END_TEST

/* What a predecessor has mapped goes, whatever its saved state says; a permission that somebody has taken
 * away in the meantime is no obstacle. */
START_TEST(device_of_a_predecessor)
{
    ck_assert_int_eq(map(4, 10, 8), 0);
    ck_assert_int_eq(map(8, 30, 8), 0);
    xen.permitted[9] = false;
    life_again();
    ck_assert_uint_eq(nr_mapped(), 0);
    ck_assert_uint_eq(nr_permitted(), 0);
    privileged_unpause(p);
    life_again();
}
END_TEST

/* ---- the record -----------------------------------------------------------------------------------------
 */

START_TEST(goes_with_the_guest)
{
    ck_assert_int_eq(privileged_tables_grow(p, 1), 0);
    privileged_free(p);
    ck_assert_int_eq(access(path, F_OK), 0);
    life_begin();
    xen.gone = true;
    privileged_free(p);
    ck_assert_int_ne(access(path, F_OK), 0);
    xen.gone = false;
    life_begin();
}
END_TEST

/* And where there is nothing to say, which is not left to be said later. */
START_TEST(goes_when_empty)
{
    privileged_unpause(p);
    ck_assert_int_eq(privileged_limit_change(p, 10), 0);
    privileged_free(p);
    ck_assert_int_eq(access(path, F_OK), 0);
    life_begin();
    privileged_unpause(p);
    privileged_files_remove(p, 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(privileged_limit_change(p, 10), -ESHUTDOWN);
    ck_assert_uint_eq(xen.max_kib, BASE_KIB);
    life_again();
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(of_another_guest)
{
    struct kept *kept;

    ck_assert_int_eq(privileged_limit_change(p, 1000), 0);
    privileged_free(p);
    ck_assert_int_eq(kept_open(&kept, path, uuid), 0);
    ck_assert_uint_eq(kept->limits[1].own_pages, 1000);
    kept_close(kept);
    ck_assert_int_eq(kept_open(&kept, path, other_uuid), 0);
    ck_assert_uint_eq(kept->limits[1].own_pages, 0);
    /* That boot is over. */
    kept->limits[1].own_pages = 5;
    kept->boot[0] ^= 1;
    kept_close(kept);
    ck_assert_int_eq(kept_open(&kept, path, other_uuid), 0);
    ck_assert_uint_eq(kept->limits[1].own_pages, 0);
    kept_close(kept);
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_assert_int_eq(kept_open(&kept, path, other_uuid), 0);
    ck_assert_uint_eq(kept->table_pages, 0);
    kept_close(kept);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/tmp/vhost-dm-nothing", path), 0);
    ck_assert_int_eq(kept_open(&kept, path, uuid), -ELOOP);
    ck_assert_int_eq(unlink(path), 0);
    life_begin();
}
END_TEST

/* Another process has it, and ends when it has done what it was at. */
START_TEST(predecessor_awaited)
{
    bool go_away = _i == 1; /* as one of which nothing is to be kept */
    int go[2];
    struct kept *kept;
    char byte = 0;
    pid_t pid;

    privileged_free(p);
    ck_assert_int_eq(unlink(path), 0); /* it says that we have it */
    ck_assert_int_eq(pipe(go), 0);
    pid = fork();
    if (pid == 0) {
        struct timespec some = {.tv_nsec = 200 * 1000 * 1000};

        if (kept_open(&kept, path, uuid) != 0 || write(go[1], &byte, 1) != 1)
            _exit(1);
        nanosleep(&some, NULL);
        kept->table_pages = 77;
        if (go_away)
            unlink(path);
        _exit(0);
    }
    ck_assert_int_eq(read(go[0], &byte, 1), 1);
    ck_assert_int_eq(kept_open(&kept, path, uuid), 0);
    ck_assert_uint_eq(kept->table_pages, go_away ? 0 : 77);
    ck_assert_int_eq(access(path, F_OK), 0);
    kept_close(kept);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    close(go[0]);
    close(go[1]);
    life_begin();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {limit,
                                  limit_of_all_lives,
                                  limit_of_others,
                                  tables_of_all_lives,
                                  tables_in_part,
                                  pauses,
                                  pauses_of_all_lives,
                                  pause_undone_by_others,
                                  device,
                                  device_of_others,
                                  device_of_a_predecessor,
                                  goes_with_the_guest,
                                  goes_when_empty,
                                  of_another_guest};
    Suite *suite = suite_create("privileged");
    TCase *tcase = tcase_create("privileged");

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, predecessor_awaited, 0, 2);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
