/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saved_state.h - what must outlive this process: a file of named areas, mapped, that a vhost-dm started
 * again for the same guest finds as its killed predecessor left them. Each part keeps there, and only there,
 * the plain data that it could not find out again (what the guest programmed, which requests are in flight).
 *
 * The file is locked while it is in use: two vhost-dm for one guest exclude each other. It is removed when
 * the guest is gone or when we detach in order.
 */
#ifndef VHOST_DM_SAVED_STATE_H
#define VHOST_DM_SAVED_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAVED_STATE_IDENTITY_LEN 16 /* bytes: the UUID of the domain */
#define SAVED_STATE_NAME_LEN     32 /* bytes with the final NUL: the name of an area */

struct saved_state;

/*
 * Opens, and if need be creates, `path` (its folder too); NULL: memory of this process only. A file that was
 * left by another program version or for another identity, or is damaged, is emptied first.
 * 0 and *out, which the caller owns; -EBUSY: in use by a running process, whose pid is in *holder (0 if not
 * known); -EINVAL: there is something else at that path, which is left alone; -EPERM: the file belongs to
 * another user or has a second name; -ELOOP: it is a symbolic link; or another errno.
 * A child of fork(2) shares the lock until it ends or executes another program.
 */
int saved_state_open(struct saved_state **out, const char *path,
                     const uint8_t identity[SAVED_STATE_IDENTITY_LEN], int *holder);
/* Whether there is such a file for that identity, in use or not. */
bool saved_state_there(const char *path, const uint8_t identity[SAVED_STATE_IDENTITY_LEN]);
/* Unmaps and closes; remove: also deletes the file. NULL is allowed. */
void saved_state_close(struct saved_state *state, bool remove);

/*
 * The area of that name, at least len bytes, 64-byte aligned, good until saved_state_close. *resumed tells
 * whether it was there before, with exactly this len, and so holds what a predecessor wrote; otherwise it is
 * all zeros. To ask again gives the same memory; with another len it gives a new area, and the old memory is
 * good still but will not be found by a successor.
 * NULL with errno: EINVAL: no name, a name that is too long, or len is 0; ENOSPC: too many areas, too many
 * bytes (64 MiB in all), or no room in the file system; or another one.
 */
void *saved_state_area(struct saved_state *state, const char *name, size_t len, bool *resumed);

#endif
