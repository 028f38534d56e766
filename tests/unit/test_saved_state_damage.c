// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_saved_state_damage.c - files that were truncated, overwritten, or made by somebody who knows the
 * format: they are emptied, and never believed by halves.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/saved_state.h"
#include "common/util.h"
#include "tests/unit/saved_state_rig.h"
#include "tests/unit/unit.h"

#define DIRECTORY_LEN (128 + 510 * 64) /* bytes */

/* Any bit of the directory (with a divisor: only some): the state is found as it was only if the bit is in
 * the pid of the holder. */
START_TEST(every_flipped_bit_is_noticed)
{
    uint8_t *data;
    size_t len;
    unsigned unnoticed = 0, refused = 0;
    const size_t step = unit_count(100) < 100 ? 61 : 1;

    state_write();
    file_read(&data, &len);
    ck_assert_uint_gt(len, DIRECTORY_LEN);
    for (size_t bit = 0; bit < DIRECTORY_LEN * 8;) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        file_write(data, len);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int ret = state_open();
        if (ret == -EINVAL) {
            refused++;
        } else {
            unit_expect_eq(ret, 0);
            unnoticed += state_read();
            state_close(false);
        }
        /* all of the header and of the entries in use, a sample of the rest */
        bit += bit < (128 + 4 * 64) * 8 ? step : step + unit_random_below(1000 * step);
    }
    if (step == 1) {
        ck_assert_uint_eq(unnoticed, 32);
        ck_assert_uint_eq(refused, 64); /* without its magic it is not ours */
    }
    free(data);
}
END_TEST

START_TEST(random_damage)
{
    uint8_t *data, *damaged;
    size_t len;

    state_write();
    file_read(&data, &len);
    damaged = malloc(len);
    ck_assert_ptr_nonnull(damaged);
    for (unsigned long i = unit_count(2000); i > 0; i--) {
        size_t damaged_len = unit_random_below(3) ? len : unit_random_below(len + 1);

        memcpy(damaged, data, len);
        for (uint64_t n = unit_random_below(20); n > 0; n--) {
            size_t at = 8 + unit_random_below(unit_random_below(2) ? 400 : DIRECTORY_LEN - 16);
            uint64_t value = unit_random() >> unit_random_below(64);
            memcpy(damaged + at, unit_random_below(2) ? (void *)&value : data + unit_random_below(512), 8);
        }
        file_write(damaged, damaged_len);
        unit_expect_eq(state_open(), 0);
        state_read();
        state_close(false);
    }
    free(damaged);
    free(data);
}
END_TEST

START_TEST(truncated_anywhere)
{
    static const size_t more[] = {127, 128, 191, 192, 4096, 65535, 65536, 65537, 69632, 73728};
    uint8_t *data;
    size_t len;

    state_write();
    file_read(&data, &len);
    for (size_t i = 0; i < 40 + ARRAY_SIZE(more); i++) {
        size_t keep = i < 40 ? i : more[i - 40];
        ck_assert_uint_lt(keep, len);
        file_write(data, keep);
        ck_assert_int_eq(state_open(), 0);
        ck_assert(!state_read() || keep > 65536 + LEN_A + LEN_B);
        state_close(false);
        ck_assert_int_eq(state_open(), 0);
        ck_assert(state_read()); /* and from then on it is good again */
        state_close(false);
    }
    free(data);
}
END_TEST

static uint64_t fnv1a(uint64_t sum, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return sum;
}

/* An entry with a right sum, by somebody who knows the format. */
static void entry_forge(unsigned index, const char *name, uint64_t offset, uint64_t len, uint64_t reserved)
{
    uint64_t place = index, sum;
    uint8_t entry[64] = {0};
    int fd = open(path, O_WRONLY);

    memcpy(entry, name, strnlen(name, SAVED_STATE_NAME_LEN));
    memcpy(entry + 32, &offset, 8);
    memcpy(entry + 40, &len, 8);
    memcpy(entry + 48, &reserved, 8);
    sum = fnv1a(fnv1a(0xcbf29ce484222325, &place, 8), entry, 56);
    memcpy(entry + 56, &sum, 8);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, entry, 64, (off_t)(128 + index * 64)), 64);
    close(fd);
}

START_TEST(forged_entries)
{
    static const struct {
        unsigned index;
        const char *name;
        uint64_t offset, len, reserved;
        bool good;
    } forged[] = {
        {3, "d", 16384 - 64, 64, 0, false}, /* beyond the end of the file */
        {3, "d", 0, 64, 0, false},          /* overlaps a */
        {3, "d", 128, LEN_B, 0, false},     /* overlaps b exactly */
        {3, "d", 64, 64, 0, false},         /* the room of a up to its alignment */
        {3, "a", 11264, 64, 0, false},      /* there is an a */
        {3, "", 11264, 64, 0, false},       /* no name */
        {3, "d", 11265, 64, 0, false},      /* not aligned */
        {3, "d", 11264, 0, 0, false},       /* empty */
        {3, "d", 11264, 64, 1, false},      /* something that we do not know */
        {3, "d", 11264, UINT64_MAX, 0, false},
        {3, "d", 11264, UINT64_MAX - 11264 + 1, 0, false},
        {3, "d", (uint64_t)-64, 64, 0, false},
        {3, "d", (uint64_t)-64, 128, 0, false},
        {3, "d", 0, MIB(64), 0, false},
        {3, "d", MIB(64), 64, 0, false},
        {3, "d", (uint64_t)-65536, 64, 0, false}, /* the directory, if one adds 64 KiB to it */
        {3, "12345678901234567890123456789012", 11264, 64, 0, false}, /* does not end */
        {509, "d", 11264, 64, 0, true},
        {3, "d", 11264, 64, 0, true},
    };

    state_write();
    for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
        entry_forge(forged[i].index, forged[i].name, forged[i].offset, forged[i].len, forged[i].reserved);
        ck_assert_int_eq(state_open(), 0);
        if (state_read() != forged[i].good)
            ck_abort_msg("forged entry %zu", i);
        if (forged[i].good)
            area_get("d", 64, true);
        else
            area_get("d", 64, false);
        state_close(true);
        state_write();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saved_state_damage");
    TCase *tcase = tcase_create("saved_state_damage");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_flipped_bit_is_noticed);
    tcase_add_test(tcase, random_damage);
    tcase_add_test(tcase, truncated_anywhere);
    tcase_add_test(tcase, forged_entries);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
