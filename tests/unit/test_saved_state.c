// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_saved_state.c - areas, what a successor finds after any end of its predecessor, who may have the file,
 * and what happens when there is no room.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "tests/unit/saved_state_rig.h"
#include "tests/unit/unit.h"

static const uint8_t other_identity[SAVED_STATE_IDENTITY_LEN] = "another guest's!";

static pid_t child_start(void)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    return pid;
}

/* A child ends with _exit(0) if all was well there. */
static void child_expect(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        ck_abort_msg("child ended with status 0x%x", (unsigned)status);
}

/* ---- areas ------------------------------------------------------------------------------------------- */

static void areas_check(void)
{
    char long_name[SAVED_STATE_NAME_LEN + 1] = "1234567890123456789012345678901x";
    bool resumed = true;
    uint8_t *a = area_get("a", 1, false), *b = area_get("b", 65, false), *c = area_get("c", MIB(3), false);

    expect_bytes(a, 0, 1);
    expect_bytes(b, 0, 65);
    expect_bytes(c, 0, MIB(3));
    memset(a, 1, 1);
    memset(b, 2, 65);
    memset(c, 3, MIB(3));
    for (int i = 0; i < 100; i++) { /* earlier ones do not move */
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        memset(area_get(name, 5000, false), 4, 5000);
    }
    expect_bytes(a, 1, 1);
    expect_bytes(b, 2, 65);
    expect_bytes(c, 3, MIB(3));
    ck_assert_ptr_eq(area_get("b", 65, true), b);
    uint8_t *longer = area_get("b", 66, false);
    expect_bytes(longer, 0, 66);
    memset(longer, 5, 66);
    expect_bytes(b, 2, 65); /* given up, but not for others */
    for (int i = 0; i < 3; i++) {
        uint8_t *again = area_get("b", 65 + (size_t)i % 2, false);
        expect_bytes(again, 0, 65);
        memset(again, 6, 65);
    }
    expect_bytes(b, 2, 65);

    ck_assert_ptr_null(saved_state_area(state, "", 1, &resumed));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert(!resumed);
    ck_assert_ptr_null(saved_state_area(state, "d", 0, &resumed));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(saved_state_area(state, long_name, 1, &resumed));
    ck_assert_int_eq(errno, EINVAL);
    long_name[SAVED_STATE_NAME_LEN - 1] = '\0';
    area_get(long_name, 1, false);
    area_get(long_name, 1, true);
    ck_assert_ptr_null(saved_state_area(state, "d", SIZE_MAX, &resumed));
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_ptr_null(saved_state_area(state, "d", MIB(64), &resumed));
    ck_assert_int_eq(errno, ENOSPC);
    area_get("d", MIB(16), false);
    area_get("c", MIB(3), true);
}

START_TEST(areas_in_memory)
{
    ck_assert_int_eq(saved_state_open(&state, NULL, identity, &holder), 0);
    areas_check();
    state_close(true);
    ck_assert_int_eq(saved_state_open(&state, NULL, identity, &holder), 0);
    areas_check();
}
END_TEST

START_TEST(areas_in_a_file)
{
    ck_assert_int_eq(state_open(), 0);
    areas_check();
}
END_TEST

START_TEST(too_many_areas)
{
    char name[16];
    bool resumed;
    unsigned nr = 0;

    ck_assert_int_eq(state_open(), 0);
    for (; nr < 10000; nr++) {
        snprintf(name, sizeof(name), "%u", nr);
        uint32_t *data = saved_state_area(state, name, sizeof(nr), &resumed);
        if (!data)
            break;
        *data = nr;
    }
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_ge(nr, 500);
    ck_assert_uint_lt(nr, 10000);
    state_close(false);
    ck_assert_int_eq(state_open(), 0);
    for (unsigned i = 0; i < nr; i++) {
        snprintf(name, sizeof(name), "%u", i);
        unit_expect_eq(*(uint32_t *)(void *)area_get(name, sizeof(i), true), i);
    }
}
END_TEST

