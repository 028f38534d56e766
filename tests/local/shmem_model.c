// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shmem_model.c - random requests, valid and invalid, against a model that is nothing but an array of pages
 * and a list of mappings: each answer is what the model says, and after every batch the guest sees the
 * model's contents in every page.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/local/shmem_test.h"

#define NR_REGIONS  2
#define NR_FILES    4
#define NR_REQUESTS 10000
#define BATCH       100
#define MAX_MAPS    512

static const struct {
    uint8_t shmid;
    unsigned nr_pages;
} regions[NR_REGIONS] = {{0, 256}, {9, 96}};

struct model_map {
    unsigned region, page, nr_pages, file, file_page;
    bool writable;
};

static struct {
    int files[NR_FILES];
    unsigned file_pages[NR_FILES];
    bool file_read_only[NR_FILES];
    struct model_map maps[MAX_MAPS];
    unsigned nr_maps;
    struct rng rng;
} model;

/* ---- the model ---------------------------------------------------------------------------------- */

static const struct model_map *map_at(unsigned region, unsigned page)
{
    for (unsigned i = 0; i < model.nr_maps; i++) {
        const struct model_map *m = &model.maps[i];

        if (m->region == region && page >= m->page && page < m->page + m->nr_pages)
            return m;
    }
    return NULL;
}

static int region_of(const struct request *q)
{
    for (unsigned i = 0; i < NR_REGIONS; i++)
        if (regions[i].shmid == q->mmap.shmid)
            return (int)i;
    return -1;
}

/* In pages, so that nothing can overflow; false: a number is none of whole pages. */
static bool in_pages(uint64_t bytes, uint64_t *pages)
{
    *pages = bytes / GUEST_PAGE_SIZE;
    return bytes % GUEST_PAGE_SIZE == 0;
}

static bool model_does_map(const struct request *q, unsigned file)
{
    uint64_t page, nr, file_page;
    int region = region_of(q);

    if (region < 0 || q->nr_fds != 1 || !in_pages(q->mmap.shm_offset, &page) || !in_pages(q->mmap.len, &nr) ||
        !in_pages(q->mmap.fd_offset, &file_page) || nr == 0 || q->mmap.flags > 1)
        return false;
    if (page + nr > regions[region].nr_pages || file_page + nr > model.file_pages[file] ||
        (q->mmap.flags == 1 && model.file_read_only[file]) || model.nr_maps == MAX_MAPS)
        return false;
    for (uint64_t i = 0; i < nr; i++)
        if (map_at((unsigned)region, (unsigned)(page + i)) != NULL)
            return false;
    model.maps[model.nr_maps++] = (struct model_map){
        (unsigned)region, (unsigned)page, (unsigned)nr, file, (unsigned)file_page, q->mmap.flags == 1};
    return true;
}

static bool model_does_unmap(const struct request *q)
{
    uint64_t page, nr;
    int region = region_of(q);

    if (region < 0 || q->nr_fds != 0 || !in_pages(q->mmap.shm_offset, &page) || !in_pages(q->mmap.len, &nr))
        return false;
    for (unsigned i = 0; i < model.nr_maps; i++) {
        const struct model_map *m = &model.maps[i];

        if (m->region != (unsigned)region || m->page != page || m->nr_pages != nr)
            continue;
        model.maps[i] = model.maps[--model.nr_maps];
        return true;
    }
    return false;
}

/* ---- requests ----------------------------------------------------------------------------------- */

/* Mostly whole pages, and near what makes sense. */
static uint64_t random_place(unsigned nr_pages)
{
    if (rng_one_in(&model.rng, 40))
        return rng_next(&model.rng);
    if (rng_one_in(&model.rng, 30))
        return rng_below(&model.rng, PAGES(nr_pages));
    return PAGES(rng_below(&model.rng, nr_pages + nr_pages / 16));
}

static struct request random_map(unsigned *file)
{
    unsigned region = (unsigned)rng_below(&model.rng, NR_REGIONS);
    uint8_t shmid = rng_one_in(&model.rng, 30) ? (uint8_t)rng_next(&model.rng) : regions[region].shmid;
    uint64_t flags = rng_one_in(&model.rng, 40) ? rng_next(&model.rng) : rng_below(&model.rng, 2);
    struct request q;

    *file = (unsigned)rng_below(&model.rng, NR_FILES);
    q = map_request(shmid, model.files[*file], random_place(model.file_pages[*file]),
                    random_place(regions[region].nr_pages), random_place(16), flags);
    if (rng_one_in(&model.rng, 50)) {
        q.nr_fds = rng_one_in(&model.rng, 2) ? 0 : 2;
        q.fds[1] = q.fds[0];
    }
    return q;
}

static struct request random_unmap(void)
{
    const struct model_map *m = &model.maps[model.nr_maps > 0 ? rng_below(&model.rng, model.nr_maps) : 0];
    struct request q = unmap_request(regions[m->region].shmid, PAGES(m->page), PAGES(m->nr_pages));

    if (rng_one_in(&model.rng, 8))
        q.mmap.len += PAGES(1);
    if (rng_one_in(&model.rng, 8))
        q.mmap.len -= PAGES(1);
    if (rng_one_in(&model.rng, 8))
        q.mmap.shm_offset += PAGES(1);
    if (rng_one_in(&model.rng, 16))
        q.mmap.shm_offset = random_place(regions[m->region].nr_pages);
    if (rng_one_in(&model.rng, 16))
        q.mmap.shmid = (uint8_t)rng_below(&model.rng, 16);
    return q;
}

