// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * region_table.c - see region_table.h. A B+tree, ordered by the first address of the regions.
 *
 * Why a B+tree: a look-up in a million regions touches four nodes, and in each of them only a few
 * neighbouring cache lines of keys, where a binary tree follows twenty pointers to as many cold lines. An
 * insertion moves at most the entries of one node, where a sorted array moves half of the table.
 *
 * The idea. Leaves hold the regions themselves, in order, and are chained in order, so that walking is a step
 * to the right. Inner nodes hold children, and for each child a key that says "starts from here on are below
 * me". All leaves are at the same depth. The rules are in region_table_internal.h.
 *
 *   - Searching goes down, taking in each node the last child whose key is not above the address. A key
 * bounds the *starts* below it, and regions are longer than that: one that starts in the leaf to the left may
 * reach into the range of this one, so its last region is looked at too.
 *   - Inserting into a full node first splits it in two and inserts the new half next to it in the node
 * above, which may split that one, and so on; if the root splits, the tree grows by a new root. All the nodes
 * that this takes are allocated before anything changes: without memory the table stays as it was.
 *   - Removing may leave a node with few entries. It then shares with its neighbour, either evenly or by
 *     giving it everything, which removes an entry from the node above, and so on; a root with one child is
 *     replaced by that child. Nothing is allocated: removal cannot fail half way.
 *
 * Splitting, sharing and merging are the same operation: distribute the entries of two neighbours so that the
 * left one has a given number of them (pair_distribute). Level 0 are the leaves, level n the nodes whose
 * children are on level n - 1; an "entry" is a key with its region or child.
 *
 * Ends of regions are always compared by their last byte: gpa + len is 0 for one that ends where the 64-bit
 * space does.
 */
#include "common/region_table.h"
#include "common/region_table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FANOUT     REGION_TABLE_FANOUT
#define MAX_LEVELS REGION_TABLE_MAX_LEVELS

/* The way from the root to a leaf: on each level from 1 to the table's height the node and the entry taken.
 */
struct path {
    struct {
        struct region_node *node;
        unsigned index;
    } step[MAX_LEVELS + 1];
};

static bool region_contains(const struct region *region, uint64_t gpa)
{
    return gpa - region->gpa < region->len; /* below the region the difference wraps to more than any len */
}

static const struct region *cursor_region(struct region_cursor at)
{
    return at.leaf ? &at.leaf->regions[at.index] : NULL;
}

static struct region_cursor cursor_next(struct region_cursor at)
{
    if (at.index + 1 < at.leaf->node.nr)
        return (struct region_cursor){at.leaf, at.index + 1};
    return (struct region_cursor){at.leaf->next, 0};
}

/* The last entry whose key is not above gpa, or the first entry if there is none. Without branches to
 * mispredict: half of the remaining entries are left behind in each round. */
static unsigned node_search(const struct region_node *node, uint64_t gpa)
{
    const uint64_t *base = node->keys;

    for (unsigned n = node->nr; n > 1; n -= n / 2)
        base = base[n / 2] <= gpa ? base + n / 2 : base;
    return (unsigned)(base - node->keys);
}

/* The leaf that regions starting at gpa belong to. path may be NULL. */
static struct region_leaf *table_descend(const struct region_table *table, uint64_t gpa, struct path *path)
{
    struct region_node *node = table->root;

    for (unsigned level = table->height; level > 0; level--) {
        unsigned index = node_search(node, gpa);

        if (path) {
            path->step[level].node = node;
            path->step[level].index = index;
        }
        node = region_inner_of(node)->children[index];
    }
    return region_leaf_of(node);
}

/* The first region that contains gpa or lies above it; leaf is the one that starts at gpa belong to. */
static struct region_cursor leaf_find_from(struct region_leaf *leaf, uint64_t gpa)
{
    unsigned index = node_search(&leaf->node, gpa);
    struct region_leaf *prev = leaf->prev;

    if (leaf->node.nr == 0)
        return (struct region_cursor){NULL, 0};
    if (leaf->node.keys[index] > gpa) { /* all of this leaf lies above */
        if (prev && region_contains(&prev->regions[prev->node.nr - 1], gpa))
            return (struct region_cursor){prev, prev->node.nr - 1};
        return (struct region_cursor){leaf, 0};
    }
    if (region_contains(&leaf->regions[index], gpa))
        return (struct region_cursor){leaf, index};
    return cursor_next((struct region_cursor){leaf, index});
}

/* ---- entries of nodes -------------------------------------------------------------------------------- */

static size_t payload_size(unsigned level)
{
    return level == 0 ? sizeof(struct region) : sizeof(struct region_node *);
}

static void *payload_at(unsigned level, struct region_node *node, unsigned index)
{
    return level == 0 ? (void *)&region_leaf_of(node)->regions[index]
                      : (void *)&region_inner_of(node)->children[index];
}

