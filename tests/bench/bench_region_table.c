// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_region_table.c - what an operation of the region table costs, by the number of its regions, beside a
 * sorted array with bsearch(3) and memmove(3), and GLib's balanced binary tree if there is one. Prints one
 * table.
 *
 * All are filled with the same regions; then the same ones, chosen at random, are looked up, removed, and
 * inserted again. So an insertion "at n" is into a table of n regions, and the array can take part: only
 * filling it one by one in random order would take hours, therefore it is filled in order of addresses.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HAVE_GLIB
#include <glib.h>
#undef MIN /* ours are used */
#undef MAX
#endif

#include "common/region_table.h"
#include "common/util.h"

#define LOOKUPS          1000000
#define CHANGES          200000 /* removals, and insertions after them, at the most */
#define ARRAY_MOVE_BYTES GIB(4) /* the array does fewer, so that it moves about that much */

static const size_t sizes[] = {10, 1000, 100000, 1000000};

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t limit)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % limit;
}

/* Time of this process on a processor: nothing here waits, and other processes should not count. */
static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void *alloc_or_exit(size_t nr, size_t size)
{
    void *p = calloc(nr, size);

    if (!p) {
        fprintf(stderr, "bench_region_table: no memory for %zu x %zu bytes\n", nr, size);
        exit(EXIT_FAILURE);
    }
    return p;
}

/* ---- the competitors --------------------------------------------------------------------------------- */

struct competitor {
    const char *name;
    bool by_moving; /* a change costs time that grows with the number of regions */
    void *(*create)(size_t capacity);
    void (*destroy)(void *set);
    int (*insert)(void *set, const struct region *region);
    int (*remove)(void *set, const struct region *region);
    const struct region *(*find)(void *set, uint64_t gpa);
};

static void *table_create(size_t capacity)
{
    (void)capacity;
    return region_table_new();
}

static void table_destroy(void *set)
{
    region_table_free(set);
}

static int table_insert(void *set, const struct region *region)
{
    return region_table_insert(set, region);
}

static int table_remove(void *set, const struct region *region)
{
    return region_table_remove(set, region->gpa, region->len, region->kind);
}

static const struct region *table_find(void *set, uint64_t gpa)
{
    return region_table_find(set, gpa);
}

struct array {
    size_t nr;
    struct region regions[];
};

static void *array_create(size_t capacity)
{
    return alloc_or_exit(1, sizeof(struct array) + capacity * sizeof(struct region));
}

/* Regions that overlap are equal: so a single byte finds the region around it. */
static int overlap_compare(const void *left, const void *right)
{
    const struct region *a = left, *b = right;

    if (a->gpa + (a->len - 1) < b->gpa)
        return -1;
    return a->gpa > b->gpa + (b->len - 1);
}

static struct region *array_search(struct array *array, const struct region *key)
{
    return bsearch(key, array->regions, array->nr, sizeof(*key), overlap_compare);
}

static int array_insert(void *set, const struct region *region)
{
    struct array *array = set;
    size_t low = 0, high = array->nr;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = overlap_compare(&array->regions[mid], region);

        if (order == 0)
            return -EEXIST;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    memmove(&array->regions[low + 1], &array->regions[low], (array->nr - low) * sizeof(*region));
    array->regions[low] = *region;
    array->nr++;
    return 0;
}

static int array_remove(void *set, const struct region *region)
{
    struct array *array = set;
    struct region *at = array_search(array, region);

    if (!at || at->gpa != region->gpa || at->len != region->len || at->kind != region->kind)
        return -ENOENT;
    array->nr--;
    memmove(at, at + 1, (size_t)(array->regions + array->nr - at) * sizeof(*at));
    return 0;
}

static const struct region *array_find(void *set, uint64_t gpa)
{
    struct region key = {.gpa = gpa, .len = 1};

    return array_search(set, &key);
}

#ifdef HAVE_GLIB
static gint gtree_compare(gconstpointer a, gconstpointer b, gpointer data)
{
    (void)data;
    return overlap_compare(a, b);
}

static void *gtree_create(size_t capacity)
{
    (void)capacity;
    return g_tree_new_full(gtree_compare, NULL, NULL, free);
}

static void gtree_destroy(void *set)
{
    g_tree_destroy(set);
}

static int gtree_insert(void *set, const struct region *region)
{
    if (g_tree_lookup(set, region))
        return -EEXIST;
    struct region *copy = alloc_or_exit(1, sizeof(*copy));
    *copy = *region;
    g_tree_insert(set, copy, copy);
    return 0;
}

static int gtree_remove(void *set, const struct region *region)
{
    const struct region *at = g_tree_lookup(set, region);

    if (!at || at->gpa != region->gpa || at->len != region->len || at->kind != region->kind)
        return -ENOENT;
    return g_tree_remove(set, region) ? 0 : -ENOENT;
}

static const struct region *gtree_find(void *set, uint64_t gpa)
{
    struct region key = {.gpa = gpa, .len = 1};

    return g_tree_lookup(set, &key);
}
#endif