/* ---- the guest's view --------------------------------------------------------------------------- */

static void page_check(unsigned region, unsigned page)
{
    const struct model_map *m = map_at(region, page);
    uint64_t gpa = shm_gpa(regions[region].shmid) + PAGES(page);

    for (unsigned i = 0; i < 3; i++) {
        unsigned word = i == 0 ? 0 : i == 1 ? 511 : (unsigned)rng_below(&model.rng, 512);
        uint64_t value = mmio_read(&os, gpa + word * 8, 8), in_file = 0;

        if (m == NULL) {
            if (value != ALL_ONES)
                ck_abort_msg("region %u page %u: 0x%jx, but nothing is mapped", region, page,
                             (uintmax_t)value);
            continue;
        }
        ck_assert_int_eq(pread(model.files[m->file], &in_file, 8,
                               (off_t)(PAGES(m->file_page + page - m->page) + word * 8)),
                         8);
        if (value != in_file)
            ck_abort_msg("region %u page %u word %u: 0x%jx instead of 0x%jx", region, page, word,
                         (uintmax_t)value, (uintmax_t)in_file);
    }
}

/* A write by the guest is in the file if it may be, and nowhere if not. */
static void page_write(unsigned region, unsigned page)
{
    const struct model_map *m = map_at(region, page);
    uint64_t gpa = shm_gpa(regions[region].shmid) + PAGES(page), value = rng_next(&model.rng), before = 0,
             after;
    unsigned word = (unsigned)rng_below(&model.rng, 512);
    off_t at = m == NULL ? 0 : (off_t)(PAGES(m->file_page + page - m->page) + word * 8);

    if (m != NULL)
        ck_assert_int_eq(pread(model.files[m->file], &before, 8, at), 8);
    mmio_write(&os, gpa + word * 8, 8, value);
    if (m == NULL)
        return;
    ck_assert_int_eq(pread(model.files[m->file], &after, 8, at), 8);
    if (after != (m->writable ? value : before))
        ck_abort_msg("region %u page %u word %u: wrong after a write", region, page, word);
}

static void view_check(void)
{
    for (unsigned r = 0; r < NR_REGIONS; r++)
        for (unsigned page = 0; page < regions[r].nr_pages; page++) {
            page_check(r, page);
            if (rng_one_in(&model.rng, 4))
                page_write(r, page);
        }
    ck_assert_uint_eq(stats().nr_mappings, model.nr_maps);
}

static void batch_run(void)
{
    struct request requests[BATCH];
    bool does[BATCH];

    for (unsigned i = 0; i < BATCH; i++) {
        unsigned file;
        bool map = rng_below(&model.rng, 100) < 60;

        requests[i] = map ? random_map(&file) : random_unmap();
        /* When the last is answered all have been served. */
        requests[i].silent = i + 1 < BATCH && rng_one_in(&model.rng, 4);
        does[i] = map ? model_does_map(&requests[i], file) : model_does_unmap(&requests[i]);
    }
    backend_requests(requests, BATCH);
    for (unsigned i = 0; i < BATCH; i++)
        if (!requests[i].silent && (requests[i].answer == 0) != does[i])
            ck_abort_msg("%s shmid %u fd_offset 0x%jx shm_offset 0x%jx len 0x%jx flags 0x%jx: %s",
                         requests[i].request == VHOST_USER_BACKEND_SHMEM_MAP ? "MAP" : "UNMAP",
                         requests[i].mmap.shmid, (uintmax_t)requests[i].mmap.fd_offset,
                         (uintmax_t)requests[i].mmap.shm_offset, (uintmax_t)requests[i].mmap.len,
                         (uintmax_t)requests[i].mmap.flags, does[i] ? "refused" : "done");
}

START_TEST(random_requests)
{
    uint64_t done;

    model.rng.state = (uint64_t)_i + 1;
    for (unsigned i = 0; i < NR_REGIONS; i++)
        fake.shmem_sizes[regions[i].shmid] = PAGES(regions[i].nr_pages);
    shmem_test_by(_i == 2 ? TRANSPORT_MMIO : TRANSPORT_PCI);
    shmem_test_boot();
    shmem_test_start_driver();
    for (unsigned i = 0; i < NR_FILES; i++) {
        char path[64];
        int fd;

        model.file_pages[i] = 16u << i;
        fd = file_new(PAGES(model.file_pages[i]), i + 1);
        model.files[i] = fd;
        if (i != 2)
            continue;
        model.file_read_only[i] = true;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        model.files[i] = open(path, O_RDONLY | O_CLOEXEC);
        close(fd);
    }
    for (unsigned n = 0; n < NR_REQUESTS; n += BATCH) {
        batch_run();
        view_check();
        if (!rng_one_in(&model.rng, 10))
            continue;
        /* The driver resets the device and starts it again. */
        ck_assert_int_eq(virtio_driver_reset(&driver, PATIENCE), 0);
        model.nr_maps = 0;
        view_check();
        shmem_test_start_driver();
    }
    done = stats().maps + stats().unmaps;
    /* Neither all refused nor all done. */
    ck_assert_uint_ge(done, NR_REQUESTS / 4);
    ck_assert_uint_ge(stats().refused, NR_REQUESTS / 4);
    for (unsigned i = 0; i < NR_FILES; i++)
        close(model.files[i]);
}
END_TEST

void shmem_cases_model(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, shmem_test_setup, shmem_test_teardown);
    tcase_add_loop_test(tcase, random_requests, 0, 3);
}
