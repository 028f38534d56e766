// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_dmd_record.c - the files by which a vhost-dmd that is started again knows its guests: what is written
 * is read again, and a file with any byte changed, cut or of another guest never gives more than an error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "dmd/devices_file.h"
#include "dmd/record.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/vhost-dm-test.XXXXXX";
static struct record *written, *got;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    written = calloc(1, sizeof(*written));
    got = calloc(1, sizeof(*got));
    memset(written->uuid, 0xa5, 16);
    strcpy(written->name, "a guest");
    written->vhost_dm = (struct record_process){1234, 5678};
    written->plan.settings = (struct config_guest_settings){ON_FAILURE_KEEP, 30, "1G", "off"};
    written->plan.nr_devices = 2;
    strcpy(written->plan.devices[0].name, "blk0");
    strcpy(written->plan.devices[0].text, "type=blk,socket=/x");
    strcpy(written->plan.devices[0].socket, "/x");
    written->plan.devices[0].from_xl = true;
    written->plan.devices[0].devid = 3;
    ck_assert_int_eq(words_split(&written->plan.devices[0].back_end, "/bin/true \"two words\" \"\""), 0);
    written->back_ends[0] = (struct record_process){99, 100};
    strcpy(written->plan.devices[1].name, "fs0");
    strcpy(written->plan.devices[1].text, "type=fs,socket=/y");
    strcpy(written->plan.devices[1].socket, "/y");
    ck_assert_int_eq(record_devices_write(dir, 7, written->uuid, &written->plan), 0);
    ck_assert_int_eq(record_guest_write(dir, 7, written), 0);
}

static void teardown(void)
{
    plan_clear(&written->plan);
    plan_clear(&got->plan);
    free(written);
    free(got);
    record_remove_all(dir, 7);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(read_again)
{
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_str_eq(got->name, "a guest");
    ck_assert_int_eq(got->vhost_dm.pid, 1234);
    ck_assert_uint_eq(got->vhost_dm.start, 5678);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[0].text, "type=blk,socket=/x");
    ck_assert_str_eq(got->plan.devices[1].text, "type=fs,socket=/y");
    ck_assert_uint_eq(got->plan.devices[0].back_end.n, 3);
    ck_assert_str_eq(got->plan.devices[0].back_end.word[1], "two words");
    ck_assert_str_eq(got->plan.devices[0].back_end.word[2], "");
    ck_assert(got->plan.devices[0].from_xl && !got->plan.devices[1].from_xl);
    ck_assert_uint_eq(got->plan.devices[0].devid, 3);
    ck_assert_int_eq(got->back_ends[0].pid, 99);
    ck_assert_int_eq(got->plan.settings.on_failure, ON_FAILURE_KEEP);
    ck_assert_str_eq(got->plan.settings.shm_limit, "1G");
    ck_assert_str_eq(got->plan.settings.confine, "off");
}
END_TEST

START_TEST(of_another)
{
    uint8_t uuid[16] = {1};

    ck_assert_int_eq(record_read(dir, 7, uuid, got), -ENOENT);
    ck_assert_int_eq(record_read(dir, 8, written->uuid, got), -ENOENT);
    ck_assert_int_eq(record_devices_read(dir, 7, uuid, &got->plan), -ENOENT);
}
END_TEST

/* vhost-dm takes its list away when it sees the guest end; the back-ends are known all the same. */
START_TEST(list_gone)
{
    record_remove(dir, 7, "devices");
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert(got->no_texts);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_int_eq(got->back_ends[0].pid, 99);
}
END_TEST

START_TEST(devices_alone)
{
    ck_assert_int_eq(record_devices_read(dir, 7, written->uuid, &got->plan), 0);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[0].name, "blk0");
    ck_assert_str_eq(got->plan.devices[1].name, "fs0");
}
END_TEST

/* What vhost-dm-qemu writes, of a guest that vhost-dmd has not started, is read by vhost-dmd. */
START_TEST(devices_of_another_program)
{
    const char *const devices[] = {"type=blk,socket=/other"};

    ck_assert_int_eq(devices_file_write(dir, 9, written->uuid, devices, 1, "off"), 0);
    ck_assert_int_eq(record_devices_read(dir, 9, written->uuid, &got->plan), 0);
    ck_assert_uint_eq(got->plan.nr_devices, 1);
    ck_assert_str_eq(got->plan.devices[0].text, "type=blk,socket=/other");
    ck_assert_str_eq(got->plan.devices[0].name, "blk0");
    ck_assert_str_eq(got->plan.devices[0].socket, "/other");
    ck_assert_str_eq(got->plan.settings.confine, "off");
    memset(&got->plan.settings, 0, sizeof(got->plan.settings));
    ck_assert_int_eq(devices_file_write(dir, 9, written->uuid, devices, 1, "perhaps"), 0);
    ck_assert_int_eq(record_devices_read(dir, 9, written->uuid, &got->plan), 0);
    ck_assert_str_eq(got->plan.settings.confine, "");
    devices_file_remove(dir, 9);
}
END_TEST

