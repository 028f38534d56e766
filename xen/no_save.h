/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * no_save.h - has the toolstack refuse to save, migrate or suspend a guest whose devices cannot go with it,
 * before anything happens to the guest. Used by xen_attach.c; the mark stays until the
 * guest ends.
 */
#ifndef VHOST_DM_XEN_NO_SAVE_H
#define VHOST_DM_XEN_NO_SAVE_H

#include <stdint.h>

/* Marks the guest. 0; -ESRCH: xenstore does not know it; or another negative errno, and it is not marked. */
int no_save_mark(uint16_t domid);

#endif