/* Moves nr entries, within a node or between two; the counts of the nodes are the caller's business. */
static void entries_move(unsigned level, struct region_node *to, unsigned to_index, struct region_node *from,
                         unsigned from_index, unsigned nr)
{
    memmove(&to->keys[to_index], &from->keys[from_index], nr * sizeof(to->keys[0]));
    memmove(payload_at(level, to, to_index), payload_at(level, from, from_index), nr * payload_size(level));
}

/* The node has room; payload is a struct region, or the address of a pointer to a child. */
static void entry_insert(unsigned level, struct region_node *node, unsigned index, uint64_t key,
                         const void *payload)
{
    entries_move(level, node, index + 1, node, index, node->nr - index);
    node->keys[index] = key;
    memcpy(payload_at(level, node, index), payload, payload_size(level));
    node->nr++;
}

static void entry_remove(unsigned level, struct region_node *node, unsigned index)
{
    entries_move(level, node, index, node, index + 1, node->nr - index - 1);
    node->nr--;
}

/* Leaves the left one of two neighbours with nr_left entries, in order. keys[0] of the right one bounds it
 * afterwards as it did before. */
static void pair_distribute(unsigned level, struct region_node *left, struct region_node *right,
                            unsigned nr_left)
{
    unsigned nr_right = left->nr + right->nr - nr_left;

    if (nr_left > left->nr) {
        entries_move(level, left, left->nr, right, 0, nr_left - left->nr);
        entries_move(level, right, 0, right, nr_left - left->nr, nr_right);
    } else {
        entries_move(level, right, left->nr - nr_left, right, 0, right->nr);
        entries_move(level, right, 0, left, nr_left, left->nr - nr_left);
    }
    left->nr = nr_left;
    right->nr = nr_right;
}

/* ---- nodes and tables -------------------------------------------------------------------------------- */

/* An empty node; a leaf is not chained yet. */
static struct region_node *node_new(unsigned level)
{
    size_t size = level == 0 ? sizeof(struct region_leaf) : sizeof(struct region_inner);
    struct region_node *node = aligned_alloc(REGION_TABLE_NODE_ALIGN, size);

    if (node)
        node->nr = 0;
    return node;
}

/* As deep as the tree is: a few calls. */
static void node_free(unsigned level, struct region_node *node)
{
    if (level > 0)
        for (unsigned i = 0; i < node->nr; i++)
            node_free(level - 1, region_inner_of(node)->children[i]);
    free(node);
}

struct region_table *region_table_new(void)
{
    struct region_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->root = node_new(0);
    if (!table->root) {
        free(table);
        return NULL;
    }
    region_leaf_of(table->root)->prev = region_leaf_of(table->root)->next = NULL;
    return table;
}

void region_table_free(struct region_table *table)
{
    if (!table)
        return;
    node_free(table->height, table->root);
    free(table);
}

/* ---- insertion --------------------------------------------------------------------------------------- */

/* What an insertion into a leaf will split: spare[0 .. *nr) becomes the new node of each level, the last one
 * a new root if the root is split too. 0, or -ENOMEM and nothing is allocated. */
static int spares_alloc(const struct region_table *table, const struct path *path,
                        const struct region_node *leaf, struct region_node *spare[MAX_LEVELS + 1])
{
    const struct region_node *node = leaf;

    for (unsigned level = 0; node && node->nr == FANOUT; level++) {
        bool root = level == table->height;

        spare[level] = node_new(level);
        if (root && spare[level])
            spare[level + 1] = node_new(level + 1);
        if (!spare[level] || (root && !spare[level + 1])) {
            for (unsigned i = 0; i <= level; i++)
                free(spare[i]);
            return -ENOMEM;
        }
        node = root ? NULL : path->step[level + 1].node;
    }
    return 0;
}

/* Splits a full node into itself and right, which is new, and inserts the entry. An insertion at the end is
 * likely one of many in ascending order: then the left half keeps most, since nothing else will fill it. */
static void node_split_insert(unsigned level, struct region_node *node, struct region_node *right,
                              unsigned index, uint64_t key, const void *payload)
{
    unsigned keep = index == FANOUT ? FANOUT - FANOUT / 4 : FANOUT / 2;

    pair_distribute(level, node, right, keep);
    if (index < keep)
        entry_insert(level, node, index, key, payload);
    else
        entry_insert(level, right, index - keep, key, payload);
    if (level == 0) {
        struct region_leaf *l = region_leaf_of(node), *r = region_leaf_of(right);

        r->prev = l;
        r->next = l->next;
        if (l->next)
            l->next->prev = r;
        l->next = r;
    }
}

static void root_grow(struct region_table *table, struct region_node *root, struct region_node *right)
{
    entry_insert(table->height + 1, root, 0, 0, &table->root);
    entry_insert(table->height + 1, root, 1, right->keys[0], &right);
    table->root = root;
    table->height++;
}