/* Of a vhost-dm that was started by another program no more is known than its devices and its process: that
 * is a good record, though it has no settings, no back-ends, and nothing has said that it is ready. */
START_TEST(started_by_another_program)
{
    ck_assert_int_eq(record_devices_read(dir, 7, written->uuid, &got->plan), 0);
    memcpy(got->uuid, written->uuid, sizeof(got->uuid));
    got->vhost_dm = (struct record_process){1234, 5678};
    ck_assert_int_eq(record_guest_write(dir, 7, got), 0);
    plan_clear(&got->plan);
    memset(got, 0, sizeof(*got));
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_uint_eq(got->plan.settings.start_timeout, 0);
    ck_assert_int_eq(got->vhost_dm.pid, 1234);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[1].text, "type=fs,socket=/y");
    ck_assert(!record_ready(dir, 7) && !record_held(dir, 7, written->uuid));
}
END_TEST

static size_t file_get(const char *kind, char *text, size_t len)
{
    char path[RECORD_PATH_LEN];
    FILE *f;
    size_t n;

    record_path(path, dir, 7, kind);
    f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, len, f);
    fclose(f);
    return n;
}

static void file_put(const char *kind, const char *text, size_t len)
{
    char path[RECORD_PATH_LEN];
    FILE *f;

    record_path(path, dir, 7, kind);
    unlink(path); /* some file systems wait for the disk when a file is cut and written again */
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    fclose(f);
}

static void devices_put(const char *const *lines, size_t n)
{
    ck_assert_int_eq(devices_file_write(dir, 7, written->uuid, lines, n, NULL), 0);
}

/* What vhost-dm makes of DOMID.devices when devices come and go: a device that is there has its line,
 * wherever that is; its back-end is known in any case. */
START_TEST(list_changed)
{
    const char *const added[] = {"socket=/new,type=net", "type=fs,tag=t,socket=/y", "type=blk,socket=/x",
                                 "type=blk,socket=/x/y"};
    const char *const removed[] = {"type=fs,socket=/y"};
    const char *const odd[] = {"type=fs,socket=/y", "type=blk"};

    devices_put(added, 4);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[0].text, "type=blk,socket=/x");
    ck_assert_str_eq(got->plan.devices[1].text, "type=fs,tag=t,socket=/y");
    plan_clear(&got->plan);
    memset(got, 0, sizeof(*got));

    devices_put(removed, 1);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[0].text, "");
    ck_assert_int_eq(got->back_ends[0].pid, 99);
    ck_assert_str_eq(got->plan.devices[1].text, "type=fs,socket=/y");
    plan_clear(&got->plan);
    memset(got, 0, sizeof(*got));

    devices_put(NULL, 0);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_uint_eq(got->plan.nr_devices, 2);
    ck_assert_str_eq(got->plan.devices[0].text, "");
    ck_assert_str_eq(got->plan.devices[1].text, "");
    plan_clear(&got->plan);
    memset(got, 0, sizeof(*got));

    devices_put(odd, 2);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), -EINVAL);
}
END_TEST

/* As it was written before the sockets of another program's devices were noted. */
START_TEST(older_without_sockets)
{
    strcpy(written->plan.devices[0].socket, "");
    strcpy(written->plan.devices[1].socket, "");
    ck_assert_int_eq(record_guest_write(dir, 7, written), 0);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_str_eq(got->plan.devices[0].text, "type=blk,socket=/x");
    ck_assert_str_eq(got->plan.devices[1].text, "type=fs,socket=/y");
}
END_TEST

