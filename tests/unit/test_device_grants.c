// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_device_grants.c - xen/device_grants.c: which sockets a guest may have, and that it is remembered for
 * that guest alone, whatever is in the file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "xen/device_grants.h"

static const uint8_t uuid[16] = {1, 2, 3}, other_uuid[16] = {1, 2, 4};
static char path[64];
static struct device_grants *grants;

static void setup(void)
{
    snprintf(path, sizeof(path), "/tmp/device-grants-%d", (int)getpid());
    unlink(path);
    ck_assert_int_eq(device_grants_new(&grants, path, uuid), 0);
}

static void teardown(void)
{
    device_grants_free(grants);
    unlink(path);
}

static void again(const uint8_t its_uuid[16])
{
    device_grants_free(grants);
    ck_assert_int_eq(device_grants_new(&grants, path, its_uuid), 0);
}

START_TEST(found)
{
    ck_assert_ptr_null(device_grants_find(grants, "/run/a"));
    ck_assert_int_eq(device_grants_add(grants, "type=blk,socket=/run/a,queues=2"), 0);
    ck_assert_int_eq(device_grants_add(grants, "socket=/run/b,type=fs"), 0);
    ck_assert_str_eq(device_grants_find(grants, "/run/a"), "type=blk,socket=/run/a,queues=2");
    ck_assert_str_eq(device_grants_find(grants, "/run/b"), "socket=/run/b,type=fs");
    ck_assert_ptr_null(device_grants_find(grants, "/run/"));
    ck_assert_ptr_null(device_grants_find(grants, "/run/a,queues=2"));
    ck_assert_ptr_null(device_grants_find(grants, "/run/ab"));
    ck_assert_ptr_null(device_grants_find(grants, ""));
    /* The last one counts, also when it is an old one again. */
    ck_assert_int_eq(device_grants_add(grants, "type=blk,socket=/run/a"), 0);
    ck_assert_str_eq(device_grants_find(grants, "/run/a"), "type=blk,socket=/run/a");
    ck_assert_int_eq(device_grants_add(grants, "type=blk,socket=/run/a,queues=2"), 0);
    ck_assert_str_eq(device_grants_find(grants, "/run/a"), "type=blk,socket=/run/a,queues=2");
    /* But for a device that is there it is its own. */
    ck_assert_str_eq(device_grants_find_text(grants, "type=blk,socket=/run/a"), "type=blk,socket=/run/a");
    ck_assert_str_eq(device_grants_find_text(grants, "slot=4,socket=/run/a"),
                     "type=blk,socket=/run/a,queues=2");
    ck_assert_ptr_null(device_grants_find_text(grants, "/run/a"));
    ck_assert_ptr_null(device_grants_find_text(grants, "type=blk,socket=/run/c"));
}
END_TEST

START_TEST(bad)
{
    char *text = calloc(1, 3000);

    ck_assert_int_eq(device_grants_add(grants, ""), -EINVAL);
    ck_assert_int_eq(device_grants_add(grants, "type=blk"), -EINVAL);
    ck_assert_int_eq(device_grants_add(grants, "type=blk,socket="), -EINVAL);
    ck_assert_int_eq(device_grants_add(grants, "type=blk,mysocket=/run/a"), -EINVAL);
    ck_assert_int_eq(device_grants_add_kept(grants, "type=blk,socket=/run/a\ntype=blk,socket=/run/b"),
                     -EINVAL);
    strcpy(text, "socket=/");
    memset(text + strlen(text), 'x', 2040);
    ck_assert_int_eq(device_grants_add_kept(grants, text), -EINVAL);
    free(text);
    ck_assert_int_ne(access(path, F_OK), 0);
    for (int i = 0; i < 256; i++) {
        char device[64];

        snprintf(device, sizeof(device), "socket=/run/%d", i);
        ck_assert_int_eq(device_grants_add(grants, device), 0);
    }
    ck_assert_int_eq(device_grants_add(grants, "socket=/run/more"), -ENOSPC);
    ck_assert_int_eq(device_grants_add(grants, "socket=/run/7"), 0);
    ck_assert_str_eq(device_grants_find(grants, "/run/0"), "socket=/run/0");
}
END_TEST

START_TEST(kept)
{
    ck_assert_int_eq(device_grants_add(grants, "socket=/run/line"), 0);
    ck_assert_int_eq(device_grants_add_kept(grants, "socket=/run/a"), 0);
    ck_assert_int_eq(device_grants_add_kept(grants, "socket=/run/b,x=1"), 0);
    again(uuid);
    ck_assert_ptr_null(device_grants_find(grants, "/run/line"));
    ck_assert_str_eq(device_grants_find(grants, "/run/a"), "socket=/run/a");
    ck_assert_str_eq(device_grants_find(grants, "/run/b"), "socket=/run/b,x=1");
    /* Of another guest, which may have had the same number. */
    again(other_uuid);
    ck_assert_ptr_null(device_grants_find(grants, "/run/a"));
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(damaged)
{
    FILE *f;

    ck_assert_int_eq(device_grants_add_kept(grants, "socket=/run/a"), 0);
    f = fopen(path, "a");
    ck_assert_ptr_nonnull(f);
    fputs("nothing\nsocket=/run/b\nsocket=/run/c", f); /* the last without its end */
    fclose(f);
    again(uuid);
    ck_assert_ptr_nonnull(device_grants_find(grants, "/run/a"));
    ck_assert_ptr_nonnull(device_grants_find(grants, "/run/b"));
    ck_assert_ptr_null(device_grants_find(grants, "/run/c"));
    /* What comes after it is not joined with it. */
    ck_assert_int_eq(device_grants_add_kept(grants, "socket=/run/d"), 0);
    again(uuid);
    ck_assert_ptr_null(device_grants_find(grants, "/run/csocket=/run/d"));
    ck_assert_ptr_nonnull(device_grants_find(grants, "/run/d"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("devices that a guest may have");
    TCase *tc = tcase_create("grants");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, found);
    tcase_add_test(tc, bad);
    tcase_add_test(tc, kept);
    tcase_add_test(tc, damaged);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
