/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * utf8.h - text that others wrote, for those who read nothing but UTF-8: JSON is no JSON otherwise (RFC
 * 8259, 8.1). Used by dm/control_command.c and ctl/connection.c. Pure.
 */
#ifndef VHOST_DM_UTF8_H
#define VHOST_DM_UTF8_H

/* Puts '?' into the place of each byte that is of no character (RFC 3629, 4). */
void utf8_clean(char *text);

#endif
