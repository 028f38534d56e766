/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_logger.h - what Xen's libraries say goes to our log at level debug, instead of to standard error: the
 * caller that gives up says it again, with the domain, the cause and the remedy. Used where a library handle
 * is opened.
 */
#ifndef VHOST_DM_XEN_LOGGER_H
#define VHOST_DM_XEN_LOGGER_H

struct xentoollog_logger;

/* For xc_interface_open and its like. One for the whole program, never destroyed. */
struct xentoollog_logger *xen_logger(void);

#endif
