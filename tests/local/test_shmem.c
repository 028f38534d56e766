// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_shmem.c - shared memory regions on the local hypervisor, with a back-end that does what no back-end
 * should. CK_RUN_CASE=refusals (model, life, files, dma, hostile, terms, told) runs one group.
 */
#include <stdlib.h>

#include "common/log.h"
#include "tests/local/shmem_test.h"

#define SECONDS_A_TEST 120.0 /* then it hangs */

static const struct {
    const char *name;
    void (*add)(TCase *tcase);
} groups[] = {
    {"refusals", shmem_cases_refusals}, {"model", shmem_cases_model}, {"life", shmem_cases_life},
    {"files", shmem_cases_files},       {"dma", shmem_cases_dma},     {"hostile", shmem_cases_hostile},
    {"terms", shmem_cases_terms},       {"told", shmem_cases_told},
};

int main(void)
{
    Suite *suite = suite_create("shared memory regions");
    SRunner *runner = srunner_create(suite);
    const char *level = getenv("VHOST_DM_TEST_LOG");
    int failed;

    /* Hundreds of requests are refused on purpose here. */
    log_level = level == NULL ? LOG_LEVEL_ERROR : (enum log_level)atoi(level);
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
        TCase *tcase = tcase_create(groups[i].name);

        tcase_set_timeout(tcase, SECONDS_A_TEST);
        groups[i].add(tcase);
        suite_add_tcase(suite, tcase);
    }
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
