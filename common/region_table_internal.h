/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * region_table_internal.h - the nodes of the region table: for region_table.c, and for its test, which checks
 * every rule that is written here. Nobody else includes it.
 */
#ifndef VHOST_DM_REGION_TABLE_INTERNAL_H
#define VHOST_DM_REGION_TABLE_INTERNAL_H

#include "common/region_table.h"

/* Entries of a node: the best of 16, 32, 64 and 128 in tests/bench/bench_region_table, by little. The test is
 * also built with 8, the least that works, to have deep trees of few regions. */
#ifndef REGION_TABLE_FANOUT
#define REGION_TABLE_FANOUT 32
#endif
/* A node that is not the root and has fewer entries is filled from a neighbour, or merged with it ... */
#define REGION_TABLE_MIN (REGION_TABLE_FANOUT / 4)
/* ... merged if both together have at most this many, so that the next insertion does not split them again.
 */
#define REGION_TABLE_MERGE (REGION_TABLE_FANOUT * 3 / 4)

/* Inner nodes above each other. Nodes have 2 entries at least, and 2^48 leaves do not fit into any memory. */
#define REGION_TABLE_MAX_LEVELS 48

/* Cache lines are not shared between nodes. */
#define REGION_TABLE_NODE_ALIGN 64

_Static_assert(REGION_TABLE_FANOUT >= 8, "an inner node needs two children after every merge and split");

/* What leaves and inner nodes begin with: keys[0 .. nr) ascend strictly. */
struct region_node {
    unsigned nr;
    uint64_t keys[REGION_TABLE_FANOUT];
};

/* keys[i] is regions[i].gpa. A leaf is empty only if it is the root. */
struct region_leaf {
    _Alignas(REGION_TABLE_NODE_ALIGN) struct region_node node;
    struct region_leaf *prev, *next; /* in the order of addresses; NULL at the ends */
    struct region regions[REGION_TABLE_FANOUT];
};

/* Every region below children[i] starts at or above keys[i] and below keys[i + 1]. keys[0] is the key that
 * this node has in the node above it, and 0 if there is none. */
struct region_inner {
    _Alignas(REGION_TABLE_NODE_ALIGN) struct region_node node;
    struct region_node *children[REGION_TABLE_FANOUT];
};

/* A place in the table; leaf is NULL: none. */
struct region_cursor {
    struct region_leaf *leaf;
    unsigned index;
};

struct region_table {
    struct region_node *root;
    unsigned height; /* levels of inner nodes; 0: the root is a leaf */
    size_t count;
    struct region_cursor last; /* what was found last; none after a change */
};

static inline struct region_leaf *region_leaf_of(struct region_node *node)
{
    return (struct region_leaf *)node;
}

static inline struct region_inner *region_inner_of(struct region_node *node)
{
    return (struct region_inner *)node;
}

#endif
