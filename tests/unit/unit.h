/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * unit.h - what the unit tests share: the end of their main(), random numbers that can be had again, counts
 * that slow tools can reduce.
 *
 *   VHOST_DM_TEST_SEED=N     repeats a run: every program prints its seed
 *   VHOST_DM_TEST_DIVISOR=N  does an Nth of the repetitions, for valgrind
 *   CK_FORK=no               runs the tests in one process, for a debugger (see the manual of check)
 */
#ifndef VHOST_DM_TESTS_UNIT_H
#define VHOST_DM_TESTS_UNIT_H

#include <check.h>
#include <stdint.h>

/* Runs the suite, which is freed, and prints each failure. For main to return. */
int unit_run(Suite *suite);

/* ck_assert for what is done a million times: check notes in a file that it has come to each ck_assert, which
 * takes longer than what we test. This only speaks when it fails. */
#define unit_expect(condition)                      \
    do {                                            \
        if (!(condition))                           \
            ck_abort_msg("not so: %s", #condition); \
    } while (0)
/* The same for two integers, and it tells what they were. */
#define unit_expect_eq(got, want)                                                                      \
    do {                                                                                               \
        intmax_t got_ = (intmax_t)(got), want_ = (intmax_t)(want);                                     \
                                                                                                       \
        if (got_ != want_)                                                                             \
            ck_abort_msg("%s is %jd (0x%jx), not %s: %jd (0x%jx)", #got, got_, (uintmax_t)got_, #want, \
                         want_, (uintmax_t)want_);                                                     \
    } while (0)

/* n repetitions, or fewer if VHOST_DM_TEST_DIVISOR says so; at least 1. */
unsigned long unit_count(unsigned long n);

/* Starts the sequence of random numbers with the seed of this run. Every test that uses them calls it first,
 * so that it does the same whichever tests ran before. */
void unit_random_start(void);
/* 64 random bits. */
uint64_t unit_random(void);
/* A random number in [0, limit); limit is not 0. */
uint64_t unit_random_below(uint64_t limit);

#endif
