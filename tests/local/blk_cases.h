/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk_cases.h - the groups of tests of a disk on the local hypervisor; each file adds its own to a test case.
 * Called by test_blk_qsd.c.
 */
#ifndef VHOST_DM_TESTS_BLK_CASES_H
#define VHOST_DM_TESTS_BLK_CASES_H

#include "tests/local/blk_test.h"

/* The sanitizers make everything slower by an order of magnitude. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_MANY_REQUESTS 50000
#define TEST_SOME_REQUESTS 5000
#else
#define TEST_MANY_REQUESTS 1000000
#define TEST_SOME_REQUESTS 30000
#endif

void blk_cases_basic(TCase *tcase);     /* a disk used as it should be */
void blk_cases_malformed(TCase *tcase); /* a driver that breaks the rules of the rings */
void blk_cases_fuzz(TCase *tcase);      /* a driver that writes anything anywhere */
void blk_cases_backend(TCase *tcase);   /* back-ends that stop, die and come back */
void blk_cases_restart(TCase *tcase);   /* the device model is killed and started again */

#endif
