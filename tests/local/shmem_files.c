// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_files.c - what is behind mappings: files that shrink and grow, huge pages, more mappings than the
 * kernel would give us, more files than we may open.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/local/shmem_test.h"
#include "tests/unit/fds.h"

#define FILE_TAG 4

/* ---- files that change -------------------------------------------------------------------------- */

/* Nobody dies of it. */
START_TEST(a_file_shrinks)
{
    int file = file_new(PAGES(64), FILE_TAG);
    uint64_t gpa;

    shmem_test_boot();
    shmem_test_start_driver();
    backend_does(map_request(0, file, 0, 0, PAGES(64), RW));
    guest_sees(0, 0, 64, FILE_TAG, 0);
    ck_assert_int_eq(ftruncate(file, (off_t)PAGES(16)), 0);
    guest_sees(0, 0, 16, FILE_TAG, 0);
    guest_sees_nothing(0, PAGES(16), 48);
    gpa = shm_gpa(0);
    for (unsigned page = 0; page < 64; page++)
        mmio_write(&os, gpa + PAGES(page) + 16, 8, page);
    for (unsigned page = 0; page < 64; page++)
        ck_assert_uint_eq(mmio_read(&os, gpa + PAGES(page) + 16, 8), page < 16 ? page : ALL_ONES);
    ck_assert_uint_ge(stats().faults, 2 * 48);
    ck_assert_int_eq(lseek(file, 0, SEEK_END), PAGES(16));
    /* No other mapping of what is gone; all of what is there. */
    backend_is_refused(map_request(0, file, 0, PAGES(100), PAGES(17), RW));
    backend_does(map_request(0, file, 0, PAGES(100), PAGES(16), RW));
    /* It grows again, and is what it is: zeros. */
    ck_assert_int_eq(ftruncate(file, (off_t)PAGES(64)), 0);
    for (unsigned page = 16; page < 64; page++)
        ck_assert_uint_eq(mmio_read(&os, gpa + PAGES(page) + 16, 8), 0);
    ck_assert_int_eq(ftruncate(file, 0), 0);
    guest_sees_nothing(0, 0, 256);
    backend_does(unmap_request(0, 0, PAGES(64)));
    backend_does(unmap_request(0, PAGES(100), PAGES(16)));
    close(file);
}
END_TEST

/* A file that has grown since it was first mapped. */
START_TEST(a_file_grows)
{
    int file = file_new(PAGES(4), FILE_TAG), all = file_new(PAGES(128), FILE_TAG);
    char page[GUEST_PAGE_SIZE];

    shmem_test_boot();
    backend_does(map_request(0, file, 0, 0, PAGES(4), RW));
    backend_is_refused(map_request(0, file, 0, PAGES(4), PAGES(5), RW));
    for (unsigned i = 4; i < 128; i++) {
        ck_assert_int_eq(pread(all, page, sizeof(page), (off_t)PAGES(i)), sizeof(page));
        ck_assert_int_eq(pwrite(file, page, sizeof(page), (off_t)PAGES(i)), sizeof(page));
        backend_does(map_request(0, file, PAGES(i), PAGES(i), PAGES(1), RW));
    }
    guest_sees(0, 0, 128, FILE_TAG, 0);
    close(file);
    close(all);
}
END_TEST

/* What is mapped of it is a page; that it is as long as all of our addresses is no reason to have none left.
 */
START_TEST(files_without_end)
{
    int one = memfd_create("one", MFD_CLOEXEC), other = memfd_create("other", MFD_CLOEXEC);
    uint64_t len = (uint64_t)3 << 39;

    ck_assert_int_eq(ftruncate(one, (off_t)len), 0);
    ck_assert_int_eq(ftruncate(other, (off_t)len), 0);
    shmem_test_boot();
    backend_does(map_request(0, one, len - PAGES(1), 0, PAGES(1), RW));
    backend_does(map_request(0, one, 0, PAGES(1), PAGES(1), RW));
    backend_is_refused(map_request(0, other, 0, PAGES(2), PAGES(1), RW));
    ck_assert_int_eq(ftruncate(other, (off_t)1 << 46), 0);
    backend_is_refused(map_request(0, other, 0, PAGES(2), PAGES(1), RW));
    backend_does(unmap_request(0, 0, PAGES(1)));
    backend_does(unmap_request(0, PAGES(1), PAGES(1)));
    ck_assert_int_eq(ftruncate(other, (off_t)len), 0);
    backend_does(map_request(0, other, 0, 0, PAGES(1), RW));
    close(one);
    close(other);
}
END_TEST