START_TEST(resumed_after_close)
{
    state_write();
    ck_assert_int_eq(state_open(), 0);
    ck_assert(state_read());
    state_close(false);
    /* an area of another length is a new one, and the others are found again */
    ck_assert_int_eq(state_open(), 0);
    expect_bytes(area_get("b", LEN_B - 1, false), 0, LEN_B - 1);
    area_get("a", LEN_A, true);
    state_close(false);
    ck_assert_int_eq(state_open(), 0);
    expect_bytes(area_get("b", LEN_B, false), 0, LEN_B);
    expect_bytes(area_get("a", LEN_A, true), 'A', LEN_A);
    expect_bytes(area_get("c", LEN_C, true), 'C', LEN_C);
}
END_TEST

/* Successors that want other lengths, each for its own, must not fill the file. */
START_TEST(room_is_used_again)
{
    for (size_t i = 0; i < 20; i++) {
        ck_assert_int_eq(state_open(), 0);
        size_t len = MIB(9) + i;
        uint8_t *data = area_get("big", len, false);
        expect_bytes(data, 0, 1000);
        expect_bytes(data + len - 1000, 0, 1000);
        memset(data, 0xff, len);
        state_close(false);
    }
}
END_TEST

/* ---- the file ---------------------------------------------------------------------------------------- */

START_TEST(modes_and_folder)
{
    struct stat st;
    mode_t mask = umask(0);

    snprintf(path, sizeof(path), "%s/new/state", folder);
    state_write();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
    strcat(path, "/state");
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(state_open(), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    ck_assert(state_read());
    umask(mask);
}
END_TEST

START_TEST(identity_differs)
{
    state_write();
    ck_assert_int_eq(saved_state_open(&state, path, other_identity, &holder), 0);
    ck_assert(!state_read());
    state_close(false);
    ck_assert_int_eq(state_open(), 0);
    ck_assert(!state_read());
}
END_TEST

START_TEST(removal)
{
    struct stat st;
    int fd;

    state_write();
    ck_assert_int_eq(state_open(), 0);
    fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    state_close(true);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 0); /* nor in a copy that somebody has of it */
    close(fd);
    ck_assert_int_eq(state_open(), 0);
    ck_assert(!state_read());

    /* what is at the path now is not ours */
    ck_assert_int_eq(unlink(path), 0);
    file_write("precious", 8);
    state_close(true);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
}
END_TEST

START_TEST(what_is_not_ours_is_left_alone)
{
    struct stat st;
    char other[80];
    uint8_t *image = calloc(1, MIB(1));

    ck_assert_ptr_nonnull(image);
    file_write("precious", 8);
    ck_assert_int_eq(state_open(), -EINVAL);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
    file_write(image, MIB(1)); /* a disk begins with zeros */
    ck_assert_int_eq(state_open(), -EINVAL);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, MIB(1));
    free(image);

    unlink(path);
    snprintf(other, sizeof(other), "%s/other", folder);
    ck_assert_int_eq(symlink(other, path), 0);
    ck_assert_int_eq(state_open(), -ELOOP);
    ck_assert_int_eq(access(other, F_OK), -1);
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(state_open(), -EINVAL);
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(state_open(), -EISDIR);
    rmdir(path);
    state_write();
    ck_assert_int_eq(link(path, other), 0);
    ck_assert_int_eq(state_open(), -EPERM);
    unlink(other);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 1, (gid_t)-1), 0);
        ck_assert_int_eq(state_open(), -EPERM);
        ck_assert_int_eq(chown(path, 0, (gid_t)-1), 0);
    }
    ck_assert_int_eq(state_open(), 0);
    ck_assert(state_read());
    state_close(false);
    snprintf(path, sizeof(path), "%s/no/such/state", folder);
    ck_assert_int_eq(state_open(), -ENOENT);
    ck_assert_ptr_null(state);
}
END_TEST

/* ---- several processes ------------------------------------------------------------------------------- */

START_TEST(two_exclude_each_other)
{
    struct saved_state *second = NULL;
    pid_t self = getpid();

    ck_assert_int_eq(state_open(), 0);
    holder = -1;
    ck_assert_int_eq(saved_state_open(&second, path, identity, &holder), -EBUSY);
    ck_assert_int_eq(holder, self);
    ck_assert_ptr_null(second);
    memset(area_get("a", LEN_A, false), 'A', LEN_A);

    pid_t pid = child_start();
    if (pid == 0) {
        int ret = saved_state_open(&second, path, other_identity, &holder);
        _exit(ret == -EBUSY && holder == self ? 0 : 1);
    }
    child_expect(pid);
    expect_bytes(area_get("a", LEN_A, true), 'A', LEN_A);
    state_close(false);
    ck_assert_int_eq(saved_state_open(&second, path, identity, &holder), 0);
    ck_assert_int_eq(holder, 0);
    saved_state_close(second, false);
}
END_TEST

