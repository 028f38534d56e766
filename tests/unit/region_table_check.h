/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * region_table_check.h - the rules of common/region_table_internal.h, checked on every node of a table. Fails
 * the test that calls it.
 */
#ifndef VHOST_DM_TESTS_REGION_TABLE_CHECK_H
#define VHOST_DM_TESTS_REGION_TABLE_CHECK_H

#include "common/region_table.h"

void region_table_check(const struct region_table *table);

#endif
