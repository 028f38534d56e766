/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saved_state_rig.h - what the tests of the saved state share: a folder that is removed after each test, the
 * file in it, and areas with known contents.
 */
#ifndef VHOST_DM_TESTS_SAVED_STATE_RIG_H
#define VHOST_DM_TESTS_SAVED_STATE_RIG_H

#include "common/saved_state.h"

extern const uint8_t identity[SAVED_STATE_IDENTITY_LEN];
extern char folder[32], path[64];
extern struct saved_state *state; /* NULL, or open: closed after the test */
extern int holder;                /* what saved_state_open said last */

/* The fixture of each test. */
void setup(void);
void teardown(void);

/* `path` with `identity`. */
int state_open(void);
void state_close(bool remove_file);

/* The area must be had, and be resumed or not, as told. */
uint8_t *area_get(const char *name, size_t len, bool want_resumed);
void expect_bytes(const uint8_t *data, int byte, size_t len);

/* Makes a file with three areas a, b and c, which have something in them, and closes it as a killed process
 * does. */
#define LEN_A 100
#define LEN_B 10000
#define LEN_C 64
void state_write(void);
/* Whether all three are in the open state as they were left. If not, none of them may be there. */
bool state_read(void);

/* The file as a whole; *data is the caller's to free. */
void file_read(uint8_t **data, size_t *len);
void file_write(const void *data, size_t len);

#endif
