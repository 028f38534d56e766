// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_refusals.c - requests that must be refused, one rule at a time: the answer is not zero, the
 * connection stays, and the guest sees what it saw before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/local/shmem_test.h"

/* The region has 256 pages. What is there all the time: pages 16 to 31 and 32 to 39. */
#define FIRST      PAGES(16)
#define FIRST_LEN  PAGES(16)
#define SECOND     PAGES(32)
#define SECOND_LEN PAGES(8)
#define REGION     MIB(1)
#define FILE_TAG   7

static int file;

static void setup(void)
{
    shmem_test_setup();
    shmem_test_boot();
    shmem_test_start_driver();
    file = file_new(REGION, FILE_TAG);
    backend_does(map_request(0, file, 0, FIRST, FIRST_LEN, RW));
    backend_does(map_request(0, file, PAGES(100), SECOND, SECOND_LEN, 0));
}

static void expect_nothing_changed(void)
{
    guest_sees_nothing(0, 0, 16);
    guest_sees(0, FIRST, 16, FILE_TAG, 0);
    guest_sees(0, SECOND, 8, FILE_TAG, 100);
    guest_sees_nothing(0, SECOND + SECOND_LEN, 256 - 40);
    ck_assert_uint_eq(stats().nr_mappings, 2);
    ck_assert_uint_eq(stats().bytes, FIRST_LEN + SECOND_LEN);
}

static void teardown(void)
{
    expect_nothing_changed();
    /* And what is right still works. */
    backend_does(unmap_request(0, FIRST, FIRST_LEN));
    backend_does(map_request(0, file, PAGES(200), PAGES(50), PAGES(56), RW));
    guest_sees(0, PAGES(50), 56, FILE_TAG, 200);
    close(file);
    shmem_test_teardown();
}

/* Both requests take the same numbers; most rules are the same too. */
static const struct {
    uint8_t shmid;
    uint64_t fd_offset, shm_offset, len, flags;
    bool unmap_too;
} wrong[] = {
    /* no such region */
    {1, 0, 0, PAGES(1), RW, true},
    {255, 0, 0, PAGES(1), RW, true},
    /* length */
    {0, 0, PAGES(64), 0, RW, true},
    {0, 0, PAGES(64), 1, RW, true},
    {0, 0, PAGES(64), PAGES(1) - 1, RW, true},
    {0, 0, PAGES(64), PAGES(1) + 1, RW, true},
    {0, 0, PAGES(64), PAGES(1) + 512, RW, true},
    /* places that are not pages */
    {0, 0, PAGES(64) + 1, PAGES(1), RW, true},
    {0, 0, PAGES(64) + 2048, PAGES(1), RW, true},
    {0, 1, PAGES(64), PAGES(1), RW, false},
    {0, 2048, PAGES(64), PAGES(1), RW, false},
    /* beyond the region */
    {0, 0, REGION, PAGES(1), RW, true},
    {0, 0, REGION - PAGES(1), PAGES(2), RW, true},
    {0, 0, 0, REGION + PAGES(1), RW, true},
    {0, 0, MIB(512), PAGES(1), RW, true},
    /* sums that do not fit into 64 bits */
    {0, 0, UINT64_MAX - PAGES(1) + 1, PAGES(1), RW, true},
    {0, 0, UINT64_MAX - PAGES(1) + 1, PAGES(2), RW, true},
    {0, 0, PAGES(64), UINT64_MAX - PAGES(1) + 1, RW, true},
    {0, 0, PAGES(64), UINT64_MAX - PAGES(64) + 1, RW, true},
    {0, UINT64_MAX - PAGES(1) + 1, PAGES(64), PAGES(1), RW, false},
    {0, UINT64_MAX - PAGES(1) + 1, PAGES(64), PAGES(2), RW, false},
    {0, INT64_MAX - PAGES(1) + 1, PAGES(64), PAGES(2), RW, false},
    /* beyond the end of the file */
    {0, REGION, PAGES(64), PAGES(1), RW, false},
    {0, REGION - PAGES(1), PAGES(64), PAGES(2), RW, false},
    {0, MIB(512), PAGES(64), PAGES(1), RW, false},
    /* over what is mapped: the same, its head, its tail, inside, around, both, the last page, the first */
    {0, 0, FIRST, FIRST_LEN, RW, false},
    {0, 0, PAGES(12), PAGES(5), RW, true},
    {0, 0, PAGES(38), PAGES(5), RW, true},
    {0, 0, PAGES(20), PAGES(2), RW, true},
    {0, 0, PAGES(10), PAGES(100), RW, true},
    {0, 0, FIRST, FIRST_LEN + SECOND_LEN, RW, true},
    {0, 0, FIRST, PAGES(1), RW, true},
    {0, 0, SECOND - PAGES(1), PAGES(1), RW, true},
    {0, 0, SECOND - PAGES(1), PAGES(2), RW, true},
    {0, 0, 0, REGION, RW, true},
    /* flags that mean nothing */
    {0, 0, PAGES(64), PAGES(1), 2, false},
    {0, 0, PAGES(64), PAGES(1), RW | 4, false},
    {0, 0, PAGES(64), PAGES(1), RW | (uint64_t)1 << 32, false},
    {0, 0, PAGES(64), PAGES(1), (uint64_t)1 << 63, false},
};

START_TEST(wrong_numbers)
{
    const uint8_t shmid = wrong[_i].shmid;
    const uint64_t offset = wrong[_i].shm_offset, len = wrong[_i].len;

    backend_is_refused(map_request(shmid, file, wrong[_i].fd_offset, offset, len, wrong[_i].flags));
    expect_nothing_changed();
    if (wrong[_i].unmap_too)
        backend_is_refused(unmap_request(shmid, offset, len));
}
END_TEST