/* Until whoever has the file closes it. */
static void unlock_wait(void)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_SH) < 0)
        _exit(2);
    close(fd);
}

/* Of a file that they all remove when they have had it, only one at a time has it, and it is always empty. */
START_TEST(removal_races_with_opening)
{
    atomic_int *inside =
        mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const unsigned long nr = unit_count(300);
    pid_t pids[4];

    ck_assert_ptr_ne(inside, MAP_FAILED);
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
        pids[i] = child_start();
        if (pids[i] > 0)
            continue;
        for (unsigned long had = 0; had < nr;) {
            int ret = state_open();
            bool resumed;

            if (ret == -EBUSY || ret == -EAGAIN) {
                unlock_wait();
                continue;
            }
            if (ret != 0)
                _exit(3);
            if (atomic_fetch_add(inside, 1) != 0)
                _exit(4);
            if (!saved_state_area(state, "a", LEN_A, &resumed) || resumed)
                _exit(5);
            atomic_fetch_sub(inside, 1);
            state_close(true);
            had++;
        }
        _exit(0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
        child_expect(pids[i]);
    munmap(inside, sizeof(*inside));
}
END_TEST

#define KILL_AREAS   20
#define KILL_MAX_LEN 20000

/* For ever gives areas other lengths and fills each with its own byte; a byte into the pipe after each. */
static void child_busy(int pipe_fd, bool *filled)
{
    if (state_open() != 0)
        _exit(1);
    for (;;) {
        unsigned i = (unsigned)unit_random_below(KILL_AREAS);
        size_t len = 1 + unit_random_below(KILL_MAX_LEN);
        char name[16];
        bool resumed;

        snprintf(name, sizeof(name), "k%u", i);
        uint8_t *data = saved_state_area(state, name, len, &resumed);
        if (!data) { /* what was given up is not free while this process lives */
            state_close(false);
            if (state_open() != 0)
                _exit(1);
            continue;
        }
        data[0] = 0;
        memset(data + 1, (int)i + 1, len - 1);
        data[0] = (uint8_t)(i + 1); /* complete */
        *filled = true;
        if (write(pipe_fd, "", 1) != 1)
            _exit(1);
    }
}

/* Finds out which length each area has, by asking for it in a copy of what the directory says. */
static void areas_after_kill(void)
{
    uint8_t *data;
    size_t len;
    char name[16];

    file_read(&data, &len);
    ck_assert_int_eq(state_open(), 0);
    for (unsigned i = 0; i < KILL_AREAS; i++) {
        uint64_t area_len = 0;

        snprintf(name, sizeof(name), "k%u", i);
        for (size_t at = 128; at + 64 <= 65536; at += 64)
            if (strcmp((char *)data + at, name) == 0)
                memcpy(&area_len, data + at + 40, sizeof(area_len));
        if (area_len == 0)
            continue;
        uint8_t *area = area_get(name, area_len, true);
        if (area[0])
            expect_bytes(area, (int)i + 1, area_len);
        else
            for (size_t k = 1; k < area_len; k++)
                unit_expect(area[k] == 0 || area[k] == i + 1);
    }
    state_close(false);
    free(data);
}

START_TEST(killed_at_any_moment)
{
    const unsigned long nr = unit_count(100);
    bool *filled = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(filled, MAP_FAILED);
    for (unsigned long i = 0; i < nr; i++) {
        unsigned long steps = 1 + unit_random_below(40);
        int fds[2], status;
        char byte;

        ck_assert_int_eq(pipe(fds), 0);
        pid_t pid = child_start();
        if (pid == 0)
            child_busy(fds[1], filled);
        close(fds[1]);
        while (steps-- > 0)
            ck_assert_int_eq(read(fds[0], &byte, 1), 1);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(fds[0]);
        areas_after_kill();
        unit_random(); /* another sequence for the next child */
    }
    ck_assert(*filled);
    munmap(filled, 1);
}
END_TEST

/* ---- others who have its file ------------------------------------------------------------------------ */

/* A predecessor's descriptor is good for nothing, whatever its owner does and whenever. */
START_TEST(others_have_the_file)
{
    static const struct saved_state_try {
        off_t len;
        bool before;
    } tries[] = {{0, false}, {65536 + 50, false}, {1 << 20, false}, {0, true}, {65536 + 50, true}};
    char byte = 'x';

    for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
        state_write();
        int fd = open(path, O_RDWR);
        ck_assert_int_ge(fd, 0);
        if (tries[i].before)
            ck_assert_int_eq(ftruncate(fd, tries[i].len), 0);
        ck_assert_int_eq(state_open(), 0);
        ck_assert_int_eq(state_read(), !tries[i].before);
        uint8_t *area = area_get("d", 5000, false);
        if (!tries[i].before)
            ck_assert_int_eq(ftruncate(fd, tries[i].len), 0);
        memset(area, 'D', 5000);
        for (off_t at = 0; at < 65536 + 20000; at += 64)
            ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        expect_bytes(area, 'D', 5000);
        ck_assert(state_read()); /* which has written them before */
        state_close(false);
        ck_assert_int_eq(state_open(), 0);
        expect_bytes(area_get("d", 5000, true), 'D', 5000);
        state_close(true);
        close(fd);
    }
}
END_TEST

