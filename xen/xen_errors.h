/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_errors.h - turns what Xen's libraries answer into a sentence for the administrator: what is wrong and
 * what to do. Used where a domain is looked for and attached to.
 */
#ifndef VHOST_DM_XEN_ERRORS_H
#define VHOST_DM_XEN_ERRORS_H

#include <stddef.h>

/* A Xen interface could not be opened, with that errno (positive). Fills why in; returns -EACCES or -ENODEV.
 */
int xen_explain_open(int error, char *why, size_t why_len);

#endif
