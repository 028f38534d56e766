/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify.h - tells the service manager how we are. Used by the programs that systemd may start; owns nothing.
 */
#ifndef VHOST_DM_NOTIFY_H
#define VHOST_DM_NOTIFY_H

/* Connects to that socket now, for a process that can no longer do so when it has something to say: the
 * messages that follow go there. Does nothing without one; logs when it cannot. */
void notify_prepare(void);

/* Sends the message, as "READY=1", by the protocol of sd_notify(3): one datagram to the socket that the
 * environment names in NOTIFY_SOCKET. Does nothing without one; logs when it cannot be sent. */
void notify_service_manager(const char *message);

#endif