/* ---- room -------------------------------------------------------------------------------------------- */

/* A hole in the file is filled when it is opened: later there may be no room, and a write would be a SIGBUS.
 */
START_TEST(holes_are_filled)
{
    struct stat st;

    state_write();
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 1 << 20) == 0) {
        ck_assert_int_eq(state_open(), 0);
        expect_bytes(area_get("b", LEN_B, true), 0, LEN_B);
        state_close(false);
    }
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_ge(st.st_blocks * 512, 65536 + LEN_B);
    close(fd);
}
END_TEST

/* Asks for areas until there is no more room, writes all of them, and is still alive. */
static int child_fill(int want_errno)
{
    uint8_t *areas[200];
    bool resumed;
    size_t nr = 0;

    if (state_open() != 0)
        return 1;
    for (; nr < ARRAY_SIZE(areas); nr++) {
        char name[16];
        snprintf(name, sizeof(name), "%zu", nr);
        areas[nr] = saved_state_area(state, name, 100000, &resumed);
        if (!areas[nr])
            break;
    }
    if (nr == 0 || nr == ARRAY_SIZE(areas) || errno != want_errno)
        return 2;
    for (size_t i = 0; i < nr; i++)
        memset(areas[i], 0xff, 100000);
    state_close(false);
    if (state_open() != 0) /* a full file system does not keep a successor out */
        return 3;
    if (!saved_state_area(state, "0", 100000, &resumed) || !resumed)
        return 4;
    return 0;
}

START_TEST(limited_file_size)
{
    pid_t pid = child_start();
    if (pid == 0) {
        struct rlimit limit = {MIB(1), MIB(1)};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
            _exit(9);
        _exit(child_fill(EFBIG));
    }
    child_expect(pid);
}
END_TEST

/* Needs a mount namespace, which a user other than root may not be able to have. */
START_TEST(full_tmpfs)
{
    pid_t pid = child_start();
    if (pid == 0) {
        if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
            mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
            mount("none", folder, "tmpfs", 0, "size=1m") < 0) {
            fprintf(stderr, "full_tmpfs: no mount namespace here: only limited_file_size tests this\n");
            _exit(0);
        }
        _exit(child_fill(ENOSPC));
    }
    child_expect(pid);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saved_state");
    TCase *tcase = tcase_create("saved_state");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, areas_in_memory);
    tcase_add_test(tcase, areas_in_a_file);
    tcase_add_test(tcase, too_many_areas);
    tcase_add_test(tcase, resumed_after_close);
    tcase_add_test(tcase, room_is_used_again);
    tcase_add_test(tcase, modes_and_folder);
    tcase_add_test(tcase, identity_differs);
    tcase_add_test(tcase, removal);
    tcase_add_test(tcase, what_is_not_ours_is_left_alone);
    tcase_add_test(tcase, two_exclude_each_other);
    tcase_add_test(tcase, removal_races_with_opening);
    tcase_add_test(tcase, killed_at_any_moment);
    tcase_add_test(tcase, others_have_the_file);
    tcase_add_test(tcase, holes_are_filled);
    tcase_add_test(tcase, limited_file_size);
    tcase_add_test(tcase, full_tmpfs);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