/* First for reading, then for writing, by another fd of the same file. */
START_TEST(one_file_two_fds)
{
    int file = file_new(PAGES(8), FILE_TAG), read_only;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    shmem_test_boot();
    backend_does(map_request(0, read_only, 0, 0, PAGES(8), 0));
    backend_does(map_request(0, file, 0, PAGES(8), PAGES(8), RW));
    backend_is_refused(map_request(0, read_only, 0, PAGES(16), PAGES(8), RW));
    mmio_write(&os, shm_gpa(0) + PAGES(8), 8, 99);
    ck_assert_uint_eq(mmio_read(&os, shm_gpa(0), 8), 99);
    mmio_write(&os, shm_gpa(0), 8, 98);
    ck_assert_uint_eq(mmio_read(&os, shm_gpa(0), 8), 99);
    backend_does(unmap_request(0, PAGES(8), PAGES(8)));
    mmio_write(&os, shm_gpa(0), 8, 97);
    ck_assert_uint_eq(mmio_read(&os, shm_gpa(0), 8), 99);
    close(read_only);
    close(file);
}
END_TEST

/* Has the kernel keep so many huge pages more, or less; only root can. */
static void huge_pages_keep(int more)
{
    FILE *f = fopen("/proc/sys/vm/nr_hugepages", "r+e");
    int nr;

    if (f == NULL)
        return;
    if (fscanf(f, "%d", &nr) == 1) {
        rewind(f);
        fprintf(f, "%d\n", nr + more);
    }
    fclose(f);
}

START_TEST(huge_pages)
{
    int file = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    uint64_t value = FILE_TAG;
    void *map;

    huge_pages_keep(2);
    shmem_test_boot();
    if (file < 0 || ftruncate(file, (off_t)MIB(4)) < 0) {
        printf("huge_pages: this kernel has no hugetlbfs: skipped\n");
    } else if ((map = mmap(NULL, MIB(4), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)) == MAP_FAILED) {
        /* None are reserved: then the device model cannot have them either, and says so. */
        printf("huge_pages: none are reserved (/proc/sys/vm/nr_hugepages): only that it is refused\n");
        backend_is_refused(map_request(0, file, 0, 0, PAGES(1), RW));
    } else {
        for (unsigned page = 0; page < 1024; page++)
            *(uint64_t *)((char *)map + PAGES(page)) = value + page;
        backend_does(map_request(0, file, MIB(2) - PAGES(3), 0, PAGES(6), RW));
        for (unsigned page = 0; page < 6; page++)
            ck_assert_uint_eq(mmio_read(&os, shm_gpa(0) + PAGES(page), 8), value + 512 - 3 + page);
        munmap(map, MIB(4));
    }
    if (file >= 0)
        close(file);
    huge_pages_keep(-2);
}
END_TEST

/* ---- many mappings ------------------------------------------------------------------------------ */

#define MANY     1000000u
#define BATCH    1000u
#define STEP     7919u /* has no factor in common with MANY: n * STEP % MANY is a permutation */
#define EVERY    64u /* one page of the file in so many has contents: all would be gigabytes; divides MANY */
#define NR_LOOKS 20000u

static unsigned lines_of_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned nr = 0;

    for (int c; (c = getc(maps)) != EOF;)
        nr += c == '\n';
    fclose(maps);
    return nr;
}

/* What is mapped at page n of the region. */
static uint64_t file_page_of(uint64_t n)
{
    return n * STEP % MANY;
}

