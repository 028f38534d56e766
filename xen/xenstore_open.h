/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xenstore_open.h - connections to xenstore whose end is noticed. All of xen/ that talks to xenstore opens it
 * here; it owns nothing.
 */
#ifndef VHOST_DM_XENSTORE_OPEN_H
#define VHOST_DM_XENSTORE_OPEN_H

struct xs_handle;

/*
 * As xs_open(0), for the caller to xs_close(). If alive is not NULL, *alive becomes an fd for the caller to
 * poll and close, which is readable when xenstored has ended: xs_fileno() is not, then. It is -1 where
 * xenstored has no socket, as when it runs in a domain of its own, which does not end before its host. NULL:
 * errno says why; ECONNREFUSED when xenstored was here and has ended: xs_open() would take the kernel's
 * device instead, where each request waits for the next xenstored, without a bound.
 */
struct xs_handle *xenstore_open(int *alive);

#endif
