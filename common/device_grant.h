/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_grant.h - how root tells the privileged process of a confined vhost-dm (xen/broker.c) which device
 * more the guest may have, as vhost-dm itself is not believed: the socket DOMID.grant in the folder of
 * run-time state, SOCK_SEQPACKET, for root alone. A message is the device as for --device, without a NUL, and
 * is answered with an int32_t: 0 or a negative errno. Used by vhost-dmctl, which then asks vhost-dm to add
 * it.
 */
#ifndef VHOST_DM_DEVICE_GRANT_H
#define VHOST_DM_DEVICE_GRANT_H

#define DEVICE_GRANT_LEN 2048 /* bytes of a message, and one more */

#endif
