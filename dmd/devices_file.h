/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices_file.h - STATE_DIR/DOMID.devices, which says what vhost-dm a guest has: who starts a vhost-dm
 * writes it first, so that one that died can be started again, by whomever. A line "# uuid UUID", as
 * xl shows it, perhaps a line "# confine on" or "off", then a value of --device a line. vhost-dm removes it
 * with the guest.
 */
#ifndef VHOST_DM_DMD_DEVICES_FILE_H
#define VHOST_DM_DMD_DEVICES_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes it, all or nothing, and makes the folder if need be. devices: values of --device, without line ends;
 * confine: of --confine, NULL: it is not given. 0 or a negative errno.
 */
int devices_file_write(const char *state_dir, uint16_t domid, const uint8_t uuid[16],
                       const char *const *devices, size_t nr_devices, const char *confine);
#define DEVICES_FILE_CONFINE "# confine " /* what its line begins with */
/* Its first line for that guest, without the line's end. */
#define DEVICES_FILE_HEAD_LEN 48 /* bytes with the NUL */
void devices_file_head(char head[DEVICES_FILE_HEAD_LEN], const uint8_t uuid[16]);
/* Removes it, if it is there. */
void devices_file_remove(const char *state_dir, uint16_t domid);

#endif
