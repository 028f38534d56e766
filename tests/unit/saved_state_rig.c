// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * saved_state_rig.c - see saved_state_rig.h.
 */
#include "tests/unit/saved_state_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"
#include "tests/unit/unit.h"

const uint8_t identity[SAVED_STATE_IDENTITY_LEN] = "one guest's uuid";

char folder[32];
char path[64];
struct saved_state *state;
int holder;

void setup(void)
{
    unit_random_start();
    /* A tmpfs, as /run is: a disk would make the test slow. */
    snprintf(folder, sizeof(folder), "%s/vhost-dm-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/state", folder);
    state = NULL;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

void teardown(void)
{
    saved_state_close(state, false);
    state = NULL;
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int state_open(void)
{
    return saved_state_open(&state, path, identity, &holder);
}

void state_close(bool remove_file)
{
    saved_state_close(state, remove_file);
    state = NULL;
}

uint8_t *area_get(const char *name, size_t len, bool want_resumed)
{
    bool resumed = !want_resumed;
    uint8_t *data = saved_state_area(state, name, len, &resumed);

    if (!data)
        ck_abort_msg("no area %s of %zu bytes: %s", name, len, strerror(errno));
    unit_expect_eq(resumed, want_resumed);
    unit_expect_eq((uintptr_t)data % 64, 0);
    return data;
}

void expect_bytes(const uint8_t *data, int byte, size_t len)
{
    for (size_t i = 0; i < len; i++)
        unit_expect_eq(data[i], byte);
}

void state_write(void)
{
    ck_assert_int_eq(state_open(), 0);
    memset(area_get("a", LEN_A, false), 'A', LEN_A);
    memset(area_get("b", LEN_B, false), 'B', LEN_B);
    memset(area_get("c", LEN_C, false), 'C', LEN_C);
    state_close(false);
}

bool state_read(void)
{
    static const struct {
        const char *name;
        size_t len;
        int byte;
    } areas[] = {{"a", LEN_A, 'A'}, {"b", LEN_B, 'B'}, {"c", LEN_C, 'C'}};
    unsigned nr_resumed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
        bool resumed;
        uint8_t *data = saved_state_area(state, areas[i].name, areas[i].len, &resumed);

        unit_expect(data != NULL);
        expect_bytes(data, resumed ? areas[i].byte : 0, areas[i].len);
        memset(data, areas[i].byte, areas[i].len); /* every byte can be written */
        nr_resumed += resumed;
    }
    unit_expect(nr_resumed == 0 || nr_resumed == ARRAY_SIZE(areas));
    return nr_resumed > 0;
}

void file_read(uint8_t **data, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    *data = malloc(*len);
    ck_assert_ptr_nonnull(*data);
    ck_assert_int_eq(read(fd, *data, *len), st.st_size);
    close(fd);
}

void file_write(const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    unit_expect(fd >= 0);
    unit_expect_eq(write(fd, data, len), len);
    close(fd);
}