/* Where nobody asks for an answer there is none: the next answer is that of the next question. */
START_TEST(wrong_and_silent)
{
    struct request requests[2 * ARRAY_SIZE(wrong)];
    size_t nr = 0;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        requests[nr] = map_request(wrong[i].shmid, file, wrong[i].fd_offset, wrong[i].shm_offset,
                                   wrong[i].len, wrong[i].flags);
        requests[nr++].silent = true;
        requests[nr] = map_request(0, file, 0, PAGES(64 + i), PAGES(1), RW);
        requests[nr++].silent = i % 3 != 0;
    }
    backend_requests(requests, nr);
    for (size_t i = 0; i < nr; i++)
        ck_assert_uint_eq(requests[i].answer, requests[i].silent ? UINT64_MAX : 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        guest_sees(0, PAGES(64 + i), 1, FILE_TAG, 0);
        backend_does(unmap_request(0, PAGES(64 + i), PAGES(1)));
    }
}
END_TEST

START_TEST(unmapped_what_is_not_mapped)
{
    backend_is_refused(unmap_request(0, PAGES(64), PAGES(1)));
    backend_does(map_request(0, file, 0, PAGES(64), PAGES(4), RW));
    backend_does(unmap_request(0, PAGES(64), PAGES(4)));
    backend_is_refused(unmap_request(0, PAGES(64), PAGES(4)));
}
END_TEST

static struct request with_fds(struct request request, unsigned nr)
{
    request.nr_fds = nr;
    for (unsigned i = 0; i < nr; i++)
        request.fds[i] = file;
    return request;
}

START_TEST(wrong_number_of_fds)
{
    backend_is_refused(with_fds(map_request(0, file, 0, PAGES(64), PAGES(1), RW), 0));
    for (unsigned nr = 2; nr <= VHOST_USER_MAX_FDS; nr++)
        backend_is_refused(with_fds(map_request(0, file, 0, PAGES(64), PAGES(1), RW), nr));
    backend_is_refused(with_fds(unmap_request(0, FIRST, FIRST_LEN), 1));
    backend_is_refused(with_fds(unmap_request(0, FIRST, FIRST_LEN), 8));
}
END_TEST

START_TEST(wrong_size_of_payload)
{
    for (uint32_t size = 1; size <= sizeof(struct vhost_user_mmap) + 8; size++) {
        struct request map = map_request(0, file, 0, PAGES(64), PAGES(1), RW);
        struct request unmap = unmap_request(0, FIRST, FIRST_LEN);

        if (size == sizeof(struct vhost_user_mmap))
            continue;
        map.size = unmap.size = size;
        backend_is_refused(map);
        backend_is_refused(unmap);
    }
}
END_TEST

/* What is no memory, or not as much, or not for that use. Each fd is closed by the caller. */
static int fd_pipe(void)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    close(fds[1]);
    return fds[0];
}

static int fd_folder(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int fd_event(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static int fd_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int fd_null(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fd_proc(void)
{
    return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

static int fd_empty(void)
{
    return file_new(0, 0);
}

static int fd_short(void)
{
    return file_new(PAGES(1) - 1, 0);
}

static int reopened(int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return open(path, flags | O_CLOEXEC);
}

static int fd_path_only(void)
{
    return reopened(O_PATH);
}

static int fd_write_only(void)
{
    return reopened(O_WRONLY);
}

static int fd_read_only(void)
{
    return reopened(O_RDONLY);
}

static int fd_sealed(void)
{
    int fd = file_new(PAGES(1), 1);

    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    return fd;
}

static const struct {
    const char *name;
    int (*make)(void);
    bool readable; /* it can be mapped read-only */
} wrong_fds[] = {
    {"pipe", fd_pipe, false},          {"folder", fd_folder, false},
    {"eventfd", fd_event, false},      {"socket", fd_socket, false},
    {"/dev/null", fd_null, false},     {"file of /proc", fd_proc, false},
    {"empty", fd_empty, false},        {"too short", fd_short, false},
    {"path", fd_path_only, false},     {"write-only", fd_write_only, false},
    {"read-only", fd_read_only, true}, {"sealed", fd_sealed, true},
};

START_TEST(wrong_fd)
{
    int fd = wrong_fds[_i].make();

    ck_assert_int_ge(fd, 0);
    backend_is_refused(map_request(0, fd, 0, PAGES(64), PAGES(1), RW));
    if (wrong_fds[_i].readable) {
        backend_does(map_request(0, fd, 0, PAGES(64), PAGES(1), 0));
        guest_sees(0, PAGES(64), 1, wrong_fds[_i].make == fd_sealed ? 1 : FILE_TAG, 0);
        /* The guest's writes go nowhere. */
        mmio_write(&os, shm_gpa(0) + PAGES(64), 8, 5);
        guest_sees(0, PAGES(64), 1, wrong_fds[_i].make == fd_sealed ? 1 : FILE_TAG, 0);
        backend_does(unmap_request(0, PAGES(64), PAGES(1)));
    } else {
        backend_is_refused(map_request(0, fd, 0, PAGES(64), PAGES(1), 0));
    }
    close(fd);
}
END_TEST

void shmem_cases_refusals(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, wrong_numbers, 0, ARRAY_SIZE(wrong));
    tcase_add_test(tcase, wrong_and_silent);
    tcase_add_test(tcase, unmapped_what_is_not_mapped);
    tcase_add_test(tcase, wrong_number_of_fds);
    tcase_add_test(tcase, wrong_size_of_payload);
    tcase_add_loop_test(tcase, wrong_fd, 0, ARRAY_SIZE(wrong_fds));
}
