// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * region_table_check.c - see region_table_check.h.
 */
#include "tests/unit/region_table_check.h"

#include "common/region_table_internal.h"
#include "tests/unit/unit.h"

struct rules {
    struct region_leaf *prev_leaf;
    uint64_t prev_end; /* last byte of the region before */
    size_t count;
};

static void leaf_check(struct region_leaf *leaf, struct rules *rules, uint64_t low, uint64_t high)
{
    unit_expect(leaf->prev == rules->prev_leaf);
    if (leaf->prev)
        unit_expect(leaf->prev->next == leaf);
    rules->prev_leaf = leaf;
    for (unsigned i = 0; i < leaf->node.nr; i++) {
        const struct region *r = &leaf->regions[i];

        unit_expect_eq(leaf->node.keys[i], r->gpa);
        unit_expect(r->gpa >= low && r->gpa <= high);
        unit_expect(r->len != 0);
        unit_expect(r->len - 1 <= UINT64_MAX - r->gpa);
        if (rules->count++ > 0)
            unit_expect(r->gpa > rules->prev_end);
        rules->prev_end = r->gpa + (r->len - 1);
    }
}

/* Everything below starts in [low, high]. */
static void node_check(const struct region_table *table, unsigned level, struct region_node *node,
                       struct rules *rules, uint64_t low, uint64_t high)
{
    if (level != table->height)
        unit_expect(node->nr >= REGION_TABLE_MIN);
    else if (level > 0)
        unit_expect(node->nr >= 2);
    unit_expect(node->nr <= REGION_TABLE_FANOUT);
    unit_expect_eq((uintptr_t)node % REGION_TABLE_NODE_ALIGN, 0);
    if (level == 0) {
        leaf_check(region_leaf_of(node), rules, low, high);
        return;
    }
    unit_expect_eq(node->keys[0], low);
    for (unsigned i = 0; i < node->nr; i++) {
        uint64_t from = node->keys[i];
        uint64_t to = i + 1 == node->nr ? high : node->keys[i + 1] - 1;

        unit_expect(from >= low && to <= high && from <= to);
        node_check(table, level - 1, region_inner_of(node)->children[i], rules, from, to);
    }
}

void region_table_check(const struct region_table *table)
{
    struct rules rules = {NULL, 0, 0};

    node_check(table, table->height, table->root, &rules, 0, UINT64_MAX);
    unit_expect(rules.prev_leaf->next == NULL);
    unit_expect_eq(rules.count, region_table_count(table));
    if (table->last.leaf)
        unit_expect(table->last.index < table->last.leaf->node.nr);
}
