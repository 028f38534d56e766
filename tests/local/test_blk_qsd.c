// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_blk_qsd.c - the real device, transport and front-end code on the local hypervisor, between a driver of
 * ours and an unmodified qemu-storage-daemon. Variables beside those of tests/unit/unit.h: CK_RUN_CASE=basic
 * (malformed, fuzz, backend, restart) runs one group; VHOST_DM_TEST_LOG=0 to 4 is the log level;
 * VHOST_DM_TEST_AIO=threads keeps the daemon from using io_uring.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "tests/local/blk_cases.h"

#define SKIPPED        77    /* to automake */
#define SECONDS_A_TEST 120.0 /* then it hangs */

static const struct {
    const char *name;
    void (*add)(TCase *tcase);
} groups[] = {
    {"basic", blk_cases_basic},     {"malformed", blk_cases_malformed}, {"fuzz", blk_cases_fuzz},
    {"backend", blk_cases_backend}, {"restart", blk_cases_restart},
};

int main(void)
{
    const char *level = getenv("VHOST_DM_TEST_LOG");
    Suite *suite;

    if (!backend_is_installed()) {
        fprintf(stderr, "no qemu-storage-daemon in PATH (Debian: qemu-utils): skipped\n");
        return SKIPPED;
    }
    /* Hundreds of devices are broken on purpose here. */
    log_level = level == NULL ? LOG_LEVEL_ERROR : (enum log_level)atoi(level);
    suite = suite_create("blk with qemu-storage-daemon");
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
        TCase *tcase = tcase_create(groups[i].name);

        tcase_set_timeout(tcase, SECONDS_A_TEST);
        groups[i].add(tcase);
        suite_add_tcase(suite, tcase);
    }
    return unit_run(suite);
}