static const struct competitor competitors[] = {
    {"region table", false, table_create, table_destroy, table_insert, table_remove, table_find},
    {"sorted array", true, array_create, free, array_insert, array_remove, array_find},
#ifdef HAVE_GLIB
    {"GLib GTree", false, gtree_create, gtree_destroy, gtree_insert, gtree_remove, gtree_find},
#endif
};

/* ---- measuring --------------------------------------------------------------------------------------- */

/* What every competitor is given. */
struct work {
    size_t nr;              /* regions, in the order of addresses */
    struct region *regions; /* between them there are holes */
    uint32_t *order;        /* a permutation of them */
    uint64_t *lookups;      /* LOOKUPS addresses, each in a region */
};

struct result {
    double random, repeated, remove, insert; /* nanoseconds each */
};

static void work_prepare(struct work *work, size_t nr)
{
    work->nr = nr;
    work->regions = alloc_or_exit(nr, sizeof(*work->regions));
    work->order = alloc_or_exit(nr, sizeof(*work->order));
    work->lookups = alloc_or_exit(LOOKUPS, sizeof(*work->lookups));
    for (size_t i = 0; i < nr; i++) {
        work->regions[i] = (struct region){
            .gpa = GIB(4) + i * 0x4000, .len = 0x1000 * (1 + random_below(3)), .kind = REGION_SHMEM};
        size_t k = random_below(i + 1);
        work->order[i] = work->order[k];
        work->order[k] = (uint32_t)i;
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        const struct region *r = &work->regions[random_below(nr)];
        work->lookups[i] = r->gpa + random_below(r->len);
    }
}

static void work_release(struct work *work)
{
    free(work->regions);
    free(work->order);
    free(work->lookups);
}

/* A wrong answer would make its time worthless. */
static void expect(const struct competitor *who, bool good)
{
    if (good)
        return;
    fprintf(stderr, "bench_region_table: %s gave a wrong answer\n", who->name);
    exit(EXIT_FAILURE);
}

static double measure_lookups(const struct competitor *who, void *set, const struct work *work,
                              size_t distinct)
{
    double start = now_ns();

    for (size_t i = 0; i < LOOKUPS; i++) {
        uint64_t gpa = work->lookups[distinct == 1 ? 0 : i];
        const struct region *r = who->find(set, gpa);

        expect(who, r && gpa - r->gpa < r->len);
    }
    return (now_ns() - start) / LOOKUPS;
}

/* What reading the clock costs, which would drown changes to a small table. */
static double clock_cost(void)
{
    double start = now_ns();

    for (int i = 0; i < 10000; i++)
        now_ns();
    return (now_ns() - start) / 10000;
}

static void measure(const struct competitor *who, const struct work *work, struct result *result)
{
    void *set = who->create(work->nr);
    size_t batch = MIN(work->nr, CHANGES), rounds, total = CHANGES;
    double tick = clock_cost();

    expect(who, set != NULL);
    for (size_t i = 0; i < work->nr; i++)
        expect(who, who->insert(set, &work->regions[who->by_moving ? i : work->order[i]]) == 0);
    result->random = measure_lookups(who, set, work, LOOKUPS);
    result->repeated = measure_lookups(who, set, work, 1);

    if (who->by_moving)
        total = MIN(total, ARRAY_MOVE_BYTES / (work->nr * sizeof(struct region)) + 1);
    batch = MIN(MIN(batch, total), MAX(work->nr / 10, (size_t)1)); /* of n regions a tenth at most is out */
    rounds = (total + batch - 1) / batch;
    result->remove = result->insert = 0;
    for (size_t round = 0; round < rounds; round++) {
        size_t first = random_below(work->nr - batch + 1);
        double start = now_ns(), middle;

        for (size_t i = first; i < first + batch; i++)
            expect(who, who->remove(set, &work->regions[work->order[i]]) == 0);
        middle = now_ns();
        for (size_t i = first; i < first + batch; i++)
            expect(who, who->insert(set, &work->regions[work->order[i]]) == 0);
        result->insert += (now_ns() - middle - tick) / (double)(rounds * batch);
        result->remove += (middle - start - tick) / (double)(rounds * batch);
    }
    who->destroy(set);
}

int main(void)
{
    printf("%9s  %-12s %12s %12s %12s %12s   (ns each)\n", "regions", "", "look-up", "repeated", "insert",
           "remove");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct work work;

        work_prepare(&work, sizes[i]);
        for (size_t k = 0; k < ARRAY_SIZE(competitors); k++) {
            struct result result;

            measure(&competitors[k], &work, &result);
            printf("%9zu  %-12s %12.1f %12.1f %12.1f %12.1f\n", sizes[i], competitors[k].name, result.random,
                   result.repeated, result.insert, result.remove);
            fflush(stdout);
        }
        work_release(&work);
    }
#ifndef HAVE_GLIB
    printf("GLib was not found when this was configured: its GTree is left out.\n");
#endif
    return EXIT_SUCCESS;
}