int region_table_insert(struct region_table *table, const struct region *region)
{
    struct region_node *spare[MAX_LEVELS + 1];
    struct path path;

    if (region->len == 0 || region->len - 1 > UINT64_MAX - region->gpa)
        return -EINVAL;
    if (table->height >= MAX_LEVELS - 1)
        return -ENOMEM;

    struct region_leaf *leaf = table_descend(table, region->gpa, &path);
    const struct region *above = cursor_region(leaf_find_from(leaf, region->gpa));
    if (above && above->gpa <= region->gpa + (region->len - 1))
        return -EEXIST;
    if (spares_alloc(table, &path, &leaf->node, spare) < 0)
        return -ENOMEM;

    table->count++;
    table->last.leaf = NULL;

    struct region_node *node = &leaf->node;
    uint64_t key = region->gpa;
    const void *payload = region;
    unsigned level = 0, index = node_search(node, key);
    if (node->nr > 0 && node->keys[index] < key)
        index++;
    for (; node->nr == FANOUT; level++) {
        node_split_insert(level, node, spare[level], index, key, payload);
        if (level == table->height) {
            root_grow(table, spare[level + 1], spare[level]);
            return 0;
        }
        key = spare[level]->keys[0];
        payload = &spare[level];
        node = path.step[level + 1].node;
        index = path.step[level + 1].index + 1;
    }
    entry_insert(level, node, index, key, payload);
    return 0;
}

/* ---- removal ----------------------------------------------------------------------------------------- */

/* Shares the entries of two neighbours, children index and index + 1 of parent, which are on the given level.
 * Returns whether the right one became empty and is gone, with its entry in the parent. */
static bool children_share(unsigned level, struct region_node *parent, unsigned index)
{
    struct region_node *left = region_inner_of(parent)->children[index];
    struct region_node *right = region_inner_of(parent)->children[index + 1];
    unsigned total = left->nr + right->nr;

    if (total > REGION_TABLE_MERGE) {
        pair_distribute(level, left, right, total / 2);
        parent->keys[index + 1] = right->keys[0];
        return false;
    }
    pair_distribute(level, left, right, total);
    if (level == 0) {
        struct region_leaf *l = region_leaf_of(left);

        l->next = region_leaf_of(right)->next;
        if (l->next)
            l->next->prev = l;
    }
    free(right);
    entry_remove(level + 1, parent, index + 1);
    return true;
}

int region_table_remove(struct region_table *table, uint64_t gpa, uint64_t len, enum region_kind kind)
{
    struct path path;
    struct region_leaf *leaf = table_descend(table, gpa, &path);
    struct region_node *node = &leaf->node;
    unsigned index = node_search(node, gpa);
    const struct region *region = &leaf->regions[index];

    if (node->nr == 0 || region->gpa != gpa || region->len != len || region->kind != kind)
        return -ENOENT;
    entry_remove(0, node, index);
    table->count--;
    table->last.leaf = NULL;

    for (unsigned level = 0; level < table->height && node->nr < REGION_TABLE_MIN; level++) {
        index = path.step[level + 1].index;
        node = path.step[level + 1].node;
        if (!children_share(level, node, index > 0 ? index - 1 : 0))
            break;
    }
    if (table->height > 0 && table->root->nr == 1) {
        struct region_node *root = table->root;

        table->root = region_inner_of(root)->children[0];
        table->height--;
        free(root);
    }
    return 0;
}

/* ---- look-up ----------------------------------------------------------------------------------------- */

/* The first region that contains gpa or lies above it. */
static struct region_cursor table_find_from(const struct region_table *table, uint64_t gpa)
{
    const struct region *last = cursor_region(table->last);

    if (last && region_contains(last, gpa))
        return table->last;
    return leaf_find_from(table_descend(table, gpa, NULL), gpa);
}

const struct region *region_table_find(struct region_table *table, uint64_t gpa)
{
    struct region_cursor at = table_find_from(table, gpa);
    const struct region *region = cursor_region(at);

    if (!region || !region_contains(region, gpa))
        return NULL;
    table->last = at;
    return region;
}

const struct region *region_table_find_from(struct region_table *table, uint64_t gpa)
{
    struct region_cursor at = table_find_from(table, gpa);

    if (at.leaf)
        table->last = at;
    return cursor_region(at);
}

const struct region *region_table_next(struct region_table *table, const struct region *r)
{
    struct region_cursor at = table->last;

    if (cursor_region(at) != r)
        at = table_find_from(table, r->gpa);
    if (at.leaf)
        at = cursor_next(at);
    if (at.leaf) /* else the walk is over, and what was found last may be asked for again */
        table->last = at;
    return cursor_region(at);
}

size_t region_table_count(const struct region_table *table)
{
    return table->count;
}

const char *region_kind_name(enum region_kind kind)
{
    switch (kind) {
    case REGION_RAM_FOREIGN:
        return "ram";
    case REGION_RAM_GRANT:
        return "grant";
    case REGION_SHMEM:
        return "shmem";
    case REGION_WINDOW:
        return "window";
    case REGION_MMIO:
        return "mmio";
    }
    return "unknown";
}