static int large_file_new(void)
{
    int file = file_new(PAGES(MANY), 0);

    for (uint64_t page = 0; page < MANY; page += EVERY) {
        uint64_t word = pattern(FILE_TAG, page, 0);

        ck_assert_int_eq(pwrite(file, &word, sizeof(word), (off_t)PAGES(page)), sizeof(word));
    }
    return file;
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One answer for each batch, for its last request: it comes after all others were served. */
static void batch_send(struct request *requests, unsigned nr)
{
    for (unsigned i = 0; i + 1 < nr; i++)
        requests[i].silent = true;
    backend_requests(requests, nr);
    ck_assert_uint_eq(requests[nr - 1].answer, 0);
}

/* Pages first to end of the region, each by a request of its own. */
static void map_pages(int file, uint64_t first, uint64_t end)
{
    static struct request requests[BATCH];

    for (uint64_t n = first; n < end; n += BATCH) {
        unsigned in_batch = (unsigned)MIN(end - n, (uint64_t)BATCH);

        for (unsigned i = 0; i < in_batch; i++)
            requests[i] = map_request(0, file, PAGES(file_page_of(n + i)), PAGES(n + i), PAGES(1), RW);
        batch_send(requests, in_batch);
    }
}

/* The first to end of a permutation of all pages of the region. */
static void unmap_pages(uint64_t first, uint64_t end)
{
    static struct request requests[BATCH];

    for (uint64_t n = first; n < end; n += BATCH) {
        unsigned in_batch = (unsigned)MIN(end - n, (uint64_t)BATCH);

        for (unsigned i = 0; i < in_batch; i++)
            requests[i] = unmap_request(0, PAGES((n + i) * STEP % MANY), PAGES(1));
        batch_send(requests, in_batch);
    }
}

/* Looks at pages at random, of which the first nr_unmapped of that permutation are gone; every second one is
 * of those whose page in the file has contents, gone or not. */
static void look_at_some(uint64_t nr_unmapped)
{
    struct rng rng = {.state = nr_unmapped};
    uint64_t gpa = shm_gpa(0);

    for (unsigned i = 0; i < NR_LOOKS; i++) {
        uint64_t k = rng_below(&rng, MANY), page, expected, value;

        if (i % 2 == 0)
            k -= k % EVERY;
        page = k * STEP % MANY;
        expected = file_page_of(page) % EVERY == 0 ? pattern(FILE_TAG, file_page_of(page), 0) : 0;
        if (k < nr_unmapped)
            expected = ALL_ONES;
        value = mmio_read(&os, gpa + PAGES(page), 8);
        if (value != expected)
            ck_abort_msg("page %ju is 0x%jx, not 0x%jx, when %ju are unmapped", (uintmax_t)page,
                         (uintmax_t)value, (uintmax_t)expected, (uintmax_t)nr_unmapped);
    }
}

/* A million, with the limits that a device has when nobody sets any. Neither a file nor a mapping of ours for
 * each of theirs: the kernel has about a million and 65,530 of these. */
START_TEST(many_mappings)
{
    int file = large_file_new(), nr_fds;
    unsigned nr_lines;
    double begin;

    fake.shmem_sizes[0] = PAGES(MANY);
    shmem_test_boot();
    shmem_test_start_driver();
    map_pages(file, 0, 512); /* where others end */
    ck_assert_uint_eq(stats().nr_mappings, 512);
    backend_is_refused(map_request(0, file, 0, PAGES(511), PAGES(1), RW));
    nr_fds = fds_count();
    nr_lines = lines_of_maps();
    begin = seconds();
    map_pages(file, 512, MANY);
    printf("many_mappings: %u live mappings, the last %u in %.1f s\n", MANY, MANY - 512, seconds() - begin);
    ck_assert_uint_eq(stats().nr_mappings, MANY);
    ck_assert_uint_eq(stats().bytes, PAGES(MANY));
    ck_assert_int_eq(fds_count(), nr_fds);
    ck_assert_uint_le(lines_of_maps(), nr_lines + 16); /* the heap's, when it grows */
    look_at_some(0);
    unmap_pages(0, MANY / 2);
    ck_assert_uint_eq(stats().nr_mappings, MANY / 2);
    look_at_some(MANY / 2);
    unmap_pages(MANY / 2, MANY);
    ck_assert_uint_eq(stats().nr_mappings, 0);
    look_at_some(MANY);
    close(file);
}
END_TEST

/* The same number goes away at once, by a reset. */
START_TEST(many_mappings_and_a_reset)
{
    int file = large_file_new();

    fake.shmem_sizes[0] = PAGES(MANY);
    shmem_test_boot();
    shmem_test_start_driver();
    map_pages(file, 0, MANY / 10);
    ck_assert_uint_eq(stats().nr_mappings, MANY / 10);
    ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
    ck_assert_uint_eq(stats().nr_mappings, 0);
    look_at_some(MANY);
    close(file);
}
END_TEST

/* Shared memory is nothing that a back-end needs to be told of: its table of memory has few places, and the
 * guest's memory in it, whatever is mapped. */
static void expect_table_of_ram(void)
{
    ck_assert_uint_ge(fake.table.nr_regions, 1);
    ck_assert_uint_le(fake.table.nr_regions, 2);
}

START_TEST(more_than_a_memory_table_holds)
{
    static const uint8_t shmids[] = {0, 1, 255};
    int file = file_new(MIB(1), FILE_TAG);

    for (unsigned i = 0; i < ARRAY_SIZE(shmids); i++)
        fake.shmem_sizes[shmids[i]] = MIB(1);
    shmem_test_boot();
    for (unsigned round = 0; round < 2; round++) {
        if (round > 0) {
            ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
            ck_assert_uint_eq(stats().nr_mappings, 0);
        }
        /* 128 to a region, with gaps: no two of them could be one. All before the table is sent. */
        for (unsigned i = 0; i < 128 * ARRAY_SIZE(shmids); i++)
            backend_does(
                map_request(shmids[i / 128], file, PAGES(i % 128), PAGES(2 * (i % 128)), PAGES(1), RW));
        shmem_test_start_driver();
        expect_table_of_ram();
        for (unsigned i = 0; i < 128 * ARRAY_SIZE(shmids); i++) {
            guest_sees(shmids[i / 128], PAGES(2 * (i % 128)), 1, FILE_TAG, i % 128);
            guest_sees_nothing(shmids[i / 128], PAGES(2 * (i % 128) + 1), 1);
        }
    }
    close(file);
}
END_TEST

/* ---- many files --------------------------------------------------------------------------------- */

#define NR_FILES 64

/* The back-end's fds and ours are one process's here: so files are made first, then the limit is set. */
START_TEST(more_files_than_we_may_open)
{
    int files[NR_FILES], top = -1;
    struct rlimit limit, low;
    unsigned nr_mapped = 0;
    struct request q;

    shmem_test_boot();
    shmem_test_start_driver();
    for (unsigned i = 0; i < NR_FILES; i++) {
        files[i] = file_new(PAGES(1), i + 1);
        top = MAX(top, files[i]);
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = ((rlim_t)top + 20) * 4 / 3; /* a quarter is not for back-ends */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (unsigned i = 0; i < NR_FILES; i++) {
        q = map_request(0, files[i], 0, PAGES(i), PAGES(1), RW);
        backend_requests(&q, 1);
        if (q.answer == 0)
            ck_assert_uint_eq(nr_mapped++, i); /* once refused, all are */
    }
    ck_assert_uint_gt(nr_mapped, 5);
    ck_assert_uint_lt(nr_mapped, NR_FILES);
    for (unsigned i = 0; i < nr_mapped; i++)
        guest_sees(0, PAGES(i), 1, i + 1, 0);
    guest_sees_nothing(0, PAGES(nr_mapped), 256 - nr_mapped);
    /* One goes, another can come. */
    backend_does(unmap_request(0, 0, PAGES(1)));
    backend_does(map_request(0, files[NR_FILES - 1], 0, 0, PAGES(1), RW));
    guest_sees(0, 0, 1, NR_FILES, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = nr_mapped; i < NR_FILES; i++)
        backend_does(map_request(0, files[i], 0, PAGES(i), PAGES(1), RW));
    for (unsigned i = 1; i < NR_FILES; i++)
        guest_sees(0, PAGES(i), 1, i + 1, 0);
    for (unsigned i = 0; i < NR_FILES; i++)
        close(files[i]);
}
END_TEST

void shmem_cases_files(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, shmem_test_setup, shmem_test_teardown);
    tcase_add_test(tcase, a_file_shrinks);
    tcase_add_test(tcase, a_file_grows);
    tcase_add_test(tcase, one_file_two_fds);
    tcase_add_test(tcase, files_without_end);
    tcase_add_test(tcase, huge_pages);
    tcase_add_test(tcase, many_mappings);
    tcase_add_test(tcase, many_mappings_and_a_reset);
    tcase_add_test(tcase, more_than_a_memory_table_holds);
    tcase_add_test(tcase, more_files_than_we_may_open);
}