/* Every length that it can be cut to, then random bytes at random places. */
START_TEST(damaged)
{
    static const char *const kinds[] = {"guest", "devices"};
    char good[4096], bad[4096];
    size_t len = file_get(kinds[_i], good, sizeof(good));

    unit_random_start();
    for (size_t cut = 0; cut < len; cut++) {
        file_put(kinds[_i], good, cut);
        unit_expect(record_read(dir, 7, written->uuid, got) <= 0);
        plan_clear(&got->plan);
        memset(got, 0, sizeof(*got));
    }
    for (unsigned long n = unit_count(5000); n > 0; n--) {
        memcpy(bad, good, len);
        for (uint64_t i = 1 + unit_random_below(4); i > 0; i--)
            bad[unit_random_below(len)] = (char)unit_random();
        file_put(kinds[_i], bad, len);
        unit_expect(record_read(dir, 7, written->uuid, got) <= 0);
        plan_clear(&got->plan);
        memset(got, 0, sizeof(*got));
    }
}
END_TEST

/* As it was written before there was confinement. */
START_TEST(older)
{
    char text[4096], *word;
    size_t len = file_get("guest", text, sizeof(text));

    text[len] = '\0';
    word = strstr(text, " off\n");
    ck_assert_ptr_nonnull(word);
    memmove(word, word + 4, strlen(word + 4) + 1);
    file_put("guest", text, len - 4);
    ck_assert_int_eq(record_read(dir, 7, written->uuid, got), 0);
    ck_assert_str_eq(got->plan.settings.shm_limit, "1G");
    ck_assert_str_eq(got->plan.settings.confine, "");
    ck_assert_uint_eq(got->plan.nr_devices, 2);
}
END_TEST

START_TEST(small_ones)
{
    ck_assert(!record_held(dir, 7, written->uuid));
    ck_assert_int_eq(record_held_write(dir, 7, written->uuid), 0);
    ck_assert(record_held(dir, 7, written->uuid));
    written->uuid[0] = 0;
    ck_assert(!record_held(dir, 7, written->uuid));
    ck_assert(!record_ready(dir, 7));
    file_put("ready", "", 0);
    ck_assert(!record_ready(dir, 7));
    file_put("ready", "ready\n", 6);
    ck_assert(record_ready(dir, 7));
}
END_TEST

/* A guest that lives on may still need what is vhost-dm's, and that it is held. */
START_TEST(removed)
{
    static const char *const ours[] = {"guest", "devices", "ready"}, *const others[] = {"held", "state",
                                                                                        "kept"};
    char path[RECORD_PATH_LEN];

    for (int i = 0; i < 3; i++) {
        file_put(ours[i], "", 0);
        file_put(others[i], "", 0);
    }
    record_remove_begun(dir, 7);
    for (int i = 0; i < 3; i++) {
        record_path(path, dir, 7, ours[i]);
        ck_assert_int_ne(access(path, F_OK), 0);
        record_path(path, dir, 7, others[i]);
        ck_assert_int_eq(access(path, F_OK), 0);
    }
}
END_TEST

/* DOMID.state, which vhost-dm has locked while it runs; who kills it finds it left. */
START_TEST(state_holder)
{
    struct saved_state *state;
    const uint8_t other[16] = {1};
    char path[RECORD_PATH_LEN];
    int holder;

    record_path(path, dir, 7, "state");
    ck_assert_int_eq(record_state_holder(dir, 7), 0);
    ck_assert(!record_state_left(dir, 7, written->uuid));
    file_put("state", "", 0);
    ck_assert_int_eq(record_state_holder(dir, 7), 0);
    ck_assert(!record_state_left(dir, 7, written->uuid));
    ck_assert_int_eq(saved_state_open(&state, path, written->uuid, &holder), 0);
    ck_assert_int_eq(record_state_holder(dir, 7), getpid());
    ck_assert(!record_state_left(dir, 7, written->uuid));
    saved_state_close(state, false);
    ck_assert_int_eq(record_state_holder(dir, 7), 0);
    ck_assert(record_state_left(dir, 7, written->uuid));
    ck_assert(!record_state_left(dir, 7, other));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vhost-dmd's records");
    TCase *tc = tcase_create("files");

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, read_again);
    tcase_add_test(tc, of_another);
    tcase_add_test(tc, list_gone);
    tcase_add_test(tc, devices_alone);
    tcase_add_test(tc, devices_of_another_program);
    tcase_add_test(tc, started_by_another_program);
    tcase_add_loop_test(tc, damaged, 0, 2);
    tcase_add_test(tc, list_changed);
    tcase_add_test(tc, older);
    tcase_add_test(tc, older_without_sockets);
    tcase_add_test(tc, small_ones);
    tcase_add_test(tc, removed);
    tcase_add_test(tc, state_holder);
    return unit_run(suite);
}
