// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * unit.c - see unit.h.
 */
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_SEED 20240229

static uint64_t random_state;

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text)
        return otherwise;
    uint64_t value = strtoull(text, &end, 0);
    if (*end) {
        fprintf(stderr, "%s=%s is not a number\n", name, text);
        exit(EXIT_FAILURE);
    }
    return value;
}

unsigned long unit_count(unsigned long n)
{
    uint64_t divisor = env_number("VHOST_DM_TEST_DIVISOR", 1);

    return divisor == 0 || divisor > n ? 1 : n / divisor;
}

void unit_random_start(void)
{
    random_state = env_number("VHOST_DM_TEST_SEED", DEFAULT_SEED);
}

/* splitmix64: any seed is good, and the same everywhere, which rand(3) is not. */
uint64_t unit_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t unit_random_below(uint64_t limit)
{
    return unit_random() % limit;
}

int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    printf("VHOST_DM_TEST_SEED=%" PRIu64 " VHOST_DM_TEST_DIVISOR=%" PRIu64 "\n",
           env_number("VHOST_DM_TEST_SEED", DEFAULT_SEED), env_number("VHOST_DM_TEST_DIVISOR", 1));
    fflush(stdout);
    srunner_run_all(runner, CK_NORMAL);

    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
