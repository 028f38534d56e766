/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices_list.h - the file that tells whoever starts a guest's vhost-dm which devices it had: a line for
 * each, as for --device, behind lines that begin with '#'. It belongs to whoever made it; used by devices.c.
 */
#ifndef VHOST_DM_DEVICES_LIST_H
#define VHOST_DM_DEVICES_LIST_H

#include <stddef.h>

/* Puts these lines into the file at path instead of those that are there; the lines with '#' at its start
 * stay. It is replaced as a whole. 0; -ENOENT: there is no such file, and none is made; or another negative
 * errno. */
int devices_list_update(const char *path, const char *const *lines, size_t nr);

#endif
